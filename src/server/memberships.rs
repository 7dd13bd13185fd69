//! Channels that a connection is subscribed to, as the connection knows them.

use std::{fmt, sync::Arc};

use super::{
    outbound::Flush,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

/// Number of channels with messages that have not gone to all of their subscribers yet. Whoever
/// sends to one connection looks here first, for what was published before must be before it.
#[cfg(not(all(test, feature = "loom")))]
static PENDING: AtomicUsize = AtomicUsize::new(0);

// Each order that a model tries begins with its own.
#[cfg(all(test, feature = "loom"))]
loom::lazy_static! {
    static ref PENDING: AtomicUsize = AtomicUsize::new(0);
}

/// True while some channel has messages that are still to be delivered.
pub(crate) fn any_pending() -> bool {
    PENDING.load(SeqCst) > 0
}

/// One channel more has messages to deliver.
pub(crate) fn add_pending() {
    PENDING.fetch_add(1, SeqCst);
}

/// One channel less has.
pub(crate) fn remove_pending() {
    PENDING.fetch_sub(1, SeqCst);
}

/// In a forked child: what was pending is the parent's.
pub(crate) fn forked() {
    PENDING.fetch_sub(PENDING.load(SeqCst), SeqCst);
}

/// Channel with subscribers. It stands above the connection, which knows it by this.
pub(crate) trait Membered: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &[u8];

    /// True while it has messages that are still to be delivered.
    fn is_pending(&self) -> bool;

    /// Gives up a place, which its connection does not list any more.
    fn leave(self: Arc<Self>, membership: &Membership);

    /// Sends what was published and has not been delivered in this place, if it is the
    /// connection's of this address: whether it is the first that waits for a flush.
    fn deliver(&self, slot: u32, connection: *const (), flush: Flush) -> bool;
}

/// Subscription, as its connection lists it.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) channel: Arc<dyn Membered>,
    /// Its place there.
    pub(crate) slot: u32,
    /// True if the connection's draft has no binary messages.
    pub(crate) is_text_only: bool,
}

/// Subscriptions of one connection, in the order of their channels' addresses.
#[derive(Debug, Default)]
pub(crate) struct Memberships(Vec<Membership>);

impl Memberships {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Membership> {
        self.0.iter()
    }

    /// The one of this channel.
    pub(crate) fn get_mut(&mut self, channel: *const ()) -> Option<&mut Membership> {
        let index = self.find(channel).ok()?;
        self.0.get_mut(index)
    }

    /// The one of this channel, to look at.
    pub(crate) fn get(&self, channel: *const ()) -> Option<&Membership> {
        self.0.get(self.find(channel).ok()?)
    }

    /// True if there is one of this channel.
    pub(crate) fn contains(&self, channel: *const ()) -> bool {
        self.find(channel).is_ok()
    }

    /// Adds one, of a channel that is not there yet.
    pub(crate) fn insert(&mut self, membership: Membership) {
        if let Err(index) = self.find(address(&membership.channel)) {
            // Of most connections there is one, and there are many connections.
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact((self.0.len() / 4).max(1));
            }
            self.0.insert(index, membership);
        }
    }

    /// Takes out the one of this channel.
    pub(crate) fn remove(&mut self, channel: *const ()) -> Option<Membership> {
        let removed = self.0.remove(self.find(channel).ok()?);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(removed)
    }

    /// Takes out all of them.
    pub(crate) fn take(&mut self) -> Vec<Membership> {
        std::mem::take(&mut self.0)
    }

    fn find(&self, channel: *const ()) -> Result<usize, usize> {
        self.0.binary_search_by_key(&channel, |membership| address(&membership.channel))
    }
}

/// Address that a channel is found by.
pub(crate) fn address(channel: &Arc<dyn Membered>) -> *const () {
    Arc::as_ptr(channel).cast()
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Membership>() <= 24);
