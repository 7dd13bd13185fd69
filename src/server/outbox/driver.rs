//! The driver's part in writing: what is compressed, and what the socket did not take at once.

use std::{
    io, mem,
    os::fd::RawFd,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::Outbox;
use crate::server::{
    outbound::compression::CompressionQueue,
    socket::{WriteHalf, Writer},
};

/// Outcome of a turn of writing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flushed {
    /// Nothing is left.
    pub(crate) is_written: bool,
    /// A socket that was full has taken something, as it does only once the peer has.
    pub(crate) has_taken: bool,
}

impl Outbox {
    /// The socket's write half.
    pub(crate) fn write_half(&mut self) -> &mut WriteHalf {
        &mut self.write_half
    }

    /// Begins to write to the socket.
    pub(crate) fn open(&mut self, writer: Writer) {
        self.write_half = WriteHalf::Open(writer);
    }

    /// The socket's number, while it is open.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        self.write_half.fd()
    }

    /// The messages that wait for compression, where that was agreed.
    pub(crate) fn compression(&mut self) -> Option<&mut CompressionQueue> {
        self.compression.as_deref_mut()
    }

    /// Has messages wait for compression from now on.
    pub(crate) fn begin_compression(&mut self, queue: CompressionQueue) {
        self.compression = Some(Box::new(queue));
    }

    /// Takes the frames that have come of what the queue gave out: whether more waits there.
    pub(crate) fn push_compressed(&mut self, frames: Vec<Bytes>) -> bool {
        for frame in frames {
            self.buffer.push(frame);
        }
        self.compression.as_mut().is_some_and(|queue| {
            queue.done();
            queue.is_waiting()
        })
    }

    /// Writes a turn's worth. Where something is left, the task is woken once the socket takes more,
    /// or others have had their turn.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Flushed {
        let before = (self.buffer.len(), self.bytes_written());
        let was_blocked = self.blocked;
        if self.write_half.has_failed() {
            self.buffer.clear();
        }
        let is_written = match self.write_turn(cx) {
            Ok(is_written) => {
                self.blocked = !is_written;
                is_written
            }
            Err(_) => {
                self.write_half.fail();
                self.blocked = false;
                self.buffer.clear();
                true
            }
        };
        let is_less = self.buffer.len() < before.0 || self.bytes_written() > before.1;
        Flushed { is_written, has_taken: was_blocked && is_less }
    }

    fn write_turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut is_begun = false;
        loop {
            let Self { write_half, buffer, .. } = &mut *self;
            let Some(writer) = write_half.writer() else { return Ok(true) };
            if buffer.is_empty() && !writer.has_records() {
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

    /// Number of bytes that the socket has taken of what TLS had taken before.
    fn bytes_written(&self) -> u64 {
        match &self.write_half {
            WriteHalf::Open(writer) => writer.taken(),
            _ => 0,
        }
    }

    /// Takes a ping whose pong may go now that everything is written.
    pub(crate) fn take_kept_ping(&mut self) -> Option<Vec<u8>> {
        self.cold.as_mut()?.pending_pong.take()
    }

    /// Takes the note that channels have more, once everything is written.
    pub(crate) fn take_behind(&mut self) -> bool {
        mem::take(&mut self.is_behind)
    }
}
