// Node's ws: node ws.cjs echo|broadcast|count [CERTIFICATE KEY]
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocketServer } = require("ws");
const { version } = require("ws/package.json");

const [mode, certificate, key] = process.argv.slice(2);
const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http.createServer();
const wss = new WebSocketServer({ server, maxPayload: 64 * 1024 * 1024 });

const behave = {
  echo(ws) {
    ws.on("message", (data, binary) => ws.send(data, { binary }));
  },
  broadcast(ws) {
    ws.on("message", (data, binary) => {
      for (const client of wss.clients) client.send(data, { binary });
    });
  },
  count(ws) {
    let count = 0;
    ws.on("message", (data, binary) => {
      if (binary) ws.send(String(count));
      else count += 1;
    });
  },
}[mode];

wss.on("connection", (ws) => {
  ws.on("error", () => {});
  behave(ws);
});
server.listen(0, "127.0.0.1", () => {
  console.log(`${server.address().port} ws ${version}`);
});
