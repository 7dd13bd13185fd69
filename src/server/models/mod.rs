//! The places where threads meet, tried by loom in every order that may matter: `rake test:loom`.
//!
//! What is tried is the code that runs: [`sync`](super::sync) gives it loom's locks and atomics, an
//! eventfd and sockets that loom can look into. A wake-up that is lost leaves a thread asleep that
//! another one waits for, and loom reports the deadlock.

use std::{
    future::Future,
    mem::ManuallyDrop,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc, OnceLock,
    },
    task::{Context, Poll, Wake, Waker},
};

use loom::thread::{self, JoinHandle};
use tokio::runtime::{self, Runtime};

use super::locks::lock;

mod inbound;
mod pending_flushes;
mod queue;
pub(super) mod socket;
pub(super) mod sync;

/// Runs a model in every order with at most so many preemptions: so often a thread that could go
/// on is interrupted by another. `LOOM_MAX_PREEMPTIONS` overrides it.
pub(super) fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    // Timers have to stand somewhere, although nobody turns the clock.
    static CLOCK: OnceLock<Runtime> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| {
        runtime::Builder::new_current_thread().enable_time().build().expect("there is memory")
    });
    let _inside = clock.enter();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    let orders = Arc::new(AtomicU64::new(0));
    let tried = Arc::clone(&orders);
    builder.check(move || {
        tried.fetch_add(1, Relaxed);
        body();
    });
    println!("{} orders", orders.load(Relaxed));
}

/// loom's threads have 32 KiB of stack, in words; a driver needs more.
const STACK: usize = 256 * 1024 / size_of::<usize>();

/// A thread of the model.
pub(super) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().stack_size(STACK).spawn(body).expect("there are not too many")
}

/// A thread that is a task's.
pub(super) fn spawn_task(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    spawn(move || block_on(task))
}

/// Polls a task whenever it is woken, and never otherwise. (loom's own of this name also wakes it
/// without a reason, and prints.)
pub(super) fn block_on(task: impl Future<Output = ()>) {
    // Where the model fails it is not dropped, which loom would take for more of the model.
    let mut task = ManuallyDrop::new(Box::pin(task));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    while task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
        woken.wait();
    }
    drop(ManuallyDrop::into_inner(task));
}

#[derive(Default)]
struct Woken {
    is_woken: sync::Mutex<bool>,
    changed: sync::Condvar,
}

impl Woken {
    fn wait(&self) {
        *self.changed.wait_while(lock(&self.is_woken), |is_woken| !*is_woken) = false;
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *lock(&self.is_woken) = true;
        self.changed.notify_all();
    }
}
