//! Single steps, so often as is asked: what `bench/micro/instructions` counts the instructions of.

use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    num::NonZeroUsize,
    os::fd::AsRawFd,
};

use em_websocket::{
    protocol::{
        apply_mask,
        handshake::{self, Handshake, Progress},
        version::RFC_6455,
        Event, Limits, Receiver, Sender,
    },
    server::{Batch, ConnectionOptions, Delivery, Flush, Owner, Server, ServerOptions},
};
use mio::{unix::SourceFd, Events, Interest, Poll, Token};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let step = arguments.next().expect("a step");
    let count = arguments.next().and_then(|count| count.parse().ok()).expect("how often");
    match step.as_str() {
        "unmask-1k" => unmask(count),
        "receive-64" => receive(count, 64),
        "receive-1k" => receive(count, 1024),
        "send-64" => send(count),
        "handshake" => open(count),
        "echo-64" => echo(count),
        _ => panic!("there is no step {step}"),
    }
}

fn unmask(count: u32) {
    let mut bytes = vec![b'x'; 1024];
    for _ in 0..count {
        black_box(apply_mask(black_box(&mut bytes), [1, 2, 3, 4], 0));
    }
}

/// Sixteen text frames of this length in one read. The mask is of zeros, so that they stay as they
/// are.
fn receive(count: u32, len: u16) {
    let mut frame = if len < 126 {
        vec![0x81, 0x80 | len as u8]
    } else {
        [&[0x81, 0xfe], &len.to_be_bytes()[..]].concat()
    };
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(len), b'x');
    let mut read = frame.repeat(16);
    let mut receiver = Receiver::new(&RFC_6455, Limits::default());
    let mut sum = 0;
    for _ in 0..count / 16 {
        receiver.receive(black_box(&mut read), &mut |event: Event<'_>| {
            if let Event::Text(text, _) = event {
                sum += text.len();
            }
        });
    }
    assert_eq!(sum, usize::from(len) * (count as usize / 16 * 16));
}

fn send(count: u32) {
    let sender = Sender::new(&RFC_6455);
    for _ in 0..count {
        let parts = sender.text(black_box(64)).expect("it is open");
        black_box((parts.head(), parts.tail()));
    }
}

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nOrigin: http://example.com\r\nUser-Agent: Mozilla/5.0\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn open(count: u32) {
    for _ in 0..count {
        let mut handshake = Handshake::new(false, handshake::RequestLimits::default());
        match handshake.receive(black_box(REQUEST)) {
            Progress::Accepted(accepted) => drop(black_box(accepted.response.to_bytes())),
            other => panic!("{other:?}"),
        }
    }
}

/// Sixteen text frames of 64 bytes through a server's sockets, its driver and its queue, and back in
/// one write. The server's thread and the client's take turns, so each echo takes the same way.
fn echo(count: u32) {
    const FRAMES: usize = 16;
    let options = ServerOptions { threads: NonZeroUsize::MIN, ..Default::default() };
    let server = Server::bind("127.0.0.1", 0, options).expect("a free port");
    let mut client = TcpStream::connect(server.local_addr().expect("it is one of TCP")).expect("it listens");
    client.write_all(REQUEST).expect("it reads");
    let frame = [&[0x81, 0x80 | 64, 0, 0, 0, 0], &[b'x'; 64][..]].concat().repeat(FRAMES);
    let mut reply = vec![0; FRAMES * (2 + 64)];
    let mut owner = QueueOwner::new(server);
    owner.turn_until(|handle| handle.is_some_and(|it| it.profile().is_some()));
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).expect("a response");
        head.extend(byte);
    }
    for _ in 0..count / FRAMES as u32 {
        client.write_all(&frame).expect("it reads");
        let mut left = FRAMES;
        while left > 0 {
            left -= owner.turn();
        }
        client.read_exact(&mut reply).expect("an echo");
    }
    drop(client);
    owner.server.stop().expect("nothing hangs");
}

/// The queue's owner.
struct QueueOwner {
    server: Server,
    batch: Batch,
    owner: Option<Owner>,
    poll: Poll,
    ready: Events,
}

impl QueueOwner {
    fn new(server: Server) -> Self {
        let poll = Poll::new().expect("there are descriptors left");
        let fd = server.queue().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)
            .expect("it can be waited for");
        let ready = Events::with_capacity(1);
        Self { server, batch: Batch::default(), owner: None, poll, ready }
    }

    fn turn_until(&mut self, is_done: impl Fn(Option<&Owner>) -> bool) {
        while !is_done(self.owner.as_ref()) {
            self.turn();
        }
    }

    /// Waits until something is queued and delivers it: how many messages were echoed.
    fn turn(&mut self) -> usize {
        let queue = self.server.queue();
        self.poll.poll(&mut self.ready, None).expect("it can be waited for");
        queue.take(&mut self.batch);
        let mut echoed = 0;
        while let Some(record) = self.batch.pop() {
            match (record.delivery, &self.owner) {
                (Delivery::Accepted(owner, incoming), _) => {
                    self.owner = Some(owner);
                    self.server.start(*incoming, 1, &ConnectionOptions::default());
                }
                (Delivery::Open(opened), Some(owner)) => drop(owner.open(opened.profile)),
                (Delivery::Message(_, span), Some(owner)) => {
                    let text = self.batch.bytes(span);
                    owner.send_text(text, Flush::Later).expect("it is open");
                    echoed += 1;
                }
                _ => {}
            }
        }
        if let Some(owner) = &self.owner {
            owner.flush();
        }
        echoed
    }
}
