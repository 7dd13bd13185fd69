//! Flushing once, at the end of a drain, what the callbacks in it have sent.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use em_websocket::server::{self, Flush, Handle};

thread_local! {
    /// Places where this thread's connections wait for a flush, while it drains queues: the last
    /// one's.
    static CORKED: RefCell<Vec<Arc<server::PendingFlushes>>> = const { RefCell::new(Vec::new()) };
    static DRAINING: Cell<u32> = const { Cell::new(0) };
    static FORKS: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, what this thread sends is gathered; then it leaves, in one write a connection.
/// A long drain is not waited for: then it leaves meanwhile.
pub(crate) struct Corked {
    corked: Arc<server::PendingFlushes>,
    /// Number of times that its process had been forked off when it began.
    forks: u32,
}

impl Corked {
    pub(crate) fn begin(corked: Arc<server::PendingFlushes>) -> Self {
        DRAINING.set(DRAINING.get() + 1);
        CORKED.with_borrow_mut(|all| all.push(Arc::clone(&corked)));
        corked.begin();
        Self { corked, forks: FORKS.get() }
    }

    /// In a forked child: the thread is not the parent's, which goes on gathering.
    pub(crate) fn forked() {
        FORKS.set(FORKS.get() + 1);
        DRAINING.set(0);
        CORKED.take();
    }

    /// True if it has lived long, since this was asked last.
    pub(crate) fn is_late(&self) -> bool {
        self.corked.is_late()
    }
}

impl Drop for Corked {
    fn drop(&mut self) {
        // A block has forked, and this is the child.
        if self.forks != FORKS.get() {
            return;
        }
        DRAINING.set(DRAINING.get() - 1);
        CORKED.with_borrow_mut(Vec::pop);
        self.corked.end();
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
    CORKED.with_borrow(|all| match all.last() {
        Some(corked) => corked.add(handle.clone()),
        None => handle.flush(),
    });
}
