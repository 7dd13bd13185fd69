//! Outcome of an opening handshake, as its application decides it.
//!
//! The application may be late: its client may be gone, or the time be up, and it may itself have
//! ended the connection meanwhile. Whoever comes first, under the link's lock, has decided.

use std::sync::atomic::Ordering::SeqCst;

use super::{
    handle::{Cork, Handle},
    hold,
    link::Link,
};
use crate::protocol::{version::Profile, Progress, State};

impl Handle {
    /// For the queue's owner: has the application asked before the opening handshake is answered.
    /// Where it is answered already, [`Delivery::Open`](super::Delivery::Open) comes without an
    /// answer all the same.
    pub fn ask(&self) {
        self.0.hold.fetch_or(hold::ASKS, SeqCst);
    }

    /// For the queue's owner: the application is about to be asked
    /// ([`Opened::answer`](super::Opened::answer)). Its time begins.
    pub fn asked(&self) {
        self.0.let_go(hold::ASKING);
    }

    /// For the queue's owner: the application puts off its answer to
    /// [`Delivery::Open`](super::Delivery::Open). A peer that leaves meanwhile is gone, and so is one
    /// that has stopped sending, which looks the same. Of a raw connection, nothing is read until
    /// it is over.
    pub fn set_deferred(&self, is_deferred: bool) {
        if is_deferred {
            self.0.hold.fetch_or(hold::DEFERRED, SeqCst);
            self.0.attend();
        } else {
            self.0.let_go(hold::DEFERRED);
        }
    }

    /// For the queue's owner: opens the WebSocket, of which the application is about to be told.
    /// `false` where the connection is gone or was ended, or the handshake has been refused: then
    /// there is nothing to be told.
    pub fn open(&self, profile: &'static Profile) -> bool {
        self.0.link().is_some_and(|mut link| self.open_in(&mut link, profile))
    }

    /// As [`open`](Self::open), where the application was asked: sends the answer.
    pub fn open_with(&self, answer: &[u8], profile: &'static Profile) -> bool {
        let Some(mut link) = self.0.link().filter(|link| self.is_undecided(link)) else {
            return false;
        };
        self.put(&mut link, &[answer], Cork::No);
        self.open_in(&mut link, profile)
    }

    fn open_in(&self, link: &mut Link, profile: &'static Profile) -> bool {
        let is_undecided = self.is_undecided(link);
        if is_undecided {
            link.connection.open(profile);
            self.0.hold.fetch_and(!hold::DEFERRED, SeqCst);
        } else if link.broken {
            // Only reading would show it, and nothing is read before it is open.
            link.end = Progress::Abort;
            self.0.attend();
        }
        is_undecided
    }

    /// For the queue's owner: the application has been told; frames may be read.
    pub fn opened(&self) {
        // Both holds, whether or not it was asked.
        self.0.let_go(hold::OPENING | hold::ASKING);
    }

    /// For the queue's owner: answers [`Delivery::Refused`](super::Delivery::Refused).
    pub fn refuse(&self, response: Option<&[u8]>) {
        self.change(|link| {
            link.out.extend(response.unwrap_or_default());
            Progress::CloseAfterWriting
        });
    }

    /// For the queue's owner: sends an answer that opens no WebSocket, and ends the connection.
    /// `false` where it was decided before.
    pub fn refuse_opening(&self, answer: &[u8]) -> bool {
        let is_undecided = self.close_opening();
        if is_undecided {
            self.refuse(Some(answer));
        }
        is_undecided
    }

    /// Decides that the WebSocket will not be opened; `false` where it was decided before.
    pub(super) fn close_opening(&self) -> bool {
        let Some(link) = self.0.link() else { return false };
        let is_undecided = self.is_undecided(&link);
        if is_undecided {
            self.0.hold.fetch_or(hold::REFUSED, SeqCst);
        }
        is_undecided
    }

    /// True while the WebSocket may still be opened, or refused.
    fn is_undecided(&self, link: &Link) -> bool {
        link.connection.state() == State::Handshake
            && link.end == Progress::Stay
            && !link.is_gone()
            && self.0.hold.load(SeqCst) & hold::REFUSED == 0
    }
}
