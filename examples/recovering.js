"use strict";

// A connection to recovering.rb that misses nothing: where it is lost, it comes back, and says how
// far it has come. For browsers, and for Node.js from 22 on.
//
//   const news = new Recovering("ws://127.0.0.1:8080/", {
//     began(messages) { /* nothing that came before counts; these are the last */ },
//     came(message) { /* each once, in order, whatever the network does */ },
//     changed(state) { /* "open" or "lost" */ },
//   });
//   news.send("hello");
//   news.close();

class Recovering {
  // Milliseconds until the first attempt, at most; each that fails doubles it, up to the last.
  static FIRST = 500;
  static LAST = 30_000;

  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    this.failures = 0;
    this.connect();
  }

  connect() {
    const url = new URL(this.url);
    if (this.position) url.searchParams.set("since", this.position);
    const socket = this.socket = new WebSocket(url);
    socket.onmessage = ({ data }) => this.heed(JSON.parse(data));
    socket.onclose = socket.onerror = () => this.retry(socket);
  }

  // Either a message in its envelope or, once all that was missed has come, how it goes on.
  heed({ message, position, recovered, kept }) {
    if (message !== undefined) {
      this.listener.came(message);
    } else {
      this.failures = 0;
      if (!recovered) this.listener.began(kept);
      this.listener.changed?.("open");
    }
    this.position = position;
  }

  // All who have lost their connections at once must not come back at once: the time is random.
  retry(socket) {
    socket.onclose = socket.onerror = socket.onmessage = null;
    this.listener.changed?.("lost");
    const most = Math.min(Recovering.LAST, Recovering.FIRST * 2 ** this.failures++);
    this.timer = setTimeout(() => this.connect(), Math.random() * most);
  }

  // Answers whether it could be sent; whether it has arrived, only its coming back says.
  send(text) {
    const isOpen = this.socket.readyState === WebSocket.OPEN;
    if (isOpen) this.socket.send(text);
    return isOpen;
  }

  close() {
    clearTimeout(this.timer);
    this.socket.onclose = this.socket.onerror = null;
    this.socket.close(1000);
  }
}
