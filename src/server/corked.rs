//! What is sent during a drain, and leaves at its end or once it has taken long.

use std::{
    mem,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Arc,
    },
    time::Duration,
};

use tokio::{
    runtime,
    sync::Notify,
    task::JoinHandle,
    time::{sleep_until, Instant},
};

use super::{
    handle::Handle,
    locks::{lock, Guarded, Place},
    runtime::generation,
    sync::Mutex,
};

/// The time that a drain may take until what was sent during it leaves, all the same: two ticks of
/// the clock at most.
const TICK: Duration = Duration::from_millis(1);

/// The connections that wait for the end of a drain, with a first frame that is corked.
///
/// They are flushed at its end. One whose blocks take their time is noticed by a task, which flushes
/// what waits each millisecond: on a thread of its own accord, so that what a block has sent leaves
/// although the block has not returned. A message costs nothing for it, and a drain two additions;
/// the clock goes only while there is something to drain.
#[derive(Debug)]
pub struct Corked {
    waiting: Mutex<Waiting>,
    /// Odd during a drain.
    drain: AtomicU64,
    /// True once the drain has taken long, since that was asked last.
    is_late: AtomicBool,
    /// True while the clock goes.
    is_ticking: AtomicBool,
    start: Notify,
    /// Of the process that it was made in: another thread may have held the lock when it forked.
    generation: u32,
}

type Waiting = Vec<Handle>;

impl Guarded for Waiting {
    const PLACE: Place = Place::Corked;
}

impl Corked {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            drain: AtomicU64::new(0),
            is_late: AtomicBool::new(false),
            is_ticking: AtomicBool::new(false),
            start: Notify::new(),
            generation: generation(),
        }
    }

    /// For the queue's owner: a drain begins.
    pub fn begin(&self) {
        self.drain.fetch_add(1, SeqCst);
        self.expect();
    }

    /// For the queue's owner: a drain ends.
    pub fn end(&self) {
        self.drain.fetch_add(1, SeqCst);
        self.is_late.store(false, SeqCst);
        self.flush();
    }

    /// For the queue's owner: a connection waits for the end of the drain
    /// ([`Sent::Corked`](super::Sent::Corked)).
    pub fn add(&self, handle: Handle) {
        if self.generation == generation() {
            lock(&self.waiting).push(handle);
        }
    }

    /// For the queue's owner: whether the drain has taken another millisecond or so, since this was
    /// asked last.
    pub fn is_late(&self) -> bool {
        self.is_late.load(SeqCst) && self.is_late.swap(false, SeqCst)
    }

    fn flush(&self) {
        if self.generation != generation() {
            return;
        }
        let waiting = mem::take(&mut *lock(&self.waiting));
        for handle in waiting {
            handle.flush();
        }
    }

    /// A drain is about to begin: the clock goes from now on. Whoever wakes the queue's owner says
    /// so too, because that is cheap on the thread that the clock goes on.
    pub(crate) fn expect(&self) {
        if !self.is_ticking.load(SeqCst) && !self.is_ticking.swap(true, SeqCst) {
            self.start.notify_one();
        }
    }

    /// Waits until there is something to drain, and looks at it each millisecond.
    async fn watch(self: Arc<Self>) {
        loop {
            self.start.notified().await;
            let mut seen = 0;
            loop {
                sleep_until(Instant::now() + TICK).await;
                let drain = self.drain.load(SeqCst);
                if drain % 2 == 0 && self.is_over() {
                    break;
                }
                if drain % 2 == 1 && drain == seen {
                    self.is_late.store(true, SeqCst);
                    self.flush();
                }
                seen = drain;
            }
        }
    }

    /// Stops the clock; `false` where a drain has begun before it was seen to be stopped.
    fn is_over(&self) -> bool {
        self.is_ticking.store(false, SeqCst);
        self.drain.load(SeqCst) % 2 == 0 || self.is_ticking.swap(true, SeqCst)
    }
}

/// The clock, as long as there is who drains.
#[derive(Debug)]
pub(crate) struct Clock(JoinHandle<()>);

impl Clock {
    pub(crate) fn of(corked: &Arc<Corked>, runtime: &runtime::Handle) -> Self {
        Self(runtime.spawn(Arc::clone(corked).watch()))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}
