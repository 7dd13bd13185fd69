//! UTF-8, judged as the bytes arrive (RFC 6455 section 8.1): a text that cannot become valid any
//! more is refused at its first bad byte, however it was cut.

use crate::error::ProtocolError;

/// Code range of a text that was checked, as Ruby has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CodeRange {
    /// ASCII alone.
    Ascii,
    /// UTF-8, and more than ASCII.
    Utf8,
}

impl CodeRange {
    /// Code range of these bytes; `None` where they are not UTF-8.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        check(bytes, None).ok()
    }
}

/// Judges these bytes, whole. Whether they are ASCII may be known.
pub(crate) fn check(bytes: &[u8], is_ascii: Option<bool>) -> Result<CodeRange, ProtocolError> {
    if is_ascii.unwrap_or_else(|| bytes.is_ascii()) {
        return Ok(CodeRange::Ascii);
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(_) => Ok(CodeRange::Utf8),
        Err(_) => Err(ProtocolError::InvalidUtf8),
    }
}

/// A text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8Stream {
    /// The beginning of a character whose end has not come yet.
    pending: [u8; 4],
    pending_len: u8,
}

impl Utf8Stream {
    /// Takes the next piece, which is known to be ASCII.
    pub(crate) fn feed_ascii(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        // It cannot end a character that has begun.
        if bytes.is_empty() {
            Ok(())
        } else {
            self.finish()
        }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while self.pending_len > 0 {
            let Some((&next, rest)) = bytes.split_first() else {
                return Ok(());
            };
            let len = usize::from(self.pending_len);
            self.pending[len] = next;
            bytes = rest;
            match std::str::from_utf8(&self.pending[..=len]) {
                Ok(_) => self.pending_len = 0,
                Err(error) if error.error_len().is_some() => {
                    return Err(ProtocolError::InvalidUtf8)
                }
                // Four bytes are a character or an error, so `pending` never overflows.
                Err(_) => self.pending_len += 1,
            }
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(ProtocolError::InvalidUtf8),
            Err(error) => {
                let tail = &bytes[error.valid_up_to()..];
                self.pending[..tail.len()].copy_from_slice(tail);
                self.pending_len = tail.len() as u8;
                Ok(())
            }
        }
    }

    /// The text is over: no character may be left unfinished.
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        if self.pending_len == 0 {
            Ok(())
        } else {
            Err(ProtocolError::InvalidUtf8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8Stream;
    use proptest::prelude::*;

    #[test]
    fn the_first_bad_byte_is_refused_at_once() {
        // A surrogate, an overlong form and a code point past U+10FFFF are bad at their second byte.
        for bad in [&b"\xed\xa0"[..], b"\xe0\x80", b"\xf4\x90", b"\xc0", b"\xff", b"\x80"] {
            let mut stream = Utf8Stream::default();
            let (last, first) = bad.split_last().unwrap();
            for byte in first {
                stream.feed(&[*byte]).unwrap();
            }
            assert!(stream.feed(&[*last]).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn an_unfinished_character_is_refused_at_the_end_only() {
        let mut stream = Utf8Stream::default();
        stream.feed("κό".as_bytes()).unwrap();
        stream.feed(b"\xf0\x9f").unwrap();
        assert!(stream.finish().is_err());
        stream.feed(b"\x98\x80").unwrap();
        assert!(stream.finish().is_ok());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
            text in "\\PC{0,8}"
        ) {
            let mut bytes = text.into_bytes();
            bytes.extend(pieces.concat());
            let mut stream = Utf8Stream::default();
            let fed = bytes.chunks(1).all(|b| stream.feed(b).is_ok()) && stream.finish().is_ok();
            prop_assert_eq!(fed, std::str::from_utf8(&bytes).is_ok());
        }
    }
}
