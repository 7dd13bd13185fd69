//! Body of a plain HTTP request: where it ends, and what is in it (RFC 9112 sections 6 and 7).
//!
//! A proxy in front may read the same bytes: whatever two readers could take for different bodies is
//! refused, and nothing behind the body is looked at, so that no request hides inside another.

use super::request::Request;
use crate::error::HandshakeError;
use crate::protocol::http_token::is_token_byte;

/// Limit on the bytes of a chunked body that are neither its data nor its chunks' sizes: extensions
/// and trailer fields, all of them together.
const MAX_CHUNK_METADATA: usize = 4096;

/// Limit on the digits of a chunk's size.
const MAX_SIZE_DIGITS: u32 = 8;

/// Reader of one body.
#[derive(Debug)]
pub(super) struct BodyReader {
    decoder: Decoder,
    body: Vec<u8>,
    limit: usize,
}

#[derive(Debug)]
enum Decoder {
    /// Bytes that are still to come.
    Length(usize),
    Chunked(Chunked),
}

impl BodyReader {
    /// Judges how the body of a request is framed.
    pub(super) fn of(request: &Request, limit: usize) -> Result<Self, HandshakeError> {
        let mut lengths = request.header_all("content-length");
        let mut codings = request.header_all("transfer-encoding");
        let decoder = match (lengths.next(), codings.next()) {
            (None, None) => Decoder::Length(0),
            (Some(length), None) if lengths.next().is_none() => {
                Decoder::Length(content_length(length, limit)?)
            }
            // RFC 9112 section 6.1: HTTP/1.0 has no codings.
            (None, Some(coding)) if codings.next().is_none() && request.is_http_1_1() => {
                is_chunked(coding)?;
                Decoder::Chunked(Chunked::default())
            }
            _ => return Err(HandshakeError::BodyFraming),
        };
        Ok(Self { decoder, body: Vec::new(), limit })
    }

    /// True if nothing of it is still to come.
    pub(super) fn is_complete(&self) -> bool {
        match &self.decoder {
            Decoder::Length(left) => *left == 0,
            Decoder::Chunked(chunked) => chunked.part == Part::End,
        }
    }

    /// Takes the next bytes; those behind the body are nobody's.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        match &mut self.decoder {
            Decoder::Length(left) => {
                let bytes = &bytes[..bytes.len().min(*left)];
                self.body.extend_from_slice(bytes);
                *left -= bytes.len();
                Ok(())
            }
            Decoder::Chunked(chunked) => chunked.decode(bytes, &mut self.body, self.limit),
        }
    }

    /// Bytes that have come.
    pub(super) fn received(&self) -> usize {
        self.body.len()
    }

    /// Memory that it takes.
    pub(super) fn held(&self) -> usize {
        self.body.capacity()
    }

    /// Bytes that may still come.
    pub(super) fn outstanding(&self) -> usize {
        match &self.decoder {
            Decoder::Length(left) => *left,
            Decoder::Chunked(_) => self.limit - self.body.len().min(self.limit),
        }
    }

    /// Body that has come.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// RFC 9110 section 8.6: digits. A list of one number over and over is taken by some, and refused
/// here.
fn content_length(value: &[u8], limit: usize) -> Result<usize, HandshakeError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HandshakeError::BodyFraming);
    }
    // What does not fit a number is longer than any limit.
    let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse::<usize>().ok());
    length.filter(|length| *length <= limit).ok_or(HandshakeError::BodyTooLong(limit))
}

/// RFC 9112 section 6.1: a coding that is not known here is 501, one behind `chunked` hides where
/// the body ends.
fn is_chunked(coding: &[u8]) -> Result<(), HandshakeError> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<_> = coding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    match codings.split_last() {
        Some((last, [_, ..])) if last.eq_ignore_ascii_case(b"chunked") => {
            Err(HandshakeError::TransferCoding)
        }
        _ => Err(HandshakeError::BodyFraming),
    }
}

/// Decoder of a chunked body.
#[derive(Debug, Default)]
struct Chunked {
    part: Part,
    /// Of the chunk: its size while that is read, then the bytes of it that are still to come.
    left: usize,
    digits: u32,
    /// Bytes of extensions and of trailer fields so far.
    metadata: usize,
}

/// The part of a chunked body that the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Part {
    #[default]
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// The beginning of a line of the trailer section, or the blank line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

impl Chunked {
    fn decode(
        &mut self,
        mut bytes: &[u8],
        body: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), HandshakeError> {
        while let [byte, rest @ ..] = bytes {
            if self.part == Part::End {
                break;
            }
            if self.part == Part::Data {
                let (data, behind) = bytes.split_at(bytes.len().min(self.left));
                body.extend_from_slice(data);
                self.left -= data.len();
                if self.left == 0 {
                    self.part = Part::DataReturn;
                }
                bytes = behind;
                continue;
            }
            self.part = self.after(*byte).ok_or(HandshakeError::InvalidChunk)?;
            if self.metadata > MAX_CHUNK_METADATA {
                return Err(HandshakeError::ChunkMetadata);
            }
            // Before any of its data.
            if self.part == Part::Data && self.left > limit - body.len() {
                return Err(HandshakeError::BodyTooLong(limit));
            }
            bytes = rest;
        }
        Ok(())
    }

    /// The part that follows a byte that is not data; `None` where it cannot be there.
    fn after(&mut self, byte: u8) -> Option<Part> {
        match (self.part, byte) {
            (Part::Size, byte) if byte.is_ascii_hexdigit() => self.add_digit(byte),
            // RFC 9112 section 7.1.1; space before it is only said to be tolerated.
            (Part::Size, b';') if self.digits > 0 => Some(Part::Extension),
            (Part::Size, b'\r') if self.digits > 0 => Some(Part::SizeLineFeed),
            (Part::Extension, b'\r') => Some(Part::SizeLineFeed),
            (Part::Extension, byte) => self.metadata(byte, Part::Extension),
            (Part::SizeLineFeed, b'\n') => {
                self.digits = 0;
                Some(if self.left == 0 { Part::Trailer } else { Part::Data })
            }
            (Part::DataReturn, b'\r') => Some(Part::DataLineFeed),
            (Part::DataLineFeed, b'\n') => Some(Part::Size),
            (Part::Trailer, b'\r') => Some(Part::LastLineFeed),
            (Part::Trailer, byte) if is_token_byte(byte) => self.metadata(byte, Part::TrailerName),
            (Part::TrailerName, b':') => self.metadata(byte, Part::TrailerValue),
            (Part::TrailerName, byte) if is_token_byte(byte) => {
                self.metadata(byte, Part::TrailerName)
            }
            (Part::TrailerValue, b'\r') => Some(Part::TrailerLineFeed),
            (Part::TrailerValue, byte) => self.metadata(byte, Part::TrailerValue),
            (Part::TrailerLineFeed, b'\n') => Some(Part::Trailer),
            (Part::LastLineFeed, b'\n') => Some(Part::End),
            _ => None,
        }
    }

    fn add_digit(&mut self, byte: u8) -> Option<Part> {
        self.left = self.left * 16 + char::from(byte).to_digit(16)? as usize;
        self.digits += 1;
        (self.digits <= MAX_SIZE_DIGITS).then_some(Part::Size)
    }

    fn metadata(&mut self, byte: u8, part: Part) -> Option<Part> {
        self.metadata += 1;
        (byte == b'\t' || !byte.is_ascii_control()).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content of `bytes` as a chunked body of at most 10 bytes, however they are cut.
    fn decode(bytes: &[u8]) -> Result<Option<Vec<u8>>, HandshakeError> {
        let outcomes = [1, 2, 3, bytes.len()].map(|cut| {
            let mut chunked = Chunked::default();
            let mut body = Vec::new();
            let mut pieces = bytes.chunks(cut);
            pieces.try_for_each(|piece| chunked.decode(piece, &mut body, 10))?;
            Ok((chunked.part == Part::End).then_some(body))
        });
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
        outcomes[0].clone()
    }

    #[test]
    fn chunks_become_one_body() {
        for (bytes, body) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (b"3\r\nabc\r\n00002\r\nde\r\n000\r\n\r\n", b"abcde"),
            (b"A;name=\"va;lue\"\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"a;\tx\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n"),
            (b"1\r\na\r\n0\r\nExpires: never\r\nX:\r\n\r\n", b"a"),
        ] {
            assert_eq!(decode(bytes), Ok(Some(body.to_vec())), "{}", bytes.escape_ascii());
            for end in 1..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Ok(None), "{}", bytes[..end].escape_ascii());
            }
            let behind = [bytes, b"GET /admin HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(decode(&behind), Ok(Some(body.to_vec())), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn chunks_that_are_none_are_refused() {
        for bytes in [
            &b"\r\n"[..],
            b";\r\n",
            b" 3\r\nabc\r\n",
            b"3 \r\nabc\r\n",
            b"+3\r\nabc",
            b"-3\r\nabc",
            b"0x3\r\nabc",
            b"3\nabc\r\n",
            b"3\r\r\nabc",
            b"3;a\nabc\r\n",
            b"3;a\0\r\nabc\r\n",
            b"3\r\nabc0\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"0000000003\r\nabc",
            b"0\r\n X: folded\r\n\r\n",
            b"0\r\n: x\r\n\r\n",
            b"0\r\nX : x\r\n\r\n",
            b"0\r\nX\r\n\r\n",
            b"0\r\nX: a\nY: b\r\n\r\n",
            b"0\r\n\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(
                decode(bytes),
                Err(HandshakeError::InvalidChunk),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_body_is_no_longer_than_its_limit() {
        for bytes in [
            &b"b\r\n"[..],
            b"ffffffff\r\n",
            b"9\r\n123456789\r\n2\r\n",
            b"A\r\n1234567890\r\n1\r\nx",
        ] {
            let refused = Err(HandshakeError::BodyTooLong(10));
            assert_eq!(decode(bytes), refused, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn extensions_and_trailer_fields_are_limited_together() {
        let long = "x".repeat(1500);
        let bytes = format!("1;{long}\r\na\r\n1;{long}\r\na\r\n0;{long}\r\n");
        assert_eq!(decode(bytes.as_bytes()), Err(HandshakeError::ChunkMetadata));
        let bytes = format!("1;{long}\r\na\r\n0\r\nA: {long}\r\nB: {long}\r\n\r\n");
        assert_eq!(decode(bytes.as_bytes()), Err(HandshakeError::ChunkMetadata));
        let bytes = format!("1;{long}\r\na\r\n0\r\nA: {long}\r\n\r\n");
        assert_eq!(decode(bytes.as_bytes()), Ok(Some(b"a".to_vec())));
    }
}
