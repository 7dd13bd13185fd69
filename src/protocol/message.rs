//! A message whose bytes come in pieces: fragments, or one frame cut by the network.

use super::{
    event::Sink,
    frame::Header,
    held::Held,
    opcode::Opcode,
    utf8::{CodeRange, Utf8Stream},
    version::Profile,
};
use crate::error::ProtocolError;

/// Bytes that are set aside on the word of a header alone; past it, the buffer grows with the bytes
/// that really come.
const MAX_PREALLOCATION: usize = 64 * 1024;

/// The most room that may stay behind an inflated message, in bytes.
const SPARE: usize = 4 * 1024;

/// A buffer that is at least this long grows by a sixteenth: the allocator moves pages, not bytes,
/// and what is set aside for nothing is held, too.
const MUCH: usize = 1024 * 1024;

/// A message on its way in.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: Opcode,
    /// True if its payload is compressed; `bytes` are not.
    pub(crate) compressed: bool,
    pub(crate) bytes: Vec<u8>,
    /// Set where the text is checked.
    utf8: Option<Utf8Stream>,
    is_ascii: bool,
    /// Number of `bytes` that have been validated.
    validated: usize,
    /// The memory of it all.
    held: Held,
}

impl Message {
    /// The message that a frame begins.
    pub(crate) fn new(header: &Header, profile: &Profile, sink: &impl Sink) -> Box<Self> {
        let Header { opcode, compressed, .. } = *header;
        let is_checked = profile.checks_text && opcode == Opcode::Text;
        let utf8 = is_checked.then(Utf8Stream::default);
        let mut message = Self {
            opcode,
            compressed,
            bytes: Vec::new(),
            utf8,
            is_ascii: true,
            validated: 0,
            held: Held::new(sink.meter()),
        };
        message.count();
        Box::new(message)
    }

    /// Memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.held.bytes()
    }

    fn count(&mut self) {
        self.held.set(size_of::<Self>() + self.bytes.capacity());
    }

    /// Makes room, if there is none, for some of the `expected` bytes: as many as have come
    /// already, where that is not much.
    pub(crate) fn reserve(&mut self, expected: usize) {
        if self.bytes.capacity() == self.bytes.len() {
            let len = self.bytes.len();
            let more =
                if len < MUCH { MAX_PREALLOCATION.max(len) } else { (MUCH / 2).max(len / 16) };
            self.bytes.reserve_exact(expected.min(more));
            self.count();
        }
    }

    /// Makes room for `more` bytes of a message that may have `limit`, and one that is too many.
    pub(crate) fn make_room(&mut self, more: usize, limit: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + more > capacity {
            let grown = if capacity < MUCH { capacity * 2 } else { capacity + capacity / 16 };
            self.bytes.reserve_exact(grown.min(limit.saturating_add(1)).max(len + more) - len);
            self.count();
        }
    }

    /// Gives back room that was made for nothing, where it is much.
    pub(crate) fn give_back_room(&mut self) {
        let len = self.bytes.len();
        if self.bytes.capacity() - len > SPARE.max(len / 4) {
            self.bytes.shrink_to_fit();
            self.count();
        }
    }

    /// Judges the bytes that were appended (and unmasked) since the last call. Whether they are
    /// ASCII may be known.
    pub(crate) fn validate_utf8(&mut self, is_ascii: Option<bool>) -> Result<(), ProtocolError> {
        if let Some(utf8) = &mut self.utf8 {
            let new = &self.bytes[self.validated..];
            if is_ascii.unwrap_or_else(|| new.is_ascii()) {
                utf8.feed_ascii(new)?;
            } else {
                self.is_ascii = false;
                utf8.feed(new)?;
            }
        }
        self.validated = self.bytes.len();
        Ok(())
    }

    /// The message is over.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Option<CodeRange>), ProtocolError> {
        let Some(utf8) = self.utf8 else { return Ok((self.bytes, None)) };
        utf8.finish()?;
        let code_range = if self.is_ascii { CodeRange::Ascii } else { CodeRange::Utf8 };
        Ok((self.bytes, Some(code_range)))
    }
}
