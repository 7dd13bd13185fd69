//! Ends: told and untold, at every point. Whatever TLS says of the end, it is the WebSocket's
//! closing handshake alone that makes it a clean one.

use std::{io::Write, net::Shutdown, time::Duration};

use em_websocket::server::MessageKind;
use rustix::net::sockopt::set_socket_linger;
use rustls::{StreamOwned, SupportedProtocolVersion};

use super::{flight, second_flight, send, session, Target, Then, VERSIONS};
use crate::{
    client::{request, Client},
    reactor::Seen,
    support::{
        close_body,
        machine::{abrupt, clean},
        Kind, RFC_6455,
    },
    tls::{open_with, TlsClient},
};

const CLOSE_NOTIFY: &[u8] = &[0x15, 3, 3, 0, 2, 1, 0];
/// "user_canceled", which is a warning.
const USER_CANCELED: &[u8] = &[0x15, 3, 3, 0, 2, 1, 90];
const FATAL: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];

impl Target {
    /// A client of this version whose handshakes are done, and its connection's number.
    fn open(&mut self, version: &'static SupportedProtocolVersion) -> (u32, TlsClient) {
        let number = self.number();
        (number, open_with(self.reactor.addr(), &[version]))
    }
}

/// Ends the client's direction, and tells so or not.
fn end(client: &mut TlsClient, tells: bool) {
    if tells {
        client.stream.conn.send_close_notify();
        client.write(b"");
    }
    client.stream.sock.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn alerts_instead_of_a_hello_end_the_connection() {
    let mut target = Target::new();
    for alerts in [CLOSE_NOTIFY.to_vec(), FATAL.to_vec(), USER_CANCELED.repeat(100)] {
        target.attack(&alerts, Then::Eof);
    }
    // After which none could come any more.
    target.attack(FATAL, Then::Wait);
}

#[test]
fn alerts_within_the_handshake_end_the_connection() {
    let mut target = Target::new();
    for version in VERSIONS {
        for alerts in [CLOSE_NOTIFY.to_vec(), FATAL.to_vec(), USER_CANCELED.repeat(100)] {
            // In the middle of the hello, where no alert may be, and behind it.
            let hello = flight(&mut session(version));
            let (start, rest) = hello.split_at(hello.len() / 2);
            target.attack(&[start, &alerts, rest].concat(), Then::Eof);
            target.attack(&[&hello[..], &alerts].concat(), Then::Eof);
            // Instead of what comes second.
            let number = target.number();
            let mut stream = target.connect();
            second_flight(&mut session(version), &mut stream);
            send(&mut stream, &alerts);
            stream.shutdown(Shutdown::Write).unwrap();
            Client::on(stream, RFC_6455).rest();
            assert_eq!(target.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
        }
    }
}

#[test]
fn an_end_between_the_handshakes_is_told_as_one() {
    let mut target = Target::new();
    for (version, tells) in
        VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)])
    {
        let whole = request(&RFC_6455);
        for len in [0, 1, whole.len() / 2, whole.len() - 1] {
            let number = target.number();
            let mut stream = StreamOwned::new(session(version), target.connect());
            stream.conn.complete_io(&mut stream.sock).unwrap();
            let mut client = Client::on(stream, RFC_6455);
            client.write(&whole[..len]);
            end(&mut client, tells);
            assert!(client.rest().is_empty());
            assert_eq!(target.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
        }
    }
}

#[test]
fn an_end_without_a_close_is_never_clean_whatever_tls_says_of_it() {
    let mut target = Target::new();
    for (version, tells) in
        VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)])
    {
        let (number, mut client) = target.open(version);
        client.send(Kind::Text, b"before the end");
        end(&mut client, tells);
        // What came whole is answered all the same.
        client.expect(Kind::Text, b"before the end");
        assert!(client.rest().is_empty());
        let seen = target.story(number);
        let message = Seen::Message(MessageKind::Text, b"before the end".to_vec());
        assert_eq!(seen, [Seen::Accepted, Seen::Open(13), message, Seen::Closed(abrupt())]);
    }
}

#[test]
fn a_message_that_the_end_cuts_short_is_none() {
    let mut target = Target::new();
    let frame = RFC_6455.frame(Kind::Text, &[b'x'; 1000]);
    for (version, tells) in
        VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)])
    {
        for len in [1, 3, 500, frame.len() - 1] {
            let (number, mut client) = target.open(version);
            client.write(&frame[..len]);
            end(&mut client, tells);
            assert!(client.rest().is_empty());
            let seen = target.story(number);
            assert_eq!(seen, [Seen::Accepted, Seen::Open(13), Seen::Closed(abrupt())]);
        }
    }
}

#[test]
fn a_record_that_the_end_cuts_short_is_none() {
    let mut target = Target::new();
    for version in VERSIONS {
        for part in 0..5 {
            let (number, mut client) = target.open(version);
            let frame = RFC_6455.frame(Kind::Text, &[b'x'; 1000]);
            client.stream.conn.writer().write_all(&frame).unwrap();
            let record = flight(&mut client.stream.conn);
            send(&mut client.stream.sock, &record[..(record.len() - 1) * part / 4]);
            end(&mut client, false);
            assert!(client.rest().is_empty());
            let seen = target.story(number);
            assert_eq!(seen, [Seen::Accepted, Seen::Open(13), Seen::Closed(abrupt())]);
        }
    }
}

#[test]
fn a_close_is_clean_even_if_tls_is_told_nothing() {
    let mut target = Target::new();
    for version in VERSIONS {
        let (number, mut client) = target.open(version);
        client.send(Kind::Close, &close_body(1000, "done"));
        end(&mut client, false);
        client.expect(Kind::Close, b"\x03\xe8");
        assert!(client.rest().is_empty());
        assert_eq!(target.story(number).last(), Some(&Seen::Closed(clean(1000, "done"))));
    }
}

#[test]
fn nothing_counts_that_comes_behind_close_notify() {
    let mut target = Target::new();
    for version in VERSIONS {
        let (number, mut client) = target.open(version);
        client.stream.conn.send_close_notify();
        let mut bytes = flight(&mut client.stream.conn);
        bytes.extend([0x17, 3, 3, 0, 40]);
        bytes.extend([0; 40]);
        send(&mut client.stream.sock, &bytes);
        assert!(client.rest().is_empty());
        let seen = target.story(number);
        assert_eq!(seen, [Seen::Accepted, Seen::Open(13), Seen::Closed(abrupt())]);
    }
}

#[test]
fn a_reset_at_any_point_ends_the_connection() {
    let mut target = Target::new();
    for version in VERSIONS {
        for point in 0..4 {
            let number = target.number();
            let mut stream = target.connect();
            match point {
                0 => {}
                1 => send(&mut stream, &flight(&mut session(version))[..50]),
                2 => {
                    second_flight(&mut session(version), &mut stream);
                }
                _ => {
                    let mut session = session(version);
                    let flight = second_flight(&mut session, &mut stream);
                    send(&mut stream, &flight);
                }
            }
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            drop(stream);
            assert_eq!(target.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
        }
    }
}
