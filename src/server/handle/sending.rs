//! Sending through a handle: a frame is encoded under the connection's lock, and written by the
//! calling thread if nothing is before it.

use std::sync::Arc;

use super::Handle;
use crate::{
    error::UsageError,
    protocol::{Connection, FrameParts, Opcode, ReadyState},
    server::{outbound::broadcast::Broadcast, outbound::Flush, outbox::Sent},
};

impl Handle {
    /// Sends a text message. Its bytes must be UTF-8.
    ///
    /// # Errors
    /// [`UsageError::SendBeforeOpen`], [`UsageError::Closing`].
    pub fn send_text(&self, text: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send_message(Opcode::Text, text, flush, |connection| connection.text(text.len()))
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// [`UsageError::SendBinaryBeforeOpen`], [`UsageError::NoBinary`], [`UsageError::Closing`].
    pub fn send_binary(&self, bytes: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send_message(Opcode::Binary, bytes, flush, |connection| connection.binary(bytes.len()))
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`UsageError::PingBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn ping(&self, body: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send_control(body, flush, |connection| connection.ping(body.len()))
    }

    /// Sends a pong.
    ///
    /// # Errors
    /// [`UsageError::PongBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn pong(&self, body: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send_control(body, flush, |connection| connection.pong(body.len()))
    }

    /// Sends bytes as they are, beside the protocol.
    pub fn send_raw(&self, bytes: &[u8], flush: Flush) -> Sent {
        let Some(mut state) = self.0.lock() else { return Sent::Nothing };
        state.outbox.send(&[bytes], flush)
    }

    /// Writes what was corked.
    pub fn flush(&self) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.flush();
        }
    }

    /// Sends a message that goes to others, too. [`Sent::Nothing`] where the connection is not
    /// open, or its draft has no binary messages.
    pub fn send_shared(&self, message: &Arc<Broadcast>, flush: Flush) -> Sent {
        let send = || Ok(self.send_shared_frame(message, flush));
        self.after_published(flush, send).unwrap_or(Sent::Nothing)
    }

    fn send_shared_frame(&self, message: &Arc<Broadcast>, flush: Flush) -> Sent {
        let Some(mut state) = self.0.lock() else { return Sent::Nothing };
        let profile = match state.protocol.profile() {
            Some(profile) if state.protocol.ready_state() == ReadyState::Connected => profile,
            _ => return Sent::Nothing,
        };
        if state.outbox.is_gone() || message.is_binary() && !profile.binary {
            return Sent::Nothing;
        }
        state.outbox.send_shared(message, profile, flush)
    }

    fn send_message(
        &self,
        opcode: Opcode,
        payload: &[u8],
        flush: Flush,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        self.after_published(flush, || {
            let Some(mut state) = self.0.lock() else { return Ok(Sent::Nothing) };
            let Some(frame) = frame(&state.protocol)? else { return Ok(Sent::Nothing) };
            Ok(state.outbox.send_message(opcode, &frame, payload, flush))
        })
    }

    fn send_control(
        &self,
        body: &[u8],
        flush: Flush,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        self.after_published(flush, || {
            let Some(mut state) = self.0.lock() else { return Ok(Sent::Nothing) };
            let Some(frame) = frame(&state.protocol)? else { return Ok(Sent::Nothing) };
            Ok(state.outbox.send(&[frame.head(), body, frame.tail()], flush))
        })
    }
}
