//! Flushing once, at the end of a drain, what the callbacks in it have sent.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use em_websocket::server::{self, Flush, Handle};

thread_local! {
    /// Places where this thread's connections wait for a flush, while it drains queues: the last
    /// one's.
    static PENDING: RefCell<Vec<Arc<server::PendingFlushes>>> = const { RefCell::new(Vec::new()) };
    static DRAINING: Cell<u32> = const { Cell::new(0) };
    static FORKS: Cell<u32> = const { Cell::new(0) };
}

/// Guard of a drain: while it lives, what this thread sends is gathered; then it is written, in one
/// write a connection. A long drain is not waited for: then it is written meanwhile.
pub(crate) struct FlushGuard {
    pending: Arc<server::PendingFlushes>,
    /// Number of times that its process had been forked off when it began.
    forks: u32,
}

impl FlushGuard {
    pub(crate) fn begin(pending: Arc<server::PendingFlushes>) -> Self {
        DRAINING.set(DRAINING.get() + 1);
        PENDING.with_borrow_mut(|all| all.push(Arc::clone(&pending)));
        pending.begin();
        Self { pending, forks: FORKS.get() }
    }

    /// Ends the gathering in a forked child, whose thread is not the parent's.
    pub(crate) fn forked() {
        FORKS.set(FORKS.get() + 1);
        DRAINING.set(0);
        PENDING.take();
    }

    /// True if it has lived long, since this was asked last.
    pub(crate) fn is_late(&self) -> bool {
        self.pending.is_late()
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        // A block has forked, and this is the child.
        if self.forks != FORKS.get() {
            return;
        }
        DRAINING.set(DRAINING.get() - 1);
        PENDING.with_borrow_mut(Vec::pop);
        self.pending.end();
    }
}

pub(crate) fn flush() -> Flush {
    if DRAINING.get() > 0 {
        Flush::Later
    } else {
        Flush::Now
    }
}

/// Leaves a connection's flush to the end of the drain; without one, it is flushed now.
pub(crate) fn flush_later(handle: &Handle) {
    PENDING.with_borrow(|all| match all.last() {
        Some(pending) => pending.add(handle.clone()),
        None => handle.flush(),
    });
}
