//! The read half of a connection's socket, plain or encrypted; the driver owns it.

use std::{
    future::Future,
    io,
    pin::{pin, Pin},
    task::{ready, Context, Poll},
};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{buffers::ReadBuffers, socket::Writer, sync::OwnedReadHalf, tls::Ahead};

/// One read takes at most this much that is encrypted: about what a core's nearest memory holds,
/// together with what it becomes.
const CIPHERTEXT: usize = 256 * 1024;

/// The writer that belongs to a reader: with TLS, what is read goes through its session.
pub(crate) trait Session {
    /// Acts on the writer, under its lock; `None` where there is none any more.
    fn with_writer<R>(&self, act: impl FnOnce(&mut Writer) -> R) -> Option<R>;
}

/// The read half of a socket.
#[derive(Debug)]
pub(crate) enum Reader {
    Plain(OwnedReadHalf),
    Tls(TlsReader),
}

/// The read half of a socket that is encrypted; the session stands beside the writer.
#[derive(Debug)]
pub(crate) struct TlsReader {
    socket: OwnedReadHalf,
    ahead: Ahead,
    /// The session may have something to say to records that carry nothing for the application,
    /// such as its no to a renegotiation (RFC 5246 section 7.2.2).
    has_replies: bool,
}

impl Reader {
    /// Of a session whose handshake is done: more may have come with the end of it.
    pub(crate) fn secured(socket: OwnedReadHalf) -> Self {
        Self::Tls(TlsReader { socket, ahead: Ahead::Plaintext, has_replies: true })
    }

    /// Reads once, at most `limit` bytes, to the end of `buffer`; 0 at the end of the stream.
    pub(crate) fn poll_read<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &ReadBuffers,
        session: &impl Session,
        buffer: &mut B,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => {
                let mut buffer = buffer.limit(limit);
                pin!(socket.read_buf(&mut buffer)).poll(cx)
            }
            Self::Tls(reader) => loop {
                let step = reader.poll_receive(cx, buffers, session, buffer, limit);
                if !matches!(step, Poll::Ready(Ok(0))) || reader.ahead == Ahead::End {
                    return step;
                }
            },
        }
    }

    /// True if the session may have something to say that waits for whoever writes next.
    pub(crate) fn has_replies(&self) -> bool {
        matches!(self, Self::Tls(TlsReader { has_replies: true, .. }))
    }

    /// Notes that it has been said.
    pub(crate) fn has_replied(&mut self) {
        if let Self::Tls(reader) = self {
            reader.has_replies = false;
        }
    }
}

impl TlsReader {
    /// Reads and decrypts once: 0 bytes where no record has come whole, too.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &ReadBuffers,
        session: &impl Session,
        buffer: &mut impl BufMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut ciphertext = buffers.ciphertext.get();
        let size = limit.min(CIPHERTEXT);
        if ciphertext.len() < size {
            ciphertext.resize(size, 0);
        }
        let mut encrypted = ReadBuf::new(&mut ciphertext[..size]);
        if self.ahead == Ahead::Nothing {
            let polled = Pin::new(&mut self.socket).poll_read(cx, &mut encrypted);
            if polled.is_pending() && self.has_replies {
                // An error is found by the next read, too.
                let flushed = session.with_writer(|writer| writer.poll_flush_records(cx));
                self.has_replies &= flushed.is_none_or(|flushed| flushed.is_pending());
            }
            ready!(polled)?;
            if encrypted.filled().is_empty() {
                self.ahead = Ahead::End;
            }
        }
        if self.ahead == Ahead::End {
            return Poll::Ready(Ok(0));
        }
        let room = buffer.remaining_mut();
        let received = session.with_writer(|writer| match writer {
            Writer::Plain(_) => (Ahead::End, false),
            Writer::Tls(secured) => {
                let ahead = secured.receive(encrypted.filled(), buffer, limit);
                (ahead, secured.has_records())
            }
        });
        let (ahead, has_records) = received.unwrap_or((Ahead::End, false));
        self.ahead = ahead;
        self.has_replies |= has_records;
        Poll::Ready(Ok(room - buffer.remaining_mut()))
    }
}
