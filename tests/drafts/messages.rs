//! Messages, of every class of length, both ways.

use crate::support::{
    machine::{Machine, Seen},
    Draft, Frame, Kind, Length, Masking, DRAFTS,
};
use em_websocket::protocol::{FrameParts, ReadyState};

/// On both sides of every length at which the header changes.
const LENGTHS: [usize; 10] = [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 200_000];

/// Text of so many bytes, some of them beyond ASCII.
fn text(len: usize) -> Vec<u8> {
    let mut text = "é€😀".repeat(len / 9 + 1).into_bytes();
    text.truncate(len);
    while std::str::from_utf8(&text).is_err() {
        text.pop();
    }
    text.resize(len, b'.');
    text
}

fn framed(parts: FrameParts, payload: &[u8]) -> Vec<u8> {
    [parts.head(), payload, parts.tail()].concat()
}

#[test]
fn messages_of_every_length_are_received() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        for len in LENGTHS {
            let text = text(len);
            let events = machine.hear(&draft.frame(Kind::Text, &text));
            assert!(events == [Seen::Text(text)], "draft {}: {len}", draft.version);
        }
        assert_eq!(machine.connection.ready_state(), ReadyState::Connected);
        assert!(machine.said().is_empty());
    }
}

#[test]
fn binary_messages_of_every_length_are_received() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        for len in LENGTHS {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let events = machine.hear(&draft.frame(Kind::Binary, &bytes));
            assert!(events == [Seen::Binary(bytes)], "draft {}: {len}", draft.version);
        }
    }
}

#[test]
fn messages_of_every_length_are_sent() {
    for draft in DRAFTS {
        let connection = Machine::open(draft).connection;
        for len in LENGTHS {
            let payload = text(len);
            let parts = connection.text(len).unwrap().unwrap();
            let sent = draft.decode_all(&framed(parts, &payload));
            assert!(sent == [(Kind::Text, payload.clone())], "draft {}: {len}", draft.version);
            if !draft.sentinel {
                let parts = connection.binary(len).unwrap().unwrap();
                let sent = draft.decode_all(&framed(parts, &payload));
                assert!(sent == [(Kind::Binary, payload)], "draft {}: {len}", draft.version);
            }
        }
    }
}

/// The frames of the drafts' own texts, so that the table above does not only agree with itself.
#[test]
fn samples_of_the_specifications() {
    let samples: [(i64, &[u8]); 6] = [
        (75, b"\x00Hello\xff"),
        (76, b"\x00Hello\xff"),
        (3, b"\x04\x05Hello"),
        (7, b"\x81\x05Hello"),
        (13, b"\x81\x05Hello"),
        (13, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    ];
    for (version, bytes) in samples {
        let draft = DRAFTS.into_iter().find(|draft| draft.version == version).unwrap();
        let mut machine = Machine::open(draft);
        assert_eq!(machine.hear(bytes), [Seen::text("Hello")], "draft {version}");
    }
    // Draft 05 section 4.3: the masking key, then all of the frame that it masks.
    let masked: Vec<u8> = b"\x84\x05Hello"
        .iter()
        .zip([0x37, 0xfa, 0x21, 0x3d].iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    for draft in DRAFTS.into_iter().filter(|draft| draft.masking == Masking::Leading) {
        let bytes = [b"\x37\xfa\x21\x3d", &masked[..]].concat();
        assert_eq!(Machine::open(draft).hear(&bytes), [Seen::text("Hello")]);
    }
}

#[test]
fn frames_that_are_not_masked_are_accepted_where_masking_is_flagged() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.masking == Masking::Flagged) {
        let mut machine = Machine::open(draft);
        for len in LENGTHS {
            let payload = text(len);
            let frame = Frame { masked: false, ..draft.plain(Kind::Text, true, &payload) };
            assert!(machine.hear(&draft.encode(&frame)) == [Seen::Text(payload)]);
        }
    }
}

#[test]
fn many_messages_in_one_piece_come_one_by_one() {
    for draft in DRAFTS {
        let texts: Vec<Vec<u8>> = (0..100).map(text).collect();
        let bytes: Vec<u8> = texts.iter().flat_map(|text| draft.frame(Kind::Text, text)).collect();
        let expected: Vec<Seen> = texts.into_iter().map(Seen::Text).collect();
        assert_eq!(Machine::open(draft).hear(&bytes), expected, "draft {}", draft.version);
    }
}

#[test]
fn lengths_need_not_be_minimal_in_the_lenient_drafts() {
    for draft in Draft::with_opcodes().filter(|draft| !draft.strict) {
        for length in [Length::Bits16(2), Length::Bits64(2)] {
            let frame = Frame { length, ..draft.plain(Kind::Text, true, b"hi") };
            let events = Machine::open(draft).hear(&draft.encode(&frame));
            assert_eq!(events, [Seen::text("hi")], "draft {}", draft.version);
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_in_every_draft() {
    for draft in DRAFTS {
        // A lone continuation byte, an overlong form, a surrogate, a character cut short.
        for bad in [&b"a\x80b"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"a\xe2\x82"] {
            let bytes = draft.frame(Kind::Text, bad);
            for cut in [1, 2, bytes.len()] {
                let mut machine = Machine::open(draft);
                let (begin, end) = bytes.split_at(bytes.len() - cut);
                let events = machine.hear(begin);
                let error = match &events[..] {
                    [] => machine.hear_error(end),
                    [Seen::Error(error)] => error.clone(),
                    [..] => panic!("{events:?}"),
                };
                assert_eq!(error.to_string(), "Invalid UTF8 data", "draft {}", draft.version);
                assert_eq!(error.close_code().0, 1007);
            }
        }
    }
}

#[test]
fn a_bad_byte_is_refused_before_the_rest_has_come() {
    for draft in Draft::with_opcodes() {
        let payload = [&text(20_000)[..], b"\xff", &text(20_000)].concat();
        let bytes = draft.frame(Kind::Text, &payload);
        let mut machine = Machine::open(draft);
        let end_of_bad = bytes.len() - 20_000;
        assert!(machine.hear(&bytes[..end_of_bad - 1]).is_empty());
        let error = machine.hear_error(&bytes[end_of_bad - 1..end_of_bad]);
        assert_eq!(error.to_string(), "Invalid UTF8 data");
    }
}

#[test]
fn drafts_75_and_76_discard_frames_that_say_their_length() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        // Types 80 to FF; the length has seven bits a byte, the top bit says that more follow.
        let long = [&b"\x80\x81\x00"[..], &[0x00; 128]].concat();
        for discarded in
            [&b"\x80\x03abc"[..], b"\x80\x00", b"\xff\x02\x00a", b"\x85\x80\x01\xff", &long]
        {
            let mut machine = Machine::open(draft);
            let bytes = [discarded, b"\x00hi\xff"].concat();
            assert_eq!(machine.hear(&bytes), [Seen::text("hi")], "{discarded:x?}");
        }
        let error = Machine::open(draft).hear_error(b"\x01a\xff");
        assert_eq!(error.to_string(), "Invalid frame received");
        assert_eq!(error.close_code().0, 1002);
    }
}

#[test]
fn versions_1_2_and_3_are_one_and_others_are_not_spoken() {
    let spoken: Vec<u16> = DRAFTS.iter().map(|draft| draft.profile().version).collect();
    assert_eq!(spoken, [75, 76, 3, 3, 3, 5, 6, 7, 8, 13]);
    for version in [i64::MIN, -1, 0, 4, 9, 12, 14, 74, 77, i64::MAX] {
        assert!(em_websocket::protocol::version::profile(version).is_none(), "{version}");
    }
}
