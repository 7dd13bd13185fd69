//! Server: it listens, accepts, starts connections, and stops.

use std::{
    future::poll_fn,
    io, mem,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    path::PathBuf,
    sync::Arc,
    task::{ready, Context, Poll},
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, runtime, task::JoinHandle, time::sleep};

use super::{
    addresses::{Addresses, ListenAddress},
    buffers::ReadBuffers,
    clients::{Admission, Clients},
    config::{ConnectionOptions, ServerOptions},
    delivery::Delivery,
    driver::{self, Ends},
    event_queue::EventQueue,
    event_sender::EventSender,
    handle::Handle,
    inbound::InboundBudget,
    incoming::Incoming,
    listening::{is_the_clients, BindError, Listen, ListeningSocket, Opened},
    locks::{Guarded, LockRank},
    owner::Owner,
    pending_flushes::Ticker,
    process::ProcessMutex,
    registry::Registry,
    rejections::Rejections,
    runtime as threads,
    stats::{count, Stats, Traffic},
};
use crate::error::HandshakeError;

/// Time for which accepting rests where the system has no file descriptor or memory left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Time for which a stop waits for drivers. They are told to abort, so it takes microseconds;
/// the limit only keeps a defect from hanging the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason for which a stop did not wait any longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{connections} connections are not closed {STOP_TIMEOUT:?} after they were aborted")]
pub struct StillOpen {
    /// Number of connections that are not closed.
    pub connections: usize,
}

/// A server: one listening socket, its connections, and the queue that tells of both.
///
/// Dropping it without [`stop`](Self::stop) leaves it running.
#[derive(Debug)]
pub struct Server {
    queue: Arc<EventQueue>,
    budget: Arc<InboundBudget>,
    registry: Arc<Registry>,
    runtime: runtime::Handle,
    address: ListenAddress,
    /// None with TLS, where an answer in the clear would be noise.
    rejections: Option<Rejections>,
    listening: ProcessMutex<Option<Listening>>,
    _ticker: Ticker,
}

#[derive(Debug)]
struct Listening {
    fd: RawFd,
    task: JoinHandle<()>,
    /// Closed here, and not by the task, which waits for a thread: that may be busy.
    socket: Arc<ProcessMutex<Listener>>,
}

/// The listening socket, until it is closed. Whoever has it locked queues what it brings, so that
/// nothing is queued any more once it is gone.
type Listener = Option<ListeningSocket>;

impl Guarded for Option<Listening> {
    const RANK: LockRank = LockRank::Accepting;
}

impl Guarded for Listener {
    const RANK: LockRank = LockRank::Listener;
}

impl Server {
    /// Listens on `host` and `port` (0: the system chooses), and accepts from then on.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(host: &str, port: u16, options: ServerOptions) -> Result<Self, BindError> {
        Self::listen(Listen::address(host, port), options)
    }

    /// Listens on a place, and accepts from then on.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn listen(place: Listen, options: ServerOptions) -> Result<Self, BindError> {
        let listener = Opened::new(place)?;
        let address = listener.address().clone();
        // Frames are written whole, so there is little for Nagle's algorithm to gather.
        let has_nodelay = listener.set_nodelay(options.tcp_nodelay);
        let queue = Arc::new(EventQueue::new().map_err(BindError::Threads)?);
        let (runtime, compression) =
            threads::handle(options.threads).map_err(BindError::Threads)?;
        let listener = {
            let _inside = runtime.enter();
            listener.register().map_err(BindError::Threads)?
        };
        let fd = listener.fd();
        let socket = Arc::new(ProcessMutex::new(Some(listener)));
        let accept = Accept {
            socket: Arc::clone(&socket),
            queue: Arc::clone(&queue),
            registry: Arc::new(Registry::new(
                ReadBuffers::new(options.read_size),
                compression,
                Clients::new(options.clients),
            )),
            budget: Arc::new(InboundBudget::new(options.queue)),
            max_connections: options.max_connections,
            set_nodelay: (!has_nodelay).then_some(options.tcp_nodelay),
            path: match &address {
                ListenAddress::Unix(path) => Some(Arc::clone(path)),
                ListenAddress::Inet(_) => None,
            },
            rejections: options
                .rejection
                .map(|response| Rejections::new(response, runtime.clone())),
        };
        let rejections = accept.rejections.clone();
        let registry = Arc::clone(&accept.registry);
        let budget = Arc::clone(&accept.budget);
        let task = runtime.spawn(accept.run());
        Ok(Self {
            _ticker: Ticker::of(queue.pending_flushes(), &runtime),
            queue,
            budget,
            registry,
            runtime,
            address,
            rejections,
            listening: ProcessMutex::new(Some(Listening { fd, task, socket })),
        })
    }

    /// Begins to read a connection; in a forked child, nothing. From now on the queue tells of it as
    /// `connection`, up to [`Delivery::Closed`]: a number of a
    /// [`Slab`](super::Slab), or another that is not given twice.
    pub fn start(&self, mut incoming: Incoming, connection: u64, options: &ConnectionOptions) {
        let Some((stream, permit)) = incoming.take_socket() else { return };
        let handle = incoming.handle();
        handle.configure(options);
        let ends = Ends {
            handle: permit.register(handle),
            events: EventSender::new(Arc::clone(&self.queue), connection),
        };
        self.runtime.spawn(driver::drive(stream, ends, options));
    }

    /// The queue that tells what happens.
    pub fn queue(&self) -> &EventQueue {
        &self.queue
    }

    /// The address that is listened on.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The same, of TCP; `None` where it is a socket of Unix.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Inet(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Counts of what the server has seen and done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.registry.stats();
        let (messages, bytes) = self.budget.usage();
        stats.waiting = Traffic { messages: messages as u64, bytes: bytes as u64 };
        stats
    }

    /// True if connections are accepted.
    pub fn is_listening(&self) -> bool {
        self.listening.lock().is_some_and(|listening| listening.is_some())
    }

    /// Stops accepting, and frees the address before it returns. Connections go on.
    ///
    /// Who waits to be accepted is answered with 503 if the server is being
    /// [restarted](Self::restart), and where others listen on the address who will not have him. At
    /// a socket that others have as well, he is theirs.
    pub fn stop_listening(&self) {
        let listening = self.listening.lock().and_then(|mut listening| listening.take());
        let Some(listening) = listening else { return };
        let socket = listening.socket.lock().and_then(|mut socket| socket.take());
        listening.task.abort();
        let Some(socket) = socket else { return };
        socket.close(self.registry.is_restarting(), |stream| {
            count(&self.registry.counters.rejected);
            if let Some(rejections) = &self.rejections {
                rejections.reject_now(stream);
            }
        });
    }

    /// Lets nobody in any more: opening handshakes and plain HTTP are answered with 503. Where
    /// another process may have the socket, or its address, no connection is accepted any more, so
    /// that they are that one's. Connections that are open go on.
    pub fn restart(&self) {
        self.registry.restart();
        let is_shared = self.listening.lock().is_some_and(|listening| {
            listening.as_ref().is_some_and(|listening| {
                let socket = listening.socket.lock();
                socket.is_some_and(|socket| socket.as_ref().is_some_and(ListeningSocket::is_shared))
            })
        });
        if is_shared {
            self.stop_listening();
        }
    }

    /// True while clients are being answered that they are not let in.
    pub fn is_rejecting(&self) -> bool {
        self.rejections.as_ref().is_some_and(|rejections| rejections.sending() > 0)
    }

    /// Stops accepting, aborts every connection, and returns when their sockets are closed.
    ///
    /// # Errors
    /// [`StillOpen`], where they are not for 5 s. They are closed as soon as that is possible.
    pub fn stop(&self) -> Result<(), StillOpen> {
        self.stop_listening();
        match self.queue.lock() {
            Some(mut batch) => batch.drop_accepted(),
            None => return Ok(()),
        }
        self.registry.abort_all();
        match self.registry.wait_for_none(STOP_TIMEOUT) {
            0 => Ok(()),
            connections => Err(StillOpen { connections }),
        }
    }

    /// In a forked child, after [`forked`](super::forked): lets go of the parent's server without
    /// touching what is shared with the parent.
    ///
    /// Everything is leaked, for dropping it would reach the parent's sockets through the epoll
    /// instance that both have. What is returned are the descriptors that may be closed, so that
    /// the child does not keep the parent's port and connections open.
    pub fn abandon(self) -> Vec<RawFd> {
        let mut fds = self.queue.inherited_fds();
        fds.extend(self.registry.inherited_fds());
        if let Some(listening) = self.listening.inherited() {
            fds.extend(listening.as_ref().map(|listening| listening.fd));
        }
        mem::forget(self);
        fds
    }

    /// The runtime whose threads drive the connections.
    pub fn runtime(&self) -> &runtime::Handle {
        &self.runtime
    }
}

/// State of the accepting task.
#[derive(Debug)]
struct Accept {
    socket: Arc<ProcessMutex<Listener>>,
    queue: Arc<EventQueue>,
    registry: Arc<Registry>,
    budget: Arc<InboundBudget>,
    max_connections: Option<usize>,
    /// Setting of each socket; `None` where it is the listening one's.
    set_nodelay: Option<bool>,
    /// Path of a socket of Unix.
    path: Option<Arc<PathBuf>>,
    rejections: Option<Rejections>,
}

impl Accept {
    async fn run(self) {
        loop {
            if poll_fn(|cx| self.poll_accept(cx)).await.is_err() {
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }

    /// Accepts whoever waits, and tells of all of them at once. Only errors are ever returned.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A closed socket means that the task is about to be ended.
        let Some(socket) = self.socket.lock() else { return Poll::Pending };
        let Some(listener) = &*socket else { return Poll::Pending };
        let mut batch = AcceptBatch { queue: &self.queue, must_wake: false, accepted: 0 };
        loop {
            match ready!(listener.poll_accept(cx)) {
                Ok((stream, peer)) => self.announce(stream, peer, &mut batch),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn announce(&self, stream: TcpStream, peer: Option<SocketAddr>, batch: &mut AcceptBatch<'_>) {
        if self.registry.is_restarting() {
            count(&self.registry.counters.rejected);
            return self.reject(stream, Some(&HandshakeError::Restarting));
        }
        let Some(permit) = self.registry.permit(self.max_connections) else {
            count(&self.registry.counters.rejected);
            return self.reject(stream, None);
        };
        let admission = match self.admit(peer) {
            Ok(admission) => admission,
            Err(error) => {
                self.registry.counters.turned_away(&error);
                return self.reject(stream, Some(&error));
            }
        };
        count(&self.registry.counters.accepted);
        // Without its address the connection is gone already.
        let Some(addresses) = self.addresses(&stream, peer) else { return };
        if let Some(nodelay) = self.set_nodelay {
            let _ = stream.set_nodelay(nodelay);
        }
        let handle = Handle::new(stream.as_raw_fd(), addresses, Arc::clone(&self.budget));
        if let Some(admission) = admission {
            handle.set_admission(admission);
        }
        let owner = Owner::new(&handle);
        batch.push(owner, Box::new(Incoming::new(stream, handle, permit)));
    }

    fn addresses(&self, stream: &TcpStream, peer: Option<SocketAddr>) -> Option<Addresses> {
        match (peer, &self.path) {
            (Some(peer), _) => Some(Addresses::new(peer, stream.local_addr().ok()?)),
            (None, path) => path.clone().map(Addresses::Unix),
        }
    }

    /// Counts a connection among its client's, where that has limits, and is known already.
    fn admit(&self, peer: Option<SocketAddr>) -> Result<Option<Admission>, HandshakeError> {
        let Some(clients) = &self.registry.clients else { return Ok(None) };
        match clients.direct(peer.map(|peer| peer.ip())) {
            Some(address) => clients.admit(address, Instant::now()),
            None => Ok(None),
        }
    }

    /// Rejects one past the limit: of all connections, or that of the error.
    fn reject(&self, stream: TcpStream, error: Option<&HandshakeError>) {
        if let Some(rejections) = &self.rejections {
            rejections.reject(stream, error);
        }
    }
}

/// Queues accepted connections, and wakes the queue's owner once for up to
/// [`MAX_ACCEPTS_PER_WAKE`] of them.
struct AcceptBatch<'a> {
    queue: &'a EventQueue,
    /// True while the queue's owner is still to be woken.
    must_wake: bool,
    accepted: usize,
}

/// Number of connections that are accepted for one wake-up at most: the first of them waits for the
/// last.
const MAX_ACCEPTS_PER_WAKE: usize = 16;

impl AcceptBatch<'_> {
    fn push(&mut self, owner: Owner, incoming: Box<Incoming>) {
        if let Some(mut batch) = self.queue.lock() {
            batch.push(0, Delivery::Accepted(owner, incoming));
            self.must_wake |= batch.unlock_quietly();
        }
        self.accepted += 1;
        if self.accepted % MAX_ACCEPTS_PER_WAKE == 0 {
            self.wake();
        }
    }

    fn wake(&mut self) {
        if mem::take(&mut self.must_wake) {
            self.queue.wake();
        }
    }
}

impl Drop for AcceptBatch<'_> {
    fn drop(&mut self) {
        self.wake();
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::server::Batch;

    #[test]
    fn nagles_algorithm_is_off_unless_it_is_asked_for() {
        for tcp_nodelay in [true, false] {
            let options = ServerOptions { tcp_nodelay, ..ServerOptions::default() };
            let server = Server::bind("127.0.0.1", 0, options).unwrap();
            let _client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
            let mut batch = Batch::default();
            while batch.is_empty() {
                std::thread::yield_now();
                server.queue().take(&mut batch);
            }
            let Some(Delivery::Accepted(_, mut incoming)) =
                batch.pop().map(|record| record.delivery)
            else {
                panic!("nothing was accepted");
            };
            let (stream, _permit) = incoming.take_socket().unwrap();
            assert_eq!(stream.nodelay().unwrap(), tcp_nodelay);
            drop(incoming);
            server.stop().unwrap();
        }
    }
}
