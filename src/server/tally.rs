//! The drivers that are alive, for a stop that waits until their sockets are gone.

use std::{
    collections::HashMap,
    os::fd::RawFd,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

use super::{
    handle::Handle,
    stats::{Counters, Stats},
};

/// The drivers that are alive.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    alive: Mutex<Alive>,
    none: Condvar,
    places: AtomicUsize,
    pub(crate) counters: Counters,
}

/// A place among the connections of a server, from accept to the end.
#[derive(Debug)]
pub(crate) struct Place(Arc<Tally>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, SeqCst);
    }
}

#[derive(Debug, Default)]
struct Alive {
    handles: HashMap<u64, Handle>,
    next: u64,
    /// The server has been stopped: what is counted from now on is aborted at once.
    stopped: bool,
}

/// Counts as one, until dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) tally: Arc<Tally>,
    number: u64,
    _place: Place,
}

impl Tally {
    /// A place, if there are not `limit` connections already.
    pub(crate) fn place(self: &Arc<Self>, limit: Option<usize>) -> Option<Place> {
        // Only the accepting task takes places.
        if limit.is_some_and(|limit| self.places.load(SeqCst) >= limit) {
            return None;
        }
        self.places.fetch_add(1, SeqCst);
        Some(Place(Arc::clone(self)))
    }

    /// What has been seen and done so far.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats;
        let handles: Vec<_> = {
            let alive = lock(&self.alive);
            stats = self.counters.stats();
            alive.handles.values().cloned().collect()
        };
        stats.open = self.places.load(SeqCst);
        for handle in handles {
            handle.add_to(&mut stats);
        }
        stats
    }

    /// Counts one more.
    pub(crate) fn count(self: &Arc<Self>, handle: &Handle, place: Place) -> Counted {
        let mut alive = lock(&self.alive);
        let number = alive.next;
        alive.next += 1;
        alive.handles.insert(number, handle.clone());
        if alive.stopped {
            handle.abort();
        }
        Counted { tally: Arc::clone(self), number, _place: place }
    }

    /// Aborts every connection, and every one that is counted later.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let mut alive = lock(&self.alive);
            alive.stopped = true;
            alive.handles.values().cloned().collect()
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// In a forked child: what the parent's drivers had open.
    pub(crate) fn inherited_fds(&self) -> Vec<RawFd> {
        let Ok(alive) = self.alive.try_lock() else { return Vec::new() };
        alive.handles.values().filter_map(Handle::inherited_fd).collect()
    }

    /// Waits until nothing is alive; `false` where that took longer than `patience`.
    pub(crate) fn wait_for_none(&self, patience: Duration) -> bool {
        let (alive, _) = self
            .none
            .wait_timeout_while(lock(&self.alive), patience, |alive| !alive.handles.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        alive.handles.is_empty()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut alive = lock(&self.tally.alive);
        if let Some(handle) = alive.handles.remove(&self.number) {
            let (received, sent) = handle.traffic();
            self.tally.counters.gone(received, sent);
        }
        if alive.handles.is_empty() {
            alive.handles = HashMap::new();
            self.tally.none.notify_all();
        }
    }
}

/// Locks, also where another thread panicked meanwhile: what is guarded here is whole between any
/// two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
