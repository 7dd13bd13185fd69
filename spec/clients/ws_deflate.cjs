// Conversations with an echo server by npm's ws, each with its own offer of compression.
//
// Reads from standard input, as JSON:
//
//     {"offers": [{"url": "ws://...", "header": "permessage-deflate; ...", "options": {...}}, ...],
//      "steps": [{"name": "...", "messages": [{"binary": false, "parts": ["base64", ...]}, ...]}]}
//
// The options of an offer are ws's own, and what it holds the answer to; `header` is what it says.
// The messages of a step are sent at once, each part in a frame of its own; all are awaited then.
// Prints for each offer what was answered, the steps whose messages came back different, the bytes
// that each step took on the wire, both ways, and how the connection ended.
"use strict";

const fs = require("node:fs");
const WebSocket = require("ws");

const task = JSON.parse(fs.readFileSync(0, "utf8"));

class Client {
  constructor({ url, header, options }) {
    this.events = [];
    this.wake = () => {};
    this.socket = new WebSocket(url, {
      perMessageDeflate: { threshold: 0, ...options },
      rejectUnauthorized: false,
      handshakeTimeout: 8000,
      finishRequest: (request) => {
        request.setHeader("Sec-WebSocket-Extensions", header);
        request.end();
      },
    });
    this.socket.on("upgrade", (response) => {
      this.answer = response.headers["sec-websocket-extensions"] ?? null;
      this.wire = response.socket;
    });
    this.socket.on("open", () => this.note("open"));
    this.socket.on("message", (data, isBinary) => this.note("message", data, isBinary));
    this.socket.on("close", (code) => this.note("close", code));
    this.socket.on("error", (error) => this.note("error", error.message));
  }

  note(...event) {
    this.events.push(event);
    this.wake();
  }

  async next(name) {
    while (this.events.length === 0) {
      await new Promise((resolve) => {
        this.wake = resolve;
      });
    }
    const [got, ...values] = this.events.shift();
    if (got !== name) throw new Error(`expected ${name}, got ${got} ${values}`.slice(0, 200));
    return values;
  }

  send({ binary, parts }) {
    parts.forEach((part, index) => {
      this.socket.send(Buffer.from(part, "base64"), { binary, fin: index === parts.length - 1 });
    });
  }

  async cameBack({ binary, parts }) {
    const expected = Buffer.concat(parts.map((part) => Buffer.from(part, "base64")));
    const [data, isBinary] = await this.next("message");
    return isBinary === binary && data.equals(expected);
  }

  // Whether everything came back, and the bytes on the wire.
  async run({ messages }) {
    const [sent, received] = [this.wire.bytesWritten, this.wire.bytesRead];
    messages.forEach((message) => this.send(message));
    let same = true;
    for (const message of messages) same = (await this.cameBack(message)) && same;
    return [same, [this.wire.bytesWritten - sent, this.wire.bytesRead - received]];
  }
}

async function converse(client) {
  await client.next("open");
  const result = { answer: client.answer, different: [], wire: {} };
  for (const step of task.steps) {
    const [same, wire] = await client.run(step);
    result.wire[step.name] = wire;
    if (!same) result.different.push(step.name);
  }
  client.socket.close(1000);
  [result.close] = await client.next("close");
  return result;
}

async function main() {
  const results = [];
  for (const offer of task.offers) {
    const client = new Client(offer);
    // Whatever goes wrong, the spec shows it.
    results.push(await converse(client).catch((error) => ({ error: error.message })));
    client.socket.terminate();
  }
  process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit());
}

// Whatever happens, the process ends by itself.
setTimeout(() => process.exit(1), 18000);
main();
