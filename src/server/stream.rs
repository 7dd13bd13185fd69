//! What a driver reads from, and what all who send write to.

use std::{
    future::Future,
    io::{self, IoSlice},
    os::fd::{AsRawFd, RawFd},
    pin::{pin, Pin},
    task::{ready, Context, Poll},
};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{
    link::Shared,
    outbound::Outbound,
    sync::{OwnedReadHalf, OwnedWriteHalf},
    tls::{Ahead, Secured},
};

/// One read takes at most this much that is encrypted: about what a core's nearest memory holds,
/// together with what it becomes.
const CIPHERTEXT: usize = 256 * 1024;

/// The driver's end of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(OwnedReadHalf),
    /// What it reads goes through the session, which stands in the link.
    Tls {
        reader: OwnedReadHalf,
        ahead: Ahead,
        /// The session may have something to say to records that carry nothing for the
        /// application, such as its no to a renegotiation (RFC 5246 section 7.2.2).
        has_replies: bool,
    },
}

impl Stream {
    /// Of a session whose handshake is done: more may have come with the end of it.
    pub(crate) fn secured(reader: OwnedReadHalf) -> Self {
        Self::Tls { reader, ahead: Ahead::Plaintext, has_replies: true }
    }

    /// Reads once, at most `limit` bytes, and lends what came to `take`; `Ok(None)` at the end of the
    /// stream. What is split off the front of it stays where it landed.
    pub(crate) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        limit: usize,
        take: impl FnOnce(&mut BytesMut) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        shared.backlog.landings.lend(|landing| {
            let bytes = landing.room();
            let len = ready!(self.poll_read_to(cx, shared, bytes, limit))?;
            Poll::Ready(Ok((len > 0).then(|| take(bytes))))
        })
    }

    /// Reads once, at most `limit` bytes, to the end of `buffer`; 0 at the end of the stream.
    pub(crate) fn poll_read_to<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        buffer: &mut B,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(reader) => {
                let mut buffer = buffer.limit(limit);
                pin!(reader.read_buf(&mut buffer)).poll(cx)
            }
            Self::Tls { reader, ahead, has_replies } => loop {
                let step = poll_receive(reader, ahead, has_replies, cx, shared, buffer, limit);
                if !matches!(step, Poll::Ready(Ok(0))) || *ahead == Ahead::End {
                    return step;
                }
            },
        }
    }

    /// Whether the session may have something to say that waits for whoever writes next.
    pub(crate) fn has_replies(&self) -> bool {
        matches!(self, Self::Tls { has_replies: true, .. })
    }

    /// It has been said.
    pub(crate) fn has_replied(&mut self) {
        if let Self::Tls { has_replies, .. } = self {
            *has_replies = false;
        }
    }
}

/// Reads and decrypts once: 0 bytes where no record has come whole, too.
fn poll_receive(
    reader: &mut OwnedReadHalf,
    ahead: &mut Ahead,
    has_replies: &mut bool,
    cx: &mut Context<'_>,
    shared: &Shared,
    buffer: &mut impl BufMut,
    limit: usize,
) -> Poll<io::Result<usize>> {
    shared.backlog.encrypted.lend(|landing| {
        let size = limit.min(CIPHERTEXT);
        if landing.len() < size {
            landing.resize(size, 0);
        }
        let mut encrypted = ReadBuf::new(&mut landing[..size]);
        if *ahead == Ahead::Nothing {
            let polled = Pin::new(reader).poll_read(cx, &mut encrypted);
            if polled.is_pending() && *has_replies {
                let mut link = shared.driver_link();
                if let Some(writer) = link.socket.writer() {
                    // An error is found by the next read, too.
                    *has_replies = writer.poll_flush_records(cx).is_pending();
                }
            }
            ready!(polled)?;
            if encrypted.filled().is_empty() {
                *ahead = Ahead::End;
            }
        }
        if *ahead == Ahead::End {
            return Poll::Ready(Ok(0));
        }
        let mut link = shared.driver_link();
        let Some(Writer::Tls(secured)) = link.socket.writer() else {
            *ahead = Ahead::End;
            return Poll::Ready(Ok(0));
        };
        let room = buffer.remaining_mut();
        *ahead = secured.receive(encrypted.filled(), buffer, limit);
        *has_replies |= secured.has_records();
        Poll::Ready(Ok(room - buffer.remaining_mut()))
    })
}

/// A connection's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// It may be written to; with TLS, once that is established, and read through it from then on.
    Here(Writer),
    /// It is open, by this number, but nothing is written: before that, or after the end.
    Elsewhere(RawFd),
    Gone,
}

impl Socket {
    pub(crate) fn writer(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Here(writer) => Some(writer),
            Self::Elsewhere(_) | Self::Gone => None,
        }
    }

    /// Its number, while it is open.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Here(writer) => Some(writer.fd()),
            Self::Elsewhere(fd) => Some(*fd),
            Self::Gone => None,
        }
    }

    /// For the driver: ends our direction.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Here(writer @ Writer::Tls(_)) => writer.poll_shutdown(cx).map(drop),
            // Dropping the writing half shuts the direction down.
            _ => {
                *self = self.fd().map_or(Self::Gone, Self::Elsewhere);
                Poll::Ready(())
            }
        }
    }
}

/// What all who send write to; it stands in the link.
#[derive(Debug)]
pub(crate) enum Writer {
    Plain(OwnedWriteHalf),
    /// One session for both directions: what is read goes through it, too.
    Tls(Box<Secured>),
}

impl Writer {
    /// Whether what it has taken is not all written.
    pub(crate) fn has_records(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => secured.has_records(),
        }
    }

    /// Number of bytes that it has taken and not written.
    pub(crate) fn ahead(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(secured) => secured.ahead(),
        }
    }

    /// The socket's number.
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Plain(socket) => socket.as_ref().as_raw_fd(),
            Self::Tls(secured) => secured.fd(),
        }
    }

    /// How many bytes the socket has taken that were not counted when they were encrypted.
    pub(crate) fn taken(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(secured) => secured.taken(),
        }
    }

    /// Writes what waits, without waiting: whether nothing is left. Whether it `ends` our direction
    /// matters to TLS.
    pub(crate) fn flush(&mut self, out: &mut Outbound, ends: bool) -> io::Result<bool> {
        match self {
            Self::Plain(socket) => out.flush(|slices| write_slices(socket, slices)),
            Self::Tls(secured) => secured.flush(out, ends),
        }
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    pub(crate) fn write_parts(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); 3];
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        let slices = &mut slices[..parts.len()];
        match self {
            Self::Plain(socket) => write_parts(socket, slices),
            Self::Tls(secured) => secured.write_parts(slices),
        }
    }

    /// For the driver: waits until the socket takes something.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(secured) => secured.socket(),
        };
        socket.map_or(Poll::Ready(Ok(())), |socket| socket.as_ref().poll_write_ready(cx))
    }

    /// For the driver: writes what is encrypted already.
    fn poll_flush_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Self::Tls(secured) = self {
            if secured.write_records()? {
                break;
            }
            ready!(self.poll_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// For the driver: ends our direction.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Self::Tls(secured) = self {
            if secured.shut_down() {
                break;
            }
            ready!(self.poll_ready(cx))?;
        }
        Poll::Ready(Ok(()))
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
fn write_parts(socket: &OwnedWriteHalf, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match write_slices(socket, parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
