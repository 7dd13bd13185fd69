//! The server's own stop: when it returns, the port is free and every socket is closed.
//!
//! Every test has a loopback address of its own, so that nobody else is given a port that has just
//! been freed.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use em_websocket::server::{ConnectionOptions, Incoming, Server};

use crate::{
    client::{connect, request, Client},
    reactor::{Reactor, Seen, Setup, PATIENCE},
    support::{machine::abrupt, Kind, RFC_6455},
    tls,
};

fn is_free(addr: SocketAddr) -> bool {
    TcpListener::bind(addr).is_ok()
}

/// Reads up to the end; that it was there before the stop returned is for `leaks` to say.
#[track_caller]
fn expect_end(stream: &TcpStream) {
    Client::on(stream.try_clone().unwrap(), RFC_6455).rest();
}

fn echo_on(host: &'static str) -> Reactor {
    Reactor::start(Setup { host, ..Setup::default() })
}

#[test]
fn stop_closes_what_is_open() {
    let reactor = echo_on("127.0.2.2");
    let mut clients: Vec<Client> = (0..200).map(|_| Client::open(reactor.addr())).collect();
    for client in &mut clients {
        client.echo(b"hello");
    }
    // Some have much to be written, which they do not read.
    for connection in 0..20 {
        let handle = reactor.handle(connection);
        handle.send_binary(&vec![0; 2_000_000], em_websocket::server::Flush::Now).unwrap();
    }
    assert!(!is_free(reactor.addr()));
    reactor.server().stop().unwrap();
    assert!(is_free(reactor.addr()));
    assert!(!reactor.server().is_listening());
    for client in &clients {
        expect_end(&client.stream);
    }
    // And each is told of.
    for _ in 0..200 {
        assert_eq!(reactor.wait_for_closed(), abrupt());
    }
    assert!(TcpStream::connect(reactor.addr()).is_err());
    reactor.server().stop().unwrap();
}

#[test]
fn stop_closes_what_is_not_open_yet() {
    let reactor = echo_on("127.0.2.3");
    let silent = connect(reactor.addr());
    let mut halfway = Client::connect(reactor.addr());
    halfway.write(&request(&RFC_6455)[..50]);
    for _ in 0..2 {
        reactor.wait_for(|seen| *seen == Seen::Accepted);
    }
    reactor.server().stop().unwrap();
    expect_end(&silent);
    expect_end(&halfway.stream);
    assert!(is_free(reactor.addr()));
}

#[test]
fn stop_closes_what_is_amid_a_tls_handshake() {
    let reactor =
        Reactor::start(Setup { host: "127.0.2.4", options: tls::options(), ..Setup::default() });
    let silent = connect(reactor.addr());
    let mut halfway = Client::connect(reactor.addr());
    halfway.write(b"\x16\x03\x01\x02\x00\x01");
    let open = tls::open(reactor.addr());
    reactor.wait_for_open();
    reactor.server().stop().unwrap();
    for stream in [&silent, &halfway.stream, &open.stream.sock] {
        expect_end(stream);
    }
}

#[test]
fn stop_does_not_wait_for_those_who_linger() {
    let reactor = echo_on("127.0.2.5");
    let mut clients: Vec<Client> = (0..5).map(|_| Client::open(reactor.addr())).collect();
    for client in &mut clients {
        client.send(Kind::Close, b"");
        client.rest();
        // Our end is open, so the server's may wait for what we might send.
        reactor.wait_for_closed();
    }
    let before = Instant::now();
    reactor.server().stop().unwrap();
    // Lingering alone would take two seconds.
    assert!(before.elapsed() < Duration::from_millis(1_500));
    assert!(is_free(reactor.addr()));
}

/// A reactor that starts nothing of what is accepted, and what it accepted.
fn unstarted(host: &'static str) -> (Reactor, mpsc::Receiver<Box<Incoming>>) {
    let (accept, accepted) = mpsc::channel();
    let reactor = Reactor::start(Setup { host, accept: Some(accept), ..Setup::default() });
    (reactor, accepted)
}

#[test]
fn stop_closes_what_was_accepted_and_not_taken_from_the_queue() {
    let (reactor, _accepted) = unstarted("127.0.2.6");
    let first = connect(reactor.addr());
    reactor.wait_for(|seen| *seen == Seen::Accepted);
    let held = reactor.hold();
    let second = connect(reactor.addr());
    // It is in the queue once the wakeup is set; the reactor is held before it takes it.
    while reactor.server().queue().is_empty() {
        std::thread::yield_now();
    }
    reactor.server().stop().unwrap();
    expect_end(&second);
    drop((held, first));
}

#[test]
fn a_connection_started_after_the_stop_is_closed_at_once() {
    let (reactor, accepted) = unstarted("127.0.2.7");
    let client = connect(reactor.addr());
    let incoming = accepted.recv_timeout(PATIENCE).unwrap();
    reactor.server().stop().unwrap();
    reactor.server().start(*incoming, 7, &ConnectionOptions::default());
    let mut client = Client::on(client, RFC_6455);
    client.rest();
}

#[test]
fn stop_listening_leaves_what_is_open() {
    let reactor = echo_on("127.0.2.8");
    let mut client = Client::open(reactor.addr());
    assert!(reactor.server().is_listening());
    reactor.server().stop_listening();
    assert!(!reactor.server().is_listening());
    assert!(is_free(reactor.addr()));
    assert!(TcpStream::connect(reactor.addr()).is_err());
    client.echo(b"still here");
    reactor.server().stop_listening();
    client.echo(b"still here");
}

#[test]
fn two_servers_are_two() {
    let (first, second) = (echo_on("127.0.2.9"), echo_on("127.0.2.9"));
    assert_ne!(first.addr(), second.addr());
    let mut of_first = Client::open(first.addr());
    let mut of_second = Client::open(second.addr());
    of_first.echo(b"one");
    of_second.echo(b"two");
    first.server().stop().unwrap();
    expect_end(&of_first.stream);
    of_second.echo(b"still here");
    Client::open(second.addr()).echo(b"and open to all");
}

#[test]
fn a_port_is_used_again_and_again() {
    let first = echo_on("127.0.2.11");
    let port = first.addr().port();
    drop(first);
    for _ in 0..20 {
        let server = Server::bind("127.0.2.11", port, Default::default()).unwrap();
        assert_eq!(server.local_addr().unwrap().port(), port);
        let client = connect(server.local_addr().unwrap());
        server.stop().unwrap();
        expect_end(&client);
    }
}

/// Its task may not even have begun to run.
#[test]
fn a_stop_right_after_the_start_frees_the_port() {
    for _ in 0..2_000 {
        let server = Server::bind("127.0.2.20", 0, Default::default()).unwrap();
        let addr = server.local_addr().unwrap();
        server.stop().unwrap();
        assert!(is_free(addr));
    }
}

#[test]
fn stop_is_safe_while_clients_come() {
    let reactor = echo_on("127.0.2.12");
    let addr = reactor.addr();
    let clients = std::thread::spawn(move || {
        let mut streams = Vec::new();
        while let Ok(stream) = TcpStream::connect(addr) {
            streams.push(stream);
            if streams.len() > 500 {
                streams.clear();
            }
        }
    });
    reactor.wait_for(|seen| *seen == Seen::Accepted);
    reactor.server().stop().unwrap();
    clients.join().unwrap();
    assert!(is_free(addr));
}
