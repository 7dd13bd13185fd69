//! Decisions on an opening handshake that the application is asked about.

use std::{
    io::Write,
    net::Shutdown,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use em_websocket::{
    protocol::{
        close::CloseInfo,
        version::{Profile, RFC_6455},
    },
    server::{ConnectionOptions, Handle, MessageKind, NonWebSocket, Opening},
};

use crate::{
    client::{request, Client},
    reactor::{Reactor, Seen, Setup, PATIENCE},
    support::{Kind, RFC_6455 as DRAFT},
};

const PROFILE: &Profile = &RFC_6455;
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

fn asking(handshake_timeout: Duration) -> Reactor {
    let asks_application = true;
    Reactor::with_options(ConnectionOptions {
        asks_application,
        handshake_timeout,
        ..Default::default()
    })
}

/// A client whose request the application has been asked about: the first of its reactor.
fn asked(reactor: &Reactor) -> (Client, Handle) {
    let mut client = Client::connect(reactor.addr());
    client.write(&request(&DRAFT));
    let (connection, _) = reactor.wait_for(|seen| *seen == Seen::Asked);
    assert_eq!(connection, 0);
    (client, reactor.handle(connection))
}

/// Answers the first connection's request; `None` where it cannot be opened.
fn open(reactor: &Reactor) -> Option<Opening> {
    reactor.as_owner(0, |owner| owner.open_with(ANSWER, PROFILE)).flatten()
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_client_whose_time_is_up_cannot_be_let_in() {
    let options = ConnectionOptions {
        asks_application: true,
        handshake_timeout: Duration::from_millis(50),
        ..ConnectionOptions::default()
    };
    // onerror takes until the test lets go of it.
    let (told, is_told) = mpsc::channel();
    let (go_on, is_over) = mpsc::channel();
    let act = move |_: &Handle, seen: &Seen| {
        if matches!(seen, Seen::Rejected(_)) {
            told.send(()).unwrap();
            is_over.recv().unwrap();
        }
        None
    };
    let reactor = Reactor::start(Setup { options, act: Box::new(act), ..Setup::default() });
    let (mut client, handle) = asked(&reactor);
    is_told.recv_timeout(PATIENCE).unwrap();
    assert!(open(&reactor).is_none());
    go_on.send(()).unwrap();
    reactor.wait_for(|seen| *seen == Seen::Rejected("Opening handshake timed out".into()));
    assert!(open(&reactor).is_none());
    assert!(!handle.reject_handshake(b"HTTP/1.1 403 Forbidden\r\n\r\n"));
    assert!(client.rest().is_empty());
    assert_eq!(reactor.wait_for_closed(), CloseInfo::abnormal());
}

#[test]
fn a_client_that_was_let_in_has_no_time_to_be_up() {
    let limit = Duration::from_millis(100);
    let reactor = asking(limit);
    let (mut client, _) = asked(&reactor);
    let opening = open(&reactor).unwrap();
    // The application takes long to hear of it: nothing is told but what the client sends then.
    thread::sleep(2 * limit);
    drop(opening);
    client.expect_status("101");
    client.send(Kind::Text, b"in");
    assert_eq!(reactor.next().1, Seen::Message(MessageKind::Text, b"in".to_vec()));
}

#[test]
fn the_application_cannot_open_a_connection_that_it_ended_or_rejected() {
    type End = fn(&Handle);
    let ends: [(&str, End); 4] = [
        ("closes", |handle| handle.close(None, "")),
        ("aborts", Handle::abort),
        ("ends after writing", Handle::close_after_writing),
        ("refuses", |handle| assert!(handle.reject_handshake(b"no"))),
    ];
    for (how, end) in ends {
        let reactor = asking(LONG);
        let (mut client, handle) = asked(&reactor);
        end(&handle);
        assert!(open(&reactor).is_none(), "the application {how}");
        assert!(!client.rest().starts_with(b"HTTP/1.1 101"), "the application {how}");
    }
}

#[test]
fn a_client_that_has_reset_its_connection_cannot_be_let_in() {
    for is_deferred in [true, false] {
        let reactor = asking(LONG);
        let (client, handle) = asked(&reactor);
        handle.set_deferred(is_deferred);
        rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
        drop(client);
        if is_deferred {
            assert_eq!(reactor.wait_for_closed(), CloseInfo::abnormal());
        } else {
            // Nothing is read, so only writing shows it, once the system knows.
            thread::sleep(Duration::from_millis(50));
        }
        assert!(open(&reactor).is_none(), "deferred: {is_deferred}");
        if !is_deferred {
            assert_eq!(reactor.wait_for_closed(), CloseInfo::abnormal());
        }
    }
}

#[test]
fn a_client_that_leaves_while_the_answer_is_put_off_is_gone_at_once() {
    let reactor = asking(LONG);
    let (mut client, handle) = asked(&reactor);
    handle.set_deferred(true);
    client.send(Kind::Text, b"early");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reactor.wait_for_closed(), CloseInfo::abnormal());
    assert!(open(&reactor).is_none());
}

#[test]
fn a_client_that_has_only_stopped_sending_is_answered_where_that_is_not_put_off() {
    let reactor = asking(LONG);
    let (mut client, _) = asked(&reactor);
    client.send(Kind::Text, b"early");
    client.stream.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(20));
    drop(open(&reactor).unwrap());
    assert_eq!(reactor.next().1, Seen::Message(MessageKind::Text, b"early".to_vec()));
    client.expect_status("101");
}

#[test]
fn bytes_that_come_while_the_answer_is_put_off_are_kept_and_bounded() {
    let reactor = asking(LONG);
    let (mut client, handle) = asked(&reactor);
    handle.set_deferred(true);
    let frame = DRAFT.frame(Kind::Text, &[b'x'; 10_000]);
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = 0;
    // As much as the system holds, too.
    while sent < 64 * 1024 * 1024 {
        match client.stream.write(&frame) {
            Ok(len) if len == frame.len() => sent += len,
            _ => break,
        }
    }
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
    drop(open(&reactor).unwrap());
    let begin = Instant::now();
    for _ in 0..sent / frame.len() {
        assert!(begin.elapsed() < Duration::from_secs(10));
        let (_, seen) = reactor.wait_for(|seen| matches!(seen, Seen::Message(..)));
        assert_eq!(seen, Seen::Message(MessageKind::Text, vec![b'x'; 10_000]));
    }
}

#[test]
fn an_application_that_wants_to_be_asked_late_is_asked() {
    let reactor = Reactor::echo();
    let mut client = Client::connect(reactor.addr());
    let (connection, _) = reactor.wait_for(|seen| *seen == Seen::Accepted);
    reactor.handle(connection).ask();
    client.write(&request(&DRAFT));
    assert_eq!(reactor.next().1, Seen::Asked);
}

#[test]
fn other_requests_are_told_where_the_application_answers_them() {
    let requests: [(&[u8], NonWebSocket); 2] = [
        (b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n", NonWebSocket::Healthcheck),
        (b"<policy-file-request/>\0", NonWebSocket::FlashPolicy),
    ];
    for (request, plain) in requests {
        let options = ConnectionOptions {
            reports_plain_http: true,
            handshake_timeout: Duration::from_millis(100),
            ..ConnectionOptions::default()
        };
        let reactor = Reactor::with_options(options);
        let mut client = Client::connect(reactor.addr());
        client.write(request);
        client.write(b"and more, which is nobody's");
        let refused = Seen::Rejected("Opening handshake timed out".into());
        let abrupt = Seen::Closed(CloseInfo::abnormal());
        assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Plain(plain), refused, abrupt]);
        assert!(client.rest().is_empty());
    }
}
