//! What the handles and the driver of one connection share.

use std::{
    io::{self, IoSlice},
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    backlog::Backlog,
    config::{ConnectionOptions, QueueLimits},
    deferred::{Deferred, Piece},
    outbound::Outbound,
    runtime,
    stats::Traffic,
    stream::Writer,
    sync::{
        atomic::{
            AtomicBool, AtomicU64, AtomicU8, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        AtomicWaker, Mutex, OwnedWriteHalf,
    },
    tls::TlsSession,
};
use crate::protocol::{Connection, Limits, Progress};

/// Why a connection is not read.
pub(crate) mod hold {
    /// The application has not seen `onopen` return.
    pub(crate) const OPENING: u8 = 1;
    /// The application paused it.
    pub(crate) const PAUSED: u8 = 2;
    /// Too much waits for the application already.
    pub(crate) const FULL: u8 = 4;
    /// The application has not agreed to the peer's certificate.
    pub(crate) const SECURING: u8 = 8;
}
/// What the handles and the driver of one connection share.
// Here and in the link the fields stand in this order: what every send looks at comes first, and
// fills three lines of the cache. A broadcast goes through as many of these as there are
// connections.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) generation: u32,
    /// Whether anything in the link wants the driver, which does not lock it otherwise.
    pub(crate) attention: AtomicBool,
    /// The reasons for not reading, as bits of [`hold`].
    pub(crate) hold: AtomicU8,
    pub(crate) link: Mutex<Link>,
    /// Wakes the driver.
    pub(crate) waker: AtomicWaker,
    pub(crate) waiting_bytes: AtomicUsize,
    pub(crate) waiting_messages: AtomicUsize,
    /// What was received; the driver alone counts it.
    received_bytes: AtomicU64,
    received_messages: AtomicU64,
    pub(crate) queue_limits: QueueLimits,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) peer: Address,
    pub(crate) local: Address,
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
    /// The limit has been passed, and the connection aborted for it.
    pub(crate) overrun: bool,
    pub(crate) is_high: bool,
    /// What waits before `out`, on a connection that compresses.
    pub(crate) deferred: Option<Box<Deferred>>,
    /// How long nothing may be read nor written, and since when nothing was.
    pub(crate) inactivity: Option<Box<(Duration, Instant)>>,
    /// How many bytes may wait.
    pub(crate) outbound_limit: usize,
    /// Past so many waiting bytes the application wants to know when they are down to half of it;
    /// 0: it does not.
    pub(crate) high_water: usize,
    /// What the application has sent.
    pub(crate) sent: Traffic,
    pub(crate) out: Outbound,
    pub(crate) connection: Connection,
    /// What is written to; with TLS, once that is established.
    pub(crate) socket: Option<Writer>,
    /// The socket's number, while it is open.
    pub(crate) fd: Option<RawFd>,
    pub(crate) limits: Limits,
    pub(crate) late_pong: Option<Box<[u8]>>,
    /// What TLS has agreed on.
    pub(crate) tls: Option<Box<TlsSession>>,
}

/// A socket's address, in the room that most of them need.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(Box::new(address)),
        }
    }
}

impl From<&Address> for SocketAddr {
    fn from(address: &Address) -> Self {
        match address {
            Address::V4(address) => Self::V4(*address),
            Address::V6(address) => Self::V6(**address),
        }
    }
}

impl Shared {
    /// Of a connection that has just been accepted.
    pub(crate) fn new(
        fd: RawFd,
        peer: SocketAddr,
        local: SocketAddr,
        queue_limits: QueueLimits,
        backlog: Arc<Backlog>,
    ) -> Self {
        let options = ConnectionOptions::default();
        Self {
            link: Mutex::new(Link {
                connection: Connection::new(options.close_timeout),
                out: Outbound::default(),
                deferred: None,
                limits: options.limits,
                limits_changed: false,
                end: Progress::Stay,
                fd: Some(fd),
                socket: None,
                blocked: false,
                broken: false,
                released: false,
                late_pong: None,
                tls: None,
                inactivity: None,
                outbound_limit: usize::MAX,
                overrun: false,
                high_water: 0,
                is_high: false,
                sent: Traffic::default(),
            }),
            waker: AtomicWaker::new(),
            attention: AtomicBool::new(true),
            hold: AtomicU8::new(0),
            waiting_bytes: AtomicUsize::new(0),
            waiting_messages: AtomicUsize::new(0),
            received_bytes: AtomicU64::new(0),
            received_messages: AtomicU64::new(0),
            queue_limits,
            backlog,
            peer: peer.into(),
            local: local.into(),
            generation: runtime::generation(),
        }
    }

    /// Something in the link wants the driver.
    pub(crate) fn attend(&self) {
        self.attention.store(true, SeqCst);
        self.waker.wake();
    }

    /// For the driver: so much has been queued for the application. Past the limits, the
    /// connection is not read any more.
    pub(crate) fn queued(self: &Arc<Self>, bytes: usize, messages: usize) {
        let is_over = self.backlog.add(bytes);
        let bytes = self.waiting_bytes.fetch_add(bytes, SeqCst) + bytes;
        let messages = self.waiting_messages.fetch_add(messages, SeqCst) + messages;
        if is_over || bytes >= self.queue_limits.bytes || messages >= self.queue_limits.messages {
            self.hold.fetch_or(hold::FULL, SeqCst);
            // It may all have been delivered between the count and the hold.
            self.resume();
        }
    }

    /// The application has been told so much. A connection that was not read because too much
    /// waited is read again once half is gone.
    pub(crate) fn delivered(self: &Arc<Self>, bytes: usize, messages: usize) {
        self.waiting_bytes.fetch_sub(bytes, SeqCst);
        self.waiting_messages.fetch_sub(messages, SeqCst);
        self.backlog.remove(bytes);
        if self.hold.load(SeqCst) & hold::FULL != 0 {
            self.resume();
        }
    }

    /// Goes on reading, if too much waits no longer.
    pub(crate) fn resume(self: &Arc<Self>) {
        if !self.is_low() {
            // Its own deliveries will come here.
        } else if self.backlog.is_low() {
            self.let_go(hold::FULL);
        } else {
            self.backlog.park(self);
        }
    }

    /// How many bytes more may wait for the application.
    pub(crate) fn room(&self) -> usize {
        let own = self.queue_limits.bytes.saturating_sub(self.waiting_bytes.load(SeqCst));
        own.min(self.backlog.room())
    }

    fn is_low(&self) -> bool {
        self.waiting_bytes.load(SeqCst) <= self.queue_limits.bytes / 2
            && self.waiting_messages.load(SeqCst) <= self.queue_limits.messages / 2
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

    /// What waits for the application.
    pub(crate) fn waiting(&self) -> Traffic {
        Traffic {
            messages: self.waiting_messages.load(SeqCst) as u64,
            bytes: self.waiting_bytes.load(SeqCst) as u64,
        }
    }

    pub(crate) fn let_go(&self, reason: u8) {
        if self.hold.fetch_and(!reason, SeqCst) & reason != 0 {
            self.waker.wake();
        }
    }
}

impl Link {
    /// The application sends a message.
    pub(crate) fn count_sent(&mut self, len: usize) {
        if !self.is_gone() {
            self.sent += Traffic { messages: 1, bytes: len as u64 };
        }
    }

    /// More waits than before.
    pub(crate) fn note_high(&mut self) {
        self.is_high |= self.high_water > 0 && self.waiting_len() > self.high_water;
    }

    /// Whether what was too much is down to half; it is said once.
    pub(crate) fn has_drained(&mut self) -> bool {
        let has_drained = self.is_high && self.waiting_len() <= self.high_water / 2;
        self.is_high &= !has_drained;
        has_drained
    }

    /// Something was read or written.
    pub(crate) fn touch(&mut self) {
        if let Some(inactivity) = &mut self.inactivity {
            inactivity.1 = Instant::now();
        }
    }

    /// When too long nothing will have been read nor written.
    pub(crate) fn inactive_at(&self) -> Option<Instant> {
        let (timeout, since) = **self.inactivity.as_ref()?;
        since.checked_add(timeout)
    }

    /// Whether what is sent can reach nobody any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.broken || self.released || self.end == Progress::Abort
    }

    /// How many bytes wait to be written.
    pub(crate) fn waiting_len(&self) -> usize {
        self.out.len() + self.deferred.as_ref().map_or(0, |deferred| deferred.len())
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
        if self.socket.is_none() {
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

    /// Writes what waits, without waiting: whether nothing is left.
    pub(crate) fn flush_once(&mut self) -> io::Result<bool> {
        let ends = self.end == Progress::CloseAfterWriting
            && self.late_pong.is_none()
            && !self.is_deferring();
        self.socket.as_mut().map_or(Ok(false), |writer| writer.flush(&mut self.out, ends))
    }

    /// Whether TLS has taken what the socket has not.
    pub(crate) fn has_records(&self) -> bool {
        self.socket.as_ref().is_some_and(Writer::has_records)
    }

    /// How many bytes the socket has taken of what TLS had taken before.
    pub(crate) fn taken(&self) -> u64 {
        self.socket.as_ref().map_or(0, Writer::taken)
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    pub(crate) fn write_parts(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        self.socket.as_mut().map_or(Ok(0), |writer| writer.write_parts(parts))
    }

    /// For the driver: everything is written, so a pong that waited for it may go.
    pub(crate) fn take_late_pong(&mut self) {
        if let Some(ping) = self.late_pong.take() {
            if let Ok(Some(parts)) = self.connection.answer(ping.len()) {
                self.out.extend_parts(&[parts.head(), &ping], 0);
            }
        }
    }
}

/// Writes without waiting: a single slice by `write`, for the kernel makes more of `writev`.
pub(crate) fn write_slices(socket: &OwnedWriteHalf, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [slice] => socket.try_write(slice),
        slices => socket.try_write_vectored(slices),
    }
}

/// Writes parts that make one frame from where they stand, without waiting.
pub(crate) fn write_parts(socket: &OwnedWriteHalf, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match socket.try_write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
