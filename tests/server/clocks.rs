//! Cases of no silence, no idleness and no lateness: whoever is not read, still takes what was sent
//! before, or sends, is not ended for it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use em_websocket::{
    protocol::close::CloseCode,
    server::{ConnectionOptions, Flush, Handle, Keepalive, QueueLimits, ServerOptions},
};

use crate::{
    client::{connect, request, Client},
    reactor::{echo, ignore, Reactor, Seen, Setup},
    support::{
        close_body,
        machine::{abrupt, clean},
        Kind, RFC_6455,
    },
};

/// The limits here. What they do not hold for goes on for several times as long.
const LIMIT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_millis(1500);
const STEP: Duration = Duration::from_millis(25);

fn pinging() -> ConnectionOptions {
    let keepalive = Some(Keepalive { interval: LIMIT / 2, timeout: LIMIT });
    ConnectionOptions { keepalive, ..ConnectionOptions::default() }
}

fn closing_within(close_timeout: Duration) -> ConnectionOptions {
    ConnectionOptions { close_timeout, ..ConnectionOptions::default() }
}

/// A server that only looks.
fn looking(options: ConnectionOptions) -> Reactor {
    Reactor::start(Setup { options, act: Box::new(ignore), ..Setup::default() })
}

/// A server that reads no more once four messages wait.
fn resting(options: ConnectionOptions) -> Reactor {
    let queue = QueueLimits { messages: 4, ..QueueLimits::default() };
    let server = ServerOptions { queue, ..ServerOptions::default() };
    Reactor::start(Setup { options, server, ..Setup::default() })
}

/// A client whose system holds little of what it has not read.
fn narrow(addr: SocketAddr) -> Client {
    let stream = connect(addr);
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 16 * 1024).unwrap();
    let mut client = Client::on(stream, RFC_6455);
    client.handshake();
    client
}

/// Reads some bytes each step, until the end or for so long: how many.
fn read_slowly(stream: &mut TcpStream, each: usize, time: Duration) -> usize {
    let begin = Instant::now();
    let mut bytes = vec![0; each];
    let mut total = 0;
    while begin.elapsed() < time {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => total += len,
            Err(error) => panic!("{error} after {total} bytes"),
        }
        thread::sleep(STEP);
    }
    total
}

/// Answers pings for so long.
fn answer_pings(client: &mut Client, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let (kind, body) = client.next();
        assert_eq!(kind, Kind::Ping);
        client.send(Kind::Pong, &body);
    }
}

/// Sends until so many bytes wait.
fn pile_up(handle: &Handle, bytes: usize) -> usize {
    let payload = vec![b'x'; 500_000];
    let mut sent = 0;
    while handle.outbound_len() < bytes {
        handle.send_binary(&payload, Flush::Now).unwrap();
        sent += payload.len() + 10;
    }
    sent
}

#[test]
fn a_client_that_is_paused_and_answers_every_ping_stays() {
    let reactor = Reactor::with_options(pinging());
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_paused(true);
    answer_pings(&mut client, LONG);
    handle.set_paused(false);
    answer_pings(&mut client, LONG);
    assert_eq!(reactor.server().stats().unanswered, 0);
}

#[test]
fn a_client_whose_messages_wait_for_the_application_is_not_silent() {
    let reactor = resting(pinging());
    let mut client = Client::open(reactor.addr());
    reactor.wait_for_open();
    let busy = reactor.hold();
    for _ in 0..20 {
        client.send(Kind::Text, b"x");
    }
    // Its pongs come behind what is not read.
    answer_pings(&mut client, LONG);
    drop(busy);
    let echoes = (0..200).filter(|_| client.next().0 == Kind::Text).take(20).count();
    assert_eq!(echoes, 20);
}

/// It sends no more, and its close waits to be answered.
#[test]
fn a_client_that_has_closed_and_waits_for_the_application_is_neither_silent_nor_idle() {
    let options = ConnectionOptions { idle_timeout: Some(LIMIT), ..pinging() };
    let reactor = Reactor::with_options(options);
    let mut client = Client::open(reactor.addr());
    reactor.wait_for_open();
    let busy = reactor.hold();
    client.send(Kind::Close, &close_body(1000, "done"));
    thread::sleep(LONG);
    drop(busy);
    assert_eq!(reactor.wait_for_closed(), clean(1000, "done"));
    let stats = reactor.server().stats();
    assert_eq!((stats.unanswered, stats.idle), (0, 0));
}

#[test]
#[cfg_attr(feature = "portable", ignore = "only Linux tells what a client has taken")]
fn a_client_that_has_not_come_to_the_ping_yet_is_not_silent() {
    let reactor = looking(pinging());
    let mut client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    let sent = pile_up(&handle, 1_000_000);
    let begin = Instant::now();
    let mut left = sent;
    let mut bytes = vec![0; 100_000];
    while left > 0 {
        let most = left.min(bytes.len());
        left -= client.stream.read(&mut bytes[..most]).expect("all that was sent");
        thread::sleep(STEP / 2);
    }
    assert!(begin.elapsed() > LIMIT, "{:?} is too fast to tell", begin.elapsed());
    answer_pings(&mut client, LIMIT * 2);
    assert_eq!(reactor.server().stats().unanswered, 0);
}

#[test]
fn a_client_that_takes_nothing_before_the_ping_is_gone() {
    let reactor = looking(pinging());
    let client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    pile_up(&handle, 1_000_000);
    assert_eq!(reactor.wait_for_closed(), abrupt());
    assert_eq!(reactor.server().stats().unanswered, 1);
    drop(client);
}

#[test]
fn the_answer_to_our_close_is_read_although_the_application_has_paused() {
    let reactor = Reactor::with_options(closing_within(LIMIT * 4));
    for pauses_first in [true, false] {
        let mut client = Client::open(reactor.addr());
        let handle = reactor.wait_for_open();
        handle.set_paused(pauses_first);
        handle.close(Some(CloseCode(1000)), "");
        handle.set_paused(true);
        client.expect(Kind::Close, &close_body(1000, ""));
        client.send(Kind::Close, &close_body(1000, ""));
        assert_eq!(reactor.wait_for_closed(), clean(1000, ""));
    }
}

#[test]
fn the_answer_to_our_close_that_waits_for_the_application_is_in_time() {
    let reactor = resting(closing_within(LIMIT));
    for messages in [0, 20] {
        let mut client = Client::open(reactor.addr());
        let handle = reactor.wait_for_open();
        let busy = reactor.hold();
        handle.close(Some(CloseCode(1000)), "");
        client.expect(Kind::Close, &close_body(1000, ""));
        for _ in 0..messages {
            client.send(Kind::Text, b"x");
        }
        client.send(Kind::Close, &close_body(1000, ""));
        thread::sleep(LONG);
        drop(busy);
        assert_eq!(reactor.wait_for_closed(), clean(1000, ""));
    }
}

#[test]
fn our_close_is_late_only_once_it_has_left() {
    let reactor = looking(closing_within(LIMIT));
    let mut client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    let mut left = pile_up(&handle, 1_000_000);
    handle.close(Some(CloseCode(1000)), "");
    let begin = Instant::now();
    let mut bytes = vec![0; 100_000];
    while left > 0 {
        let most = left.min(bytes.len());
        left -= client.stream.read(&mut bytes[..most]).expect("all that was sent");
        thread::sleep(STEP / 2);
    }
    assert!(begin.elapsed() > LIMIT, "{:?} is too fast to tell", begin.elapsed());
    client.expect(Kind::Close, &close_body(1000, ""));
    client.send(Kind::Close, &close_body(1000, ""));
    assert_eq!(reactor.wait_for_closed(), clean(1000, ""));
}

#[test]
#[cfg_attr(feature = "portable", ignore = "only Linux tells what a client has taken")]
fn a_slow_client_may_take_its_time_to_read_what_is_written_before_the_end() {
    let reactor = looking(closing_within(LIMIT));
    let mut client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    let sent = pile_up(&handle, 2_000_000);
    handle.close_after_writing();
    let begin = Instant::now();
    assert_eq!(read_slowly(&mut client.stream, 80_000, LONG * 10), sent);
    assert!(begin.elapsed() > LIMIT * 2, "{:?} is too fast to tell", begin.elapsed());
    assert_eq!(reactor.wait_for_closed(), abrupt());
}

/// Were the socket closed with bytes unread, a reset would overtake what the client has not read.
#[test]
#[cfg_attr(feature = "portable", ignore = "only Linux tells what a client has taken")]
fn a_client_that_reads_slowly_and_goes_on_sending_gets_all_before_the_end() {
    let reactor = looking(ConnectionOptions::default());
    for more in [1, 3_000_000] {
        let mut client = narrow(reactor.addr());
        let handle = reactor.wait_for_open();
        let mut sent = 0;
        while handle.outbound_len() == 0 {
            sent += pile_up(&handle, handle.outbound_len() + 1);
        }
        handle.close_after_writing();
        let mut sender = client.stream.try_clone().unwrap();
        sender.set_write_timeout(Some(LIMIT)).unwrap();
        let sending = thread::spawn(move || {
            for _ in 0..20 {
                // Not all of it is read.
                let _ = sender.write_all(&vec![0; more]);
                thread::sleep(STEP * 8);
            }
        });
        let begin = Instant::now();
        let got = read_slowly(&mut client.stream, sent / 120, LONG * 10);
        assert_eq!(got, sent);
        assert!(begin.elapsed() > Duration::from_secs(3), "{:?} is too fast", begin.elapsed());
        sending.join().unwrap();
    }
}

fn idling() -> ConnectionOptions {
    ConnectionOptions { idle_timeout: Some(LIMIT), ..ConnectionOptions::default() }
}

#[test]
fn a_connection_over_which_a_message_comes_is_not_idle() {
    let reactor = Reactor::with_options(idling());
    let mut client = Client::open(reactor.addr());
    let payload = vec![7; 600];
    let frame = RFC_6455.frame(Kind::Binary, &payload);
    let begin = Instant::now();
    for part in frame.chunks(10) {
        client.write(part);
        thread::sleep(STEP);
    }
    assert!(begin.elapsed() > LONG);
    client.expect(Kind::Binary, &payload);
}

#[test]
fn a_connection_whose_messages_wait_for_the_application_is_not_idle() {
    let reactor = resting(idling());
    let mut client = Client::open(reactor.addr());
    reactor.wait_for_open();
    for messages in [1, 20] {
        let busy = reactor.hold();
        for _ in 0..messages {
            client.send(Kind::Text, b"x");
        }
        thread::sleep(LONG);
        drop(busy);
        for _ in 0..messages {
            client.expect(Kind::Text, b"x");
        }
    }
}

#[test]
fn a_connection_that_is_paused_is_not_idle() {
    let reactor = Reactor::with_options(idling());
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_paused(true);
    thread::sleep(LONG);
    client.send(Kind::Text, b"x");
    handle.set_paused(false);
    client.expect(Kind::Text, b"x");
}

#[test]
fn a_connection_over_which_a_message_goes_is_neither_idle_nor_inactive() {
    let reactor = looking(idling());
    let mut client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_inactivity_timeout(Some(LIMIT));
    let mut left = pile_up(&handle, 1_000_000);
    let begin = Instant::now();
    let mut bytes = vec![0; 50_000];
    while left > 0 {
        let most = left.min(bytes.len());
        left -= client.stream.read(&mut bytes[..most]).expect("all that was sent");
        thread::sleep(STEP / 2);
    }
    // From here on it is both, and inactivity ends it without a close.
    handle.set_inactivity_timeout(None);
    assert!(begin.elapsed() > LIMIT * 2, "{:?} is too fast to tell", begin.elapsed());
    assert_eq!(reactor.server().stats().idle, 0);
    assert_eq!(client.next().0, Kind::Close, "and then it is");
}

/// The socket says that it takes more once a third of its buffer is free, which takes far longer.
#[test]
#[cfg_attr(feature = "portable", ignore = "only Linux tells what a client has taken")]
fn a_client_that_reads_a_little_all_the_time_is_not_cut_off() {
    let write_timeout = Some(LIMIT);
    let options = ConnectionOptions { write_timeout, ..ConnectionOptions::default() };
    let reactor = looking(options);
    let mut client = narrow(reactor.addr());
    let handle = reactor.wait_for_open();
    pile_up(&handle, 1_000_000);
    let before = handle.outbound_len();
    let read = read_slowly(&mut client.stream, 12_000, LONG);
    assert!(read < 800_000, "{read}");
    assert_eq!(reactor.server().stats().stalled, 0);
    // Now it takes nothing, and is cut off.
    assert_eq!(reactor.wait_for_closed(), abrupt());
    assert_eq!(reactor.server().stats().stalled, 1);
    assert!(before > 0);
}

/// The reactor is busy for longer than the opening handshake may take.
#[test]
fn a_request_that_waits_for_the_application_is_in_time() {
    let options = ConnectionOptions {
        asks_application: true,
        handshake_timeout: LIMIT,
        ..ConnectionOptions::default()
    };
    let reactor = Reactor::with_options(options);
    let mut client = Client::connect(reactor.addr());
    reactor.wait_for(|seen| *seen == Seen::Accepted);
    let busy = reactor.hold();
    client.write(&request(&RFC_6455));
    thread::sleep(LONG);
    drop(busy);
    reactor.wait_for(|seen| *seen == Seen::Asked);
    let begin = Instant::now();
    let refused = reactor.wait_for(|seen| matches!(seen, Seen::Rejected(_))).1;
    assert_eq!(refused, Seen::Rejected("Opening handshake timed out".into()));
    assert!(begin.elapsed() > LIMIT / 2, "{:?}", begin.elapsed());
}

#[test]
fn frames_behind_the_request_wait_while_the_application_pauses() {
    let act = |handle: &Handle, seen: &Seen| {
        if matches!(seen, Seen::Open(_)) {
            handle.set_paused(true);
        }
        echo(handle, seen)
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    let early = RFC_6455.frame(Kind::Text, b"early");
    let late = RFC_6455.frame(Kind::Text, b"late");
    let mut client = Client::open_with(reactor.addr(), &early);
    let handle = reactor.wait_for_open();
    client.write(&late);
    client.stream.set_read_timeout(Some(LIMIT)).unwrap();
    let error = client.stream.peek(&mut [0]).expect_err("it is paused");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    handle.set_paused(false);
    client.expect(Kind::Text, b"early");
    client.expect(Kind::Text, b"late");
}
