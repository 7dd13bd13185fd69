//! Plain HTTP where the application answers it: who waits, for how long, and in whose way.

use std::{net::Shutdown, thread, time::Duration};

use em_websocket::{
    protocol::close::CloseInfo,
    server::{ConnectionOptions, Handle, QueueLimits, Sent, ServerOptions},
};

use crate::{
    by_hand::wait_until,
    client::Client,
    reactor::{Reactor, Seen, Setup},
};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn options(handshake_timeout: Duration) -> ConnectionOptions {
    let http_body = Some(1024 * 1024);
    ConnectionOptions { http_body, handshake_timeout, ..ConnectionOptions::default() }
}

/// Answers each request as soon as it is told of it.
fn answer(handle: &Handle, seen: &Seen) -> Option<Sent> {
    if matches!(seen, Seen::Http(..)) {
        assert!(handle.reject_handshake(RESPONSE));
        assert!(!handle.reject_handshake(RESPONSE));
    }
    None
}

fn answering(handshake_timeout: Duration, server: ServerOptions) -> Reactor {
    let options = options(handshake_timeout);
    Reactor::start(Setup { options, server, act: Box::new(answer), ..Setup::default() })
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

fn post(len: usize, come: usize) -> Vec<u8> {
    let header = format!("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
    [header.into_bytes(), vec![b'x'; come]].concat()
}

fn waiting(reactor: &Reactor) -> usize {
    reactor.server().stats().waiting.bytes as usize
}

#[test]
fn a_request_with_a_body_is_told_and_answered_and_the_connection_ends() {
    let reactor = answering(LONG, ServerOptions::default());
    let mut client = Client::connect(reactor.addr());
    client.write(&post(300_000, 100_000));
    client.write(&[b'x'; 200_000]);
    client.write(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.rest(), RESPONSE);
    drop(client);
    let request = Seen::Http("POST".into(), "/x".into(), vec![b'x'; 300_000]);
    let closed = Seen::Closed(CloseInfo::abnormal());
    assert_eq!(reactor.story(0), [Seen::Accepted, request, closed]);
    wait_until("nothing is held", || waiting(&reactor) == 0);
}

#[test]
fn a_client_that_sends_nothing_more_before_it_is_answered_at_once_gets_its_response() {
    let reactor = answering(LONG, ServerOptions::default());
    let mut client = Client::connect(reactor.addr());
    client.write(&post(3, 3));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), RESPONSE);
}

#[test]
fn a_client_that_takes_too_long_gets_408_and_an_application_that_does_503() {
    for (request, status) in [(post(10, 9), "408"), (post(10, 10), "503")] {
        let reactor = Reactor::with_options(options(SHORT));
        let mut client = Client::connect(reactor.addr());
        client.write(&request);
        client.expect_status(status);
        let timed_out = Seen::Rejected("Opening handshake timed out".into());
        reactor.wait_for(|seen| *seen == timed_out);
        reactor.wait_for_closed();
    }
}

#[test]
fn an_application_that_is_not_told_yet_has_all_of_its_time() {
    let reactor = answering(2 * SHORT, ServerOptions::default());
    let mut client = Client::connect(reactor.addr());
    reactor.wait_for(|seen| *seen == Seen::Accepted);
    let busy = reactor.hold();
    client.write(&post(3, 3));
    thread::sleep(4 * SHORT);
    drop(busy);
    assert_eq!(client.rest(), RESPONSE);
}

#[test]
fn a_client_that_leaves_is_noticed_while_the_application_thinks() {
    let reactor = Reactor::with_options(options(LONG));
    let mut client = Client::connect(reactor.addr());
    client.write(&post(3, 3));
    let (connection, _) = reactor.wait_for(|seen| matches!(seen, Seen::Http(..)));
    let handle = reactor.handle(connection);
    drop(client);
    assert_eq!(reactor.wait_for_closed(), CloseInfo::abnormal());
    assert!(!handle.reject_handshake(RESPONSE));
}

#[test]
fn bodies_that_are_begun_together_are_bounded_and_all_arrive() {
    const LEN: usize = 900 * 1024;
    const CLIENTS: usize = 16;
    let total = 1024 * 1024;
    let queue = QueueLimits { total, ..QueueLimits::default() };
    let reactor = answering(LONG, ServerOptions { queue, ..ServerOptions::default() });
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(reactor.addr())).collect();
    for client in &mut clients {
        client.write(&post(LEN, LEN / 2));
    }
    wait_until("there is no room", || waiting(&reactor) >= total / 2);
    // A body's memory doubles as it comes.
    let most = total + 2 * LEN + CLIENTS * 128 * 1024;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(5));
        assert!(waiting(&reactor) <= most, "{} bytes are held, and not {most}", waiting(&reactor));
    }
    let mut small = Client::connect(reactor.addr());
    small.write(&post(100, 100));
    assert_eq!(small.rest(), RESPONSE);

    let threads = clients.into_iter().rev().map(|mut client| {
        thread::spawn(move || {
            client.write(&[b'x'; LEN - LEN / 2]);
            assert_eq!(client.rest(), RESPONSE);
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    wait_until("nothing is held", || waiting(&reactor) == 0);
}
