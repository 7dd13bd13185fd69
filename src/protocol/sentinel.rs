//! Frames of the drafts 75 and 76: 00, text, FF; or a type with the high bit and a length, whose
//! bytes are discarded; FF 00 closes (draft 76 section 5.3).

use super::{
    event::{Event, Payload, PeerClose, Sink},
    held::Held,
    limits::Limits,
    utf8,
};
use crate::error::ProtocolError;

/// State of a reader of such frames.
#[derive(Debug, Default)]
pub(crate) enum Sentinel {
    /// Before a frame.
    #[default]
    Type,
    /// Inside a text that was not complete in one piece.
    Text(Vec<u8>, Held),
    /// Inside the length of a frame whose type has the high bit.
    Length { frame_type: u8, value: u128 },
    /// Inside the bytes that are discarded.
    Discard(usize),
}

/// A length this large is refused without waiting for its last byte.
const LENGTH_OVERFLOW: u128 = u128::MAX >> 7;

impl Sentinel {
    /// True if a part of a frame has come.
    pub(crate) fn is_amid(&self) -> bool {
        !matches!(self, Self::Type)
    }

    /// Memory that is held of a text that is not complete.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Text(_, held) => held.bytes(),
            _ => 0,
        }
    }

    /// Takes bytes, but begins `most` frames at most: how many bytes are left, or `None` once the
    /// peer has closed.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        limits: &Limits,
        mut most: usize,
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, ProtocolError> {
        while let Some((&first, rest)) = input.split_first() {
            if matches!(self, Self::Type) {
                if most == 0 {
                    return Ok(Some(input.len()));
                }
                most -= 1;
            }
            input = match self {
                Self::Type if first & 0x80 != 0 => {
                    *self = Self::Length { frame_type: first, value: 0 };
                    rest
                }
                Self::Type if first != 0 => return Err(ProtocolError::InvalidFrame),
                Self::Type => self.start_text(rest, limits, sink)?,
                Self::Text(text, held) => {
                    let Some(rest) = append_text(text, held, input, limits)? else {
                        return Ok(Some(0));
                    };
                    let text = std::mem::take(text);
                    *self = Self::Type;
                    let code_range = utf8::check(&text, None)?;
                    sink.event(Event::Text(Payload::Owned(text), Some(code_range)));
                    rest
                }
                Self::Length { frame_type, value } => {
                    match add_to_length(value, first, limits)? {
                        None => {}
                        Some(0) if *frame_type == 0xff => {
                            let close = PeerClose { code: None, reason: "", body: &[] };
                            sink.event(Event::Close(close));
                            return Ok(None);
                        }
                        Some(len) => *self = Self::Discard(len),
                    }
                    rest
                }
                Self::Discard(left) => {
                    let gone = input.len().min(*left);
                    *left -= gone;
                    if *left == 0 {
                        *self = Self::Type;
                    }
                    &input[gone..]
                }
            };
        }
        Ok(Some(0))
    }

    /// Reads a text from its first byte on, and returns what is behind it.
    fn start_text<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], ProtocolError> {
        let Some(end) = memchr::memchr(0xff, bytes) else {
            check_length(bytes.len(), 1, limits)?;
            let mut held = Held::new(sink.meter());
            held.set(bytes.len());
            *self = Self::Text(bytes.to_vec(), held);
            return Ok(&[]);
        };
        check_length(end, 2, limits)?;
        let text = &bytes[..end];
        let code_range = utf8::check(text, None)?;
        sink.event(Event::Text(Payload::Borrowed(text), Some(code_range)));
        Ok(&bytes[end + 1..])
    }
}

/// Adds to a text, and returns what is behind its end, once that has come.
fn append_text<'a>(
    text: &mut Vec<u8>,
    held: &mut Held,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<Option<&'a [u8]>, ProtocolError> {
    let end = memchr::memchr(0xff, bytes);
    let piece = &bytes[..end.unwrap_or(bytes.len())];
    let around = 1 + usize::from(end.is_some());
    check_length(text.len() + piece.len(), around, limits)?;
    text.extend_from_slice(piece);
    held.set(text.capacity());
    Ok(end.map(|end| &bytes[end + 1..]))
}

/// Adds a byte to the length of a frame that is discarded, and returns it, once it is whole.
fn add_to_length(
    value: &mut u128,
    byte: u8,
    limits: &Limits,
) -> Result<Option<usize>, ProtocolError> {
    let so_far = *value << 7 | u128::from(byte & 0x7f);
    if byte & 0x80 != 0 && so_far <= LENGTH_OVERFLOW {
        *value = so_far;
        Ok(None)
    } else if so_far > limits.frame as u128 {
        Err(ProtocolError::FrameTooLong(so_far.to_string()))
    } else {
        Ok(Some(so_far as usize))
    }
}

/// Judges the text so far, and with it the `around` bytes of its frame that are not text. Of the two
/// limits the nearer one is named, however much has come at once.
fn check_length(text: usize, around: usize, limits: &Limits) -> Result<(), ProtocolError> {
    if text > limits.message && limits.message < limits.frame {
        return Err(ProtocolError::MessageTooLong(limits.message + 1));
    }
    if text + around > limits.frame {
        return Err(ProtocolError::FrameTooLong((text + around).to_string()));
    }
    Ok(())
}
