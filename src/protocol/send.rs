//! The sending half: what may be said in which state, and the bytes around it.

use super::{
    close::CloseCode,
    event::PeerClose,
    frame::FrameParts,
    opcode::Opcode,
    version::{Close, CloseReply, Framing, Profile},
};
use crate::error::{ProtocolError, UsageError};

/// Drafts 75 and 76 end with this (draft 76 section 5.3).
const TERMINATE: [u8; 2] = [0xff, 0x00];

/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: usize = 125;

/// The sending half of a connection whose opening handshake is done.
#[derive(Clone, Debug)]
pub struct Sender {
    profile: &'static Profile,
    close_sent: bool,
}

/// Action that a close leaves to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterClose {
    /// A close frame went out: the peer's is awaited.
    AwaitPeer,
    /// The TCP connection ends once everything is written.
    CloseTcp,
}

impl Sender {
    /// The sending half for a version.
    pub fn new(profile: &'static Profile) -> Self {
        Self { profile, close_sent: false }
    }

    /// Profile of the version.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// True if our close frame has been sent.
    pub fn is_closing(&self) -> bool {
        self.close_sent
    }

    /// The frame around a text message.
    ///
    /// # Errors
    /// [`UsageError::Closing`] once the closing handshake has begun.
    pub fn text(&self, payload_len: usize) -> Result<FrameParts, UsageError> {
        self.data(Opcode::Text, payload_len)
    }

    /// The frame around a binary message.
    ///
    /// # Errors
    /// [`UsageError::Closing`] once the closing handshake has begun, [`UsageError::NoBinary`] in a
    /// draft without binary frames.
    pub fn binary(&self, payload_len: usize) -> Result<FrameParts, UsageError> {
        if !self.profile.binary {
            return Err(UsageError::NoBinary(self.profile.version));
        }
        self.data(Opcode::Binary, payload_len)
    }

    /// The frame around a ping; `None` in a draft that has no pings.
    ///
    /// # Errors
    /// [`UsageError::ControlTooLong`] over 125 bytes.
    pub fn ping(&self, payload_len: usize) -> Result<Option<FrameParts>, UsageError> {
        self.control(Opcode::Ping, payload_len)
    }

    /// The frame around a pong; `None` in a draft that has no pongs.
    ///
    /// # Errors
    /// [`UsageError::ControlTooLong`] over 125 bytes.
    pub fn pong(&self, payload_len: usize) -> Result<Option<FrameParts>, UsageError> {
        self.control(Opcode::Pong, payload_len)
    }

    /// The frame around the answer to a ping, which is as long as the ping was; `None` in a draft
    /// that has no pongs.
    pub fn answer(&self, payload_len: usize) -> Option<FrameParts> {
        let pong = || FrameParts::around(self.profile, Opcode::Pong, payload_len);
        self.profile.pingable.then(pong)
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2). A second call adds nothing.
    /// A reason longer than a control frame can carry is cut at a character's edge.
    pub fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        out: &mut Vec<u8>,
    ) -> AfterClose {
        if self.profile.close == Close::Tcp {
            return AfterClose::CloseTcp;
        }
        if !self.close_sent {
            match self.profile.close {
                Close::Tcp | Close::Empty => self.close_frame(&[], out),
                Close::S => self.close_frame(b"S", out),
                Close::Code => self.close_frame(&code_body(code, reason), out),
            }
        }
        AfterClose::AwaitPeer
    }

    /// Answers the peer's close, unless it answers ours; the TCP connection ends afterwards.
    pub fn acknowledge(&mut self, peer: &PeerClose<'_>, out: &mut Vec<u8>) {
        if self.close_sent {
            return;
        }
        match self.profile.close_reply {
            CloseReply::Terminate => {
                self.close_sent = true;
                out.extend_from_slice(&TERMINATE);
            }
            CloseReply::Body => self.close_frame(peer.body, out),
            CloseReply::Code => {
                let code = peer.code.unwrap_or(CloseCode::NORMAL);
                self.close_frame(&code.0.to_be_bytes(), out);
            }
        }
    }

    /// Fails the connection (RFC 6455 section 7.1.7); the TCP connection ends afterwards.
    pub fn fail(&mut self, error: &ProtocolError, out: &mut Vec<u8>) -> AfterClose {
        self.close(Some(error.close_code()), &error.to_string(), out)
    }

    /// A data frame: none may follow our close frame (RFC 6455 section 5.5.1).
    fn data(&self, opcode: Opcode, payload_len: usize) -> Result<FrameParts, UsageError> {
        if self.close_sent {
            return Err(UsageError::Closing);
        }
        Ok(FrameParts::around(self.profile, opcode, payload_len))
    }

    fn control(&self, opcode: Opcode, len: usize) -> Result<Option<FrameParts>, UsageError> {
        if !self.profile.pingable {
            return Ok(None);
        }
        if len > MAX_CONTROL {
            return Err(UsageError::ControlTooLong(len));
        }
        Ok(Some(FrameParts::around(self.profile, opcode, len)))
    }

    fn close_frame(&mut self, body: &[u8], out: &mut Vec<u8>) {
        debug_assert_eq!(self.profile.framing, Framing::Length);
        self.close_sent = true;
        let parts = FrameParts::around(self.profile, Opcode::Close, body.len());
        out.extend_from_slice(parts.head());
        out.extend_from_slice(body);
    }
}

fn code_body(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return Vec::new() };
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut body = code.0.to_be_bytes().to_vec();
    body.extend_from_slice(&reason.as_bytes()[..end]);
    body
}
