//! What waits for the driver to compress it, in the order it was sent in.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::protocol::{deflate::Deflater, version::Profile, Opcode};

/// What has been sent on a connection that compresses, and is no frame yet. Compressing is the
/// driver's: it takes long, and here nobody holds the connection's lock, or Ruby's.
#[derive(Debug)]
pub(crate) struct Deferred {
    pieces: VecDeque<Piece>,
    len: usize,
    /// The driver compresses what came before: nothing may overtake it.
    in_work: bool,
    /// Messages of fewer bytes are not compressed.
    threshold: usize,
}

/// One thing that was sent.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A message.
    Message(Opcode, Bytes),
    /// Bytes to be sent as they are, after what was sent before them.
    Bytes(Bytes),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Message(_, bytes) | Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Deferred {
    pub(crate) fn new(threshold: usize) -> Self {
        Self { pieces: VecDeque::new(), len: 0, in_work: false, threshold }
    }

    /// Whether a message has to take the way through here.
    pub(crate) fn wants(&self, len: usize) -> bool {
        len >= self.threshold || self.is_waiting()
    }

    /// Whether something is on its way through here.
    pub(crate) fn is_waiting(&self) -> bool {
        self.in_work || !self.pieces.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// For the driver: everything that waits. [`done`](Self::done) must follow.
    pub(crate) fn take(&mut self) -> Option<VecDeque<Piece>> {
        if self.pieces.is_empty() {
            return None;
        }
        self.in_work = true;
        self.len = 0;
        Some(std::mem::take(&mut self.pieces))
    }

    /// For the driver: what was taken stands in the outbound buffer.
    pub(crate) fn done(&mut self) {
        self.in_work = false;
    }
}

/// The bytes that these pieces come to.
pub(crate) fn compress(
    pieces: VecDeque<Piece>,
    deflater: &mut Deflater,
    profile: &Profile,
) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Message(opcode, payload) => {
                deflater.message(profile, opcode, &payload, &mut out);
            }
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
        }
    }
    out
}
