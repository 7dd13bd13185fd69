//! Channels: who publishes, subscribes and leaves at once, and the drivers that bring subscribers up
//! to date.

use std::{sync::Arc, time::Duration};

use loom::thread;

use super::{
    join,
    writing::{receive, take_frames, TEXT},
    Site,
};
use crate::server::{
    channels::{Channels, Except, History, Mailbox, MailboxKind, Slow, Taken},
    config::QueueLimits,
    handle::Handle,
    models::{model, spawn, spawn_task},
    outbound::{broadcast::Broadcast, Flush},
};

fn publish(channels: &Channels, text: &str) {
    let message = Broadcast::text(text.as_bytes());
    channels.publish(b"c", message, Except::Nobody, Flush::Now).unwrap();
}

fn subscribe(channels: &Channels, handle: &Handle) {
    channels.subscribe(handle, b"c", None, 9, Flush::Now).unwrap();
}

fn keep(channels: &Channels) {
    channels.keep_history(b"c", History { size: 9, ttl: Duration::MAX, envelope: None });
}

fn take(channels: &Channels, mailbox: &Mailbox) -> Vec<Vec<u8>> {
    let mail = std::iter::from_fn(|| match channels.take_mail(mailbox)? {
        Taken::Message(message) => Some(message.payload().to_vec()),
        Taken::Ruled => None,
    });
    mail.collect()
}

/// Payloads of one publisher, which begin with its letter, in the order they came in.
fn of(letter: u8, frames: &[(u8, Vec<u8>)]) -> Vec<&[u8]> {
    assert!(frames.iter().all(|(first, _)| *first == TEXT));
    let payloads = frames.iter().map(|(_, payload)| &payload[..]);
    payloads.filter(|payload| payload.first() == Some(&letter)).collect()
}

#[test]
fn what_two_threads_publish_comes_once_and_in_the_order_of_each_before_what_it_sends() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 99);
        let channels = Arc::new(Channels::default());
        subscribe(&channels, &handle);
        let (a, b, own) = (Arc::clone(&channels), Arc::clone(&channels), handle.clone());
        let threads = [
            spawn_task(driver),
            spawn(move || {
                publish(&a, "a0");
                publish(&a, "a1");
            }),
            spawn(move || {
                publish(&b, "b0");
                own.send_text(b"b1", Flush::Now).unwrap();
            }),
        ];
        let frames = receive(&peer, 4);
        assert_eq!(of(b'a', &frames), [b"a0", b"a1"]);
        assert_eq!(of(b'b', &frames), [b"b0", b"b1"]);
        channels.unsubscribe_all(&handle);
        handle.abort();
        join(threads);
    });
}

#[test]
fn a_slow_subscriber_whose_messages_wait_in_the_channel_has_the_last_one_in_the_end() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 3);
        let channels = Arc::new(Channels::default());
        channels.treat_slow(b"c", Slow::Drop { keep: 1 });
        subscribe(&channels, &handle);
        let a = Arc::clone(&channels);
        let threads = [
            spawn_task(driver),
            spawn(move || {
                publish(&a, "a0");
                publish(&a, "a1");
                publish(&a, "a2");
            }),
        ];
        let mut wire = Vec::new();
        while !wire.ends_with(b"a2") {
            wire.extend(peer.receive());
        }
        let frames = take_frames(&mut wire);
        assert!(wire.is_empty(), "{wire:?}");
        assert!(of(b'a', &frames).is_sorted_by(|before, after| before < after), "{frames:?}");
        channels.unsubscribe_all(&handle);
        handle.abort();
        join(threads);
    });
}

#[test]
fn who_subscribes_since_a_position_while_it_is_published_misses_nothing_and_has_nothing_twice() {
    model(3, || {
        let channels = Arc::new(Channels::default());
        keep(&channels);
        let first = channels.publish(b"c", Broadcast::text(b"0"), Except::Nobody, Flush::Now);
        let a = Arc::clone(&channels);
        let publisher = thread::spawn(move || {
            publish(&a, "1");
            publish(&a, "2");
        });
        let mailbox = channels.open_mailbox(MailboxKind::Application);
        let since = first.unwrap().position;
        let subscribed = channels.subscribe_mailbox(&mailbox, b"c", since, 9).unwrap().unwrap();
        assert_eq!(subscribed.recovered, Some(true));
        publisher.join().unwrap();
        assert_eq!(take(&channels, &mailbox), [b"1", b"2"]);
    });
}

/// As `Mail.deliver`: whoever has published brings what waits.
fn deliver(channels: &Channels, mailbox: &Mailbox, got: &loom::sync::Mutex<Vec<Vec<u8>>>) {
    while channels.has_mail() && channels.take_mailbox().is_some() {
        // The monitor of the receiver.
        let mut got = got.lock().unwrap();
        got.extend(take(channels, mailbox));
    }
}

#[test]
fn no_mail_is_left_behind_when_all_who_have_published_have_delivered() {
    model(3, || {
        let channels = Arc::new(Channels::default());
        let mailbox = channels.open_mailbox(MailboxKind::Application);
        channels.subscribe_mailbox(&mailbox, b"c", None, 9).unwrap();
        let got = Arc::new(loom::sync::Mutex::new(Vec::new()));
        let threads = ["a", "b"].map(|text| {
            let (channels, mailbox, got) =
                (Arc::clone(&channels), Arc::clone(&mailbox), Arc::clone(&got));
            thread::spawn(move || {
                publish(&channels, text);
                deliver(&channels, &mailbox, &got);
            })
        });
        join(threads);
        let mut got = std::mem::take(&mut *got.lock().unwrap());
        got.sort();
        assert_eq!(got, [b"a", b"b"]);
    });
}

#[test]
fn a_channel_that_one_leaves_as_another_comes_is_there_for_who_is_in_it() {
    model(3, || {
        let channels = Arc::new(Channels::default());
        let [a, b] = [(); 2].map(|()| channels.open_mailbox(MailboxKind::Application));
        channels.subscribe_mailbox(&a, b"c", None, 9).unwrap();
        let leaves = {
            let channels = Arc::clone(&channels);
            thread::spawn(move || channels.close_mailbox(&a))
        };
        channels.subscribe_mailbox(&b, b"c", None, 9).unwrap();
        publish(&channels, "x");
        leaves.join().unwrap();
        assert_eq!(take(&channels, &b), [b"x"]);
        channels.close_mailbox(&b);
        let stats = channels.stats();
        assert_eq!((stats.channels, stats.subscriptions), (0, 0));
    });
}

#[test]
fn a_connection_that_ends_as_it_subscribes_is_in_no_channel() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 99);
        let channels = Arc::new(Channels::default());
        let (own, ends) = (handle.clone(), handle.clone());
        let subscribes = Arc::clone(&channels);
        let threads = [
            spawn_task(driver),
            spawn(move || subscribe(&subscribes, &own)),
            spawn(move || ends.abort()),
        ];
        join(threads);
        drop((handle, peer));
        let stats = channels.stats();
        assert_eq!((stats.channels, stats.subscriptions), (0, 0));
    });
}
