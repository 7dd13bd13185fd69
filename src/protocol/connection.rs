//! One connection's life: what may be sent when, the closing handshake and its time limit.
//!
//! The receiving half is a [`Receiver`](super::Receiver) of its own: it belongs to whoever reads
//! the bytes, this to whoever may send.

use std::time::{Duration, Instant};

use super::{
    close::{CloseCode, CloseInfo},
    event::PeerClose,
    frame::FrameParts,
    send::{AfterClose, Sender},
    version::{CloseReply, Profile},
};
use crate::error::{ProtocolError, UsageError};

/// Phase that a connection is in, as `state` answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadyState {
    /// The opening handshake is not done, or `onopen` has not been called.
    Handshake,
    /// Messages may be sent.
    Connected,
    /// The closing handshake has begun.
    Closing,
    /// The TCP connection is gone.
    Closed,
}

/// Action that is left to do with the TCP connection; the later ones outdo the earlier.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CloseAction {
    /// Nothing: it stays.
    None,
    /// End it once everything is written.
    AfterFlush,
    /// End it now.
    Abort,
}

/// One connection's life.
// In the order of its fields, so that what every send looks at stands together.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    sender: Option<Sender>,
    state: ReadyState,
    /// The peer's close has come: nothing that is sent now would be read.
    peer_closed: bool,
    /// It is closed, or about to be, and the application has not asked for that.
    unasked: bool,
    /// In nanoseconds.
    close_timeout: u64,
    /// There only once there is any of it.
    end: Option<Box<End>>,
}

/// A closing handshake, as far as it has come.
#[derive(Debug, Default)]
struct End {
    /// Time at which our close will have been unanswered too long.
    deadline: Option<Instant>,
    info: Option<CloseInfo>,
}

impl Connection {
    /// A connection before its opening handshake; our close must be answered within
    /// `close_timeout`.
    pub fn new(close_timeout: Duration) -> Self {
        Self {
            state: ReadyState::Handshake,
            sender: None,
            close_timeout: nanoseconds(close_timeout),
            end: None,
            peer_closed: false,
            unasked: false,
        }
    }

    /// The opening handshake is answered, and the application is about to be told.
    pub fn open(&mut self, profile: &'static Profile) {
        if self.state == ReadyState::Handshake {
            self.state = ReadyState::Connected;
            self.sender = Some(Sender::new(profile));
        }
    }

    /// State of the connection.
    pub fn ready_state(&self) -> ReadyState {
        self.state
    }

    /// Profile of the version, once it is known.
    pub fn profile(&self) -> Option<&'static Profile> {
        self.sender.as_ref().map(Sender::profile)
    }

    /// Time for which our close may stay without answer.
    pub fn close_timeout(&self) -> Duration {
        match self.close_timeout {
            u64::MAX => Duration::MAX,
            nanoseconds => Duration::from_nanos(nanoseconds),
        }
    }

    /// Sets how long our next close may stay without answer.
    pub fn set_close_timeout(&mut self, timeout: Duration) {
        self.close_timeout = nanoseconds(timeout);
    }

    /// The frame around a text message; `None` where the connection is gone, or is being closed and
    /// the application has not asked for that.
    ///
    /// # Errors
    /// [`UsageError::SendBeforeOpen`], [`UsageError::Closing`].
    pub fn text(&self, len: usize) -> Result<Option<FrameParts>, UsageError> {
        self.sending_message(UsageError::SendBeforeOpen)?.map(|sender| sender.text(len)).transpose()
    }

    /// The frame around a binary message; `None` where the connection is gone, or is being closed
    /// and the application has not asked for that.
    ///
    /// # Errors
    /// [`UsageError::SendBinaryBeforeOpen`], [`UsageError::NoBinary`], [`UsageError::Closing`].
    pub fn binary(&self, len: usize) -> Result<Option<FrameParts>, UsageError> {
        self.sending_message(UsageError::SendBinaryBeforeOpen)?
            .map(|sender| sender.binary(len))
            .transpose()
    }

    /// The frame around a ping; `None` where the draft has none, or the connection is gone.
    ///
    /// # Errors
    /// [`UsageError::PingBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn ping(&self, len: usize) -> Result<Option<FrameParts>, UsageError> {
        match self.sending(UsageError::PingBeforeOpen)? {
            Some(sender) => sender.ping(len),
            None => Ok(None),
        }
    }

    /// The frame around a pong; `None` where the draft has none, or the connection is gone.
    ///
    /// # Errors
    /// [`UsageError::PongBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn pong(&self, len: usize) -> Result<Option<FrameParts>, UsageError> {
        match self.sending(UsageError::PongBeforeOpen)? {
            Some(sender) => sender.pong(len),
            None => Ok(None),
        }
    }

    /// The frame around the answer to a ping; `None` where the draft has none, or the connection is
    /// gone.
    ///
    /// # Errors
    /// [`UsageError::PongBeforeOpen`].
    pub fn answer(&self, len: usize) -> Result<Option<FrameParts>, UsageError> {
        Ok(self.sending(UsageError::PongBeforeOpen)?.and_then(|sender| sender.answer(len)))
    }

    /// The close that follows is not the application's: it cannot know of it, so what it sends from
    /// then on is no mistake, and goes nowhere.
    pub fn unasked(&mut self) {
        self.unasked |= self.state == ReadyState::Connected;
    }

    /// Our close. Before the opening handshake is done the TCP connection is aborted; where the
    /// closing handshake has begun already, nothing is added.
    pub fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> CloseAction {
        let timeout = self.close_timeout();
        match (self.state, &mut self.sender) {
            (ReadyState::Connected, Some(sender)) => match sender.close(code, reason, out) {
                AfterClose::AwaitPeer => {
                    self.state = ReadyState::Closing;
                    // A peer that has closed already has nothing to answer.
                    if !self.peer_closed {
                        self.end.get_or_insert_default().deadline = now.checked_add(timeout);
                    }
                    CloseAction::None
                }
                AfterClose::CloseTcp => CloseAction::AfterFlush,
            },
            (ReadyState::Handshake, _) => CloseAction::Abort,
            _ => {
                // Now it is the application's, too.
                self.unasked = false;
                CloseAction::None
            }
        }
    }

    /// The peer's close has come: answers it, unless it answers ours.
    pub fn peer_closed(&mut self, close: &PeerClose<'_>, out: &mut Vec<u8>) -> CloseAction {
        if let (ReadyState::Connected | ReadyState::Closing, Some(sender)) =
            (self.state, &mut self.sender)
        {
            sender.acknowledge(close, out);
            stop_waiting(&mut self.end);
            self.peer_closed = true;
            if sender.profile().close_reply == CloseReply::Terminate {
                self.state = ReadyState::Closing;
            } else {
                self.end.get_or_insert_default().info = Some(close.to_info());
            }
        }
        CloseAction::AfterFlush
    }

    /// Fails the connection (RFC 6455 section 7.1.7). A peer that left our close unanswered is not
    /// waited for.
    pub fn fail(&mut self, error: &ProtocolError, out: &mut Vec<u8>) -> CloseAction {
        self.unasked();
        if let (ReadyState::Connected, Some(sender)) = (self.state, &mut self.sender) {
            if sender.fail(error, out) == AfterClose::AwaitPeer {
                self.state = ReadyState::Closing;
            }
        }
        stop_waiting(&mut self.end);
        match error {
            ProtocolError::CloseTimeout(_) => CloseAction::Abort,
            _ => CloseAction::AfterFlush,
        }
    }

    /// Time at which [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.end.as_ref()?.deadline
    }

    /// It is `now`: the error where our close has been left unanswered too long. The TCP
    /// connection is then to be aborted.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ProtocolError> {
        self.poll_timeout().filter(|deadline| *deadline <= now)?;
        self.time_out()
    }

    /// As [`handle_timeout`](Self::handle_timeout), for whoever knows better since when an answer
    /// can be expected: the error where our close is unanswered.
    pub fn time_out(&mut self) -> Option<ProtocolError> {
        self.poll_timeout()?;
        stop_waiting(&mut self.end);
        Some(ProtocolError::CloseTimeout(seconds(self.close_timeout())))
    }

    /// The TCP connection is gone: what `onclose` tells.
    pub fn closed(&mut self) -> CloseInfo {
        self.state = ReadyState::Closed;
        self.end.take().and_then(|end| end.info).unwrap_or(CloseInfo::abnormal())
    }

    fn sending_message(&self, before_open: UsageError) -> Result<Option<&Sender>, UsageError> {
        let is_unasked = self.unasked && self.state == ReadyState::Closing;
        Ok(self.sending(before_open)?.filter(|_| !is_unasked))
    }

    fn sending(&self, before_open: UsageError) -> Result<Option<&Sender>, UsageError> {
        match (self.state, &self.sender) {
            (ReadyState::Handshake, _) => Err(before_open),
            (ReadyState::Connected | ReadyState::Closing, Some(sender)) if !self.peer_closed => {
                Ok(Some(sender))
            }
            _ => Ok(None),
        }
    }
}

/// Nothing is waited for any more.
fn stop_waiting(end: &mut Option<Box<End>>) {
    if let Some(end) = end {
        end.deadline = None;
    }
}

/// A timeout in the room that a connection has for it: there are many. More than 500 years are
/// endless.
fn nanoseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as Ruby would print the number it was given as: 60, 0.1.
fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}
