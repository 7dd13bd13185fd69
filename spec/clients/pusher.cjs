// A conversation of two of npm's pusher-js with a server of Pusher's protocol, to which npm's pusher
// publishes. Prints what came of it as one line of JSON. Usage: node pusher.cjs PORT
"use strict";

const Pusher = require("pusher-js");
const Publisher = require("pusher");

const port = Number(process.argv[2]);
const publisher = new Publisher({ appId: "id", key: "key", secret: "secret", host: "127.0.0.1", port });
const clients = [];

// One client, who signs in as this user; `sign` answers for the application's server.
function client(user, { key = "key", sign } = {}) {
  const authorize = (channel, socket) =>
    publisher.authorizeChannel(socket, channel, { user_id: user, user_info: { name: `name ${user}` } });
  const pusher = new Pusher(key, {
    cluster: "", wsHost: "127.0.0.1", wsPort: port, forceTLS: false, enabledTransports: ["ws"],
    channelAuthorization: {
      customHandler: ({ channelName, socketId }, callback) =>
        callback(null, (sign || authorize)(channelName, socketId)),
    },
  });
  clients.push(pusher);
  return pusher;
}

const once = (emitter, event) =>
  new Promise((resolve) => {
    const heard = (data) => {
      emitter.unbind(event, heard);
      resolve(data);
    };
    emitter.bind(event, heard);
  });

async function connected(pusher) {
  await once(pusher.connection, "connected");
  return pusher.connection.socket_id;
}

async function subscribed(pusher, name) {
  const channel = pusher.subscribe(name);
  const data = await once(channel, "pusher:subscription_succeeded");
  return [channel, data];
}

// What comes on a channel, in order.
function heard(channel) {
  const events = [];
  channel.bind_global((event, data) => event.startsWith("pusher:") || events.push([event, data]));
  return events;
}

async function events(ada, adas, bob) {
  const [here] = await subscribed(ada, "news");
  const [there] = await subscribed(bob, "news");
  const [first, second] = [heard(here), heard(there)];
  await publisher.trigger("news", "hello", { text: "Grüße" });
  await publisher.trigger(["news", "nobody"], "others", "but one", { socket_id: adas });
  const last = Promise.all([once(here, "last"), once(there, "last")]);
  await publisher.triggerBatch([
    { channel: "news", name: "batch", data: { n: 1 } },
    { channel: "news", name: "last", data: "2" },
  ]);
  await last;
  return { first, second };
}

async function clientEvents(ada, bob) {
  const [here] = await subscribed(ada, "private-room");
  const [there] = await subscribed(bob, "private-room");
  const own = heard(here);
  const typing = once(there, "client-typing");
  here.trigger("client-typing", { who: "ada" });
  const came = await typing;
  const refused = once(ada.connection, "error");
  ada.channel("news").trigger("client-typing", {});
  return { came, own, refused: (await refused).data };
}

async function presence(ada, bob) {
  const [room] = await subscribed(ada, "presence-room");
  const added = once(room, "pusher:member_added");
  const [, members] = await subscribed(bob, "presence-room");
  const seen = { added: await added, members: members.members, me: members.me.id };
  seen.users = await (await publisher.get({ path: "/channels/presence-room/users" })).json();
  seen.channels = await (await publisher.get({
    path: "/channels", params: { filter_by_prefix: "presence-", info: "user_count" },
  })).json();
  const removed = once(room, "pusher:member_removed");
  bob.unsubscribe("presence-room");
  seen.removed = await removed;
  const away = once(room, "pusher:member_removed");
  await subscribed(bob, "presence-room");
  bob.disconnect();
  seen.gone = await away;
  return seen;
}

async function refusals() {
  const stranger = client("eve", { key: "guessed" });
  const unknown = await once(stranger.connection, "error");
  await new Promise((resolve) => setImmediate(resolve));
  const forger = client("eve", { sign: () => ({ auth: "key:forged" }) });
  await connected(forger);
  const refused = once(forger.connection, "error");
  forger.subscribe("private-room");
  return { unknown: unknown.error.data.code, after: stranger.connection.state, forged: (await refused).data };
}

async function main() {
  const ada = client("ada");
  const bob = client("bob");
  const [adas] = await Promise.all([connected(ada), connected(bob)]);
  return {
    events: await events(ada, adas, bob),
    clientEvents: await clientEvents(ada, bob),
    presence: await presence(ada, bob),
    refusals: await refusals(),
  };
}

const impatience = setTimeout(() => {
  console.log(JSON.stringify({ error: "timed out" }));
  process.exit(1);
}, 15000);

main()
  .catch((error) => ({ error: String(error.stack || JSON.stringify(error)) }))
  .then((result) => {
    console.log(JSON.stringify(result));
    clearTimeout(impatience);
    clients.forEach((one) => one.disconnect());
  });
