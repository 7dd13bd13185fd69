//! Conditions under which a driver does not read, and that it reads again.

use std::sync::atomic::Ordering::SeqCst;

use super::{frame, join, QueueOwner, Site};
use crate::{
    protocol::Limits,
    server::{
        config::QueueLimits,
        delivery::Delivery,
        handle::Handle,
        models::{model, spawn, spawn_task},
        outbound::Flush,
        owner::Owner,
        pause,
    },
};

const TEXT: u8 = 0x81;

/// Two connections, with two messages each, of a byte.
fn deliver(limits: QueueLimits) {
    let site = Site::new(limits);
    let mut owner = QueueOwner::new(&site);
    let (mut handles, mut threads) = (Vec::new(), Vec::new());
    let peers = [0, 1].map(|connection| {
        let (driver, handle, peer) = site.open(connection, 100);
        for number in 0..2 {
            peer.send(&frame(TEXT, &[b'0' + number]));
        }
        handles.push(handle);
        threads.push(spawn_task(driver));
        peer
    });
    let mut told = [b'0'; 2];
    while told != [b'2'; 2] {
        // What is not read yet when the limit is reached is not read then.
        for handle in &handles {
            assert!(handle.0.waiting().messages <= limits.messages as u64);
        }
        let record = owner.next();
        let connection = record.connection as usize;
        let Delivery::Message(_, span) = record.delivery else { panic!("{record:?}") };
        assert_eq!(owner.batch.bytes(span), [told[connection]], "of connection {connection}");
        told[connection] += 1;
    }
    for (handle, thread) in handles.iter().zip(threads) {
        handle.abort();
        join([thread]);
    }
    drop(peers);
}

#[test]
fn a_connection_whose_messages_have_been_delivered_is_read_again() {
    model(2, || deliver(QueueLimits { bytes: 1000, messages: 1, total: 1000 }));
}

#[test]
fn connections_that_rest_for_the_sake_of_all_are_read_again() {
    model(2, || deliver(QueueLimits { bytes: 1000, messages: 100, total: 1 }));
}

#[test]
fn a_connection_paused_by_its_own_limit_and_the_servers_is_read_again() {
    model(2, || deliver(QueueLimits { bytes: 1, messages: 100, total: 2 }));
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// An opening handshake with a message behind it, and another one later; `onopen` sends.
fn open(asks_application: bool, in_onopen: fn(&Handle), then: fn(QueueOwner)) {
    let site = Site::new(QueueLimits::default());
    let mut owner = QueueOwner::new(&site);
    let (driver, handle, peer) = site.accept(0, 1000, asks_application);
    let driver = spawn_task(driver);
    let peer = spawn(move || {
        peer.send(&[REQUEST, &frame(TEXT, b"m0")].concat());
        peer.send(&frame(TEXT, b"m1"));
        let mut wire = Vec::new();
        while !wire.ends_with(b"\x81\x02o0") {
            wire.extend(peer.receive());
        }
        assert!(wire.starts_with(b"HTTP/1.1 101 ") && wire.ends_with(b"\r\n\r\n\x81\x02o0"));
    });
    let Delivery::Open(opened) = owner.next().delivery else { panic!("it is not open") };
    if let Some(answer) = opened.response {
        handle.send_raw(&answer.to_bytes(), Flush::Now);
    }
    let opening = Owner::new(&handle).open(opened.profile);
    in_onopen(&handle);
    handle.send_text(b"o0", Flush::Now).unwrap();
    drop(opening);
    handle.set_paused(false);
    then(owner);
    handle.abort();
    join([driver, peer]);
}

fn has_both(mut owner: QueueOwner) {
    for text in [b"m0", b"m1"] {
        let record = owner.next();
        let Delivery::Message(_, span) = record.delivery else { panic!("{record:?}") };
        assert_eq!(owner.batch.bytes(span), text);
    }
}

#[test]
fn frames_behind_the_handshake_are_delivered_behind_onopen() {
    model(2, || open(false, |_| (), has_both));
}

#[test]
fn frames_behind_the_handshake_wait_where_the_application_answers_and_pauses() {
    model(2, || open(true, |handle| handle.set_paused(true), has_both));
}

#[test]
fn a_limit_that_is_set_in_onopen_holds_for_the_first_frame() {
    model(2, || {
        let limit = |handle: &Handle| handle.set_limits(Limits { frame: 1, ..Limits::default() });
        open(false, limit, |mut owner| {
            assert!(matches!(owner.next().delivery, Delivery::Error(_)));
        });
    });
}

/// As where a client's certificate is refused.
#[test]
fn a_connection_aborted_before_it_is_resumed_is_not_read() {
    model(3, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.accept(0, 1000, false);
        handle.0.pauses.fetch_or(pause::AWAITING_TLS_VERIFY, SeqCst);
        peer.send(REQUEST);
        let driver = spawn_task(driver);
        handle.abort();
        Owner::new(&handle).secured();
        join([driver]);
        assert_eq!(site.records(), ["Closed"]);
    });
}
