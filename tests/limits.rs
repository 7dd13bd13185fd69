//! Too long is refused on the word of the header, before a byte of payload is there; and nothing is
//! set aside on its word.

mod support;

use em_websocket::{
    error::ProtocolError,
    protocol::{Event, Limits, Receiver},
};
use support::{
    machine::{Machine, Seen},
    Counts, Draft, Frame, Kind, Length, Masking, DRAFTS, RFC_6455,
};

const MIB: usize = 1024 * 1024;

/// No limit but that of the numbers themselves.
const ENDLESS: Limits = Limits { frame: usize::MAX, message: usize::MAX, require_masked: false };

fn limits(frame: usize, message: usize) -> Limits {
    Limits { frame, message, ..Limits::default() }
}

/// The header of a frame that says it is this long, and nothing behind it.
fn header(draft: Draft, kind: Kind, last: bool, len: u64) -> Vec<u8> {
    let length = match len {
        0..=125 => Length::Shortest,
        126..=0xffff => Length::Bits16(len as u16),
        _ => Length::Bits64(len),
    };
    let short = vec![0; if len > 125 { 0 } else { len as usize }];
    let mut bytes = draft.encode(&Frame { length, ..draft.plain(kind, last, &short) });
    bytes.truncate(bytes.len() - short.len());
    bytes
}

/// Size that a frame of so many payload bytes counts as.
fn counted(draft: Draft, payload: usize) -> usize {
    match draft.counts {
        Counts::Buffer => payload + 2,
        Counts::Payload => payload,
        Counts::Frame => payload + header(draft, Kind::Binary, true, payload as u64).len(),
    }
}

#[track_caller]
fn assert_too_big(draft: Draft, limits: Limits, bytes: &[u8], text: &str) {
    let error = Machine::with_limits(draft, limits).hear_error(bytes);
    assert_eq!(error.to_string(), text, "draft {}", draft.version);
    assert_eq!(error.close_code().0, 1009);
}

#[test]
fn by_default_a_frame_may_have_10_mib_and_a_message_64() {
    assert_eq!(Limits::default(), limits(10 * MIB, 64 * MIB));
    for draft in Draft::with_opcodes() {
        let over = 10 * MIB + 1;
        let bytes = header(draft, Kind::Binary, true, over as u64);
        let text = format!("Frame length too long ({} bytes)", counted(draft, over));
        assert_too_big(draft, Limits::default(), &bytes, &text);
    }
}

#[test]
fn a_frame_may_be_as_long_as_the_limit_and_no_longer() {
    for draft in DRAFTS {
        for payload in [0, 1, 125, 126, 65_535, 65_536] {
            let limit = counted(draft, payload);
            let kind = if draft.sentinel { Kind::Text } else { Kind::Binary };
            let bytes = draft.frame(kind, &vec![b'x'; payload]);
            let events = Machine::with_limits(draft, limits(limit, MIB)).hear(&bytes);
            assert!(!matches!(events[..], [Seen::Error(_)]), "draft {}: {payload}", draft.version);
            if limit > 0 {
                let text = format!("Frame length too long ({limit} bytes)");
                assert_too_big(draft, limits(limit - 1, MIB), &bytes, &text);
            }
        }
    }
}

#[test]
fn a_long_frame_is_refused_before_its_payload() {
    for draft in Draft::with_opcodes() {
        for payload in [100, 126, 1_000, 65_536, usize::MAX / 4] {
            let bytes = header(draft, Kind::Text, true, payload as u64);
            let mut machine = Machine::with_limits(draft, limits(99, MIB));
            let (last, first) = bytes.split_last().unwrap();
            assert!(machine.hear(first).is_empty(), "draft {}", draft.version);
            let expected = ProtocolError::FrameTooLong(counted(draft, payload).to_string());
            assert_eq!(machine.hear_error(&[*last]), expected, "draft {}", draft.version);
        }
    }
}

#[test]
fn lengths_around_2_to_the_63() {
    for draft in Draft::with_opcodes() {
        for len in [u64::MAX >> 1, 1 << 63, u64::MAX] {
            let bytes = header(draft, Kind::Binary, true, len);
            let error = Machine::open(draft).hear_error(&bytes);
            let code = error.close_code().0;
            if draft.strict && len >> 63 == 1 {
                assert_eq!((error, code), (ProtocolError::InvalidLength, 1002));
            } else {
                // As wide as it takes: header and payload together may exceed 64 bits.
                let header = if draft.counts == Counts::Frame { bytes.len() } else { 0 };
                let counted = u128::from(len) + header as u128;
                let expected = ProtocolError::FrameTooLong(counted.to_string());
                assert_eq!((error, code), (expected, 1009), "draft {}", draft.version);
            }
        }
    }
}

#[test]
fn fragments_may_not_add_up_to_more_than_a_message() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::with_limits(draft, limits(MIB, 250));
        machine.hear(&draft.fragment(Kind::Binary, false, &[1; 100]));
        machine.hear(&draft.frame(Kind::Ping, &[0; 100]));
        machine.hear(&draft.fragment(Kind::Continuation, false, &[2; 100]));
        let events = machine.hear(&draft.fragment(Kind::Continuation, true, &[3; 50]));
        let whole = [vec![1; 100], vec![2; 100], vec![3; 50]].concat();
        assert_eq!(events, [Seen::Binary(whole)], "draft {}", draft.version);

        // The count begins anew with the next message.
        machine.hear(&draft.fragment(Kind::Text, false, &[b'a'; 200]));
        let error = machine.hear_error(&header(draft, Kind::Continuation, false, 51));
        assert_eq!(error, ProtocolError::MessageTooLong(251), "draft {}", draft.version);
        assert_eq!(error.to_string(), "Message length too long (251 bytes)");
        assert_eq!(error.close_code().0, 1009);
    }
}

#[test]
fn a_message_of_one_frame_counts_too() {
    for draft in Draft::with_opcodes() {
        for last in [true, false] {
            let bytes = header(draft, Kind::Text, last, 251);
            let text = "Message length too long (251 bytes)";
            assert_too_big(draft, limits(MIB, 250), &bytes, text);
        }
    }
}

#[test]
fn numbers_do_not_overflow() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::with_limits(draft, ENDLESS);
        machine.hear(&draft.fragment(Kind::Binary, false, b"1"));
        let mut endless = header(draft, Kind::Continuation, true, u64::MAX);
        if draft.strict {
            assert_eq!(machine.hear_error(&endless), ProtocolError::InvalidLength);
            continue;
        }
        // It is waited for, with no more memory than for any other.
        endless.extend([0; 1_000]);
        assert_eq!(machine.hear(&endless), []);
        let (capacity, _) = room(&mut machine.receiver);
        assert!(capacity <= 128 * 1024, "draft {}: {capacity}", draft.version);
    }
}

#[test]
fn drafts_75_and_76_count_what_waits_for_its_end() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        let mut machine = Machine::with_limits(draft, limits(10, MIB));
        assert!(machine.hear(b"\x0012345678").is_empty());
        assert!(machine.hear(b"9").is_empty(), "ten bytes with the first");
        let text = "Frame length too long (11 bytes)";
        assert_eq!(machine.hear_error(b"0").to_string(), text);
        assert_too_big(draft, limits(10, MIB), b"\x00123456789\xff", text);
        // And not what came before it.
        let events =
            Machine::with_limits(draft, limits(10, MIB)).hear(b"\x0012345678\xff\x0087654321\xff");
        assert_eq!(events, [Seen::text("12345678"), Seen::text("87654321")]);
    }
}

#[test]
fn a_text_of_drafts_75_and_76_is_a_message() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        let text = "Message length too long (11 bytes)";
        // Its first byte past the limit shows it, and the frame's limit is farther.
        for cut in 1..=11 {
            let mut machine = Machine::with_limits(draft, limits(12, 10));
            assert!(machine.hear(&b"\x0012345678901"[..cut]).is_empty());
            let error = machine.hear_error(&b"\x0012345678901"[cut..]);
            assert_eq!(error.to_string(), text, "cut at {cut}");
        }
        assert_too_big(draft, limits(MIB, 10), b"\x0012345678901234567890\xff", text);
        let events = Machine::with_limits(draft, limits(MIB, 10)).hear(b"\x001234567890\xff");
        assert_eq!(events, [Seen::text("1234567890")]);
        // Where the frame's limit is nearer, it is the frame that is too long.
        let text = "Frame length too long (13 bytes)";
        assert_too_big(draft, limits(10, 10), b"\x0012345678901\xff", text);
    }
}

#[test]
fn drafts_75_and_76_say_their_length_in_more_than_64_bits() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        // 65 bits, 70 bits, 77 bits.
        for (length, len) in [
            (&b"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00"[..], "18446744073709551616"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "1180591620717411303423"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "151115727451828646838271"),
            (b"\x0b", "11"),
        ] {
            let bytes = [b"\x80", length].concat();
            let text = format!("Frame length too long ({len} bytes)");
            assert_too_big(draft, limits(10, MIB), &bytes, &text);
        }
        // A length without an end is refused, too.
        let mut machine = Machine::open(draft);
        machine.hear(b"\x80");
        let events = machine.hear(&[0xff; 40]);
        let [Seen::Error(error @ ProtocolError::FrameTooLong(_))] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(error.close_code().0, 1009);
        // Leading zeros are a length without an end as well, but a harmless one.
        let zeros = [&b"\x81"[..], &[0x80; 1000], b"\x00\x00hi\xff"].concat();
        assert_eq!(Machine::open(draft).hear(&zeros), [Seen::text("hi")]);
    }
}

#[test]
fn limits_hold_from_the_next_frame_on() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        let bytes = draft.frame(Kind::Text, &[b'x'; 100]);
        assert_eq!(machine.hear(&bytes).len(), 1);
        machine.receiver.set_limits(limits(50, MIB));
        let error = machine.hear_error(&bytes);
        assert_eq!(error.close_code().0, 1009, "draft {}", draft.version);
    }
}

#[test]
fn masking_is_insisted_upon_where_the_draft_leaves_it_open() {
    let insisting = Limits { require_masked: true, ..Limits::default() };
    for draft in Draft::with_opcodes() {
        let bytes = draft.frame(Kind::Text, b"hi");
        let events = Machine::with_limits(draft, insisting).hear(&bytes);
        assert_eq!(events, [Seen::text("hi")], "draft {}", draft.version);
        if draft.masking == Masking::Flagged {
            let frame = Frame { masked: false, ..draft.plain(Kind::Text, true, b"hi") };
            let bytes = draft.encode(&frame);
            // The second byte shows it.
            let error = Machine::with_limits(draft, insisting).hear_error(&bytes[..2]);
            assert_eq!((error.close_code().0, error), (1002, ProtocolError::Unmasked));
        }
    }
}

/// Memory that a message under way has, and the bytes that may be read into it.
fn room(receiver: &mut Receiver) -> (usize, usize) {
    let (buffer, room) = receiver.buffer().expect("a large payload is under way");
    (buffer.capacity(), room)
}

fn ignore(_: Event<'_>) {}

#[test]
fn no_memory_is_set_aside_on_the_word_of_a_header() {
    for draft in Draft::with_opcodes() {
        for last in [true, false] {
            let mut receiver = Receiver::new(draft.profile(), ENDLESS);
            receiver.receive(&mut header(draft, Kind::Binary, last, 1 << 40), &mut ignore);
            let (capacity, limit) = room(&mut receiver);
            assert!(capacity <= 64 * 1024, "draft {}: {capacity}", draft.version);
            assert!(limit <= capacity);
        }
    }
}

#[test]
fn memory_grows_with_what_really_comes() {
    for draft in [DRAFTS[4], RFC_6455] {
        let mut receiver = Receiver::new(draft.profile(), ENDLESS);
        receiver.receive(&mut header(draft, Kind::Binary, true, 1 << 40), &mut ignore);
        let mut come = 0;
        while come < 4 * MIB {
            let (buffer, limit) = receiver.buffer().expect("a large payload is under way");
            let len = limit.min(10_000);
            buffer.extend(std::iter::repeat_n(0, len));
            receiver.received(len, &mut ignore);
            come += len;
            let (capacity, _) = room(&mut receiver);
            assert!(capacity <= 4 * come + 128 * 1024, "{capacity} for {come}");
        }
    }
}

#[test]
fn a_payload_gets_a_buffer_of_its_own_length() {
    for draft in Draft::with_opcodes() {
        let mut receiver = Receiver::new(draft.profile(), Limits::default());
        assert!(receiver.buffer().is_none(), "before the header");
        receiver.receive(&mut header(draft, Kind::Binary, true, 40_000), &mut ignore);
        let (capacity, limit) = room(&mut receiver);
        assert!((40_000..80_000).contains(&capacity), "draft {}: {capacity}", draft.version);
        assert_eq!(limit, 40_000, "not a byte of the next frame");
    }
}
