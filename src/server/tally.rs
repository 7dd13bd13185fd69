//! The drivers that are alive, for a stop that waits until their sockets are gone.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    ops::Deref,
    os::fd::RawFd,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    handle::Handle,
    locks::{self, Guarded},
    process::ProcessMutex,
    stats::{Counters, Stats},
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Condvar,
    },
};

/// The drivers that are alive.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) alive: ProcessMutex<Alive>,
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
pub(super) struct Alive {
    handles: HashSet<Alike>,
    /// The server has been stopped: what is counted from now on is aborted at once.
    stopped: bool,
}

impl Guarded for Alive {
    const PLACE: locks::Place = locks::Place::Alive;
}

/// Handles are alike that are of the same connection.
#[derive(Debug)]
struct Alike(Handle);

impl PartialEq for Alike {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0 .0, &other.0 .0)
    }
}

impl Eq for Alike {}

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0 .0).hash(state);
    }
}

/// A handle that counts as one, until dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    handle: Alike,
    place: Place,
}

impl Counted {
    /// Those of its server.
    pub(crate) fn counters(&self) -> &Counters {
        &self.place.0.counters
    }
}

impl Deref for Counted {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle.0
    }
}

impl Tally {
    /// A place, if there are not `limit` connections already.
    pub(crate) fn place(self: &Arc<Self>, limit: Option<usize>) -> Option<Place> {
        // Taken before it is looked at, so that there are never more, whoever else takes one.
        let before = self.places.fetch_add(1, SeqCst);
        let place = Place(Arc::clone(self));
        limit.is_none_or(|limit| before < limit).then_some(place)
    }

    /// What has been seen and done so far.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats;
        let handles: Vec<_> = {
            let Some(alive) = self.alive.lock() else { return self.counters.stats() };
            stats = self.counters.stats();
            alive.handles.iter().map(|handle| handle.0.clone()).collect()
        };
        stats.open = self.places.load(SeqCst);
        let mut shared = HashMap::new();
        for handle in handles {
            handle.add_to(&mut stats, &mut shared);
        }
        stats.outbound += shared.into_values().sum::<usize>() as u64;
        stats
    }

    /// Counts one more.
    pub(crate) fn count(self: &Arc<Self>, handle: &Handle, place: Place) -> Counted {
        if let Some(mut alive) = self.alive.lock() {
            alive.handles.insert(Alike(handle.clone()));
            if alive.stopped {
                handle.abort();
            }
        }
        Counted { handle: Alike(handle.clone()), place }
    }

    /// Aborts every connection, and every one that is counted later.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let Some(mut alive) = self.alive.lock() else { return };
            alive.stopped = true;
            alive.handles.iter().map(|handle| handle.0.clone()).collect()
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// In a forked child: what the parent's drivers had open.
    pub(crate) fn inherited_fds(&self) -> Vec<RawFd> {
        let Some(alive) = self.alive.inherited() else { return Vec::new() };
        alive.handles.iter().filter_map(|handle| handle.0.inherited_fd()).collect()
    }

    /// Waits until nothing is alive; how many are, where that would take longer than `patience`.
    #[must_use]
    pub(crate) fn wait_for_none(&self, patience: Duration) -> usize {
        let Some(alive) = self.alive.lock_to_wait() else { return 0 };
        let (alive, _) = self
            .none
            .wait_timeout_while(alive, patience, |alive| !alive.handles.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        alive.handles.len()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let tally = &self.place.0;
        // Nobody waits for what is not read any more.
        self.handle.0 .0.backlog.leave(&self.handle.0 .0);
        let Some(mut alive) = tally.alive.lock() else { return };
        if alive.handles.remove(&self.handle) {
            let (received, sent) = self.traffic();
            tally.counters.gone(received, sent);
        }
        if alive.handles.is_empty() {
            alive.handles = HashSet::new();
            tally.none.notify_all();
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::server::{
        backlog::Backlog,
        compressing::Compressing,
        config::{QueueLimits, ReadSize},
    };

    #[test]
    fn who_waits_no_longer_for_the_end_of_all_is_told_how_many_are_left() {
        let tally = Arc::<Tally>::default();
        let (limits, size) = (QueueLimits::default(), ReadSize::default());
        let backlog = Arc::new(Backlog::new(limits, size, Compressing::default()));
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut counted: Vec<_> = (0..2)
            .map(|_| {
                let handle = Handle::new(0, address, address, Arc::clone(&backlog));
                tally.count(&handle, tally.place(Some(2)).unwrap())
            })
            .collect();
        assert!(tally.place(Some(2)).is_none());
        assert_eq!(tally.wait_for_none(Duration::from_millis(5)), 2);
        counted.pop();
        assert!(tally.place(Some(2)).is_some());
        assert_eq!(tally.wait_for_none(Duration::from_millis(5)), 1);
        counted.pop();
        assert_eq!(tally.wait_for_none(Duration::from_secs(5)), 0);
    }
}
