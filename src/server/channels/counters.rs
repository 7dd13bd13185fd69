//! Counters of what channels have seen and done.

use super::round::Delivery;
use crate::server::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of what the channels have seen and done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelStats {
    /// Channels that are there now.
    pub channels: usize,
    /// Subscriptions that are there now.
    pub subscriptions: usize,
    /// Messages that were published.
    pub published: u64,
    /// Messages that were sent to a subscriber, one of each.
    pub delivered: u64,
    /// Messages that were dropped because a subscriber was too slow for them, one of each.
    pub dropped: u64,
    /// Bytes that messages take which are kept, or have still to be delivered.
    pub bytes: usize,
}

/// Counters of what happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    subscriptions: AtomicU64,
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// Counts one more subscription, unless there are so many: whether it did.
    pub(super) fn subscribe(&self, limit: usize) -> bool {
        let is_counted = self.subscriptions.fetch_add(1, Relaxed) < limit as u64;
        if !is_counted {
            self.unsubscribed();
        }
        is_counted
    }

    pub(super) fn unsubscribed(&self) {
        self.subscriptions.fetch_sub(1, Relaxed);
    }

    pub(super) fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn count(&self, delivery: Delivery) {
        self.delivered.fetch_add(delivery.delivered as u64, Relaxed);
        if delivery.dropped > 0 {
            self.dropped.fetch_add(delivery.dropped as u64, Relaxed);
        }
    }

    /// A mailbox's message was taken.
    pub(super) fn taken(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> ChannelStats {
        ChannelStats {
            channels: 0,
            bytes: 0,
            subscriptions: self.subscriptions.load(Relaxed) as usize,
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }
}
