//! Locks that a forked child does not take: a thread of the parent's may have held them at the fork,
//! and no thread of the child's ever lets go of them.

use std::sync::{OnceLock, PoisonError};

use super::{
    locks::{lock, Guard, Guarded},
    runtime::fork_generation,
    sync::{Mutex, MutexGuard},
};

/// Value that each process in a line of forks has of its own, so that a child touches nothing of its
/// parent's.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    value: OnceLock<T>,
    child: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { value: OnceLock::new(), child: OnceLock::new() }
    }

    /// This process's, made when it is first asked for.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &T {
        self.of(fork_generation()).value.get_or_init(make)
    }

    /// The parent's, if that had one.
    #[cfg(feature = "redis")]
    #[cfg(not(all(test, feature = "loom")))]
    pub(crate) fn of_parent(&self) -> Option<&T> {
        self.of(fork_generation().checked_sub(1)?).value.get()
    }

    /// In a forked child, while it has one thread. No thread may be making its place at the next
    /// fork: whoever waits for that in the child waits for ever.
    pub(crate) fn forked(&self) {
        self.of(fork_generation());
    }

    fn of(&self, generation: u32) -> &Self {
        let mut process = self;
        for _ in 0..generation {
            process = process.child.get_or_init(|| Box::new(Self::new()));
        }
        process
    }
}

/// A lock of the process that it was made in.
#[derive(Debug)]
pub(crate) struct ProcessMutex<T> {
    /// Number of the process in a line of forks.
    fork_generation: u32,
    guarded: Mutex<T>,
}

impl<T: Guarded> ProcessMutex<T> {
    pub(crate) fn new(guarded: T) -> Self {
        Self { fork_generation: fork_generation(), guarded: Mutex::new(guarded) }
    }

    /// Waits for the lock; `None` in a forked child, without waiting.
    pub(crate) fn lock(&self) -> Option<Guard<'_, T>> {
        (!self.is_inherited()).then(|| lock(&self.guarded))
    }

    /// As [`lock`](Self::lock), for a condition that is waited for, with no other lock held.
    pub(crate) fn lock_to_wait(&self) -> Option<MutexGuard<'_, T>> {
        let lock = || self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.is_inherited()).then(lock)
    }

    /// In a forked child: what the parent left, if no thread held it at the fork.
    pub(crate) fn inherited(&self) -> Option<MutexGuard<'_, T>> {
        self.guarded.try_lock().ok()
    }

    /// True if the lock is the parent's, and this process a forked child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.fork_generation != fork_generation()
    }
}

impl<T: Guarded + Default> Default for ProcessMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, reason = "clippy knows test functions, and not what they share")]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{atomic::Ordering::SeqCst, mpsc, Arc},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::{
        error::ProtocolError,
        protocol::{close::CloseInfo, version::RFC_6455, CloseAction, Limits, ReadyState},
        server::{
            addresses::Addresses, config::QueueLimits, inbound::InboundBudget,
            outbound::broadcast::Broadcast, pause, registry::Registry, stats::Stats, Batch,
            ConnectionOptions, EventQueue, Flush, Handle, Owner, Sent,
        },
    };

    fn foreign<T: Guarded>(guarded: T) -> ProcessMutex<T> {
        ProcessMutex {
            fork_generation: fork_generation().wrapping_sub(1),
            guarded: Mutex::new(guarded),
        }
    }

    /// A handle of the parent's, whose state a thread of the parent's holds at the fork.
    fn inherited() -> Handle {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut budget = InboundBudget::new(QueueLimits::default());
        budget.fork_generation = fork_generation().wrapping_sub(1);
        let handle = Handle::new(0, Addresses::new(address, address), Arc::new(budget));
        let held = handle.clone();
        let (locked, is_locked) = mpsc::channel();
        thread::spawn(move || {
            let state = held.0.driver_lock();
            locked.send(()).unwrap();
            // For ever, as in the child.
            std::mem::forget(state);
        });
        is_locked.recv().unwrap();
        handle
    }

    /// Fails where it does not come back.
    fn in_time(act: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let thread = thread::spawn(move || {
            act();
            done.send(()).unwrap();
        });
        if is_done.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("it waits for a lock of the parent's");
        }
        thread.join().unwrap();
    }

    type Act = fn(&Handle);

    /// All that a handle and an owner can do, and what a child's does.
    const ACTS: [(&str, Act); 32] = [
        ("configure", |it| it.configure(&ConnectionOptions::default())),
        ("peer_addr", |it| assert_eq!(it.peer_addr().map(|it| it.port()), Some(80))),
        ("local_addr", |it| assert_eq!(it.local_addr().map(|it| it.port()), Some(80))),
        ("state", |it| assert_eq!(it.ready_state(), ReadyState::Closed)),
        ("profile", |it| assert!(it.profile().is_none())),
        ("limits", |it| assert_eq!(it.limits(), Limits::default())),
        ("set_limits", |it| it.set_limits(Limits::default())),
        ("inactivity_timeout", |it| assert_eq!(it.inactivity_timeout(), None)),
        ("set_inactivity_timeout", |it| it.set_inactivity_timeout(Some(Duration::ZERO))),
        ("tls_session", |it| assert!(it.tls_session().is_none())),
        ("close_timeout", |it| assert_eq!(it.close_timeout(), Duration::ZERO)),
        ("set_close_timeout", |it| it.set_close_timeout(Duration::ZERO)),
        ("outbound_len", |it| assert_eq!(it.outbound_len(), 0)),
        ("set_high_water", |it| it.set_high_water(1)),
        ("add_to", |it| it.add_to(&mut Stats::default(), &mut Default::default())),
        ("send_text", |it| assert_eq!(it.send_text(b"x", Flush::Now), Ok(Sent::Nothing))),
        ("send_binary", |it| assert_eq!(it.send_binary(b"x", Flush::Now), Ok(Sent::Nothing))),
        ("ping", |it| assert_eq!(it.ping(b"x", Flush::Now), Ok(Sent::Nothing))),
        ("pong", |it| assert_eq!(it.pong(b"x", Flush::Later), Ok(Sent::Nothing))),
        ("send_raw", |it| assert_eq!(it.send_raw(b"x", Flush::Now), Sent::Nothing)),
        ("send_shared", |it| {
            let message = Arc::new(Broadcast::text(b"x"));
            assert_eq!(it.send_shared(&message, Flush::Now), Sent::Nothing);
        }),
        ("flush", |it| it.flush()),
        ("close", |it| it.close(None, "")),
        ("abort", |it| it.abort()),
        ("close_after_writing", |it| it.close_after_writing()),
        ("set_paused", |it| {
            it.set_paused(true);
            it.set_paused(false);
        }),
        ("open", |it| {
            Owner::new(it).secured();
            Owner::new(it).asked();
            assert!(Owner::new(it).open(&RFC_6455).is_none());
        }),
        ("is_let_in", |it| {
            it.0.pauses.store(pause::AWAITING_OPEN, SeqCst);
            assert!(!it.is_let_in());
        }),
        ("reject", |it| Owner::new(it).reject(None)),
        ("peer_closed", |it| Owner::new(it).peer_closed(None, b"")),
        ("fail", |it| {
            let failing = Owner::new(it).fail(&ProtocolError::Internal(String::new()));
            assert_eq!(failing.action, CloseAction::Abort);
        }),
        ("closed", |it| {
            assert_eq!(Owner::new(it).closed(), CloseInfo::abnormal());
        }),
    ];

    #[test]
    fn a_childs_handle_of_the_parents_connection_does_nothing_and_takes_no_lock() {
        for (name, act) in ACTS {
            println!("{name}");
            let handle = inherited();
            in_time(move || act(&handle));
        }
    }

    #[test]
    fn a_childs_queue_and_registry_of_the_parents_do_nothing_and_take_no_lock() {
        let (mut queue, mut registry) = (EventQueue::new().unwrap(), Registry::default());
        queue.batch = foreign(Batch::default());
        registry.live = foreign(Default::default());
        std::mem::forget(queue.batch.guarded.lock());
        std::mem::forget(registry.live.guarded.lock());
        in_time(move || {
            queue.take(&mut Batch::default());
            queue.wake();
            assert!(queue.is_empty());
            assert!(queue.lock().is_none());
            assert_eq!(queue.inherited_fds(), queue.wakeup.fds());
            registry.stats();
            registry.abort_all();
            assert_eq!(registry.wait_for_none(Duration::ZERO), 0);
            assert!(registry.inherited_fds().is_empty());
        });
    }
}
