//! Channels of a connection, and what was published there before something else is sent.

use std::sync::Arc;

use super::Handle;
use crate::{
    error::UsageError,
    server::{
        memberships::{any_pending, Membership},
        outbound::Flush,
        outbox::Sent,
    },
};

impl Handle {
    /// Names of the channels that it is subscribed to.
    pub fn subscriptions(&self) -> Vec<Vec<u8>> {
        self.memberships().iter().map(|membership| membership.channel.name().to_vec()).collect()
    }

    /// Sends something, behind what was published before.
    pub(super) fn after_published(
        &self,
        flush: Flush,
        send: impl FnOnce() -> Result<Sent, UsageError>,
    ) -> Result<Sent, UsageError> {
        let owes_flush = self.send_published(flush);
        let sent = send();
        match sent {
            Ok(Sent::Bytes(len)) if owes_flush => return Ok(Sent::Unflushed(len)),
            Ok(Sent::Nothing) | Err(_) if owes_flush => self.flush(),
            _ => {}
        }
        sent
    }

    /// Sends what was published to its channels and has not come to it yet: whether that waits for
    /// [`flush`](Self::flush), of which it is the first. Nothing that is sent after may overtake it.
    pub(crate) fn send_published(&self, flush: Flush) -> bool {
        if !any_pending() {
            return false;
        }
        let memberships = self.memberships();
        let pending = memberships.iter().filter(|it| it.channel.is_pending());
        pending.fold(false, |is_unflushed, it| self.take_published(it, flush) | is_unflushed)
    }

    /// For the driver: sends what channels have kept back until everything else was written.
    pub(crate) fn catch_up(&self) {
        for membership in self.memberships() {
            self.take_published(&membership, Flush::Now);
        }
    }

    fn take_published(&self, membership: &Membership, flush: Flush) -> bool {
        membership.channel.deliver(membership.slot, self.address(), flush)
    }

    fn memberships(&self) -> Vec<Membership> {
        let Some(state) = self.0.lock() else { return Vec::new() };
        state.cold().map(|cold| cold.channels.iter().cloned().collect()).unwrap_or_default()
    }

    /// Ends its subscriptions: how many there were.
    pub(crate) fn leave_channels(&self) -> usize {
        let Some(mut state) = self.0.lock() else { return 0 };
        if state.cold().is_none() {
            return 0;
        }
        let memberships = state.cold_mut().channels.take();
        drop(state);
        for membership in &memberships {
            Arc::clone(&membership.channel).leave(membership);
        }
        memberships.len()
    }

    /// Address of the connection, which no other one has while a handle on it is there.
    pub(crate) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}
