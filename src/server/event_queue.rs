//! Event queue of a server: what has happened on its connections and has not been delivered yet.
//!
//! Drivers append to one batch under a lock, a burst of messages at a time; the owner takes the
//! whole batch away and reads it without the lock.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Instant,
};

use super::{
    batch::Batch, buffers::Pool, pending_flushes::PendingFlushes, process::ProcessMutex,
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
            std::mem::swap(&mut *batch, read);
        }
    }

    /// Connections with bytes that were sent while its owner drains it.
    pub fn pending_flushes(&self) -> &Arc<PendingFlushes> {
        &self.pending_flushes
    }

    /// Whether nothing waits.
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

    /// Appends under the lock, and wakes the owner on the edge from empty to non-empty; `None` in a
    /// forked child, which the queue is not for.
    pub(crate) fn append<R>(&self, append: impl FnOnce(&mut Batch) -> R) -> Option<R> {
        let (result, edge) = self.append_quietly(append)?;
        if edge {
            // Only the sooner. In the models, where no clock goes, it would be one more step each time.
            if !cfg!(all(test, feature = "loom")) {
                self.pending_flushes.expect();
            }
            self.wake();
        }
        Some(result)
    }

    /// As [`append`](Self::append), of what is collected in a scratch batch first, without the queue's
    /// lock; `finish` is called under it.
    pub(crate) fn append_collected<T, R>(
        &self,
        collect: impl FnOnce(&mut Batch) -> T,
        finish: impl FnOnce(T, &mut Batch) -> R,
    ) -> Option<R> {
        self.scratch.lend(|scratch| {
            // Of what stood there, it was a copy that was queued.
            scratch.clear();
            let collected = collect(scratch);
            self.append(|batch| {
                batch.absorb(scratch);
                finish(collected, batch)
            })
        })
    }

    /// As [`append`](Self::append), for whoever appends more at once: the owner sleeps until it is
    /// [woken](Self::wake), which is the caller's to do if `true` is returned with the result.
    /// Nobody else will.
    pub(crate) fn append_quietly<R>(
        &self,
        append: impl FnOnce(&mut Batch) -> R,
    ) -> Option<(R, bool)> {
        let mut batch = self.batch.lock()?;
        let was_empty = batch.is_empty();
        let result = append(&mut batch);
        let edge = was_empty && !batch.is_empty();
        if edge {
            batch.begin(Instant::now());
        }
        Some((result, edge))
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
