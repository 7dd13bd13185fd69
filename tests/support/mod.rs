//! Clients of each draft, written without a look at the library's own encoder.
//!
//! Every test body that runs "for every draft" reads its row of [`DRAFTS`]; a new draft is a new row.

// Every test binary takes its part.
#![allow(dead_code)]

pub(crate) mod machine;

use em_websocket::protocol::version::{profile, Profile};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    /// Version that a client asks for.
    pub(crate) version: i64,
    /// 00 ... FF, instead of opcode and length.
    pub(crate) sentinel: bool,
    /// The top bit says that more fragments follow, instead of that this is the last.
    more: bool,
    opcodes: [u8; 6],
    pub(crate) masking: Masking,
    /// True if the rules of RFC 6455 sections 5.2, 5.4, 5.5 and 7.4 are insisted upon.
    pub(crate) strict: bool,
    pub(crate) counts: Counts,
    pub(crate) close: Close,
    pub(crate) reply: Reply,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Masking {
    Never,
    /// Four bytes before the frame, and the header is masked too.
    Leading,
    /// Four bytes after the length, where the second byte's top bit is set.
    Flagged,
}

/// Size that `max_frame_size` is compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counts {
    Buffer,
    Payload,
    Frame,
}

/// Bytes that the server's own close sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Close {
    Nothing,
    Empty,
    S,
    Code,
}

/// Answer of the server to the client's close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Terminate,
    Body,
    Code,
}

/// Kind of a frame; in the order of [`Draft::opcodes`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

use Kind::{Binary, Continuation, Ping, Pong, Text};

const KINDS: [Kind; 6] = [Continuation, Text, Binary, Kind::Close, Ping, Pong];

const D75: Draft = Draft {
    version: 75,
    sentinel: true,
    more: false,
    opcodes: [0xff; 6],
    masking: Masking::Never,
    strict: false,
    counts: Counts::Buffer,
    close: Close::Nothing,
    reply: Reply::Terminate,
};
#[rustfmt::skip]
const D01: Draft = Draft {
    version: 1,
    sentinel: false,
    more: true,
    opcodes: [0, 4, 5, 1, 2, 3],
    counts: Counts::Payload,
    close: Close::Empty,
    reply: Reply::Body,
    ..D75
};
#[rustfmt::skip]
const D05: Draft = Draft { version: 5, more: false, masking: Masking::Leading, close: Close::S, ..D01 };
#[rustfmt::skip]
const D06: Draft = Draft { version: 6, close: Close::Code, reply: Reply::Code, ..D05 };
#[rustfmt::skip]
const D07: Draft = Draft {
    version: 7,
    opcodes: [0, 1, 2, 8, 9, 10],
    masking: Masking::Flagged,
    strict: true,
    counts: Counts::Frame,
    ..D06
};

/// Every version a client may ask for.
pub(crate) const DRAFTS: [Draft; 10] = [
    D75,
    Draft { version: 76, ..D75 },
    D01,
    Draft { version: 2, ..D01 },
    Draft { version: 3, ..D01 },
    D05,
    D06,
    D07,
    Draft { version: 8, ..D07 },
    RFC_6455,
];

pub(crate) const RFC_6455: Draft = Draft { version: 13, ..D07 };

/// Form of a frame's length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// In as few bytes as the payload allows.
    Shortest,
    /// In 16 bits, whatever the payload is.
    Bits16(u16),
    /// In 64 bits, whatever the payload is.
    Bits64(u64),
}

/// A frame, with everything that can be wrong about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) last: bool,
    /// The three bits behind the top one.
    pub(crate) reserved: u8,
    pub(crate) length: Length,
    /// True if the client masks, where the draft leaves that open.
    pub(crate) masked: bool,
    pub(crate) payload: &'a [u8],
}

/// Every client masks with this.
pub(crate) const KEY: [u8; 4] = [0xa1, 0x02, 0xf3, 0x04];

impl Draft {
    /// Profile that the library has of it.
    pub(crate) fn profile(&self) -> &'static Profile {
        profile(self.version).expect("a draft that is spoken")
    }

    /// The drafts that have opcodes.
    pub(crate) fn with_opcodes() -> impl Iterator<Item = Self> {
        DRAFTS.into_iter().filter(|draft| !draft.sentinel)
    }

    pub(crate) fn has_codes(&self) -> bool {
        self.close == Close::Code
    }

    /// The number of a kind of frame.
    pub(crate) fn opcode(&self, kind: Kind) -> u8 {
        assert!(!self.sentinel, "draft {} has no opcodes", self.version);
        self.opcodes[kind as usize]
    }

    /// A whole message, or a control frame, as a client sends it.
    pub(crate) fn frame(&self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        match (self.sentinel, kind) {
            (true, Text) => [&[0x00], payload, &[0xff]].concat(),
            (true, Kind::Close) => vec![0xff, 0x00],
            (true, _) => panic!("draft {} has no {kind:?}", self.version),
            (false, _) => self.fragment(kind, true, payload),
        }
    }

    /// One fragment of a message, as a client sends it.
    pub(crate) fn fragment(&self, kind: Kind, last: bool, payload: &[u8]) -> Vec<u8> {
        self.encode(&self.plain(kind, last, payload))
    }

    /// The frame that [`fragment`](Self::fragment) encodes.
    pub(crate) fn plain<'a>(&self, kind: Kind, last: bool, payload: &'a [u8]) -> Frame<'a> {
        Frame {
            opcode: self.opcode(kind),
            last,
            reserved: 0,
            length: Length::Shortest,
            masked: true,
            payload,
        }
    }

    pub(crate) fn encode(&self, frame: &Frame<'_>) -> Vec<u8> {
        let top = if frame.last == self.more { 0 } else { 0x80 };
        let mut bytes = vec![top | frame.reserved << 4 | frame.opcode];
        let length = match (frame.length, frame.payload.len()) {
            (Length::Shortest, len @ ..=125) => {
                bytes.push(len as u8);
                None
            }
            (Length::Shortest, len @ ..=0xffff) => Some(Length::Bits16(len as u16)),
            (Length::Shortest, len) => Some(Length::Bits64(len as u64)),
            (length, _) => Some(length),
        };
        match length {
            Some(Length::Bits16(len)) => {
                bytes.push(126);
                bytes.extend(len.to_be_bytes());
            }
            Some(Length::Bits64(len)) => {
                bytes.push(127);
                bytes.extend(len.to_be_bytes());
            }
            _ => {}
        }
        let xor = |bytes: &[u8]| -> Vec<u8> {
            let key = KEY.iter().cycle();
            bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect()
        };
        match self.masking {
            Masking::Leading => {
                bytes.extend(frame.payload);
                [&KEY[..], &xor(&bytes)].concat()
            }
            Masking::Flagged if frame.masked => {
                bytes[1] |= 0x80;
                bytes.extend(KEY);
                bytes.extend(xor(frame.payload));
                bytes
            }
            Masking::Never | Masking::Flagged => {
                bytes.extend(frame.payload);
                bytes
            }
        }
    }

    /// The next frame that the server sent, and how many bytes it took; `None` where it is not
    /// complete. A server sends whole messages, unmasked, with the shortest length.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Option<(Kind, Vec<u8>, usize)> {
        if self.sentinel {
            return match *bytes.first()? {
                0x00 => {
                    let end = bytes.iter().position(|byte| *byte == 0xff)?;
                    Some((Text, bytes[1..end].to_vec(), end + 1))
                }
                0xff => {
                    assert_eq!(*bytes.get(1)?, 0x00);
                    Some((Kind::Close, Vec::new(), 2))
                }
                other => panic!("draft {} has no frame {other:#x}", self.version),
            };
        }
        let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
        assert_eq!(first >> 4, if self.more { 0 } else { 8 }, "{first:#x}");
        let opcode = self.opcodes.iter().position(|opcode| *opcode == first & 0x0f);
        let kind = KINDS[opcode.expect("an opcode of this draft")];
        let (len, header) = match second {
            0..=125 => (usize::from(second), 2),
            126 => {
                let len = u16::from_be_bytes(*rest.first_chunk()?);
                assert!(len > 125, "{len} in 16 bits");
                (usize::from(len), 4)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                assert!(len > 0xffff, "{len} in 64 bits");
                (usize::try_from(len).expect("a length"), 10)
            }
            masked => panic!("a masked frame of the server's: {masked:#x}"),
        };
        let payload = bytes.get(header..header + len)?.to_vec();
        Some((kind, payload, header + len))
    }

    /// All that the server sent.
    pub(crate) fn decode_all(&self, mut bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (kind, payload, taken) = self.decode(bytes).expect("whole frames only");
            frames.push((kind, payload));
            bytes = &bytes[taken..];
        }
        frames
    }

    /// Frames that the server's close sends, for this code and reason.
    pub(crate) fn close_frames(&self, code: Option<u16>, reason: &str) -> Vec<(Kind, Vec<u8>)> {
        let body = match (self.close, code) {
            (Close::Nothing, _) => return Vec::new(),
            (Close::Empty, _) | (Close::Code, None) => Vec::new(),
            (Close::S, _) => b"S".to_vec(),
            (Close::Code, Some(code)) => close_body(code, reason),
        };
        vec![(Kind::Close, body)]
    }
}

/// The body of a close frame.
pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}
