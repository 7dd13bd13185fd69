// An echo server of npm's ws, to measure by: node ws.cjs [CERTIFICATE KEY]
// Prints its port and serves until its standard input ends.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocketServer } = require("ws");

const [certificate, key] = process.argv.slice(2);
const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http.createServer();
const sockets = new WebSocketServer({
  server,
  maxPayload: 20 * 1024 * 1024,
  perMessageDeflate: true,
});

sockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (message, binary) => socket.send(message, { binary }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
