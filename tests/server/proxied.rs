//! The header of the PROXY protocol, before an opening handshake and before TLS.

use std::{
    io::Write,
    net::{IpAddr, Shutdown},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use em_websocket::{protocol::Networks, server::ConnectionOptions};
use rustls::{version, StreamOwned};

use crate::{
    client::{connect, request, Client},
    reactor::{Reactor, Seen},
    support::{machine::abrupt, Kind, RFC_6455},
    tls, tls_attacks,
};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n";

fn options(networks: &str) -> ConnectionOptions {
    ConnectionOptions {
        proxies: Some(Arc::new(Networks::parse([networks]).unwrap())),
        ..ConnectionOptions::default()
    }
}

fn client_ip() -> Option<IpAddr> {
    Some("192.0.2.1".parse().unwrap())
}

#[test]
fn a_client_behind_a_header_is_served_however_that_is_cut_and_has_its_address() {
    let reactor = Reactor::with_options(options("127.0.0.0/8"));
    // All in one segment, too: nothing behind the header is lost.
    let sent = [HEADER, &request(&RFC_6455), &RFC_6455.frame(Kind::Text, b"early")].concat();
    for at in [1, 6, HEADER.len() - 1, HEADER.len(), HEADER.len() + 1, sent.len()] {
        let mut client = Client::connect(reactor.addr());
        client.write(&sent[..at]);
        sleep(Duration::from_millis(5));
        client.write(&sent[at..]);
        client.expect_status("101");
        client.expect(Kind::Text, b"early");
        let handle = reactor.wait_for_open();
        assert_eq!(handle.client_ip(), client_ip());
        assert!(!handle.is_forwarded());
        assert_eq!(handle.peer_addr(), client.stream.local_addr().ok());
    }
}

#[test]
fn tls_begins_behind_the_header() {
    let proxies = options("::/0").proxies;
    let everywhere = Networks::parse(["0.0.0.0/0", "::/0"]).map(Arc::new);
    for (proxies, is_served) in [(everywhere, true), (proxies, false)] {
        let reactor = Reactor::with_options(ConnectionOptions { proxies, ..tls::options() });
        let mut socket = connect(reactor.addr());
        socket.write_all(HEADER).unwrap();
        let session = tls_attacks::session(&version::TLS13);
        let mut client = Client::on(StreamOwned::new(session, socket), RFC_6455);
        if is_served {
            client.handshake();
            client.echo(b"hello");
            assert_eq!(reactor.wait_for_open().client_ip(), client_ip());
        } else {
            assert!(client.rest().is_empty());
            assert_eq!(reactor.wait_for_closed(), abrupt());
        }
    }
}

#[test]
fn whoever_has_no_header_or_comes_from_elsewhere_is_closed_and_counted() {
    let binary = b"\r\n\r\n\0\r\nQUIT\n";
    let long = [&HEADER[..11], &[b'1'; 10_240][..]].concat();
    let long_binary = [&binary[..], b"\x21\x11\x28\x00", &[0; 10_240]].concat();
    let attacks = [
        ("127.0.0.1", request(&RFC_6455)),
        ("127.0.0.1", long),
        ("127.0.0.1", long_binary),
        ("127.0.0.1", [&binary[..], b"\x21\x11\x00\x0b", &[1; 12]].concat()),
        ("127.0.0.1", [&binary[..], b"\x21\x21\x00\x0c", &[1; 12]].concat()),
        ("127.0.0.1", [&binary[..], b"\x31\x11\x00\x0c", &[1; 12]].concat()),
        ("10.0.0.0/8", [HEADER, &request(&RFC_6455)].concat()),
    ];
    for (networks, sent) in attacks {
        let reactor = Reactor::with_options(options(networks));
        let mut client = Client::connect(reactor.addr());
        let _ = client.stream.write_all(&sent);
        assert!(client.rest().is_empty(), "{}", sent.escape_ascii());
        assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Closed(abrupt())]);
        assert_eq!(reactor.server().stats().failed.get("proxy"), Some(&1));
    }
}

#[test]
fn half_a_header_has_the_time_of_the_opening_handshakes() {
    let reactor = Reactor::with_options(ConnectionOptions {
        handshake_timeout: Duration::from_millis(100),
        ..options("127.0.0.1")
    });
    let mut slow = Client::connect(reactor.addr());
    slow.write(&HEADER[..20]);
    assert!(slow.rest().is_empty());
    assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Closed(abrupt())]);
    // One that ends amid its header is gone at once.
    let mut gone = Client::connect(reactor.addr());
    gone.write(&HEADER[..20]);
    gone.stream.shutdown(Shutdown::Write).unwrap();
    assert!(gone.rest().is_empty());
    assert_eq!(reactor.story(1), [Seen::Accepted, Seen::Closed(abrupt())]);
    assert_eq!(reactor.server().stats().failed.get("proxy"), Some(&2));
}

#[test]
fn without_the_option_a_header_is_no_http() {
    let reactor = Reactor::echo();
    let mut client = Client::connect(reactor.addr());
    client.write(&[HEADER, &request(&RFC_6455)].concat());
    assert!(client.rest().is_empty());
}
