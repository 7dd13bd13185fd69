//! Server: it listens, accepts, starts connections, and stops.

use std::{
    future::poll_fn,
    io, mem,
    net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs},
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    task::{ready, Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::net::{self, sockopt::set_tcp_nodelay};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
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
    locks::{Guarded, LockRank},
    owner::Owner,
    pending_flushes::Ticker,
    process::ProcessMutex,
    registry::Registry,
    runtime as threads,
    stats::{count, Stats, Traffic},
};
use crate::protocol::{error::HandshakeError, handshake::unavailable};

/// Time for which accepting rests where the system has no file descriptor or memory left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Time for which a stop waits for drivers. They are told to abort, so it takes microseconds;
/// the limit only keeps a defect from hanging the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason for which no server could be started.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The system has no threads or file descriptors left.
    #[error("cannot start the server's threads: {0}")]
    Threads(io::Error),
}

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
    local: SocketAddr,
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
type Listener = Option<TcpListener>;

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
        let failed = |source| BindError::Address { address: format!("{host}:{port}"), source };
        let listener = listen(host, port).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        if INHERITS_NODELAY {
            // Frames are written whole, so there is little for Nagle's algorithm to gather.
            let _ = set_tcp_nodelay(&listener, options.tcp_nodelay);
        }
        let queue = Arc::new(EventQueue::new().map_err(BindError::Threads)?);
        let (runtime, compression) =
            threads::handle(options.threads).map_err(BindError::Threads)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(failed)?
        };
        let fd = listener.as_raw_fd();
        let socket = Arc::new(ProcessMutex::new(Some(listener)));
        let accept = Accept {
            socket: Arc::clone(&socket),
            queue: Arc::clone(&queue),
            registry: Arc::new(Registry::new(
                ReadBuffers::new(options.read_size),
                compression,
                Clients::new(options.clients),
            )),
            runtime: runtime.clone(),
            budget: Arc::new(InboundBudget::new(options.queue)),
            max_connections: options.max_connections,
            tcp_nodelay: options.tcp_nodelay,
            reject: options.rejection.map(|response| Reject {
                response,
                permits: Arc::new(Semaphore::new(MAX_REJECTIONS)),
            }),
        };
        let registry = Arc::clone(&accept.registry);
        let budget = Arc::clone(&accept.budget);
        let task = runtime.spawn(accept.run());
        Ok(Self {
            _ticker: Ticker::of(queue.pending_flushes(), &runtime),
            queue,
            budget,
            registry,
            runtime,
            local,
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
    pub fn local_addr(&self) -> SocketAddr {
        self.local
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

    /// Stops accepting, and frees the port before it returns. Connections go on.
    pub fn stop_listening(&self) {
        let listening = self.listening.lock().and_then(|mut listening| listening.take());
        let Some(listening) = listening else { return };
        drop(listening.socket.lock().and_then(|mut socket| socket.take()));
        listening.task.abort();
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

/// Listens on the first of the host's addresses that can be listened on. As many connections may
/// wait to be accepted as the system allows, where the standard library has 128: one reconnect of
/// many clients is more, and what finds no room tries again after a second, then after three.
fn listen(host: &str, port: u16) -> io::Result<StdListener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let listener = StdListener::bind(&addresses[..])?;
    // Of a socket that listens already it changes only that. More than it allows, the system cuts
    // down to it; where it did not, there would be the 128 that there are.
    let _ = net::listen(&listener, i32::MAX);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Rejection of connections past the limit.
#[derive(Debug)]
struct Reject {
    response: Bytes,
    permits: Arc<Semaphore>,
}

/// At most this many rejections are sent at a time; further connections are closed unanswered.
const MAX_REJECTIONS: usize = 64;

/// Limits on one rejection: its time, and the bytes that are read of what the client sends meanwhile,
/// for closing while it sends would reset the connection before it has read the response.
const REJECT_TIMEOUT: Duration = Duration::from_secs(2);
const REJECT_READ_LIMIT: usize = 64 * 1024;

async fn send_rejection(mut stream: TcpStream, response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await?;
    let mut received = 0;
    let mut bytes = [0; 1024];
    while received < REJECT_READ_LIMIT {
        match stream.read(&mut bytes).await? {
            0 => break,
            len => received += len,
        }
    }
    Ok(())
}

/// State of the accepting task.
#[derive(Debug)]
struct Accept {
    socket: Arc<ProcessMutex<Listener>>,
    queue: Arc<EventQueue>,
    registry: Arc<Registry>,
    runtime: runtime::Handle,
    budget: Arc<InboundBudget>,
    max_connections: Option<usize>,
    tcp_nodelay: bool,
    reject: Option<Reject>,
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

    fn announce(&self, stream: TcpStream, peer: SocketAddr, batch: &mut AcceptBatch<'_>) {
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
        let Ok(local) = stream.local_addr() else {
            return;
        };
        if !INHERITS_NODELAY {
            let _ = stream.set_nodelay(self.tcp_nodelay);
        }
        let handle = Handle::new(stream.as_raw_fd(), peer, local, Arc::clone(&self.budget));
        if let Some(admission) = admission {
            handle.set_admission(admission);
        }
        let owner = Owner::new(&handle);
        batch.push(owner, Box::new(Incoming::new(stream, handle, permit)));
    }

    /// Counts a connection among its client's, where that has limits, and is known already.
    fn admit(&self, peer: SocketAddr) -> Result<Option<Admission>, HandshakeError> {
        match &self.registry.clients {
            Some(clients) if clients.is_direct(peer.ip()) => {
                clients.admit(peer.ip(), Instant::now())
            }
            _ => Ok(None),
        }
    }

    /// Rejects one past the limit, if only few are being rejected already: of all connections, or
    /// that of the error.
    fn reject(&self, stream: TcpStream, error: Option<&HandshakeError>) {
        let Some(Reject { response, permits }) = &self.reject else { return };
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return };
        let response = error.map_or_else(|| response.clone(), |error| unavailable(error).into());
        self.runtime.spawn(async move {
            let _ = timeout(REJECT_TIMEOUT, send_rejection(stream, &response)).await;
            drop(permit);
        });
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

/// True if an accepted socket has the options of the one that listens: it is a copy of it.
const INHERITS_NODELAY: bool = cfg!(all(target_os = "linux", not(feature = "portable")));

/// True if accepting failed for one client only (accept(2): it is gone before it was accepted).
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
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
            let _client = std::net::TcpStream::connect(server.local_addr()).unwrap();
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

    #[test]
    fn the_listener_lets_as_many_clients_wait_as_come_at_once() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let allowed = allowed.map_or(128, |text| text.trim().parse().unwrap());
        let listener = super::listen("localhost", 0).unwrap();
        let addr = listener.local_addr().unwrap();
        // Nobody accepts. What finds no room is not refused, but left to try again.
        let clients: Vec<_> = (0..allowed.min(400))
            .map(|_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(900)))
            .collect();
        let count = clients.iter().filter(|client| client.is_ok()).count();
        assert_eq!(count, clients.len());
    }
}
