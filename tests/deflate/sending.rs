//! Messages that are compressed, and that whoever agreed can read them.

use em_websocket::protocol::{
    deflate::{Config, Deflater, Params},
    version::{Framing, ALL, RFC_6455},
    Opcode,
};

use super::strict::Strict;

/// The message in a frame of the server's, which is all there is; RSV1 says whether it is compressed.
#[track_caller]
pub(crate) fn payload(frame: &[u8], opcode: Opcode, strict: &mut Strict) -> Vec<u8> {
    let (compressed, payload) = parse(frame, opcode);
    if compressed {
        strict.message(payload)
    } else {
        payload.to_vec()
    }
}

#[track_caller]
fn parse(frame: &[u8], opcode: Opcode) -> (bool, &[u8]) {
    assert_eq!(frame[0] & 0xbf, 0x80 | RFC_6455.opcodes.encode(opcode));
    let (len, header) = match frame[1] {
        len @ 0..=125 => (usize::from(len), 2),
        126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
        127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize, 10),
        masked => panic!("a masked frame: {masked:#x}"),
    };
    assert!(header == 2 || len > 125);
    assert!(header < 10 || len > 0xffff);
    assert_eq!(frame.len(), header + len);
    (frame[0] & 0x40 != 0, &frame[header..])
}

fn frame(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflater.message(&RFC_6455, Opcode::Binary, payload, &mut out);
    out
}

fn is_compressed(frame: &[u8]) -> bool {
    parse(frame, Opcode::Binary).0
}

fn without_context() -> Params {
    Params { server_no_context_takeover: true, ..Params::default() }
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn messages_below_the_threshold_go_as_they_are() {
    for agreed in [Params::default(), without_context()] {
        let mut deflater = Deflater::new(&agreed, &Config::default());
        assert_eq!(frame(&mut deflater, &[b'a'; 859])[4..], [b'a'; 859]);
        assert!(is_compressed(&frame(&mut deflater, &[b'a'; 860])));
        let config = Config { threshold: 3, ..Config::default() };
        let mut deflater = Deflater::new(&agreed, &config);
        assert_eq!(frame(&mut deflater, b"aa"), b"\x82\x02aa");
        // An empty message has nothing to win.
        let mut deflater = Deflater::new(&agreed, &Config { threshold: 0, ..config });
        assert_eq!(frame(&mut deflater, b""), b"\x82\x00");
    }
}

#[test]
fn every_length_of_header() {
    let config = Config { threshold: 0, ..Config::default() };
    for agreed in [Params::default(), without_context()] {
        let mut deflater = Deflater::new(&agreed, &config);
        let mut strict = Strict::new(15, !agreed.server_no_context_takeover);
        for len in [1, 125, 126, 127, 5_000, 0xffff, 0x10000, 0x10001, 200_000, 5_000_000] {
            for message in [vec![b'a'; len], noise(len.min(300_000))] {
                let frame = frame(&mut deflater, &message);
                assert!(payload(&frame, Opcode::Binary, &mut strict) == message, "{len}");
            }
        }
    }
}

#[test]
fn control_frames_and_older_drafts_are_left_alone() {
    let config = Config { threshold: 0, ..Config::default() };
    let message = [b'a'; 100];
    let mut deflater = Deflater::new(&Params::default(), &config);
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        let mut out = Vec::new();
        deflater.message(&RFC_6455, opcode, &message, &mut out);
        assert_eq!(parse(&out, opcode), (false, &message[..]));
    }
    for profile in ALL {
        let mut out = Vec::new();
        deflater.message(profile, Opcode::Text, &message, &mut out);
        assert_eq!(out.windows(100).any(|part| part == message), !profile.extensions);
        if profile.framing == Framing::Sentinel {
            assert_eq!(out, [&[0x00], &message[..], &[0xff]].concat());
        }
    }
}

/// A client that has named no window is told of none, and inflates with the largest.
#[test]
fn a_window_that_is_configured_is_kept_to_though_it_was_not_agreed() {
    let message = noise(1_500).repeat(3);
    for bits in 8..=15 {
        let config = Config { threshold: 0, window_bits: bits, ..Config::default() };
        for agreed in [Params::default(), without_context()] {
            let mut deflater = Deflater::new(&agreed, &config);
            let mut strict = Strict::new(bits, !agreed.server_no_context_takeover);
            for _ in 0..3 {
                let frame = frame(&mut deflater, &message);
                assert!(payload(&frame, Opcode::Binary, &mut strict) == message, "{bits}");
            }
            assert_eq!(strict.farthest >= 1_500, bits > 10, "{bits}");
        }
    }
}

/// Messages that do not get smaller go as they are, where nothing is taken over.
#[test]
fn noise_goes_as_it_is() {
    let config = Config { threshold: 0, ..Config::default() };
    let mut deflater = Deflater::new(&without_context(), &config);
    for len in [1, 10, 1_000, 100_000] {
        assert!(!is_compressed(&frame(&mut deflater, &noise(len))), "{len}");
    }
}

/// A context that is taken over: a peer must hear what went into it; unless it is given up, as
/// is free where the noise has filled the window.
#[test]
fn noise_does_not_part_the_contexts() {
    let config = Config { threshold: 0, ..Config::default() };
    let words = "the quick brown fox jumps over the lazy dog ".repeat(3);
    for bits in 8..=15 {
        let agreed = Params { server_max_window_bits: Some(bits), ..Params::default() };
        let mut deflater = Deflater::new(&agreed, &config);
        let mut strict = Strict::new(bits, true);
        for (message, compresses) in [
            (words.clone().into_bytes(), true),
            (noise((1 << bits) - 1), true),
            (words.clone().into_bytes(), true),
            (noise(1 << bits), false),
            // What the peer has not inflated is not referred to.
            (noise(1 << bits)[(1 << bits) - 100..].to_vec(), true),
            (words.clone().into_bytes(), true),
            (words.clone().into_bytes(), true),
        ] {
            let frame = frame(&mut deflater, &message);
            assert_eq!(is_compressed(&frame), compresses, "{bits} bits, {}", message.len());
            assert!(payload(&frame, Opcode::Binary, &mut strict) == message);
            assert!(frame.len() <= message.len() + message.len() / 100 + 20);
        }
    }
}

#[test]
fn windows_are_used_to_their_end_and_not_beyond() {
    let config = Config { threshold: 0, level: 9, ..Config::default() };
    let unit = noise(40_000);
    for bits in 8..=15 {
        let agreed = Params { server_max_window_bits: Some(bits), ..Params::default() };
        let window: usize = 1 << bits;
        // zlib keeps 262 bytes back, and has no window of 8 bits.
        let reach = window.max(512) - 262;
        for level in 1..=9 {
            let mut deflater = Deflater::new(&agreed, &Config { level, ..config });
            let mut strict = Strict::new(bits, true);
            // What comes again comes from just within the reach of the window, or just beyond.
            for distance in [reach - 50, reach, reach + 6, window, window + 50] {
                let message = [&unit[..distance], &unit[..50]].concat();
                let frame = frame(&mut deflater, &message);
                assert!(payload(&frame, Opcode::Binary, &mut strict) == message);
            }
            assert!(strict.farthest <= window, "level {level}, {bits} bits: {}", strict.farthest);
            assert!(strict.farthest >= reach - 50, "level {level}: {}", strict.farthest);
        }
    }
}

/// A context that is taken over makes a message's repetition small; one that is not, or that has
/// been released, does not.
#[test]
fn the_context_is_taken_over_until_it_is_released() {
    let config = Config { threshold: 0, ..Config::default() };
    let message = noise(500);
    let mut taken = Deflater::new(&Params::default(), &config);
    let mut strict = Strict::new(15, true);
    let mut lens = Vec::new();
    for step in 0..4 {
        if step == 3 {
            taken.release();
        }
        let frame = frame(&mut taken, &message);
        assert_eq!(payload(&frame, Opcode::Binary, &mut strict), message);
        lens.push(frame.len());
    }
    assert!(lens[1] < 50 && lens[2] < 50, "{lens:?}");
    assert!(lens[0] > 500 && lens[3] > 500, "{lens:?}");

    let text = b"abcdefgh".repeat(100);
    let mut alone = Deflater::new(&without_context(), &config);
    let first = frame(&mut alone, &text);
    assert!(is_compressed(&first));
    assert_eq!(frame(&mut alone, &text), first);
}

/// One frame for many peers, whatever they have heard before.
#[test]
fn a_frame_of_a_context_of_its_own_is_for_everybody() {
    let config = Config { threshold: 0, ..Config::default() };
    let narrow = Params { server_max_window_bits: Some(9), ..without_context() };
    let words = b"to be or not to be, that is the question ".repeat(20);
    let shared = frame(&mut Deflater::new(&narrow, &config), &words);
    assert!(is_compressed(&shared));
    for (agreed, bits) in [(Params::default(), 15), (without_context(), 15), (narrow, 9)] {
        let mut deflater = Deflater::new(&agreed, &config);
        let mut strict = Strict::new(bits, !agreed.server_no_context_takeover);
        for message in [&b"to be "[..], b"is the question", b"or not"] {
            let message = message.repeat(10);
            let own = frame(&mut deflater, &message);
            assert_eq!(payload(&own, Opcode::Binary, &mut strict), message);
            assert_eq!(payload(&shared, Opcode::Binary, &mut strict), words);
            deflater.release();
        }
    }
}

/// Levels and memory out of range are what is nearest.
#[test]
fn every_setting_compresses() {
    let message = b"a word and a word and ".repeat(200);
    for (level, memory_level) in [(0, 0), (0, 9), (1, 1), (3, 8), (9, 9), (200, 200)] {
        let config = Config { level, memory_level, ..Config::default() };
        let mut deflater = Deflater::new(&without_context(), &config);
        let frame = frame(&mut deflater, &message);
        // Level 0 stores, and what is only stored is sent as it is.
        assert_eq!(is_compressed(&frame), level > 0, "level {level}");
        assert_eq!(payload(&frame, Opcode::Binary, &mut Strict::new(15, false)), message);
    }
}
