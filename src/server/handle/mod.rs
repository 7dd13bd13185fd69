//! Handle on one connection, for the application's threads: any of them may hold it.

mod opening;
mod published;
mod sending;

pub(crate) use self::opening::is_undecided;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    os::fd::RawFd,
    path::Path,
    sync::{atomic::Ordering::SeqCst, Arc},
    time::{Duration, Instant},
};

use super::{
    addresses::Addresses,
    clients::Admission,
    config::ConnectionOptions,
    connection::Shared,
    inbound::InboundBudget,
    outbound::Flush,
    pause,
    socket::WriteHalf,
    stats::{Stats, Traffic},
    tls::TlsSession,
};
use crate::protocol::{close::CloseCode, version::Profile, CloseAction, Limits, ReadyState};

/// A cheap clone that lets its holder act on one connection, from any thread.
///
/// In a forked child it does nothing, and takes no lock: the connection is the parent's, closed as
/// far as the child sees. Only its addresses are known.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    pub(crate) fn new(fd: RawFd, addresses: Addresses, budget: Arc<InboundBudget>) -> Self {
        Self(Arc::new(Shared::new(fd, addresses, budget)))
    }

    pub(crate) fn configure(&self, options: &ConnectionOptions) {
        let Some(mut state) = self.0.lock() else { return };
        state.set_limits(options.limits);
        state.protocol.set_close_timeout(options.close_timeout);
        state.outbox.set_limit(options.outbound_limit);
    }

    /// The client's address as proxies say it is whose word is taken; `None` where none has said.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.said_of_client().map(|(address, _)| address)
    }

    /// True if it is the header of a request that says it, not the PROXY protocol.
    pub fn is_forwarded(&self) -> bool {
        self.said_of_client().is_some_and(|(_, is_forwarded)| is_forwarded)
    }

    fn said_of_client(&self) -> Option<(IpAddr, bool)> {
        self.0.lock()?.cold()?.client.as_ref()?.said
    }

    /// Sets the client's address, as the header of its request says, or the PROXY protocol.
    pub fn set_client_ip(&self, address: IpAddr, is_forwarded: bool) {
        if let Some(mut state) = self.0.lock() {
            state.client_mut().said = Some((address, is_forwarded));
        }
    }

    /// True if it is counted among its client's connections.
    pub(crate) fn is_admitted(&self) -> bool {
        let state = self.0.lock();
        state.is_some_and(|state| {
            let client = state.cold().and_then(|cold| cold.client.as_ref());
            client.is_some_and(|client| client.admission.is_some())
        })
    }

    /// Keeps its place among its client's connections, until it is gone.
    pub(crate) fn set_admission(&self, admission: Admission) {
        if let Some(mut state) = self.0.lock() {
            state.client_mut().admission = Some(admission);
        }
    }

    /// The address of the other end of the socket: the client's, or a proxy's. A socket of Unix has
    /// none.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.addresses.peer()
    }

    /// The address the client connected to; `None` for a socket of Unix.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.addresses.local()
    }

    /// Path of the socket of Unix that the client connected to.
    pub fn unix_path(&self) -> Option<&Path> {
        self.0.addresses.unix_path()
    }

    /// State of the connection.
    pub fn ready_state(&self) -> ReadyState {
        self.0.lock().map_or(ReadyState::Closed, |state| state.protocol.ready_state())
    }

    /// Profile of the client's version, once the connection has been open.
    pub fn profile(&self) -> Option<&'static Profile> {
        self.0.lock()?.protocol.profile()
    }

    /// Limits on the peer.
    pub fn limits(&self) -> Limits {
        self.0.lock().map(|state| state.limits()).unwrap_or_default()
    }

    /// Sets what the peer may not exceed, from the next read on; for every frame, if set while an
    /// [`Opening`](super::Opening) is held.
    pub fn set_limits(&self, limits: Limits) {
        if let Some(mut state) = self.0.lock() {
            state.set_limits(limits);
        }
    }

    /// Time for which nothing may be read nor written before the connection is aborted.
    pub fn inactivity_timeout(&self) -> Option<Duration> {
        self.0.lock()?.outbox.inactivity()
    }

    /// Sets how long nothing may be read nor written before the connection is aborted.
    pub fn set_inactivity_timeout(&self, timeout: Option<Duration>) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.set_inactivity(timeout);
        }
    }

    /// Parameters that TLS has agreed on; `None` without TLS, and before it has.
    pub fn tls_session(&self) -> Option<TlsSession> {
        self.0.lock()?.cold()?.tls.as_deref().cloned()
    }

    /// Time for which our close may stay without answer.
    pub fn close_timeout(&self) -> Duration {
        self.0.lock().map_or(Duration::ZERO, |state| state.protocol.close_timeout())
    }

    /// Sets how long our next close may stay without answer.
    pub fn set_close_timeout(&self, timeout: Duration) {
        if let Some(mut state) = self.0.lock() {
            state.protocol.set_close_timeout(timeout);
        }
    }

    /// Number of bytes that wait to be written, with what it takes to hold them.
    pub fn outbound_len(&self) -> usize {
        self.0.lock().map_or(0, |state| state.outbox.waiting_len())
    }

    /// Past how many waiting bytes [`Delivery::Drained`](super::Delivery::Drained) will tell that
    /// they are down to half of it; 0: never.
    pub fn set_high_water(&self, bytes: usize) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.set_high_water(bytes);
        }
    }

    /// Traffic that was received over the connection, and that was sent.
    pub(crate) fn traffic(&self) -> (Traffic, Traffic) {
        (self.0.received(), self.0.lock().map(|state| state.outbox.sent()).unwrap_or_default())
    }

    /// Messages and bytes that were received, and those that were sent.
    pub fn totals(&self) -> [u64; 4] {
        let (received, sent) = self.traffic();
        [received.messages, received.bytes, sent.messages, sent.bytes]
    }

    /// Limit that has ended the connection, by its name; `None` where none has.
    pub fn ended_by(&self) -> Option<&'static str> {
        self.0.lock()?.cold()?.client.as_ref()?.ended_by
    }

    /// Notes the limit that ends the connection.
    pub(crate) fn set_ended_by(&self, limit: &'static str) {
        if let Some(mut state) = self.0.lock() {
            state.client_mut().ended_by = Some(limit);
        }
    }

    /// Adds what is counted here.
    pub(crate) fn add_to(&self, stats: &mut Stats, shared: &mut HashMap<usize, usize>) {
        stats.received += self.0.received();
        if let Some(state) = self.0.lock() {
            stats.sent += state.outbox.sent();
            stats.outbound += state.outbox.count_waiting(shared) as u64;
        }
    }

    /// Has the processor fetch what [`add_to`](Self::add_to) looks at. The number means nothing.
    pub(crate) fn fetch(&self) -> u64 {
        self.0.fetch()
    }

    /// Begins the closing handshake; before the opening one is done, aborts.
    pub fn close(&self, code: Option<CloseCode>, reason: &str) {
        self.send_published(Flush::Now);
        if let Some(mut state) = self.0.lock() {
            state.close(|connection, out| connection.close(code, reason, Instant::now(), out));
        }
    }

    /// As [`close`](Self::close), but the application has not asked for it: what it sends meanwhile
    /// goes nowhere, without an error.
    pub fn close_unasked(&self, code: Option<CloseCode>, reason: &str) {
        self.send_published(Flush::Now);
        if let Some(mut state) = self.0.lock() {
            state.protocol.unasked();
            state.close(|connection, out| connection.close(code, reason, Instant::now(), out));
        }
    }

    /// The application has not asked for the close that follows.
    pub fn unasked(&self) {
        if let Some(mut state) = self.0.lock() {
            state.protocol.unasked();
        }
    }

    /// Ends the TCP connection once everything sent has been written.
    pub fn close_after_writing(&self) {
        self.send_published(Flush::Now);
        self.end(CloseAction::AfterFlush);
    }

    /// Ends the TCP connection now. What is not written yet is dropped.
    pub fn abort(&self) {
        self.end(CloseAction::Abort);
    }

    /// Stops reading, or goes on.
    pub fn set_paused(&self, paused: bool) {
        if paused {
            self.0.pauses.fetch_or(pause::APPLICATION, SeqCst);
        } else {
            self.0.resume_reading(pause::APPLICATION);
        }
    }

    /// True if the application has stopped reading.
    pub fn is_paused(&self) -> bool {
        self.0.pauses.load(SeqCst) & pause::APPLICATION != 0
    }

    /// True if the connection is gone, or is being ended.
    pub fn is_ending(&self) -> bool {
        self.0.lock().is_none_or(|state| state.outbox.is_ending())
    }

    /// Does with the TCP connection what is left to do.
    pub(crate) fn end(&self, action: CloseAction) {
        if let Some(mut state) = self.0.lock() {
            state.outbox.close(action);
        }
    }

    /// True if the connection is the parent's, and this process a fork's child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.0.is_inherited()
    }

    /// The socket is about to be closed.
    pub(crate) fn gone(&self) {
        if let Some(mut state) = self.0.lock() {
            if state.cold().is_some_and(|cold| cold.client.is_some()) {
                state.client_mut().admission = None;
            }
            *state.outbox.write_half() = WriteHalf::Closed;
        }
    }

    /// In a forked child: the number of the socket, if it is certain that it is still open.
    pub(crate) fn inherited_fd(&self) -> Option<RawFd> {
        self.0.inherited_lock()?.outbox.fd()
    }
}
