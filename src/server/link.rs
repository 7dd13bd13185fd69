//! What the handles and the driver of one connection share.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::RawFd,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    addresses::Addresses,
    backlog::Backlog,
    config::ConnectionOptions,
    deferred::{Deferred, Piece},
    hold,
    locks::{lock, Guard, Guarded, Place},
    outbound::Outbound,
    runtime,
    stats::Traffic,
    stream::Socket,
    sync::{
        atomic::{
            AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        AtomicWaker, Mutex, MutexGuard,
    },
    tls::TlsSession,
};
use crate::protocol::{Connection, Limits, Progress};

/// What the handles and the driver of one connection share.
// Here and in the link the fields stand in this order: what every send looks at comes first, and
// fills three lines of the cache. A broadcast goes through as many of these as there are
// connections.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shared {
    waiting_messages: AtomicU32,
    /// Whether anything in the link wants the driver, which does not lock it otherwise.
    pub(crate) attention: AtomicBool,
    /// The reasons for not reading, and how the opening stands, as bits of [`hold`]: set before
    /// anybody can take them away (`Ends::ask`), and taken away after orders have been given. So a
    /// driver looks at these first, at its orders next, and reads last. (`driver/models/reading.rs`
    /// tries it.)
    pub(crate) hold: AtomicU16,
    link: Mutex<Link>,
    /// Wakes the driver.
    waker: AtomicWaker,
    waiting_bytes: AtomicUsize,
    /// What was received; the driver alone counts it.
    received_bytes: AtomicU64,
    received_messages: AtomicU64,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) addresses: Addresses,
}

/// The part of it that needs a lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Link {
    pub(crate) end: Progress,
    /// The socket takes no more at present; the driver goes on when it does.
    pub(crate) blocked: bool,
    /// A write failed: what is sent is dropped, until reading shows the end.
    pub(crate) broken: bool,
    /// The owner of the queue has seen the end.
    pub(crate) released: bool,
    pub(crate) limits_changed: bool,
    require_masked: bool,
    /// The limit has been passed, and the connection aborted for it.
    pub(crate) overrun: bool,
    pub(crate) is_high: bool,
    /// What waits before `out`, on a connection that compresses.
    pub(crate) deferred: Option<Box<Deferred>>,
    rare: Option<Box<Rare>>,
    /// How many bytes may wait.
    pub(crate) outbound_limit: usize,
    /// What the application has sent.
    pub(crate) sent: Traffic,
    /// Bytes that wait to be written. Whoever leaves some here, or in `deferred`, sees to it that
    /// they are: by `Handle::push_out`, which wakes the driver for what the socket does not take,
    /// or by answering `Sent::Corked`, whose receiver owes a `Handle::flush`.
    /// (`driver/models/writing.rs` tries it.)
    pub(crate) out: Outbound,
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    frame_limit: usize,
    message_limit: usize,
}

/// What few connections have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Longest time in which nothing may be read nor written.
    pub(crate) inactivity: Option<Duration>,
    /// Number of times that something was sent since that was first limited.
    pub(crate) sends: u32,
    /// Past so many waiting bytes the application wants to know when they are down to half of it;
    /// 0: it does not.
    pub(crate) high_water: usize,
    /// A ping that is not answered yet.
    pub(crate) late_pong: Option<Vec<u8>>,
    /// What TLS has agreed on.
    pub(crate) tls: Option<TlsSession>,
}

impl Shared {
    /// Of a connection that has just been accepted.
    pub(crate) fn new(
        fd: RawFd,
        peer: SocketAddr,
        local: SocketAddr,
        backlog: Arc<Backlog>,
    ) -> Self {
        let options = ConnectionOptions::default();
        Self {
            link: Mutex::new(Link {
                connection: Connection::new(options.close_timeout),
                out: Outbound::default(),
                deferred: None,
                frame_limit: options.limits.frame,
                message_limit: options.limits.message,
                require_masked: options.limits.require_masked,
                limits_changed: false,
                end: Progress::Stay,
                socket: Socket::Elsewhere(fd),
                blocked: false,
                broken: false,
                released: false,
                rare: None,
                outbound_limit: usize::MAX,
                overrun: false,
                is_high: false,
                sent: Traffic::default(),
            }),
            waker: AtomicWaker::new(),
            attention: AtomicBool::new(true),
            hold: AtomicU16::new(0),
            waiting_bytes: AtomicUsize::new(0),
            waiting_messages: AtomicU32::new(0),
            received_bytes: AtomicU64::new(0),
            received_messages: AtomicU64::new(0),
            backlog,
            addresses: Addresses::new(peer, local),
        }
    }

    /// The link, for whoever holds a handle; `None` in a forked child, where it may be locked for
    /// ever. There is no other way to it, nor to the driver.
    pub(crate) fn link(&self) -> Option<Guard<'_, Link>> {
        (!self.is_foreign()).then(|| lock(&self.link))
    }

    /// For the driver, which no forked child has: the link.
    pub(crate) fn driver_link(&self) -> Guard<'_, Link> {
        lock(&self.link)
    }

    /// In a forked child: the link, if no thread held it at the fork.
    pub(crate) fn inherited_link(&self) -> Option<MutexGuard<'_, Link>> {
        self.link.try_lock().ok()
    }

    /// True if the connection is the parent's, and this process a forked child.
    pub(crate) fn is_foreign(&self) -> bool {
        self.backlog.generation != runtime::generation()
    }

    /// Something in the link wants the driver.
    pub(crate) fn attend(&self) {
        self.attention.store(true, SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if !self.is_foreign() {
            self.waker.wake();
        }
    }

    /// For the driver: whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Counts what has been queued for the application. Past the limits, the connection is not read
    /// any more.
    pub(super) fn queued(&self, bytes: usize, messages: usize) {
        let limits = &self.backlog.limits;
        let bytes = self.waiting_bytes.fetch_add(bytes, SeqCst) + bytes;
        let messages = self.waiting_messages.fetch_add(messages as u32, SeqCst) as usize + messages;
        if bytes >= limits.bytes || messages >= limits.messages {
            self.hold.fetch_or(hold::FULL, SeqCst);
            // It may all have been delivered between the count and the hold.
            self.resume();
        }
    }

    /// The application has been told so much. A connection that was not read because too much
    /// waited is read again once half is gone.
    pub(super) fn delivered(&self, bytes: usize, messages: usize) {
        self.waiting_bytes.fetch_sub(bytes, SeqCst);
        self.waiting_messages.fetch_sub(messages as u32, SeqCst);
        if self.hold.load(SeqCst) & hold::FULL != 0 {
            self.resume();
        }
    }

    /// Goes on reading, if too much waits no longer.
    fn resume(&self) {
        if self.is_low() {
            self.let_go(hold::FULL);
        }
    }

    /// How many bytes more may wait for the application.
    pub(crate) fn room(&self) -> usize {
        let own = self.backlog.limits.bytes.saturating_sub(self.waiting_bytes.load(SeqCst));
        own.min(self.backlog.room())
    }

    fn is_low(&self) -> bool {
        let limits = &self.backlog.limits;
        self.waiting_bytes.load(SeqCst) <= limits.bytes / 2
            && self.waiting_messages.load(SeqCst) as usize <= limits.messages / 2
    }

    /// For the driver: so much has been received.
    pub(crate) fn count_received(&self, more: Traffic) {
        // Nobody else writes.
        let mut received = self.received();
        received += more;
        self.received_messages.store(received.messages, Relaxed);
        self.received_bytes.store(received.bytes, Relaxed);
    }

    /// What has been received.
    pub(crate) fn received(&self) -> Traffic {
        Traffic {
            messages: self.received_messages.load(Relaxed),
            bytes: self.received_bytes.load(Relaxed),
        }
    }

    /// True while something that was received has not been told to the application.
    pub(crate) fn is_queued(&self) -> bool {
        self.waiting_messages.load(SeqCst) > 0
    }

    /// What waits for the application.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn waiting(&self) -> Traffic {
        Traffic {
            messages: self.waiting_messages.load(SeqCst).into(),
            bytes: self.waiting_bytes.load(SeqCst) as u64,
        }
    }

    pub(crate) fn let_go(&self, reason: u16) {
        if self.hold.fetch_and(!reason, SeqCst) & reason != 0 {
            self.wake();
        }
    }
}

impl Guarded for Link {
    const PLACE: Place = Place::Link;
}

impl Link {
    /// The application sends a message.
    pub(crate) fn count_sent(&mut self, len: usize) {
        if !self.is_gone() {
            self.sent += Traffic { messages: 1, bytes: len as u64 };
        }
    }

    /// What few connections have, for one that has.
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What few connections have, where it is there.
    pub(crate) fn known_rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// What the peer may not exceed.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            frame: self.frame_limit,
            message: self.message_limit,
            require_masked: self.require_masked,
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.frame_limit = limits.frame;
        self.message_limit = limits.message;
        self.require_masked = limits.require_masked;
    }

    fn high_water(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.high_water)
    }

    /// More waits than before.
    pub(crate) fn note_high(&mut self) {
        let high_water = self.high_water();
        self.is_high |= high_water > 0 && self.waiting_len() > high_water;
    }

    /// Whether what was too much is down to half; it is said once.
    pub(crate) fn has_drained(&mut self) -> bool {
        let has_drained = self.is_high && self.waiting_len() <= self.high_water() / 2;
        self.is_high &= !has_drained;
        has_drained
    }

    /// Something is sent.
    pub(crate) fn touch(&mut self) {
        if let Some(rare @ Rare { inactivity: Some(_), .. }) = self.rare.as_deref_mut() {
            rare.sends = rare.sends.wrapping_add(1);
        }
    }

    /// Longest time in which nothing may be read nor written.
    pub(crate) fn inactivity(&self) -> Option<Duration> {
        self.rare.as_ref()?.inactivity
    }

    /// Whether what is sent can reach nobody any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.broken || self.released || self.end == Progress::Abort
    }

    /// Number of bytes that wait to be written: what is held for them.
    pub(crate) fn waiting_len(&self) -> usize {
        let deferred = self.deferred.as_ref().map_or(0, |deferred| deferred.held());
        let encrypted = match &self.socket {
            Socket::Here(writer) => writer.ahead(),
            Socket::Elsewhere(_) | Socket::Gone => 0,
        };
        self.out.held() + deferred + encrypted
    }

    /// Adds what waits to be written. What others wait for, too, counts once: the ends of such bytes
    /// in memory, and how many there are, are put into `shared`.
    pub(crate) fn count_outbound(&self, shared: &mut HashMap<usize, usize>) -> usize {
        let mut own = self.waiting_len();
        let deferred = self.deferred.iter().flat_map(|deferred| deferred.shared());
        for bytes in self.out.pieces().chain(deferred) {
            let (end, len) = (bytes.as_ptr_range().end as usize, bytes.len());
            let known = shared.entry(end).or_default();
            *known = len.max(*known);
            own = own.saturating_sub(len);
        }
        own
    }

    /// Whether a message of this length is left to the driver, to compress it or to keep its place.
    pub(crate) fn compresses(&self, len: usize) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| deferred.wants(len))
    }

    /// Whether what is sent now has to wait for what is being compressed.
    pub(crate) fn is_deferring(&self) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| deferred.is_waiting())
    }

    /// Lets the connection add to what is sent.
    pub(crate) fn append(
        &mut self,
        append: impl FnOnce(&mut Connection, &mut Vec<u8>) -> Progress,
    ) -> Progress {
        let connection = &mut self.connection;
        match &mut self.deferred {
            Some(deferred) if deferred.is_waiting() => {
                let mut bytes = Vec::new();
                let progress = append(connection, &mut bytes);
                deferred.push(Piece::Bytes(Bytes::from(bytes)));
                progress
            }
            _ => self.out.append(|out| append(connection, out)),
        }
    }

    /// Writes what waits; `false` where the driver must see to the rest.
    pub(crate) fn write_directly(&mut self) -> bool {
        if self.is_deferring() {
            return false;
        }
        if self.blocked || self.out.is_empty() && !self.has_records() {
            return true;
        }
        if self.socket.writer().is_none() {
            return false;
        }
        match self.flush_once() {
            Ok(true) => true,
            Ok(false) => {
                self.blocked = true;
                false
            }
            Err(_) => {
                self.broken = true;
                self.out.clear();
                true
            }
        }
    }

    /// Whether a pong waits until everything is written.
    pub(crate) fn has_late_pong(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.late_pong.is_some())
    }

    /// Writes what waits, without waiting: whether nothing is left.
    pub(crate) fn flush_once(&mut self) -> io::Result<bool> {
        let ends = self.end == Progress::CloseAfterWriting
            && !self.has_late_pong()
            && !self.is_deferring();
        let Self { socket, out, .. } = self;
        socket.writer().map_or(Ok(false), |writer| writer.flush(out, ends))
    }

    /// For the driver: writes a turn's worth: whether everything is written. Where it is not, the task is woken once
    /// the socket takes more, or others have had their turn.
    pub(crate) fn flush_turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut is_begun = false;
        loop {
            let Link { socket, out, .. } = &mut *self;
            let Some(writer) = socket.writer() else { return Ok(true) };
            if out.is_empty() && !writer.has_records() {
                return Ok(true);
            }
            match writer.poll_ready(cx)? {
                Poll::Pending => return Ok(false),
                // It takes what it is given.
                Poll::Ready(()) if is_begun => {
                    cx.waker().wake_by_ref();
                    return Ok(false);
                }
                Poll::Ready(()) => {}
            }
            if self.flush_once()? {
                return Ok(true);
            }
            is_begun = true;
        }
    }

    /// Whether TLS has taken what the socket has not.
    pub(crate) fn has_records(&self) -> bool {
        matches!(&self.socket, Socket::Here(writer) if writer.has_records())
    }

    /// How many bytes the socket has taken of what TLS had taken before.
    pub(crate) fn taken(&self) -> u64 {
        match &self.socket {
            Socket::Here(writer) => writer.taken(),
            Socket::Elsewhere(_) | Socket::Gone => 0,
        }
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    pub(crate) fn write_parts(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        self.socket.writer().map_or(Ok(0), |writer| writer.write_parts(parts))
    }

    /// For the driver: everything is written, so a pong that waited for it may go.
    pub(crate) fn take_late_pong(&mut self) {
        if let Some(ping) = self.rare.as_mut().and_then(|rare| rare.late_pong.take()) {
            if let Ok(Some(parts)) = self.connection.answer(ping.len()) {
                self.out.extend_parts(&[parts.head(), &ping], 0);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", not(feature = "loom")))]
#[test]
fn what_every_connection_has_is_small() {
    // With what an Arc and the allocator add, and what tokio keeps for the socket, this is four
    // times the 128 bytes that tokio aligns to. A byte more, and each connection begins 128 bytes
    // further on.
    assert!(size_of::<Shared>() <= 216);
}
