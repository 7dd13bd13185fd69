//! The way to one broker.

use std::{
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
        Arc,
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    backlog::{Backlog, Waiting},
    backoff::Backoff,
    error::LinkError,
    events::{Events, LinkState},
    excepted::ExceptedByNumber,
    jump_hash,
    receiver::Origins,
    session::Session,
    setup,
    url::Url,
    PubSubStats,
};
use crate::server::{
    channels::{channels, new_epoch, Channels, Fate, Outgoing, Receipt},
    locks::lock,
    runtime,
    sync::Mutex,
};

/// The way to one broker.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) url: Url,
    /// Its place among the brokers, and their number.
    place: (usize, usize),
    /// Name of this process among all that use the broker.
    pub(super) node: u64,
    pub(super) channels: &'static Channels,
    pub(super) backlog: Mutex<Backlog>,
    /// Wakes the task.
    pub(super) wakeup: Notify,
    pub(super) events: Arc<Events>,
    pub(super) excepted: Mutex<ExceptedByNumber>,
    is_running: AtomicBool,
    pub(super) counters: Counters,
}

/// Counters of one link.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lag_micros: AtomicU64,
    pub(super) lost: AtomicU64,
    connections: AtomicU64,
}

impl Link {
    pub(super) fn new(url: Url, place: (usize, usize), limit: usize, events: Arc<Events>) -> Self {
        Self {
            url,
            place,
            node: new_epoch(),
            channels: channels(),
            backlog: Mutex::new(Backlog::new(limit)),
            wakeup: Notify::new(),
            events,
            excepted: Mutex::default(),
            is_running: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// True if a channel goes this way.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        jump_hash::jump_hash(jump_hash::key(name), self.place.1) == self.place.0
    }

    pub(super) fn touch(self: &Arc<Self>, name: &[u8]) {
        lock(&self.backlog).touch(name);
        self.run();
    }

    pub(super) fn publish(self: &Arc<Self>, outgoing: Outgoing<'_>) -> Arc<Receipt> {
        let receipt = Arc::new(Receipt::default());
        let message = Waiting {
            number: 0,
            name: outgoing.name.into(),
            payload: outgoing.message.payload().clone(),
            is_binary: outgoing.message.is_binary(),
            kept: outgoing.kept,
            except: outgoing.except,
            receipt: Arc::clone(&receipt),
        };
        lock(&self.backlog).push(message);
        if receipt.fate() == Fate::Lost {
            self.counters.lost.fetch_add(1, Relaxed);
        }
        self.run();
        receipt
    }

    /// Wakes the task, or starts it.
    fn run(self: &Arc<Self>) {
        self.wakeup.notify_one();
        if self.is_running.swap(true, SeqCst) {
            return;
        }
        let runtime = match runtime::any() {
            Some(runtime) => Ok(runtime),
            None => runtime::handle(NonZeroUsize::MIN).map(|(runtime, _)| runtime),
        };
        match runtime {
            Ok(runtime) => drop(runtime.spawn(Arc::clone(self).serve())),
            Err(error) => {
                self.is_running.store(false, SeqCst);
                let text = format!("{}: no thread: {error}", self.url);
                self.events.state(LinkState::Disconnected, Some(text));
            }
        }
    }

    /// Ends the task. What waits is lost.
    pub(super) fn close(&self) {
        lock(&self.backlog).close();
        self.wakeup.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.backlog).is_closed
    }

    pub(super) fn limit(&self, bytes: usize) {
        lock(&self.backlog).limit = bytes;
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.backlog).messages()
    }

    pub(super) fn add_to(&self, stats: &mut PubSubStats) {
        let Counters { lag_micros, lost, connections } = &self.counters;
        let backlog = lock(&self.backlog);
        stats.connected += usize::from(backlog.is_connected);
        stats.messages += backlog.messages();
        stats.bytes += backlog.bytes();
        stats.lag_micros = stats.lag_micros.max(lag_micros.load(Relaxed));
        stats.reconnects += connections.load(Relaxed).saturating_sub(1);
        stats.lost += lost.load(Relaxed);
    }

    /// The task: connects again and again.
    async fn serve(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        let mut origins = Origins::default();
        // True once messages may have passed by.
        let mut may_have_missed = false;
        while !self.is_closed() {
            let error = match self.session(&mut origins, may_have_missed, &mut backoff).await {
                Ok(()) => return,
                Err(error) => error,
            };
            may_have_missed = true;
            self.events.state(LinkState::Disconnected, Some(self.described(&error)));
            self.pause(backoff.next()).await;
        }
    }

    async fn session(
        self: &Arc<Self>,
        origins: &mut Origins,
        may_have_missed: bool,
        backoff: &mut Backoff,
    ) -> Result<(), LinkError> {
        let (broker, pushes) = setup::connect(&self.url).await?;
        self.counters.connections.fetch_add(1, Relaxed);
        let mut session = Session::new(self, broker, pushes, std::mem::take(origins));
        let mut result = session.begin(may_have_missed).await;
        if result.is_ok() {
            backoff.reset();
            self.events.state(LinkState::Connected, None);
            result = session.serve().await;
        }
        *origins = session.end().await;
        result
    }

    /// Waits, unless it is closed meanwhile.
    async fn pause(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while !self.is_closed() {
            if tokio::time::timeout_at(end, self.wakeup.notified()).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn described(&self, error: &LinkError) -> String {
        format!("{}: {error}", self.url)
    }
}
