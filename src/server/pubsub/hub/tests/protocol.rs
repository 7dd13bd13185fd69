use std::{io::Read, net::Shutdown};

use redis::PushKind::{Subscribe, Unsubscribe};

use super::*;

#[test]
fn commands_are_answered_in_their_order() {
    let served = Served::new();
    let mut client = served.connect();
    let pair = |name: &str, value: Value| (text(name), value);
    let Value::Map(greeting) = client.ask(&["hello", "3", "AUTH", "default", "secret"]) else {
        panic!("no map")
    };
    assert!(greeting.contains(&pair("proto", Value::Int(3))));
    assert!(greeting.contains(&pair("version", text("7.0.0"))));
    let requests: [&[&str]; 7] = [
        &["CLIENT", "SETINFO", "LIB-NAME", "test"],
        &["SELECT", "3"],
        &["PING"],
        &["PING", "hello"],
        &["CONFIG", "GET", "appendonly"],
        &["CONFIG", "GET", "save"],
        &["SCRIPT", "LOAD", "return 1"],
    ];
    client.write(&requests.map(request).concat());
    let replies = [
        Value::Okay,
        Value::Okay,
        Value::SimpleString("PONG".into()),
        text("hello"),
        Value::Map(vec![pair("appendonly", text("no"))]),
        Value::Map(vec![]),
        text("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
    ];
    for (reply, request) in replies.into_iter().zip(requests) {
        assert_eq!(client.read(), reply, "{request:?}");
    }
    let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(refusal(client.ask(&["EVALSHA", digest, "0"])), "NOSCRIPT No matching script");
}

#[test]
fn a_hub_tells_what_it_is_and_no_two_are_the_same() {
    let run_id = || {
        let Value::VerbatimString { text, .. } = Served::new().connect().ask(&["INFO", "server"])
        else {
            panic!("no text")
        };
        for line in ["redis_version:7.0.0", "redis_mode:standalone", "role:master"] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        let run_id = text.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap().to_owned();
        assert!(run_id.len() == 40 && run_id.bytes().all(|it| it.is_ascii_hexdigit()), "{run_id}");
        run_id
    };
    assert_ne!(run_id(), run_id());
}

#[test]
fn a_command_that_is_not_known_or_lacks_something_is_refused_and_nothing_else() {
    let served = Served::new();
    let mut client = served.connect();
    for (request, reply) in [
        (&["FLUSHALL"][..], "ERR unknown command 'FLUSHALL'"),
        (&["PUBLISH", "a"], "ERR wrong number of arguments for 'publish' command"),
        (&["HELLO"], "NOPROTO unsupported protocol version"),
        (&["HELLO", "2"], "NOPROTO unsupported protocol version"),
        (&["CONFIG", "SET", "a", "b"], "ERR unknown subcommand of 'config'"),
        (&["EVALSHA", "a", "9"], "NOSCRIPT No matching script"),
    ] {
        assert_eq!(refusal(client.ask(request)), reply);
    }
    client.write(b"*0\r\n");
    assert_eq!(client.ask(&["PING"]), Value::SimpleString("PONG".into()));
}

#[test]
fn garbage_disconnects_its_sender_and_nobody_else() {
    let served = Served::new();
    let mut other = served.connect();
    for garbage in ["GET / HTTP/1.1\r\n", "*99\r\n", "*1\r\n$99999999\r\n", "*1\r\n$1\r\nabc"] {
        let mut client = served.connect();
        client.write(&request(&["SUBSCRIBE", "a"]));
        client.write(garbage.as_bytes());
        assert!(client.is_cut(), "{garbage:?}");
    }
    wait_until("they are gone", || served.members() == 1);
    assert_eq!(other.ask(&["PUBLISH", "a", "b"]), Value::Int(0));
}

#[test]
fn messages_go_to_those_that_are_subscribed() {
    let served = Served::new();
    let [mut first, mut second, mut third] = [(); 3].map(|()| served.connect());
    let acknowledged = |kind, name, count| push(kind, vec![text(name), Value::Int(count)]);
    assert_eq!(first.ask(&["SUBSCRIBE", "a", "b", "a"]), acknowledged(Subscribe, "a", 1));
    assert_eq!(first.read(), acknowledged(Subscribe, "b", 2));
    assert_eq!(first.read(), acknowledged(Subscribe, "a", 2));
    assert_eq!(second.ask(&["SUBSCRIBE", "a"]), acknowledged(Subscribe, "a", 1));
    assert_eq!(third.ask(&["PUBLISH", "a", "one\r\n"]), Value::Int(2));
    assert_eq!(third.ask(&["PUBLISH", "b", ""]), Value::Int(1));
    assert_eq!([first.read(), first.read()], [message("a", "one\r\n"), message("b", "")]);
    assert_eq!(second.read(), message("a", "one\r\n"));
    // Somebody that publishes where it is subscribed has the message before the reply.
    assert_eq!(second.ask(&["PUBLISH", "a", "two"]), message("a", "two"));
    assert_eq!(second.read(), Value::Int(2));
    assert_eq!(first.read(), message("a", "two"));

    assert_eq!(first.ask(&["UNSUBSCRIBE", "a", "c"]), acknowledged(Unsubscribe, "a", 1));
    assert_eq!(first.read(), acknowledged(Unsubscribe, "c", 1));
    assert_eq!(first.ask(&["UNSUBSCRIBE"]), acknowledged(Unsubscribe, "b", 0));
    let none = push(Unsubscribe, vec![Value::Nil, Value::Int(0)]);
    assert_eq!(first.ask(&["UNSUBSCRIBE"]), none);
    second.stream.get_ref().shutdown(Shutdown::Both).unwrap();
    wait_until("it has left", || served.members() == 2);
    assert_eq!(third.ask(&["PUBLISH", "a", "three"]), Value::Int(0));
    assert!(served.hub.shared.lock().subscriptions(0).is_empty());
}

#[test]
fn a_large_message_comes_whole() {
    let served = Served::new();
    let [mut subscriber, mut publisher] = [(); 2].map(|()| served.connect());
    subscriber.ask(&["SUBSCRIBE", "a"]);
    let large = "x".repeat(40 << 20);
    let sent = request(&["PUBLISH", "a", &large]);
    let publishing = thread::spawn(move || {
        publisher.write(&sent);
        publisher.read()
    });
    assert_eq!(subscriber.read(), message("a", &large));
    assert_eq!(publishing.join().unwrap(), Value::Int(1));
}

#[test]
fn all_members_see_all_messages_in_one_order() {
    const MESSAGES: usize = 3_000;
    let served = Served::new();
    let subscribers = [(); 3].map(|()| {
        let mut client = served.connect();
        client.ask(&["SUBSCRIBE", "a", "b"]);
        client.read();
        client
    });
    let publishers: Vec<_> = ["p", "q", "r"]
        .into_iter()
        .map(|name| {
            let mut client = served.connect();
            thread::spawn(move || {
                for number in 0..MESSAGES {
                    let channel = if number % 3 == 0 { "b" } else { "a" };
                    client.send(&["PUBLISH", channel, &format!("{name} {number}")]);
                }
                (0..MESSAGES).for_each(|_| assert_eq!(client.read(), Value::Int(3)));
            })
        })
        .collect();
    let seen = subscribers.map(|mut client| {
        let payload = |value| match value {
            Value::Push { data, .. } => match &data[1] {
                Value::BulkString(payload) => String::from_utf8_lossy(payload).into_owned(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        (0..3 * MESSAGES).map(|_| payload(client.read())).collect::<Vec<_>>()
    });
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert!(seen[0] == seen[1] && seen[0] == seen[2]);
    for name in ["p", "q", "r"] {
        let own = seen[0].iter().filter_map(|it| it.strip_prefix(name)?[1..].parse::<usize>().ok());
        assert!(own.eq(0..MESSAGES), "{name}");
    }
}

#[test]
fn a_member_that_does_not_read_is_cut_and_others_go_on() {
    let served = Served::new();
    let [mut stalled, mut reading, mut publisher] = [(); 3].map(|()| served.connect());
    stalled.ask(&["SUBSCRIBE", "a"]);
    reading.ask(&["SUBSCRIBE", "a"]);
    let payload = "x".repeat(1 << 20);
    let mut receivers = Vec::new();
    for _ in 0..40 {
        let reply = publisher.ask(&["PUBLISH", "a", &payload]);
        receivers.push(reply);
        assert_eq!(reading.read(), message("a", &payload));
    }
    assert_eq!(receivers[..32], vec![Value::Int(2); 32]);
    assert_eq!(receivers.last(), Some(&Value::Int(1)));
    wait_until("it is cut", || served.members() == 2);
    assert!(stalled.is_cut());

    // One that sends requests, and does not read the replies.
    let mut deaf = served.connect();
    let ping = request(&["PING", &payload]);
    let written = (0..100).take_while(|_| deaf.stream.get_mut().write_all(&ping).is_ok()).count();
    assert!((32..100).contains(&written), "{written}");
    assert_eq!(publisher.ask(&["PING"]), Value::SimpleString("PONG".into()));
}

#[test]
fn members_that_read_are_not_cut_by_a_burst() {
    const MESSAGES: usize = 10_000;
    let served = Served::new();
    let subscribers = [(); 3].map(|()| {
        let mut client = served.connect();
        client.ask(&["SUBSCRIBE", "a"]);
        thread::spawn(move || {
            let (mut rest, mut buffer) = (3 * MESSAGES * 4_118, vec![0; 16 << 10]);
            while rest > 0 {
                match client.stream.read(&mut buffer).unwrap() {
                    0 => return false,
                    length => rest -= length,
                }
            }
            true
        })
    });
    let burst = request(&["PUBLISH", "a", &"x".repeat(4_085)]).repeat(MESSAGES);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = served.connect();
                let mut stream = client.stream.get_ref().try_clone().unwrap();
                scope.spawn({
                    let burst = &burst;
                    move || stream.write_all(burst).unwrap()
                });
                (0..MESSAGES).for_each(|_| assert_eq!(client.read(), Value::Int(3)));
            });
        }
    });
    assert_eq!(subscribers.map(|it| it.join().unwrap()), [true; 3]);
}

#[test]
fn a_hub_that_ends_disconnects_everybody() {
    let served = Served::new();
    let mut client = served.connect();
    client.ask(&["SUBSCRIBE", "a"]);
    let Served { runtime, hub, scratch } = served;
    assert_eq!(hub.inherited_fds().len(), 2);
    assert!(hub.is_serving());
    drop(hub);
    assert!(client.is_cut());
    drop((runtime, scratch));
}
