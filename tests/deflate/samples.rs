//! The bytes that RFC 7692 section 7.2.3 gives, both ways.

use em_websocket::protocol::{
    deflate::{Config, Deflater, Params},
    version::RFC_6455,
    Opcode, Receiver,
};

use super::{compressed, hear, receiver, support, text};
use support::{machine::Seen, Kind};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

#[track_caller]
fn says_hello(receiver: &mut Receiver, bytes: &[u8]) {
    assert_eq!(hear(receiver, bytes), [Seen::text("Hello")]);
}

/// Section 7.2.3.1. The sample is unmasked, as a server may send it; a client's mask is put on here
/// and there.
#[test]
fn one_compressed_block() {
    says_hello(&mut receiver(), &[&[0xc1, 0x07], &HELLO[..]].concat());
    says_hello(&mut receiver(), &text(&HELLO));
}

#[test]
fn one_compressed_block_in_two_fragments() {
    let fragments = [0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00];
    says_hello(&mut receiver(), &fragments);
    let first = compressed(Kind::Text, false, &HELLO[..3]);
    let second = support::RFC_6455.fragment(Kind::Continuation, true, &HELLO[3..]);
    says_hello(&mut receiver(), &[first, second].concat());
}

/// Section 7.2.3.2.
#[test]
fn the_window_is_shared() {
    let mut receiver = receiver();
    says_hello(&mut receiver, &text(&HELLO));
    says_hello(&mut receiver, &text(&HELLO));
    says_hello(&mut receiver, &text(&[0xf2, 0x00, 0x11, 0x00, 0x00]));
}

/// Section 7.2.3.3.
#[test]
fn a_block_without_compression() {
    let frame = [0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    says_hello(&mut receiver(), &frame);
}

/// Section 7.2.3.4: with BFINAL, and the header of an empty block behind it.
#[test]
fn a_last_block() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let mut receiver = receiver();
    says_hello(&mut receiver, &text(&last));
    says_hello(&mut receiver, &text(&last));
    says_hello(&mut receiver, &text(&HELLO));
    // What came since then can be referred to.
    says_hello(&mut receiver, &text(&[0xf2, 0x00, 0x11, 0x00, 0x00]));
    // Without that header, as some send it.
    says_hello(&mut receiver, &text(&last[..7]));
    says_hello(&mut receiver, &text(&HELLO));
}

/// Section 7.2.3.5.
#[test]
fn two_blocks_in_one_message() {
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    says_hello(&mut receiver(), &text(&blocks));
}

/// Section 7.2.3.6.
#[test]
fn an_empty_fragment() {
    let empty = [Seen::text("")];
    let mut receiver = receiver();
    assert_eq!(hear(&mut receiver, &text(&[0x00])), empty);
    // A fixed block with nothing in it, and nothing at all.
    assert_eq!(hear(&mut receiver, &text(&[0x02, 0x00])), empty);
    assert_eq!(hear(&mut receiver, &text(&[])), empty);
    let last = support::RFC_6455.fragment(Kind::Continuation, true, &[0x00]);
    let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff];
    says_hello(&mut receiver, &[compressed(Kind::Text, false, &first), last].concat());
    says_hello(&mut receiver, &text(&[0xf2, 0x00, 0x11, 0x00, 0x00]));
}

#[test]
fn the_samples_are_sent_alike() {
    let config = Config { threshold: 0, level: 6, ..Config::default() };
    let mut deflater = Deflater::new(&Params::default(), &config);
    let mut out = Vec::new();
    deflater.message(&RFC_6455, Opcode::Text, b"Hello", &mut out);
    assert_eq!(out, [&[0xc1, 0x07], &HELLO[..]].concat());
    out.clear();
    deflater.message(&RFC_6455, Opcode::Text, b"Hello", &mut out);
    assert_eq!(out, [0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00]);
}
