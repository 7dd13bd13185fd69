//! Before there are any keys: what is no ClientHello, what is none that can be answered, and what
//! is cut short.

use std::io::Read;

use super::{alert, flight, second_flight, send, session, Target, Then, VERSIONS};
use crate::{reactor::Seen, support::machine::abrupt};

// Alert descriptions (RFC 8446 section 6).
const UNEXPECTED_MESSAGE: u8 = 10;
const HANDSHAKE_FAILURE: u8 = 40;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;

// Suites that nobody should speak any more, and one that is spoken.
const RSA_WITH_RC4_128_MD5: u16 = 0x0004;
const RSA_WITH_AES_128_CBC_SHA: u16 = 0x002F;
const DHE_RSA_WITH_AES_128_GCM_SHA256: u16 = 0x009E;
const ECDHE_ECDSA_WITH_AES_128_CBC_SHA: u16 = 0xC009;
const ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: u16 = 0xC02B;

/// supported_groups, ec_point_formats and signature_algorithms, as a client of TLS 1.2 has them.
const EXTENSIONS: &[u8] = &[
    0, 10, 0, 4, 0, 2, 0, 23, //
    0, 11, 0, 2, 1, 0, //
    0, 13, 0, 4, 0, 2, 4, 3,
];

/// A handshake message in a record of its own.
fn record(kind: u8, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[kind], &len[1..], message].concat();
    let len = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[0x16, 3, 1], &len[..], &message].concat()
}

/// The records that a server has sent, with their heads.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let [_, _, _, high, low, ..] = *bytes {
        let (record, rest) = bytes.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
        records.push(record);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a record that is cut short: {bytes:x?}");
    records
}

/// A ClientHello (RFC 5246 section 7.4.1.2) that offers this version at most.
fn client_hello(version: u16, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(u16::try_from(suites.len()).unwrap().to_be_bytes());
    hello.extend(suites);
    hello.extend([1, 0]);
    if !extensions.is_empty() {
        hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        hello.extend(extensions);
    }
    record(1, &hello)
}

/// Bytes of no meaning, the same each time.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn what_is_no_tls_is_let_go() {
    let mut target = Target::new();
    let texts: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO mail.example.com\r\n",
        &[0; 100],
        &[0xFF; 100],
    ];
    for bytes in texts {
        let answer = target.attack(bytes, Then::Wait);
        assert!(answer.is_empty() || alert(&answer) == DECODE_ERROR, "{answer:x?}");
    }
    for seed in 0..40 {
        // It may begin like a record that has yet to come.
        target.attack(&noise(seed, 300), Then::Eof);
        target.attack(&[&[0x16, 3, 1][..], &noise(seed, 300)].concat(), Then::Eof);
    }
}

#[test]
fn old_versions_are_refused_by_name() {
    let mut target = Target::new();
    let suites = [ECDHE_ECDSA_WITH_AES_128_CBC_SHA, RSA_WITH_AES_128_CBC_SHA, RSA_WITH_RC4_128_MD5];
    for version in [0x0300, 0x0301, 0x0302] {
        let answer = target.attack(&client_hello(version, &suites, EXTENSIONS), Then::Wait);
        assert_eq!(alert(&answer), PROTOCOL_VERSION, "{version:x}");
        // As these versions came out, there were no extensions.
        let answer = target.attack(&client_hello(version, &suites, &[]), Then::Wait);
        assert!([PROTOCOL_VERSION, HANDSHAKE_FAILURE].contains(&alert(&answer)), "{version:x}");
    }
    // SSL 2.0's own ClientHello, with three suites and a challenge of 16 bytes.
    let ssl2 = [
        &[0x80, 0x22, 1, 0, 2, 0, 9, 0, 0, 0, 16, 1, 0, 0x80, 7, 0, 0xC0, 3, 0, 0x80][..],
        &[7; 16],
    ];
    let answer = target.attack(&ssl2.concat(), Then::Wait);
    assert!(answer.is_empty() || alert(&answer) > 0, "{answer:x?}");
}

#[test]
fn a_client_without_a_suite_in_common_is_told_so() {
    let mut target = Target::new();
    let old = [RSA_WITH_AES_128_CBC_SHA, DHE_RSA_WITH_AES_128_GCM_SHA256, RSA_WITH_RC4_128_MD5];
    let cbc = [ECDHE_ECDSA_WITH_AES_128_CBC_SHA];
    for suites in [&old[..], &cbc, &[0x0A0A, 0x5600]] {
        let answer = target.attack(&client_hello(0x0303, suites, EXTENSIONS), Then::Wait);
        assert_eq!(alert(&answer), HANDSHAKE_FAILURE, "{suites:x?}");
    }
    // The same hello with a suite that is spoken is answered: it is the suites that were refused.
    let number = target.number();
    let mut stream = target.connect();
    let hello = client_hello(0x0303, &[ECDHE_ECDSA_WITH_AES_128_GCM_SHA256], EXTENSIONS);
    send(&mut stream, &hello);
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], 0x16);
    drop(stream);
    assert_eq!(target.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
}

#[test]
fn lengths_that_promise_too_much_are_refused() {
    let mut target = Target::new();
    // A record may be of 2^14 bytes (RFC 8446 section 5.1), and some more where it is encrypted.
    for len in [0xFFFF_u16, 0x8000, 0x4801] {
        let head = [&[0x16, 3, 1][..], &len.to_be_bytes(), &[1, 0, 0, 0]].concat();
        assert!(alert(&target.attack(&head, Then::Wait)) > 0, "{len:x}");
    }
    // A handshake message that says it is of 16 MiB, in records that are fine.
    let piece = [&[0x16, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF][..], &[0; 0x3FFC]].concat();
    // The alert may be lost, as most of this is never read.
    let answer = target.attack(&piece, Then::Wait);
    assert!(answer.is_empty() || alert(&answer) > 0);
    // One that stays just below the limit, but is no hello.
    let zeros = record(1, &[0; 0x3FFC]);
    assert_eq!(alert(&target.attack(&zeros, Then::Wait)), DECODE_ERROR);
}

#[test]
fn a_handshake_out_of_order_is_refused() {
    let mut target = Target::new();
    // server_hello, certificate, client_key_exchange, finished, key_update, and none that exists.
    for kind in [2, 11, 16, 20, 24, 99] {
        let answer = target.attack(&record(kind, &[0; 64]), Then::Wait);
        assert!(
            [UNEXPECTED_MESSAGE, DECODE_ERROR].contains(&alert(&answer)),
            "{kind}: {answer:x?}"
        );
    }
    // Application data, and ChangeCipherSpec, before any hello.
    for bytes in [&[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5][..], &[0x14, 3, 3, 0, 1, 1].repeat(50)] {
        assert!(alert(&target.attack(bytes, Then::Wait)) > 0);
    }
    // Fragments of no length, which would never make a message (RFC 8446 section 5.1).
    let answer = target.attack(&[0x16, 3, 1, 0, 0].repeat(10_000), Then::Wait);
    assert!(answer.is_empty() || alert(&answer) > 0);
    for version in VERSIONS {
        let hello = flight(&mut session(version));
        target.attack(&hello.repeat(3), Then::Eof);
    }
}

#[test]
fn a_client_that_sends_what_may_not_follow_its_hello_in_the_same_segment_is_let_go_at_once() {
    let mut target = Target::new();
    // A second hello, a handshake message of another kind, application data, and no TLS at all.
    for version in VERSIONS {
        let hello = flight(&mut session(version));
        let finished = record(20, &[0; 12]);
        let data = [0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5];
        for behind in [&hello[..], &finished, &data, b"GET / HTTP/1.1\r\n\r\n"] {
            let answer = target.attack(&[&hello, behind].concat(), Then::Wait);
            let records = records(&answer);
            assert_eq!(records[0][0], 0x16, "{version:?}, {behind:x?}: no answer to the hello");
            // An alert, which TLS 1.3 encrypts: with the record's kind, and a tag of 16 bytes.
            let last = records[records.len() - 1];
            assert!(
                matches!(last, [0x15, 3, 3, 0, 2, 2, _] | [0x17, 3, 3, 0, 19, ..]),
                "{version:?}, {behind:x?}: {last:x?}"
            );
        }
    }
}

#[test]
fn a_hello_that_is_cut_short_by_the_end_is_let_go_at_once() {
    let mut target = Target::new();
    for version in VERSIONS {
        let hello = flight(&mut session(version));
        for cut in (0..hello.len()).step_by(3) {
            target.attack(&hello[..cut], Then::Eof);
        }
    }
}

#[test]
fn a_hello_with_any_byte_changed_does_no_harm() {
    let mut target = Target::new();
    for version in VERSIONS {
        let hello = flight(&mut session(version));
        for at in (0..hello.len()).step_by(3) {
            let mut changed = hello.clone();
            changed[at] ^= 0xFF;
            target.attack(&changed, Then::Eof);
        }
    }
}

#[test]
fn a_second_flight_that_is_cut_short_by_the_end_is_let_go_at_once() {
    let mut target = Target::new();
    for version in VERSIONS {
        let mut cut = 0;
        loop {
            let number = target.number();
            let mut stream = target.connect();
            let flight = second_flight(&mut session(version), &mut stream);
            if cut >= flight.len() {
                break;
            }
            send(&mut stream, &flight[..cut]);
            drop(stream);
            let story = target.story(number);
            assert_eq!(story, [Seen::Accepted, Seen::Closed(abrupt())]);
            cut += 5;
        }
        target = Target::new();
    }
}

#[test]
fn a_second_flight_with_any_byte_changed_is_refused() {
    let mut target = Target::new();
    for version in VERSIONS {
        let mut at = 0;
        loop {
            let number = target.number();
            let mut stream = target.connect();
            let mut flight = second_flight(&mut session(version), &mut stream);
            if at >= flight.len() {
                break;
            }
            flight[at] ^= 0x55;
            send(&mut stream, &flight);
            drop(stream);
            let seen = target.story(number);
            assert_eq!(seen, [Seen::Accepted, Seen::Closed(abrupt())], "{version:?}, byte {at}");
            at += 5;
        }
        target = Target::new();
    }
}
