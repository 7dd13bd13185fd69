//! Behind a handshake that is fine: records that no honest client sends, sealed with the right
//! keys.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Instant,
};

use em_websocket::server::MessageKind;
use rustls::{
    crypto::{
        cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
        ring::{
            cipher_suite::{
                TLS13_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            },
            default_provider,
        },
        CryptoProvider,
    },
    version::{TLS12, TLS13},
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    StreamOwned, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::{flight, send, session, Target, SOON, VERSIONS};
use crate::{
    client::Client,
    reactor::Seen,
    support::{machine::abrupt, Kind, RFC_6455},
    tls::{open_with, roots, server_name},
};

/// KeyUpdate (RFC 8446 section 4.6.3), which asks for one in return.
const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 1];

/// A connection whose handshakes are done, and whose client seals what it likes.
struct Sealer {
    stream: TcpStream,
    number: u32,
    encrypter: Box<dyn MessageEncrypter>,
    version: ProtocolVersion,
    sequence: u64,
}

impl Sealer {
    fn new(target: &mut Target, version: &'static SupportedProtocolVersion) -> Self {
        let number = target.number();
        let session = ClientConnection::new(exposed(version), server_name()).unwrap();
        let mut client = Client::on(StreamOwned::new(session, target.connect()), RFC_6455);
        client.handshake();
        // The server's tickets come behind its handshake: with an echo, they have.
        client.echo(b"hello");
        let StreamOwned { conn, sock } = client.stream;
        let suite = conn.negotiated_cipher_suite().unwrap();
        let (sequence, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
            unreachable!("nothing else is offered");
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, iv.as_ref(), &[]),
        };
        Self { stream: sock, number, encrypter, version: version.version, sequence }
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let plain = OutboundPlainMessage { typ, version: self.version, payload };
        let sealed = self.encrypter.encrypt(plain, self.sequence).unwrap();
        self.sequence += 1;
        sealed.encode()
    }

    /// Sends these bytes, and behind them a message, of which the application hears...
    fn hears(mut self, target: &mut Target, bytes: &[u8]) -> bool {
        let since = Instant::now();
        let text = self.seal(ContentType::ApplicationData, &RFC_6455.frame(Kind::Text, b"after"));
        send(&mut self.stream, &[bytes, &text].concat());
        let _ = self.stream.shutdown(Shutdown::Write);
        Client::on(self.stream, RFC_6455).rest();
        let story = target.story(self.number);
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
        let message = |text: &[u8]| Seen::Message(MessageKind::Text, text.to_vec());
        let (start, end) = story.split_at(3);
        assert_eq!(start, [Seen::Accepted, Seen::Open(13), message(b"hello")]);
        // What came whole before a record that ends the connection counts.
        let end = end.strip_prefix(&[Seen::Message(MessageKind::Ping, Vec::new())]).unwrap_or(end);
        match end {
            [heard, Seen::Closed(info)] if *heard == message(b"after") && *info == abrupt() => true,
            [Seen::Closed(info)] if *info == abrupt() => false,
            _ => panic!("{story:?}"),
        }
    }
}

/// Of a client that gives its keys away.
fn exposed(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            TLS13_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        ..default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// Sends records of these, one behind the other; whether a message behind them is heard.
#[track_caller]
fn survives(
    target: &mut Target,
    version: &'static SupportedProtocolVersion,
    records: &[(ContentType, &[u8])],
) -> bool {
    let mut sealer = Sealer::new(target, version);
    let bytes: Vec<u8> =
        records.iter().flat_map(|(typ, payload)| sealer.seal(*typ, payload)).collect();
    sealer.hears(target, &bytes)
}

#[test]
fn what_is_sealed_here_is_understood() {
    let mut target = Target::new();
    for version in VERSIONS {
        assert!(survives(&mut target, version, &[]));
    }
}

#[test]
fn records_that_may_not_be_end_the_connection() {
    let mut target = Target::new();
    let hello = flight(&mut session(&TLS13));
    let hello = &hello[5..];
    let close = RFC_6455.frame(Kind::Close, b"");
    let both: &[(ContentType, &[u8])] = &[
        (ContentType::Handshake, &[99, 0, 0, 0]),
        (ContentType::Handshake, &[20, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (ContentType::Handshake, &[1, 0xFF, 0xFF, 0xFF]),
        (ContentType::ChangeCipherSpec, &[1]),
        (ContentType::Alert, &[2, 40]),
        (ContentType::Alert, &[1]),
        (ContentType::Alert, &[]),
        // Heartbleed: a request of 16 KiB with a payload of one byte.
        (ContentType::Heartbeat, &[1, 0x40, 0, 7]),
        (ContentType::Unknown(99), &close),
    ];
    for record in both {
        for version in VERSIONS {
            assert!(!survives(&mut target, version, &[*record]), "{version:?}: {record:x?}");
        }
    }
    let tls13: &[&[u8]] = &[
        hello,
        // new_session_ticket, certificate_request: of servers only.
        &[4, 0, 0, 13, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 1, 7, 0],
        &[13, 0, 0, 3, 0, 0, 0],
        // key_update of no meaning, of another length, and with something behind it.
        &[24, 0, 0, 1, 2],
        &[24, 0, 0, 2, 1, 1],
        &[24, 0, 0, 1, 1, 24],
    ];
    for message in tls13 {
        let record = (ContentType::Handshake, *message);
        assert!(!survives(&mut target, &TLS13, &[record]), "{message:x?}");
    }
}

#[test]
fn a_record_that_was_not_sealed_by_the_client_ends_the_connection() {
    let mut target = Target::new();
    for version in VERSIONS {
        let frame = RFC_6455.frame(Kind::Text, b"forged");
        // Sent twice.
        let mut sealer = Sealer::new(&mut target, version);
        let ping = sealer.seal(ContentType::ApplicationData, &RFC_6455.frame(Kind::Ping, b""));
        assert!(!sealer.hears(&mut target, &[&ping[..], &ping].concat()));
        // With one bit changed: of the length, of the text, and of what vouches for it.
        for at in [4, 5, 12, frame.len() + 5] {
            let mut sealer = Sealer::new(&mut target, version);
            let mut record = sealer.seal(ContentType::ApplicationData, &frame);
            record[at] ^= 1;
            assert!(!sealer.hears(&mut target, &record), "byte {at}");
        }
        // Left out.
        let mut sealer = Sealer::new(&mut target, version);
        sealer.seal(ContentType::ApplicationData, &frame);
        assert!(!sealer.hears(&mut target, &[]));
        // Not sealed at all.
        for bytes in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x17, 3, 3, 0, 0], &[0x16, 3, 3, 0, 4, 14, 0, 0, 0]]
        {
            let sealer = Sealer::new(&mut target, version);
            assert!(!sealer.hears(&mut target, bytes), "{bytes:x?}");
        }
    }
}

#[test]
fn a_record_that_is_too_long_ends_the_connection() {
    let mut target = Target::new();
    for version in VERSIONS {
        let frame = RFC_6455.frame(Kind::Binary, &[7; 0x4000]);
        let mut sealer = Sealer::new(&mut target, version);
        // One byte more than 2^14 (RFC 8446 section 5.2).
        let record = sealer.seal(ContentType::ApplicationData, &frame[..0x4001]);
        assert!(!sealer.hears(&mut target, &record));
        let sealer = Sealer::new(&mut target, version);
        assert!(!sealer.hears(&mut target, &[0x17, 3, 3, 0xFF, 0xFF]));
    }
}

#[test]
fn a_few_records_of_nothing_are_fine_and_a_flood_of_them_is_not() {
    let mut target = Target::new();
    let empty = (ContentType::ApplicationData, &[][..]);
    let fragment = (ContentType::Handshake, &[][..]);
    let warning = (ContentType::Alert, &[1, 90][..]);
    for version in VERSIONS {
        assert!(survives(&mut target, version, &[empty; 8]));
        assert!(!survives(&mut target, version, &[empty; 10_000]));
        assert!(!survives(&mut target, version, &[fragment; 10_000]));
        assert!(!survives(&mut target, version, &[warning; 1000]));
    }
}

#[test]
fn a_client_of_tls_1_2_cannot_renegotiate() {
    let mut target = Target::new();
    let hello = flight(&mut session(&TLS12));
    let hello = (ContentType::Handshake, &hello[5..]);
    // It is told no (RFC 5246 section 7.2.2), once.
    assert!(survives(&mut target, &TLS12, &[hello]));
    assert!(!survives(&mut target, &TLS12, &[hello; 2]));
    // hello_request is the server's.
    let request = (ContentType::Handshake, &[0, 0, 0, 0][..]);
    assert!(!survives(&mut target, &TLS12, &[request]));
    // There are no key updates before TLS 1.3.
    assert!(!survives(&mut target, &TLS12, &[(ContentType::Handshake, KEY_UPDATE)]));
}

#[test]
fn a_client_that_renegotiates_is_told_no_before_it_says_more() {
    let mut target = Target::new();
    let hello = flight(&mut session(&TLS12));
    let mut sealer = Sealer::new(&mut target, &TLS12);
    let renegotiation = sealer.seal(ContentType::Handshake, &hello[5..]);
    send(&mut sealer.stream, &renegotiation);
    let mut answer = [0; 5];
    sealer.stream.read_exact(&mut answer).unwrap();
    // An alert, as far as that can be seen.
    assert_eq!(answer[..3], [0x15, 3, 3]);
    assert!(sealer.hears(&mut target, &[]));
}

#[test]
fn new_keys_may_come_with_every_message() {
    let mut target = Target::new();
    let number = target.number();
    let mut client = open_with(target.reactor.addr(), &[&TLS13]);
    for i in 0..200_u8 {
        client.stream.conn.refresh_traffic_keys().unwrap();
        client.echo(&[b'a' + i % 26]);
    }
    client.send(Kind::Close, b"\x03\xe8");
    client.expect(Kind::Close, b"\x03\xe8");
    target.story(number);
}

#[test]
fn new_keys_and_nothing_else_end_the_connection() {
    const FLOOD: usize = 2000;
    let mut target = Target::new();
    let number = target.number();
    let mut client = open_with(target.reactor.addr(), &[&TLS13]);
    client.echo(b"hello");
    let since = Instant::now();
    let StreamOwned { conn, sock } = &mut client.stream;
    for _ in 0..FLOOD {
        conn.refresh_traffic_keys().unwrap();
        while conn.wants_write() {
            // The server may have hung up.
            let mut bytes = Vec::new();
            conn.write_tls(&mut bytes).unwrap();
            let _ = sock.write_all(&bytes);
        }
    }
    let story = target.story(number);
    assert_eq!(story.last(), Some(&Seen::Closed(abrupt())));
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    // What the server had to say meanwhile was little: it is all still there to be read.
    let len = Client::on(&mut *sock, RFC_6455).rest().len();
    assert!(len < 64 * 100, "{len} bytes");
}
