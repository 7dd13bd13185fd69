//! Senders faster than others take: both ways it is the sender that waits, and nobody else.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use em_websocket::server::{ConnectionOptions, Flush, MessageKind, QueueLimits};
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::{
    by_hand::{wait_until, ByHand},
    client::Client,
    reactor::{ignore, Reactor, Seen, Setup, PATIENCE},
    support::{machine::abrupt, Frame, Kind, RFC_6455},
};

/// More than ever comes.
const ENOUGH: usize = 1 << 40;

/// Writes until nothing is taken for a while; how much that was.
fn write_until_blocked(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(len) => written += len,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                break;
            }
        }
    }
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    written
}

/// Frames of so many bytes of payload, numbered; not masked, for there are many.
fn numbered(count: usize, len: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for number in 0..count {
        let payload = payload(number, len);
        let plain = RFC_6455.plain(Kind::Binary, true, &payload);
        frames.extend(RFC_6455.encode(&Frame { masked: false, ..plain }));
    }
    frames
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    payload
}

/// Floods a connection whose queue nobody empties, then empties it.
fn flood(queue_limits: QueueLimits, len: usize) {
    // More than the sockets hold.
    const TOTAL: usize = 40_000_000;
    let mut server = ByHand::new(queue_limits);
    let mut bystander = server.open(b"");
    let client = server.open(b"");
    set_socket_send_buffer_size(&client.stream, 65_536).unwrap();
    server.delivers = false;

    let count = TOTAL / len;
    let bytes = numbered(count, len);
    let mut written = 0;
    wait_until("the queue is full", || {
        written += write_until_blocked(&client.stream, &bytes[written..]);
        server.take();
        server.messages.len() >= queue_limits.messages || server.waiting() >= queue_limits.bytes
    });
    assert!(written < bytes.len(), "the sender must wait");
    // Nothing more comes, although nothing is left in the queue: it is not delivered.
    server.take();
    // One read may go past the limits, or one message.
    let (messages, waiting) = (server.messages.len(), server.waiting());
    assert!(messages <= queue_limits.messages + 65_536 / len + 1, "{messages} messages");
    assert!(waiting <= queue_limits.bytes + 65_536.max(len), "{waiting} bytes");

    // Others are heard meanwhile.
    bystander.send(Kind::Text, b"me too");
    server.wait_and_take();
    assert_eq!(server.messages.pop_back(), Some((0, b"me too".to_vec())));
    assert_eq!(server.messages.len(), messages);

    server.delivers = true;
    server.deliver();
    let rest = bytes[written..].to_vec();
    let mut stream = client.stream.try_clone().unwrap();
    let writer = thread::spawn(move || stream.write_all(&rest).unwrap());
    for number in 0..count {
        if server.messages.is_empty() {
            server.wait_and_take();
        }
        let (_, message) = server.messages.pop_front().unwrap();
        assert!(message == payload(number, len), "in order: {number}");
    }
    writer.join().unwrap();
}

#[test]
fn a_flood_of_bytes_waits_at_the_sender() {
    flood(QueueLimits { bytes: 100_000, messages: ENOUGH, total: ENOUGH }, 10_000);
}

#[test]
fn a_flood_of_messages_waits_at_the_sender() {
    flood(QueueLimits { bytes: ENOUGH, messages: 50, total: ENOUGH }, 2_000);
}

#[test]
fn a_flood_of_large_messages_waits_at_the_sender() {
    flood(QueueLimits { bytes: 1_000_000, messages: 4_096, total: ENOUGH }, 1_500_000);
}

#[test]
fn a_flood_of_messages_of_some_size_waits_at_the_sender() {
    flood(QueueLimits { bytes: 1_000_000, messages: 4_096, total: ENOUGH }, 40_000);
}

#[test]
fn a_large_message_lets_no_flood_of_tiny_ones_through() {
    const TINY: usize = 260_000;
    let limits = QueueLimits { bytes: 10_000_000, messages: 100, ..QueueLimits::default() };
    let mut server = ByHand::new(limits);
    let client = server.open(b"");
    set_socket_send_buffer_size(&client.stream, 4_000_000).unwrap();
    server.delivers = false;
    let large = Frame { masked: false, ..RFC_6455.plain(Kind::Binary, true, &[7; 60_000]) };
    let tiny = Frame { masked: false, ..RFC_6455.plain(Kind::Binary, true, b"") };
    let mut bytes = RFC_6455.encode(&large).repeat(3);
    bytes.extend(RFC_6455.encode(&tiny).repeat(TINY));
    let mut stream = client.stream.try_clone().unwrap();
    let writer = thread::spawn(move || stream.write_all(&bytes).unwrap());
    wait_until("the queue is full", || {
        server.take();
        server.messages.len() >= limits.messages
    });
    thread::sleep(Duration::from_millis(100));
    server.take();
    let waiting = server.messages.len();
    assert!(waiting <= limits.messages + 32_768, "{waiting} messages");

    server.delivers = true;
    server.deliver();
    while server.messages.len() < 3 + TINY {
        server.wait_and_take();
    }
    assert!(server.messages.drain(..3).all(|(_, message)| message == [7; 60_000]));
    assert!(server.messages.iter().all(|(_, message)| message.is_empty()));
    writer.join().unwrap();
}

#[test]
fn messages_of_all_sizes_keep_their_bytes_and_their_order() {
    const SIZES: [usize; 10] = [4, 20_000, 5, 70_000, 16_384, 6, 300_000, 16_383, 600_000, 7];
    const CLIENTS: u32 = 3;
    const MESSAGES: usize = 300;
    let len = |number: usize| SIZES[number * 7 % SIZES.len()];
    let mut server = ByHand::new(QueueLimits::default());
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.open(b"")).collect();
    let writers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                for number in 0..MESSAGES {
                    client.send(Kind::Binary, &payload(number, len(number)));
                }
                client
            })
        })
        .collect();
    let mut next = [0; CLIENTS as usize];
    while next.iter().any(|next| *next < MESSAGES) {
        server.wait_and_take();
        for (connection, message) in server.messages.drain(..) {
            let next = &mut next[connection as usize];
            assert!(message == payload(*next, len(*next)), "{connection}: {next}");
            *next += 1;
        }
    }
    writers.into_iter().for_each(|writer| drop(writer.join().unwrap()));
}

#[test]
fn frames_wait_until_the_application_is_done_with_its_opening() {
    let mut server = ByHand::new(QueueLimits::default());
    server.opens = false;
    let mut early = server.open(&RFC_6455.frame(Kind::Text, b"early"));
    early.send(Kind::Text, b"and");
    server.opens = true;
    // Whoever comes later is heard meanwhile.
    let _later = server.open(&RFC_6455.frame(Kind::Text, b"later"));
    server.wait_and_take();
    assert_eq!(server.messages, [(1, b"later".to_vec())]);
    server.openings.clear();
    while server.messages.len() < 3 {
        server.wait_and_take();
    }
    let heard: Vec<_> = server.messages.drain(1..).collect();
    assert_eq!(heard, [(0, b"early".to_vec()), (0, b"and".to_vec())]);
}

#[test]
fn a_peer_that_reads_nothing_gets_its_pongs_merged() {
    let reactor = Reactor::start(Setup { act: Box::new(ignore), ..Setup::default() });
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let body = |i: u32| [&i.to_be_bytes()[..], &[b'.'; 121]].concat();
    let mut sent = 0;
    let mut ping = |client: &mut Client, count| {
        let pings = sent..sent + count;
        let pings: Vec<u8> = pings.flat_map(|i| RFC_6455.frame(Kind::Ping, &body(i))).collect();
        client.write(&pings);
        sent += count;
        let last = Seen::Message(MessageKind::Ping, body(sent - 1));
        reactor.wait_for(|seen| *seen == last);
        sent
    };
    // As many as the sockets hold, then some more.
    while handle.outbound_len() < 16_384 {
        assert!(ping(&mut client, 2_000) < 1_000_000, "they all go somewhere");
    }
    let sent = ping(&mut client, 10_000);
    let waiting = handle.outbound_len();
    assert!(waiting < 65_536, "{waiting} bytes wait");

    // In order and without a gap, up to the last one of all.
    let mut expected = 0;
    loop {
        let (kind, pong) = client.next();
        assert_eq!(kind, Kind::Pong);
        if pong == body(sent - 1) {
            break;
        }
        assert_eq!(pong, body(expected));
        expected += 1;
    }
    assert!(expected < sent - 1, "none was left out");
    // And it is as before.
    client.send(Kind::Ping, b"again");
    client.expect(Kind::Pong, b"again");
}

#[test]
fn a_peer_that_reads_nothing_holds_up_nobody() {
    let reactor = Reactor::echo();
    let deaf = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let mut bystander = Client::open(reactor.addr());
    for _ in 0..40 {
        handle.send_binary(&[0; 1_000_000], Flush::Now).unwrap();
        bystander.echo(b"prompt");
    }
    assert!(handle.outbound_len() > 1_000_000);
    drop(deaf);
    reactor.wait_for_closed();
    bystander.echo(b"prompt");
}

#[test]
fn bytes_that_wait_to_be_written_are_counted() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    for i in 0..300 {
        handle.send_binary(&payload(i, 100_000), Flush::Now).unwrap();
    }
    let waiting = handle.outbound_len();
    assert!((1_000_000..30_000_000).contains(&waiting), "{waiting} bytes wait");
    for i in 0..300 {
        client.expect(Kind::Binary, &payload(i, 100_000));
    }
    wait_until("nothing waits", || handle.outbound_len() == 0);
}

#[test]
fn past_the_outbound_limit_the_connection_is_aborted() {
    let reactor = Reactor::with_options(ConnectionOptions {
        outbound_limit: Some(1_000_000),
        ..ConnectionOptions::default()
    });
    let mut bystander = Client::open(reactor.addr());
    reactor.wait_for_open();
    let deaf = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let mut most = 0;
    for _ in 0..100 {
        handle.send_binary(&[0; 400_000], Flush::Now).unwrap();
        most = most.max(handle.outbound_len());
    }
    let (connection, _) = reactor.wait_for(|seen| *seen == Seen::Closed(abrupt()));
    assert_eq!(connection, 1);
    assert!(most <= 1_000_000 + 400_010, "{most} bytes waited");
    assert_eq!(handle.outbound_len(), 0);
    bystander.echo(b"still here");
    drop(deaf);
}
