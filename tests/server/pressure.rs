//! Who sends faster than others take: both ways it is the sender that waits, and nobody else.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use em_websocket::server::{
    Batch, ConnectionOptions, Cork, Delivery, Handle, Kind as Type, QueueLimits, Server,
};
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::{
    client::Client,
    reactor::{ignore, Reactor, Seen, Setup, PATIENCE},
    support::{machine::abrupt, Kind, RFC_6455},
};

/// More than ever comes.
const ENOUGH: usize = 1 << 40;

/// Waits until it is so.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// A server whose queue is taken from by hand, as slowly as a test likes.
struct ByHand {
    server: Server,
    batch: Batch,
    connections: Vec<Handle>,
    opened: usize,
    /// Of each batch that was taken, how many messages it held and how many bytes they had.
    taken: Vec<(usize, usize)>,
    messages: VecDeque<(u32, Vec<u8>)>,
}

impl ByHand {
    fn new(queue_limits: QueueLimits) -> Self {
        Self {
            server: Server::bind("127.0.0.1", 0, queue_limits).unwrap(),
            batch: Batch::default(),
            connections: Vec::new(),
            opened: 0,
            taken: Vec::new(),
            messages: VecDeque::new(),
        }
    }

    /// Takes one batch, and says that all of it is delivered.
    fn take(&mut self) {
        self.server.queue().take(&mut self.batch);
        let (mut messages, mut bytes) = (0, 0);
        while let Some(record) = self.batch.pop() {
            let message = match record.delivery {
                Delivery::Accepted(incoming) => {
                    self.connections.push(incoming.handle().clone());
                    let number = self.connections.len() as u32 - 1;
                    incoming.start(number, &ConnectionOptions::default());
                    continue;
                }
                Delivery::Open(opened) => {
                    let handle = &self.connections[record.connection as usize];
                    handle.open(opened.profile);
                    handle.opened();
                    self.opened += 1;
                    continue;
                }
                Delivery::Message(_, span) => self.batch.bytes(span).to_vec(),
                Delivery::Large(_, bytes) => bytes,
                other => panic!("{other:?}"),
            };
            messages += 1;
            bytes += message.len();
            self.connections[record.connection as usize].delivered(message.len(), 1);
            self.messages.push_back((record.connection, message));
        }
        self.taken.push((messages, bytes));
    }

    fn wait_and_take(&mut self) {
        let queue = self.server.queue();
        wait_until("something comes", || !queue.is_empty());
        self.take();
    }

    /// A client whose opening handshake is done.
    fn open(&mut self) -> Client {
        let addr = self.server.local_addr();
        let client = thread::spawn(move || Client::open(addr));
        let before = self.opened;
        while self.opened == before {
            self.wait_and_take();
        }
        client.join().unwrap()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.server.stop();
    }
}

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

/// Frames of so many bytes of payload, numbered.
fn numbered(count: usize, len: usize) -> Vec<u8> {
    (0..count).flat_map(|i| RFC_6455.frame(Kind::Binary, &payload(i, len))).collect()
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    payload
}

/// Floods a connection whose queue nobody empties, then empties it.
fn flood(queue_limits: QueueLimits, len: usize) {
    const TOTAL: usize = 12_000_000;
    let mut server = ByHand::new(queue_limits);
    let mut bystander = server.open();
    let client = server.open();
    set_socket_send_buffer_size(&client.stream, 65_536).unwrap();
    server.taken.clear();

    let count = TOTAL / len;
    let bytes = numbered(count, len);
    let written = write_until_blocked(&client.stream, &bytes);
    assert!(written < bytes.len(), "the sender must wait");

    // One read may go past the limits, or one message.
    server.take();
    let (messages, size) = server.taken[0];
    let frame = len + 6;
    assert!(messages <= queue_limits.messages + 65_536 / frame + 1, "{messages} messages");
    assert!(size <= queue_limits.bytes + 65_536.max(len), "{size} bytes");
    assert!(messages >= queue_limits.messages || size >= queue_limits.bytes);

    // Others are heard meanwhile.
    bystander.send(Kind::Text, b"me too");
    let rest = bytes[written..].to_vec();
    let mut stream = client.stream.try_clone().unwrap();
    let writer = thread::spawn(move || stream.write_all(&rest).unwrap());
    let (mut expected, mut heard_other) = (0, false);
    while expected < count || !heard_other {
        while let Some((connection, message)) = server.messages.pop_front() {
            if connection == 0 {
                heard_other = true;
                continue;
            }
            assert!(message == payload(expected, len), "in order: {expected}");
            expected += 1;
        }
        if expected < count || !heard_other {
            server.wait_and_take();
        }
    }
    writer.join().unwrap();
}

#[test]
fn a_flood_of_bytes_waits_at_the_sender() {
    flood(QueueLimits { bytes: 100_000, messages: ENOUGH }, 10_000);
}

#[test]
fn a_flood_of_messages_waits_at_the_sender() {
    flood(QueueLimits { bytes: ENOUGH, messages: 50 }, 2_000);
}

#[test]
fn a_flood_of_large_messages_waits_at_the_sender() {
    flood(QueueLimits { bytes: 1_000_000, messages: 4_096 }, 1_500_000);
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
        let last = Seen::Message(Type::Ping, body(sent - 1));
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
        handle.send_binary(&[0; 1_000_000], Cork::No).unwrap();
        bystander.echo(b"prompt");
    }
    assert!(handle.outbound_len() > 1_000_000);
    drop(deaf);
    reactor.wait_for_closed();
    bystander.echo(b"prompt");
}

#[test]
fn what_waits_to_be_written_is_counted() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    for i in 0..300 {
        handle.send_binary(&payload(i, 100_000), Cork::No).unwrap();
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
        handle.send_binary(&[0; 400_000], Cork::No).unwrap();
        most = most.max(handle.outbound_len());
    }
    let (connection, _) = reactor.wait_for(|seen| *seen == Seen::Closed(abrupt()));
    assert_eq!(connection, 1);
    assert!(most <= 1_000_000 + 400_010, "{most} bytes waited");
    assert_eq!(handle.outbound_len(), 0);
    bystander.echo(b"still here");
    drop(deaf);
}
