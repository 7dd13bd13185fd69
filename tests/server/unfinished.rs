//! Messages that are not complete: they count, and are in nobody's way.

use std::{thread, time::Duration};

use em_websocket::{
    protocol::{deflate, Limits},
    server::{ConnectionOptions, QueueLimits, ServerOptions},
};
use flate2::{Compress, Compression, FlushCompress};

use crate::{
    by_hand::wait_until,
    client::{request, Client},
    reactor::{echo, Reactor, Seen, Setup},
    support::{Frame, Kind, Length, RFC_6455},
};

const KIB: usize = 1024;

/// Memory that each connection may hold, however little room there is: a small message, and a read.
const EACH: usize = 64 * KIB;

fn reactor(total: usize, options: ConnectionOptions) -> Reactor {
    let queue = QueueLimits { total, ..QueueLimits::default() };
    let server = ServerOptions { queue, ..ServerOptions::default() };
    Reactor::start(Setup { options, server, act: Box::new(echo), ..Setup::default() })
}

/// The header of a binary message of so many bytes, and as many of them as come for the time being.
fn beginning(len: usize, come: usize) -> Vec<u8> {
    let length = Length::Bits64(len as u64);
    let plain = RFC_6455.plain(Kind::Binary, true, &[]);
    let mut bytes = RFC_6455.encode(&Frame { length, masked: false, ..plain });
    bytes.resize(bytes.len() + come, b'x');
    bytes
}

fn waiting(reactor: &Reactor) -> usize {
    reactor.server().stats().waiting.bytes as usize
}

/// Has everybody begin a message that is larger than all of them may hold together, and go on with
/// it a while later.
#[test]
fn messages_that_are_begun_together_and_ended_later_all_arrive() {
    const CLIENTS: usize = 8;
    const LEN: usize = 900 * KIB;
    let total = 1024 * KIB;
    let limits = Limits { message: 1000 * KIB, ..Limits::default() };
    let options = ConnectionOptions { limits, ..ConnectionOptions::default() };
    let reactor = reactor(total, options);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::open(reactor.addr())).collect();
    for client in &mut clients {
        client.write(&beginning(LEN, LEN / 2));
    }
    wait_until("there is no room", || waiting(&reactor) >= total / 2);
    let most = total + LEN + CLIENTS * EACH;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(5));
        assert!(waiting(&reactor) <= most, "{} bytes are held, and not {most}", waiting(&reactor));
    }
    // Clients that send small messages are heard meanwhile, and one that sends a large one.
    let mut small = Client::open(reactor.addr());
    for _ in 0..50 {
        small.echo(b"small");
    }
    small.echo(&[b'l'; 90 * KIB]);

    let threads = clients.into_iter().rev().map(|mut client| {
        thread::spawn(move || {
            client.write(&[b'x'; LEN - LEN / 2]);
            assert!(client.next() == (Kind::Binary, vec![b'x'; LEN]));
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    wait_until("nothing is held", || waiting(&reactor) == 0);
    assert_eq!(reactor.server().stats().waiting.messages, 0);
}

/// A client that has agreed to compression.
fn compressing(reactor: &Reactor) -> Client<std::net::TcpStream> {
    let mut client = Client::connect(reactor.addr());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n";
    let request = String::from_utf8(request(&RFC_6455)).unwrap();
    client.write(format!("{}\r\n{offer}", request.trim_end()).as_bytes());
    client.expect_status("101");
    client
}

/// A compressed frame of so many bytes that are all alike.
fn compressed(last: bool, len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(len / 500 + 1000);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(&vec![b'a'; len], &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - 4);
    RFC_6455.encode(&Frame { reserved: 0b100, ..RFC_6455.plain(Kind::Binary, last, &payload) })
}

#[test]
fn inflated_bytes_of_incomplete_messages_are_bounded() {
    const LEN: usize = 4096 * KIB;
    let total = 1024 * KIB;
    let limits = Limits { message: LEN, ..Limits::default() };
    let compression = Some(deflate::Config::default());
    let options = ConnectionOptions { limits, compression, ..ConnectionOptions::default() };
    let reactor = reactor(total, options);
    let mut clients: Vec<_> = (0..6).map(|_| compressing(&reactor)).collect();
    let frame = compressed(false, LEN - 1);
    clients.iter_mut().for_each(|client| client.write(&frame));
    wait_until("one of them has come as far as it can", || waiting(&reactor) >= LEN);
    let most = total + LEN + LEN / 16 + clients.len() * EACH;
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(5));
        assert!(waiting(&reactor) <= most, "{} bytes are held, and not {most}", waiting(&reactor));
    }
    let mut small = compressing(&reactor);
    small.write(&compressed(true, 100));
    assert_eq!(small.next().0, Kind::Binary);
    // Clients that go away leave their places to others; the last of them is heard to the end.
    let mut last = clients.pop().unwrap();
    drop(clients);
    last.write(&RFC_6455.fragment(Kind::Continuation, true, b""));
    let heard = |seen: &Seen| matches!(seen, Seen::Message(_, bytes) if bytes.len() == LEN - 1);
    reactor.wait_for(heard);
}

#[test]
fn a_burst_of_compressed_messages_waits_at_the_sender() {
    const LEN: usize = 3 * 1024 * KIB;
    let compression = Some(deflate::Config::default());
    let queue = QueueLimits { bytes: 256 * KIB, ..QueueLimits::default() };
    let server = ServerOptions { queue, ..ServerOptions::default() };
    let options = ConnectionOptions { compression, ..ConnectionOptions::default() };
    let reactor = Reactor::start(Setup { options, server, ..Setup::default() });
    let mut client = compressing(&reactor);
    reactor.wait_for_open();
    let asleep = reactor.hold();
    client.write(&compressed(true, LEN).repeat(8));
    wait_until("a message waits", || reactor.server().stats().waiting.messages > 0);
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(5));
        let waiting = waiting(&reactor);
        assert!(waiting <= LEN + LEN / 16 + 256 * KIB, "{waiting} bytes wait");
    }
    drop(asleep);
    for _ in 0..8 {
        reactor.wait_for(|seen| matches!(seen, Seen::Message(_, bytes) if bytes.len() == LEN));
    }
}

#[test]
fn messages_without_a_payload_count_for_what_they_take() {
    const CLIENTS: usize = 20;
    let total = 256 * KIB;
    let reactor = reactor(total, ConnectionOptions::default());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::open(reactor.addr())).collect();
    (0..CLIENTS).for_each(|_| drop(reactor.wait_for_open()));
    let asleep = reactor.hold();
    let empty = RFC_6455.frame(Kind::Ping, b"").repeat(6_000);
    clients.iter_mut().for_each(|client| client.write(&empty));
    wait_until("they wait", || waiting(&reactor) >= total);
    thread::sleep(Duration::from_millis(50));
    // One read goes past it.
    let stats = reactor.server().stats().waiting;
    assert!(stats.bytes as usize <= total + 8 * 1024 * 64 + KIB, "{stats:?}");
    assert!(stats.messages as usize <= stats.bytes as usize / 64, "{stats:?}");
    drop(asleep);
    wait_until("nothing waits", || waiting(&reactor) == 0);
}
