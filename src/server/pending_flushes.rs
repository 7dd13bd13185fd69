//! Flushes that wait for the end of a drain, or until it has taken long.

use std::{mem, sync::Arc, time::Duration};

use tokio::{
    runtime,
    sync::Notify,
    task::{yield_now, JoinHandle},
    time::{sleep, Instant},
};

use super::{
    channels::channels,
    handle::Handle,
    locks::{Guarded, LockRank},
    process::ProcessMutex,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

/// The time between two looks at the drains: a drain that both of them see has taken long. Each look
/// costs a wake-up of the thread, so the more there were that have found none, the longer the next
/// one takes to come; after a long drain, and after a pause, it is the shortest again.
const TICKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// A pause of so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of connections that are flushed before the thread's others have their turn.
const FLUSHES_PER_TURN: usize = 16;

/// The connections with frames that wait for a flush.
///
/// They are flushed at its end. A drain that takes long is noticed by a task, which flushes what
/// waits then: from another thread, so that what a block has sent leaves although the
/// block has not returned. A message costs next to nothing for it, and a drain two additions; the
/// clock goes only while there is something to drain.
#[derive(Debug)]
pub struct PendingFlushes {
    waiting: ProcessMutex<Waiting>,
    /// True once the drain has taken long, since that was asked last.
    is_late: AtomicBool,
    ticking: TickState,
    start: Notify,
}

type Waiting = Vec<Handle>;

impl Guarded for Waiting {
    const RANK: LockRank = LockRank::PendingFlushes;
}

impl PendingFlushes {
    pub(crate) fn new() -> Self {
        Self {
            waiting: ProcessMutex::default(),
            is_late: AtomicBool::new(false),
            ticking: TickState::default(),
            start: Notify::new(),
        }
    }

    /// For the queue's owner: a drain begins.
    pub fn begin(&self) {
        self.ticking.turn();
        self.expect();
    }

    /// For the queue's owner: a drain ends.
    pub fn end(&self) {
        self.ticking.turn();
        self.is_late.store(false, SeqCst);
        channels().end_turn();
        for handle in self.take() {
            handle.flush();
        }
    }

    /// For the queue's owner: a connection waits for the end of the drain
    /// ([`Sent::Unflushed`](super::Sent::Unflushed)).
    pub fn add(&self, handle: Handle) {
        if let Some(mut waiting) = self.waiting.lock() {
            waiting.push(handle);
        }
    }

    /// For the queue's owner: whether the drain has taken long, since this was asked last.
    pub fn is_late(&self) -> bool {
        self.is_late.load(SeqCst) && self.is_late.swap(false, SeqCst)
    }

    fn take(&self) -> Waiting {
        self.waiting.lock().map(|mut waiting| mem::take(&mut *waiting)).unwrap_or_default()
    }

    /// A drain is about to begin: the clock goes from now on. Whoever wakes the queue's owner says
    /// so too, because that is cheap on the thread that the clock goes on.
    pub(crate) fn expect(&self) {
        // The clock's own lock may be held for ever in a forked child.
        if !self.waiting.is_inherited() && self.ticking.starts() {
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
                let drain = self.ticking.drain();
                if drain % 2 == 1 && drain == seen {
                    tick = TICKS.0;
                    self.flush_late().await;
                } else {
                    tick = TICKS.1.min(tick * 2);
                }
                if drain % 2 == 0 && self.ticking.stops() {
                    stopped = Instant::now();
                    break;
                }
                seen = drain;
            }
        }
    }

    async fn flush_late(&self) {
        self.is_late.store(true, SeqCst);
        channels().end_turn();
        for handles in self.take().chunks(FLUSHES_PER_TURN) {
            handles.iter().for_each(Handle::flush);
            yield_now().await;
        }
    }
}

/// State of the drain and of the clock, which goes during each drain, whoever meets whom.
#[derive(Debug, Default)]
pub(crate) struct TickState {
    /// Odd during a drain.
    drain: AtomicUsize,
    is_on: AtomicBool,
}

impl TickState {
    pub(crate) fn drain(&self) -> usize {
        self.drain.load(SeqCst)
    }

    /// A drain begins or ends.
    pub(crate) fn turn(&self) {
        self.drain.fetch_add(1, SeqCst);
    }

    /// Once a drain has opening, or earlier: whether the clock is to be started.
    pub(crate) fn starts(&self) -> bool {
        !self.is_on.load(SeqCst) && !self.is_on.swap(true, SeqCst)
    }

    /// For the clock, where it has seen no drain: whether it stops. It does not where one has opening
    /// meanwhile; unless who began it has seen it stop, and starts it.
    pub(crate) fn stops(&self) -> bool {
        self.is_on.store(false, SeqCst);
        self.drain() % 2 == 0 || self.is_on.swap(true, SeqCst)
    }
}

/// The clock, as long as there is who drains.
#[derive(Debug)]
pub(crate) struct Ticker(JoinHandle<()>);

impl Ticker {
    pub(crate) fn of(flushes: &Arc<PendingFlushes>, runtime: &runtime::Handle) -> Self {
        Self(runtime.spawn(Arc::clone(flushes).watch()))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::{thread, time};

    use super::*;

    #[test]
    fn the_ticker_goes_during_each_drain_however_it_meets_the_one_before() {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let flushes = Arc::new(PendingFlushes::new());
        let _ticker = Ticker::of(&flushes, runtime.handle());
        for pause in (0..400).map(|number| time::Duration::from_micros(number * 37 % 2_500)) {
            flushes.begin();
            let begin = time::Instant::now();
            while !flushes.is_late() {
                assert!(begin.elapsed() < time::Duration::from_secs(5), "after {pause:?}");
                thread::yield_now();
            }
            flushes.end();
            assert!(!flushes.is_late());
            thread::sleep(pause);
        }
    }
}
