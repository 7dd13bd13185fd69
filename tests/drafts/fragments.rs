//! Messages of several fragments, and what may stand between them (RFC 6455 section 5.4).

use crate::support::{
    machine::{Machine, Seen},
    Draft, Frame, Kind, Length,
};
use em_websocket::error::ProtocolError;

#[track_caller]
fn assert_breaks(draft: Draft, bytes: &[u8], expected: ProtocolError) {
    let error = Machine::open(draft).hear_error(bytes);
    assert_eq!(error, expected, "draft {}", draft.version);
    assert_eq!(error.close_code().0, 1002);
}

#[test]
fn fragments_make_one_message() {
    for draft in Draft::with_opcodes() {
        for (kind, seen) in [
            (Kind::Text, Seen::text("one two three four")),
            (Kind::Binary, Seen::Binary(b"one two three four".to_vec())),
        ] {
            let mut machine = Machine::open(draft);
            for piece in ["one ", "", "two ", "three "].iter().enumerate() {
                let kind = if piece.0 == 0 { kind } else { Kind::Continuation };
                let bytes = draft.fragment(kind, false, piece.1.as_bytes());
                assert!(machine.hear(&bytes).is_empty(), "draft {}", draft.version);
            }
            let events = machine.hear(&draft.fragment(Kind::Continuation, true, b"four"));
            assert_eq!(events, [seen], "draft {}", draft.version);
            // And nothing is left of it.
            let events = machine.hear(&draft.frame(Kind::Text, b"next"));
            assert_eq!(events, [Seen::text("next")], "draft {}", draft.version);
        }
    }
}

#[test]
fn control_frames_may_stand_between_fragments() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        let bytes = [
            draft.fragment(Kind::Text, false, b"a"),
            draft.frame(Kind::Ping, b"1"),
            draft.fragment(Kind::Continuation, false, b"b"),
            draft.frame(Kind::Pong, b"2"),
            draft.frame(Kind::Ping, b"3"),
            draft.fragment(Kind::Continuation, true, b"c"),
        ];
        let expected = [
            Seen::Ping(b"1".to_vec()),
            Seen::Pong(b"2".to_vec()),
            Seen::Ping(b"3".to_vec()),
            Seen::text("abc"),
        ];
        assert_eq!(machine.hear(&bytes.concat()), expected, "draft {}", draft.version);
        let pongs = [(Kind::Pong, b"1".to_vec()), (Kind::Pong, b"3".to_vec())];
        assert_eq!(machine.said(), pongs, "draft {}", draft.version);
    }
}

#[test]
fn a_close_may_stand_between_fragments() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        let bytes = [
            draft.fragment(Kind::Text, false, b"a"),
            draft.frame(Kind::Close, b""),
            draft.fragment(Kind::Continuation, true, b"b"),
        ];
        let events = machine.hear(&bytes.concat());
        assert_eq!(events, [Seen::Close(None, String::new(), Vec::new())]);
    }
}

#[test]
fn a_character_may_be_cut_between_fragments() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.hear(&draft.fragment(Kind::Text, false, b"\xf0\x9f"));
        machine.hear(&draft.fragment(Kind::Continuation, false, b"\x98"));
        let events = machine.hear(&draft.fragment(Kind::Continuation, true, b"\x80"));
        assert_eq!(events, [Seen::text("😀")], "draft {}", draft.version);

        machine.hear(&draft.fragment(Kind::Text, false, b"\xf0\x9f"));
        let bytes = draft.fragment(Kind::Continuation, true, b"\x98");
        assert_eq!(machine.hear_error(&bytes), ProtocolError::InvalidUtf8);
    }
}

#[test]
fn a_continuation_needs_something_to_continue() {
    for draft in Draft::with_opcodes() {
        for last in [true, false] {
            let bytes = draft.fragment(Kind::Continuation, last, b"a");
            assert_breaks(draft, &bytes, ProtocolError::UnexpectedContinuation);
        }
        // A message that is complete cannot be continued.
        let bytes = [
            draft.fragment(Kind::Text, false, b"a"),
            draft.fragment(Kind::Continuation, true, b"b"),
            draft.fragment(Kind::Continuation, true, b"c"),
        ];
        assert_breaks(draft, &bytes.concat(), ProtocolError::UnexpectedContinuation);
    }
}

#[test]
fn a_new_message_amid_fragments() {
    for draft in Draft::with_opcodes() {
        for kind in [Kind::Text, Kind::Binary] {
            let bytes = [
                draft.fragment(Kind::Text, false, b"a"),
                draft.frame(kind, b"b"),
                draft.fragment(Kind::Continuation, true, b"c"),
            ]
            .concat();
            if draft.strict {
                assert_breaks(draft, &bytes, ProtocolError::ContinuationExpected);
                continue;
            }
            // The lenient drafts deliver it, and the fragments go on.
            let inner = match kind {
                Kind::Text => Seen::text("b"),
                _ => Seen::Binary(b"b".to_vec()),
            };
            let events = Machine::open(draft).hear(&bytes);
            assert_eq!(events, [inner, Seen::text("ac")], "draft {}", draft.version);
        }
    }
}

#[test]
fn reserved_opcodes_are_refused_everywhere() {
    for draft in Draft::with_opcodes() {
        let known =
            [Kind::Continuation, Kind::Text, Kind::Binary, Kind::Close, Kind::Ping, Kind::Pong]
                .map(|kind| draft.opcode(kind));
        for opcode in (0..16).filter(|opcode| !known.contains(opcode)) {
            let frame = Frame { opcode, ..draft.plain(Kind::Text, true, b"x") };
            let expected = ProtocolError::UnknownOpcode(opcode);
            assert_breaks(draft, &draft.encode(&frame), expected);
        }
    }
}

#[test]
fn the_strict_drafts_refuse_what_rfc_6455_section_5_refuses() {
    for draft in Draft::with_opcodes().filter(|draft| draft.strict) {
        for kind in [Kind::Close, Kind::Ping, Kind::Pong] {
            let bytes = draft.fragment(kind, false, b"");
            assert_breaks(draft, &bytes, ProtocolError::FragmentedControl);
            let bytes = draft.frame(kind, &[0x03; 126]);
            assert_breaks(draft, &bytes, ProtocolError::ControlTooLong);
        }
        for reserved in 1..8 {
            let frame = Frame { reserved, ..draft.plain(Kind::Text, true, b"x") };
            assert_breaks(draft, &draft.encode(&frame), ProtocolError::ReservedBits);
        }
        for length in [Length::Bits16(125), Length::Bits64(0), Length::Bits64(65_535)] {
            let frame = Frame { length, ..draft.plain(Kind::Binary, true, b"x") };
            assert_breaks(draft, &draft.encode(&frame), ProtocolError::InvalidLength);
        }
    }
}

#[test]
fn the_lenient_drafts_ignore_reserved_bits() {
    for draft in Draft::with_opcodes().filter(|draft| !draft.strict) {
        let frame = Frame { reserved: 7, ..draft.plain(Kind::Text, true, b"x") };
        let events = Machine::open(draft).hear(&draft.encode(&frame));
        assert_eq!(events, [Seen::text("x")], "draft {}", draft.version);
    }
}
