//! Costs of a defect in a driver, and of a message whose rest does not come; and what they do not
//! cost.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    error::ProtocolError,
    protocol::CloseAction,
    server::{
        transmission::UNTOLD, Batch, ConnectionOptions, Delivery, Flush, Owner, QueueLimits,
        Server, ServerOptions,
    },
};

/// Defect in a driver: bytes that it writes, and panics over when it lets go of them.
struct Defect(&'static [u8]);

impl AsRef<[u8]> for Defect {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Drop for Defect {
    fn drop(&mut self) {
        panic!("a defect");
    }
}

/// Limit on the body of plain HTTP.
const BODY: usize = 200_000;

/// A text frame whose mask is all zeros.
fn frame(text: &[u8]) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text].concat()
}

fn open(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    stream
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Response to the request of [`open`].
const HEADER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Echoes, until as many connections are gone; the errors on the way.
fn serve(server: &Server, owners: &mut Vec<Option<Owner>>, mut gone: usize) -> Vec<ProtocolError> {
    let mut errors = Vec::new();
    let mut batch = Batch::default();
    let begin = Instant::now();
    while gone > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "it takes too long");
        server.queue().take(&mut batch);
        while let Some(record) = batch.pop() {
            let owner = owners.get(record.connection as usize).and_then(Option::as_ref);
            match (record.delivery, owner) {
                (Delivery::Accepted(owner, incoming), _) => {
                    owners.push(Some(owner));
                    let options =
                        ConnectionOptions { http_body: Some(BODY), ..ConnectionOptions::default() };
                    server.start(*incoming, owners.len() as u64 - 1, &options);
                }
                (Delivery::Http(request), Some(owner)) => {
                    owner.asked();
                    assert_eq!(request.body.len(), BODY);
                    owner.reject_handshake(b"HTTP/1.1 204 No Content\r\n\r\n");
                }
                (Delivery::Rejected(refused), Some(owner)) => {
                    owner.reject(refused.response.as_deref());
                }
                (Delivery::Open(opened), Some(owner)) => drop(owner.open(opened.profile)),
                (Delivery::Message(_, span), Some(owner)) => {
                    owner.send_text(batch.bytes(span), Flush::Now).unwrap();
                }
                (Delivery::Error(error), Some(owner)) => {
                    let failing = owner.fail(&error);
                    assert_eq!(failing.action, CloseAction::AfterFlush);
                    errors.push(*error);
                }
                (Delivery::Closed, Some(_)) => {
                    owners[record.connection as usize].take().map(Owner::closed);
                    gone -= 1;
                }
                other => panic!("{other:?}"),
            }
        }
        std::thread::yield_now();
    }
    errors
}

/// As elsewhere than on Linux: what the driver can write is all that is known.
#[test]
fn a_peer_that_takes_something_is_not_cut_off_where_the_system_does_not_tell() {
    let server = Server::bind("127.0.0.1", 0, ServerOptions::default()).unwrap();
    UNTOLD.store(server.local_addr().unwrap().port(), SeqCst);
    let write_timeout = Duration::from_millis(400);
    let options = ConnectionOptions { write_timeout: Some(write_timeout), ..Default::default() };
    let mut client = open(&server);
    let mut batch = Batch::default();
    let handle = loop {
        server.queue().take(&mut batch);
        match batch.pop().map(|record| record.delivery) {
            Some(Delivery::Accepted(_, incoming)) => {
                let handle = incoming.handle().clone();
                server.start(*incoming, 0, &options);
                break handle;
            }
            _ => std::thread::yield_now(),
        }
    };
    // All of it is read by the end; a third of what the socket holds, several times in each limit.
    handle.send_raw(&vec![0; 60_000_000], Flush::Now);
    let begin = Instant::now();
    let mut waiting = handle.outbound_len();
    while begin.elapsed() < write_timeout * 3 {
        read(&mut client, 600_000);
        std::thread::sleep(Duration::from_millis(25));
        waiting = handle.outbound_len();
        assert!(waiting > 0, "all is read too soon, or the client was cut off");
    }
    let begin = Instant::now();
    while handle.outbound_len() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{waiting} bytes wait for ever");
        std::thread::yield_now();
    }
    assert_eq!(server.stats().stalled, 1);
    server.stop().unwrap();
}

/// In the middle of a write, where the driver holds the connection's lock.
#[test]
fn a_panic_ends_its_connection_with_1011_and_no_other() {
    let server = Server::bind("127.0.0.1", 0, ServerOptions::default()).unwrap();
    let (owner, mut victim, _) = open_one(&server);
    let mut bystander = open(&server);
    read(&mut victim, HEADER.len());
    owner.0.driver_lock().outbox.push_compressed(vec![Bytes::from_owner(Defect(b"\x81\x01x"))]);
    owner.0.notify_driver();

    let mut owners = vec![Some(owner)];
    let errors = serve(&server, &mut owners, 1);
    assert_eq!(errors, [ProtocolError::Internal("a defect".into())]);
    let mut rest = Vec::new();
    victim.read_to_end(&mut rest).unwrap();
    assert_eq!(rest[..3], *b"\x81\x01x");
    assert_eq!(rest[3], 0x88);
    assert_eq!(rest[5..7], 1011_u16.to_be_bytes());

    bystander.write_all(&frame(b"unmoved")).unwrap();
    assert_eq!(read(&mut bystander, HEADER.len()), HEADER);
    bystander.shutdown(std::net::Shutdown::Write).unwrap();
    serve(&server, &mut owners, 1);
    assert_eq!(read(&mut bystander, 9), b"\x81\x07unmoved");
    server.stop().unwrap();
}

/// A connection that is open, and the client's side of it.
fn open_one(server: &Server) -> (Owner, TcpStream, Batch) {
    let stream = open(server);
    let mut batch = Batch::default();
    let mut accepted = None;
    loop {
        match next(server, &mut batch) {
            Delivery::Accepted(owner, incoming) => {
                accepted = Some(owner);
                server.start(*incoming, 0, &ConnectionOptions::default());
            }
            Delivery::Open(opened) => {
                let owner = accepted.unwrap();
                drop(owner.open(opened.profile));
                return (owner, stream, batch);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn next(server: &Server, batch: &mut Batch) -> Delivery {
    let begin = Instant::now();
    loop {
        if let Some(record) = batch.pop() {
            return record.delivery;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "nothing comes");
        std::thread::yield_now();
        server.queue().take(batch);
    }
}

#[test]
fn a_drain_after_the_end_is_not_told() {
    const MUCH: usize = 20_000_000;
    let server = Server::bind("127.0.0.1", 0, ServerOptions::default()).unwrap();
    let (owner, mut stream, mut batch) = open_one(&server);
    owner.set_high_water(1000);
    owner.send_binary(&vec![0; MUCH], Flush::Now).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(next(&server, &mut batch), Delivery::Closed));

    // Before the owner has let go of it.
    let mut left = MUCH;
    while left > 0 {
        left = left.saturating_sub(read(&mut stream, left.min(65_536)).len());
    }
    let begin = Instant::now();
    while owner.outbound_len() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    owner.closed();
    server.stop().unwrap();
    assert!(server.queue().is_empty());
}

#[test]
fn a_close_that_is_not_answered_in_time_is_not_told_after_the_end() {
    let server = Server::bind("127.0.0.1", 0, ServerOptions::default()).unwrap();
    let (owner, stream, mut batch) = open_one(&server);
    let soon = Duration::from_millis(50);
    owner.set_close_timeout(soon);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(next(&server, &mut batch), Delivery::Closed));

    // The owner has not let go of it yet.
    owner.close(None, "");
    std::thread::sleep(soon * 3);
    server.queue().take(&mut batch);
    assert!(batch.is_empty());
    owner.closed();
    server.stop().unwrap();
}

/// With what tokio adds, one task of this size fills what tokio aligns to; a byte more, and each
/// connection takes 128 bytes more.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_driver_is_small() {
    assert!(size_of::<super::Driver>() <= 152, "{}", size_of::<super::Driver>());
}

/// Room for one more message only: its place is not kept for whoever makes nothing of it, if
/// another one waits.
#[test]
fn a_message_whose_rest_does_not_come_is_given_up_where_others_wait() {
    const LEN: usize = 200_000;
    let queue = QueueLimits { total: 100_000, ..QueueLimits::default() };
    let server =
        Server::bind("127.0.0.1", 0, ServerOptions { queue, ..Default::default() }).unwrap();
    let mut large = [&[0x82, 0xff][..], &(LEN as u64).to_be_bytes(), &[0; 4]].concat();
    large.extend([7; LEN]);
    // Fragments do not say how many will come, so that one of them may go on at a time.
    large[0] = 0x02;
    let mut stuck = open(&server);
    stuck.write_all(&large).unwrap();
    let mut owners = Vec::new();
    let waits = [open(&server), open(&server)].map(|mut stream| {
        let large = large.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(&large).unwrap();
            stream.write_all(&[0x80, 0x80, 0, 0, 0, 0]).unwrap();
            let mut back = [0; 129 + 10];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back[129..], [&[0x81, 127][..], &(LEN as u64).to_be_bytes()].concat());
            stream.read_exact(&mut [0; LEN]).unwrap();
        })
    });
    let errors = serve(&server, &mut owners, 3);
    assert_eq!(errors, [ProtocolError::GivenUp]);
    waits.into_iter().for_each(|thread| thread.join().unwrap());
    let mut rest = Vec::new();
    stuck.read_to_end(&mut rest).unwrap();
    let close = rest.windows(4).find(|window| window[0] == 0x88).unwrap();
    assert_eq!(close[2..], 1013_u16.to_be_bytes());
    server.stop().unwrap();
}

/// The same of the body of plain HTTP, which goes on after half of the others' wait, and ends with
/// a response.
#[test]
fn a_body_whose_rest_does_not_come_is_given_up_where_others_wait() {
    let queue = QueueLimits { total: 20_000, ..QueueLimits::default() };
    let server =
        Server::bind("127.0.0.1", 0, ServerOptions { queue, ..Default::default() }).unwrap();
    let post = |come: usize| {
        let header = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
        let mut stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&[header.into_bytes(), vec![b'x'; come]].concat()).unwrap();
        stream
    };
    let mut stuck = post(20_000);
    let mut going_on = [20_000, 100_000].map(post);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        for (stream, come) in going_on.iter_mut().zip([20_000, 100_000]) {
            stream.write_all(&vec![b'x'; BODY - come]).unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
        }
        let mut response = String::new();
        stuck.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    });
    assert_eq!(serve(&server, &mut Vec::new(), 3), []);
    thread.join().unwrap();
    server.stop().unwrap();
}
