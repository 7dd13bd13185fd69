//! Locks, atomics and the eventfd, as loom has them or can be told of them.

use std::{
    future::poll_fn,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, LockResult},
    task::{Poll, Waker},
    time::Duration,
};

pub(crate) use loom::sync::{Mutex, MutexGuard};

use crate::server::locks::lock;

/// Values that every thread sees in the one order of what happens, as it does where all accesses are
/// `SeqCst`. (loom's own atomics take `SeqCst` for `AcqRel`, and report orders that cannot be.)
pub(crate) mod atomic {
    // Only counts have it, and nobody waits for a count.
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

    use super::{lock, Mutex, MutexGuard};

    macro_rules! atomics {
        ($($name:ident($value:ty) { $($change:ident($before:ident, $by:ident) $after:expr,)* })*) => {$(
            #[derive(Debug, Default)]
            pub(crate) struct $name(Mutex<$value>);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(value.into())
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    *self.access(order)
                }

                $(
                    pub(crate) fn $change(&self, $by: $value, order: Ordering) -> $value {
                        let mut value = self.access(order);
                        let $before = *value;
                        *value = $after;
                        $before
                    }
                )*

                fn access(&self, order: Ordering) -> MutexGuard<'_, $value> {
                    assert_eq!(order, Ordering::SeqCst, "other orders need another model");
                    lock(&self.0)
                }
            }
        )*};
    }

    atomics! {
        AtomicBool(bool) {
            swap(before, by) by,
        }
        AtomicU16(u16) {
            fetch_or(before, by) before | by,
            fetch_and(before, by) before & by,
        }
        AtomicU32(u32) {
            fetch_add(before, by) before + by,
            fetch_sub(before, by) before - by,
        }
        AtomicUsize(usize) {
            fetch_add(before, by) before + by,
            fetch_sub(before, by) before - by,
        }
    }

    impl AtomicBool {
        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.swap(value, order);
        }
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

/// Model of what atomic-waker promises: of a registration and a wake that meet, the wake sees the
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

/// Runs a job on a thread of the model, and returns what it makes.
pub(crate) async fn on_another_thread<R: Send + 'static>(
    job: impl FnOnce() -> R + Send + 'static,
) -> R {
    let made = Arc::new((Mutex::new(None), AtomicWaker::new()));
    let maker = Arc::clone(&made);
    super::spawn(move || {
        let result = job();
        *lock(&maker.0) = Some(result);
        maker.1.wake();
    });
    poll_fn(|cx| {
        made.1.register(cx.waker());
        lock(&made.0).take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
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

    pub(crate) fn fds(&self) -> Vec<RawFd> {
        vec![self.as_raw_fd()]
    }

    /// Sleeps until it is readable, as the reactor does.
    pub(crate) fn wait(&self) {
        self.readable.wait_while(lock(&self.count), |count| count.now == 0);
    }

    /// Number of times that it has been set.
    pub(crate) fn sets(&self) -> u64 {
        lock(&self.count).ever
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}
