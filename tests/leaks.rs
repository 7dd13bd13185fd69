//! No file descriptor is left behind, however connections end. They are counted for the whole
//! process, so this is one test in a process of its own.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]
#![cfg(all(feature = "server", target_os = "linux"))]
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

#[path = "support/client.rs"]
mod client;
#[path = "support/reactor.rs"]
mod reactor;
mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use client::Client;
use em_websocket::{protocol::close::CloseCode, server::Traffic};
use reactor::{Reactor, PATIENCE};
use rustix::net::sockopt::set_socket_linger;
use support::{Kind, RFC_6455};

/// Nothing changes for so long where nothing is under way.
const REST: Duration = Duration::from_millis(50);

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Number of files that are open once tasks that are told to end have ended.
fn files_at_rest() -> usize {
    let mut files = open_files();
    loop {
        thread::sleep(REST);
        match open_files() {
            same if same == files => return files,
            other => files = other,
        }
    }
}

/// The ways one connection comes and goes.
fn come_and_go(reactor: &Reactor, way: usize) {
    match way {
        0 => {
            let mut client = Client::open(reactor.addr());
            client.echo(b"hello");
            client.send(Kind::Close, b"");
            client.rest();
        }
        1 => {
            let mut client = Client::open(reactor.addr());
            client.send(Kind::Text, b"\xff");
            client.rest();
        }
        2 => {
            let mut client = Client::open(reactor.addr());
            reactor.wait_for_open().close(Some(CloseCode(1000)), "");
            client.next();
            client.send(Kind::Close, b"");
            client.rest();
        }
        3 => {
            let client = Client::open(reactor.addr());
            set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
        }
        4 => {
            let mut client = Client::open(reactor.addr());
            reactor.wait_for_open().abort();
            client.rest();
        }
        5 => {
            let mut client = Client::connect(reactor.addr());
            client.write(b"GET / HTTP/1.1\r\n\r\n");
            client.rest();
        }
        6 => Client::connect(reactor.addr()).write(b"GET"),
        way => go_amid_messages(reactor, way),
    }
    reactor.wait_for_closed();
}

/// The ways one goes whose messages are not all sent, or not all taken.
fn go_amid_messages(reactor: &Reactor, way: usize) {
    match way {
        7 => {
            // In the middle of a message.
            let mut client = Client::open(reactor.addr());
            client.write(&RFC_6455.frame(Kind::Binary, &[0; 50_000])[..30_000]);
        }
        8 => {
            let mut client = Client::open(reactor.addr());
            client.write(&RFC_6455.fragment(Kind::Text, false, b"to be continued"));
            client.send(Kind::Ping, b"?");
            client.expect(Kind::Pong, b"?");
            reactor.wait_for_open().abort();
        }
        9 => {
            // Behind messages that nobody takes back.
            let mut client = Client::open(reactor.addr());
            (0..20).for_each(|_| client.send(Kind::Text, &[b'x'; 5_000]));
            set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
        }
        _ => drop(Client::open(reactor.addr())),
    }
}

#[test]
fn no_file_is_left_open() {
    let first = Reactor::echo();
    // What starts with the first connection, and stays.
    Client::open(first.addr()).echo(b"hello");
    drop(first);
    let without_server = files_at_rest();

    let reactor = Reactor::echo();
    let with_server = files_at_rest();
    for cycle in 0..1_000 {
        come_and_go(&reactor, cycle % 11);
        // Its last record has been told, and not let go of yet.
        let deadline = Instant::now() + PATIENCE;
        let held = || {
            let stats = reactor.server().stats();
            (stats.waiting, stats.outbound)
        };
        while held() != (Traffic::default(), 0) {
            assert!(Instant::now() < deadline, "way {}: {:?}", cycle % 11, held());
            thread::yield_now();
        }
    }
    // The last ones may have been told of before their sockets were let go of.
    let deadline = Instant::now() + PATIENCE;
    while open_files() > with_server {
        assert!(Instant::now() < deadline, "{} for {with_server}", open_files());
        thread::yield_now();
    }

    // A stop has closed everything by the time it returns: only our own ends are left.
    let mut clients: Vec<Client> = (0..50).map(|_| Client::open(reactor.addr())).collect();
    clients.extend((0..50).map(|_| Client::connect(reactor.addr())));
    for client in &mut clients[..25] {
        client.send(Kind::Close, b"");
        client.rest();
    }
    reactor.server().stop().unwrap();
    // And the listener's is gone.
    assert_eq!(open_files(), with_server - 1 + clients.len());
    drop(clients);
    drop(reactor);
    assert_eq!(files_at_rest(), without_server);
}
