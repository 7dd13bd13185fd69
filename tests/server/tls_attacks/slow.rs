//! Handshakes that never finish: a time limit ends them, however busy they look.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use em_websocket::server::ConnectionOptions;
use rustls::{version::TLS13, StreamOwned};

use super::{flight, second_flight, session, Target, SOON, VERSIONS};
use crate::{
    client::Client,
    reactor::{Reactor, Seen},
    support::{machine::abrupt, RFC_6455},
    tls::{open, options},
};

const TIMEOUT: Duration = Duration::from_millis(800);

fn impatient() -> ConnectionOptions {
    ConnectionOptions { handshake_timeout: TIMEOUT, ..options() }
}

/// Waits until so many connections have come and gone, and nothing else has happened.
#[track_caller]
fn wait_for_ends(reactor: &Reactor, count: usize) {
    let mut ends = 0;
    while ends < count {
        match reactor.next() {
            (_, Seen::Accepted | Seen::Message(..)) => {}
            (_, Seen::Closed(info)) => {
                assert_eq!(info, abrupt());
                ends += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_handshake_that_falls_silent_anywhere_times_out() {
    let mut target = Target::with_options(impatient());
    let since = Instant::now();
    let mut streams = Vec::new();
    for version in VERSIONS {
        let hello = flight(&mut session(version));
        for cut in (0..hello.len()).step_by(hello.len() / 16) {
            let mut stream = target.connect();
            stream.write_all(&hello[..cut]).unwrap();
            streams.push(stream);
        }
        for part in 0..8 {
            let mut stream = target.connect();
            let flight = second_flight(&mut session(version), &mut stream);
            stream.write_all(&flight[..flight.len() * part / 8]).unwrap();
            streams.push(stream);
        }
    }
    // The bystander talks all the while.
    while since.elapsed() < TIMEOUT {
        target.bystander.echo(b"still here");
    }
    wait_for_ends(&target.reactor, streams.len());
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    for stream in streams {
        Client::on(stream, RFC_6455).rest();
    }
    target.bystander.echo(b"still here");
}

#[test]
fn a_handshake_of_a_byte_at_a_time_times_out_all_the_same() {
    let mut target = Target::with_options(impatient());
    for version in VERSIONS {
        let number = target.number();
        let since = Instant::now();
        let mut stream = target.connect();
        let hello = flight(&mut session(version));
        let mut sent = 0;
        // So slow that it takes ten times as long as it may.
        let pause = TIMEOUT * 10 / u32::try_from(hello.len()).unwrap();
        for byte in &hello {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            sent += 1;
            thread::sleep(pause);
        }
        assert!(sent < hello.len() / 2, "{sent} of {} bytes", hello.len());
        assert!(since.elapsed() >= TIMEOUT, "{:?}", since.elapsed());
        assert_eq!(target.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
    }
}

#[test]
fn a_handshake_of_a_byte_at_a_time_is_fine_if_it_is_done_in_time() {
    let mut target = Target::new();
    for version in VERSIONS {
        let mut stream = target.connect();
        let mut session = session(version);
        for byte in flight(&mut session) {
            stream.write_all(&[byte]).unwrap();
        }
        let mut stream = StreamOwned::new(session, stream);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let mut client = Client::on(stream, RFC_6455);
        client.handshake();
        client.echo(b"at last");
    }
    target.bystander.echo(b"still here");
}

#[test]
fn many_silent_handshakes_leave_room_for_one_that_is_not() {
    const SILENT: usize = 200;
    let mut target = Target::with_options(impatient());
    let hello = flight(&mut session(&TLS13));
    let mut streams = Vec::new();
    for i in 0..SILENT {
        let mut stream = target.connect();
        stream.write_all(&hello[..hello.len() * (i % 2) / 2]).unwrap();
        streams.push(stream);
    }
    target.bystander.echo(b"still here");
    wait_for_ends(&target.reactor, SILENT);
    let mut late = open(target.reactor.addr());
    late.echo(b"here, too");
    target.bystander.echo(b"still here");
}
