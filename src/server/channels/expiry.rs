//! Letting go of messages whose time is over, of channels that nobody touches any more.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Weak},
    time::Instant,
};

use super::{channel::Channel, limits::SLACK, log::Log, Shared};
use crate::server::{
    locks::{lock, Guarded, LockRank},
    runtime,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Mutex,
    },
};

/// Channels whose messages, or whose rest, have a time that is over some day.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    listed: Mutex<Listed>,
    /// True while a task waits for it.
    has_task: AtomicBool,
}

#[derive(Debug, Default)]
struct Listed(BinaryHeap<Reverse<Due>>);

impl Guarded for Listed {
    const RANK: LockRank = LockRank::Expiry;
}

/// Channel, with the time at which its oldest message is over, or its rest.
#[derive(Debug)]
struct Due {
    at: Instant,
    channel: Weak<Channel>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl Expiry {
    /// Lists a channel that has something with a time: whether it was not listed yet.
    pub(super) fn list(&self, channel: &Arc<Channel>, log: &mut Log) -> bool {
        if log.is_listed {
            return false;
        }
        let Some(at) = log.expires_at() else { return false };
        log.is_listed = true;
        let channel = Arc::downgrade(channel);
        lock(&self.listed).0.push(Reverse(Due { at, channel }));
        true
    }

    fn take_due(&self, now: Instant) -> Vec<Arc<Channel>> {
        let mut listed = lock(&self.listed);
        let mut due = Vec::new();
        while listed.0.peek().is_some_and(|Reverse(it)| it.at <= now) {
            due.extend(listed.0.pop().and_then(|Reverse(it)| it.channel.upgrade()));
        }
        if listed.0.is_empty() {
            listed.0 = BinaryHeap::new();
        }
        due
    }

    fn is_empty(&self) -> bool {
        lock(&self.listed).0.is_empty()
    }
}

impl Shared {
    /// A channel was listed: a task looks after it, where there are threads for that; otherwise
    /// whoever lists the next one.
    pub(super) fn await_expiry(self: &Arc<Self>) {
        if self.expiry.has_task.swap(true, SeqCst) {
            return;
        }
        let task = Task { shared: Arc::clone(self), has_ended: false };
        match runtime::any() {
            Some(runtime) => drop(runtime.spawn(task.run())),
            None => self.expire(),
        }
    }

    /// Lets go of what is over by now.
    fn expire(&self) {
        for channel in self.expiry.take_due(Instant::now()) {
            lock(&channel.log).is_listed = false;
            channel.retire_if_idle();
        }
    }
}

/// The task that waits for messages' times. There is one at a time.
struct Task {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Task {
    async fn run(mut self) {
        let expiry = &self.shared.expiry;
        loop {
            while !expiry.is_empty() {
                tokio::time::sleep(SLACK).await;
                self.shared.expire();
            }
            expiry.has_task.store(false, SeqCst);
            // A channel may have been listed before that was seen; unless whoever did has seen it.
            if expiry.is_empty() || expiry.has_task.swap(true, SeqCst) {
                self.has_ended = true;
                return;
            }
        }
    }
}

impl Drop for Task {
    /// End of the task: where it has never run, or has panicked, another one may.
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.expiry.has_task.store(false, SeqCst);
        }
    }
}
