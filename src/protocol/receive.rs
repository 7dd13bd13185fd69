//! The receiving half: bytes in, events out.

use super::{
    close::{self, CloseCode},
    deflate::{Inflater, Params},
    event::{Event, Payload, PeerClose, Sink},
    frame::{self, Header, Rules, MAX_HEADER},
    limits::Limits,
    message::Message,
    opcode::Opcode,
    sentinel::Sentinel,
    utf8::{self, CodeRange},
    version::{Framing, Profile, SizeLimit},
};
use crate::error::ProtocolError;

/// Limits on what is done at a time, so that others have their turn and no more is held than there
/// is room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Number of frames that are begun.
    pub frames: usize,
    /// Once compressed messages have come to so many bytes, nothing more is inflated. What one step
    /// makes may go past it: 64 KiB.
    pub inflated: usize,
}

impl Budget {
    /// All that there is.
    pub const ENDLESS: Self = Self { frames: usize::MAX, inflated: usize::MAX };
}

/// Number of bytes that are unmasked ahead of what is inflated.
const UNMASKED: usize = 8 * 1024;

/// Below this many bytes still to come, a payload's own buffer is not worth a read of its own.
const DIRECT_MIN: usize = 8 * 1024;

/// The receiving half of a connection whose opening handshake is done.
#[derive(Debug)]
pub struct Receiver {
    profile: &'static Profile,
    limits: Limits,
    reading: Reading,
    /// The fragments of a message that is not complete yet.
    fragments: Option<Box<Message>>,
    /// Decompression, where it was agreed to.
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
    pub fn with_deflate(mut self, agreed: &Params) -> Self {
        self.inflater = self.profile.extensions.then(|| Box::new(Inflater::new(agreed)));
        self
    }

    /// Sets the limits on the peer, from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Limits that the peer may not exceed.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of bytes that have come of messages that are not complete.
    pub fn unfinished(&self) -> usize {
        let fragments = self.fragments.as_ref().map_or(0, |message| message.bytes.len());
        match &self.reading {
            Reading::Payload { own: Some(message), .. } => fragments + message.bytes.len(),
            Reading::Sentinel(sentinel) => sentinel.held(),
            _ => fragments,
        }
    }

    /// True if the peer has closed or broken a rule: nothing is read any more.
    pub fn is_done(&self) -> bool {
        matches!(self.reading, Reading::Done)
    }

    /// True if a part of a message has come, and not all of it.
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
        self.receive_within(input, Budget::ENDLESS, sink);
    }

    /// The same, until the budget is used up. How many bytes are left, at the end of `input`, to come
    /// again.
    pub fn receive_within(
        &mut self,
        input: &mut [u8],
        budget: Budget,
        sink: &mut impl Sink,
    ) -> usize {
        self.advance(input, budget, sink).unwrap_or_else(|error| {
            self.finish();
            sink.event(Event::Error(error));
            0
        })
    }

    /// True if frames say how long they are: not in drafts 75 and 76.
    pub fn counts_frames(&self) -> bool {
        !matches!(self.reading, Reading::Sentinel(_))
    }

    /// Memory that is held of messages that are not complete.
    pub fn held(&self) -> usize {
        let fragments = self.fragments.as_ref().map_or(0, |message| message.held());
        fragments
            + match &self.reading {
                Reading::Payload { own: Some(message), .. } => message.held(),
                Reading::Sentinel(sentinel) => sentinel.held(),
                Reading::Payload { .. } | Reading::Header { .. } | Reading::Done => 0,
            }
    }

    /// Number of bytes that the messages that are not complete may still come to.
    pub fn outstanding(&self) -> usize {
        let most = self.limits.message.saturating_sub(self.held());
        match &self.reading {
            Reading::Payload { header, left, .. } if header.is_final && !header.compressed => {
                match &self.fragments {
                    // A ping, or such, between its fragments.
                    Some(_) if header.is_unfragmented() => most,
                    Some(message) if message.compressed => most,
                    _ => *left,
                }
            }
            _ => most,
        }
    }

    /// Buffer that the next bytes may be read to without a detour, and how many at most: inside a
    /// payload that has its own buffer, and is not compressed. [`received`](Self::received) must
    /// follow.
    pub fn buffer(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return None;
        };
        if *left < DIRECT_MIN {
            return None;
        }
        let message = target_message(header, own, &mut self.fragments, self.profile, &NOBODY);
        if message.compressed {
            return None;
        }
        message.reserve(*left);
        let room = message.bytes.capacity() - message.bytes.len();
        Some((&mut message.bytes, (*left).min(room)))
    }

    /// `len` bytes have been appended to [`buffer`](Self::buffer).
    pub fn received(&mut self, len: usize, sink: &mut impl Sink) {
        if let Err(error) = self.payload_appended(len, sink) {
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
        mut budget: Budget,
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
                    let left = sentinel.receive(input, &self.limits, budget.frames, sink)?;
                    if left.is_none() {
                        self.finish();
                    }
                    return Ok(left.unwrap_or(0));
                }
                Reading::Header { .. } if budget.frames == 0 => return Ok(input.len()),
                Reading::Header { bytes, len } => {
                    let stashed = usize::from(*len);
                    let header = parse_header(self.profile, (bytes, len), input, rules)?;
                    let Some((header, payload_len)) = header else { return Ok(0) };
                    budget.frames -= 1;
                    self.start_frame(&header, payload_len)?;
                    &mut input[usize::from(header.len) - stashed..]
                }
                Reading::Payload { .. } => {
                    match self.receive_payload(input, &mut budget.inflated, sink)? {
                        Rest::Behind(rest) => rest,
                        Rest::Left(left) => return Ok(left),
                    }
                }
            }
        }
    }

    /// A header is read: judges it before a byte of its payload is looked at.
    fn start_frame(&mut self, header: &Header, payload_len: u64) -> Result<(), ProtocolError> {
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
        let begun = self.fragments.as_ref().filter(|_| !header.is_unfragmented());
        let compressed = begun.map_or(header.compressed, |message| message.compressed);
        let together = begun.map_or(0, |message| message.bytes.len()).saturating_add(left);
        // Of a compressed message only that counts what it inflates to.
        if !compressed && together > self.limits.message {
            return Err(ProtocolError::MessageTooLong(together));
        }
        self.reading = Reading::Payload { header: *header, left, own: None };
        Ok(())
    }

    /// Takes payload bytes, and inflates them to so many.
    fn receive_payload<'a>(
        &mut self,
        input: &'a mut [u8],
        budget: &mut usize,
        sink: &mut impl Sink,
    ) -> Result<Rest<'a>, ProtocolError> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return Ok(Rest::Left(0));
        };
        let is_whole = header.is_unfragmented() && own.is_none() && input.len() >= *left;
        if is_whole && !header.compressed {
            let (payload, rest) = input.split_at_mut(*left);
            let ascii = header.mask.as_mut().map(|mask| mask.apply(payload));
            let opcode = header.opcode;
            let code_range = if opcode == Opcode::Text && self.profile.checks_text {
                Some(utf8::check(payload, ascii)?)
            } else {
                None
            };
            self.reading = Reading::HEADER;
            self.finish_frame(opcode, Payload::Borrowed(payload), code_range, sink)?;
            return Ok(Rest::Behind(rest));
        }
        if input.is_empty() && *left > 0 {
            if *left >= DIRECT_MIN {
                // Bytes that are to come go straight into its buffer, which must count.
                target_message(header, own, &mut self.fragments, self.profile, sink);
            }
            return Ok(Rest::Left(0));
        }
        let message = target_message(header, own, &mut self.fragments, self.profile, sink);
        if message.compressed {
            return self.inflate(input, budget, sink);
        }
        let (piece, rest) = input.split_at_mut(input.len().min(*left));
        message.reserve(*left);
        message.bytes.extend_from_slice(piece);
        self.payload_appended(piece.len(), sink)?;
        Ok(Rest::Behind(rest))
    }

    /// Takes bytes of a compressed payload, until they have come to so many.
    fn inflate<'a>(
        &mut self,
        input: &'a mut [u8],
        budget: &mut usize,
        sink: &mut impl Sink,
    ) -> Result<Rest<'a>, ProtocolError> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return Ok(Rest::Left(0));
        };
        if *budget == 0 && *left > 0 {
            return Ok(Rest::Left(input.len()));
        }
        let message = target_message(header, own, &mut self.fragments, self.profile, sink);
        let len = input.len().min(*left).min(UNMASKED);
        let piece = &mut input[..len];
        let masked = header.mask;
        if let Some(mask) = &mut header.mask {
            mask.apply(piece);
        }
        let taken = match &mut self.inflater {
            Some(inflater) => inflater.inflate(piece, message, self.limits.message, budget)?,
            None => len,
        };
        if let Some(mut mask) = masked.filter(|_| taken < len) {
            // The rest comes again, as it came.
            mask.skip(taken);
            header.mask = Some(mask);
            mask.apply(&mut piece[taken..]);
        }
        self.payload_consumed(taken, sink)?;
        Ok(Rest::Behind(&mut input[taken..]))
    }

    /// `len` bytes of the payload stand at the end of their message's buffer, still masked.
    fn payload_appended(&mut self, len: usize, sink: &mut impl Sink) -> Result<(), ProtocolError> {
        let Reading::Payload { header, own, .. } = &mut self.reading else {
            return Ok(());
        };
        let message = target_message(header, own, &mut self.fragments, self.profile, sink);
        let start = message.bytes.len() - len;
        let ascii = header.mask.as_mut().map(|mask| mask.apply(&mut message.bytes[start..]));
        message.validate_utf8(ascii)?;
        self.payload_consumed(len, sink)
    }

    /// `len` more bytes of the payload are in their message.
    fn payload_consumed(&mut self, len: usize, sink: &mut impl Sink) -> Result<(), ProtocolError> {
        let Reading::Payload { header, left, own } = &mut self.reading else {
            return Ok(());
        };
        *left -= len;
        if *left > 0 {
            return Ok(());
        }
        let message = match (header.is_unfragmented(), header.is_final) {
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
                let (bytes, code_range) = message.finish()?;
                self.finish_frame(opcode, Payload::Owned(bytes), code_range, sink)
            }
            None => Ok(()),
        }
    }

    fn finish_frame(
        &mut self,
        opcode: Opcode,
        payload: Payload<'_>,
        code_range: Option<CodeRange>,
        sink: &mut impl Sink,
    ) -> Result<(), ProtocolError> {
        match opcode {
            Opcode::Text => sink.event(Event::Text(payload, code_range)),
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

/// Reads a header from `input`, behind what has come of it before; keeps what has come of one that
/// is not complete.
#[inline]
fn parse_header(
    profile: &Profile,
    (bytes, len): (&mut [u8; MAX_HEADER], &mut u8),
    input: &[u8],
    rules: Rules,
) -> Result<Option<(Header, u64)>, ProtocolError> {
    let stashed = usize::from(*len);
    let header = if stashed == 0 {
        frame::parse(profile, input, rules)?
    } else {
        let more = input.len().min(MAX_HEADER - stashed);
        bytes[stashed..stashed + more].copy_from_slice(&input[..more]);
        frame::parse(profile, &bytes[..stashed + more], rules)?
    };
    if header.is_none() {
        if stashed == 0 {
            bytes[..input.len()].copy_from_slice(input);
        }
        *len += input.len() as u8;
    }
    Ok(header)
}

/// The message a payload belongs to: its frame's own, or the one its fragments make up.
fn target_message<'a>(
    header: &Header,
    own: &'a mut Option<Box<Message>>,
    fragments: &'a mut Option<Box<Message>>,
    profile: &Profile,
    sink: &impl Sink,
) -> &'a mut Message {
    let message = if header.is_unfragmented() { own } else { fragments };
    message.get_or_insert_with(|| Message::new(header, profile, sink))
}

/// A sink of nothing, which counts nothing.
const NOBODY: fn(Event<'_>) = |_| ();

/// Rest of the bytes that came.
enum Rest<'a> {
    /// These stand behind a payload, or are the rest of it.
    Behind(&'a mut [u8]),
    /// Number of bytes that cannot be taken now; where there are none, more must come.
    Left(usize),
}
