//! permessage-deflate (RFC 7692): what is agreed to, what is inflated, and what is sent. DEFLATE
//! itself is judged by others: miniz_oxide makes what is received, and a reading of RFC 1951 that is
//! strict about windows takes what is sent.
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

mod broken;
mod conversations;
mod negotiation;
mod receiving;
mod samples;
mod sending;
mod strict;
#[path = "../support/mod.rs"]
mod support;

use em_websocket::protocol::{deflate::Params, Budget, Event, Limits, Receiver, Sink};
use flate2::{Compress, Compression, FlushCompress};
use support::{machine::Seen, Draft, Frame, Kind, RFC_6455};

/// The first reserved bit, as [`Frame::reserved`] counts.
const RSV1: u8 = 0b100;

/// A client's compressor.
struct Peer {
    compress: Compress,
    takes_over: bool,
}

impl Peer {
    fn new(takes_over: bool) -> Self {
        Self { compress: Compress::new(Compression::new(6), false), takes_over }
    }

    /// The payload of a message, as RFC 7692 section 7.2.1 makes it.
    fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = self.blocks(message);
        assert_eq!(payload.split_off(payload.len() - 4), [0x00, 0x00, 0xff, 0xff]);
        if !self.takes_over {
            self.compress.reset();
        }
        payload
    }

    /// Part of a message, flushed to the end of a byte.
    fn blocks(&mut self, part: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(part.len() + part.len() / 8 + 64);
        let before = self.compress.total_in();
        self.compress.compress_vec(part, &mut bytes, FlushCompress::Sync).unwrap();
        assert_eq!(self.compress.total_in() - before, part.len() as u64);
        assert!(bytes.len() < bytes.capacity(), "the flush had room");
        bytes
    }
}

/// A connection that agreed to compression, and takes over the client's context.
fn receiver() -> Receiver {
    receiver_with(RFC_6455, &Params::default(), Limits::default())
}

fn receiver_with(draft: Draft, agreed: &Params, limits: Limits) -> Receiver {
    Receiver::new(draft.profile(), limits).with_deflate(agreed)
}

/// A frame that begins a compressed message.
fn compressed(kind: Kind, last: bool, payload: &[u8]) -> Vec<u8> {
    RFC_6455.encode(&Frame { reserved: RSV1, ..RFC_6455.plain(kind, last, payload) })
}

/// A compressed text in one frame.
fn text(payload: &[u8]) -> Vec<u8> {
    compressed(Kind::Text, true, payload)
}

/// Events that a receiver makes of the bytes, in one piece.
fn hear(receiver: &mut Receiver, bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    receiver.receive(&mut bytes.to_vec(), &mut |event: Event<'_>| seen.push(Seen::from(event)));
    seen
}

/// Events of a receiver of the bytes, in pieces of these lengths over and over, read as the server
/// reads: into the payload's own buffer where there is one.
fn hear_cut(receiver: &mut Receiver, mut bytes: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut sink = |event: Event<'_>| seen.push(Seen::from(event));
    for cut in cuts.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (mut piece, behind) = bytes.split_at((*cut).min(bytes.len()));
        bytes = behind;
        while !piece.is_empty() {
            let taken = match receiver.buffer() {
                Some((buffer, limit)) => {
                    let taken = limit.min(piece.len());
                    buffer.extend_from_slice(&piece[..taken]);
                    receiver.received(taken, &mut sink);
                    taken
                }
                None => {
                    give(receiver, &mut piece.to_vec(), 1 + piece.len() % 700, &mut sink);
                    piece.len()
                }
            };
            piece = &piece[taken..];
        }
    }
    seen
}

/// Gives a receiver the bytes within a budget, as often as that takes.
fn give(receiver: &mut Receiver, mut bytes: &mut [u8], inflated: usize, sink: &mut impl Sink) {
    loop {
        let before = receiver.unfinished();
        let left = receiver.receive_within(bytes, Budget { frames: 3, inflated }, sink);
        // One step may go past it by what it makes.
        assert!(receiver.unfinished() <= before + bytes.len() + inflated + 64 * 1024);
        if left == 0 {
            return;
        }
        let taken = bytes.len() - left;
        bytes = &mut bytes[taken..];
    }
}
