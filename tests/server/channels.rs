//! Channels: what is published goes to all who are subscribed, once, in order, and to nobody else.

use std::{
    collections::HashMap,
    net::TcpStream,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Mutex, MutexGuard, PoisonError,
    },
    thread,
    time::{Duration, Instant},
};

use em_websocket::server::{
    channels::{channels, ChannelError, Except, History, Position, Slow, Subscribed},
    Broadcast, Flush, Handle, Sent,
};

use crate::{
    client::Client,
    reactor::{Reactor, PATIENCE},
    support::{Draft, Kind, DRAFTS},
};

/// Number of subscribers that are sent to by a task; fewer by whoever publishes.
const MANY: usize = 70;

const LIMIT: usize = 100;

fn subscribe(handle: &Handle, name: &str) -> Subscribed {
    subscribe_since(handle, name, None)
}

fn subscribe_since(handle: &Handle, name: &str, since: Option<Position>) -> Subscribed {
    channels().subscribe(handle, name.as_bytes(), since, LIMIT, Flush::Now).unwrap().unwrap()
}

fn publish(name: &str, text: &str) -> usize {
    publish_with(name, text, Flush::Now)
}

fn publish_with(name: &str, text: &str, flush: Flush) -> usize {
    let message = Broadcast::text(text.as_bytes());
    channels().publish(name.as_bytes(), message, Except::Nobody, flush).unwrap().receivers
}

fn history(name: &str, since: Option<Position>, limit: usize) -> Option<Vec<(u64, String)>> {
    let kept = channels().history(name.as_bytes(), since, limit).unwrap()?;
    let text = |message: &Broadcast| String::from_utf8(message.payload().to_vec()).unwrap();
    Some(kept.iter().map(|(position, message)| (position.offset, text(message))).collect())
}

fn open(reactor: &Reactor, count: usize) -> Vec<(Client<TcpStream>, Handle)> {
    let open = |_| (Client::open(reactor.addr()), reactor.wait_for_open());
    (0..count).map(open).collect()
}

fn open_in(reactor: &Reactor, draft: Draft) -> (Client<TcpStream>, Handle) {
    let mut client = Client::on(crate::client::connect(reactor.addr()), draft);
    client.handshake();
    (client, reactor.wait_for_open())
}

/// Turns are the process's, and tests run side by side.
fn turns() -> MutexGuard<'static, ()> {
    static TURNS: Mutex<()> = Mutex::new(());
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_publication_goes_to_the_subscribers_of_its_channel_in_every_draft() {
    let reactor = Reactor::echo();
    let mut all: Vec<_> = DRAFTS.iter().map(|draft| open_in(&reactor, *draft)).collect();
    for (_, handle) in &all {
        subscribe(handle, "drafts");
    }
    let (mut other, outsider) = open(&reactor, 1).pop().unwrap();
    subscribe(&outsider, "drafts of others");

    assert_eq!(publish("drafts", "one"), DRAFTS.len());
    assert_eq!(publish("nobody's", "two"), 0);
    assert_eq!(publish("drafts of others", "three"), 1);
    for (client, _) in &mut all {
        client.expect(Kind::Text, b"one");
    }
    other.expect(Kind::Text, b"three");

    let bytes = Broadcast::binary(b"\xFF");
    let with_binary: Vec<_> =
        all.iter_mut().filter(|(client, _)| !client.draft().sentinel).collect();
    let publication = channels().publish(b"drafts", bytes, Except::Nobody, Flush::Now).unwrap();
    assert_eq!(publication.receivers, with_binary.len());
    for (client, _) in with_binary {
        client.expect(Kind::Binary, b"\xFF");
    }
}

#[test]
fn one_connection_may_be_left_out() {
    let reactor = Reactor::echo();
    let mut all = open(&reactor, 3);
    for (_, handle) in &all[..2] {
        subscribe(handle, "but one");
    }
    for (left_out, receivers) in [(1, 1), (2, 2)] {
        let (message, except) = (Broadcast::text(b"x"), &all[left_out].1);
        let publication = channels()
            .publish(b"but one", message, Except::Connection(except), Flush::Now)
            .unwrap();
        assert_eq!(publication.receivers, receivers);
    }
    publish("but one", "then");
    all[0].0.expect(Kind::Text, b"x");
    for (client, _) in &mut all[..2] {
        client.expect(Kind::Text, b"x");
        client.expect(Kind::Text, b"then");
    }
}

#[test]
fn nothing_that_is_sent_to_one_overtakes_what_was_published_before() {
    let _turns = turns();
    let reactor = Reactor::echo();
    for count in [1, MANY] {
        let mut all = open(&reactor, count);
        for (_, handle) in &all {
            subscribe(handle, "before");
        }
        for flush in [Flush::Now, Flush::Later] {
            for _ in 0..20 {
                assert_eq!(publish_with("before", "published", flush), count);
                match all[count - 1].1.send_text(b"sent", flush).unwrap() {
                    Sent::Unflushed(_) => all[count - 1].1.flush(),
                    sent => assert_eq!(sent, Sent::Bytes(6)),
                }
            }
            channels().end_turn();
            for _ in 0..20 {
                for (client, _) in &mut all {
                    client.expect(Kind::Text, b"published");
                }
                all[count - 1].0.expect(Kind::Text, b"sent");
            }
        }
        // A close is behind it, too.
        publish_with("before", "last", Flush::Later);
        for (client, handle) in &mut all {
            handle.close(None, "");
            client.expect(Kind::Text, b"last");
            client.expect(Kind::Close, b"");
        }
        drop(all);
        wait_until("they leave", || publish("before", "x") == 0);
    }
}

#[test]
fn a_turn_leaves_in_one_write_whoever_published_it() {
    let _turns = turns();
    let reactor = Reactor::echo();
    let (mut client, handle) = open(&reactor, 1).pop().unwrap();
    for name in ["turn a", "turn b"] {
        subscribe(&handle, name);
    }
    publish_with("turn a", "1", Flush::Later);
    publish_with("turn b", "2", Flush::Later);
    publish_with("turn a", "3", Flush::Later);
    client.stream.set_nonblocking(true).unwrap();
    assert!(client.stream.peek(&mut [0]).is_err(), "nothing has left");
    client.stream.set_nonblocking(false).unwrap();
    channels().end_turn();
    // Of each channel in its order.
    let mut seen = [client.next().1, client.next().1, client.next().1].concat();
    let place = |number| seen.iter().position(|it| *it == number);
    assert!(place(b'1') < place(b'3'));
    seen.sort_unstable();
    assert_eq!(seen, b"123");
}

#[test]
fn a_subscription_is_one_however_often_it_is_made_and_ends_when_it_is_asked_to() {
    let reactor = Reactor::echo();
    let (mut client, handle) = open(&reactor, 1).pop().unwrap();
    assert!(subscribe(&handle, "ends").is_new);
    assert!(!subscribe(&handle, "ends").is_new);
    assert_eq!(publish("ends", "once"), 1);
    publish_with("ends", "before the end", Flush::Later);
    assert_eq!(channels().unsubscribe(&handle, b"ends"), Ok(true));
    assert_eq!(channels().unsubscribe(&handle, b"ends"), Ok(false));
    assert_eq!(publish("ends", "after"), 0);
    for name in ["ends", "these", "all"] {
        subscribe(&handle, name);
    }
    let mut names = handle.subscriptions();
    names.sort();
    assert_eq!(names, [b"all".to_vec(), b"ends".to_vec(), b"these".to_vec()]);
    assert_eq!(channels().unsubscribe_all(&handle), 3);
    assert!(handle.subscriptions().is_empty());
    for text in ["once", "before the end"] {
        client.expect(Kind::Text, text.as_bytes());
    }
    client.echo(b"nothing else");
}

#[test]
fn a_connection_that_ends_leaves_its_channels_however_it_ends() {
    let reactor = Reactor::echo();
    type End = fn(Client<TcpStream>, &Handle);
    let ends: [(&str, End); 4] = [
        ("leaves", |client, _| drop(client)),
        ("closes", |mut client, _| {
            client.send(Kind::Close, b"");
            client.rest();
        }),
        ("is closed", |mut client, handle| {
            handle.close(None, "");
            client.send(Kind::Close, b"");
            client.rest();
        }),
        ("is aborted", |_, handle| handle.abort()),
    ];
    for (name, end) in ends {
        let (client, handle) = open(&reactor, 1).pop().unwrap();
        subscribe(&handle, "until the end");
        assert_eq!(publish("until the end", "x"), 1);
        end(client, &handle);
        wait_until(name, || publish("until the end", "x") == 0);
        assert!(handle.subscriptions().is_empty());
        assert_eq!(channels().subscribe(&handle, b"x", None, LIMIT, Flush::Now), Ok(None));
    }
}

#[test]
fn a_channel_refuses_an_invalid_name_and_a_subscription_too_many() {
    let reactor = Reactor::echo();
    let (_client, handle) = open(&reactor, 1).pop().unwrap();
    let long = vec![b'x'; 1 << 20];
    let names: [(&[u8], ChannelError); 4] = [
        (b"", ChannelError::EmptyName),
        (&long, ChannelError::LongName(1 << 20)),
        (&long[..256], ChannelError::LongName(256)),
        (b"\xFF", ChannelError::InvalidName),
    ];
    for (name, error) in names {
        let subscribed = channels().subscribe(&handle, name, None, LIMIT, Flush::Now);
        assert_eq!(subscribed, Err(error));
        assert_eq!(channels().unsubscribe(&handle, name), Err(error));
        let published = channels().publish(name, Broadcast::text(b""), Except::Nobody, Flush::Now);
        assert_eq!(published.err(), Some(error));
        assert!(channels().history(name, None, 1).is_err());
    }
    let limit = 3;
    for number in 0..5 {
        let name = format!("limited {number}");
        let result = channels().subscribe(&handle, name.as_bytes(), None, limit, Flush::Now);
        let expected = if number < 3 { Ok(()) } else { Err(ChannelError::TooMany(3)) };
        assert_eq!(result.map(drop), expected);
    }
    assert_eq!(publish("limited 2", "x"), 1);
    assert_eq!(publish("limited 3", "x"), 0);
}

#[test]
fn a_returning_subscriber_gets_what_it_missed_or_learns_that_it_is_lost() {
    let reactor = Reactor::echo();
    let (size, ttl) = (3, Duration::from_secs(60));
    channels().keep_history(b"kept:*", History { size, ttl, envelope: None });
    let position = |name: &str| {
        let (_client, handle) = open(&reactor, 1).pop().unwrap();
        let subscribed = subscribe(&handle, name);
        channels().unsubscribe(&handle, name.as_bytes()).unwrap();
        subscribed.position.unwrap()
    };
    publish("kept:a", "1");
    let seen = position("kept:a");
    for text in ["2", "3", "4"] {
        assert_eq!(publish("kept:a", text), 0);
    }
    let kept: Vec<_> = (2..5).map(|number| (number, number.to_string())).collect();
    assert_eq!(history("kept:a", None, 9), Some(kept.clone()));
    assert_eq!(history("kept:a", Some(seen), 2), Some(kept[..2].to_vec()));

    let (mut client, handle) = open(&reactor, 1).pop().unwrap();
    let subscribed = subscribe_since(&handle, "kept:a", Some(seen));
    assert_eq!(subscribed.recovered, Some(true));
    assert_eq!(subscribed.position.unwrap().offset, 4);
    publish("kept:a", "5");
    for text in ["2", "3", "4", "5"] {
        client.expect(Kind::Text, text.as_bytes());
    }
    let twice = channels().subscribe(&handle, b"kept:a", Some(seen), LIMIT, Flush::Now);
    assert_eq!(twice, Err(ChannelError::Subscribed));

    // One has gone by now; others were never there.
    let Position { epoch, offset } = seen;
    let elsewhere = position("kept:b");
    for (why, since) in [
        ("too old", seen),
        ("of another channel", Position { offset, ..elsewhere }),
        ("of another epoch", Position { epoch: epoch ^ 1, offset: 5 }),
        ("not there yet", Position { epoch, offset: 6 }),
    ] {
        let (mut client, handle) = open(&reactor, 1).pop().unwrap();
        let subscribed = subscribe_since(&handle, "kept:a", Some(since));
        assert_eq!(subscribed.recovered, Some(false), "{why}");
        assert_eq!(history("kept:a", Some(since), 9), None, "{why}");
        client.echo(b"nothing before");
    }
    assert_eq!(history("kept:nothing", None, 9), Some(Vec::new()));
    assert_eq!(history("kept:nothing", Some(seen), 9), None);
}

#[test]
fn a_channel_forgets_messages_older_than_its_history() {
    channels().keep_history(
        b"short:*",
        History { size: 3, ttl: Duration::from_millis(20), envelope: None },
    );
    publish("short:a", "1");
    wait_until("it is gone", || history("short:a", None, 9) == Some(Vec::new()));
}

#[test]
fn a_slow_subscriber_gets_the_newest_and_holds_up_nobody() {
    let reactor = Reactor::echo();
    let keep = 3;
    channels().treat_slow(b"ticker", Slow::Drop { keep });
    let mut all = open(&reactor, 2);
    for (_, handle) in &all {
        subscribe(handle, "ticker");
    }
    let (mut fast, _) = all.pop().unwrap();
    let (mut slow, handle) = all.pop().unwrap();
    let padding = "x".repeat(100_000);
    let number = |text: &[u8]| {
        let text = std::str::from_utf8(text).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    const LAST: u64 = 400;
    let mut most = 0;
    for n in 1..=LAST {
        assert_eq!(publish("ticker", &format!("{n} {padding}")), 2);
        assert_eq!(number(&fast.next().1), n);
        most = most.max(handle.outbound_len());
    }
    assert!(most < 1_000_000, "{most} bytes wait in the connection");
    let mut seen = vec![number(&slow.next().1)];
    while *seen.last().unwrap() < LAST {
        seen.push(number(&slow.next().1));
    }
    assert!(seen.is_sorted_by(|before, after| before < after));
    assert!(seen.len() < LAST as usize - 50, "{} messages came", seen.len());
    assert!(seen.ends_with(&[LAST - 2, LAST - 1, LAST]), "{seen:?}");
    assert!(channels().stats().dropped >= LAST - seen.len() as u64);
    publish("ticker", "401 then");
    assert_eq!(number(&slow.next().1), 401);
}

/// Each publisher's messages arrive once, in order, at everybody who is there all the time; others
/// come and go meanwhile.
#[test]
fn order_holds_while_many_publish_and_others_come_and_go() {
    let _turns = turns();
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 300;
    let reactor = Reactor::echo();
    for count in [3, MANY] {
        let mut all = open(&reactor, count);
        let mut guests = open(&reactor, 4);
        for (_, handle) in &all {
            subscribe(handle, "busy");
        }
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                scope.spawn(move || {
                    for number in 0..MESSAGES {
                        let flush = if number % 3 == 0 { Flush::Later } else { Flush::Now };
                        publish_with("busy", &format!("{publisher} {number}"), flush);
                    }
                    channels().end_turn();
                });
            }
            let is_over = &is_over;
            for (client, handle) in &mut guests {
                scope.spawn(move || {
                    while !is_over.load(SeqCst) {
                        subscribe(handle, "busy");
                        channels().unsubscribe(handle, b"busy").unwrap();
                    }
                    handle.send_text(b"end", Flush::Now).unwrap();
                    let mut last = HashMap::new();
                    loop {
                        let (_, text) = client.next();
                        if text == b"end" {
                            break;
                        }
                        follow(&mut last, &text, false);
                    }
                });
            }
            for (client, _) in &mut all {
                let mut last = HashMap::new();
                for _ in 0..PUBLISHERS * MESSAGES {
                    follow(&mut last, &client.next().1, true);
                }
            }
            is_over.store(true, SeqCst);
        });
        drop((all, guests));
        wait_until("they leave", || publish("busy", "x") == 0);
    }
}

/// Holds a message against the last one of its publisher's.
fn follow(last: &mut HashMap<String, usize>, text: &[u8], is_next: bool) {
    let text = std::str::from_utf8(text).unwrap();
    let (publisher, number) = text.split_once(' ').unwrap();
    let number: usize = number.parse().unwrap();
    let before = last.insert(publisher.to_owned(), number);
    if is_next {
        assert_eq!(number, before.map_or(0, |before| before + 1), "of {publisher}");
    } else {
        assert!(before.is_none_or(|before| before < number), "{before:?} before {number}");
    }
}
