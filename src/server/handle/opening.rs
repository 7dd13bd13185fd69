//! Outcome of an opening handshake, as its application decides it.
//!
//! The application may be late: its client may be gone, or the time be up, and it may itself have
//! ended the connection meanwhile. Whoever comes first, under the state's lock, has decided.

use std::sync::atomic::Ordering::SeqCst;

use super::Handle;
use crate::{
    protocol::{CloseAction, ReadyState},
    server::{connection::State, pause},
};

impl Handle {
    /// Has the application asked before the opening handshake is answered. Where it is answered
    /// already, [`Delivery::Open`](crate::server::Delivery::Open) comes without an answer all the same.
    pub fn ask(&self) {
        self.0.pauses.fetch_or(pause::ASKS_APPLICATION, SeqCst);
    }

    /// The application puts off its answer to [`Delivery::Open`](crate::server::Delivery::Open). A
    /// peer that leaves meanwhile is gone, and so is one that has stopped sending, which looks the
    /// same. Of a raw connection, nothing is read until it is over.
    pub fn set_deferred(&self, is_deferred: bool) {
        if is_deferred {
            self.0.pauses.fetch_or(pause::RESPONSE_DEFERRED, SeqCst);
            self.0.notify_driver();
        } else {
            self.0.resume_reading(pause::RESPONSE_DEFERRED);
        }
    }

    /// True while the client has been let in, without the application's having been asked, and the
    /// application has not been told.
    pub fn is_let_in(&self) -> bool {
        let pauses = self.0.pauses.load(SeqCst);
        pauses & (pause::AWAITING_OPEN | pause::UNASKED) == pause::AWAITING_OPEN
            && self.0.lock().is_some_and(|state| is_undecided(self, &state))
    }

    /// Sends what is refused its answer, and ends the connection.
    pub(crate) fn reject(&self, response: Option<&[u8]>) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.extend(&[response.unwrap_or_default()]);
            state.outbox.close(CloseAction::AfterFlush);
        }
    }

    /// Sends an answer that opens no WebSocket, and ends the connection. `false` where it was
    /// decided before.
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
        let is_undecided = is_undecided(self, &state);
        if is_undecided {
            self.0.pauses.fetch_or(pause::REJECTED, SeqCst);
        }
        is_undecided
    }
}

/// True while a connection, whose state this is, may still be opened or refused.
pub(crate) fn is_undecided(handle: &Handle, state: &State) -> bool {
    state.protocol.ready_state() == ReadyState::Handshake
        && !state.outbox.is_ending()
        && handle.0.pauses.load(SeqCst) & pause::REJECTED == 0
}
