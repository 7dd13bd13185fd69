//! A small message that inflates to a large one costs no more memory than the limit. The memory is
//! the process's, at its peak, so this is one test in a process of its own.
#![cfg(target_os = "linux")]
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use em_websocket::{
    error::ProtocolError,
    protocol::{deflate::Params, Event, Limits, Receiver},
};
use flate2::{Compress, Compression, FlushCompress};
use support::{machine::Seen, Frame, Kind, RFC_6455};

const MIB: usize = 1024 * 1024;

/// The most memory this process had since [`forget_peak`], in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Zeros, so many, compressed to a thousandth.
fn bomb(mib: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut payload = Vec::with_capacity(mib * 2_000 + 1_000);
    for _ in 0..mib {
        compress.compress_vec(&vec![0; MIB], &mut payload, FlushCompress::None).unwrap();
    }
    compress.compress_vec(&[], &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - 4);
    payload
}

/// The frames of a compressed message in fragments of this length.
fn frames(payload: &[u8], fragment: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(fragment);
    let frames = payload.chunks(fragment).enumerate().map(|(at, piece)| {
        let (kind, reserved) =
            if at == 0 { (Kind::Binary, 0b100) } else { (Kind::Continuation, 0) };
        RFC_6455.encode(&Frame { reserved, ..RFC_6455.plain(kind, at + 1 == count, piece) })
    });
    frames.collect()
}

#[test]
fn a_bomb_costs_no_more_memory_than_the_limit() {
    let limit = 10 * MIB;
    let limits = Limits { message: limit, ..Limits::default() };
    let payload = bomb(64);
    assert!(payload.len() < MIB / 8);
    forget_peak();
    let before = peak();
    for fragment in [usize::MAX, 5_000, 100] {
        for piece in [usize::MAX, 10_000] {
            let mut receiver =
                Receiver::new(RFC_6455.profile(), limits).with_deflate(&Params::default());
            let mut seen = Vec::new();
            for mut frame in frames(&payload, fragment) {
                let piece = piece.min(frame.len());
                for part in frame.chunks_mut(piece) {
                    receiver.receive(part, &mut |event: Event<'_>| seen.push(Seen::from(event)));
                }
            }
            let cost = peak() - before;
            let error = ProtocolError::MessageTooLong(limit + 1);
            assert_eq!(seen, [Seen::Error(error)], "fragments {fragment}, pieces {piece}");
            assert!(cost < limit + MIB, "{cost} bytes; fragments {fragment}, pieces {piece}");
            // The measure is one: all that the limit allows was taken.
            assert!(cost > limit / 2, "{cost} bytes; fragments {fragment}, pieces {piece}");
        }
    }
}
