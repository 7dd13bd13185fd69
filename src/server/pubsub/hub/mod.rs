//! The hub: a broker for the processes of one host, in memory, of which one of them is the host. It
//! speaks as much of Redis' protocol as the link to a broker needs, so that the same link serves.
//!
//! Everything that happens, happens under one lock, so that all members see it in one order. What is
//! for a member waits in its queue, which a task of its own writes. Publishers wait a moment for
//! members that are behind; a member that does not read at all is disconnected.

mod broker;
mod command;
mod member;
mod nodes;
mod resp;
mod script;
mod store;

use std::{
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixListener as StdListener,
    },
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{net::UnixListener, sync::Notify, task::JoinHandle, time::sleep};

use self::{
    broker::Broker,
    store::{Limits, Now, Store},
};
use crate::server::{
    channels::new_epoch,
    locks::{self, lock},
    sync::Mutex,
};

/// Time between two looks at what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Time after which a connection is accepted again, where the system has no descriptor for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A hub that serves, until it is stopped or its runtime ends.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    listening: RawFd,
}

/// State that the tasks of the hub share.
#[derive(Debug)]
struct Shared {
    broker: Mutex<Broker>,
    /// Wakes publishers that wait until others have read.
    room: Notify,
    run_id: String,
    started: Instant,
}

impl Shared {
    fn lock(&self) -> locks::Guard<'_, Broker> {
        lock(&self.broker)
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Now { wall: millis(wall), elapsed: millis(self.started.elapsed()) }
    }
}

impl Hub {
    /// Serves on the current runtime. It ends by itself once `is_in_place` says no, which it is
    /// asked now and then.
    pub(super) fn serve(
        listener: StdListener,
        is_in_place: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        Self::with(Limits::default(), listener, is_in_place)
    }

    fn with(
        limits: Limits,
        listener: StdListener,
        is_in_place: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listening = listener.as_raw_fd();
        let listener = UnixListener::from_std(listener)?;
        let broker = Broker::new(Store::new(limits));
        let shared = Arc::new(Shared {
            broker: Mutex::new(broker),
            room: Notify::new(),
            run_id: run_id(),
            started: Instant::now(),
        });
        let accepting = tokio::spawn(accept(shared.clone(), listener));
        let stop = accepting.abort_handle();
        let sweeping = tokio::spawn({
            let shared = shared.clone();
            async move {
                while is_in_place() {
                    sweep(&shared).await;
                }
                stop.abort();
                shared.lock().stop();
            }
        });
        Ok(Self { shared, accepting, sweeping, listening })
    }

    pub(super) fn is_serving(&self) -> bool {
        !self.accepting.is_finished() && !self.sweeping.is_finished()
    }

    /// Descriptors that a forked child has of its parent's hub: while it keeps them open, the
    /// members do not see the hub's end.
    pub(super) fn inherited_fds(&self) -> Vec<RawFd> {
        // A thread of the parent's may have held the lock at the fork.
        let members = self.shared.broker.try_lock().map(|broker| broker.fds());
        let mut fds = members.unwrap_or_default();
        fds.extend(self.is_serving().then_some(self.listening));
        fds
    }
}

/// Disconnects everybody.
impl Drop for Hub {
    fn drop(&mut self) {
        self.accepting.abort();
        self.sweeping.abort();
        self.shared.lock().stop();
    }
}

async fn accept(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => member::serve(&shared, stream),
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Forgets what has expired, a part at a time.
async fn sweep(shared: &Shared) {
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        cursor = shared.lock().store.sweep(from, shared.now());
        tokio::task::yield_now().await;
    }
    sleep(SWEEP_INTERVAL).await;
}

/// Name of this hub, which no other one has: 40 hexadecimal digits.
fn run_id() -> String {
    format!("{:016x}{:016x}{:08x}", new_epoch(), new_epoch(), new_epoch() as u32)
}

#[cfg(test)]
mod tests;
