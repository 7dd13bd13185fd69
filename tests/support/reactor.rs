//! A reactor: the thread that owns a server's queue, as Ruby's does. It waits on the wakeup's file
//! descriptor, does what an owner must with each delivery, echoes, and tells what it saw.

// Every test binary takes its part.
#![allow(dead_code)]

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc, Arc, Mutex, MutexGuard, PoisonError,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use em_websocket::{
    protocol::close::CloseInfo,
    server::{
        Batch, ConnectionOptions, Delivery, Flush, Handle, Incoming, MessageKind, NonWebSocket,
        Opened, Owner, Record, Sent, Server, ServerOptions,
    },
};
use mio::{unix::SourceFd, Events, Interest, Poll, Token};

/// Nothing here takes longer, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A delivery that owns what it tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Accepted,
    Secured,
    Asked,
    Plain(NonWebSocket),
    /// Method, path and body.
    Http(String, String, Vec<u8>),
    /// With the version.
    Open(u16),
    Rejected(String),
    Message(MessageKind, Vec<u8>),
    Close(Option<u16>, Vec<u8>),
    Error(String),
    Bytes(Vec<u8>),
    Drained,
    Closed(CloseInfo),
}

/// Settings that a test wants otherwise than usual.
pub(crate) struct Setup {
    pub(crate) host: &'static str,
    pub(crate) options: ConnectionOptions,
    pub(crate) server: ServerOptions,
    /// Called for what the application would be told of, before it is told on.
    pub(crate) act: Act,
    /// Takes what was accepted, instead of its being started.
    pub(crate) accept: Option<mpsc::Sender<Box<Incoming>>>,
}

pub(crate) type Act = Box<dyn FnMut(&Handle, &Seen) -> Option<Sent> + Send>;

impl Default for Setup {
    fn default() -> Self {
        Self {
            host: "127.0.0.1",
            options: ConnectionOptions::default(),
            server: ServerOptions::default(),
            act: Box::new(echo),
            accept: None,
        }
    }
}

/// Sends every message back, to leave with the others of its batch.
pub(crate) fn echo(handle: &Handle, seen: &Seen) -> Option<Sent> {
    let sent = match seen {
        Seen::Message(MessageKind::Text, text) => handle.send_text(text, Flush::Later),
        Seen::Message(MessageKind::Binary, bytes) => handle.send_binary(bytes, Flush::Later),
        Seen::Bytes(bytes) => Ok(handle.send_raw(bytes, Flush::Later)),
        _ => return None,
    };
    sent.ok()
}

/// Only looks.
pub(crate) fn ignore(_: &Handle, _: &Seen) -> Option<Sent> {
    None
}

pub(crate) struct Reactor {
    server: Arc<Server>,
    shared: Arc<Shared>,
    seen: mpsc::Receiver<(u32, Seen)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Held while deliveries are made.
    gate: Mutex<()>,
    connections: Mutex<HashMap<u32, Connection>>,
}

/// A connection, until the reactor has let go of it.
#[derive(Clone)]
struct Connection {
    handle: Handle,
    /// Taken by the reactor at the connection's end.
    owner: Arc<Mutex<Option<Owner>>>,
}

impl Connection {
    /// Does what only the owner may, if it is not closed.
    fn as_owner<R>(&self, act: impl FnOnce(&Owner) -> R) -> Option<R> {
        lock(&self.owner).as_ref().map(act)
    }
}

impl Reactor {
    pub(crate) fn echo() -> Self {
        Self::start(Setup::default())
    }

    pub(crate) fn with_options(options: ConnectionOptions) -> Self {
        Self::start(Setup { options, ..Setup::default() })
    }

    pub(crate) fn start(setup: Setup) -> Self {
        let server = Server::bind(setup.host, 0, setup.server.clone()).expect("a free port");
        let server = Arc::new(server);
        let shared = Arc::<Shared>::default();
        let (tell, seen) = mpsc::channel();
        let owner = QueueOwner {
            server: Arc::clone(&server),
            shared: Arc::clone(&shared),
            setup,
            tell,
            batch: Batch::default(),
            connections: HashMap::new(),
            corked: Vec::new(),
            next: 0,
        };
        let (ready, is_ready) = mpsc::channel();
        let thread = Some(thread::spawn(move || owner.run(&ready)));
        is_ready.recv().expect("the reactor runs");
        Self { server, shared, seen, thread }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addr().expect("it is one of TCP")
    }

    /// Acts on a connection, by its number: they are counted from 0.
    pub(crate) fn handle(&self, connection: u32) -> Handle {
        lock(&self.shared.connections)[&connection].handle.clone()
    }

    /// Does with a connection what only its owner may; `None` once it is closed.
    pub(crate) fn as_owner<R>(&self, connection: u32, act: impl FnOnce(&Owner) -> R) -> Option<R> {
        let connection = lock(&self.shared.connections).get(&connection).cloned();
        connection?.as_owner(act)
    }

    /// Nothing is delivered until what is returned is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.gate)
    }

    /// Event that happened next, on any connection.
    #[track_caller]
    pub(crate) fn next(&self) -> (u32, Seen) {
        self.seen.recv_timeout(PATIENCE).expect("something happens")
    }

    /// Waits until it happens; what happens before is forgotten.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> (u32, Seen) {
        loop {
            let next = self.next();
            if wanted(&next.1) {
                return next;
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_for_open(&self) -> Handle {
        let (connection, _) = self.wait_for(|seen| matches!(seen, Seen::Open(_)));
        self.handle(connection)
    }

    #[track_caller]
    pub(crate) fn wait_for_closed(&self) -> CloseInfo {
        match self.wait_for(|seen| matches!(seen, Seen::Closed(_))) {
            (_, Seen::Closed(info)) => info,
            _ => unreachable!("only that is waited for"),
        }
    }

    /// All that happened on a connection, up to its end, in order.
    #[track_caller]
    pub(crate) fn story(&self, connection: u32) -> Vec<Seen> {
        let mut story = Vec::new();
        while !matches!(story.last(), Some(Seen::Closed(_))) {
            let (whose, seen) = self.next();
            if whose == connection {
                story.push(seen);
            }
        }
        story
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let stopped = self.server.stop();
        self.shared.over.store(true, SeqCst);
        self.server.queue().wake();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            stopped.expect("every connection is closed");
            assert!(matches!(ended, Some(Ok(()))), "the reactor panicked");
        }
    }
}

struct QueueOwner {
    server: Arc<Server>,
    shared: Arc<Shared>,
    setup: Setup,
    tell: mpsc::Sender<(u32, Seen)>,
    batch: Batch,
    connections: HashMap<u32, Connection>,
    corked: Vec<Handle>,
    next: u32,
}

impl QueueOwner {
    fn run(mut self, ready: &mpsc::Sender<()>) {
        let mut poll = Poll::new().expect("a reactor");
        let mut events = Events::with_capacity(1);
        let fd = self.server.queue().as_raw_fd();
        let registered = poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE);
        registered.expect("a file descriptor");
        let shared = Arc::clone(&self.shared);
        ready.send(()).expect("the test waits for it");
        loop {
            if let Err(error) = poll.poll(&mut events, None) {
                assert_eq!(error.kind(), ErrorKind::Interrupted);
            }
            let _gate = lock(&shared.gate);
            self.turn();
            // Not before: a turn forgets that it was woken, and by whom.
            if shared.over.load(SeqCst) {
                return;
            }
        }
    }

    fn turn(&mut self) {
        self.server.queue().take(&mut self.batch);
        while let Some(record) = self.batch.pop() {
            self.deliver(record);
        }
        for handle in self.corked.drain(..) {
            handle.flush();
        }
    }

    fn deliver(&mut self, record: Record) {
        let Record { connection, delivery } = record;
        let connection = connection as u32;
        if let Delivery::Accepted(owner, incoming) = delivery {
            self.accept(owner, incoming);
            return;
        }
        // Those that a test has started itself are its own.
        let Some(own) = self.connections.get(&connection).cloned() else { return };
        let handle = own.handle.clone();
        match delivery {
            Delivery::Accepted(..) => {}
            Delivery::TlsEstablished => {
                self.tell(connection, &handle, Seen::Secured);
                own.as_owner(Owner::secured);
            }
            Delivery::Open(opened) => self.open(connection, &own, &opened),
            Delivery::NonWebSocket(plain) => self.tell(connection, &handle, Seen::Plain(plain)),
            Delivery::Http(http) => {
                // Whoever is asked answers by hand.
                own.as_owner(Owner::asked);
                let (method, path) = (http.request.method().into(), http.request.path().into());
                self.tell(connection, &handle, Seen::Http(method, path, http.body));
            }
            Delivery::Rejected(refused) => {
                self.tell(connection, &handle, Seen::Rejected(refused.error.to_string()));
                own.as_owner(|owner| owner.reject(refused.response.as_deref()));
            }
            Delivery::Message(kind, span) => {
                let bytes = self.batch.bytes(span).to_vec();
                self.message(connection, &handle, kind, bytes);
            }
            Delivery::Close(code, span) => {
                let body = self.batch.bytes(span).to_vec();
                own.as_owner(|owner| owner.peer_closed(code, &body));
                self.tell(connection, &handle, Seen::Close(code.map(|code| code.0), body));
            }
            Delivery::Error(error) => {
                let _failing = own.as_owner(|owner| owner.fail(&error));
                self.tell(connection, &handle, Seen::Error(error.to_string()));
            }
            Delivery::Bytes(span) => {
                self.tell(connection, &handle, Seen::Bytes(self.batch.bytes(span).to_vec()));
            }
            Delivery::Drained => self.tell(connection, &handle, Seen::Drained),
            Delivery::Closed => {
                let owner = lock(&own.owner).take();
                let info = owner.expect("it is closed once").closed();
                self.connections.remove(&connection);
                lock(&self.shared.connections).remove(&connection);
                self.tell(connection, &handle, Seen::Closed(info));
            }
        }
    }

    fn open(&mut self, connection: u32, own: &Connection, opened: &Opened) {
        if opened.response.is_some() {
            // Whoever is asked answers by hand.
            own.as_owner(Owner::asked);
            return self.tell(connection, &own.handle, Seen::Asked);
        }
        let _opening = own.as_owner(|owner| owner.open(opened.profile));
        self.tell(connection, &own.handle, Seen::Open(opened.profile.version));
    }

    fn accept(&mut self, owner: Owner, incoming: Box<Incoming>) {
        let connection = self.next;
        self.next += 1;
        let handle = incoming.handle().clone();
        let own = Connection { handle: handle.clone(), owner: Arc::new(Mutex::new(Some(owner))) };
        lock(&self.shared.connections).insert(connection, own.clone());
        self.tell(connection, &handle, Seen::Accepted);
        if let Some(accept) = &self.setup.accept {
            accept.send(incoming).expect("somebody takes it");
            return;
        }
        self.connections.insert(connection, own);
        self.server.start(*incoming, connection.into(), &self.setup.options);
    }

    fn message(&mut self, connection: u32, handle: &Handle, kind: MessageKind, bytes: Vec<u8>) {
        self.tell(connection, handle, Seen::Message(kind, bytes));
    }

    fn tell(&mut self, connection: u32, handle: &Handle, seen: Seen) {
        if let Some(Sent::Unflushed(_)) = (self.setup.act)(handle, &seen) {
            self.corked.push(handle.clone());
        }
        // Nobody may be listening any more.
        let _ = self.tell.send((connection, seen));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
