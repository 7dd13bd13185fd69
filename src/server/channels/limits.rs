//! Limits of all channels together.

use std::{sync::Arc, time::Duration};

use super::{channel::Channel, Channels, Shared};
use crate::server::{
    locks::lock,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
};

/// Default of how many subscriptions a process may have.
pub const PROCESS_SUBSCRIPTIONS: usize = 10_000_000;

/// Default of how many bytes the messages of all channels may take.
pub const HISTORY_BYTES: usize = 256 * 1024 * 1024;

/// Limits of all channels together, and what counts for them.
#[derive(Debug)]
pub(super) struct Limits {
    subscriptions: AtomicU64,
    history_bytes: AtomicU64,
    /// Bytes that the messages of all channels take.
    pub(super) held: Arc<HeldBytes>,
    is_evicting: AtomicBool,
}

/// Bytes that the messages of all channels take.
#[derive(Debug, Default)]
pub(super) struct HeldBytes(AtomicU64);

impl Default for Limits {
    fn default() -> Self {
        Self {
            subscriptions: AtomicU64::new(PROCESS_SUBSCRIPTIONS as u64),
            history_bytes: AtomicU64::new(HISTORY_BYTES as u64),
            held: Arc::default(),
            is_evicting: AtomicBool::new(false),
        }
    }
}

impl HeldBytes {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes as u64, Relaxed);
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed) as usize
    }
}

impl Limits {
    /// Number of subscriptions that there may be.
    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Relaxed) as usize
    }
}

impl Channels {
    /// Limits the subscriptions of this process. Those that are there stay.
    pub fn limit_subscriptions(&self, number: usize) {
        self.shared.limits.subscriptions.store(number as u64, Relaxed);
    }

    /// Limits the bytes that the messages of all channels take. Past it the oldest go.
    pub fn limit_history_bytes(&self, bytes: usize) {
        self.shared.limits.history_bytes.store(bytes as u64, Relaxed);
        self.shared.evict();
    }
}

impl Shared {
    /// Lets go of messages while all together take more than they may: of the channels whose first
    /// is oldest, the older half, until an eighth of the limit is free. So the next ones need not
    /// be looked for soon.
    pub(super) fn evict(&self) {
        let limit = self.limits.history_bytes.load(Relaxed) as usize;
        if self.limits.held.get() <= limit || self.limits.is_evicting.swap(true, SeqCst) {
            return;
        }
        let goal = limit - limit / 8;
        while self.limits.held.get() > goal {
            let before = self.limits.held.get();
            for channel in self.channels_by_age() {
                if self.limits.held.get() <= goal {
                    break;
                }
                lock(&channel.log).forget_half();
                channel.retire_if_idle();
            }
            // What is left has still to be delivered.
            if self.limits.held.get() >= before {
                break;
            }
        }
        self.limits.is_evicting.store(false, SeqCst);
    }

    fn channels_by_age(&self) -> Vec<Arc<Channel>> {
        let mut ages: Vec<_> = {
            let table = lock(&self.table);
            let age = |channel: &Arc<Channel>| lock(&channel.log).age();
            table.iter().filter_map(|it| age(it).map(|age| (age, Arc::clone(it)))).collect()
        };
        ages.sort_by_key(|(age, _)| *age);
        ages.into_iter().map(|(_, channel)| channel).collect()
    }
}

/// So long after it is over, at most, a message is let go of.
pub(super) const SLACK: Duration = Duration::from_millis(500);
