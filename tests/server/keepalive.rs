//! Peers that vanish, that stall, and connections that nobody uses.

use std::{
    thread,
    time::{Duration, Instant},
};

use em_websocket::server::{ConnectionOptions, Flush, Keepalive};

use crate::{
    client::{connect, request, Client},
    reactor::{ignore, Reactor, Seen, Setup, PATIENCE},
    support::{machine::abrupt, Kind, DRAFTS, RFC_6455},
};

const SOON: Duration = Duration::from_millis(100);

fn watching(interval: Duration, timeout: Duration) -> Reactor {
    Reactor::with_options(ConnectionOptions {
        keepalive: Some(Keepalive { interval, timeout }),
        ..ConnectionOptions::default()
    })
}

#[test]
fn a_peer_that_answers_no_ping_is_gone() {
    let reactor = watching(SOON, SOON);
    let begin = Instant::now();
    let mut client = Client::open(reactor.addr());
    // It reads, and says nothing.
    assert_eq!(client.next().0, Kind::Ping);
    assert_eq!(reactor.wait_for_closed(), abrupt());
    assert!(begin.elapsed() >= SOON * 2);
    assert_eq!(reactor.server().stats().unanswered, 1);
}

#[test]
fn a_peer_that_answers_stays_and_the_application_does_not_hear_of_it() {
    let reactor = watching(SOON / 4, SOON * 20);
    let mut client = Client::open(reactor.addr());
    for _ in 0..5 {
        let (kind, body) = client.next();
        assert_eq!(kind, Kind::Ping);
        client.send(Kind::Pong, &body);
    }
    // A pong of its own is told.
    client.send(Kind::Pong, b"mine");
    assert_eq!(reactor.wait_for(|seen| matches!(seen, Seen::Message(..))).1, pong(b"mine"));
    drop(client);
    reactor.wait_for_closed();
}

fn pong(body: &[u8]) -> Seen {
    Seen::Message(em_websocket::server::MessageKind::Pong, body.to_vec())
}

#[test]
fn a_pong_that_answers_no_ping_of_ours_is_told_whatever_it_says() {
    let reactor = watching(SOON, SOON * 20);
    let mut client = Client::open(reactor.addr());
    // Bodies that an application may choose for its own pings.
    for body in ["", "keepalive", "keepalive 0000000000000000"] {
        client.send(Kind::Pong, body.as_bytes());
        let told = reactor.wait_for(|seen| matches!(seen, Seen::Message(..))).1;
        assert_eq!(told, pong(body.as_bytes()));
    }
    let (kind, body) = client.next();
    assert_eq!(kind, Kind::Ping);
    // The second one answers nothing.
    client.send(Kind::Pong, &body);
    client.send(Kind::Pong, &body);
    assert_eq!(reactor.wait_for(|seen| matches!(seen, Seen::Message(..))).1, pong(&body));
    client.send(Kind::Pong, b"last");
    assert_eq!(reactor.wait_for(|seen| matches!(seen, Seen::Message(..))).1, pong(b"last"));
}

#[test]
fn drafts_without_pings_are_left_alone() {
    let reactor = watching(SOON / 10, SOON / 10);
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        let mut client = Client::on(connect(reactor.addr()), draft);
        client.handshake();
        thread::sleep(SOON);
        client.echo(b"still here");
    }
}

#[test]
fn a_connection_without_messages_is_closed_with_1001() {
    let idle_timeout = Some(SOON * 4);
    let reactor =
        Reactor::with_options(ConnectionOptions { idle_timeout, ..ConnectionOptions::default() });
    let mut client = Client::open(reactor.addr());
    let begin = Instant::now();
    for _ in 0..6 {
        client.echo(b"busy");
        thread::sleep(SOON);
    }
    let (kind, body) = client.next();
    assert_eq!((kind, &body[..2]), (Kind::Close, &[3, 0xe9][..]));
    assert!(begin.elapsed() >= SOON * 9, "{:?}", begin.elapsed());
    client.send(Kind::Close, &body);
    let info = reactor.wait_for_closed();
    assert_eq!((info.code.0, info.was_clean), (1001, true));
    assert_eq!(reactor.server().stats().idle, 1);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off() {
    let write_timeout = Some(SOON * 3);
    let reactor = Reactor::start(Setup {
        options: ConnectionOptions { write_timeout, ..ConnectionOptions::default() },
        act: Box::new(ignore),
        ..Setup::default()
    });
    let stalled = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let payload = vec![b'x'; 1_000_000];
    while handle.outbound_len() == 0 {
        handle.send_binary(&payload, Flush::Now).unwrap();
    }
    let begin = Instant::now();
    assert_eq!(reactor.wait_for_closed(), abrupt());
    assert!(begin.elapsed() >= SOON * 2);
    assert_eq!(reactor.server().stats().stalled, 1);
    drop(stalled);
}

/// It takes a little each time, and never all of it.
#[test]
fn a_slow_peer_is_not_cut_off() {
    let write_timeout = Some(SOON * 5);
    let reactor = Reactor::start(Setup {
        options: ConnectionOptions { write_timeout, ..ConnectionOptions::default() },
        act: Box::new(ignore),
        ..Setup::default()
    });
    let mut slow = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let payload = vec![b'x'; 1_000_000];
    let mut sent = 0;
    while handle.outbound_len() < 8_000_000 {
        handle.send_binary(&payload, Flush::Now).unwrap();
        sent += 1;
    }
    for number in 0..sent {
        assert_eq!(slow.next().1.len(), payload.len(), "{number}");
        thread::sleep(SOON / 4);
    }
}

#[test]
fn the_application_has_no_longer_than_the_handshake_may_take() {
    let reactor = Reactor::with_options(ConnectionOptions {
        asks_application: true,
        handshake_timeout: SOON,
        ..ConnectionOptions::default()
    });
    let mut client = Client::connect(reactor.addr());
    client.write(&request(&RFC_6455));
    reactor.wait_for(|seen| *seen == Seen::Asked);
    assert!(client.rest().is_empty());
    let refused = Seen::Rejected("Opening handshake timed out".into());
    assert_eq!(reactor.wait_for(|seen| matches!(seen, Seen::Rejected(_))).1, refused);
    assert_eq!(reactor.server().stats().failed.get("timed_out"), Some(&1));
    assert!(PATIENCE > SOON);
}

#[test]
fn the_application_hears_when_enough_is_written() {
    let reactor = Reactor::start(Setup { act: Box::new(ignore), ..Setup::default() });
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_high_water(4_000_000);
    let payload = vec![b'x'; 1_000_000];
    let mut sent = 0;
    while handle.outbound_len() <= 4_000_000 {
        handle.send_binary(&payload, Flush::Now).unwrap();
        sent += 1;
    }
    for _ in 0..sent {
        client.next();
    }
    reactor.wait_for(|seen| *seen == Seen::Drained);
    assert!(handle.outbound_len() <= 2_000_000);
}
