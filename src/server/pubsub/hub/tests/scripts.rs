//! Scripts, done by the hub and, where there is one, by Redis: by `redis-server`, or what
//! `REDIS_SERVER` says.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::server::pubsub::scripts::{LOAD, PUBLISH};

/// A client of one that runs scripts.
struct Runner {
    client: Client,
    publish: String,
    load: String,
}

impl Runner {
    fn new(mut client: Client) -> Self {
        let [publish, load] = [PUBLISH, LOAD].map(|script| {
            let Value::BulkString(digest) = client.ask(&["SCRIPT", "LOAD", script]) else {
                panic!("no digest")
            };
            String::from_utf8(digest).unwrap()
        });
        Self { client, publish, load }
    }

    fn publish_as(&mut self, room: &str, node: &str, arguments: &[&str]) -> Value {
        let keys = ["stream", "hash", node].map(|kind| format!("{{{room}}}:{kind}"));
        let [stream, hash, node] = &keys;
        let mut request = vec!["EVALSHA", &self.publish, "3", stream, hash, node];
        request.extend(arguments);
        self.client.ask(&request)
    }

    /// Publishes `payload`, numbered `number`; `epoch offset`.
    fn publish(&mut self, room: &str, epoch: &str, ttl: &str, number: &str, kept: &str) -> String {
        let (generation, epoch) = epoch.split_once('/').unwrap();
        let arguments = [generation, epoch, ttl, room, "line", "payload", number, kept];
        words(self.publish_as(room, "node", &arguments))
    }

    fn load_with(&mut self, room: &str, arguments: &[&str]) -> Value {
        let keys = ["stream", "hash"].map(|kind| format!("{{{room}}}:{kind}"));
        let [stream, hash] = &keys;
        let mut request = vec!["EVALSHA", &self.load, "2", stream, hash];
        request.extend(arguments);
        self.client.ask(&request)
    }

    /// Loads; `epoch end offset…`.
    fn load(&mut self, room: &str, arguments: [&str; 7]) -> String {
        let Value::Array(mut reply) = self.load_with(room, &arguments) else { panic!("no array") };
        let Some(Value::Array(messages)) = reply.pop() else { panic!("no array") };
        let now = words(reply.pop().unwrap());
        assert!(now.parse::<u64>().unwrap() > 1_700_000_000_000, "{now}");
        let mut all = words(Value::Array(reply));
        for message in messages {
            let message = words(message);
            let (line, payload) = message.split_once('\n').unwrap();
            let [head, _, offset, at] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert_eq!((head, payload), ("line", "payload"));
            assert!(at.parse::<u64>().unwrap() <= now.parse().unwrap());
            all = format!("{all} {offset}");
        }
        all
    }
}

/// Bulk strings of a reply; anything else is not equal to what is expected.
fn words(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        Value::Array(values) => values.into_iter().map(words).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

/// Redis on a socket.
struct Redis {
    process: Child,
    scratch: Scratch,
}

impl Redis {
    fn start() -> Option<Self> {
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let scratch = Scratch::new();
        let process = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(scratch.socket())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        wait_until("it listens", || UnixStream::connect(scratch.socket()).is_ok());
        Some(Self { process, scratch })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tests with the hub, and with Redis.
fn on_each(test: impl Fn(&mut dyn FnMut() -> Client)) {
    let served = Served::new();
    test(&mut || served.connect());
    if let Some(redis) = Redis::start() {
        test(&mut || {
            let mut client = Client::connect(&redis.scratch.socket());
            assert!(matches!(client.ask(&["HELLO", "3"]), Value::Map(_)));
            client
        });
    }
}

#[test]
fn messages_are_numbered_once_and_published() {
    on_each(|connect| {
        let (mut subscriber, mut runner) = (connect(), Runner::new(connect()));
        subscriber.ask(&["SUBSCRIBE", "room"]);
        for (number, reply) in [("5", "e1 1"), ("6", "e1 2"), ("6", "e1 0"), ("2", "e1 0")] {
            assert_eq!(runner.publish("room", "g/e1", "0", number, "10"), reply, "{number}");
        }
        let arguments = ["g", "e2", "0", "room", "line", "payload", "1", "10"];
        assert_eq!(words(runner.publish_as("room", "other", &arguments)), "e1 3");
        for offset in 1..=3 {
            let Value::Push { data, .. } = subscriber.read() else { panic!("no push") };
            let message = words(data[1].clone());
            assert!(message.starts_with(&format!("line e1 {offset} ")), "{message}");
            assert!(message.ends_with("\npayload"), "{message}");
        }
        // Another generation, and a message that is known: nothing begins.
        assert_eq!(runner.publish("room", "h/e3", "0", "6", "10"), "e3 0");
        assert_eq!(runner.load("room", ["g", "x", "0", "10", "", "", "10"]), "e1 3 1 2 3");
        assert_eq!(runner.publish("room", "h/e3", "0", "7", "10"), "e3 1");
        assert_eq!(runner.load("room", ["h", "x", "0", "10", "e1", "3", "10"]), "e3 1 1");
        // The first generation again is another one.
        assert_eq!(runner.load("room", ["g", "e4", "0", "10", "e1", "3", "10"]), "e4 0");
        assert_eq!(runner.publish("room", "g/e5", "0", "8", "10"), "e4 1");
    });
}

#[test]
fn messages_are_loaded_page_by_page() {
    on_each(|connect| {
        let mut runner = Runner::new(connect());
        assert_eq!(runner.load("room", ["g", "e", "0", "5", "", "", "10"]), "e 0");
        for number in 1..=8 {
            let reply = runner.publish("room", "g/x", "0", &number.to_string(), "5");
            assert_eq!(reply, format!("e {number}"));
        }
        for (kept, epoch, after, count, reply) in [
            ("5", "", "", "10", "e 8 4 5 6 7 8"),
            ("9", "", "", "10", "e 8 4 5 6 7 8"),
            ("2", "e", "1", "10", "e 8 7 8"),
            ("5", "e", "5", "2", "e 8 6 7"),
            ("5", "e", "7", "2", "e 8 8"),
            ("5", "e", "8", "2", "e 8"),
            ("5", "e", "99", "2", "e 8"),
            ("5", "other", "7", "1", "e 8 4"),
            ("0", "", "", "10", "e 8"),
        ] {
            let arguments = ["g", "x", "0", kept, epoch, after, count];
            assert_eq!(runner.load("room", arguments), reply, "{arguments:?}");
        }
    });
}

#[test]
fn what_is_kept_is_kept_for_its_time_and_within_its_number() {
    on_each(|connect| {
        let mut runner = Runner::new(connect());
        let all = ["g", "x", "0", "100", "", "", "100"];
        for (number, kept, reply) in [
            ("1", "3", "e 1 1"),
            ("2", "3", "e 2 1 2"),
            ("3", "2", "e 3 2 3"),
            ("4", "0", "e 4"),
            ("5", "9", "e 5 5"),
        ] {
            runner.publish("room", "g/e", "0", number, kept);
            assert_eq!(runner.load("room", all), reply, "{number}");
        }
        runner.publish("short", "g/e", "300", "1", "10");
        assert_eq!(runner.load("short", all), "e 1 1");
        thread::sleep(Duration::from_millis(400));
        assert_eq!(runner.load("short", all), "e 1");
        thread::sleep(Duration::from_millis(300));
        assert_eq!(runner.load("short", ["g", "e2", "0", "100", "", "", "100"]), "e2 0");
    });
}

/// As of Redis 7.2, it is the other way round there.
#[test]
fn what_is_published_where_one_is_subscribed_comes_before_the_reply() {
    let served = Served::new();
    let mut runner = Runner::new(served.connect());
    runner.client.ask(&["SUBSCRIBE", "room"]);
    let arguments = ["g", "e", "0", "room", "line", "payload", "1", "10"];
    let pushed = runner.publish_as("room", "node", &arguments);
    assert!(matches!(pushed, Value::Push { .. }), "{pushed:?}");
    assert_eq!(words(runner.client.read()), "e 1");
}

#[test]
fn calls_that_lack_something_are_refused() {
    let served = Served::new();
    let mut runner = Runner::new(served.connect());
    for (arguments, reply) in [
        (&["g", "e", "0", "room", "line", "payload", "1"][..], "ERR wrong number of keys"),
        (&["g", "e", "x", "room", "line", "payload", "1", "1"], "ERR value is not an integer"),
        (&["g", "e", "0", "room", "line", "payload", "x", "1"], "ERR value is not an integer"),
        (&["g", "e", "0", "room", "line", "payload", "1", "x"], "ERR value is not an integer"),
    ] {
        let refused = refusal(runner.publish_as("room", "node", arguments));
        assert!(refused.starts_with(reply), "{refused}");
    }
    for count in ["-1", "1", "9", "x"] {
        let request = ["EVALSHA", &runner.load.clone(), count, "a", "b"];
        assert!(refusal(runner.client.ask(&request)).starts_with("ERR "), "{count}");
    }
    assert_eq!(runner.load("room", ["g", "e", "0", "10", "", "", "10"]), "e 0");
}
