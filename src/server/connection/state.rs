//! State of one connection that needs its lock: what may be sent, what waits to be written, and the
//! write half of the socket.

use std::{
    collections::HashMap,
    io,
    os::fd::RawFd,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    protocol::{CloseAction, Connection, Limits},
    server::{
        config::ConnectionOptions,
        locks::{Guarded, LockRank},
        memberships::Memberships,
        outbound::{
            buffer::OutboundBuffer,
            compression::{CompressionQueue, Item},
        },
        socket::WriteHalf,
        stats::Traffic,
        tls::TlsSession,
    },
};

/// State of one connection that needs its lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State {
    pub(crate) close: CloseAction,
    /// The socket takes no more at present; the driver goes on when it does.
    pub(crate) blocked: bool,
    /// A write failed: what is sent is dropped, until reading shows the end.
    pub(crate) write_failed: bool,
    /// The owner of the queue has seen the end.
    pub(crate) detached: bool,
    pub(crate) limits_changed: bool,
    require_masked: bool,
    /// The limit has been passed, and the connection aborted for it.
    pub(crate) limit_exceeded: bool,
    pub(crate) is_high: bool,
    /// What waits before `out`, on a connection that compresses.
    pub(crate) compression: Option<Box<CompressionQueue>>,
    cold: Option<Box<ColdState>>,
    /// How many bytes may wait.
    pub(crate) outbound_limit: usize,
    /// What the application has sent.
    pub(crate) sent: Traffic,
    /// Bytes that wait to be written. Whoever leaves some here, or in `compression`, sees to it that
    /// they are: by `Handle::push_out`, which wakes the driver for what the socket does not take,
    /// or by answering `Sent::Unflushed`, whose receiver owes a `Handle::flush`.
    /// (`driver/models/writing.rs` tries it.)
    pub(crate) out: OutboundBuffer,
    pub(crate) protocol: Connection,
    pub(crate) write_half: WriteHalf,
    frame_limit: usize,
    message_limit: usize,
}

/// Cold state, allocated on first use: few connections have any.
#[derive(Debug, Default)]
pub(crate) struct ColdState {
    /// Longest time in which nothing may be read nor written.
    pub(crate) inactivity: Option<Duration>,
    /// Number of times that something was sent since that was first limited.
    pub(crate) sends: u32,
    /// Past so many waiting bytes the application wants to know when they are down to half of it;
    /// 0: it does not.
    pub(crate) high_water: usize,
    /// A ping that is not answered yet.
    pub(crate) pending_pong: Option<Vec<u8>>,
    /// What TLS has agreed on.
    pub(crate) tls: Option<Box<TlsSession>>,
    /// Channels that it is subscribed to.
    pub(crate) channels: Memberships,
    /// A channel has messages for it that wait until everything else is written.
    pub(crate) is_behind: bool,
}

/// So many bytes may wait to be compressed before a channel keeps its messages back.
const SLOW: usize = 64 * 1024;

impl Guarded for State {
    const RANK: LockRank = LockRank::State;
}

impl State {
    /// State of a connection that has just been accepted.
    pub(super) fn new(fd: RawFd) -> Self {
        let options = ConnectionOptions::default();
        Self {
            protocol: Connection::new(options.close_timeout),
            out: OutboundBuffer::default(),
            compression: None,
            frame_limit: options.limits.frame,
            message_limit: options.limits.message,
            require_masked: options.limits.require_masked,
            limits_changed: false,
            close: CloseAction::None,
            write_half: WriteHalf::Unavailable(fd),
            blocked: false,
            write_failed: false,
            detached: false,
            cold: None,
            outbound_limit: usize::MAX,
            limit_exceeded: false,
            is_high: false,
            sent: Traffic::default(),
        }
    }

    /// The application sends a message.
    pub(crate) fn count_sent(&mut self, len: usize) {
        if !self.is_gone() {
            self.sent += Traffic { messages: 1, bytes: len as u64 };
        }
    }

    /// What few connections have, for one that has.
    pub(crate) fn cold_mut(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }

    /// What few connections have, where it is there.
    pub(crate) fn cold(&self) -> Option<&ColdState> {
        self.cold.as_deref()
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
        self.cold.as_ref().map_or(0, |rare| rare.high_water)
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
    pub(crate) fn record_activity(&mut self) {
        if let Some(rare @ ColdState { inactivity: Some(_), .. }) = self.cold.as_deref_mut() {
            rare.sends = rare.sends.wrapping_add(1);
        }
    }

    /// Longest time in which nothing may be read nor written.
    pub(crate) fn inactivity(&self) -> Option<Duration> {
        self.cold.as_ref()?.inactivity
    }

    /// Whether what is sent can reach nobody any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.write_failed || self.detached || self.close == CloseAction::Abort
    }

    /// Number of bytes that wait to be written: what is held for them.
    pub(crate) fn waiting_len(&self) -> usize {
        let compressing = self.compression.as_ref().map_or(0, |queue| queue.held());
        let encrypted = match &self.write_half {
            WriteHalf::Open(writer) => writer.ahead(),
            WriteHalf::Unavailable(_) | WriteHalf::Closed => 0,
        };
        self.out.held() + compressing + encrypted
    }

    /// Adds what waits to be written. What others wait for, too, counts once: the ends of such bytes
    /// in memory, and how many there are, are put into `shared`.
    pub(crate) fn count_outbound(&self, shared: &mut HashMap<usize, usize>) -> usize {
        let mut own = self.waiting_len();
        let compressing = self.compression.iter().flat_map(|queue| queue.shared());
        for bytes in self.out.pieces().chain(compressing) {
            let (end, len) = (bytes.as_ptr_range().end as usize, bytes.len());
            let known = shared.entry(end).or_default();
            *known = len.max(*known);
            own = own.saturating_sub(len);
        }
        own
    }

    /// Whether a message of this length is left to the driver, to compress it or to keep its place.
    pub(crate) fn compresses(&self, len: usize) -> bool {
        self.compression.as_ref().is_some_and(|queue| queue.accepts(len))
    }

    /// True if messages may be compressed.
    pub(crate) fn is_compressing(&self) -> bool {
        self.compression.is_some()
    }

    /// True if what is sent now does not leave at once: the socket is full, or much is to be
    /// compressed before it.
    pub(crate) fn is_slow(&self) -> bool {
        let compressing = self.compression.as_ref().map_or(0, |queue| queue.held());
        self.blocked || compressing > SLOW
    }

    /// For the driver: everything is written. True if channels have more.
    pub(crate) fn take_behind(&mut self) -> bool {
        self.cold.as_deref_mut().is_some_and(|cold| std::mem::take(&mut cold.is_behind))
    }

    /// Whether what is sent now has to wait for what is being compressed.
    pub(crate) fn is_deferring(&self) -> bool {
        self.compression.as_ref().is_some_and(|queue| queue.is_waiting())
    }

    /// Lets the connection add to what is sent.
    pub(crate) fn append(
        &mut self,
        append: impl FnOnce(&mut Connection, &mut Vec<u8>) -> CloseAction,
    ) -> CloseAction {
        let connection = &mut self.protocol;
        match &mut self.compression {
            Some(queue) if queue.is_waiting() => {
                let mut bytes = Vec::new();
                let progress = append(connection, &mut bytes);
                queue.push(Item::Bytes(Bytes::from(bytes)));
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
        if self.write_half.writer().is_none() {
            return false;
        }
        match self.flush_once() {
            Ok(true) => true,
            Ok(false) => {
                self.blocked = true;
                false
            }
            Err(_) => {
                self.write_failed = true;
                self.out.clear();
                true
            }
        }
    }

    /// Whether a pong waits until everything is written.
    pub(crate) fn has_pending_pong(&self) -> bool {
        self.cold.as_ref().is_some_and(|rare| rare.pending_pong.is_some())
    }

    /// Writes what waits, without waiting: whether nothing is left.
    pub(crate) fn flush_once(&mut self) -> io::Result<bool> {
        let ends = self.close == CloseAction::AfterFlush
            && !self.has_pending_pong()
            && !self.is_deferring();
        let Self { write_half, out, .. } = self;
        write_half.writer().map_or(Ok(false), |writer| writer.flush(out, ends))
    }

    /// For the driver: writes a turn's worth: whether everything is written. Where it is not, the task is woken once
    /// the socket takes more, or others have had their turn.
    pub(crate) fn flush_turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut is_begun = false;
        loop {
            let State { write_half, out, .. } = &mut *self;
            let Some(writer) = write_half.writer() else { return Ok(true) };
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
        matches!(&self.write_half, WriteHalf::Open(writer) if writer.has_records())
    }

    /// How many bytes the socket has taken of what TLS had taken before.
    pub(crate) fn taken(&self) -> u64 {
        match &self.write_half {
            WriteHalf::Open(writer) => writer.taken(),
            WriteHalf::Unavailable(_) | WriteHalf::Closed => 0,
        }
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    pub(crate) fn write_parts(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        self.write_half.writer().map_or(Ok(0), |writer| writer.write_parts(parts))
    }

    /// For the driver: everything is written, so a pong that waited for it may go.
    pub(crate) fn take_pending_pong(&mut self) {
        if let Some(ping) = self.cold.as_mut().and_then(|rare| rare.pending_pong.take()) {
            if let Ok(Some(parts)) = self.protocol.answer(ping.len()) {
                self.out.extend_parts(&[parts.head(), &ping], 0);
            }
        }
    }
}
