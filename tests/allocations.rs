//! A message costs the core no allocation, but for a queue's or a buffer's growth, which is over
//! soon. Allocations are counted for the whole process, so this is one test in a process of its
//! own.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]
#![cfg(feature = "server")]
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use em_websocket::server::{
    Batch, ConnectionOptions, Delivery, Flush, MessageKind, Owner, Sent, Server, ServerOptions,
};
use support::{Kind, RFC_6455};

/// Number of messages that are in flight.
const DEPTH: usize = 16;

static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// True if this thread is a client's, whose allocations do not count.
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

impl Counting {
    fn count() {
        if !IS_CLIENT.try_with(Cell::get).unwrap_or(true) {
            COUNT.fetch_add(1, SeqCst);
        }
    }
}

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends so many messages, so many in flight, and expects each back.
fn echo(addr: SocketAddr, len: usize, messages: usize) {
    IS_CLIENT.set(true);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let burst = RFC_6455.frame(Kind::Text, &vec![b'x'; len]).repeat(DEPTH);
    let header = if len < 126 { 2 } else { 4 };
    let mut back = vec![0; (header + len) * DEPTH];
    for _ in 0..messages / DEPTH {
        stream.write_all(&burst).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert!(back.ends_with(&vec![b'x'; len]));
    }
}

/// A reactor that sends everything back; it ends when the connection does. It calls `warm` after
/// half of the messages.
fn serve(server: &Server, messages: usize, mut warm: impl FnMut()) {
    let mut batch = Batch::default();
    let mut accepted: Option<Owner> = None;
    let mut corked = false;
    let mut seen = 0;
    loop {
        while server.queue().is_empty() {
            thread::yield_now();
        }
        server.queue().take(&mut batch);
        while let Some(record) = batch.pop() {
            match (record.delivery, &accepted) {
                (Delivery::Accepted(owner, incoming), _) => {
                    accepted = Some(owner);
                    server.start(*incoming, 0, &ConnectionOptions::default());
                }
                (Delivery::Open(opened), Some(owner)) => drop(owner.open(opened.profile)),
                (Delivery::Message(MessageKind::Text, span), Some(owner)) => {
                    let sent = owner.send_text(batch.bytes(span), Flush::Later).unwrap();
                    corked |= matches!(sent, Sent::Unflushed(_));
                    seen += 1;
                    if seen == messages / 2 {
                        warm();
                    }
                }
                (Delivery::Closed, Some(_)) => {
                    accepted.take().map(Owner::closed);
                    return;
                }
                (other, _) => panic!("{other:?}"),
            }
        }
        if let Some(owner) = &accepted {
            if std::mem::take(&mut corked) {
                owner.flush();
            }
        }
    }
}

#[test]
fn a_message_costs_no_allocation() {
    let server = Server::bind("127.0.0.1", 0, ServerOptions::default()).unwrap();
    let addr = server.local_addr().unwrap();
    // Of long messages those that no read brings whole get a buffer of their own.
    for (len, messages, most) in
        [(64, 40_000, 40), (1_024, 20_000, 40), (15_000, 4_000, 4_000), (60_000, 2_000, 2_000)]
    {
        let client = thread::spawn(move || echo(addr, len, messages));
        let mut before = 0;
        serve(&server, messages, || before = COUNT.load(SeqCst));
        let allocations = COUNT.load(SeqCst) - before;
        client.join().unwrap();
        assert!(allocations <= most, "{allocations} for {} of {len} bytes", messages / 2);
    }
    server.stop().unwrap();
}
