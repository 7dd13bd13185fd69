//! Rounds: bringing what is pending to the subscribers.

use std::{mem, sync::Arc};

use tokio::task::yield_now;

use super::{channel::Channel, log::Log, Shared};
use crate::server::{
    handle::Handle,
    locks::{lock, Guarded, LockRank},
    memberships::add_pending,
    outbound::Flush,
    runtime,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Mutex,
    },
};

/// Up to so many subscribers, whoever publishes makes the round, or the end of a turn does: to wake
/// a task would cost more. Past it, the reactor's thread has better things to do.
const FEW: usize = 64;

/// Number of connections that are flushed before the thread's others have their turn.
const FLUSHED: usize = 32;

/// The rounds that are to be made.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    pending: Mutex<Pending>,
    /// True while a task makes them.
    has_task: AtomicBool,
}

/// Channels with messages that are still to be delivered.
#[derive(Debug, Default)]
struct Pending {
    /// At the end of the reactor's turn.
    later: Due,
    now: Due,
}

#[derive(Debug, Default)]
struct Due {
    channels: Vec<Arc<Channel>>,
    /// Number of their subscribers.
    subscribers: usize,
}

impl Guarded for Pending {
    const RANK: LockRank = LockRank::PendingRounds;
}

impl Due {
    fn push(&mut self, channel: Arc<Channel>, subscribers: usize) {
        self.subscribers += subscribers;
        self.channels.push(channel);
    }

    fn append(&mut self, mut other: Self) {
        self.subscribers += other.subscribers;
        self.channels.append(&mut other.channels);
    }
}

impl Rounds {
    /// Notes that a message was appended to a channel, which is to leave now or with its turn.
    pub(super) fn schedule(&self, channel: &Arc<Channel>, log: &mut Log, flush: Flush) {
        if log.delivered() == log.end() || log.is_scheduled && flush == Flush::Later {
            return;
        }
        if !log.is_scheduled {
            log.is_scheduled = true;
            add_pending();
        }
        let mut pending = lock(&self.pending);
        let due = if flush == Flush::Later { &mut pending.later } else { &mut pending.now };
        due.push(Arc::clone(channel), log.subscribers);
    }

    /// The turn of the reactor is over: what was published in it is due.
    pub(super) fn end_turn(&self) {
        let mut pending = lock(&self.pending);
        let later = mem::take(&mut pending.later);
        pending.now.append(later);
    }

    fn take(&self) -> Vec<Arc<Channel>> {
        mem::take(&mut lock(&self.pending).now).channels
    }
}

impl Shared {
    /// Makes the rounds that are due: here, where they are small, and otherwise by a task.
    pub(super) fn run_rounds(self: &Arc<Self>) {
        let channels = {
            let mut pending = lock(&self.rounds.pending);
            if pending.now.channels.is_empty() {
                return;
            }
            (pending.now.subscribers <= FEW).then(|| mem::take(&mut pending.now).channels)
        };
        match channels {
            Some(channels) => run_here(&channels),
            None if self.rounds.has_task.swap(true, SeqCst) => {}
            None => {
                let task = Task { shared: Arc::clone(self), has_ended: false };
                match runtime::any() {
                    Some(runtime) => drop(runtime.spawn(task.run())),
                    // There is no server, and so nobody on a socket of its.
                    None => run_here(&self.rounds.take()),
                }
            }
        }
    }
}

/// The task that makes rounds. There is one at a time.
struct Task {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Task {
    async fn run(mut self) {
        let rounds = &self.shared.rounds;
        loop {
            let channels = rounds.take();
            if !channels.is_empty() {
                run_with_pauses(&channels).await;
                continue;
            }
            rounds.has_task.store(false, SeqCst);
            // Something may have come before that was seen; unless who brought it has seen it.
            let is_empty = lock(&rounds.pending).now.channels.is_empty();
            if is_empty || rounds.has_task.swap(true, SeqCst) {
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
            self.shared.rounds.has_task.store(false, SeqCst);
        }
    }
}

/// Makes the rounds of a channel until nothing is pending.
pub(super) fn finish(channel: &Arc<Channel>) {
    run_here(std::slice::from_ref(channel));
}

/// Flush of what goes to several channels: gathered, for a connection may be in more than one.
fn flush(channels: &[Arc<Channel>]) -> Flush {
    if channels.len() > 1 {
        Flush::Later
    } else {
        Flush::Now
    }
}

fn run_here(channels: &[Arc<Channel>]) {
    let mut unflushed = Vec::new();
    let flush = flush(channels);
    for channel in channels {
        loop {
            let mut round = channel.begin_round();
            let mut place = (!round.is_empty()).then_some(0);
            while let Some(next) = place {
                place = channel.advance_round(&mut round, next, flush, &mut unflushed);
            }
            if !channel.end_round(&round) {
                break;
            }
        }
    }
    unflushed.iter().for_each(Handle::flush);
}

async fn run_with_pauses(channels: &[Arc<Channel>]) {
    let mut unflushed = Vec::new();
    let flush = flush(channels);
    for channel in channels {
        loop {
            let mut round = channel.begin_round();
            let mut place = (!round.is_empty()).then_some(0);
            while let Some(next) = place {
                place = channel.advance_round(&mut round, next, flush, &mut unflushed);
                yield_now().await;
            }
            if !channel.end_round(&round) {
                break;
            }
        }
    }
    for handles in unflushed.chunks(FLUSHED) {
        handles.iter().for_each(Handle::flush);
        yield_now().await;
    }
}
