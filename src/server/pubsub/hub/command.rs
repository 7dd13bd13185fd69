//! Commands that the hub knows: those that its members, and the library that they speak through,
//! send.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    broker::Broker,
    resp::{bulk, error, head, message},
    script::{self, Script},
    store::Now,
    Shared,
};

const OK: Bytes = Bytes::from_static(b"+OK\r\n");

/// Request of a member.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) broker: &'a mut Broker,
    pub(super) who: u64,
    pub(super) now: Now,
    /// Elements behind the command's name.
    pub(super) arguments: &'a [&'a [u8]],
}

struct Command {
    name: &'static str,
    /// Number of arguments at least.
    arity: usize,
    run: fn(Call<'_>),
}

const COMMANDS: &[Command] = &[
    Command { name: "EVALSHA", arity: 2, run: eval },
    Command { name: "PUBLISH", arity: 2, run: publish },
    Command { name: "SUBSCRIBE", arity: 1, run: subscribe },
    Command { name: "UNSUBSCRIBE", arity: 0, run: unsubscribe },
    Command { name: "PING", arity: 0, run: ping },
    Command { name: "HELLO", arity: 0, run: hello },
    Command { name: "CLIENT", arity: 1, run: acknowledge },
    Command { name: "SELECT", arity: 1, run: acknowledge },
    Command { name: "INFO", arity: 0, run: info },
    Command { name: "CONFIG", arity: 2, run: config },
    Command { name: "SCRIPT", arity: 1, run: load_script },
];

/// Does a request, and sends what it answers.
pub(super) fn run(shared: &Shared, broker: &mut Broker, who: u64, now: Now, elements: &[&[u8]]) {
    let Some((name, arguments)) = elements.split_first() else { return };
    let is_meant = |command: &&Command| name.eq_ignore_ascii_case(command.name.as_bytes());
    let mut call = Call { shared, broker, who, now, arguments };
    match COMMANDS.iter().find(is_meant) {
        Some(command) if arguments.len() >= command.arity => (command.run)(call),
        Some(command) => {
            let name = command.name.to_ascii_lowercase();
            call.refuse(&format!("ERR wrong number of arguments for '{name}' command"));
        }
        None => {
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
            call.refuse(&format!("ERR unknown command '{name}'"));
        }
    }
}

impl Call<'_> {
    pub(super) fn reply(&mut self, reply: impl Into<Bytes>) {
        self.broker.send(self.who, [reply.into()]);
    }

    pub(super) fn refuse(&mut self, text: &str) {
        self.reply(error(text));
    }
}

fn acknowledge(mut call: Call<'_>) {
    call.reply(OK);
}

fn ping(mut call: Call<'_>) {
    match call.arguments.first() {
        None => call.reply(Bytes::from_static(b"+PONG\r\n")),
        Some(text) => {
            let mut out = BytesMut::new();
            bulk(&mut out, text);
            call.reply(out);
        }
    }
}

fn hello(mut call: Call<'_>) {
    if call.arguments.first() != Some(&b"3".as_slice()) {
        return call.refuse("NOPROTO unsupported protocol version");
    }
    let mut out = BytesMut::new();
    head(&mut out, '%', 7);
    for (name, value) in [("server", "redis"), ("version", VERSION), ("mode", "standalone")] {
        bulk(&mut out, name.as_bytes());
        bulk(&mut out, value.as_bytes());
    }
    bulk(&mut out, b"role");
    bulk(&mut out, b"master");
    bulk(&mut out, b"proto");
    head(&mut out, ':', 3);
    bulk(&mut out, b"id");
    head(&mut out, ':', call.who);
    bulk(&mut out, b"modules");
    head(&mut out, '*', 0);
    call.reply(out);
}

/// Version of the broker that the hub stands in for.
const VERSION: &str = "7.0.0";

fn info(mut call: Call<'_>) {
    let text = format!(
        "txt:# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\nrun_id:{}\r\n\
         # Replication\r\nrole:master\r\n",
        call.shared.run_id
    );
    call.reply(format!("={}\r\n{text}\r\n", text.len()));
}

/// `CONFIG GET`: nothing is written to a disk.
fn config(mut call: Call<'_>) {
    let [verb, names @ ..] = call.arguments else { return };
    if !verb.eq_ignore_ascii_case(b"GET") {
        return call.refuse("ERR unknown subcommand of 'config'");
    }
    let mut settings = vec!["appendonly", "appendfsync"];
    settings.retain(|it| names.iter().any(|name| name.eq_ignore_ascii_case(it.as_bytes())));
    let mut out = BytesMut::new();
    head(&mut out, '%', settings.len());
    for setting in settings {
        bulk(&mut out, setting.as_bytes());
        bulk(&mut out, b"no");
    }
    call.reply(out);
}

fn load_script(mut call: Call<'_>) {
    match call.arguments {
        [verb, text] if verb.eq_ignore_ascii_case(b"LOAD") => {
            let mut out = BytesMut::new();
            bulk(&mut out, script::sha1(text).as_bytes());
            call.reply(out);
        }
        _ => call.refuse("ERR unknown subcommand or wrong number of arguments for 'script'"),
    }
}

fn eval(mut call: Call<'_>) {
    let outcome = match Script::of(call.arguments[0]) {
        Some(Script::Publish) => script::publish(&mut call),
        Some(Script::Load) => script::load(&mut call),
        None => return call.refuse("NOSCRIPT No matching script"),
    };
    if let Err(refusal) = outcome {
        call.refuse(refusal);
    }
}

fn publish(mut call: Call<'_>) {
    let [channel, payload, ..] = call.arguments else { return };
    let message = message(channel, &[payload]);
    let receivers = call.broker.publish(channel, &message.push);
    call.reply(format!(":{receivers}\r\n"));
}

fn subscribe(mut call: Call<'_>) {
    for channel in call.arguments {
        let count = call.broker.subscribe(call.who, channel);
        acknowledge_subscription(&mut call, b"subscribe", Some(channel), count);
    }
}

fn unsubscribe(mut call: Call<'_>) {
    let all = call.broker.subscriptions(call.who);
    let all: Vec<&[u8]> = all.iter().map(|channel| &channel[..]).collect();
    let named = if call.arguments.is_empty() { &all[..] } else { call.arguments };
    if named.is_empty() {
        acknowledge_subscription(&mut call, b"unsubscribe", None, 0);
    }
    for channel in named {
        let count = call.broker.unsubscribe(call.who, channel);
        acknowledge_subscription(&mut call, b"unsubscribe", Some(channel), count);
    }
}

fn acknowledge_subscription(
    call: &mut Call<'_>,
    kind: &[u8],
    channel: Option<&[u8]>,
    count: usize,
) {
    let mut out = BytesMut::new();
    head(&mut out, '>', 3);
    bulk(&mut out, kind);
    match channel {
        Some(channel) => bulk(&mut out, channel),
        None => out.put_slice(b"_\r\n"),
    }
    head(&mut out, ':', count);
    call.reply(out);
}
