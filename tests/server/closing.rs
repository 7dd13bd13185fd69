//! Every way a connection ends but by the server's own stop.

use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use em_websocket::{
    protocol::{close::CloseCode, ReadyState},
    server::{ConnectionOptions, Flush, Handle, MessageKind},
};

use crate::{
    client::Client,
    reactor::{echo, Reactor, Seen, Setup},
    support::{
        close_body,
        machine::{abrupt, clean},
        Frame, Kind, RFC_6455,
    },
    tls,
};

/// A reactor whose connections wait this long for the answer to their close.
fn reactor_with_close_timeout(close_timeout: Duration) -> Reactor {
    Reactor::with_options(ConnectionOptions { close_timeout, ..ConnectionOptions::default() })
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_replies() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    client.send(Kind::Text, b"one");
    client.send(Kind::Binary, &[7; 300_000]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect(Kind::Text, b"one");
    client.expect(Kind::Binary, &[7; 300_000]);
    assert!(client.rest().is_empty());
    assert_eq!(reactor.wait_for_closed(), abrupt());
}

#[test]
fn a_client_that_sends_no_more_still_gets_more_than_the_sockets_hold() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let bytes = vec![7; 9_000_000];
    client.send(Kind::Binary, &bytes);
    client.stream.shutdown(Shutdown::Write).unwrap();
    // Not a byte of it is read before the server has told of the end.
    let length = bytes.len();
    let (_, seen) = reactor.wait_for(|seen| !matches!(seen, Seen::Accepted | Seen::Open(_)));
    assert!(matches!(seen, Seen::Message(_, bytes) if bytes.len() == length));
    reactor.wait_for_closed();
    client.expect(Kind::Binary, &bytes);
    assert!(client.rest().is_empty());
}

#[test]
fn a_tls_client_that_sends_no_more_still_gets_its_replies() {
    let reactor = Reactor::with_options(tls::options());
    let mut client = tls::open(reactor.addr());
    client.send(Kind::Text, b"one");
    client.send(Kind::Binary, &[7; 300_000]);
    client.stream.conn.send_close_notify();
    client.write(b"");
    client.stream.sock.shutdown(Shutdown::Write).unwrap();
    client.expect(Kind::Text, b"one");
    client.expect(Kind::Binary, &[7; 300_000]);
    assert!(client.rest().is_empty());
    assert_eq!(reactor.wait_for_closed(), abrupt());
}

#[test]
fn a_tls_client_whose_end_comes_while_nothing_waits_gets_close_notify() {
    for tells in [true, false] {
        let reactor = Reactor::with_options(tls::options());
        let mut client = tls::open(reactor.addr());
        reactor.wait_for_open();
        if tells {
            client.stream.conn.send_close_notify();
            client.stream.flush().unwrap();
        }
        client.stream.sock.shutdown(Shutdown::Write).unwrap();
        let end = client.stream.read(&mut [0; 16]);
        assert_eq!(end.expect("no close_notify"), 0, "tells: {tells}");
    }
}

#[test]
fn a_tls_client_whose_end_comes_while_bytes_wait_gets_them_and_close_notify() {
    for (tells, is_read_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let reactor = Reactor::with_options(tls::options());
        let mut client = tls::open(reactor.addr());
        let handle = reactor.wait_for_open();
        let bytes = vec![7; 9_000_000];
        handle.send_binary(&bytes, Flush::Now).unwrap();
        assert!(handle.outbound_len() > 0, "nothing waits");
        if tells {
            client.stream.conn.send_close_notify();
            client.stream.flush().unwrap();
        }
        client.stream.sock.shutdown(Shutdown::Write).unwrap();
        if !is_read_first {
            reactor.wait_for_closed();
        }
        client.expect(Kind::Binary, &bytes);
        let end = client.stream.read(&mut [0; 16]);
        assert_eq!(end.expect("no close_notify"), 0, "tells: {tells}, read: {is_read_first}");
    }
}

#[test]
fn replies_precede_the_reply_to_a_close_in_the_same_segment() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let mut frames: Vec<u8> =
        (0..50u8).flat_map(|i| RFC_6455.frame(Kind::Text, &[b'0' + i])).collect();
    frames.extend(RFC_6455.frame(Kind::Ping, b"?"));
    frames.extend(RFC_6455.frame(Kind::Close, &close_body(1000, "done")));
    client.write(&frames);
    let mut frames = client.frames();
    // The pong need not wait for the application, but for nothing that came behind its ping.
    let pong = frames.iter().position(|(kind, _)| *kind == Kind::Pong).unwrap();
    assert_eq!(frames.remove(pong).1, b"?");
    let echoes = (0..50u8).map(|i| (Kind::Text, vec![b'0' + i]));
    let expected: Vec<_> = echoes.chain([(Kind::Close, close_body(1000, ""))]).collect();
    assert_eq!(frames, expected);
    assert!(pong <= 50);
    assert_eq!(reactor.wait_for_closed(), clean(1000, "done"));
}

#[test]
fn the_end_follows_the_reply_although_the_client_stays() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    client.send(Kind::Close, &close_body(1000, "done"));
    // `rest` returns at the end of the stream, while our socket is open.
    assert_eq!(client.frames(), [(Kind::Close, close_body(1000, ""))]);
    let expected = [
        Seen::Accepted,
        Seen::Open(13),
        Seen::Close(Some(1000), close_body(1000, "done")),
        Seen::Closed(clean(1000, "done")),
    ];
    assert_eq!(reactor.story(0), expected);
}

#[test]
fn we_close_and_the_client_acknowledges() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.close(Some(CloseCode(4001)), "bye");
    assert_eq!(handle.ready_state(), ReadyState::Closing);
    client.expect(Kind::Close, &close_body(4001, "bye"));
    // What was under way is heard, and a ping is answered.
    client.send(Kind::Text, b"late");
    client.send(Kind::Ping, b"?");
    client.expect(Kind::Pong, b"?");
    client.send(Kind::Close, &close_body(4001, "bye"));
    assert!(client.rest().is_empty(), "no second close frame");
    let expected = [
        Seen::Message(MessageKind::Text, b"late".to_vec()),
        Seen::Message(MessageKind::Ping, b"?".to_vec()),
        Seen::Close(Some(4001), close_body(4001, "bye")),
        Seen::Closed(clean(4001, "bye")),
    ];
    assert_eq!(reactor.story(0), expected);
    assert_eq!(handle.ready_state(), ReadyState::Closed);
}

#[test]
fn a_close_that_is_not_acknowledged_ends_with_an_error() {
    let reactor = reactor_with_close_timeout(Duration::from_millis(100));
    let mut client = Client::open(reactor.addr());
    reactor.wait_for_open().close(Some(CloseCode(1000)), "");
    assert_eq!(client.frames(), [(Kind::Close, close_body(1000, ""))]);
    let error = "Close handshake un-acked after 0.1s, closing tcp connection";
    assert_eq!(reactor.story(0), [Seen::Error(error.into()), Seen::Closed(abrupt())]);
}

#[test]
fn a_close_acknowledged_too_late_counts_as_unacknowledged() {
    let reactor = reactor_with_close_timeout(Duration::from_millis(50));
    let mut client = Client::open(reactor.addr());
    reactor.wait_for_open().close(None, "");
    client.rest();
    // The connection is gone by now; its end is told once.
    client.stream.shutdown(Shutdown::Both).unwrap();
    let story = reactor.story(0);
    assert_eq!(story.len(), 2, "{story:?}");
    let mut next = Client::open(reactor.addr());
    next.echo(b"and nothing more of it");
    assert_eq!(reactor.next().1, Seen::Accepted);
}

#[test]
fn abort_ends_at_once() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.abort();
    assert!(client.rest().is_empty());
    assert_eq!(reactor.story(0), [Seen::Closed(abrupt())]);
    // What is sent afterwards goes nowhere, without a complaint.
    assert!(handle.send_text(b"x", Flush::Now).is_ok());
    handle.close(None, "");
    handle.abort();
    assert_eq!(handle.ready_state(), ReadyState::Closed);
}

#[test]
fn a_client_that_is_cut_off_is_gone() {
    let reactor = Reactor::echo();
    let client = Client::open(reactor.addr());
    reactor.wait_for_open();
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(reactor.story(0), [Seen::Closed(abrupt())]);
}

#[test]
fn an_error_reaches_a_client_that_goes_on_sending() {
    let reactor = Reactor::echo();
    let mut bystander = Client::open(reactor.addr());
    let mut client = Client::open(reactor.addr());
    let frame = Frame { reserved: 4, ..RFC_6455.plain(Kind::Text, true, b"x") };
    let more = RFC_6455.frame(Kind::Binary, &[0; 500_000]);
    client.write(&[RFC_6455.encode(&frame), more].concat());
    // Were the connection closed with bytes unread, a reset would overtake the close frame.
    let reason = "Reserved bits must be 0";
    assert_eq!(client.frames(), [(Kind::Close, close_body(1002, reason))]);
    // It is read, and not heard, for a while.
    for _ in 0..30 {
        client.write(&[0; 10_000]);
        thread::yield_now();
    }
    let story = reactor.story(1);
    assert_eq!(story[2..], [Seen::Error(reason.into()), Seen::Closed(abrupt())]);
    bystander.echo(b"still here");
}

#[test]
fn each_kind_of_error_has_its_code() {
    let reactor = Reactor::echo();
    let frames = [
        (RFC_6455.frame(Kind::Text, b"\xff"), 1007, "Invalid UTF8 data"),
        (RFC_6455.frame(Kind::Continuation, b""), 1002, "Continuation frame not expected"),
        (RFC_6455.frame(Kind::Close, b"\x03\xed"), 1002, "Invalid close code 1005"),
        (
            b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00".to_vec(),
            1009,
            "Frame length too long (4294967306 bytes)",
        ),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00".to_vec(), 1002, "Invalid frame length"),
    ];
    for (bytes, code, reason) in frames {
        let mut client = Client::open(reactor.addr());
        client.write(&bytes);
        assert_eq!(client.frames(), [(Kind::Close, close_body(code, reason))]);
        assert_eq!(reactor.wait_for_closed(), abrupt());
    }
}

#[test]
fn messages_sent_in_onerror_leave_before_the_end() {
    let act = |handle: &Handle, seen: &Seen| {
        if matches!(seen, Seen::Error(_)) {
            handle.send_raw(b"last words", Flush::Later);
        }
        echo(handle, seen)
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    let mut client = Client::open(reactor.addr());
    client.send(Kind::Text, b"\xff");
    let rest = client.rest();
    assert!(rest.ends_with(b"last words"), "{rest:x?}");
}

#[test]
fn everything_is_written_before_the_end() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    for i in 0..40u8 {
        handle.send_binary(&vec![i; 500_000], Flush::Now).unwrap();
    }
    assert!(handle.outbound_len() > 0, "more than the sockets hold");
    handle.close_after_writing();
    for i in 0..40u8 {
        client.expect(Kind::Binary, &vec![i; 500_000]);
    }
    assert!(client.rest().is_empty());
    assert_eq!(reactor.wait_for_closed(), abrupt());
}

#[test]
fn a_client_that_reads_nothing_is_not_waited_for_longer_than_for_an_answer() {
    let reactor = reactor_with_close_timeout(Duration::from_millis(200));
    let client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.send_binary(&vec![0; 30_000_000], Flush::Now).unwrap();
    handle.close_after_writing();
    assert_eq!(reactor.wait_for_closed(), abrupt());
    drop(client);
}

#[test]
fn both_close_at_the_same_moment() {
    let reactor = Reactor::echo();
    for _ in 0..50 {
        let mut client = Client::open(reactor.addr());
        let handle = reactor.wait_for_open();
        let ours = thread::spawn(move || handle.close(Some(CloseCode(1000)), "ours"));
        client.send(Kind::Close, &close_body(1000, "theirs"));
        let frames = client.frames();
        ours.join().unwrap();
        assert!(
            frames == [(Kind::Close, close_body(1000, "ours"))]
                || frames == [(Kind::Close, close_body(1000, ""))],
            "{frames:?}"
        );
        assert_eq!(reactor.wait_for_closed(), clean(1000, "theirs"));
    }
}

#[test]
fn a_connection_without_a_byte_either_way_is_aborted_where_that_is_limited() {
    let reactor = Reactor::echo();
    let mut idle = Client::open(reactor.addr());
    let limit = Some(Duration::from_millis(100));
    let handle = reactor.wait_for_open();
    assert_eq!(handle.inactivity_timeout(), None);
    handle.set_inactivity_timeout(limit);
    assert_eq!(handle.inactivity_timeout(), limit);

    let mut busy = Client::open(reactor.addr());
    reactor.wait_for_open().set_inactivity_timeout(Some(Duration::from_secs(3)));
    let mut patient = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.set_inactivity_timeout(limit);
    handle.set_inactivity_timeout(None);

    assert!(idle.rest().is_empty());
    assert_eq!(
        reactor.wait_for(|seen| matches!(seen, Seen::Closed(_))),
        (0, Seen::Closed(abrupt()))
    );
    busy.echo(b"still here");
    patient.echo(b"still here");
}
