//! A message whose bytes come in pieces: fragments, or one frame cut by the network.

use super::{opcode::Opcode, utf8::Utf8Stream};
use crate::error::ProtocolError;

/// How much is set aside on the word of a header alone; past it, the buffer grows with the bytes
/// that really come.
const TRUSTED: usize = 64 * 1024;

/// A message on its way in.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: Opcode,
    pub(crate) bytes: Vec<u8>,
    /// Set where the text is checked.
    utf8: Option<Utf8Stream>,
    /// How much of `bytes` has been judged.
    judged: usize,
}

impl Message {
    pub(crate) fn new(opcode: Opcode, checked: bool) -> Box<Self> {
        let utf8 = (checked && opcode == Opcode::Text).then(Utf8Stream::default);
        Box::new(Self { opcode, bytes: Vec::new(), utf8, judged: 0 })
    }

    /// Makes room, if there is none, for some of the `expected` bytes: as many as have come
    /// already, at least.
    pub(crate) fn reserve(&mut self, expected: usize) {
        if self.bytes.capacity() == self.bytes.len() {
            self.bytes.reserve_exact(expected.min(TRUSTED.max(self.bytes.len())));
        }
    }

    /// Judges the bytes that were appended (and unmasked) since the last call.
    pub(crate) fn judge(&mut self) -> Result<(), ProtocolError> {
        let new = &self.bytes[self.judged..];
        if let Some(utf8) = &mut self.utf8 {
            utf8.feed(new)?;
        }
        self.judged = self.bytes.len();
        Ok(())
    }

    /// The message is over.
    pub(crate) fn finish(self) -> Result<Vec<u8>, ProtocolError> {
        match self.utf8 {
            Some(utf8) => utf8.finish().map(|()| self.bytes),
            None => Ok(self.bytes),
        }
    }
}
