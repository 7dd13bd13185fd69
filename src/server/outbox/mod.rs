//! Outbox of one connection: its limit, the order of what is sent, what waits, and
//! the write half of the socket.
//!
//! It stands in the connection's state, and its methods are called under that lock. What they leave
//! to the driver they note, and it is woken when the lock is let go.

mod driver;
mod limits;

use std::{io, mem, os::fd::RawFd, sync::Arc};

use bytes::Bytes;

pub(crate) use self::driver::Flushed;
use self::limits::ColdOutbox;
use super::{
    outbound::{
        broadcast::{Broadcast, SHARED},
        buffer::OutboundBuffer,
        compression::{CompressionQueue, Item},
        Flush,
    },
    socket::WriteHalf,
    stats::Traffic,
};
use crate::protocol::{version::Profile, CloseAction, FrameParts, Opcode};

/// Payloads of this size are written at once, from where the caller has them.
const DIRECT_WRITE: usize = 16 * 1024;

/// While this many bytes wait, the peer does not read: its pings are answered by the last pong
/// alone, once it reads again.
const PONGS_MERGE: usize = 16 * 1024;

/// Bytes that may wait to be compressed before a channel keeps its messages back.
const SLOW: usize = 64 * 1024;

/// Outcome of a send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// This many bytes were queued or written, header included.
    Bytes(usize),
    /// As [`Bytes`](Self::Bytes), and they are the first that wait for
    /// [`Handle::flush`](super::Handle::flush).
    Unflushed(usize),
    /// Nothing: the connection is gone, or its draft has no such frame.
    Nothing,
}

/// End of a connection, as far as it has been asked for; each outdoes those before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Closing {
    /// It stays.
    No,
    /// It is ended once everything is written, and what the peer still sends is read for a while.
    AfterFlush,
    /// The owner of the queue has seen the end: it is ended once everything is written.
    Detached,
    /// It is ended now.
    Abort,
}

impl From<CloseAction> for Closing {
    fn from(action: CloseAction) -> Self {
        match action {
            CloseAction::None => Self::No,
            CloseAction::AfterFlush => Self::AfterFlush,
            CloseAction::Abort => Self::Abort,
        }
    }
}

/// Everything on its way out of one connection.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Outbox {
    closing: Closing,
    /// The socket takes no more at present; the driver goes on when it does.
    blocked: bool,
    /// The limit has been passed, and the connection aborted for it.
    limit_exceeded: bool,
    /// More waits than the high water mark, and that it has drained is still to be told.
    is_high: bool,
    /// A channel has messages for it that wait until everything else is written.
    is_behind: bool,
    /// Something is left to the driver, which has not been woken for it.
    needs_driver: bool,
    /// Messages that wait before `buffer`, on a connection that compresses.
    compression: Option<Box<CompressionQueue>>,
    cold: Option<Box<ColdOutbox>>,
    /// Traffic that the application has sent.
    sent: Traffic,
    /// Bytes that wait to be written. Whoever leaves some here, or in `compression`, sees to it that
    /// they are: by [`flush`](Self::flush), which leaves to the driver what the socket does not take,
    /// or by answering [`Sent::Unflushed`], whose receiver owes a flush.
    /// (`driver/models/writing.rs` tries it.)
    buffer: OutboundBuffer,
    write_half: WriteHalf,
}

impl Outbox {
    /// Of a connection that has just been accepted.
    pub(crate) fn new(fd: RawFd) -> Self {
        Self {
            closing: Closing::No,
            blocked: false,
            limit_exceeded: false,
            is_high: false,
            is_behind: false,
            needs_driver: false,
            compression: None,
            cold: None,
            sent: Traffic::default(),
            buffer: OutboundBuffer::default(),
            write_half: WriteHalf::Unavailable(fd),
        }
    }

    /// Sends a message of the application's: its frame, or, where it is compressed, its payload.
    #[inline]
    pub(crate) fn send_message(
        &mut self,
        opcode: Opcode,
        frame: &FrameParts,
        payload: &[u8],
        flush: Flush,
    ) -> Sent {
        self.count_sent(payload.len());
        if self.compresses(payload.len()) {
            let item = Item::Message(opcode, Bytes::copy_from_slice(payload));
            return self.defer(item, frame.head().len() + payload.len(), flush);
        }
        self.send(&[frame.head(), payload, frame.tail()], flush)
    }

    /// Sends a message that goes to others, too.
    pub(crate) fn send_shared(
        &mut self,
        message: &Arc<Broadcast>,
        profile: &Profile,
        flush: Flush,
    ) -> Sent {
        self.count_sent(message.len());
        if self.compresses(message.len()) {
            return self.defer(Item::Shared(Arc::clone(message)), message.len(), flush);
        }
        self.send_bytes(&message.frame(profile), flush)
    }

    /// Sends frames that go to others, too: of so many messages.
    pub(crate) fn send_frames(&mut self, frames: &Bytes, messages: Traffic, flush: Flush) -> Sent {
        self.sent += messages;
        self.send_bytes(frames, flush)
    }

    fn send_bytes(&mut self, bytes: &Bytes, flush: Flush) -> Sent {
        self.send_with(&[bytes], flush, |buffer, written| {
            if bytes.len() - written < SHARED {
                buffer.extend(&bytes[written..]);
            } else {
                buffer.push(bytes.slice(written..));
            }
        })
    }

    /// Queues bytes, or writes them from where they stand if nothing is before them.
    pub(crate) fn send(&mut self, parts: &[&[u8]], flush: Flush) -> Sent {
        self.send_with(parts, flush, |buffer, written| buffer.extend_parts(parts, written))
    }

    /// As [`send`](Self::send); `keep` queues what is left once so much is written.
    #[inline]
    fn send_with(
        &mut self,
        parts: &[&[u8]],
        flush: Flush,
        keep: impl FnOnce(&mut OutboundBuffer, usize),
    ) -> Sent {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 || self.is_gone() {
            return Sent::Bytes(len);
        }
        if self.is_deferring() {
            return self.defer(Item::Bytes(Bytes::from(parts.concat())), len, flush);
        }
        if self.is_over_limit(len) {
            return Sent::Bytes(0);
        }
        self.record_activity();
        let is_first = self.buffer.is_empty() && !self.blocked;
        let gather = flush == Flush::Later && len < DIRECT_WRITE;
        let written = if is_first && !gather { self.write_parts(parts) } else { Ok(0) };
        match written {
            Ok(written) if written == len => {
                if self.has_records() {
                    self.flush();
                }
                return Sent::Bytes(len);
            }
            Ok(written) => {
                keep(&mut self.buffer, written);
                self.note_high();
            }
            Err(_) => {
                self.write_half.fail();
                return Sent::Bytes(len);
            }
        }
        if gather && is_first {
            return Sent::Unflushed(len);
        } else if !gather {
            self.flush();
        }
        Sent::Bytes(len)
    }

    /// Leaves an item to the driver, to compress it or to keep its place.
    fn defer(&mut self, item: Item, len: usize, flush: Flush) -> Sent {
        if self.is_gone() {
            return Sent::Bytes(len);
        }
        if self.is_over_limit(len) {
            return Sent::Bytes(0);
        }
        self.record_activity();
        let is_first = !self.is_deferring() && self.buffer.is_empty();
        if let Some(queue) = &mut self.compression {
            queue.push(item);
        }
        self.note_high();
        if flush == Flush::Later && is_first {
            return Sent::Unflushed(len);
        }
        // The driver may have taken what was before it already.
        self.needs_driver = true;
        Sent::Bytes(len)
    }

    /// Lets `append` add to what is sent, past all limits.
    pub(crate) fn append<R>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        match &mut self.compression {
            Some(queue) if queue.is_waiting() => {
                let mut bytes = Vec::new();
                let result = append(&mut bytes);
                queue.push(Item::Bytes(Bytes::from(bytes)));
                result
            }
            _ => self.buffer.append(append),
        }
    }

    /// True if a pong waits until everything is written: while the peer does not read, it is the
    /// last one only.
    pub(crate) fn delays_pong(&self) -> bool {
        self.blocked && (self.buffer.len() >= PONGS_MERGE || self.has_pending_pong())
    }

    /// Keeps a ping until everything is written.
    pub(crate) fn keep_ping(&mut self, ping: Vec<u8>) {
        self.cold_mut().pending_pong = Some(ping);
    }

    fn has_pending_pong(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.pending_pong.is_some())
    }

    /// Writes what waits, and leaves to the driver what the socket does not take.
    pub(crate) fn flush(&mut self) {
        self.needs_driver |= !self.write_directly() || self.is_high;
    }

    /// Writes what waits; `false` where the driver must see to the rest.
    fn write_directly(&mut self) -> bool {
        if self.is_deferring() {
            return false;
        }
        if self.blocked || self.buffer.is_empty() && !self.has_records() {
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
                self.write_half.fail();
                self.buffer.clear();
                true
            }
        }
    }

    /// Writes what waits, without waiting: whether nothing is left.
    fn flush_once(&mut self) -> io::Result<bool> {
        let ends = matches!(self.closing, Closing::AfterFlush | Closing::Detached)
            && !self.has_pending_pong()
            && !self.is_deferring();
        let Self { write_half, buffer, .. } = self;
        write_half.writer().map_or(Ok(false), |writer| writer.flush(buffer, ends))
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    fn write_parts(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        self.write_half.writer().map_or(Ok(0), |writer| writer.write_parts(parts))
    }

    /// Something is left to the driver, which is still to be woken for it: asked once.
    pub(crate) fn take_needs_driver(&mut self) -> bool {
        mem::take(&mut self.needs_driver)
    }

    /// Adds parts of a frame to what waits, past all limits.
    pub(crate) fn extend(&mut self, parts: &[&[u8]]) {
        self.buffer.extend_parts(parts, 0);
    }

    /// True if a message of this length is left to the driver, to compress it or to keep its place.
    fn compresses(&self, len: usize) -> bool {
        self.compression.as_ref().is_some_and(|queue| queue.accepts(len))
    }

    /// True if what is sent now has to wait for what is being compressed.
    pub(crate) fn is_deferring(&self) -> bool {
        self.compression.as_ref().is_some_and(|queue| queue.is_waiting())
    }

    /// True if TLS has taken what the socket has not.
    fn has_records(&self) -> bool {
        matches!(&self.write_half, WriteHalf::Open(writer) if writer.has_records())
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

    /// Has channels asked for what they keep back, once everything is written.
    pub(crate) fn set_behind(&mut self) {
        self.is_behind = true;
    }

    /// End that has been asked for.
    pub(crate) fn closing(&self) -> Closing {
        self.closing
    }

    /// Has the TCP connection ended like this, unless more has been asked for.
    pub(crate) fn close(&mut self, action: CloseAction) {
        self.closing = self.closing.max(action.into());
        self.flush();
        self.needs_driver = true;
    }

    /// Has the TCP connection ended once everything is written, whatever the peer still sends: the
    /// owner of the queue has seen the end.
    pub(crate) fn detach(&mut self) {
        self.flush();
        self.closing = self.closing.max(Closing::Detached);
        self.needs_driver = true;
    }

    /// True if what is sent can reach nobody any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.write_half.has_failed() || self.closing >= Closing::Detached
    }

    /// True if the connection is gone, or is being ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.write_half.has_failed() || self.closing != Closing::No
    }

    /// Aborts the connection where a write has failed. Otherwise only reading would show it.
    pub(crate) fn abort_if_failed(&mut self) {
        if self.write_half.has_failed() {
            self.closing = Closing::Abort;
            self.needs_driver = true;
        }
    }

    /// Drops all that waits, and has nothing more sent; true once, if the limit has been passed.
    pub(crate) fn abandon(&mut self) -> bool {
        self.closing = Closing::Abort;
        self.compression = None;
        self.buffer.clear();
        mem::take(&mut self.limit_exceeded)
    }
}
