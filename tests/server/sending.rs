//! Sending, from any thread: whole frames, in order, at once or corked.

use std::{
    io::ErrorKind,
    sync::{mpsc, Arc, Barrier},
    thread,
};

use em_websocket::{
    error::UsageError,
    protocol::close::CloseCode,
    server::{Broadcast, Flush, Handle, Sent},
};

use crate::{
    client::Client,
    reactor::{Reactor, Seen, Setup, PATIENCE},
    support::{close_body, Kind, RFC_6455},
    tls,
};

const THREADS: usize = 6;
const MESSAGES: usize = 120;

/// Each thread's messages are of its own byte, numbered, and of all lengths.
fn message(thread: usize, number: usize) -> Vec<u8> {
    let len = [1, 100, 3_000, 20_000, 70_000][number % 5];
    let mut bytes = vec![thread as u8; len];
    bytes.push(number as u8);
    bytes
}

fn send_from_many_threads(handle: &Handle, mut next: impl FnMut() -> (Kind, Vec<u8>)) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for number in 0..MESSAGES {
                    let bytes = message(thread, number);
                    let header = if bytes.len() > 65_535 {
                        10
                    } else if bytes.len() > 125 {
                        4
                    } else {
                        2
                    };
                    // Some of them gather; the next one that does not takes them along.
                    let cork = if number % 3 == 0 { Flush::Later } else { Flush::Now };
                    match handle.send_binary(&bytes, cork).unwrap() {
                        Sent::Bytes(len) | Sent::Unflushed(len) => {
                            assert_eq!(len, header + bytes.len())
                        }
                        Sent::Nothing => panic!("nothing was sent"),
                    }
                }
                handle.flush();
            });
        }
        let mut numbers = [0; THREADS];
        for _ in 0..THREADS * MESSAGES {
            let (kind, bytes) = next();
            assert_eq!(kind, Kind::Binary);
            let thread = usize::from(bytes[0]);
            assert!(bytes == message(thread, numbers[thread]), "thread {thread}, in its order");
            numbers[thread] += 1;
        }
        assert_eq!(numbers, [MESSAGES; THREADS]);
    });
}

#[test]
fn frames_of_many_threads_do_not_mingle() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    send_from_many_threads(&handle, || client.next());
}

#[test]
fn frames_of_many_threads_do_not_mingle_in_tls() {
    let reactor = Reactor::with_options(tls::options());
    let mut client = tls::open(reactor.addr());
    let handle = reactor.wait_for_open();
    send_from_many_threads(&handle, || client.next());
}

/// The driver writes whatever waits when something else wakes it, so what is corked may leave
/// early. Mostly it does not.
#[test]
fn a_frame_sent_to_be_flushed_later_waits_for_the_flush() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    let mut waited = 0;
    for _ in 0..20 {
        assert_eq!(handle.send_text(b"one", Flush::Later), Ok(Sent::Unflushed(5)));
        handle.send_text(b"two", Flush::Later).unwrap();
        handle.ping(b"?", Flush::Later).unwrap();
        client.stream.set_nonblocking(true).unwrap();
        let peeked = client.stream.peek(&mut [0]);
        client.stream.set_nonblocking(false).unwrap();
        if handle.outbound_len() == 13 {
            assert_eq!(peeked.unwrap_err().kind(), ErrorKind::WouldBlock);
            waited += 1;
        }
        handle.flush();
        client.expect(Kind::Text, b"one");
        client.expect(Kind::Text, b"two");
        client.expect(Kind::Ping, b"?");
        assert_eq!(handle.outbound_len(), 0);
    }
    assert!(waited > 10, "{waited} of 20");
}

#[test]
fn a_frame_that_leaves_at_once_takes_along_those_that_wait_for_a_flush() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    for (len, cork) in [(10, Flush::Now), (20_000, Flush::Later), (200_000, Flush::Now)] {
        handle.send_text(b"corked", Flush::Later).unwrap();
        handle.send_binary(&vec![7; len], cork).unwrap();
        client.expect(Kind::Text, b"corked");
        client.expect(Kind::Binary, &vec![7; len]);
    }
    // A close does, too.
    handle.send_text(b"corked", Flush::Later).unwrap();
    handle.close(Some(CloseCode(1000)), "");
    client.expect(Kind::Text, b"corked");
    client.expect(Kind::Close, &close_body(1000, ""));
}

#[test]
fn before_the_opening_nothing_may_be_sent_but_raw_bytes() {
    let (tell, told) = mpsc::channel();
    let act = move |handle: &Handle, seen: &Seen| {
        if *seen == Seen::Accepted {
            let errors = [
                handle.send_text(b"", Flush::Now),
                handle.send_binary(b"", Flush::Now),
                handle.ping(b"", Flush::Now),
                handle.pong(b"", Flush::Now),
            ];
            tell.send(errors.map(Result::unwrap_err)).unwrap();
        }
        None
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    let _client = Client::open(reactor.addr());
    let expected = [
        UsageError::SendBeforeOpen,
        UsageError::SendBinaryBeforeOpen,
        UsageError::PingBeforeOpen,
        UsageError::PongBeforeOpen,
    ];
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), expected);
}

#[test]
fn while_closing_only_control_frames_may_be_sent() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.close(Some(CloseCode(1000)), "");
    assert_eq!(handle.send_text(b"x", Flush::Now), Err(UsageError::Closing));
    assert_eq!(handle.send_binary(b"x", Flush::Now), Err(UsageError::Closing));
    assert_eq!(handle.ping(b"x", Flush::Now), Ok(Sent::Bytes(3)));
    client.expect(Kind::Close, &close_body(1000, ""));
    client.expect(Kind::Ping, b"x");
}

/// It cannot know of it.
#[test]
fn a_send_while_we_close_unasked_goes_nowhere() {
    let reactor = Reactor::echo();
    let message = Arc::new(Broadcast::text(b"to all"));
    let nothing = Ok(Sent::Nothing);
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.close_unasked(Some(CloseCode(1001)), "");
    assert_eq!(handle.send_text(b"x", Flush::Now), nothing);
    assert_eq!(handle.send_binary(b"x", Flush::Now), nothing);
    assert_eq!(handle.send_shared(&message, Flush::Now), Sent::Nothing);
    assert_eq!(handle.ping(b"x", Flush::Now), Ok(Sent::Bytes(3)), "a control frame may follow");
    client.expect(Kind::Close, &close_body(1001, ""));
    client.expect(Kind::Ping, b"x");
    // Once it has closed, too, it knows.
    handle.close(Some(CloseCode(1000)), "");
    assert_eq!(handle.send_text(b"x", Flush::Now), Err(UsageError::Closing));

    // A broken rule is told of when it is answered already.
    let act = |handle: &Handle, seen: &Seen| {
        if matches!(seen, Seen::Error(_)) {
            assert_eq!(handle.send_text(b"x", Flush::Now), Ok(Sent::Nothing));
        }
        None
    };
    let reactor = Reactor::start(Setup { act: Box::new(act), ..Setup::default() });
    let mut client = Client::open(reactor.addr());
    client.send(Kind::Text, b"\xff");
    assert_eq!(client.frames(), [(Kind::Close, close_body(1007, "Invalid UTF8 data"))]);
    reactor.wait_for_closed();

    // It has closed first, and the rest is no news.
    let reactor = Reactor::echo();
    let _client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.close(Some(CloseCode(1000)), "");
    handle.unasked();
    assert_eq!(handle.send_text(b"x", Flush::Now), Err(UsageError::Closing));
}

#[test]
fn raw_bytes_stand_between_frames() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    handle.send_text(b"one", Flush::Later).unwrap();
    handle.send_raw(b"\x81\x03two", Flush::Later);
    handle.send_text(b"three", Flush::Now).unwrap();
    for text in ["one", "two", "three"] {
        client.expect(Kind::Text, text.as_bytes());
    }
}

#[test]
fn a_send_to_one_who_is_gone_goes_nowhere() {
    let reactor = Reactor::echo();
    let client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    drop(client);
    // Before the end is known, when it is, and after.
    for _ in 0..100 {
        handle.send_binary(&[0; 50_000], Flush::Now).unwrap();
    }
    reactor.wait_for_closed();
    assert_eq!(handle.send_binary(b"x", Flush::Now), Ok(Sent::Nothing));
    assert_eq!(handle.ping(b"x", Flush::Now), Ok(Sent::Nothing));
    handle.flush();
    assert_eq!(handle.outbound_len(), 0);
}

#[test]
fn nothing_is_nothing_wrong() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let handle = reactor.wait_for_open();
    for cork in [Flush::Now, Flush::Later] {
        handle.send_raw(b"", cork);
        handle.flush();
        handle.send_text(b"", cork).unwrap();
        handle.flush();
        client.expect(Kind::Text, b"");
    }
}

#[test]
fn a_pong_precedes_the_reply_to_what_came_behind_its_ping() {
    let reactor = Reactor::echo();
    let mut client = Client::open(reactor.addr());
    let frames = [
        RFC_6455.fragment(Kind::Text, false, b"one "),
        RFC_6455.frame(Kind::Ping, b"?"),
        RFC_6455.fragment(Kind::Continuation, true, b"message"),
    ];
    for _ in 0..1_000 {
        client.write(&frames.concat());
        client.expect(Kind::Pong, b"?");
        client.expect(Kind::Text, b"one message");
    }
}
