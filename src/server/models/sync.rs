//! Locks, atomics and the eventfd, as loom has them or can be told of them.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::LockResult,
    task::Waker,
    time::Duration,
};

pub(crate) use loom::sync::{Mutex, MutexGuard};

use crate::server::tally::lock;

/// loom takes `SeqCst` for `AcqRel`, and would report orders that cannot be. Fences it knows: with
/// one on either side of every such access, these are in one order for all threads.
pub(crate) mod atomic {
    use loom::sync::atomic::fence;
    pub(crate) use std::sync::atomic::Ordering;

    use Ordering::SeqCst;

    fn fenced<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
        if order != SeqCst {
            return access();
        }
        fence(SeqCst);
        let result = access();
        fence(SeqCst);
        result
    }

    macro_rules! atomics {
        ($($name:ident($value:ty) { $($rmw:ident)* })*) => {$(
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code, reason = "all have the same")]
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    fenced(order, || self.0.load(order))
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    fenced(order, || self.0.store(value, order));
                }

                $(
                    #[track_caller]
                    pub(crate) fn $rmw(&self, value: $value, order: Ordering) -> $value {
                        fenced(order, || self.0.$rmw(value, order))
                    }
                )*
            }
        )*};
    }

    atomics! {
        AtomicBool(bool) { swap fetch_or fetch_and }
        AtomicU8(u8) { swap fetch_or fetch_and fetch_add fetch_sub }
        AtomicU64(u64) { swap fetch_or fetch_and fetch_add fetch_sub }
        AtomicUsize(usize) { swap fetch_or fetch_and fetch_add fetch_sub }
    }
}

/// loom's, and the one way of waiting that is in use, without an end.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.0.wait(guard).expect("nothing panics while it holds a lock");
        }
        guard
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _patience: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        Ok((self.wait_while(guard, condition), ()))
    }
}

/// What atomic-waker promises: of a registration and a wake that meet, the wake sees the
/// registration, or the registered task sees what was done before the wake. (loom's own of this
/// name prints at every call.)
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn register(&self, waker: &Waker) {
        *lock(&self.0) = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = lock(&self.0).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An eventfd: a count that is written, and taken by being read; readable while it is not 0.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    count: Mutex<Count>,
    readable: Condvar,
}

#[derive(Debug, Default)]
struct Count {
    now: u64,
    ever: u64,
}

impl Wakeup {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn set(&self) {
        let mut count = lock(&self.count);
        count.now += 1;
        count.ever += 1;
        self.readable.notify_all();
    }

    pub(crate) fn clear(&self) {
        lock(&self.count).now = 0;
    }

    /// Sleeps until it is readable, as the reactor does.
    pub(crate) fn wait(&self) {
        self.readable.wait_while(lock(&self.count), |count| count.now == 0);
    }

    /// How often it has been set.
    pub(crate) fn sets(&self) -> u64 {
        lock(&self.count).ever
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}
