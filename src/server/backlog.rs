//! Bytes that have been received on all connections of a server and wait: for the application, or
//! for the rest of their message.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    compressing::Compressing,
    config::{QueueLimits, ReadSize},
    events::Batch,
    hold,
    landing::{Landing, Pool},
    link::Shared,
    locks::{Guarded, Place},
    process::ProcessMutex,
    runtime,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

/// A connection that holds no more than this of messages that are not complete is not asked to wait
/// for others' messages.
pub(crate) const SMALL: usize = 16 * 1024;

/// Time of waiting after which a connection is not overtaken any more.
const OVERTAKEN: Duration = Duration::from_secs(5);

/// Total of what waits, and the connections that rest because of it.
///
/// Of `limits.total`, messages that are not complete may take half, and what waits for the
/// application the rest. Past that:
///
/// * Whoever holds little of a message that is not complete rests only for what waits for the
///   application, and goes on when half of that is gone: nobody's unfinished messages are in his way.
/// * Whoever holds more than [`SMALL`] rests for both. When too little waits for the application to
///   be waited for, he goes on in his turn, and keeps it until his message is complete: one
///   connection at a time, or as many as come to no more than one message of the largest size
///   together. (A banker who lends so that one can always pay back.) Whoever makes nothing of his
///   turn is ended, if others wait for it.
///
/// So what is held is never more than `limits.total`, one message and, of each connection, a small
/// message and a read; and the only one who can be in somebody's way is in his turn, which ends.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Of what waits for the application: its bytes, and what it takes to hold them.
    waiting: AtomicUsize,
    /// Nobody waits for it, so no model tries it.
    messages: std::sync::atomic::AtomicUsize,
    /// The memory of messages that are not complete.
    unfinished: AtomicUsize,
    /// Of each connection, and of all of them.
    pub(crate) limits: QueueLimits,
    /// By how much they are read.
    pub(crate) read_size: ReadSize,
    /// Where bytes land before they are judged.
    pub(crate) landings: Pool<Landing>,
    /// Where they land before that, if they are encrypted.
    pub(crate) encrypted: Pool<Vec<u8>>,
    /// Where the events of a read gather that takes its time, so that it holds up nobody else's.
    pub(crate) apart: Pool<Batch>,
    /// Who compresses what is large, of this server and of those that share its threads.
    pub(crate) compressing: Compressing,
    /// Of the process that the server was started in.
    pub(crate) generation: u32,
    crowd: ProcessMutex<Crowd>,
    /// True while anybody rests or has his turn.
    is_crowd: AtomicBool,
}

/// Connections that rest because too much waits, and those whose turn it is.
#[derive(Debug, Default)]
struct Crowd {
    resting: VecDeque<Resting>,
    turns: Vec<(Arc<Shared>, Claim)>,
}

impl Guarded for Crowd {
    const PLACE: Place = Place::Parked;
}

#[derive(Debug)]
struct Resting {
    connection: Arc<Shared>,
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

impl Backlog {
    pub(crate) fn new(limits: QueueLimits, read_size: ReadSize, compressing: Compressing) -> Self {
        Self {
            compressing,
            waiting: AtomicUsize::new(0),
            messages: Default::default(),
            unfinished: AtomicUsize::new(0),
            limits,
            read_size,
            landings: Pool::default(),
            encrypted: Pool::default(),
            apart: Pool::default(),
            generation: runtime::generation(),
            crowd: ProcessMutex::default(),
            is_crowd: AtomicBool::new(false),
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
        self.settle();
    }

    /// Counts what is held of messages that are not complete.
    pub(crate) fn hold(&self, bytes: usize) {
        self.unfinished.fetch_add(bytes, SeqCst);
    }

    /// It is not held any more.
    pub(crate) fn let_go(&self, bytes: usize) {
        self.unfinished.fetch_sub(bytes, SeqCst);
        self.settle();
    }

    /// Number of messages that wait for the application, and of bytes that are held.
    pub(crate) fn held(&self) -> (usize, usize) {
        let bytes = self.waiting.load(SeqCst) + self.unfinished.load(SeqCst);
        (self.messages.load(Relaxed), bytes)
    }

    /// How many bytes more may wait.
    pub(crate) fn room(&self) -> usize {
        self.most_waiting().saturating_sub(self.waiting.load(SeqCst))
    }

    /// True while messages that are not complete take all that they may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unfinished.load(SeqCst) >= self.limits.total / 2
    }

    /// Memory that may wait for the application, beside what is not complete.
    fn most_waiting(&self) -> usize {
        let total = self.limits.total;
        total - self.unfinished.load(SeqCst).min(total / 2)
    }

    /// For a driver, before it reads: whether it may. If not, the connection rests.
    pub(crate) fn may_read(&self, connection: &Arc<Shared>, claim: Option<Claim>) -> bool {
        let is_waiting = self.waiting.load(SeqCst) >= self.most_waiting();
        if !is_waiting && (claim.is_none() || !self.is_crowded()) {
            return true;
        }
        {
            let Some(mut crowd) = self.crowd.lock() else { return true };
            if crowd.has_turn(connection) {
                return true;
            }
            connection.hold.fetch_or(hold::CROWDED, SeqCst);
            if !crowd.rests(connection) {
                let connection = Arc::clone(connection);
                crowd.resting.push_back(Resting { connection, claim, since: Instant::now() });
            }
            self.is_crowd.store(true, SeqCst);
        }
        // All that it would wait for may have gone before anybody could see that it rests.
        self.settle();
        false
    }

    /// True while anybody rests, or has his turn.
    pub(crate) fn is_crowd(&self) -> bool {
        self.is_crowd.load(SeqCst)
    }

    /// True if it is a connection's turn.
    pub(crate) fn has_turn(&self, connection: &Arc<Shared>) -> bool {
        self.is_crowd() && self.crowd.lock().is_some_and(|crowd| crowd.has_turn(connection))
    }

    /// True while others wait for a turn.
    pub(crate) fn is_waited_for(&self) -> bool {
        let crowd = self.crowd.lock();
        crowd.is_some_and(|crowd| crowd.resting.iter().any(|resting| resting.claim.is_some()))
    }

    /// A connection has made use of its turn, or needs none any more.
    pub(crate) fn end_turn(&self, connection: &Arc<Shared>) {
        self.forget(connection, false);
    }

    /// A connection is not read any more.
    pub(crate) fn leave(&self, connection: &Arc<Shared>) {
        self.forget(connection, true);
    }

    fn forget(&self, connection: &Arc<Shared>, leaves: bool) {
        if !self.is_crowd() {
            return;
        }
        {
            let Some(mut crowd) = self.crowd.lock() else { return };
            crowd.turns.retain(|(other, _)| !Arc::ptr_eq(other, connection));
            if leaves {
                crowd.resting.retain(|other| !Arc::ptr_eq(&other.connection, connection));
            }
        }
        self.settle();
    }

    /// Lets go on whoever may.
    fn settle(&self) {
        if !self.is_crowd() {
            return;
        }
        let mut woken = Vec::new();
        {
            let Some(mut crowd) = self.crowd.lock() else { return };
            let (waiting, unfinished) = (self.waiting.load(SeqCst), self.unfinished.load(SeqCst));
            if waiting <= self.most_waiting() / 2 {
                let is_empty = unfinished <= self.limits.total / 4;
                crowd.release(|claim| is_empty || claim.is_none(), &mut woken);
                crowd.take_turns(&mut woken);
            }
            self.is_crowd.store(!(crowd.resting.is_empty() && crowd.turns.is_empty()), SeqCst);
        }
        for connection in woken {
            connection.let_go(hold::CROWDED);
        }
    }
}

impl Crowd {
    fn has_turn(&self, connection: &Arc<Shared>) -> bool {
        self.turns.iter().any(|(other, _)| Arc::ptr_eq(other, connection))
    }

    fn rests(&self, connection: &Arc<Shared>) -> bool {
        self.resting.iter().any(|other| Arc::ptr_eq(&other.connection, connection))
    }

    /// Moves those out that may go on.
    fn release(&mut self, may: impl Fn(&Option<Claim>) -> bool, woken: &mut Vec<Arc<Shared>>) {
        self.resting.retain(|resting| {
            let goes = may(&resting.claim);
            if goes {
                woken.push(Arc::clone(&resting.connection));
            }
            !goes
        });
    }

    /// Gives turns, the first come first, as far as their messages fit together.
    fn take_turns(&mut self, woken: &mut Vec<Arc<Shared>>) {
        let mut lent: usize = self.turns.iter().map(|(_, claim)| claim.outstanding).sum();
        let mut at = 0;
        while let Some(resting) = self.resting.get(at) {
            let Some(claim) = resting.claim else { return };
            if self.turns.is_empty() || lent.saturating_add(claim.outstanding) <= claim.limit {
                lent = lent.saturating_add(claim.outstanding);
                woken.push(Arc::clone(&resting.connection));
                self.turns.push((Arc::clone(&resting.connection), claim));
                self.resting.remove(at);
            } else if resting.since.elapsed() > OVERTAKEN {
                return;
            } else {
                at += 1;
            }
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        let left = (self.waiting.load(SeqCst), self.messages.load(Relaxed));
        debug_assert_eq!(left, (0, 0), "bytes and messages that wait for nobody");
        debug_assert_eq!(self.unfinished.load(SeqCst), 0, "bytes of messages of nobody");
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
