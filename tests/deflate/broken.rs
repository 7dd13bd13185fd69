//! Messages that are no text, or no DEFLATE.

use em_websocket::{
    error::ProtocolError,
    protocol::{close::CloseCode, deflate::Params, Limits},
};

use super::{compressed, hear, hear_cut, receiver, receiver_with, support, text, Peer};
use support::{machine::Seen, Kind, RFC_6455};

/// Texts that are bad at their last byte, and not before (the cases of Autobahn's 6.4, and more).
const BAD: [&[u8]; 8] = [
    b"\xff",
    b"plain \x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90",
    b"\xed\xa0",
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x9f\x98\x41",
    b"\xe2\x82\x28",
];

const INVALID: [Seen; 1] = [Seen::Error(ProtocolError::InvalidUtf8)];

#[test]
fn text_is_refused_at_its_first_bad_byte() {
    for bad in BAD {
        let (last, good) = bad.split_last().unwrap();
        let mut peer = Peer::new(true);
        let good = peer.blocks(good);
        let bad = peer.blocks(&[*last]);
        // In a frame whose end is far away, in a fragment, and in a frame of its own.
        let endless = [&good[..], &bad, &[0x00; 50_000]].concat();
        let frame = text(&endless);
        let header = frame.len() - endless.len();
        let until_bad = header + good.len() + bad.len();
        let mut one = receiver();
        assert_eq!(hear(&mut one, &frame[..header + good.len()]), [], "{}", last.escape_ascii());
        assert_eq!(hear(&mut one, &frame[header + good.len()..until_bad]), INVALID);
        let mut bytewise = receiver();
        assert_eq!(hear_cut(&mut bytewise, &frame[..until_bad], &[1]), INVALID);

        let mut two = receiver();
        assert_eq!(hear(&mut two, &compressed(Kind::Text, false, &good)), []);
        assert_eq!(hear(&mut two, &RFC_6455.frame(Kind::Ping, b"")), [Seen::Ping(Vec::new())]);
        assert_eq!(hear(&mut two, &RFC_6455.fragment(Kind::Continuation, false, &bad)), INVALID);

        let whole = [good, bad].concat();
        assert_eq!(hear(&mut receiver(), &text(&whole[..whole.len() - 4])), INVALID);
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_and_blocks_but_not_by_the_end() {
    let message = "Hello-µ@ßöäüàá-UTF-8!! 😀";
    let mut peer = Peer::new(true);
    let mut frames = vec![compressed(Kind::Text, false, b"")];
    for byte in message.as_bytes() {
        frames.push(RFC_6455.fragment(Kind::Continuation, false, &peer.blocks(&[*byte])));
    }
    frames.push(RFC_6455.fragment(Kind::Continuation, true, &[0x00]));
    assert_eq!(hear(&mut receiver(), &frames.concat()), [Seen::text(message)]);

    let cut = Peer::new(true).message("😀".as_bytes().split_last().unwrap().1);
    assert_eq!(hear(&mut receiver(), &text(&cut)), INVALID);
    let binary = [Seen::Binary(b"\xf0\x9f\x98".to_vec())];
    assert_eq!(hear(&mut receiver(), &compressed(Kind::Binary, true, &cut)), binary);
}

/// The one of two errors that ends a message depends on where they stand, not on the cuts.
#[test]
fn what_is_behind_the_limit_is_not_judged() {
    let limits = Limits { message: 10, ..Limits::default() };
    let too_long = Seen::Error(ProtocolError::MessageTooLong(11));
    for (bad, expected) in [(5, &INVALID[0]), (9, &INVALID[0]), (11, &too_long), (15, &too_long)] {
        let mut message = [b'a'; 20];
        message[bad] = 0xff;
        let frame = text(&Peer::new(true).message(&message));
        for cuts in [&[frame.len()][..], &[1], &[8, 3]] {
            let mut receiver = receiver_with(RFC_6455, &Params::default(), limits);
            let seen = hear_cut(&mut receiver, &frame, cuts);
            assert_eq!(seen, std::slice::from_ref(expected), "{bad} {cuts:?}");
        }
    }
}

/// Payloads that cannot be inflated.
const BROKEN: [(&str, &[u8]); 13] = [
    ("a block of the reserved type", &[0x06]),
    ("noise", b"\xff\xff\xff\xff\xff"),
    ("plain text", b"Hello, world"),
    ("a stored block whose lengths differ", &[0x00, 0x05, 0x00, 0xfa, 0xfe]),
    ("a way back before the beginning", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
    ("the tail left on", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff]),
    ("an unfinished code", &[0xf2, 0x48, 0xcd]),
    ("an unfinished block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07]),
    ("an unfinished last block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07]),
    ("an unfinished stored block", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65]),
    ("a stored block short of what the tail has", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48]),
    ("an unfinished table of codes", &[0x04, 0x80]),
    ("a stray byte behind a last block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00]),
];

#[test]
fn what_is_no_deflate_is_refused() {
    let error = [Seen::Error(ProtocolError::InvalidDeflate)];
    assert_eq!(ProtocolError::InvalidDeflate.close_code(), CloseCode::INVALID_DATA);
    assert_eq!(ProtocolError::InvalidDeflate.to_string(), "Invalid compressed data");
    for (what, payload) in BROKEN {
        let frame = compressed(Kind::Binary, true, payload);
        for cuts in [&[frame.len()][..], &[1], &[frame.len() - 1, 1]] {
            let mut receiver = receiver();
            assert_eq!(hear_cut(&mut receiver, &frame, cuts), error, "{what} {cuts:?}");
            assert!(receiver.is_done());
            assert_eq!(hear(&mut receiver, &text(&[0x00])), [], "nothing behind it");
        }
    }
}

/// Blocks that say they are the last, many in one message, each with a context of its own.
#[test]
fn last_blocks_begin_anew() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let many = last.repeat(1_000);
    let expected = [Seen::text(&"Hello".repeat(1_000))];
    for payload in [&many, &[&many[..], &[0x00]].concat()] {
        let frame = text(payload);
        assert_eq!(hear(&mut receiver(), &frame), expected);
        assert_eq!(hear_cut(&mut receiver(), &frame, &[1]), expected);
    }
    let anew = [&last[..], &[0xf2, 0x00, 0x11, 0x00, 0x00]].concat();
    let error = [Seen::Error(ProtocolError::InvalidDeflate)];
    assert_eq!(hear(&mut receiver(), &text(&anew)), error);
}
