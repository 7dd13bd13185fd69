//! A whole connection: anything that the peer, the application and the clock may do to it, in any
//! order.
//!
//! Everything that it sends is read twice, by the decoder of the tests and by a
//! [`Receiver`] in the peer's place, and must be what was asked for. What its state, its timer and
//! its progress must be is told by a [`Model`] of what has happened, not by the connection.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc,
    },
    time::{Duration, Instant},
};

use em_websocket::{
    error::{ProtocolError, UsageError},
    protocol::{
        close::{CloseCode, CloseInfo},
        version::CloseReply,
        Budget, CloseAction, Connection, Event, FrameParts, Limits, Meter, PeerClose, ReadyState,
        Receiver, Sink,
    },
};

use crate::{
    input::Input,
    support::{machine::Seen, Close, Draft, Frame, Kind, Length, Masking, DRAFTS},
};

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let draft = input.choose(&DRAFTS);
    let mut talk = Talk::new(draft);
    if input.byte() & 1 == 0 {
        talk.open();
    }
    while !input.is_empty() {
        talk.step(&mut input);
        talk.check();
    }
}

/// Model of what has happened, as far as it decides what may come.
struct Model {
    state: ReadyState,
    opened: bool,
    /// A close frame of ours is out.
    close_sent: bool,
    /// The peer's close has come.
    peer_closed: bool,
    /// Time at which our close has been unanswered too long.
    deadline: Option<Instant>,
    /// Close that `onclose` will be told of, where it is not an abnormal end.
    info: Option<CloseInfo>,
    /// True once a close has begun that the application has not asked for.
    unasked: bool,
}

struct Talk {
    draft: Draft,
    connection: Connection,
    receiver: Receiver,
    /// The peer, as far as it listens.
    peer: Receiver,
    model: Model,
    now: Instant,
    close_timeout: Duration,
    limits: Limits,
    held: Arc<Count>,
}

/// Bytes held of messages that are not complete.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Meter for Count {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, SeqCst);
    }

    fn remove(&self, bytes: usize) {
        assert!(self.0.fetch_sub(bytes, SeqCst) >= bytes, "more is let go than was held");
    }
}

/// Events that are heard, and the bytes held meanwhile.
struct Heard {
    events: Vec<Seen>,
    held: Arc<Count>,
}

impl Sink for Heard {
    fn event(&mut self, event: Event<'_>) {
        self.events.push(Seen::from(event));
    }

    fn meter(&self) -> Option<Arc<dyn Meter>> {
        Some(Arc::clone(&self.held) as Arc<dyn Meter>)
    }
}

impl Talk {
    fn new(draft: Draft) -> Self {
        let close_timeout = Duration::from_millis(100);
        Self {
            draft,
            connection: Connection::new(close_timeout),
            receiver: Receiver::new(draft.profile(), Limits::default()),
            peer: Receiver::new(draft.profile(), Limits::default()),
            model: Model {
                state: ReadyState::Handshake,
                opened: false,
                close_sent: false,
                peer_closed: false,
                deadline: None,
                info: None,
                unasked: false,
            },
            now: Instant::now(),
            close_timeout,
            limits: Limits::default(),
            held: Arc::default(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 14 {
            0 => self.open(),
            1 => self.send(Kind::Text, usize::from(input.byte())),
            2 => self.send(Kind::Binary, usize::from(input.byte())),
            3 => {
                let len = input.choose(&[0, 125, 126, 127, 65_535, 65_536]);
                self.send(Kind::Text, len);
            }
            4 => self.send(Kind::Ping, usize::from(input.byte())),
            5 => self.send(Kind::Pong, usize::from(input.byte())),
            6 => {
                let code = input.choose(&CODES);
                let reason = String::from_utf8_lossy(input.counted()).into_owned();
                self.close(code, &reason);
            }
            7 => self.hear_frame(input),
            8 => {
                let bytes = input.counted().to_vec();
                let cut = usize::from(input.byte());
                self.hear(&bytes, cut);
            }
            9 => {
                let code = input.choose(&CODES);
                let code = code.filter(|_| self.draft.has_codes());
                let body = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
                let body = [&body, input.counted()].concat();
                self.peer_closed(&PeerClose::new(code.map(CloseCode), &body));
            }
            10 => {
                let error = match input.byte() % 5 {
                    0 => ProtocolError::InvalidUtf8,
                    1 => ProtocolError::FrameTooLong("1".repeat(usize::from(input.byte()))),
                    2 => ProtocolError::Internal("\u{e9}".repeat(usize::from(input.byte()))),
                    3 => ProtocolError::InvalidDeflate,
                    _ => ProtocolError::UnknownOpcode(input.byte()),
                };
                self.fail(&error);
            }
            11 => self.wait(Duration::from_millis(input.number().into())),
            12 => {
                self.close_timeout = match input.byte() {
                    0xff => Duration::MAX,
                    tens => Duration::from_millis(u64::from(tens) * 10),
                };
                self.connection.set_close_timeout(self.close_timeout);
            }
            _ => match input.byte() % 2 {
                0 => {
                    let frame = usize::from(input.number());
                    self.limits = Limits { frame, message: frame * 2, ..self.limits };
                    self.receiver.set_limits(self.limits);
                }
                _ => self.closed(),
            },
        }
    }

    fn open(&mut self) {
        self.connection.open(self.draft.profile());
        if self.model.state == ReadyState::Handshake {
            self.model.state = ReadyState::Connected;
            self.model.opened = true;
        }
    }

    fn send(&mut self, kind: Kind, len: usize) {
        let connection = &self.connection;
        let (parts, before_open) = match kind {
            Kind::Text => (connection.text(len), UsageError::SendBeforeOpen),
            Kind::Binary => (connection.binary(len), UsageError::SendBinaryBeforeOpen),
            Kind::Ping => (connection.ping(len), UsageError::PingBeforeOpen),
            _ => (connection.pong(len), UsageError::PongBeforeOpen),
        };
        let is_data = matches!(kind, Kind::Text | Kind::Binary);
        let version = self.draft.profile().version;
        let refused = match (self.model.state, kind) {
            (ReadyState::Handshake, _) => Some(before_open),
            (ReadyState::Closed, _) => None,
            _ if self.model.peer_closed => None,
            _ if is_data && self.is_silenced() => None,
            (_, Kind::Binary) if self.draft.sentinel => Some(UsageError::NoBinary(version)),
            _ if is_data && self.model.close_sent => Some(UsageError::Closing),
            _ if !is_data && !self.draft.sentinel && len > 125 => {
                Some(UsageError::ControlTooLong(len))
            }
            _ => None,
        };
        assert_eq!(parts.as_ref().err(), refused.as_ref(), "{kind:?} of {len} bytes");
        let Ok(parts) = parts else { return };
        let may_send = self.may_send()
            && (is_data || !self.draft.sentinel)
            && !(is_data && self.is_silenced());
        assert_eq!(parts.is_some(), may_send, "{kind:?} of {len} bytes");
        if let Some(parts) = parts {
            self.sent(kind, &vec![b'a' + (len % 26) as u8; len], &parts);
        }
    }

    /// True if there is anybody to send to.
    fn may_send(&self) -> bool {
        matches!(self.model.state, ReadyState::Connected | ReadyState::Closing)
            && !self.model.peer_closed
    }

    /// True while messages go nowhere, without an error: the application cannot know of the close.
    fn is_silenced(&self) -> bool {
        self.model.unasked && self.model.state == ReadyState::Closing
    }

    /// A frame has been sent.
    fn sent(&mut self, kind: Kind, payload: &[u8], parts: &FrameParts) {
        let bytes = [parts.head(), payload, parts.tail()].concat();
        assert_eq!(self.draft.decode_all(&bytes), [(kind, payload.to_vec())]);
        let seen = self.heard_by_peer(&bytes);
        if !self.model.close_sent {
            let payload = payload.to_vec();
            let expected = match kind {
                Kind::Text => Seen::Text(payload),
                Kind::Binary => Seen::Binary(payload),
                Kind::Ping => Seen::Ping(payload),
                _ => Seen::Pong(payload),
            };
            assert_eq!(seen, [expected]);
        }
    }

    /// Events that the peer makes of a frame. Where clients mask, an empty mask is put on.
    fn heard_by_peer(&mut self, frame: &[u8]) -> Vec<Seen> {
        let mask: &[u8] = if self.draft.masking == Masking::Leading { &[0; 4] } else { &[] };
        let mut seen = Vec::new();
        let mut sink = |event: Event<'_>| seen.push(Seen::from(event));
        self.peer.receive(&mut [mask, frame].concat(), &mut sink);
        seen
    }

    /// Bytes that may only be one close frame, the first of this connection.
    fn closed_with(&mut self, out: &[u8], body: Option<&[u8]>) {
        let frames = self.draft.decode_all(out);
        assert_eq!(frames, body.map(|body| (Kind::Close, body.to_vec())).as_slice());
        if let Some(body) = body {
            assert!(!self.model.close_sent, "a second close frame");
            self.model.close_sent = true;
            match &self.heard_by_peer(out)[..] {
                [Seen::Close(_, _, heard)] => assert_eq!(heard, body),
                other => panic!("a close frame was heard as {other:?}"),
            }
        }
    }

    fn close(&mut self, code: Option<u16>, reason: &str) {
        let mut out = Vec::new();
        let progress = self.connection.close(code.map(CloseCode), reason, self.now, &mut out);
        let body = self.close_body(code, reason);
        let expected = match self.model.state {
            ReadyState::Handshake => CloseAction::Abort,
            ReadyState::Connected if self.draft.close == Close::Nothing => CloseAction::AfterFlush,
            _ => CloseAction::None,
        };
        assert_eq!(progress, expected);
        self.model.unasked &= self.model.state == ReadyState::Connected;
        let begins =
            self.model.state == ReadyState::Connected && self.draft.close != Close::Nothing;
        let sends = begins && !self.model.close_sent;
        self.closed_with(&out, body.as_deref().filter(|_| sends));
        if begins {
            self.model.state = ReadyState::Closing;
            // A peer that has closed has nothing to answer.
            let deadline = self.now.checked_add(self.close_timeout);
            self.model.deadline = deadline.filter(|_| !self.model.peer_closed);
        }
    }

    /// The body of our close frame, if there is one: a reason is cut to what a control frame takes.
    fn close_body(&self, code: Option<u16>, reason: &str) -> Option<Vec<u8>> {
        let fits = |end: &usize| reason.is_char_boundary(*end);
        let end = (0..=reason.len().min(123)).rfind(fits).expect("0 is one");
        self.draft.close_frames(code, &reason[..end]).pop().map(|(_, body)| body)
    }

    fn hear_frame(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let payload = input.counted();
        let kinds =
            [Kind::Text, Kind::Binary, Kind::Ping, Kind::Pong, Kind::Close, Kind::Continuation];
        let kind = kinds[usize::from(flags & 7) % kinds.len()];
        let bytes = match (self.draft.sentinel, kind) {
            (true, Kind::Close) => self.draft.frame(Kind::Close, b""),
            (true, _) => self.draft.frame(Kind::Text, payload),
            (false, _) => self.draft.encode(&Frame {
                opcode: self.draft.opcode(kind),
                last: flags & 8 == 0,
                reserved: 0,
                length: Length::Shortest,
                masked: flags & 0x10 == 0,
                payload,
            }),
        };
        self.hear(&bytes, usize::from(flags >> 5));
    }

    /// The peer's bytes come, in two pieces, and are answered as a transport answers them.
    fn hear(&mut self, bytes: &[u8], cut: usize) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        for piece in [first, second] {
            let mut heard = Heard { events: Vec::new(), held: Arc::clone(&self.held) };
            let mut piece = piece.to_vec();
            let mut left = piece.len();
            while left > 0 {
                let at = piece.len() - left;
                let budget = Budget { frames: 1 + cut % 3, inflated: 1 };
                left = self.receiver.receive_within(&mut piece[at..], budget, &mut heard);
                self.check_held();
            }
            for event in heard.events {
                match event {
                    Seen::Ping(payload) => self.answer(&payload),
                    Seen::Close(code, _, body) => {
                        self.peer_closed(&PeerClose::new(code.map(CloseCode), &body));
                    }
                    Seen::Error(error) => self.fail(&error),
                    Seen::Text(_) | Seen::Binary(_) | Seen::Pong(_) => {}
                }
            }
        }
    }

    fn answer(&mut self, ping: &[u8]) {
        let pong = self.connection.answer(ping.len());
        if self.model.state == ReadyState::Handshake {
            assert_eq!(pong, Err(UsageError::PongBeforeOpen));
            return;
        }
        let pong = pong.expect("a ping may be answered");
        assert_eq!(pong.is_some(), self.may_send());
        if let Some(parts) = pong {
            self.sent(Kind::Pong, ping, &parts);
        }
    }

    fn peer_closed(&mut self, close: &PeerClose<'_>) {
        let mut out = Vec::new();
        let progress = self.connection.peer_closed(close, &mut out);
        assert_eq!(progress, CloseAction::AfterFlush);
        if !matches!(self.model.state, ReadyState::Connected | ReadyState::Closing) {
            assert!(out.is_empty());
            return;
        }
        let normal = CloseCode::NORMAL;
        let body = match self.draft.profile().close_reply {
            CloseReply::Terminate => Vec::new(),
            CloseReply::Body => close.body.to_vec(),
            CloseReply::Code => close.code.unwrap_or(normal).0.to_be_bytes().to_vec(),
        };
        let answers = !self.model.close_sent;
        self.closed_with(&out, Some(&body[..]).filter(|_| answers));
        self.model.peer_closed = true;
        self.model.deadline = None;
        if self.draft.sentinel {
            self.model.state = ReadyState::Closing;
        } else {
            self.model.info = Some(close.to_info());
        }
    }

    fn fail(&mut self, error: &ProtocolError) {
        let mut out = Vec::new();
        let progress = self.connection.fail(error, &mut out);
        let expected = match error {
            ProtocolError::CloseTimeout(_) => CloseAction::Abort,
            _ => CloseAction::AfterFlush,
        };
        assert_eq!(progress, expected);
        self.model.unasked |= self.model.state == ReadyState::Connected;
        let begins =
            self.model.state == ReadyState::Connected && self.draft.close != Close::Nothing;
        let sends = begins && !self.model.close_sent;
        let body = self.close_body(Some(error.close_code().0), &error.to_string());
        self.closed_with(&out, body.as_deref().filter(|_| sends));
        if begins {
            self.model.state = ReadyState::Closing;
        }
        self.model.deadline = None;
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let is_due = self.model.deadline.is_some_and(|deadline| deadline <= self.now);
        let error = self.connection.handle_timeout(self.now);
        assert_eq!(error.is_some(), is_due);
        if let Some(error) = error {
            self.model.deadline = None;
            assert!(matches!(error, ProtocolError::CloseTimeout(_)), "{error:?}");
            assert_eq!(self.connection.poll_timeout(), None);
            assert_eq!(self.connection.handle_timeout(self.now), None);
            self.fail(&error);
        }
    }

    fn closed(&mut self) {
        let info = self.connection.closed();
        assert_eq!(info, self.model.info.take().unwrap_or(CloseInfo::abnormal()));
        self.model.state = ReadyState::Closed;
        self.model.deadline = None;
    }

    /// The count is of all that is held: twice what has come at the most, and a frame's worth.
    fn check_held(&self) {
        let held = self.held.0.load(SeqCst);
        assert_eq!(held, self.receiver.held());
        let most = 2 * self.receiver.unfinished() + 2 * (64 * 1024 + 256);
        assert!(held <= most, "{held} bytes are held, of {most}");
        assert!(!self.receiver.is_done() || held == 0, "{held} bytes of nothing");
        // A header has been judged, and what comes is no more than it says.
        let message = self.limits.message.max(usize::from(u16::MAX) * 2);
        assert!(self.receiver.unfinished() <= message + 125);
    }

    /// Checks of all that must hold at any time.
    fn check(&self) {
        self.check_held();
        assert_eq!(self.connection.ready_state(), self.model.state);
        assert_eq!(self.connection.poll_timeout(), self.model.deadline);
        assert_eq!(self.connection.close_timeout(), self.close_timeout);
        let profile = self.connection.profile();
        assert_eq!(profile, self.model.opened.then(|| self.draft.profile()));
    }
}

/// Codes that a peer may send, and acts of this side.
const CODES: [Option<u16>; 12] = [
    None,
    Some(1000),
    Some(1001),
    Some(1002),
    Some(1003),
    Some(1007),
    Some(1008),
    Some(1009),
    Some(1011),
    Some(1014),
    Some(3000),
    Some(4999),
];
