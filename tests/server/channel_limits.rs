//! Limits of all channels together, and the end of channels that nobody touches any more.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use em_websocket::server::{
    channels::{
        ChannelError, Channels, Envelope, Except, History, Mailbox, MailboxKind, Publication, Slow,
        Taken, HISTORY_BYTES,
    },
    Broadcast, Flush,
};

use crate::reactor::{Reactor, PATIENCE};

fn publish(channels: &Channels, name: &str, text: &str) -> Publication {
    let message = Broadcast::text(text.as_bytes());
    channels.publish(name.as_bytes(), message, Except::Nobody, Flush::Now).unwrap()
}

fn keep(channels: &Channels, size: usize, ttl: Duration) {
    channels.keep_history(b"*", History { size, ttl, envelope: None });
}

fn kept(channels: &Channels, name: &str) -> Vec<String> {
    let kept = channels.history(name.as_bytes(), None, usize::MAX).unwrap().unwrap();
    let text = |message: &Broadcast| String::from_utf8(message.payload().to_vec()).unwrap();
    kept.iter().map(|(_, message)| text(message)).collect()
}

fn take(channels: &Channels, mailbox: &Mailbox) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Taken::Message(message)) = channels.take_mail(mailbox) {
        all.push(String::from_utf8(message.payload().to_vec()).unwrap());
    }
    all
}

const FOREVER: Duration = Duration::MAX;

#[test]
fn all_subscriptions_together_are_limited_and_those_that_are_there_stay() {
    let reactor = Reactor::echo();
    let channels = Channels::default();
    channels.limit_subscriptions(3);
    let mailbox = channels.open_mailbox(MailboxKind::Application);
    for name in [b"a", b"b"] {
        assert!(channels.subscribe_mailbox(&mailbox, name, None, 9).unwrap().unwrap().is_new);
    }
    let _client = crate::client::Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let subscribe = |name: &[u8]| channels.subscribe(&handle, name, None, 9, Flush::Now);
    assert!(subscribe(b"a").unwrap().unwrap().is_new);
    assert_eq!(subscribe(b"b"), Err(ChannelError::TooManyOfAll(3)));
    let another = channels.subscribe_mailbox(&mailbox, b"c", None, 9);
    assert_eq!(another, Err(ChannelError::TooManyOfAll(3)));
    assert_eq!(channels.stats().subscriptions, 3);
    assert_eq!(channels.stats().channels, 2);
    // Once more is nothing, and who leaves makes room.
    assert!(!subscribe(b"a").unwrap().unwrap().is_new);
    assert_eq!(channels.unsubscribe_mailbox(&mailbox, b"a"), Ok(true));
    assert!(subscribe(b"c").unwrap().unwrap().is_new);
    assert_eq!(channels.unsubscribe_all(&handle), 2);
    channels.close_mailbox(&mailbox);
    let stats = channels.stats();
    assert_eq!((stats.subscriptions, stats.channels), (0, 0));
    let gone = channels.subscribe_mailbox(&mailbox, b"c", None, 9);
    assert_eq!(gone, Ok(None));
    assert_eq!(channels.stats().channels, 0);
}

#[test]
fn past_the_bytes_of_all_histories_the_oldest_messages_go_and_nobody_misses_them_silently() {
    let channels = Channels::default();
    keep(&channels, 1_000, FOREVER);
    let text = "x".repeat(10_000);
    let early = publish(&channels, "early", &text).position.unwrap();
    for number in 0..100 {
        publish(&channels, &format!("channel {}", number % 10), &text);
    }
    let full = channels.stats().bytes;
    assert!((2_000_000..4_000_000).contains(&full), "{full} bytes");
    channels.limit_history_bytes(1_000_000);
    for _ in 0..100 {
        let last = publish(&channels, "late", &text);
        let bytes = channels.stats().bytes;
        assert!(bytes <= 1_000_000, "{bytes} bytes");
        assert!(last.position.is_some());
    }
    assert!(kept(&channels, "early").is_empty());
    assert!(channels.history(b"early", Some(early), 9).unwrap().is_none());
    assert!(kept(&channels, "late").len() > 20, "{}", kept(&channels, "late").len());
    // What is larger than all of it is delivered, and not kept.
    let mailbox = channels.open_mailbox(MailboxKind::Application);
    channels.subscribe_mailbox(&mailbox, b"late", None, 9).unwrap();
    let large = "y".repeat(1_000_000);
    assert_eq!(publish(&channels, "late", &large).receivers, 1);
    assert_eq!(take(&channels, &mailbox), [large]);
    assert!(channels.stats().bytes <= 1_000_000);
    // A million is what it is now, and not what it was.
    channels.limit_history_bytes(HISTORY_BYTES);
    publish(&channels, "late", &"z".repeat(1_000_000));
    assert_eq!(kept(&channels, "late").len(), 1);
}

#[test]
fn a_channel_that_nobody_touches_is_let_go_when_its_messages_are_over() {
    // Somebody has threads.
    let _reactor = Reactor::echo();
    let channels = Channels::default();
    keep(&channels, 10, Duration::from_millis(50));
    for number in 0..1_000 {
        publish(&channels, &number.to_string(), "x");
    }
    assert_eq!(channels.stats().channels, 1_000);
    let begin = Instant::now();
    while channels.stats().channels > 0 {
        assert!(begin.elapsed() < PATIENCE, "{} are left", channels.stats().channels);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(channels.stats().bytes, 0);
    // One with subscribers stays, without its messages.
    let mailbox = channels.open_mailbox(MailboxKind::Application);
    channels.subscribe_mailbox(&mailbox, b"stays", None, 9).unwrap();
    publish(&channels, "stays", "x");
    let begin = Instant::now();
    while channels.stats().bytes > 0 {
        assert!(begin.elapsed() < PATIENCE, "it is still kept");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(channels.stats().channels, 1);
}

#[test]
fn who_has_missed_nothing_is_known_again_where_there_is_nobody_and_nothing_any_more() {
    let channels = Channels::default();
    let ttl = Duration::from_millis(700);
    keep(&channels, 10, ttl);
    let mailbox = channels.open_mailbox(MailboxKind::Application);
    let come_back = |name: &[u8], since| {
        let subscribed = channels.subscribe_mailbox(&mailbox, name, since, 9).unwrap().unwrap();
        assert!(channels.unsubscribe_mailbox(&mailbox, name).unwrap());
        (subscribed.recovered, subscribed.position)
    };
    let (_, empty) = come_back(b"empty", None);
    assert_eq!(come_back(b"empty", empty), (Some(true), empty));
    let missed = publish(&channels, "full", "1").position;
    let newest = publish(&channels, "full", "2").position;
    let begin = Instant::now();
    while !channels.history(b"full", None, 9).unwrap().unwrap().is_empty() {
        assert!(begin.elapsed() < PATIENCE, "it is still kept");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(come_back(b"full", newest), (Some(true), newest));
    assert_eq!(come_back(b"full", missed), (Some(false), newest));
    // Time does not count that somebody was there in.
    publish(&channels, "full", "3");
    assert_eq!(channels.history(b"full", newest, 9).unwrap().map(|kept| kept.len()), Some(1));
}

#[test]
fn names_that_nobody_uses_any_more_cost_no_channel_its_messages() {
    let _reactor = Reactor::echo();
    let channels = Channels::default();
    keep(&channels, 10, FOREVER);
    channels.limit_history_bytes(100_000);
    publish(&channels, "kept", &"x".repeat(10_000));
    let mailbox = channels.open_mailbox(MailboxKind::Application);
    assert!(channels.subscribe_mailbox(&mailbox, b"refused", None, 0).is_err());
    assert_eq!(channels.stats().channels, 1, "one that nobody has come to is not kept");
    for number in 0..10_000 {
        let name = format!("name {number}");
        channels.subscribe_mailbox(&mailbox, name.as_bytes(), None, 9).unwrap();
        channels.unsubscribe_mailbox(&mailbox, name.as_bytes()).unwrap();
    }
    let stats = channels.stats();
    assert!(stats.bytes <= 100_000 && stats.channels < 200, "{stats:?}");
    assert!(stats.channels > 10, "{stats:?}");
    assert_eq!(channels.history(b"kept", None, 9).unwrap().map(|kept| kept.len()), Some(1));
}

#[test]
fn mailboxes_have_messages_without_and_connections_with_their_envelope() {
    let channels = Channels::default();
    let envelope = Some(Envelope::new("%{offset} %{message}").unwrap());
    channels.keep_history(b"*", History { size: 9, ttl: FOREVER, envelope });
    let block = channels.open_mailbox(MailboxKind::Application);
    let kind = MailboxKind::Connection { is_text_only: true };
    let connection = channels.open_mailbox(kind);
    let since = publish(&channels, "a", "0").position;
    publish(&channels, "a", "1");
    for mailbox in [&block, &connection] {
        let subscribed = channels.subscribe_mailbox(mailbox, b"a", since, 9).unwrap().unwrap();
        assert_eq!(subscribed.recovered, Some(true));
    }
    assert!(channels.has_mail());
    let binary = channels.publish(b"a", Broadcast::binary(b"x"), Except::Nobody, Flush::Now);
    assert_eq!(binary.err(), Some(ChannelError::BinaryInEnvelope));
    let message = Broadcast::text(b"2");
    channels.publish(b"a", message, Except::Mailbox(&block), Flush::Now).unwrap();
    assert_eq!(take(&channels, &block), ["1"]);
    assert_eq!(take(&channels, &connection), ["2 \"1\"", "3 \"2\""]);
    assert_eq!(kept(&channels, "a"), ["0", "1", "2"]);
}

#[test]
fn a_mailbox_of_a_slow_subscriber_keeps_what_the_rule_says_and_loses_nothing_else() {
    let channels = Channels::default();
    channels.treat_slow(b"ticker", Slow::Drop { keep: 2 });
    channels.keep_history(b"*", History { size: 9, ttl: FOREVER, envelope: None });
    let mailbox = channels.open_mailbox(MailboxKind::Connection { is_text_only: false });
    for name in [&b"ticker"[..], b"all"] {
        channels.subscribe_mailbox(&mailbox, name, None, 9).unwrap();
    }
    let begun = publish(&channels, "ticker", "1").position;
    for text in ["2", "3", "4"] {
        publish(&channels, "ticker", text);
        publish(&channels, "all", text);
    }
    let take_while = |is_slow| {
        let mut all = Vec::new();
        while let Some(taken) = channels.take_mail(&mailbox) {
            all.extend(match taken {
                Taken::Message(message) => Some(message),
                Taken::Ruled => channels.take_ruled_mail(&mailbox, is_slow),
            });
        }
        let text = |it: &Arc<Broadcast>| String::from_utf8(it.payload().to_vec()).unwrap();
        all.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(take_while(true), ["2", "3", "4"], "of the channel without a rule");
    assert!(channels.is_behind(&mailbox));
    assert_eq!(channels.stats().dropped, 2);
    publish(&channels, "ticker", "5");
    assert_eq!(take_while(false), ["3", "4", "5"]);
    assert!(!channels.is_behind(&mailbox) && channels.take_held_mail(&mailbox).is_none());

    publish(&channels, "ticker", "6");
    assert!(take_while(true).is_empty());
    channels.treat_slow(b"ticker", Slow::Close);
    publish(&channels, "ticker", "7");
    assert_eq!(take_while(true), ["6", "7"], "the rule was taken back");

    channels.treat_slow(b"ticker", Slow::Drop { keep: 2 });
    publish(&channels, "ticker", "8");
    assert!(take_while(true).is_empty());
    channels.unsubscribe_mailbox(&mailbox, b"ticker").unwrap();
    assert!(!channels.is_behind(&mailbox), "it has left");
    channels.subscribe_mailbox(&mailbox, b"ticker", begun, 9).unwrap();
    assert_eq!(take_while(true), ["2", "3", "4", "5", "6", "7", "8"], "it has missed them");
    assert_eq!(channels.stats().dropped, 2);
}
