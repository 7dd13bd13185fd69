//! From accept to the first message: every draft, and what is no WebSocket client at all.

use std::{io::Write, net::Shutdown, sync::mpsc, time::Duration};

use em_websocket::{
    protocol::{
        handshake::{FLASH_POLICY, HEALTHCHECK_RESPONSE},
        Limits, ReadyState,
    },
    server::{BindError, ConnectionOptions, Flush, Handle, MessageKind, Server, ServerOptions},
};

use crate::{
    client::{connect, request, Client},
    reactor::{ignore, Reactor, Seen, Setup, PATIENCE},
    support::{
        machine::{abrupt, clean},
        Kind, DRAFTS, RFC_6455,
    },
};

#[test]
fn every_draft_opens_echoes_and_closes() {
    let reactor = Reactor::echo();
    for (connection, draft) in (0..).zip(DRAFTS) {
        let mut client = Client::on(connect(reactor.addr()), draft);
        client.handshake();
        client.echo("Grüße".as_bytes());
        client.echo(&vec![b'x'; 70_000]);
        client.send(Kind::Close, b"");
        let reply = if draft.has_codes() { &b"\x03\xe8"[..] } else { b"" };
        client.expect(Kind::Close, reply);
        assert!(client.rest().is_empty());

        let story = reactor.story(connection);
        let version = draft.profile().version;
        assert_eq!(story[..2], [Seen::Accepted, Seen::Open(version)]);
        let info = if draft.sentinel { abrupt() } else { clean(1005, "") };
        assert_eq!(story.last(), Some(&Seen::Closed(info)), "draft {version}");
    }
}

#[test]
fn nothing_is_read_before_the_application_has_started_a_connection() {
    let (accept, accepted) = mpsc::channel();
    let reactor = Reactor::start(Setup { accept: Some(accept), ..Setup::default() });
    let mut client = Client::connect(reactor.addr());
    let incoming = accepted.recv_timeout(PATIENCE).unwrap();
    let handle = incoming.handle();
    assert_eq!(handle.ready_state(), ReadyState::Handshake);
    assert_eq!(handle.local_addr(), Some(reactor.addr()));
    assert_eq!(handle.peer_addr(), client.stream.local_addr().ok());
    assert_eq!(handle.outbound_len(), 0);
    assert_eq!(handle.profile(), None);
    // Letting go of it closes it, unread.
    drop(incoming);
    assert!(client.rest().is_empty());
}

#[test]
fn frames_behind_the_request_in_one_segment_wait_for_the_opening() {
    let reactor = Reactor::echo();
    let frames = [RFC_6455.frame(Kind::Text, b"one"), RFC_6455.frame(Kind::Text, b"two")];
    let mut client = Client::open_with(reactor.addr(), &frames.concat());
    client.expect(Kind::Text, b"one");
    client.expect(Kind::Text, b"two");
    client.stream.shutdown(Shutdown::Both).unwrap();
    let expected = [
        Seen::Accepted,
        Seen::Open(13),
        Seen::Message(MessageKind::Text, b"one".to_vec()),
        Seen::Message(MessageKind::Text, b"two".to_vec()),
        Seen::Closed(abrupt()),
    ];
    assert_eq!(reactor.story(0), expected);
}

#[test]
fn limits_set_while_opening_hold_for_the_first_frame() {
    let act = |handle: &Handle, seen: &Seen| {
        if *seen == Seen::Open(13) {
            handle.set_limits(Limits { frame: 16, ..handle.limits() });
        }
        None
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    // Ten bytes and a header of six are as much as may be.
    let frames =
        [RFC_6455.frame(Kind::Text, b"ten bytes."), RFC_6455.frame(Kind::Text, b"just eleven")];
    let mut client = Client::open_with(reactor.addr(), &frames.concat());
    let reason = "Frame length too long (17 bytes)";
    client.expect(Kind::Close, &crate::support::close_body(1009, reason));
    let story = reactor.story(0);
    let expected = [
        Seen::Message(MessageKind::Text, b"ten bytes.".to_vec()),
        Seen::Error(reason.into()),
        Seen::Closed(abrupt()),
    ];
    assert_eq!(story[2..], expected);
}

#[test]
fn limits_set_later_hold_from_then_on() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    client.echo(&[b'x'; 100]);
    handle.set_limits(Limits { message: 50, ..handle.limits() });
    client.echo(&[b'x'; 50]);
    client.send(Kind::Text, &[b'x'; 51]);
    let reason = "Message length too long (51 bytes)";
    client.expect(Kind::Close, &crate::support::close_body(1009, reason));
}

#[test]
fn a_slow_handshake_times_out_however_busily_it_trickles() {
    let reactor = Reactor::with_options(ConnectionOptions {
        handshake_timeout: Duration::from_millis(200),
        ..ConnectionOptions::default()
    });
    let mut silent = Client::connect(reactor.addr());
    let mut busy = Client::connect(reactor.addr());
    let mut stream = busy.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let header = request(&RFC_6455);
        for byte in header[..header.len() - 4].iter().chain([b'x'].iter().cycle()) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    assert!(silent.rest().is_empty(), "it is closed without a word");
    assert!(busy.rest().is_empty());
    for _ in 0..2 {
        let refused = Seen::Rejected("Opening handshake timed out".into());
        assert_eq!(reactor.wait_for(|seen| matches!(seen, Seen::Rejected(_))).1, refused);
    }
    busy.stream.shutdown(Shutdown::Both).unwrap();
    writer.join().unwrap();
}

#[test]
fn a_request_that_is_not_http_is_closed_without_an_answer() {
    let reactor = Reactor::echo();
    let mut bystander = Client::open(reactor.addr());
    let garbage: [(&[u8], &str); 3] = [
        (b"\x00\x01\x02\x03", "Invalid HTTP header: Could not parse data entirely (0 != 4)"),
        (b"\r\n\r\nfoobar", "Invalid HTTP header: Could not parse data entirely (4 != 10)"),
        (b"GET / HTTP/1.1\r\n\r\n", "Not an upgrade request"),
    ];
    for (connection, (bytes, text)) in (1..).zip(garbage) {
        let mut client = Client::connect(reactor.addr());
        client.write(bytes);
        assert!(client.rest().is_empty(), "{text}");
        let expected = [Seen::Accepted, Seen::Rejected(text.to_owned()), Seen::Closed(abrupt())];
        assert_eq!(reactor.story(connection), expected);
    }
    bystander.echo(b"still here");
}

#[test]
fn plain_http_is_answered_where_it_is_to_be() {
    let options = ConnectionOptions { strict: true, ..ConnectionOptions::default() };
    let reactor = Reactor::with_options(options);
    let mut client = Client::connect(reactor.addr());
    client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let header = client.expect_status("426");
    assert!(header.contains("Sec-WebSocket-Version: 13, 8\r\n"), "{header}");
    client.rest();
    let refused = Seen::Rejected("Not an upgrade request".into());
    assert_eq!(reactor.story(0), [Seen::Accepted, refused, Seen::Closed(abrupt())]);
}

#[test]
fn refusals_are_answered_with_their_status() {
    let reactor = Reactor::echo();
    let good = String::from_utf8(request(&RFC_6455)).unwrap();
    let endless = good.replace("\r\n\r\n", &format!("\r\nX: {}", "x".repeat(100_000)));
    let many = good.replace("\r\n\r\n", &"\r\nX: y".repeat(200));
    for (bad, status, text) in [
        (good.replace("Version: 13", "Version: 99"), "426", "Protocol version 99 not supported"),
        (good.replace("GET", "POST"), "400", "Must be GET request"),
        (endless, "431", "HTTP header too long (limit 16384 bytes)"),
        (many, "431", "Too many HTTP headers (limit 100)"),
    ] {
        let mut client = Client::connect(reactor.addr());
        client.write(bad.as_bytes());
        client.expect_status(status);
        client.rest();
        let (_, refused) = reactor.wait_for(|seen| matches!(seen, Seen::Rejected(_)));
        assert_eq!(refused, Seen::Rejected(text.to_owned()));
        assert_eq!(reactor.wait_for_closed(), abrupt());
    }
}

#[test]
fn the_health_check_and_the_flash_policy_are_answered_without_the_application() {
    let reactor = Reactor::echo();
    let requests: [(&[u8], &[u8]); 2] = [
        (b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n", HEALTHCHECK_RESPONSE),
        (b"<policy-file-request/>\0", FLASH_POLICY),
    ];
    for (connection, (request, response)) in (0..).zip(requests) {
        let mut client = Client::connect(reactor.addr());
        client.write(request);
        assert_eq!(client.rest(), response);
        assert_eq!(reactor.story(connection), [Seen::Accepted, Seen::Closed(abrupt())]);
    }
}

#[test]
fn a_client_that_goes_amid_its_handshake_is_only_gone() {
    let reactor = Reactor::echo();
    let mut client = Client::connect(reactor.addr());
    client.write(b"GET /chat HTTP/1.1\r\n");
    drop(client);
    assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Closed(abrupt())]);
}

#[test]
fn closing_before_the_opening_aborts() {
    let act = |handle: &Handle, seen: &Seen| {
        if *seen == Seen::Accepted {
            handle.close(None, "");
        }
        None
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    let mut client = Client::connect(reactor.addr());
    assert!(client.rest().is_empty());
    assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Closed(abrupt())]);
}

#[test]
fn raw_connections_hand_their_bytes_on() {
    let options = ConnectionOptions {
        raw: true,
        handshake_timeout: Duration::from_millis(50),
        ..ConnectionOptions::default()
    };
    let reactor = Reactor::with_options(options);
    let mut client = Client::connect(reactor.addr());
    let (_, first) = {
        client.write(b"GET / HTTP/1.1\r\n\r\n");
        reactor.wait_for(|seen| matches!(seen, Seen::Bytes(_)))
    };
    assert_eq!(first, Seen::Bytes(b"GET / HTTP/1.1\r\n\r\n".to_vec()));
    let handle = reactor.handle(0);
    handle.send_raw(b"and ", Flush::Now);
    handle.send_raw(b"bye", Flush::Now);
    handle.close_after_writing();
    assert_eq!(client.rest(), b"GET / HTTP/1.1\r\n\r\nand bye");
    assert_eq!(reactor.wait_for_closed(), abrupt());
}

#[test]
fn a_paused_connection_is_read_when_it_goes_on() {
    let reactor = Reactor::start(Setup { act: Box::new(ignore), ..Setup::default() });
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_paused(true);
    // One read may be under way already; the next one is not.
    let mut bystander = Client::open(reactor.addr());
    reactor.wait_for_open();
    client.send(Kind::Text, b"one");
    client.send(Kind::Text, b"two");
    bystander.send(Kind::Text, b"from the other");
    let (who, _) = reactor.wait_for(|seen| matches!(seen, Seen::Message(..)));
    assert_eq!(who, 1);
    handle.set_paused(false);
    for text in ["one", "two"] {
        let (_, seen) = reactor.wait_for(|seen| matches!(seen, Seen::Message(..)));
        assert_eq!(seen, Seen::Message(MessageKind::Text, text.into()));
    }
}

#[test]
fn a_port_in_use_is_named() {
    let reactor = Reactor::echo();
    let port = reactor.addr().port();
    let error = Server::bind("127.0.0.1", port, ServerOptions::default()).unwrap_err();
    assert!(matches!(error, BindError::Address { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")), "{text}");

    let error = Server::bind("256.256.256.256", 0, ServerOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 256.256.256.256:0: "), "{error}");
}
