//! Server-wide limit on received bytes that are not delivered to the application yet, or belong to
//! messages that are not complete: flow control towards the clients.

use std::{
    collections::VecDeque,
    fmt::Debug,
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    config::QueueLimits,
    locks::{Guarded, LockRank},
    process::ProcessMutex,
    runtime,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

/// A connection whose reading can be paused because its server's budget is spent.
pub(crate) trait Resume: Debug + Send + Sync {
    /// Has the driver read no more; `false` where that was so already.
    fn pause(&self) -> bool;

    /// Has the driver read on.
    fn resume(&self);
}

/// A connection that holds no more than this of messages that are not complete is not asked to wait
/// for others' messages.
pub(crate) const SMALL_MESSAGE: usize = 16 * 1024;

/// Time of waiting after which a connection is not overtaken any more.
const MAX_OVERTAKING: Duration = Duration::from_secs(5);

/// Limit on what all connections of a server have received and the application has not seen, and the
/// connections that are paused because of it.
///
/// Of `limits.total`, messages that are not complete may take half, and what waits for the
/// application the rest. Past that:
///
/// * Whoever holds little of a message that is not complete rests only for what waits for the
///   application, and goes on when half of that is gone: nobody's unfinished messages are in his way.
/// * Whoever holds more than [`SMALL_MESSAGE`] rests for both. When too little waits for the application to
///   be waited for, he goes on in his turn, and keeps it until his message is complete: one
///   connection at a time, or as many as come to no more than one message of the largest size
///   together. (A banker who lends so that one can always pay back.) Whoever makes nothing of his
///   turn is ended, if others wait for it.
///
/// So what is held is never more than `limits.total`, one message and, of each connection, a small
/// message and a read; and the only one who can be in somebody's way is in his turn, which ends.
#[derive(Debug)]
pub(crate) struct InboundBudget {
    /// Of what waits for the application: its bytes, and what it takes to hold them.
    waiting: AtomicUsize,
    /// Nobody waits for it, so no model tries it.
    messages: std::sync::atomic::AtomicUsize,
    /// The memory of messages that are not complete.
    unfinished: AtomicUsize,
    /// Of each connection, and of all of them.
    pub(crate) limits: QueueLimits,
    /// Fork generation of the process that started the server.
    pub(crate) fork_generation: u32,
    waiters: ProcessMutex<WaitQueue>,
    /// True while anybody rests or has his turn.
    has_waiters: AtomicBool,
}

/// Connections that rest because too much waits, and those whose turn it is.
#[derive(Debug, Default)]
struct WaitQueue {
    paused: VecDeque<Paused>,
    turns: Vec<(Arc<dyn Resume>, Claim)>,
}

impl Guarded for WaitQueue {
    const RANK: LockRank = LockRank::Budget;
}

#[derive(Debug)]
struct Paused {
    connection: Arc<dyn Resume>,
    /// Claim of one that holds more than little of a message that is not complete.
    claim: Option<Claim>,
    since: Instant,
}

/// Memory that a connection may still come to hold until its message is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) outstanding: usize,
    /// The longest message that it may send.
    pub(crate) limit: usize,
}

impl InboundBudget {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            messages: Default::default(),
            unfinished: AtomicUsize::new(0),
            limits,
            fork_generation: runtime::fork_generation(),
            waiters: ProcessMutex::default(),
            has_waiters: AtomicBool::new(false),
        }
    }

    /// Counts what is queued.
    pub(crate) fn add(&self, bytes: usize, messages: usize) {
        self.waiting.fetch_add(bytes, SeqCst);
        self.messages.fetch_add(messages, Relaxed);
    }

    /// Counts what is delivered; whoever waited for it goes on.
    pub(crate) fn remove(&self, bytes: usize, messages: usize) {
        self.messages.fetch_sub(messages, Relaxed);
        self.waiting.fetch_sub(bytes, SeqCst);
        self.resume_ready();
    }

    /// Counts what is held of messages that are not complete.
    pub(crate) fn reserve(&self, bytes: usize) {
        self.unfinished.fetch_add(bytes, SeqCst);
    }

    /// It is not held any more.
    pub(crate) fn release_unfinished(&self, bytes: usize) {
        self.unfinished.fetch_sub(bytes, SeqCst);
        self.resume_ready();
    }

    /// Number of messages that wait for the application, and of bytes that are held.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let bytes = self.waiting.load(SeqCst) + self.unfinished.load(SeqCst);
        (self.messages.load(Relaxed), bytes)
    }

    /// Number of bytes more that may wait.
    pub(crate) fn remaining(&self) -> usize {
        self.most_waiting().saturating_sub(self.waiting.load(SeqCst))
    }

    /// True while messages that are not complete take all that they may.
    pub(crate) fn is_unfinished_full(&self) -> bool {
        self.unfinished.load(SeqCst) >= self.limits.total / 2
    }

    /// Memory that may wait for the application, beside what is not complete.
    fn most_waiting(&self) -> usize {
        let total = self.limits.total;
        total - self.unfinished.load(SeqCst).min(total / 2)
    }

    /// For a driver, before it reads: whether it may. If not, the connection rests.
    pub(crate) fn may_read<R: Resume + 'static>(
        &self,
        connection: &Arc<R>,
        claim: Option<Claim>,
    ) -> bool {
        let is_waiting = self.waiting.load(SeqCst) >= self.most_waiting();
        if !is_waiting && (claim.is_none() || !self.is_unfinished_full()) {
            return true;
        }
        {
            let Some(mut waiters) = self.waiters.lock() else { return true };
            if waiters.has_turn(connection) {
                return true;
            }
            // One that was paused already is among them, or about to be resumed: nobody is looked
            // for, where thousands are.
            if connection.pause() {
                let connection = Arc::clone(connection) as Arc<dyn Resume>;
                waiters.paused.push_back(Paused { connection, claim, since: Instant::now() });
            }
            self.has_waiters.store(true, SeqCst);
        }
        // All that it would wait for may have gone before anybody could see that it rests.
        self.resume_ready();
        false
    }

    /// True while anybody rests, or has his turn.
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_waiters.load(SeqCst)
    }

    /// True if it is a connection's turn.
    pub(crate) fn has_turn(&self, connection: &Arc<impl Resume>) -> bool {
        self.has_waiters()
            && self.waiters.lock().is_some_and(|waiters| waiters.has_turn(connection))
    }

    /// True while others wait for a turn.
    pub(crate) fn is_waited_for(&self) -> bool {
        let waiters = self.waiters.lock();
        waiters.is_some_and(|waiters| waiters.paused.iter().any(|paused| paused.claim.is_some()))
    }

    /// A connection has made use of its turn, or needs none any more.
    pub(crate) fn end_turn(&self, connection: &Arc<impl Resume>) {
        self.forget(connection, false);
    }

    /// A connection is not read any more.
    pub(crate) fn leave(&self, connection: &Arc<impl Resume>) {
        self.forget(connection, true);
    }

    fn forget(&self, connection: &Arc<impl Resume>, leaves: bool) {
        if !self.has_waiters() {
            return;
        }
        {
            let Some(mut waiters) = self.waiters.lock() else { return };
            waiters.turns.retain(|(other, _)| !is_same(other, connection));
            if leaves {
                waiters.paused.retain(|other| !is_same(&other.connection, connection));
            }
        }
        self.resume_ready();
    }

    /// Lets go on whoever may.
    fn resume_ready(&self) {
        if !self.has_waiters() {
            return;
        }
        let mut woken = Vec::new();
        {
            let Some(mut waiters) = self.waiters.lock() else { return };
            let (waiting, unfinished) = (self.waiting.load(SeqCst), self.unfinished.load(SeqCst));
            if waiting <= self.most_waiting() / 2 {
                let is_empty = unfinished <= self.limits.total / 4;
                waiters.release(|claim| is_empty || claim.is_none(), &mut woken);
                waiters.take_turns(&mut woken);
            }
            self.has_waiters
                .store(!(waiters.paused.is_empty() && waiters.turns.is_empty()), SeqCst);
        }
        for connection in woken {
            connection.resume();
        }
    }
}

/// True for two pointers to one connection.
fn is_same(one: &Arc<dyn Resume>, other: &Arc<impl Resume>) -> bool {
    ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

impl WaitQueue {
    fn has_turn(&self, connection: &Arc<impl Resume>) -> bool {
        self.turns.iter().any(|(other, _)| is_same(other, connection))
    }

    /// Moves those out that may go on.
    fn release(&mut self, may: impl Fn(&Option<Claim>) -> bool, woken: &mut Vec<Arc<dyn Resume>>) {
        self.paused.retain(|paused| {
            let goes = may(&paused.claim);
            if goes {
                woken.push(Arc::clone(&paused.connection));
            }
            !goes
        });
    }

    /// Gives turns, the first come first, as far as their messages fit together.
    fn take_turns(&mut self, woken: &mut Vec<Arc<dyn Resume>>) {
        let mut lent: usize = self.turns.iter().map(|(_, claim)| claim.outstanding).sum();
        let mut at = 0;
        while let Some(paused) = self.paused.get(at) {
            let Some(claim) = paused.claim else { return };
            if self.turns.is_empty() || lent.saturating_add(claim.outstanding) <= claim.limit {
                lent = lent.saturating_add(claim.outstanding);
                woken.push(Arc::clone(&paused.connection));
                self.turns.push((Arc::clone(&paused.connection), claim));
                self.paused.remove(at);
            } else if paused.since.elapsed() > MAX_OVERTAKING {
                return;
            } else {
                at += 1;
            }
        }
    }
}

impl Drop for InboundBudget {
    fn drop(&mut self) {
        let left = (self.waiting.load(SeqCst), self.messages.load(Relaxed));
        debug_assert_eq!(left, (0, 0), "bytes and messages that wait for nobody");
        debug_assert_eq!(self.unfinished.load(SeqCst), 0, "bytes of messages of nobody");
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
