//! A connection, as its application holds it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::RawFd,
    sync::{atomic::Ordering::SeqCst, Arc},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    backlog::Backlog,
    config::ConnectionOptions,
    deferred::Piece,
    hold,
    link::{Link, Shared},
    outbound::Outbound,
    stats::{Stats, Traffic},
    stream::Socket,
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

/// A cheap clone that lets its holder act on one connection, from any thread.
///
/// In a forked child it does nothing, and takes no lock: the connection is the parent's, closed as
/// far as the child sees. Only its addresses are known.
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

impl Handle {
    pub(crate) fn new(
        fd: RawFd,
        peer: SocketAddr,
        local: SocketAddr,
        backlog: Arc<Backlog>,
    ) -> Self {
        Self(Arc::new(Shared::new(fd, peer, local, backlog)))
    }

    pub(crate) fn configure(&self, options: &ConnectionOptions) {
        let Some(mut link) = self.0.link() else { return };
        link.set_limits(options.limits);
        link.connection.set_close_timeout(options.close_timeout);
        link.outbound_limit = options.outbound_limit.unwrap_or(usize::MAX);
    }

    /// The client's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.addresses.peer()
    }

    /// The address the client connected to.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.addresses.local()
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.0.link().map_or(State::Closed, |link| link.connection.state())
    }

    /// What the client's version does, once the connection has been open.
    pub fn profile(&self) -> Option<&'static Profile> {
        self.0.link()?.connection.profile()
    }

    /// What the peer may not exceed.
    pub fn limits(&self) -> Limits {
        self.0.link().map(|link| link.limits()).unwrap_or_default()
    }

    /// Sets what the peer may not exceed, from the next read on; for every frame, if set before
    /// [`opened`](Self::opened).
    pub fn set_limits(&self, limits: Limits) {
        let Some(mut link) = self.0.link() else { return };
        link.set_limits(limits);
        link.limits_changed = true;
        self.0.attention.store(true, SeqCst);
    }

    /// How long nothing may be read nor written before the connection is aborted.
    pub fn inactivity_timeout(&self) -> Option<Duration> {
        self.0.link()?.inactivity()
    }

    /// Sets how long nothing may be read nor written before the connection is aborted.
    pub fn set_inactivity_timeout(&self, timeout: Option<Duration>) {
        let Some(mut link) = self.0.link() else { return };
        link.rare().inactivity = timeout;
        link.touch();
        drop(link);
        self.0.attend();
    }

    /// What TLS has agreed on; `None` without TLS, and before it has.
    pub fn tls_session(&self) -> Option<TlsSession> {
        self.0.link()?.known_rare()?.tls.clone()
    }

    /// How long our close may stay without answer.
    pub fn close_timeout(&self) -> Duration {
        self.0.link().map_or(Duration::ZERO, |link| link.connection.close_timeout())
    }

    /// Sets how long our next close may stay without answer.
    pub fn set_close_timeout(&self, timeout: Duration) {
        if let Some(mut link) = self.0.link() {
            link.connection.set_close_timeout(timeout);
        }
    }

    /// Number of bytes that wait to be written, with what it takes to hold them.
    pub fn outbound_len(&self) -> usize {
        self.0.link().map_or(0, |link| link.waiting_len())
    }

    /// Past how many waiting bytes [`Delivery::Drained`](super::Delivery::Drained) will tell that
    /// they are down to half of it; 0: never.
    pub fn set_high_water(&self, bytes: usize) {
        let Some(mut link) = self.0.link() else { return };
        link.rare().high_water = bytes;
        link.note_high();
    }

    /// What was received over the connection, and what was sent.
    pub(crate) fn traffic(&self) -> (Traffic, Traffic) {
        (self.0.received(), self.0.link().map(|link| link.sent).unwrap_or_default())
    }

    /// Adds what is counted here.
    pub(crate) fn add_to(&self, stats: &mut Stats, shared: &mut HashMap<usize, usize>) {
        let (received, sent) = self.traffic();
        stats.received += received;
        stats.sent += sent;
        let outbound = self.0.link().map_or(0, |link| link.count_outbound(shared));
        stats.outbound += outbound as u64;
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
        let Some(mut link) = self.0.link() else { return Sent::Nothing };
        self.put(&mut link, &[bytes], cork)
    }

    /// Writes what was corked.
    pub fn flush(&self) {
        if let Some(mut link) = self.0.link() {
            self.push_out(&mut link);
        }
    }

    /// Begins the closing handshake; before the opening one is done, aborts.
    pub fn close(&self, code: Option<CloseCode>, reason: &str) {
        self.change(|link| {
            link.append(|connection, out| connection.close(code, reason, Instant::now(), out))
        });
    }

    /// As [`close`](Self::close), but the application has not asked for it: what it sends meanwhile
    /// goes nowhere, without an error.
    pub fn close_unasked(&self, code: Option<CloseCode>, reason: &str) {
        self.change(|link| {
            link.connection.unasked();
            link.append(|connection, out| connection.close(code, reason, Instant::now(), out))
        });
    }

    /// The application has not asked for the close that follows.
    pub fn unasked(&self) {
        if let Some(mut link) = self.0.link() {
            link.connection.unasked();
        }
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

    /// True if the application has stopped reading.
    pub fn is_paused(&self) -> bool {
        self.0.hold.load(SeqCst) & hold::PAUSED != 0
    }

    /// True if the connection is gone, or is being ended.
    pub fn is_ending(&self) -> bool {
        self.0.link().is_none_or(|link| link.is_gone() || link.end != Progress::Stay)
    }

    /// For the queue's owner: the application has agreed to
    /// [`Delivery::Secured`](super::Delivery::Secured).
    pub fn secured(&self) {
        self.0.let_go(hold::SECURING);
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
        let Some(mut link) = self.0.link() else { return Progress::Abort };
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
        let Some(mut link) = self.0.link() else { return CloseInfo::abnormal() };
        self.push_out(&mut link);
        link.released = true;
        let info = link.connection.closed();
        drop(link);
        self.0.attend();
        info
    }

    fn send(
        &self,
        payload: &[u8],
        cork: Cork,
        message: Option<Opcode>,
        frame: impl FnOnce(&Connection) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Sent, UsageError> {
        let Some(mut link) = self.0.link() else { return Ok(Sent::Nothing) };
        let Some(parts) = frame(&link.connection)? else { return Ok(Sent::Nothing) };
        if message.is_some() {
            link.count_sent(payload.len());
        }
        let Some(opcode) = message.filter(|_| link.compresses(payload.len())) else {
            return Ok(self.put(&mut link, &[parts.head(), payload, parts.tail()], cork));
        };
        let piece = Piece::Message(opcode, Bytes::copy_from_slice(payload));
        Ok(self.defer(&mut link, piece, parts.head().len() + payload.len(), cork))
    }

    /// Leaves a piece to the driver.
    pub(crate) fn defer(&self, link: &mut Link, piece: Piece, len: usize, cork: Cork) -> Sent {
        if link.is_gone() {
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
        link.note_high();
        if cork == Cork::Yes && is_first {
            return Sent::Corked(len);
        }
        // The driver may have taken what was before it already.
        self.0.attend();
        Sent::Bytes(len)
    }

    /// Aborts the connection where these bytes, with those that wait, are more than may wait.
    fn is_over_limit(&self, link: &mut Link, len: usize) -> bool {
        let is_over = link.waiting_len() + len > link.outbound_limit;
        if is_over {
            link.end = Progress::Abort;
            link.overrun = true;
            self.0.attend();
        }
        is_over
    }

    /// Queues bytes, or writes them from where they stand if nothing is before them.
    pub(super) fn put(&self, link: &mut Link, parts: &[&[u8]], cork: Cork) -> Sent {
        self.put_with(link, parts, cork, |out, written| out.extend_parts(parts, written))
    }

    /// As [`put`](Self::put); `keep` queues what is left once so much is written.
    pub(crate) fn put_with(
        &self,
        link: &mut Link,
        parts: &[&[u8]],
        cork: Cork,
        keep: impl FnOnce(&mut Outbound, usize),
    ) -> Sent {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 || link.is_gone() {
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
        let written = if is_first && !gather { link.write_parts(parts) } else { Ok(0) };
        match written {
            Ok(written) if written == len => {
                if link.has_records() {
                    self.push_out(link);
                }
                return Sent::Bytes(len);
            }
            Ok(written) => {
                keep(&mut link.out, written);
                link.note_high();
            }
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
    pub(super) fn change(&self, change: impl FnOnce(&mut Link) -> Progress) {
        let Some(mut link) = self.0.link() else { return };
        let progress = change(&mut link);
        link.end = link.end.max(progress);
        self.push_out(&mut link);
        drop(link);
        self.0.attend();
    }

    /// For the driver: answers pings, in order; while the peer does not read, the last one only.
    pub(crate) fn answer_pings(&self, link: &mut Link, pings: Vec<Vec<u8>>) {
        for ping in pings {
            let is_slow = link.out.len() >= PONGS_MERGE || link.has_late_pong();
            if link.blocked && is_slow {
                link.rare().late_pong = Some(ping);
            } else if let Ok(Some(parts)) = link.connection.answer(ping.len()) {
                self.put(link, &[parts.head(), &ping], Cork::No);
            }
        }
    }

    /// Whether the connection is the parent's, and this process a fork's child.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.is_foreign()
    }

    /// The socket is about to be closed.
    pub(crate) fn gone(&self) {
        if let Some(mut link) = self.0.link() {
            link.socket = Socket::Gone;
        }
    }

    /// In a forked child: the number of the socket, if it is certain that it is still open.
    pub(crate) fn inherited_fd(&self) -> Option<RawFd> {
        self.0.inherited_link()?.socket.fd()
    }

    pub(super) fn push_out(&self, link: &mut Link) {
        if !link.write_directly() || link.is_high {
            self.0.attend();
        }
    }
}
