//! The sans-IO machine of one connection: [`Receiver`] and [`Connection`], put together as a
//! transport puts them.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]

use std::time::{Duration, Instant};

use em_websocket::{
    error::ProtocolError,
    protocol::{
        close::{CloseCode, CloseInfo},
        CloseAction, Connection, Event, Limits, Receiver,
    },
};

use super::{Draft, Kind};

/// An event that owns its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code, reason and whole body.
    Close(Option<u16>, String, Vec<u8>),
    Error(ProtocolError),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(payload, _) => Self::Text(payload.to_vec()),
            Event::Binary(payload) => Self::Binary(payload.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(close) => Self::Close(
                close.code.map(|code| code.0),
                close.reason.to_owned(),
                close.body.to_vec(),
            ),
            Event::Error(error) => Self::Error(error),
        }
    }
}

impl Seen {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

pub(crate) struct Machine {
    pub(crate) draft: Draft,
    pub(crate) connection: Connection,
    pub(crate) receiver: Receiver,
    /// The clock; it stands still.
    pub(crate) now: Instant,
    /// Action that is left for the TCP connection.
    pub(crate) progress: CloseAction,
    out: Vec<u8>,
}

/// Time for which every machine waits for an answer to its close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

impl Machine {
    /// A connection whose opening handshake is done.
    pub(crate) fn open(draft: Draft) -> Self {
        Self::with_limits(draft, Limits::default())
    }

    pub(crate) fn with_limits(draft: Draft, limits: Limits) -> Self {
        let mut connection = Connection::new(CLOSE_TIMEOUT);
        connection.open(draft.profile());
        Self {
            draft,
            connection,
            receiver: Receiver::new(draft.profile(), limits),
            now: Instant::now(),
            progress: CloseAction::None,
            out: Vec::new(),
        }
    }

    /// Takes bytes of the client's: answers pings, and the closing handshake.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let Self { connection, receiver, out, progress, .. } = self;
        let mut events = Vec::new();
        receiver.receive(&mut bytes.to_vec(), &mut |event: Event<'_>| {
            match &event {
                Event::Ping(payload) => {
                    let pong = connection.answer(payload.len()).expect("a pong may be sent");
                    if let Some(parts) = pong {
                        out.extend([parts.head(), payload, parts.tail()].concat());
                    }
                }
                Event::Close(close) => *progress = connection.peer_closed(close, out),
                _ => {}
            }
            events.push(Seen::from(event));
        });
        events
    }

    /// Takes bytes of the client's that break a rule, and says which one.
    #[track_caller]
    pub(crate) fn hear_error(&mut self, bytes: &[u8]) -> ProtocolError {
        match self.hear(bytes).pop() {
            Some(Seen::Error(error)) => {
                assert!(self.receiver.is_done());
                error
            }
            other => panic!("draft {}: {other:?}", self.draft.version),
        }
    }

    pub(crate) fn close(&mut self, code: Option<u16>, reason: &str) {
        let code = code.map(CloseCode);
        self.progress = self.connection.close(code, reason, self.now, &mut self.out);
    }

    pub(crate) fn fail(&mut self, error: &ProtocolError) {
        self.progress = self.connection.fail(error, &mut self.out);
    }

    /// Frames that the client has been sent since the last time.
    pub(crate) fn said(&mut self) -> Vec<(Kind, Vec<u8>)> {
        self.draft.decode_all(&std::mem::take(&mut self.out))
    }
}

/// Close that `onclose` is told of where there was a closing handshake.
pub(crate) fn clean(code: u16, reason: &str) -> CloseInfo {
    CloseInfo { code: CloseCode(code), reason: Some(reason.to_owned()), was_clean: true }
}

/// Close that `onclose` is told of where there was none.
pub(crate) fn abrupt() -> CloseInfo {
    CloseInfo { code: CloseCode(1006), reason: None, was_clean: false }
}
