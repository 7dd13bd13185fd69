//! A connection, as its application holds it.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::RawFd,
    sync::{
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::SeqCst},
        Arc, Mutex,
    },
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use tokio::net::tcp::OwnedWriteHalf;

use super::{
    config::{ConnectionOptions, QueueLimits},
    deferred::{Deferred, Piece},
    outbound::Outbound,
    runtime,
    tally::lock,
    tls::TlsSession,
};
use crate::{
    error::{ProtocolError, UsageError},
    protocol::{
        close::{CloseCode, CloseInfo},
        version::Profile,
        Connection, FrameParts, Limits, Opcode, PeerClose, Progress, State,
    },
};

/// A payload at least this long is not gathered with others: it is written at once, where it
/// stands.
const LARGE: usize = 16 * 1024;

/// While this many bytes wait, the peer does not read: its pings are answered by the last pong
/// alone, once it reads again.
const PONGS_MERGE: usize = 16 * 1024;

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

/// A cheap clone that lets its holder act on one connection, from any thread.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Shared>);

/// What a send did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// This many bytes were queued or written, header included.
    Bytes(usize),
    /// As [`Bytes`](Self::Bytes), and they are the first that wait for [`Handle::flush`].
    Corked(usize),
    /// Nothing: the connection is gone, or its draft has no such frame.
    Nothing,
}

/// Whether what is sent waits for [`Handle::flush`], to leave in one write with more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cork {
    /// It leaves at once.
    No,
    /// It waits.
    Yes,
}

/// What the handles and the driver of one connection share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Mutex<Link>,
    /// Wakes the driver.
    pub(crate) waker: AtomicWaker,
    /// Whether anything in the link wants the driver, which does not lock it otherwise.
    pub(crate) attention: AtomicBool,
    /// The reasons for not reading, as bits of [`hold`].
    pub(crate) hold: AtomicU8,
    waiting_bytes: AtomicUsize,
    waiting_messages: AtomicUsize,
    queue_limits: QueueLimits,
    peer: SocketAddr,
    local: SocketAddr,
    generation: u32,
}

/// The part of it that needs a lock.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) out: Outbound,
    /// What waits before it, on a connection that compresses.
    pub(crate) deferred: Option<Box<Deferred>>,
    pub(crate) limits: Limits,
    pub(crate) limits_changed: bool,
    pub(crate) end: Progress,
    /// The socket's number, while it is open.
    pub(crate) fd: Option<RawFd>,
    /// The socket, where it may be written directly: not with TLS.
    pub(crate) socket: Option<OwnedWriteHalf>,
    /// The socket takes no more at present; the driver goes on when it does.
    pub(crate) blocked: bool,
    /// A write failed: what is sent is dropped, until reading shows the end.
    pub(crate) broken: bool,
    /// The owner of the queue has seen the end.
    pub(crate) released: bool,
    pub(crate) late_pong: Option<Vec<u8>>,
    /// What TLS has agreed on.
    pub(crate) tls: Option<Box<TlsSession>>,
    /// How long nothing may be read nor written, and since when nothing was.
    pub(crate) inactivity: Option<(Duration, Instant)>,
    outbound_limit: Option<usize>,
}

impl Handle {
    pub(crate) fn new(
        fd: RawFd,
        peer: SocketAddr,
        local: SocketAddr,
        queue_limits: QueueLimits,
    ) -> Self {
        let options = ConnectionOptions::default();
        Self(Arc::new(Shared {
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
                outbound_limit: None,
            }),
            waker: AtomicWaker::new(),
            attention: AtomicBool::new(true),
            hold: AtomicU8::new(0),
            waiting_bytes: AtomicUsize::new(0),
            waiting_messages: AtomicUsize::new(0),
            queue_limits,
            peer,
            local,
            generation: runtime::generation(),
        }))
    }

    pub(crate) fn configure(&self, options: &ConnectionOptions) {
        let mut link = lock(&self.0.link);
        link.limits = options.limits;
        link.connection.set_close_timeout(options.close_timeout);
        link.outbound_limit = options.outbound_limit;
    }

    /// The client's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    /// The address the client connected to.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        lock(&self.0.link).connection.state()
    }

    /// What the client's version does, once the connection has been open.
    pub fn profile(&self) -> Option<&'static Profile> {
        lock(&self.0.link).connection.profile()
    }

    /// What the peer may not exceed.
    pub fn limits(&self) -> Limits {
        lock(&self.0.link).limits
    }

    /// Sets what the peer may not exceed, from the next read on; for every frame, if set before
    /// [`opened`](Self::opened).
    pub fn set_limits(&self, limits: Limits) {
        let mut link = lock(&self.0.link);
        link.limits = limits;
        link.limits_changed = true;
        self.0.attention.store(true, SeqCst);
    }

    /// How long nothing may be read nor written before the connection is aborted.
    pub fn inactivity_timeout(&self) -> Option<Duration> {
        lock(&self.0.link).inactivity.map(|(timeout, _)| timeout)
    }

    /// Sets how long nothing may be read nor written before the connection is aborted.
    pub fn set_inactivity_timeout(&self, timeout: Option<Duration>) {
        lock(&self.0.link).inactivity = timeout.map(|timeout| (timeout, Instant::now()));
        self.0.attend();
    }

    /// What TLS has agreed on; `None` without TLS, and before it has.
    pub fn tls_session(&self) -> Option<TlsSession> {
        lock(&self.0.link).tls.as_deref().cloned()
    }

    /// How long our close may stay without answer.
    pub fn close_timeout(&self) -> Duration {
        lock(&self.0.link).connection.close_timeout()
    }

    /// Sets how long our next close may stay without answer.
    pub fn set_close_timeout(&self, timeout: Duration) {
        lock(&self.0.link).connection.set_close_timeout(timeout);
    }

    /// How many bytes wait to be written.
    pub fn outbound_len(&self) -> usize {
        lock(&self.0.link).waiting_len()
    }

    /// Sends a text message. Its bytes must be UTF-8.
    ///
    /// # Errors
    /// [`UsageError::SendBeforeOpen`], [`UsageError::Closing`].
    pub fn send_text(&self, text: &[u8], cork: Cork) -> Result<Sent, UsageError> {
        self.send(text, cork, Some(Opcode::Text), |connection| connection.text(text.len()))
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// [`UsageError::SendBinaryBeforeOpen`], [`UsageError::NoBinary`], [`UsageError::Closing`].
    pub fn send_binary(&self, bytes: &[u8], cork: Cork) -> Result<Sent, UsageError> {
        self.send(bytes, cork, Some(Opcode::Binary), |connection| connection.binary(bytes.len()))
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`UsageError::PingBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn ping(&self, body: &[u8], cork: Cork) -> Result<Sent, UsageError> {
        self.send(body, cork, None, |connection| connection.ping(body.len()))
    }

    /// Sends a pong.
    ///
    /// # Errors
    /// [`UsageError::PongBeforeOpen`], [`UsageError::ControlTooLong`].
    pub fn pong(&self, body: &[u8], cork: Cork) -> Result<Sent, UsageError> {
        self.send(body, cork, None, |connection| connection.pong(body.len()))
    }

    /// Sends bytes as they are, beside the protocol.
    pub fn send_raw(&self, bytes: &[u8], cork: Cork) -> Sent {
        let mut link = lock(&self.0.link);
        self.put(&mut link, &[bytes], cork)
    }

    /// Writes what was corked.
    pub fn flush(&self) {
        self.push_out(&mut lock(&self.0.link));
    }

    /// Begins the closing handshake; before the opening one is done, aborts.
    pub fn close(&self, code: Option<CloseCode>, reason: &str) {
        self.change(|link| {
            link.append(|connection, out| connection.close(code, reason, Instant::now(), out))
        });
    }

    /// Ends the TCP connection once everything sent has been written.
    pub fn close_after_writing(&self) {
        self.finish(Progress::CloseAfterWriting);
    }

    /// Ends the TCP connection now. What is not written yet is dropped.
    pub fn abort(&self) {
        self.finish(Progress::Abort);
    }

    /// Stops reading, or goes on.
    pub fn set_paused(&self, paused: bool) {
        if paused {
            self.0.hold.fetch_or(hold::PAUSED, SeqCst);
        } else {
            self.0.let_go(hold::PAUSED);
        }
    }

    /// For the queue's owner: the application has agreed to
    /// [`Delivery::Secured`](super::Delivery::Secured).
    pub fn secured(&self) {
        self.0.let_go(hold::SECURING);
    }

    /// For the queue's owner: the application is about to be told of
    /// [`Delivery::Open`](super::Delivery::Open).
    pub fn open(&self, profile: &'static Profile) {
        lock(&self.0.link).connection.open(profile);
    }

    /// For the queue's owner: the application has been told; frames may be read.
    pub fn opened(&self) {
        self.0.let_go(hold::OPENING);
    }

    /// For the queue's owner: answers [`Delivery::Refused`](super::Delivery::Refused).
    pub fn refuse(&self, response: Option<&[u8]>) {
        self.change(|link| {
            link.out.extend(response.unwrap_or_default());
            Progress::CloseAfterWriting
        });
    }

    /// For the queue's owner: answers [`Delivery::Close`](super::Delivery::Close).
    pub fn peer_closed(&self, code: Option<CloseCode>, body: &[u8]) {
        let close = PeerClose::new(code, body);
        self.change(|link| link.append(|connection, out| connection.peer_closed(&close, out)));
    }

    /// For the queue's owner: answers [`Delivery::Error`](super::Delivery::Error) with the draft's
    /// close frame. Once the application has been told, [`finish`](Self::finish) must follow, with
    /// what is returned.
    pub fn fail(&self, error: &ProtocolError) -> Progress {
        let mut link = lock(&self.0.link);
        let progress = link.append(|connection, out| connection.fail(error, out));
        self.push_out(&mut link);
        progress
    }

    /// For the queue's owner: does with the TCP connection what is left to do.
    pub fn finish(&self, progress: Progress) {
        self.change(|_| progress);
    }

    /// For the queue's owner: lets go of the connection after
    /// [`Delivery::Closed`](super::Delivery::Closed), and says how it ended. A peer that has only
    /// stopped sending still gets what has been sent to it.
    pub fn closed(&self) -> CloseInfo {
        let mut link = lock(&self.0.link);
        if self.is_foreign() {
            return CloseInfo::abnormal();
        }
        self.push_out(&mut link);
        link.released = true;
        let info = link.connection.closed();
        drop(link);
        self.0.attend();
        info
    }

    /// For the queue's owner: so much has been told to the application. Where the connection was
    /// not read because too much waited, it is read again once half is gone.
    pub fn delivered(&self, bytes: usize, messages: usize) {
        self.0.waiting_bytes.fetch_sub(bytes, SeqCst);
        self.0.waiting_messages.fetch_sub(messages, SeqCst);
        if self.0.hold.load(SeqCst) & hold::FULL != 0 && self.0.is_low() {
            self.0.let_go(hold::FULL);
        }
    }

    fn send(
        &self,
        payload: &[u8],
        cork: Cork,
        message: Option<Opcode>,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        let mut link = lock(&self.0.link);
        let Some(parts) = frame(&link.connection)? else { return Ok(Sent::Nothing) };
        let Some(opcode) = message.filter(|_| link.compresses(payload.len())) else {
            return Ok(self.put(&mut link, &[parts.head(), payload, parts.tail()], cork));
        };
        let piece = Piece::Message(opcode, Bytes::copy_from_slice(payload));
        Ok(self.defer(&mut link, piece, parts.head().len() + payload.len(), cork))
    }

    /// Leaves a piece to the driver.
    fn defer(&self, link: &mut Link, piece: Piece, len: usize, cork: Cork) -> Sent {
        if link.is_gone() || self.is_foreign() {
            return Sent::Bytes(len);
        }
        if self.is_over_limit(link, len) {
            return Sent::Bytes(0);
        }
        link.touch();
        let is_first = !link.is_deferring() && link.out.is_empty();
        if let Some(deferred) = &mut link.deferred {
            deferred.push(piece);
        }
        if cork == Cork::Yes && is_first {
            return Sent::Corked(len);
        }
        // The driver may have taken what was before it already.
        self.0.attend();
        Sent::Bytes(len)
    }

    /// Aborts the connection where these bytes, with those that wait, are more than may wait.
    fn is_over_limit(&self, link: &mut Link, len: usize) -> bool {
        let is_over = link.outbound_limit.is_some_and(|limit| link.waiting_len() + len > limit);
        if is_over {
            link.end = Progress::Abort;
            self.0.attend();
        }
        is_over
    }

    /// Queues bytes, or writes them from where they stand if nothing is before them.
    fn put(&self, link: &mut Link, parts: &[&[u8]], cork: Cork) -> Sent {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 || link.is_gone() || self.is_foreign() {
            return Sent::Bytes(len);
        }
        if link.is_deferring() {
            return self.defer(link, Piece::Bytes(Bytes::from(parts.concat())), len, cork);
        }
        if self.is_over_limit(link, len) {
            return Sent::Bytes(0);
        }
        link.touch();
        let is_first = link.out.is_empty() && !link.blocked;
        let gather = cork == Cork::Yes && len < LARGE;
        let written = match &link.socket {
            Some(socket) if is_first && !gather => write_parts(socket, parts),
            _ => Ok(0),
        };
        match written {
            Ok(written) if written == len => return Sent::Bytes(len),
            Ok(written) => link.out.extend_parts(parts, written),
            Err(_) => {
                link.broken = true;
                return Sent::Bytes(len);
            }
        }
        if gather && is_first {
            return Sent::Corked(len);
        } else if !gather {
            self.push_out(link);
        }
        Sent::Bytes(len)
    }

    /// Changes what is to become of the TCP connection, and sees to it.
    fn change(&self, change: impl FnOnce(&mut Link) -> Progress) {
        let mut link = lock(&self.0.link);
        let progress = change(&mut link);
        link.end = link.end.max(progress);
        self.push_out(&mut link);
        drop(link);
        self.0.attend();
    }

    /// For the driver: answers pings, in order; while the peer does not read, the last one only.
    pub(crate) fn answer_pings(&self, link: &mut Link, pings: Vec<Vec<u8>>) {
        for ping in pings {
            let is_slow = link.out.len() >= PONGS_MERGE || link.late_pong.is_some();
            if link.blocked && is_slow {
                link.late_pong = Some(ping);
            } else if let Ok(Some(parts)) = link.connection.answer(ping.len()) {
                self.put(link, &[parts.head(), &ping], Cork::No);
            }
        }
    }

    /// Whether the connection is the parent's, and this process a fork's child.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.generation != runtime::generation()
    }

    /// The socket is about to be closed.
    pub(crate) fn gone(&self) {
        lock(&self.0.link).fd = None;
    }

    /// In a forked child: the number of the socket, if it is certain that it is still open.
    pub(crate) fn inherited_fd(&self) -> Option<RawFd> {
        self.0.link.try_lock().ok()?.fd
    }

    fn push_out(&self, link: &mut Link) {
        if self.is_foreign() {
            return;
        }
        if !link.write_directly() {
            self.0.attend();
        }
    }
}

impl Shared {
    /// Something in the link wants the driver.
    fn attend(&self) {
        self.attention.store(true, SeqCst);
        self.waker.wake();
    }

    /// For the driver: so much has been queued for the application. Past the limits, the
    /// connection is not read any more.
    pub(crate) fn queued(&self, bytes: usize, messages: usize) {
        let bytes = self.waiting_bytes.fetch_add(bytes, SeqCst) + bytes;
        let messages = self.waiting_messages.fetch_add(messages, SeqCst) + messages;
        if bytes >= self.queue_limits.bytes || messages >= self.queue_limits.messages {
            self.hold.fetch_or(hold::FULL, SeqCst);
            // It may all have been delivered between the count and the hold.
            if self.is_low() {
                self.hold.fetch_and(!hold::FULL, SeqCst);
            }
        }
    }

    fn is_low(&self) -> bool {
        self.waiting_bytes.load(SeqCst) <= self.queue_limits.bytes / 2
            && self.waiting_messages.load(SeqCst) <= self.queue_limits.messages / 2
    }

    fn let_go(&self, reason: u8) {
        if self.hold.fetch_and(!reason, SeqCst) & reason != 0 {
            self.waker.wake();
        }
    }
}

impl Link {
    /// Something was read or written.
    pub(crate) fn touch(&mut self) {
        if let Some((_, since)) = &mut self.inactivity {
            *since = Instant::now();
        }
    }

    /// When too long nothing will have been read nor written.
    pub(crate) fn inactive_at(&self) -> Option<Instant> {
        self.inactivity.and_then(|(timeout, since)| since.checked_add(timeout))
    }

    /// Whether what is sent can reach nobody any more.
    fn is_gone(&self) -> bool {
        self.broken || self.released || self.end == Progress::Abort
    }

    /// How many bytes wait to be written.
    fn waiting_len(&self) -> usize {
        self.out.len() + self.deferred.as_ref().map_or(0, |deferred| deferred.len())
    }

    /// Whether a message of this length is left to the driver, to compress it or to keep its place.
    fn compresses(&self, len: usize) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| deferred.wants(len))
    }

    /// Whether what is sent now has to wait for what is being compressed.
    pub(crate) fn is_deferring(&self) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| deferred.is_waiting())
    }

    /// Lets the connection add to what is sent.
    fn append(
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
    fn write_directly(&mut self) -> bool {
        if self.is_deferring() {
            return false;
        }
        if self.out.is_empty() || self.blocked {
            return true;
        }
        let Some(socket) = &self.socket else {
            return false;
        };
        match self.out.flush(|slices| write_slices(socket, slices)) {
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

fn write_parts(socket: &OwnedWriteHalf, parts: &[&[u8]]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); 3];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    loop {
        match socket.try_write_vectored(&slices[..parts.len()]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
