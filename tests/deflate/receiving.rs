//! Compressed messages that are received: where they may begin, their context, and their end at a
//! limit.

use em_websocket::{
    error::ProtocolError,
    protocol::{close::CloseCode, deflate::Params, Limits, Receiver},
};

use super::{compressed, hear, hear_cut, receiver, receiver_with, support, text, Peer, RSV1};
use support::{machine::Seen, Draft, Frame, Kind, DRAFTS, RFC_6455};

/// Two messages that share most of their bytes, so that the second refers to the first.
const FIRST: &str = "The quick brown fox jumps over the lazy dog; Zwölf Boxkämpfer jagen Eva";
const SECOND: &str = "Zwölf Boxkämpfer jagen Eva over the lazy dog; the quick brown fox jumps";

fn reserved(draft: Draft, kind: Kind, bits: u8, payload: &[u8]) -> Vec<u8> {
    draft.encode(&Frame { reserved: bits, ..draft.plain(kind, true, payload) })
}

fn extended() -> impl Iterator<Item = Draft> {
    DRAFTS.into_iter().filter(|draft| draft.strict)
}

#[test]
fn every_draft_with_extensions() {
    for draft in extended() {
        let mut receiver = receiver_with(draft, &Params::default(), Limits::default());
        let mut peer = Peer::new(true);
        for message in [FIRST, SECOND] {
            let frame = reserved(draft, Kind::Text, RSV1, &peer.message(message.as_bytes()));
            assert_eq!(hear(&mut receiver, &frame), [Seen::text(message)]);
            let frame = reserved(draft, Kind::Binary, RSV1, &peer.message(message.as_bytes()));
            assert_eq!(hear(&mut receiver, &frame), [Seen::Binary(message.into())]);
        }
    }
    assert_eq!(extended().map(|draft| draft.version).collect::<Vec<_>>(), [7, 8, 13]);
}

/// Older drafts have no extensions: there the bit is what it was, nothing.
#[test]
fn no_older_draft() {
    for draft in Draft::with_opcodes().filter(|draft| !draft.strict) {
        let mut receiver = receiver_with(draft, &Params::default(), Limits::default());
        let frame = reserved(draft, Kind::Text, RSV1, b"plain");
        assert_eq!(hear(&mut receiver, &frame), [Seen::text("plain")], "{}", draft.version);
    }
}

#[test]
fn the_bit_begins_a_data_message_and_nothing_else() {
    let error = [Seen::Error(ProtocolError::ReservedBits)];
    assert_eq!(ProtocolError::ReservedBits.close_code(), CloseCode::PROTOCOL);
    for draft in extended() {
        for kind in [Kind::Text, Kind::Binary] {
            let frame = reserved(draft, kind, RSV1, &[0x00]);
            let mut without = Receiver::new(draft.profile(), Limits::default());
            assert_eq!(hear(&mut without, &frame), error);
            // The other two bits, alone and with it.
            for bits in [0b001, 0b010, 0b011, 0b101, 0b110, 0b111] {
                let frame = reserved(draft, kind, bits, &[0x00]);
                assert_eq!(hear(&mut receiver(), &frame), error, "{bits:#b}");
            }
        }
        for kind in [Kind::Ping, Kind::Pong, Kind::Close, Kind::Continuation] {
            for bits in 0b001..=0b111 {
                let frame = reserved(draft, kind, bits, &[]);
                assert_eq!(hear(&mut receiver(), &frame), error, "{kind:?} {bits:#b}");
            }
        }
        // The first byte says it all.
        let frame = reserved(draft, Kind::Ping, RSV1, &[]);
        assert_eq!(hear(&mut receiver(), &frame[..1]), error);
    }
}

#[test]
fn the_bit_is_for_the_first_frame() {
    let payload = Peer::new(true).message(FIRST.as_bytes());
    for first in [
        compressed(Kind::Text, false, &payload[..10]),
        RFC_6455.fragment(Kind::Text, false, b"plain"),
    ] {
        let mut receiver = receiver();
        assert_eq!(hear(&mut receiver, &first), []);
        let second = reserved(RFC_6455, Kind::Continuation, RSV1, &payload[10..]);
        assert_eq!(hear(&mut receiver, &second), [Seen::Error(ProtocolError::ReservedBits)]);
    }
    for bits in [0, RSV1] {
        let mut receiver = receiver();
        assert_eq!(hear(&mut receiver, &compressed(Kind::Text, false, &payload)), []);
        let second = reserved(RFC_6455, Kind::Text, bits, &payload);
        let error = ProtocolError::ContinuationExpected;
        assert_eq!(hear(&mut receiver, &second), [Seen::Error(error)]);
    }
}

/// Messages that are not compressed, and control frames, are no part of the context.
#[test]
fn the_context_is_taken_over_past_what_is_not_compressed() {
    let mut peer = Peer::new(true);
    let [first, second] = [FIRST, SECOND].map(|message| peer.message(message.as_bytes()));
    assert!(second.len() < first.len() * 2 / 3, "the second refers to the first");
    let (start, rest) = second.split_at(second.len() / 2);
    let bytes = [
        text(&first),
        RFC_6455.frame(Kind::Text, SECOND.as_bytes()),
        RFC_6455.frame(Kind::Binary, &[0x00; 100]),
        RFC_6455.frame(Kind::Ping, b"ping"),
        compressed(Kind::Binary, false, start),
        RFC_6455.frame(Kind::Ping, b"in between"),
        RFC_6455.fragment(Kind::Continuation, false, b""),
        RFC_6455.frame(Kind::Pong, b""),
        RFC_6455.fragment(Kind::Continuation, true, rest),
    ]
    .concat();
    let expected = [
        Seen::text(FIRST),
        Seen::text(SECOND),
        Seen::Binary(vec![0x00; 100]),
        Seen::Ping(b"ping".to_vec()),
        Seen::Ping(b"in between".to_vec()),
        Seen::Pong(Vec::new()),
        Seen::Binary(SECOND.into()),
    ];
    assert_eq!(hear(&mut receiver(), &bytes), expected);
    for cut in 1..bytes.len() {
        let seen = hear_cut(&mut receiver(), &bytes, &[cut, bytes.len()]);
        assert_eq!(seen, expected, "cut at {cut}");
    }
    assert_eq!(hear_cut(&mut receiver(), &bytes, &[1]), expected);
}

#[test]
fn no_context_is_taken_over_where_that_was_agreed() {
    let agreed = Params { client_no_context_takeover: true, ..Params::default() };
    let mut receiver = receiver_with(RFC_6455, &agreed, Limits::default());
    let mut alone = Peer::new(false);
    for message in [FIRST, SECOND, FIRST] {
        let frame = text(&alone.message(message.as_bytes()));
        assert_eq!(hear(&mut receiver, &frame), [Seen::text(message)]);
    }
    // A peer that does so all the same refers to nothing.
    let mut peer = Peer::new(true);
    let [first, second] = [FIRST, SECOND].map(|message| text(&peer.message(message.as_bytes())));
    assert_eq!(hear(&mut receiver, &first), [Seen::text(FIRST)]);
    let error = ProtocolError::InvalidDeflate;
    assert_eq!(hear(&mut receiver, &second), [Seen::Error(error)]);
}

/// A compressed payload is never read straight into the message's own buffer.
#[test]
fn there_is_no_detour_to_avoid() {
    let message: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    let payload = Peer::new(true).message(&message);
    assert!(payload.len() > 100_000);
    let (start, rest) = payload.split_at(payload.len() / 2);
    let frames =
        [compressed(Kind::Binary, false, start), RFC_6455.fragment(Kind::Continuation, true, rest)];
    let mut receiver = receiver();
    let mut seen = Vec::new();
    for frame in frames {
        for piece in frame.chunks(1000) {
            seen.extend(hear(&mut receiver, piece));
            assert!(receiver.buffer().is_none());
        }
    }
    assert!(seen == [Seen::Binary(message)]);
}

#[test]
fn the_limit_is_for_what_a_message_inflates_to() {
    let message = "a".repeat(5_000);
    let payload = Peer::new(true).message(message.as_bytes());
    assert!(payload.len() < 100);
    let (start, rest) = payload.split_at(payload.len() / 2);
    let whole = text(&payload);
    let fragments =
        [compressed(Kind::Text, false, start), RFC_6455.fragment(Kind::Continuation, true, rest)]
            .concat();
    for bytes in [whole, fragments] {
        for (limit, expected) in [
            (usize::MAX, Seen::text(&message)),
            (5_000, Seen::text(&message)),
            (4_999, Seen::Error(ProtocolError::MessageTooLong(5_000))),
            (100, Seen::Error(ProtocolError::MessageTooLong(101))),
            (0, Seen::Error(ProtocolError::MessageTooLong(1))),
        ] {
            let limits = Limits { message: limit, ..Limits::default() };
            let receiver = || receiver_with(RFC_6455, &Params::default(), limits);
            for cuts in [&[bytes.len()][..], &[1], &[7, 2]] {
                let seen = hear_cut(&mut receiver(), &bytes, cuts);
                assert!(seen == [expected.clone()], "{limit} {cuts:?}");
            }
        }
    }
    // DEFLATE may need more bytes than the message has.
    let stored = [&[0x00, 0x03, 0x00, 0xfc, 0xff][..], b"abc", &[0x00]].concat();
    let limits = Limits { message: 3, ..Limits::default() };
    let mut receiver = receiver_with(RFC_6455, &Params::default(), limits);
    assert_eq!(hear(&mut receiver, &text(&stored)), [Seen::text("abc")]);
    // A frame is as long as it comes.
    let limits = Limits { frame: stored.len() + 5, ..Limits::default() };
    let mut receiver = receiver_with(RFC_6455, &Params::default(), limits);
    let error = ProtocolError::FrameTooLong((stored.len() + 6).to_string());
    assert_eq!(hear(&mut receiver, &text(&stored)), [Seen::Error(error)]);
}

#[test]
fn a_limit_that_sinks_under_a_message_ends_it() {
    let mut peer = Peer::new(true);
    let start = peer.blocks(&[0x61; 1000]);
    let mut receiver = receiver();
    assert_eq!(hear(&mut receiver, &compressed(Kind::Text, false, &start)), []);
    receiver.set_limits(Limits { message: 10, ..Limits::default() });
    let rest = RFC_6455.fragment(Kind::Continuation, true, &peer.message(b"b"));
    assert_eq!(hear(&mut receiver, &rest), [Seen::Error(ProtocolError::MessageTooLong(11))]);
}
