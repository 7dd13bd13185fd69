//! Event queue of a server: what has happened on its connections and has not been delivered yet.
//!
//! Drivers append to one batch under a lock, a burst of messages at a time; the owner takes the
//! whole batch away and reads it without the lock.

use std::{
    mem,
    ops::{Deref, DerefMut},
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Instant,
};

use super::{
    batch::Batch,
    buffers::{Lent, Pool},
    locks::Guard,
    pending_flushes::PendingFlushes,
    process::ProcessMutex,
    sync::Wakeup,
};

/// The event queue of a server.
#[derive(Debug)]
pub struct EventQueue {
    pub(super) batch: ProcessMutex<Batch>,
    pub(super) wakeup: Wakeup,
    /// Batches for slow reads (decompression), filled without the queue's lock.
    scratch: Pool<Batch>,
    pending_flushes: Arc<PendingFlushes>,
}

impl EventQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// The system's, where there is no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            batch: ProcessMutex::default(),
            wakeup: Wakeup::new()?,
            scratch: Pool::default(),
            pending_flushes: Arc::new(PendingFlushes::new()),
        })
    }

    /// Takes everything that waits, in exchange for a batch that has been read. The wakeup is
    /// cleared first, so that what comes later sets it again.
    pub fn take(&self, read: &mut Batch) {
        read.clear();
        // A forked child would take the parent's wake-up, which both have.
        if !self.batch.is_inherited() {
            self.wakeup.clear();
        }
        if let Some(mut batch) = self.batch.lock() {
            mem::swap(&mut *batch, read);
        }
    }

    /// Connections with bytes that were sent while its owner drains it.
    pub fn pending_flushes(&self) -> &Arc<PendingFlushes> {
        &self.pending_flushes
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batch.lock().is_none_or(|batch| batch.is_empty())
    }

    /// Wakes the owner although nothing new waits.
    pub fn wake(&self) {
        if !self.batch.is_inherited() {
            self.wakeup.set();
        }
    }

    /// In a forked child: what the parent's queue had open.
    pub(crate) fn inherited_fds(&self) -> Vec<RawFd> {
        let mut fds = self.wakeup.fds();
        if let Some(batch) = self.batch.inherited() {
            fds.extend(batch.accepted().filter_map(|incoming| incoming.handle().inherited_fd()));
        }
        fds
    }

    /// Locks what waits, to append to it; `None` in a forked child, which the queue is not for. Where
    /// it was empty, the owner is woken once the guard is dropped.
    pub(crate) fn lock(&self) -> Option<LockedBatch<'_>> {
        let batch = self.batch.lock()?;
        let edge = Edge { queue: self, wakes: false };
        Some(LockedBatch { was_empty: batch.is_empty(), batch, edge })
    }

    /// Empty batch for a slow read (decompression), which needs no lock.
    pub(crate) fn scratch(&self) -> Lent<'_, Batch> {
        let mut scratch = self.scratch.get();
        // Of what stood there, it was a copy that was queued.
        scratch.clear();
        scratch
    }
}

/// Guard of the records that wait: dropping it wakes the queue's owner, on the edge from empty to
/// non-empty, when the lock has been let go.
pub(crate) struct LockedBatch<'a> {
    was_empty: bool,
    batch: Guard<'a, Batch>,
    // Dropped behind the lock.
    edge: Edge<'a>,
}

impl LockedBatch<'_> {
    /// Lets go of it for a caller who appends more at once: the owner sleeps until it is
    /// [woken](EventQueue::wake), which is the caller's to do if `true` is returned. Nobody else
    /// will.
    pub(crate) fn unlock_quietly(mut self) -> bool {
        self.note_edge();
        mem::take(&mut self.edge.wakes)
    }

    fn note_edge(&mut self) {
        if self.was_empty && !self.batch.is_empty() {
            self.was_empty = false;
            self.edge.wakes = true;
            self.batch.begin(Instant::now());
        }
    }
}

impl Deref for LockedBatch<'_> {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl DerefMut for LockedBatch<'_> {
    fn deref_mut(&mut self) -> &mut Batch {
        &mut self.batch
    }
}

impl Drop for LockedBatch<'_> {
    fn drop(&mut self) {
        self.note_edge();
    }
}

/// Edge from empty to non-empty, if there was one.
struct Edge<'a> {
    queue: &'a EventQueue,
    wakes: bool,
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        if self.wakes {
            // Only the sooner. In the models, where no clock goes, it would be one more step each time.
            if !cfg!(all(test, feature = "loom")) {
                self.queue.pending_flushes.expect();
            }
            self.queue.wake();
        }
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.wakeup.as_raw_fd()
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<EventQueue>();
};
