//! A message whose bytes come in pieces: fragments, or one frame cut by the network.

use super::{event::Charset, frame::Header, opcode::Opcode, utf8::Utf8Stream, version::Profile};
use crate::error::ProtocolError;

/// How much is set aside on the word of a header alone; past it, the buffer grows with the bytes
/// that really come.
const TRUSTED: usize = 64 * 1024;

/// So much room may stay behind an inflated message.
const SPARE: usize = 4 * 1024;

/// A message on its way in.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: Opcode,
    /// Whether its payload is compressed; `bytes` are not.
    pub(crate) compressed: bool,
    pub(crate) bytes: Vec<u8>,
    /// Set where the text is checked.
    utf8: Option<Utf8Stream>,
    is_ascii: bool,
    /// How much of `bytes` has been judged.
    judged: usize,
}

impl Message {
    /// The message that a frame begins.
    pub(crate) fn new(header: &Header, profile: &Profile) -> Box<Self> {
        let Header { opcode, compressed, .. } = *header;
        let is_checked = profile.checks_text && opcode == Opcode::Text;
        let utf8 = is_checked.then(Utf8Stream::default);
        Box::new(Self { opcode, compressed, bytes: Vec::new(), utf8, is_ascii: true, judged: 0 })
    }

    /// Makes room, if there is none, for some of the `expected` bytes: as many as have come
    /// already, at least.
    pub(crate) fn reserve(&mut self, expected: usize) {
        if self.bytes.capacity() == self.bytes.len() {
            self.bytes.reserve_exact(expected.min(TRUSTED.max(self.bytes.len())));
        }
    }

    /// Makes room for `more` bytes of a message that may have `limit`, and one that is too many.
    pub(crate) fn make_room(&mut self, more: usize, limit: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + more > capacity {
            let grown = (capacity * 2).min(limit.saturating_add(1));
            self.bytes.reserve_exact(grown.max(len + more) - len);
        }
    }

    /// Gives back room that was made for nothing, where it is much.
    pub(crate) fn give_back_room(&mut self) {
        let len = self.bytes.len();
        if self.bytes.capacity() - len > SPARE.max(len / 4) {
            self.bytes.shrink_to_fit();
        }
    }

    /// Judges the bytes that were appended (and unmasked) since the last call. Whether they are
    /// ASCII may be known.
    pub(crate) fn judge(&mut self, is_ascii: Option<bool>) -> Result<(), ProtocolError> {
        if let Some(utf8) = &mut self.utf8 {
            let new = &self.bytes[self.judged..];
            if is_ascii.unwrap_or_else(|| new.is_ascii()) {
                utf8.feed_ascii(new)?;
            } else {
                self.is_ascii = false;
                utf8.feed(new)?;
            }
        }
        self.judged = self.bytes.len();
        Ok(())
    }

    /// The message is over.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Option<Charset>), ProtocolError> {
        let Some(utf8) = self.utf8 else { return Ok((self.bytes, None)) };
        utf8.finish()?;
        let charset = if self.is_ascii { Charset::Ascii } else { Charset::Utf8 };
        Ok((self.bytes, Some(charset)))
    }
}
