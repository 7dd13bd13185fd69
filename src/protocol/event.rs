//! Events: what a receiver reports.

use std::sync::Arc;

use super::{
    close::{CloseCode, CloseInfo},
    held::Meter,
    utf8::CodeRange,
};
use crate::error::ProtocolError;

/// Event that came from the peer after the opening handshake.
#[derive(Debug)]
pub enum Event<'a> {
    /// A text message, complete; its code range is known where the profile has it checked.
    Text(Payload<'a>, Option<CodeRange>),
    /// A binary message, complete.
    Binary(Payload<'a>),
    /// A ping; its pong is the caller's to send.
    Ping(Payload<'a>),
    /// A pong.
    Pong(Payload<'a>),
    /// The peer's close. Nothing comes after it.
    Close(PeerClose<'a>),
    /// The peer broke a rule. Nothing comes after it.
    Error(ProtocolError),
}

/// The bytes of a message.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Still where they were received.
    Borrowed(&'a [u8]),
    /// In a buffer of their own.
    Owned(Vec<u8>),
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A close frame, as it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerClose<'a> {
    /// The code, where the draft has codes and the frame carried one.
    pub code: Option<CloseCode>,
    /// The reason; in a draft without codes, empty.
    pub reason: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> PeerClose<'a> {
    /// A close whose body the receiver has judged.
    pub fn new(code: Option<CloseCode>, body: &'a [u8]) -> Self {
        // A draft without codes has no reasons either.
        let reason = code.and_then(|_| std::str::from_utf8(body.get(2..)?).ok());
        Self { code, reason: reason.unwrap_or_default(), body }
    }

    /// Close that `onclose` tells of once the closing handshake is complete.
    pub fn to_info(self) -> CloseInfo {
        CloseInfo {
            code: self.code.unwrap_or(CloseCode::NO_STATUS),
            reason: Some(self.reason.to_owned()),
            was_clean: true,
        }
    }
}

/// Takes events as they are found.
pub trait Sink {
    /// One event; its bytes are only lent.
    fn event(&mut self, event: Event<'_>);

    /// Counter of what is held of messages that are not complete; by default there is none.
    fn meter(&self) -> Option<Arc<dyn Meter>> {
        None
    }
}

impl<F: FnMut(Event<'_>)> Sink for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}
