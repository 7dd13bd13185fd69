//! The order that locks are taken in. Two threads that take the same two locks in opposite orders
//! may each wait for the other for ever; so there is one order, [`LockRank`], and in builds with debug
//! assertions, as tests are, a thread that takes a lock against it panics, at the first time and
//! whether or not another thread was there to meet it.

use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// The place of a lock in the order: a thread that holds one takes only those that stand below it.
/// Two of the same place are never held at once.
// The models try what would come of it, so they need no order.
#[cfg_attr(any(not(feature = "redis"), all(test, feature = "loom")), allow(dead_code))]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum LockRank {
    /// A server's task that accepts.
    Accepting,
    /// A server's listening socket: the connections that it brings are queued under its lock.
    Listener,
    /// The event queue: pongs are sent under its lock, so that nothing overtakes them.
    Queue,
    /// The registry of connections: aborted and added up under its lock.
    Registry,
    /// The channels by their names.
    Channels,
    /// The subscribers of a channel: sent to under its lock, so that nothing overtakes.
    Subscribers,
    /// The messages of a channel.
    ChannelLog,
    /// The channels whose messages have a time.
    Expiry,
    /// The messages and the channels of a mailbox.
    Mailbox,
    /// The mailboxes that have mail.
    Post,
    /// A connection's state.
    State,
    /// The frames of a broadcast: made while it is sent.
    Frames,
    /// The compressed frames of a broadcast.
    Compressed,
    /// The connections that wait for their server's budget.
    Budget,
    /// The connections that wait for a flush.
    PendingFlushes,
    /// The channels with messages that are still to be delivered.
    PendingRounds,
    /// The engine that has channels in common with other processes.
    Engine,
    /// The messages that wait for a broker.
    Backlog,
    /// The events of an engine, for the application.
    EngineEvents,
    /// Those whom messages of this process do not go to.
    Excepted,
    /// The hub's members and messages: nothing is locked under it.
    Hub,
    /// The fate of a message that was published.
    Receipt,
    /// A counter.
    Counter,
}

/// Data that a lock guards, which says where the lock stands.
#[cfg_attr(all(test, feature = "loom"), allow(dead_code))]
pub(crate) trait Guarded {
    const RANK: LockRank;
}

/// Locks, also where another thread panicked meanwhile: what is guarded here is whole between any
/// two statements.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn lock<T: Guarded>(mutex: &Mutex<T>) -> Guard<'_, T> {
    #[cfg(debug_assertions)]
    let held = held::Held::new(T::RANK);
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(debug_assertions)]
    return held::Guard::new(guard, held);
    #[cfg(not(debug_assertions))]
    return guard;
}

#[cfg(not(debug_assertions))]
#[cfg(not(all(test, feature = "loom")))]
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;
#[cfg(debug_assertions)]
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use held::Guard;

/// In the models.
#[cfg(all(test, feature = "loom"))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "loom"))]
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

#[cfg(debug_assertions)]
#[cfg(not(all(test, feature = "loom")))]
mod held {
    use std::{
        cell::RefCell,
        ops::{Deref, DerefMut},
    };

    use super::{LockRank, MutexGuard};

    thread_local! {
        static HELD: RefCell<Vec<LockRank>> = const { RefCell::new(Vec::new()) };
    }

    /// A lock that this thread holds, or is about to.
    #[derive(Debug)]
    pub(super) struct Held(LockRank);

    impl Held {
        #[track_caller]
        pub(super) fn new(place: LockRank) -> Self {
            let above = HELD.with_borrow(|held| held.iter().copied().max());
            assert!(above.is_none_or(|above| above < place), "{place:?} is locked under {above:?}");
            HELD.with_borrow_mut(|held| held.push(place));
            Self(place)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| held.retain(|place| *place != self.0));
        }
    }

    /// A lock that is held.
    #[derive(Debug)]
    pub(crate) struct Guard<'a, T> {
        guard: MutexGuard<'a, T>,
        _held: Held,
    }

    impl<'a, T> Guard<'a, T> {
        pub(super) fn new(guard: MutexGuard<'a, T>, _held: Held) -> Self {
            Self { guard, _held }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }
}

#[cfg(all(test, debug_assertions, not(feature = "loom")))]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    struct Upper;
    struct Lower;

    impl Guarded for Upper {
        const RANK: LockRank = LockRank::Queue;
    }

    impl Guarded for Lower {
        const RANK: LockRank = LockRank::State;
    }

    #[test]
    fn a_lock_that_is_taken_against_the_order_panics_though_nobody_else_is_there() {
        let (upper, lower) = (Mutex::new(Upper), Mutex::new(Lower));
        {
            let _upper = lock(&upper);
            let _lower = lock(&lower);
        }
        let against = catch_unwind(|| {
            let _lower = lock(&lower);
            let _upper = lock(&upper);
        });
        assert!(against.is_err());
        let another = Mutex::new(Lower);
        let twice = catch_unwind(|| {
            let _lower = lock(&lower);
            let _another = lock(&another);
        });
        assert!(twice.is_err());
        // In whichever order they are let go.
        let first = lock(&upper);
        let second = lock(&lower);
        drop(first);
        drop(second);
        drop(lock(&upper));
    }
}
