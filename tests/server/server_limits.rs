//! Bounds of a server for all of its connections together, and its counters.

use std::time::{Duration, Instant};

use bytes::Bytes;
use em_websocket::{
    protocol::deflate,
    server::{ConnectionOptions, Flush, QueueLimits, ServerOptions},
};

use crate::{
    client::{request, Client},
    reactor::{Reactor, Seen, Setup, PATIENCE},
    support::{Kind, RFC_6455},
};

#[test]
fn one_connection_too_many_is_turned_away() {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n";
    let reactor = Reactor::start(Setup {
        server: ServerOptions {
            max_connections: Some(2),
            rejection: Some(Bytes::from_static(answer)),
            ..ServerOptions::default()
        },
        ..Setup::default()
    });
    let mut first = Client::open(reactor.addr());
    let second = Client::open(reactor.addr());
    for _ in 0..3 {
        let mut third = Client::connect(reactor.addr());
        third.write(&request(&RFC_6455));
        assert_eq!(third.rest(), answer);
    }
    first.echo(b"unmoved");
    let stats = reactor.server().stats();
    assert_eq!((stats.open, stats.accepted, stats.rejected), (2, 2, 3));

    drop(second);
    reactor.wait_for_closed();
    // Its place is free once its driver is gone, too.
    while reactor.server().stats().open == 2 {
        std::thread::yield_now();
    }
    Client::open(reactor.addr()).echo(b"in its place");
}

#[test]
fn without_an_answer_one_too_many_is_just_closed() {
    let server = ServerOptions { max_connections: Some(0), ..ServerOptions::default() };
    let reactor = Reactor::start(Setup { server, ..Setup::default() });
    assert!(Client::connect(reactor.addr()).rest().is_empty());
}

/// While the queue's owner sleeps, no connection is read that would go past the server's limit; all
/// of them go on when it is awake, and nothing is lost.
#[test]
fn messages_that_wait_on_all_connections_together_are_bounded() {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 60;
    let queue = QueueLimits { total: 200_000, ..QueueLimits::default() };
    let server = ServerOptions { queue, ..ServerOptions::default() };
    let reactor = Reactor::start(Setup { server, ..Setup::default() });
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client::open(reactor.addr())).collect();
    for _ in 0..CLIENTS {
        reactor.wait_for(|seen| matches!(seen, Seen::Open(_)));
    }

    let asleep = reactor.hold();
    let writers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                for number in 0..MESSAGES {
                    client.send(Kind::Binary, &vec![number as u8; 50_000]);
                }
                for number in 0..MESSAGES {
                    assert_eq!(client.next(), (Kind::Binary, vec![number as u8; 50_000]));
                }
            })
        })
        .collect();
    // Each of them may have had one read.
    let bound = 200_000 + CLIENTS as u64 * 600_000;
    let begin = Instant::now();
    let mut full = 0;
    while full < 20 {
        std::thread::sleep(Duration::from_millis(10));
        let waiting = reactor.server().stats().waiting.bytes;
        assert!(waiting <= bound, "{waiting} bytes wait");
        assert!(begin.elapsed() < PATIENCE, "{waiting} bytes wait, and no more");
        full += u32::from(waiting >= 200_000);
    }
    drop(asleep);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let stats = reactor.server().stats();
    assert_eq!(stats.received.bytes, (CLIENTS * MESSAGES * 50_000) as u64);
    assert_eq!(stats.received.messages, (CLIENTS * MESSAGES) as u64);
}

#[test]
fn traffic_is_counted_while_connections_last_and_when_they_are_gone() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    client.echo(b"12345");
    client.send(Kind::Ping, b"not counted");
    client.next();
    let stats = reactor.server().stats();
    assert_eq!((stats.received.messages, stats.received.bytes), (1, 5));
    assert_eq!((stats.sent.messages, stats.sent.bytes), (1, 5));
    drop(client);
    let mut refused = Client::connect(reactor.addr());
    refused.write(b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n");
    refused.rest();
    while reactor.server().stats().open > 0 {
        std::thread::yield_now();
    }
    let stats = reactor.server().stats();
    assert_eq!((stats.received.messages, stats.sent.bytes, stats.accepted), (1, 5, 2));
    assert_eq!(stats.failed.into_iter().collect::<Vec<_>>(), [("not_upgrade", 1)]);
    assert_eq!((stats.waiting.messages, stats.outbound), (0, 0));
}

/// Bytes that cannot be made fewer, which takes the longest to find out.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}

/// There is one thread for all connections, and what is sent to one takes it long to compress.
#[test]
fn compressing_for_one_holds_up_nobody_else() {
    let compression = Some(deflate::Config::default());
    let reactor =
        Reactor::with_options(ConnectionOptions { compression, ..ConnectionOptions::default() });
    let mut bystander = Client::open(reactor.addr());
    reactor.wait_for_open();
    let mut client = Client::connect(reactor.addr());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let request = String::from_utf8(request(&RFC_6455)).unwrap();
    client.write(format!("{}\r\n{offer}", request.trim_end()).as_bytes());
    let handle = reactor.wait_for_open();
    let mut header = String::new();
    while !header.ends_with("\r\n\r\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut client.stream, &mut byte).unwrap();
        header.push(char::from(byte[0]));
    }

    handle.send_binary(&noise(16 << 20), Flush::Now).unwrap();
    bystander.echo(b"unmoved");
    // All of it counts until it is written, also while it is being compressed.
    assert!(handle.outbound_len() >= 16 << 20, "{} bytes left", handle.outbound_len());
    client.stream.set_nonblocking(true).unwrap();
    let early = std::io::Read::read(&mut client.stream, &mut [0]);
    let early = early.map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "it was compressed first");
}
