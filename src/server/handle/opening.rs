//! Outcome of an opening handshake, as its application decides it.
//!
//! The application may be late: its client may be gone, or the time be up, and it may itself have
//! ended the connection meanwhile. Whoever comes first, under the state's lock, has decided.

use std::sync::atomic::Ordering::SeqCst;

use super::Handle;
use crate::{
    protocol::{version::Profile, CloseAction, ReadyState},
    server::{connection::State, outbound::Flush, pause},
};

impl Handle {
    /// For the queue's owner: has the application asked before the opening handshake is answered.
    /// Where it is answered already, [`Delivery::Open`](crate::server::Delivery::Open) comes without an
    /// answer all the same.
    pub fn ask(&self) {
        self.0.pauses.fetch_or(pause::ASKS_APPLICATION, SeqCst);
    }

    /// For the queue's owner: the application is about to be asked
    /// ([`Opened::response`](crate::server::Opened::response)). Its time begins.
    pub fn asked(&self) {
        self.0.resume_reading(pause::UNASKED);
    }

    /// For the queue's owner: the application puts off its answer to
    /// [`Delivery::Open`](crate::server::Delivery::Open). A peer that leaves meanwhile is gone, and so is one
    /// that has stopped sending, which looks the same. Of a raw connection, nothing is read until
    /// it is over.
    pub fn set_deferred(&self, is_deferred: bool) {
        if is_deferred {
            self.0.pauses.fetch_or(pause::RESPONSE_DEFERRED, SeqCst);
            self.0.notify_driver();
        } else {
            self.0.resume_reading(pause::RESPONSE_DEFERRED);
        }
    }

    /// For the queue's owner: opens the WebSocket, of which the application is about to be told.
    /// `false` where the connection is gone or was ended, or the handshake has been refused: then
    /// there is nothing to be told.
    pub fn open(&self, profile: &'static Profile) -> bool {
        self.0.lock().is_some_and(|mut state| self.open_in(&mut state, profile))
    }

    /// As [`open`](Self::open), where the application was asked: sends the answer.
    pub fn open_with(&self, answer: &[u8], profile: &'static Profile) -> bool {
        let Some(mut state) = self.0.lock().filter(|state| self.is_undecided(state)) else {
            return false;
        };
        state.outbox.send(&[answer], Flush::Now);
        self.open_in(&mut state, profile)
    }

    fn open_in(&self, state: &mut State, profile: &'static Profile) -> bool {
        let is_undecided = self.is_undecided(state);
        if is_undecided {
            state.protocol.open(profile);
            self.0.pauses.fetch_and(!pause::RESPONSE_DEFERRED, SeqCst);
        } else {
            // Nothing is read before it is open.
            state.outbox.abort_if_failed();
        }
        is_undecided
    }

    /// For the queue's owner: the application has been told; frames may be read.
    pub fn opened(&self) {
        // Both holds, whether or not it was asked.
        self.0.resume_reading(pause::AWAITING_OPEN | pause::UNASKED);
    }

    /// For the queue's owner: answers [`Delivery::Rejected`](crate::server::Delivery::Rejected).
    pub fn reject(&self, response: Option<&[u8]>) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.extend(&[response.unwrap_or_default()]);
            state.outbox.close(CloseAction::AfterFlush);
        }
    }

    /// For the queue's owner: sends an answer that opens no WebSocket, and ends the connection.
    /// `false` where it was decided before.
    pub fn reject_handshake(&self, answer: &[u8]) -> bool {
        let is_undecided = self.close_opening();
        if is_undecided {
            self.reject(Some(answer));
        }
        is_undecided
    }

    /// As [`reject_handshake`](Self::reject_handshake), for a response of several parts:
    /// [`send_raw`](Self::send_raw) sends them, and
    /// [`close_after_writing`](Self::close_after_writing) ends the connection.
    pub fn begin_response(&self) -> bool {
        self.close_opening()
    }

    /// Decides that the WebSocket will not be opened; `false` where it was decided before.
    pub(crate) fn close_opening(&self) -> bool {
        let Some(state) = self.0.lock() else { return false };
        let is_undecided = self.is_undecided(&state);
        if is_undecided {
            self.0.pauses.fetch_or(pause::REJECTED, SeqCst);
        }
        is_undecided
    }

    /// True while the WebSocket may still be opened, or refused.
    fn is_undecided(&self, state: &State) -> bool {
        state.protocol.ready_state() == ReadyState::Handshake
            && !state.outbox.is_ending()
            && self.0.pauses.load(SeqCst) & pause::REJECTED == 0
    }
}
