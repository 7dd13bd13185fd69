//! What waits for the driver to compress it, in the order it was sent in.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::block_in_place;

use super::broadcast::{Broadcast, Compressed, SHARED};
use crate::protocol::{deflate::Deflater, version::Profile, Opcode};

/// So many bytes are compressed before other connections have their turn: some milliseconds. In the
/// models, where it is the turns that matter, a message each.
const TURN: usize = if cfg!(all(test, feature = "loom")) { 1 } else { 256 * 1024 };

/// Past so many bytes, others do not wait for what is being done: the thread is left to it, and
/// another one serves them, which costs a hand-over.
pub(crate) const APART: usize = 64 * 1024;

/// What has been sent on a connection that compresses, and is no frame yet. Compressing is the
/// driver's: it takes long, and here nobody holds the connection's lock, or Ruby's.
#[derive(Debug)]
pub(crate) struct Deferred {
    pieces: VecDeque<Piece>,
    len: usize,
    /// The driver compresses what came before: nothing may overtake it.
    in_work: bool,
    /// How many bytes that is.
    working: usize,
    /// Messages of fewer bytes are not compressed.
    threshold: usize,
}

/// One thing that was sent.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A message.
    Message(Opcode, Bytes),
    /// A message that goes to others, too.
    Shared(Arc<Broadcast>),
    /// Bytes to be sent as they are, after what was sent before them.
    Bytes(Bytes),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Message(_, bytes) | Self::Bytes(bytes) => bytes.len(),
            Self::Shared(message) => message.len(),
        }
    }
}

impl Deferred {
    pub(crate) fn new(threshold: usize) -> Self {
        Self { pieces: VecDeque::new(), len: 0, in_work: false, working: 0, threshold }
    }

    /// Whether a message has to take the way through here.
    pub(crate) fn wants(&self, len: usize) -> bool {
        len >= self.threshold || self.is_waiting()
    }

    /// Whether something is on its way through here.
    pub(crate) fn is_waiting(&self) -> bool {
        self.in_work || !self.pieces.is_empty()
    }

    /// How many bytes wait, those included that are being compressed.
    pub(crate) fn len(&self) -> usize {
        self.len + self.working
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// For the driver: what comes next, one message at least and no more than is compressed at a
    /// time. [`done`](Self::done) must follow.
    pub(crate) fn take(&mut self) -> Option<VecDeque<Piece>> {
        let mut bytes = 0;
        let count = self.pieces.iter().take_while(|piece| {
            let is_next = bytes < TURN;
            bytes += piece.len();
            is_next
        });
        let rest = self.pieces.split_off(count.count());
        let next = std::mem::replace(&mut self.pieces, rest);
        if next.is_empty() {
            return None;
        }
        self.in_work = true;
        self.working = next.iter().map(Piece::len).sum();
        self.len -= self.working;
        Some(next)
    }

    /// For the driver: what was taken stands in the outbound buffer.
    pub(crate) fn done(&mut self) {
        self.in_work = false;
        self.working = 0;
    }
}

/// How long a context is kept that is not used: it takes some 300 KiB.
const CONTEXT: Duration = Duration::from_secs(10);

/// What compresses a connection's messages: its driver's.
#[derive(Debug)]
pub(crate) struct Compressor {
    deflater: Deflater,
    profile: &'static Profile,
    /// When the context was used last, while there is one.
    used: Option<Instant>,
    /// When to see whether it is idle.
    idle_at: Option<Instant>,
}

impl Compressor {
    pub(crate) fn new(deflater: Deflater, profile: &'static Profile) -> Self {
        Self { deflater, profile, used: None, idle_at: None }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.idle_at
    }

    /// Gives back a context that has been idle.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.idle_at.is_some_and(|idle_at| idle_at <= now) {
            // Moved only here, so that a busy connection's timer is left alone.
            self.idle_at = self.used.map(|used| used + CONTEXT).filter(|idle_at| *idle_at > now);
            if self.idle_at.is_none() {
                self.deflater.release();
            }
        }
    }

    /// The bytes that these pieces come to.
    pub(crate) fn compress(&mut self, pieces: VecDeque<Piece>, now: Instant) -> Vec<Bytes> {
        let (deflater, profile) = (&mut self.deflater, self.profile);
        let frames = if pieces.iter().map(Piece::len).sum::<usize>() > APART {
            block_in_place(|| frames(pieces, deflater, profile))
        } else {
            frames(pieces, deflater, profile)
        };
        self.used = self.deflater.has_context().then_some(now);
        if self.used.is_some() {
            self.idle_at.get_or_insert(now + CONTEXT);
        }
        frames
    }
}

fn frames(pieces: VecDeque<Piece>, deflater: &mut Deflater, profile: &Profile) -> Vec<Bytes> {
    let mut done = Vec::new();
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Message(opcode, payload) => {
                deflater.message(profile, opcode, &payload, &mut out);
            }
            Piece::Shared(message) => {
                let Compressed { frame, uses_window } = message.compressed(profile, deflater);
                // Our window does not have what the peer's has.
                if uses_window {
                    deflater.release();
                }
                if frame.len() < SHARED {
                    out.extend_from_slice(&frame);
                } else {
                    done.extend([Bytes::from(std::mem::take(&mut out)), frame]);
                }
            }
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
        }
    }
    done.push(Bytes::from(out));
    done.retain(|bytes| !bytes.is_empty());
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        deflate::{negotiate, Config},
        version::RFC_6455,
    };

    #[test]
    fn an_idle_context_is_given_back() {
        let config = Config { threshold: 1, ..Config::default() };
        let agreed = negotiate([&b"permessage-deflate"[..]], &config).unwrap();
        let mut compressor = Compressor::new(Deflater::new(&agreed, &config), &RFC_6455);
        let message = || [Piece::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]))].into();
        let begin = Instant::now();
        assert_eq!(compressor.poll_timeout(), None);

        compressor.compress(message(), begin);
        compressor.compress(message(), begin + CONTEXT / 2);
        assert_eq!(compressor.poll_timeout(), Some(begin + CONTEXT));
        compressor.handle_timeout(begin + CONTEXT);
        assert!(compressor.deflater.has_context(), "it was in use 5 s ago");
        let idle_at = begin + CONTEXT / 2 + CONTEXT;
        assert_eq!(compressor.poll_timeout(), Some(idle_at));
        compressor.handle_timeout(idle_at);
        assert!(!compressor.deflater.has_context());
        assert_eq!(compressor.poll_timeout(), None);

        let first =
            Compressor::new(Deflater::new(&agreed, &config), &RFC_6455).compress(message(), begin);
        assert_eq!(compressor.compress(message(), idle_at), first);
    }

    #[test]
    fn what_is_taken_at_a_time_is_bounded() {
        let mut deferred = Deferred::new(1);
        for _ in 0..10 {
            deferred.push(Piece::Bytes(Bytes::from(vec![0; TURN / 4])));
        }
        deferred.push(Piece::Bytes(Bytes::from(vec![0; TURN * 4])));
        for (count, left) in [(4, 6), (4, 2), (3, 0)] {
            let all = deferred.len();
            assert_eq!(deferred.take().map(|pieces| pieces.len()), Some(count));
            assert_eq!(deferred.len(), all, "it waits until it is done");
            deferred.done();
            assert_eq!(deferred.is_waiting(), left > 0);
        }
        assert!(deferred.take().is_none());
        assert_eq!(deferred.len(), 0);
    }

    #[test]
    fn a_shared_message_is_compressed_once_and_ends_the_context() {
        let config = Config { threshold: 1, ..Config::default() };
        let agreed = negotiate([&b"permessage-deflate"[..]], &config).unwrap();
        let shared = Arc::new(Broadcast::text(&[b'y'; 3000]));
        let frames: Vec<_> = (0..3)
            .map(|_| {
                let mut compressor = Compressor::new(Deflater::new(&agreed, &config), &RFC_6455);
                let own = Piece::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]));
                let pieces = [own, Piece::Shared(Arc::clone(&shared))].into();
                let frames = compressor.compress(pieces, Instant::now());
                assert!(!compressor.deflater.has_context());
                frames.concat()
            })
            .collect();
        assert_eq!(frames[0], frames[1]);
        assert_eq!(frames[0], frames[2]);
        let alone = shared.compressed(&RFC_6455, &Deflater::new(&agreed, &config));
        assert!(alone.uses_window && frames[0].ends_with(&alone.frame));
    }
}
