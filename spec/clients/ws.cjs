// A conversation with an echo server, by npm's ws. Prints what came of it as one line of JSON.
// Usage: node ws.cjs URL [protocol]
"use strict";

const crypto = require("node:crypto");
const WebSocket = require("ws");

const SIZES = [0, 1, 125, 126, 65535, 65536, 1048576];
const [url, protocol] = process.argv.slice(2);

const socket = new WebSocket(url, protocol ? [protocol] : [], {
  rejectUnauthorized: false,
  handshakeTimeout: 8000,
});
const received = [];
let wake = () => {};
const note = (...event) => {
  received.push(event);
  wake();
};

socket.on("open", () => note("open"));
socket.on("message", (data, isBinary) => note("message", data, isBinary));
socket.on("ping", (data) => note("ping", data));
socket.on("pong", (data) => note("pong", data));
socket.on("close", (code, reason) => note("close", code, reason.toString()));
socket.on("error", (error) => note("error", error.message));

async function next(name) {
  while (received.length === 0) {
    await new Promise((resolve) => {
      wake = resolve;
    });
  }
  const [got, ...values] = received.shift();
  if (got !== name) throw new Error(`expected ${name}, got ${got} ${values}`);
  return values;
}

async function echoes(message, isBinary) {
  socket.send(message);
  const [data, binary] = await next("message");
  return binary === isBinary && Buffer.compare(Buffer.from(message), data) === 0;
}

async function main() {
  const result = { protocol: null, text: [], binary: [] };
  await next("open");
  result.protocol = socket.protocol;
  for (const size of SIZES) {
    if (await echoes("é".repeat(size / 2) + (size % 2 ? "x" : ""), false)) result.text.push(size);
    if (await echoes(crypto.randomBytes(size), true)) result.binary.push(size);
  }
  for (const [part, fin] of [["Hel", false], ["lo ", false], ["世界", true]]) {
    socket.send(part, { fin });
  }
  result.fragments = (await next("message"))[0].toString();
  socket.ping("are you there?");
  result.pong = (await next("pong"))[0].toString();
  socket.send("ping me");
  result.ping = (await next("ping"))[0].toString();
  result.ponged = (await next("message"))[0].toString();
  socket.send("close me");
  result.close = await next("close");
  return result;
}

const impatience = setTimeout(() => {
  console.log(JSON.stringify({ error: "timed out" }));
  process.exit(1);
}, 15000);

main()
  .catch((error) => ({ error: error.message }))
  .then((result) => {
    console.log(JSON.stringify(result));
    clearTimeout(impatience);
    socket.terminate();
  });
