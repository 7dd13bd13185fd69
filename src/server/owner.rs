//! Owner of one connection: what only the queue's owner may do with it, and answers its deliveries
//! with.

use std::{cell::Cell, marker::PhantomData, ops::Deref, sync::atomic::Ordering::SeqCst};

use super::{
    connection::State,
    handle::{is_undecided, Handle},
    outbound::Flush,
    pause,
};
use crate::{
    error::ProtocolError,
    protocol::{
        close::{CloseCode, CloseInfo},
        version::Profile,
        CloseAction, PeerClose,
    },
};

/// Right to answer one connection's deliveries: it comes with
/// [`Delivery::Accepted`](super::Delivery::Accepted), cannot be cloned, and
/// [`closed`](Self::closed) consumes it.
///
/// Like a [`Handle`], it does nothing in a forked child.
#[derive(Debug)]
pub struct Owner {
    handle: Handle,
    /// It may be sent to another thread, and is not used by two.
    _not_sync: PhantomData<Cell<()>>,
}

impl Deref for Owner {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Owner {
    /// The one of a connection that has just been accepted.
    pub(crate) fn new(handle: &Handle) -> Self {
        Self { handle: handle.clone(), _not_sync: PhantomData }
    }

    /// The application has agreed to [`Delivery::TlsEstablished`](super::Delivery::TlsEstablished).
    pub fn secured(&self) {
        self.0.resume_reading(pause::AWAITING_TLS_VERIFY);
    }

    /// The application is about to be asked ([`Opened::response`](super::Opened::response),
    /// [`Delivery::Http`](super::Delivery::Http)). Its time begins.
    pub fn asked(&self) {
        self.0.resume_reading(pause::UNASKED);
    }

    /// Opens the WebSocket, of which the application is told while what is returned is held. `None`
    /// where the connection is gone or was ended, or the handshake has been refused: then there is
    /// nothing to be told.
    pub fn open(&self, profile: &'static Profile) -> Option<Opening> {
        let mut state = self.0.lock()?;
        self.open_in(&mut state, profile)
    }

    /// As [`open`](Self::open), where the application was asked: sends the answer.
    pub fn open_with(&self, answer: &[u8], profile: &'static Profile) -> Option<Opening> {
        let mut state = self.0.lock().filter(|state| is_undecided(&self.handle, state))?;
        state.outbox.send(&[answer], Flush::Now);
        self.open_in(&mut state, profile)
    }

    fn open_in(&self, state: &mut State, profile: &'static Profile) -> Option<Opening> {
        if !is_undecided(&self.handle, state) {
            // Nothing is read before it is open.
            state.outbox.abort_if_failed();
            return None;
        }
        state.protocol.open(profile);
        self.0.pauses.fetch_and(!pause::RESPONSE_DEFERRED, SeqCst);
        Some(Opening { handle: self.handle.clone() })
    }

    /// Answers [`Delivery::Rejected`](super::Delivery::Rejected).
    pub fn reject(&self, response: Option<&[u8]>) {
        self.handle.reject(response);
    }

    /// Answers [`Delivery::Close`](super::Delivery::Close).
    pub fn peer_closed(&self, code: Option<CloseCode>, body: &[u8]) {
        let close = PeerClose::new(code, body);
        self.send_published(Flush::Now);
        if let Some(mut state) = self.0.lock() {
            state.close(|connection, out| connection.peer_closed(&close, out));
        }
    }

    /// Answers [`Delivery::Error`](super::Delivery::Error) with the draft's close frame. The
    /// application is told while what is returned is held; then the TCP connection is ended.
    pub fn fail(&self, error: &ProtocolError) -> Failing {
        let action = self.0.lock().map_or(CloseAction::Abort, |mut state| {
            let action = state.append(|connection, out| connection.fail(error, out));
            state.outbox.flush();
            action
        });
        Failing { handle: self.handle.clone(), action }
    }

    /// Lets go of the connection after [`Delivery::Closed`](super::Delivery::Closed), and says how
    /// it ended. A peer that has only stopped sending still gets what has been sent to it.
    pub fn closed(self) -> CloseInfo {
        self.send_published(Flush::Now);
        let Some(mut state) = self.0.lock() else { return CloseInfo::abnormal() };
        state.outbox.detach();
        let info = state.protocol.closed();
        drop(state);
        self.leave_channels();
        info
    }
}

/// Guard of a connection of whose opening the application is being told: nothing is read before it
/// is dropped.
///
/// It borrows nothing, for the application may end the connection meanwhile, and its server.
#[derive(Debug)]
#[must_use = "dropping it says that the application has been told"]
pub struct Opening {
    handle: Handle,
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Both holds, whether or not it was asked.
        self.handle.0.resume_reading(pause::AWAITING_OPEN | pause::UNASKED);
    }
}

/// Guard of a connection of whose error the application is being told: it is ended, as its version
/// says, when the guard is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the application has been told"]
pub struct Failing {
    handle: Handle,
    pub(crate) action: CloseAction,
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.handle.end(self.action);
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Owner>();
};
