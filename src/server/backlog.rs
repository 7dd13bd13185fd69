//! What has been received on all connections of a server and waits for the application.

use std::sync::Arc;

use super::{
    compressing::Compressing,
    config::{QueueLimits, ReadSize},
    events::Batch,
    landing::{Landing, Pool},
    link::Shared,
    locks::{Guarded, Place},
    process::ProcessMutex,
    runtime,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

/// How much waits altogether. Past the limit, every connection that is read comes to rest, until
/// half of it is gone.
#[derive(Debug)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    /// Of each connection, and of all of them.
    pub(crate) limits: QueueLimits,
    /// By how much they are read.
    pub(crate) read_size: ReadSize,
    /// Where bytes land before they are judged.
    pub(crate) landings: Pool<Landing>,
    /// Where they land before that, if they are encrypted.
    pub(crate) encrypted: Pool<Vec<u8>>,
    /// Where the events of a read gather that takes its time, so that it holds up nobody else's.
    pub(crate) apart: Pool<Batch>,
    /// Who compresses what is large, of this server and of those that share its threads.
    pub(crate) compressing: Compressing,
    /// Of the process that the server was started in.
    pub(crate) generation: u32,
    /// Connections that rest because of it, each of them once.
    parked: ProcessMutex<Parked>,
    is_awaited: AtomicBool,
}

type Parked = Vec<Arc<Shared>>;

impl Guarded for Parked {
    const PLACE: Place = Place::Parked;
}

impl Backlog {
    pub(crate) fn new(limits: QueueLimits, read_size: ReadSize, compressing: Compressing) -> Self {
        Self {
            compressing,
            bytes: AtomicUsize::new(0),
            limits,
            read_size,
            landings: Pool::default(),
            encrypted: Pool::default(),
            apart: Pool::default(),
            generation: runtime::generation(),
            parked: ProcessMutex::default(),
            is_awaited: AtomicBool::new(false),
        }
    }

    /// Counts what is queued; whether it is too much.
    pub(crate) fn add(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, SeqCst) + bytes >= self.limits.total
    }

    /// How many bytes more may wait.
    pub(crate) fn room(&self) -> usize {
        self.limits.total.saturating_sub(self.bytes.load(SeqCst))
    }

    pub(crate) fn is_low(&self) -> bool {
        self.bytes.load(SeqCst) <= self.limits.total / 2
    }

    /// Counts what is delivered; whoever waited for it goes on.
    pub(crate) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, SeqCst);
        if self.is_awaited.load(SeqCst) && self.is_low() {
            self.wake();
        }
    }

    /// Lets a connection rest until enough is gone.
    pub(crate) fn park(&self, connection: &Arc<Shared>) {
        // Where it is there already, it will be looked at when it is taken out, after this.
        if !connection.is_parked.swap(true, SeqCst) {
            if let Some(mut parked) = self.parked.lock() {
                parked.push(Arc::clone(connection));
            }
        }
        self.is_awaited.store(true, SeqCst);
        // It may all have been delivered before anybody could see that it is awaited.
        if self.is_low() {
            self.wake();
        }
    }

    fn wake(&self) {
        let parked = {
            let Some(mut parked) = self.parked.lock() else { return };
            self.is_awaited.store(false, SeqCst);
            std::mem::take(&mut *parked)
        };
        for connection in parked {
            // Before it is looked at: from now on it may be parked again.
            connection.is_parked.store(false, SeqCst);
            connection.resume();
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::server::handle::Handle;

    #[test]
    fn a_connection_that_rests_is_parked_once_and_looked_at_once() {
        let limits = QueueLimits { bytes: 1000, messages: 1000, total: 100 };
        let backlog = Arc::new(Backlog::new(limits, ReadSize::default(), Compressing::default()));
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let connections: Vec<_> =
            (0..10).map(|_| Handle::new(0, address, address, Arc::clone(&backlog))).collect();
        for round in 0..100 {
            for connection in &connections {
                connection.0.queued(2, 1);
                if round > 50 {
                    // Its own is low: it rests for the sake of all.
                    connection.0.resume();
                }
            }
        }
        assert_eq!(backlog.parked.lock().unwrap().len(), connections.len());
        for connection in &connections {
            connection.delivered(200, 100);
        }
        assert!(backlog.parked.lock().unwrap().is_empty());
        assert!(connections.iter().all(|connection| connection.0.hold.load(SeqCst) == 0));
    }
}
