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
    task::{yield_now, JoinHandle},
    time::{sleep, Instant},
};

use super::{
    handle::Handle,
    locks::{lock, Guarded, Place},
    runtime::generation,
    sync::Mutex,
};

/// The time between two looks at the drains: a drain that both of them see has taken long. Each look
/// costs a wake-up of the thread, so the more there were that have found none, the longer the next
/// one takes to come; after a long drain, and after a pause, it is the shortest again.
const TICKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// A pause of so long.
const PAUSE: Duration = Duration::from_millis(100);

/// So many connections are flushed before the thread's others have their turn.
const FLUSHED: usize = 16;

/// The connections that wait for the end of a drain, with a first frame that is corked.
///
/// They are flushed at its end. A drain that takes long is noticed by a task, which flushes what
/// waits then: from another thread, so that what a block has sent leaves although the
/// block has not returned. A message costs next to nothing for it, and a drain two additions; the
/// clock goes only while there is something to drain.
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
        for handle in self.take() {
            handle.flush();
        }
    }

    /// For the queue's owner: a connection waits for the end of the drain
    /// ([`Sent::Corked`](super::Sent::Corked)).
    pub fn add(&self, handle: Handle) {
        if self.generation == generation() {
            lock(&self.waiting).push(handle);
        }
    }

    /// For the queue's owner: whether the drain has taken long, since this was asked last.
    pub fn is_late(&self) -> bool {
        self.is_late.load(SeqCst) && self.is_late.swap(false, SeqCst)
    }

    fn take(&self) -> Waiting {
        if self.generation != generation() {
            return Waiting::new();
        }
        mem::take(&mut *lock(&self.waiting))
    }

    /// A drain is about to begin: the clock goes from now on. Whoever wakes the queue's owner says
    /// so too, because that is cheap on the thread that the clock goes on.
    pub(crate) fn expect(&self) {
        if !self.is_ticking.load(SeqCst) && !self.is_ticking.swap(true, SeqCst) {
            self.start.notify_one();
        }
    }

    /// Waits until there is something to drain, and looks at it now and then.
    async fn watch(self: Arc<Self>) {
        let mut tick = TICKS.0;
        let mut stopped = Instant::now();
        loop {
            self.start.notified().await;
            if stopped.elapsed() > PAUSE {
                tick = TICKS.0;
            }
            let mut seen = 0;
            loop {
                sleep(tick).await;
                let drain = self.drain.load(SeqCst);
                if drain % 2 == 1 && drain == seen {
                    tick = TICKS.0;
                    self.flush_late().await;
                } else {
                    tick = TICKS.1.min(tick * 2);
                }
                if drain % 2 == 0 && self.is_over() {
                    stopped = Instant::now();
                    break;
                }
                seen = drain;
            }
        }
    }

    async fn flush_late(&self) {
        self.is_late.store(true, SeqCst);
        for handles in self.take().chunks(FLUSHED) {
            handles.iter().for_each(Handle::flush);
            yield_now().await;
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

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::{thread, time};

    use super::*;

    #[test]
    fn the_clock_goes_during_each_drain_however_it_meets_the_one_before() {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let corked = Arc::new(Corked::new());
        let _clock = Clock::of(&corked, runtime.handle());
        for pause in (0..400).map(|number| time::Duration::from_micros(number * 37 % 2_500)) {
            corked.begin();
            let begin = time::Instant::now();
            while !corked.is_late() {
                assert!(begin.elapsed() < time::Duration::from_secs(5), "after {pause:?}");
                thread::yield_now();
            }
            corked.end();
            assert!(!corked.is_late());
            thread::sleep(pause);
        }
    }
}
