//! Registry of a server's connections: permits to be one, the drivers that are live, for a stop that
//! waits until their sockets are gone, and what all drivers share.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    hint,
    net::IpAddr,
    ops::Deref,
    os::fd::RawFd,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    buffers::ReadBuffers,
    clients::Clients,
    compression_threads::CompressionThreads,
    handle::Handle,
    locks::{Guarded, LockRank},
    process::ProcessMutex,
    stats::{Counters, Stats},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        Condvar,
    },
};
use crate::error::HandshakeError;

/// Connections whose memory is fetched at once: what a processor waits for at a time is about this.
const FETCHED_AT_ONCE: usize = 16;

/// The connections of one server, and what their drivers share.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(super) live: ProcessMutex<Live>,
    none: Condvar,
    permits: AtomicUsize,
    pub(crate) counters: Counters,
    /// Clients by address, where there are limits by client.
    pub(crate) clients: Option<Arc<Clients>>,
    pub(crate) read_buffers: ReadBuffers,
    /// Those of this server and of others that share its threads.
    pub(crate) compression_threads: CompressionThreads,
    is_restarting: AtomicBool,
}

/// Permit to be one of a server's connections, from accept to the end.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Registry>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.permits.fetch_sub(1, SeqCst);
    }
}

#[derive(Debug, Default)]
pub(super) struct Live {
    handles: HashSet<ByAddress>,
    /// The server has been stopped: what is registered from now on is aborted at once.
    stopped: bool,
}

impl Guarded for Live {
    const RANK: LockRank = LockRank::Registry;
}

/// Handle that is compared by its connection's identity.
#[derive(Debug)]
struct ByAddress(Handle);

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0 .0, &other.0 .0)
    }
}

impl Eq for ByAddress {}

impl Hash for ByAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0 .0).hash(state);
    }
}

/// Registration of a live connection; dropping it deregisters.
#[derive(Debug)]
pub(crate) struct Registration {
    handle: ByAddress,
    permit: Permit,
}

impl Registration {
    /// Counters of its server.
    pub(crate) fn counters(&self) -> &Counters {
        &self.permit.0.counters
    }

    /// True if nobody is let in any more.
    pub(crate) fn is_restarting(&self) -> bool {
        self.permit.0.is_restarting()
    }

    /// True if there are limits by client.
    pub(crate) fn has_client_limits(&self) -> bool {
        self.permit.0.clients.is_some()
    }

    /// Lets the connection in as one of this client's, if it has not been counted yet.
    ///
    /// # Errors
    /// As of [`Clients::admit`].
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> Result<(), HandshakeError> {
        let registry = &self.permit.0;
        let Some(clients) = &registry.clients else { return Ok(()) };
        if self.handle.0.is_admitted() || clients.is_proxy(client) {
            return Ok(());
        }
        let admission =
            clients.admit(client, now).inspect_err(|error| registry.counters.turned_away(error))?;
        if let Some(admission) = admission {
            self.handle.0.set_admission(admission);
        }
        Ok(())
    }

    /// Read buffers of its server.
    pub(crate) fn read_buffers(&self) -> &ReadBuffers {
        &self.permit.0.read_buffers
    }

    /// Threads on which its server compresses.
    pub(crate) fn compression_threads(&self) -> &CompressionThreads {
        &self.permit.0.compression_threads
    }
}

impl Deref for Registration {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle.0
    }
}

impl Registry {
    pub(crate) fn new(
        read_buffers: ReadBuffers,
        threads: CompressionThreads,
        clients: Option<Arc<Clients>>,
    ) -> Self {
        Self { read_buffers, compression_threads: threads, clients, ..Self::default() }
    }

    /// True if nobody is let in any more.
    pub(crate) fn is_restarting(&self) -> bool {
        self.is_restarting.load(SeqCst)
    }

    /// Lets nobody in any more.
    pub(crate) fn restart(&self) {
        self.is_restarting.store(true, SeqCst);
    }

    /// A permit, if there are not `limit` connections already.
    pub(crate) fn permit(self: &Arc<Self>, limit: Option<usize>) -> Option<Permit> {
        // Taken before it is looked at, so that there are never more, whoever else takes one.
        let before = self.permits.fetch_add(1, SeqCst);
        let permit = Permit(Arc::clone(self));
        limit.is_none_or(|limit| before < limit).then_some(permit)
    }

    /// Counts of what has been seen and done so far.
    pub(crate) fn stats(&self) -> Stats {
        let live = self.live.lock();
        let mut stats = self.counters.stats();
        let Some(live) = live else { return stats };
        stats.open = self.permits.load(SeqCst);
        let mut shared = HashMap::new();
        let handles: Vec<_> = live.handles.iter().map(|handle| &handle.0).collect();
        // Of many connections, most of the time is spent waiting for their memory: it is fetched of
        // several at once, before a lock is taken.
        for some in handles.chunks(FETCHED_AT_ONCE) {
            hint::black_box(some.iter().map(|handle| handle.fetch()).sum::<u64>());
            for handle in some {
                handle.add_to(&mut stats, &mut shared);
            }
        }
        stats.outbound += shared.into_values().sum::<usize>() as u64;
        stats
    }

    /// Aborts every connection, and every one that is registered later.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let Some(mut live) = self.live.lock() else { return };
            live.stopped = true;
            live.handles.iter().map(|handle| handle.0.clone()).collect()
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// In a forked child: what the parent's drivers had open.
    pub(crate) fn inherited_fds(&self) -> Vec<RawFd> {
        let Some(live) = self.live.inherited() else { return Vec::new() };
        live.handles.iter().filter_map(|handle| handle.0.inherited_fd()).collect()
    }

    /// Waits until nothing is live; how many are, where that would take longer than `timeout`.
    #[must_use]
    pub(crate) fn wait_for_none(&self, timeout: Duration) -> usize {
        let Some(live) = self.live.lock_to_wait() else { return 0 };
        let (live, _) = self
            .none
            .wait_timeout_while(live, timeout, |live| !live.handles.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        live.handles.len()
    }
}

impl Permit {
    /// Registers the connection that the permit is for; where its server has been stopped, aborts it.
    pub(crate) fn register(self, handle: &Handle) -> Registration {
        if let Some(mut live) = self.0.live.lock() {
            live.handles.insert(ByAddress(handle.clone()));
            if live.stopped {
                handle.abort();
            }
        }
        Registration { handle: ByAddress(handle.clone()), permit: self }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave_channels();
        let registry = &self.permit.0;
        // Nobody waits for what is not read any more.
        self.handle.0 .0.budget.leave(&self.handle.0 .0);
        let Some(mut live) = registry.live.lock() else { return };
        if live.handles.remove(&self.handle) {
            let (received, sent) = self.traffic();
            registry.counters.gone(received, sent);
        }
        if live.handles.is_empty() {
            live.handles = HashSet::new();
            registry.none.notify_all();
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::server::{addresses::Addresses, config::QueueLimits, inbound::InboundBudget};

    #[test]
    fn a_stop_that_waits_no_longer_returns_how_many_connections_are_left() {
        let registry = Arc::<Registry>::default();
        let budget = Arc::new(InboundBudget::new(QueueLimits::default()));
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut registered: Vec<_> = (0..2)
            .map(|_| {
                let handle = Handle::new(0, Addresses::new(address, address), Arc::clone(&budget));
                registry.permit(Some(2)).unwrap().register(&handle)
            })
            .collect();
        assert!(registry.permit(Some(2)).is_none());
        assert_eq!(registry.wait_for_none(Duration::from_millis(5)), 2);
        registered.pop();
        assert!(registry.permit(Some(2)).is_some());
        assert_eq!(registry.wait_for_none(Duration::from_millis(5)), 1);
        registered.pop();
        assert_eq!(registry.wait_for_none(Duration::from_secs(5)), 0);
    }
}
