//! The sending half: frames with compressed messages in them.

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::{Config, Params, MAX_WINDOW_BITS, TAIL};
use crate::protocol::{frame::FrameParts, opcode::Opcode, version::Profile};

/// The most that one step makes.
const MAX_STEP: usize = 32 * 1024;

/// Makes the frames of one peer's messages, compressed where that is worth while.
///
/// It is no part of a [`Connection`](crate::protocol::Connection): compressing takes long, and
/// wants no lock. But the frames must be sent in the order they were made in.
pub struct Deflater {
    config: Config,
    takes_over: bool,
    window_bits: u8,
    /// Made at the first compressed message; at each, where it is not taken over.
    context: Option<Deflate>,
}

/// Settings of a [`Deflater`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    level: u8,
    memory_level: u8,
    window_bits: u8,
    threshold: usize,
}

impl Deflater {
    /// Compresses as both sides agreed, with no larger window than is configured.
    pub fn new(agreed: &Params, config: &Config) -> Self {
        Self {
            config: *config,
            takes_over: !agreed.server_no_context_takeover,
            window_bits: agreed
                .server_max_window_bits
                .unwrap_or(MAX_WINDOW_BITS)
                .min(config.window_bits()),
            context: None,
        }
    }

    /// Appends the whole frame of a message to `out`, and says whether it is compressed. Control
    /// frames are made too, and never compressed (RFC 7692 section 6.1).
    pub fn message(
        &mut self,
        profile: &Profile,
        opcode: Opcode,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let may_compress = profile.extensions && !opcode.is_control() && !payload.is_empty();
        if may_compress && payload.len() >= self.config.threshold {
            let before = out.len();
            // Most messages keep the length of their header.
            let expected = FrameParts::around(profile, opcode, payload.len()).head().len();
            out.resize(before + expected, 0);
            if let Some(len) = self.compress(payload, out) {
                let parts = FrameParts::around(profile, opcode, len).compressed();
                out.splice(before..before + expected, parts.head().iter().copied());
                return true;
            }
            out.truncate(before);
        }
        let parts = FrameParts::around(profile, opcode, payload.len());
        out.reserve(parts.head().len() + payload.len() + parts.tail().len());
        out.extend_from_slice(parts.head());
        out.extend_from_slice(payload);
        out.extend_from_slice(parts.tail());
        false
    }

    /// Its settings: what two deflaters of one shape make of one message without a context is
    /// the same.
    pub fn key(&self) -> Key {
        Key {
            level: self.config.level,
            memory_level: self.config.memory_level,
            window_bits: self.window_bits,
            threshold: self.config.threshold,
        }
    }

    /// Another one of the same shape, without a context.
    pub fn without_context(&self) -> Self {
        Self { takes_over: false, ..self.bare() }
    }

    /// Another one that would do as well in its place, without a context.
    pub fn bare(&self) -> Self {
        Self { context: None, ..*self }
    }

    /// True if memory is held for what comes next.
    pub fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// Gives the context's memory back. The next compressed message begins with an empty window,
    /// which is always allowed: it merely refers to nothing that came before.
    ///
    /// So one compressed frame can go to many peers: made by a `Deflater` without a context and
    /// with a window no larger than theirs, and sent in place of one of theirs after a release.
    pub fn release(&mut self) {
        self.context = None;
    }

    /// Appends the payload of a compressed frame; `None` where it shall go as it is, and `out` is
    /// then to be cut back.
    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let before = out.len();
        let len = self.deflate(payload, out).then(|| out.len() - before);
        if !self.takes_over {
            self.context = None;
        }
        // What went into the context has to reach the peer, however little was won, unless the
        // context is given up; which costs nothing where the message alone fills its window.
        let may_give_up = !self.takes_over || payload.len() >> self.window_bits > 0;
        match len {
            Some(len) if len < payload.len() || !may_give_up => Some(len),
            _ => {
                self.release();
                None
            }
        }
    }

    /// True if the payload could be compressed; then it stands at the end of `out`.
    fn deflate(&mut self, mut payload: &[u8], out: &mut Vec<u8>) -> bool {
        let context = self.context.get_or_insert_with(|| {
            Deflate::new_with_config(DeflateConfig {
                level: i32::from(self.config.level.min(9)),
                // Negative: without a header. With 9 bits zlib reaches back 250 bytes at most,
                // which is why it has no 8.
                window_bits: -i32::from(self.window_bits.clamp(9, MAX_WINDOW_BITS)),
                mem_level: i32::from(self.config.memory_level.clamp(1, 9)),
                ..DeflateConfig::default()
            })
        });
        let room = (payload.len() / 2 + 64).min(MAX_STEP);
        loop {
            let before = out.len();
            out.resize(before + room, 0);
            let (before_in, before_out) = (context.total_in(), context.total_out());
            let result = context.compress(payload, &mut out[before..], DeflateFlush::SyncFlush);
            let made = (context.total_out() - before_out) as usize;
            let taken = (context.total_in() - before_in) as usize;
            payload = &payload[taken..];
            out.truncate(before + made);
            if result.is_err() {
                return false;
            }
            // A flush is complete once it leaves room. One takes 4 GiB at most.
            if made < room && (payload.is_empty() || taken == 0) {
                break;
            }
        }
        let is_flushed = payload.is_empty() && out.ends_with(&TAIL);
        if is_flushed {
            out.truncate(out.len() - TAIL.len());
        }
        is_flushed
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Deflater")
            .field("config", &self.config)
            .field("takes_over", &self.takes_over)
            .field("window_bits", &self.window_bits)
            .field("has_context", &self.context.is_some())
            .finish()
    }
}
