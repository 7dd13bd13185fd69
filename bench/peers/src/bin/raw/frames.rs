//! As much of RFC 6455 as the limit needs.

use base64::{engine::general_purpose::STANDARD, Engine};
use sha1::{Digest, Sha1};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Close,
    Other,
}

/// A frame that has come whole.
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// That of the same frame on its way back.
    pub(crate) header: &'a [u8],
    /// Unmasked.
    pub(crate) payload: &'a [u8],
}

/// The frames in a buffer.
pub(crate) struct Frames<'a> {
    bytes: &'a mut [u8],
    done: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, done: 0 }
    }

    /// Beginning of the first frame that has not come whole.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        let bytes = &mut self.bytes[self.done..];
        let (begin, len) = lengths(bytes)?;
        if bytes.len() < begin + len {
            return None;
        }
        self.done += begin + len;
        bytes[1] &= 0x7f;
        let (head, tail) = bytes.split_at_mut(begin);
        let (header, key) = head.split_at(begin - 4);
        let payload = &mut tail[..len];
        unmask(payload, [key[0], key[1], key[2], key[3]]);
        let kind = match header[0] {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            0x88 => Kind::Close,
            _ => Kind::Other,
        };
        Some(Frame { kind, header, payload })
    }
}

/// The length of the frame that begins here, once its header has come.
pub(crate) fn whole_len(bytes: &[u8]) -> Option<usize> {
    lengths(bytes).map(|(begin, len)| begin + len)
}

/// Those of a frame's header, masking key included, and of its payload.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let (extended, len) = match bytes.get(1)? & 0x7f {
        126 => (2, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (8, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        len => (0, usize::from(len)),
    };
    Some((2 + extended + 4, len))
}

fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut words = bytes.chunks_exact_mut(8);
    for bytes in &mut words {
        let plain = u64::from_ne_bytes((&*bytes).try_into().expect("a chunk of eight")) ^ word;
        bytes.copy_from_slice(&plain.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// A text frame with a number.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    let digits = number.to_string();
    out.extend_from_slice(&[0x81, digits.len() as u8]);
    out.extend_from_slice(digits.as_bytes());
}

/// The length of a request that is complete, and the answer to it.
pub(crate) fn upgrade(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    const KEY: &[u8] = b"sec-websocket-key: ";
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = &bytes[..end];
    let at = head.windows(KEY.len()).position(|name| name.eq_ignore_ascii_case(KEY))? + KEY.len();
    let len = head[at..].iter().position(|&byte| byte == b'\r')?;
    let mut hash = Sha1::new();
    hash.update(&head[at..at + len]);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(hash.finalize());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some((end, response.into_bytes()))
}
