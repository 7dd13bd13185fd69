//! Sending through a handle: a frame is encoded under the connection's lock, and written by the
//! calling thread if nothing is before it.

use std::sync::Arc;

use bytes::Bytes;

use super::Handle;
use crate::{
    error::UsageError,
    protocol::{version::Profile, CloseAction, Connection, FrameParts, Opcode, ReadyState},
    server::{
        connection::State,
        outbound::{
            broadcast::{Broadcast, SHARED},
            buffer::OutboundBuffer,
            compression::Item,
            Flush,
        },
    },
};

/// Payloads of this size are written at once, from where the caller has them.
const DIRECT_WRITE: usize = 16 * 1024;

/// While this many bytes wait, the peer does not read: its pings are answered by the last pong
/// alone, once it reads again.
const PONGS_MERGE: usize = 16 * 1024;

/// Outcome of a send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// This many bytes were queued or written, header included.
    Bytes(usize),
    /// As [`Bytes`](Self::Bytes), and they are the first that wait for [`Handle::flush`].
    Unflushed(usize),
    /// Nothing: the connection is gone, or its draft has no such frame.
    Nothing,
}

impl Handle {
    /// Sends a text message. Its bytes must be UTF-8.
    ///
    /// # Errors
    /// [`UsageError::SendBeforeOpen`], [`UsageError::Closing`].
    pub fn send_text(&self, text: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send(text, flush, Some(Opcode::Text), |connection| connection.text(text.len()))
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// [`UsageError::SendBinaryBeforeOpen`], [`UsageError::NoBinary`], [`UsageError::Closing`].
    pub fn send_binary(&self, bytes: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send(bytes, flush, Some(Opcode::Binary), |connection| connection.binary(bytes.len()))
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`UsageError::PingBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn ping(&self, body: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send(body, flush, None, |connection| connection.ping(body.len()))
    }

    /// Sends a pong.
    ///
    /// # Errors
    /// [`UsageError::PongBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn pong(&self, body: &[u8], flush: Flush) -> Result<Sent, UsageError> {
        self.send(body, flush, None, |connection| connection.pong(body.len()))
    }

    /// Sends bytes as they are, beside the protocol.
    pub fn send_raw(&self, bytes: &[u8], flush: Flush) -> Sent {
        let Some(mut state) = self.0.lock() else { return Sent::Nothing };
        self.put(&mut state, &[bytes], flush)
    }

    /// Writes what was corked.
    pub fn flush(&self) {
        if let Some(mut state) = self.0.lock() {
            self.push_out(&mut state);
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
        if state.is_gone() || message.is_binary() && !profile.binary {
            return Sent::Nothing;
        }
        self.put_message(&mut state, message, profile, flush)
    }

    /// Sends a message that goes to others, too, on a connection that is open, and whose draft has
    /// such messages.
    pub(crate) fn put_message(
        &self,
        state: &mut State,
        message: &Arc<Broadcast>,
        profile: &'static Profile,
        flush: Flush,
    ) -> Sent {
        state.count_sent(message.len());
        if state.compresses(message.len()) {
            let item = Item::Shared(Arc::clone(message));
            return self.defer(state, item, message.len(), flush);
        }
        self.put_shared(state, &message.frame(profile), flush)
    }

    /// Sends bytes that go to others, too.
    pub(crate) fn put_shared(&self, state: &mut State, bytes: &Bytes, flush: Flush) -> Sent {
        self.put_with(state, &[bytes], flush, |out, written| {
            if bytes.len() - written < SHARED {
                out.extend(&bytes[written..]);
            } else {
                out.push(bytes.slice(written..));
            }
        })
    }

    fn send(
        &self,
        payload: &[u8],
        flush: Flush,
        message: Option<Opcode>,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        self.after_published(flush, || self.send_frame(payload, flush, message, frame))
    }

    fn send_frame(
        &self,
        payload: &[u8],
        flush: Flush,
        message: Option<Opcode>,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        let Some(mut state) = self.0.lock() else { return Ok(Sent::Nothing) };
        let Some(parts) = frame(&state.protocol)? else { return Ok(Sent::Nothing) };
        if message.is_some() {
            state.count_sent(payload.len());
        }
        let Some(opcode) = message.filter(|_| state.compresses(payload.len())) else {
            return Ok(self.put(&mut state, &[parts.head(), payload, parts.tail()], flush));
        };
        let item = Item::Message(opcode, Bytes::copy_from_slice(payload));
        Ok(self.defer(&mut state, item, parts.head().len() + payload.len(), flush))
    }

    /// Leaves an item to the driver.
    pub(crate) fn defer(&self, state: &mut State, item: Item, len: usize, flush: Flush) -> Sent {
        if state.is_gone() {
            return Sent::Bytes(len);
        }
        if self.is_over_limit(state, len) {
            return Sent::Bytes(0);
        }
        state.record_activity();
        let is_first = !state.is_deferring() && state.out.is_empty();
        if let Some(queue) = &mut state.compression {
            queue.push(item);
        }
        state.note_high();
        if flush == Flush::Later && is_first {
            return Sent::Unflushed(len);
        }
        // The driver may have taken what was before it already.
        self.0.notify_driver();
        Sent::Bytes(len)
    }

    /// Aborts the connection where these bytes, with those that wait, are more than may wait.
    fn is_over_limit(&self, state: &mut State, len: usize) -> bool {
        let is_over = state.waiting_len() + len > state.outbound_limit;
        if is_over {
            state.close = CloseAction::Abort;
            state.limit_exceeded = true;
            self.0.notify_driver();
        }
        is_over
    }

    /// Queues bytes, or writes them from where they stand if nothing is before them.
    pub(super) fn put(&self, state: &mut State, parts: &[&[u8]], flush: Flush) -> Sent {
        self.put_with(state, parts, flush, |out, written| out.extend_parts(parts, written))
    }

    /// As [`put`](Self::put); `keep` queues what is left once so much is written.
    pub(crate) fn put_with(
        &self,
        state: &mut State,
        parts: &[&[u8]],
        flush: Flush,
        keep: impl FnOnce(&mut OutboundBuffer, usize),
    ) -> Sent {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 || state.is_gone() {
            return Sent::Bytes(len);
        }
        if state.is_deferring() {
            return self.defer(state, Item::Bytes(Bytes::from(parts.concat())), len, flush);
        }
        if self.is_over_limit(state, len) {
            return Sent::Bytes(0);
        }
        state.record_activity();
        let is_first = state.out.is_empty() && !state.blocked;
        let gather = flush == Flush::Later && len < DIRECT_WRITE;
        let written = if is_first && !gather { state.write_parts(parts) } else { Ok(0) };
        match written {
            Ok(written) if written == len => {
                if state.has_records() {
                    self.push_out(state);
                }
                return Sent::Bytes(len);
            }
            Ok(written) => {
                keep(&mut state.out, written);
                state.note_high();
            }
            Err(_) => {
                state.write_failed = true;
                return Sent::Bytes(len);
            }
        }
        if gather && is_first {
            return Sent::Unflushed(len);
        } else if !gather {
            self.push_out(state);
        }
        Sent::Bytes(len)
    }

    /// For the driver: answers pings, in order; while the peer does not read, the last one only.
    pub(crate) fn answer_pings(&self, state: &mut State, pings: Vec<Vec<u8>>) {
        for ping in pings {
            let is_slow = state.out.len() >= PONGS_MERGE || state.has_pending_pong();
            if state.blocked && is_slow {
                state.cold_mut().pending_pong = Some(ping);
            } else if let Ok(Some(parts)) = state.protocol.answer(ping.len()) {
                self.put(state, &[parts.head(), &ping], Flush::Now);
            }
        }
    }

    pub(super) fn push_out(&self, state: &mut State) {
        if !state.write_directly() || state.is_high {
            self.0.notify_driver();
        }
    }
}
