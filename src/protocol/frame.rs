//! Frames with opcode and length: drafts 03 and later (RFC 6455 section 5.2).

use super::{
    mask::apply_mask,
    opcode::Opcode,
    version::{Framing, Masking, Profile, TopBit},
};
use crate::error::ProtocolError;

/// The longest header: leading key, two bytes, 64-bit length, key.
pub(crate) const MAX_HEADER: usize = 14;

/// The first reserved bit: this begins a compressed message (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// Rules for headers, beside their draft.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) require_masked: bool,
    /// True if messages may be compressed.
    pub(crate) compression: bool,
}

/// A frame's header, read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    pub(crate) is_final: bool,
    /// True if it begins a compressed message.
    pub(crate) compressed: bool,
    pub(crate) mask: Option<Mask>,
    /// Bytes of the header itself, keys included.
    pub(crate) len: u8,
}

impl Header {
    /// True if the frame is a message by itself, not a fragment of one.
    pub(crate) fn is_unfragmented(&self) -> bool {
        self.is_final && self.opcode != Opcode::Continuation
    }
}

/// A masking key, and how many bytes of its run have passed already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mask {
    key: [u8; 4],
    offset: u8,
}

impl Mask {
    /// Leaves out the next bytes of the run.
    pub(crate) fn skip(&mut self, len: usize) {
        self.offset = ((usize::from(self.offset) + len) % 4) as u8;
    }

    /// Unmasks the next bytes of the run; whether they are ASCII.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) -> bool {
        let offset = usize::from(self.offset);
        self.skip(bytes.len());
        apply_mask(bytes, self.key, offset)
    }
}

/// Reads a header, and the length of what it announces, from the beginning of `bytes`; `None` where
/// it is not complete yet. A header that breaks a rule is refused as soon as the bytes that show it are there.
pub(crate) fn parse(
    profile: &Profile,
    bytes: &[u8],
    rules: Rules,
) -> Result<Option<(Header, u64)>, ProtocolError> {
    match profile.masking {
        Masking::Leading => {
            let Some((key, masked)) = bytes.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let mut plain = [0; MAX_HEADER - 4];
            let len = masked.len().min(plain.len());
            plain[..len].copy_from_slice(&masked[..len]);
            apply_mask(&mut plain[..len], *key, 0);
            let header = parse_plain(profile, &plain[..len], rules)?;
            Ok(header.map(|(header, payload_len)| {
                let mask = Some(Mask { key: *key, offset: header.len % 4 });
                (Header { mask, len: header.len + 4, ..header }, payload_len)
            }))
        }
        Masking::Never | Masking::Flagged => parse_plain(profile, bytes, rules),
    }
}

/// Reads a header that is not masked itself.
fn parse_plain(
    profile: &Profile,
    bytes: &[u8],
    rules: Rules,
) -> Result<Option<(Header, u64)>, ProtocolError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let (opcode, is_final, compressed) = parse_first(profile, first, rules)?;
    let strict_control = profile.strict_frames && opcode.is_control();
    if strict_control && !is_final {
        return Err(ProtocolError::FragmentedControl);
    }

    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    let flagged = profile.masking == Masking::Flagged;
    let masked = flagged && second & 0x80 != 0;
    if flagged && rules.require_masked && !masked {
        return Err(ProtocolError::Unmasked);
    }
    let short = second & 0x7f;
    if strict_control && short > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    let Some((payload_len, mut len)) = parse_length(profile, short, &bytes[2..])? else {
        return Ok(None);
    };
    let mut mask = None;
    if masked {
        let Some(key) = bytes[len..].first_chunk::<4>() else {
            return Ok(None);
        };
        mask = Some(Mask { key: *key, offset: 0 });
        len += 4;
    }
    Ok(Some((Header { opcode, is_final, compressed, mask, len: len as u8 }, payload_len)))
}

/// Reads the first byte: the opcode, whether the frame is final, and whether it begins a compressed
/// message.
#[inline]
fn parse_first(
    profile: &Profile,
    first: u8,
    rules: Rules,
) -> Result<(Opcode, bool, bool), ProtocolError> {
    let nibble = first & 0x0f;
    let opcode = profile.opcodes.decode(nibble);
    let begins_data = matches!(opcode, Some(Opcode::Text | Opcode::Binary));
    let compressed = rules.compression && begins_data && first & RSV1 != 0;
    let reserved = first & if compressed { 0x30 } else { 0x70 };
    if profile.strict_frames && reserved != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    let opcode = opcode.ok_or(ProtocolError::UnknownOpcode(nibble))?;
    let is_final = match profile.top_bit {
        TopBit::Fin => first & 0x80 != 0,
        TopBit::More => first & 0x80 == 0,
    };
    Ok((opcode, is_final, compressed))
}

/// Length of the payload, and of the header so far: `short` are the seven bits for it, and `bytes`
/// what comes behind them. `None` where its bytes have not all come.
#[inline]
fn parse_length(
    profile: &Profile,
    short: u8,
    bytes: &[u8],
) -> Result<Option<(u64, usize)>, ProtocolError> {
    let (payload_len, len, is_minimal) = match short {
        126 => {
            let Some(extended) = bytes.first_chunk::<2>() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*extended));
            (len, 4, len > 125)
        }
        127 => {
            let Some(extended) = bytes.first_chunk::<8>() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*extended);
            (len, 10, len > 0xffff && len >> 63 == 0)
        }
        short => (u64::from(short), 2, true),
    };
    if profile.strict_frames && !is_minimal {
        return Err(ProtocolError::InvalidLength);
    }
    Ok(Some((payload_len, len)))
}

/// Bytes before and behind a payload on its way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameParts {
    head: [u8; 10],
    head_len: u8,
    tail: &'static [u8],
}

impl FrameParts {
    /// The frame around a whole message of `payload_len` bytes.
    pub(crate) fn around(profile: &Profile, opcode: Opcode, payload_len: usize) -> Self {
        let mut head = [0; 10];
        if profile.framing == Framing::Sentinel {
            return Self { head, head_len: 1, tail: &[0xff] };
        }
        head[0] = profile.opcodes.encode(opcode);
        if profile.top_bit == TopBit::Fin {
            head[0] |= 0x80;
        }
        let head_len = match payload_len {
            0..=125 => {
                head[1] = payload_len as u8;
                2
            }
            126..=0xffff => {
                head[1] = 126;
                head[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
                4
            }
            _ => {
                head[1] = 127;
                head[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
                10
            }
        };
        Self { head, head_len, tail: &[] }
    }

    /// Says that the message is compressed.
    pub(crate) fn compressed(mut self) -> Self {
        self.head[0] |= RSV1;
        self
    }

    /// The bytes before the payload.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The bytes behind the payload.
    pub fn tail(&self) -> &'static [u8] {
        self.tail
    }
}
