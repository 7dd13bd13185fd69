//! The receiving half: bytes in, events out.

use super::{
    close::{self, CloseCode},
    deflate::{Agreed, Inflater},
    event::{Charset, Event, Payload, PeerClose, Sink},
    frame::{self, Header, Rules, MAX_HEADER},
    message::Message,
    opcode::Opcode,
    sentinel::Sentinel,
    utf8,
    version::{Framing, Profile, SizeLimit},
};
use crate::error::ProtocolError;

/// What a peer may not exceed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest frame, in bytes, as the draft counts it ([`SizeLimit`]); 10 MiB by default.
    pub frame: usize,
    /// The longest message, all fragments together, in bytes; 64 MiB by default.
    pub message: usize,
    /// Whether unmasked frames are refused where the draft masks (RFC 6455 section 5.1); off by
    /// default.
    pub require_masked: bool,
}

/// Below this many bytes still to come, a payload's own buffer is not worth a read of its own.
const DIRECT_MIN: usize = 8 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 10 * 1024 * 1024, message: 64 * 1024 * 1024, require_masked: false }
    }
}

/// The receiving half of a connection whose opening handshake is done.
#[derive(Debug)]
pub struct Receiver {
    profile: &'static Profile,
    limits: Limits,
    reading: Reading,
    /// The fragments of a message that is not complete yet.
    fragments: Option<Box<Message>>,
    /// Where compression was agreed to.
    inflater: Option<Box<Inflater>>,
}

#[derive(Debug)]
enum Reading {
    Header { bytes: [u8; MAX_HEADER], len: u8 },
    Payload { header: Header, left: usize, own: Option<Box<Message>> },
    Sentinel(Box<Sentinel>),
    Done,
}

impl Reading {
    const HEADER: Self = Self::Header { bytes: [0; MAX_HEADER], len: 0 };
}

impl Receiver {
    /// The receiving half for a version.
    pub fn new(profile: &'static Profile, limits: Limits) -> Self {
        let reading = match profile.framing {
            Framing::Sentinel => Reading::Sentinel(Box::default()),
            Framing::Length => Reading::HEADER,
        };
        Self { profile, limits, reading, fragments: None, inflater: None }
    }

    /// Takes compressed messages, too, as the opening handshake agreed.
    pub fn with_deflate(mut self, agreed: &Agreed) -> Self {
        self.inflater = self.profile.extensions.then(|| Box::new(Inflater::new(agreed)));
        self
    }

    /// What the peer may not exceed, from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the peer has closed or broken a rule: nothing is read any more.
    pub fn is_done(&self) -> bool {
        matches!(self.reading, Reading::Done)
    }

    /// Whether a part of a message has come, and not all of it.
    pub fn is_amid(&self) -> bool {
        self.fragments.is_some()
            || match &self.reading {
                Reading::Header { len, .. } => *len > 0,
                Reading::Payload { .. } => true,
                Reading::Sentinel(sentinel) => sentinel.is_amid(),
                Reading::Done => false,
            }
    }

    /// Takes bytes, however they were cut, and reports what they complete. `input` is unmasked in
    /// place. Bytes behind a close or an error are ignored.
    pub fn receive(&mut self, input: &mut [u8], sink: &mut impl Sink) {
        self.receive_frames(input, usize::MAX, sink);
    }

    /// The same, but begins `most` frames at most. How many bytes are left, at the end of `input`.
    pub fn receive_frames(&mut self, input: &mut [u8], most: usize, sink: &mut impl Sink) -> usize {
        self.advance(input, most, sink).unwrap_or_else(|error| {
            self.finish();
            sink.event(Event::Error(error));
            0
        })
    }

    /// Whether [`receive_frames`](Self::receive_frames) knows how many frames there are: not in
    /// drafts 75 and 76.
    pub fn counts_frames(&self) -> bool {
        !matches!(self.reading, Reading::Sentinel(_))
    }

    /// Where the next bytes may be read to without a detour, and how many at most: inside a
    /// payload that has its own buffer, and is not compressed. [`received`](Self::received) must
    /// follow.
    pub fn buffer(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return None;
        };
        if *left < DIRECT_MIN {
            return None;
        }
        let message = target(header, own, &mut self.fragments, self.profile);
        if message.compressed {
            return None;
        }
        message.reserve(*left);
        let room = message.bytes.capacity() - message.bytes.len();
        Some((&mut message.bytes, (*left).min(room)))
    }

    /// `len` bytes have been appended to [`buffer`](Self::buffer).
    pub fn received(&mut self, len: usize, sink: &mut impl Sink) {
        if let Err(error) = self.appended(len, sink) {
            self.finish();
            sink.event(Event::Error(error));
        }
    }

    fn finish(&mut self) {
        self.reading = Reading::Done;
        self.fragments = None;
        self.inflater = None;
    }

    fn advance(
        &mut self,
        mut input: &mut [u8],
        mut most: usize,
        sink: &mut impl Sink,
    ) -> Result<usize, ProtocolError> {
        let rules = Rules {
            require_masked: self.limits.require_masked,
            compression: self.inflater.is_some(),
        };
        loop {
            input = match &mut self.reading {
                Reading::Done => return Ok(0),
                Reading::Sentinel(sentinel) => {
                    if sentinel.receive(input, &self.limits, sink)? {
                        self.finish();
                    }
                    return Ok(0);
                }
                Reading::Header { .. } if most == 0 => return Ok(input.len()),
                Reading::Header { bytes, len } => {
                    let stashed = usize::from(*len);
                    let header = if stashed == 0 {
                        frame::parse(self.profile, input, rules)?
                    } else {
                        let more = input.len().min(MAX_HEADER - stashed);
                        bytes[stashed..stashed + more].copy_from_slice(&input[..more]);
                        let known = &bytes[..stashed + more];
                        frame::parse(self.profile, known, rules)?
                    };
                    let Some((header, payload_len)) = header else {
                        if stashed == 0 {
                            bytes[..input.len()].copy_from_slice(input);
                        }
                        *len += input.len() as u8;
                        return Ok(0);
                    };
                    most -= 1;
                    self.begin(&header, payload_len)?;
                    &mut input[usize::from(header.len) - stashed..]
                }
                Reading::Payload { .. } => {
                    let Some(rest) = self.payload(input, sink)? else {
                        return Ok(0);
                    };
                    rest
                }
            }
        }
    }

    /// A header is read: judges it before a byte of its payload is looked at.
    fn begin(&mut self, header: &Header, payload_len: u64) -> Result<(), ProtocolError> {
        let len = u128::from(payload_len);
        let counted = match self.profile.size_limit {
            SizeLimit::Frame => len + u128::from(header.len),
            SizeLimit::Payload | SizeLimit::Buffer => len,
        };
        if counted > self.limits.frame as u128 {
            return Err(ProtocolError::FrameTooLong(counted.to_string()));
        }
        match (header.opcode, &self.fragments) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) if self.profile.strict_frames => {
                return Err(ProtocolError::ContinuationExpected);
            }
            _ => {}
        }
        let left = usize::try_from(payload_len).unwrap_or(usize::MAX);
        let begun = self.fragments.as_ref().filter(|_| !header.stands_alone());
        let compressed = begun.map_or(header.compressed, |message| message.compressed);
        let together = begun.map_or(0, |message| message.bytes.len()).saturating_add(left);
        // Of a compressed message only that counts what it inflates to.
        if !compressed && together > self.limits.message {
            return Err(ProtocolError::MessageTooLong(together));
        }
        self.reading = Reading::Payload { header: *header, left, own: None };
        Ok(())
    }

    /// Takes payload bytes; what is behind the payload, or `None` where more must come.
    fn payload<'a>(
        &mut self,
        input: &'a mut [u8],
        sink: &mut impl Sink,
    ) -> Result<Option<&'a mut [u8]>, ProtocolError> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return Ok(None);
        };
        let is_whole = header.stands_alone() && own.is_none() && input.len() >= *left;
        if is_whole && !header.compressed {
            let (payload, rest) = input.split_at_mut(*left);
            let ascii = header.mask.as_mut().map(|mask| mask.apply(payload));
            let opcode = header.opcode;
            let charset = if opcode == Opcode::Text && self.profile.checks_text {
                Some(utf8::check(payload, ascii)?)
            } else {
                None
            };
            self.reading = Reading::HEADER;
            self.complete(opcode, Payload::Borrowed(payload), charset, sink)?;
            return Ok(Some(rest));
        }
        if input.is_empty() && *left > 0 {
            return Ok(None);
        }
        let message = target(header, own, &mut self.fragments, self.profile);
        let (piece, rest) = input.split_at_mut(input.len().min(*left));
        if message.compressed {
            if let Some(mask) = &mut header.mask {
                mask.apply(piece);
            }
            if let Some(inflater) = &mut self.inflater {
                inflater.inflate(piece, message, self.limits.message)?;
            }
            self.taken(piece.len(), sink)?;
        } else {
            message.reserve(*left);
            message.bytes.extend_from_slice(piece);
            self.appended(piece.len(), sink)?;
        }
        Ok(Some(rest))
    }

    /// `len` bytes of the payload stand at the end of their message's buffer, still masked.
    fn appended(&mut self, len: usize, sink: &mut impl Sink) -> Result<(), ProtocolError> {
        let Reading::Payload { header, own, .. } = &mut self.reading else {
            return Ok(());
        };
        let message = target(header, own, &mut self.fragments, self.profile);
        let start = message.bytes.len() - len;
        let ascii = header.mask.as_mut().map(|mask| mask.apply(&mut message.bytes[start..]));
        message.judge(ascii)?;
        self.taken(len, sink)
    }

    /// `len` more bytes of the payload are in their message.
    fn taken(&mut self, len: usize, sink: &mut impl Sink) -> Result<(), ProtocolError> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return Ok(());
        };
        *left -= len;
        if *left > 0 {
            return Ok(());
        }
        let message = match (header.stands_alone(), header.is_final) {
            (true, _) => own.take(),
            (false, true) => self.fragments.take(),
            (false, false) => None,
        };
        self.reading = Reading::HEADER;
        match message {
            Some(mut message) => {
                if let Some(inflater) = self.inflater.as_mut().filter(|_| message.compressed) {
                    inflater.finish(&mut message)?;
                }
                let opcode = message.opcode;
                let (bytes, charset) = message.finish()?;
                self.complete(opcode, Payload::Owned(bytes), charset, sink)
            }
            None => Ok(()),
        }
    }

    fn complete(
        &mut self,
        opcode: Opcode,
        payload: Payload<'_>,
        charset: Option<Charset>,
        sink: &mut impl Sink,
    ) -> Result<(), ProtocolError> {
        match opcode {
            Opcode::Text => sink.event(Event::Text(payload, charset)),
            Opcode::Binary => sink.event(Event::Binary(payload)),
            Opcode::Ping => sink.event(Event::Ping(payload)),
            Opcode::Pong => sink.event(Event::Pong(payload)),
            Opcode::Close => {
                let close = self.peer_close(&payload)?;
                self.finish();
                sink.event(Event::Close(close));
            }
            // A message bears the opcode of its first frame, and that is never a continuation.
            Opcode::Continuation => {}
        }
        Ok(())
    }

    fn peer_close<'a>(&self, body: &'a [u8]) -> Result<PeerClose<'a>, ProtocolError> {
        if !self.profile.close_codes {
            return Ok(PeerClose { code: None, reason: "", body });
        }
        let parsed = match close::parse(body) {
            Ok(parsed) => parsed,
            Err(error) if self.profile.strict_frames || body.len() == 1 => return Err(error),
            Err(_) => body.first_chunk().map(|code| (CloseCode(u16::from_be_bytes(*code)), "")),
        };
        let (code, reason) = parsed.map_or((None, ""), |(code, reason)| (Some(code), reason));
        Ok(PeerClose { code, reason, body })
    }
}

/// The message a payload belongs to: its frame's own, or the one its fragments make up.
fn target<'a>(
    header: &Header,
    own: &'a mut Option<Box<Message>>,
    fragments: &'a mut Option<Box<Message>>,
    profile: &Profile,
) -> &'a mut Message {
    let message = if header.stands_alone() { own } else { fragments };
    message.get_or_insert_with(|| Message::new(header, profile))
}
