//! The write half of a connection's socket, plain or encrypted; the connection's state owns it.

use std::{
    io::{self, IoSlice},
    mem,
    os::fd::{AsRawFd, RawFd},
    task::{ready, Context, Poll},
};

use super::{
    outbound::buffer::OutboundBuffer,
    sync::OwnedWriteHalf,
    tcp::{write_parts, write_slices},
    tls::Secured,
};

/// The write half of a socket, and whether it may be used.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    /// It may be written to; with TLS, once that is established, and read through it from then on.
    Open(Writer),
    /// A write failed: what is sent is dropped, until reading shows the end.
    Failed(Box<Writer>),
    /// It is open, by this number, but nothing is written: before that, or after the end.
    Unavailable(RawFd),
    /// The socket is closed.
    Closed,
}

impl WriteHalf {
    pub(crate) fn writer(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Open(writer) => Some(writer),
            Self::Failed(_) | Self::Unavailable(_) | Self::Closed => None,
        }
    }

    /// Writer that is read through with TLS, whether or not it can still be written to.
    pub(crate) fn session(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Open(writer) => Some(writer),
            Self::Failed(writer) => Some(writer),
            Self::Unavailable(_) | Self::Closed => None,
        }
    }

    /// A write has failed.
    pub(crate) fn fail(&mut self) {
        *self = match mem::replace(self, Self::Closed) {
            Self::Open(writer) => Self::Failed(Box::new(writer)),
            other => other,
        };
    }

    /// True once a write has failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Its number, while it is open.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Open(writer) => Some(writer.fd()),
            Self::Failed(writer) => Some(writer.fd()),
            Self::Unavailable(fd) => Some(*fd),
            Self::Closed => None,
        }
    }

    /// For the driver: ends our direction.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(writer @ Writer::Tls(_)) = self.session() {
            return writer.poll_shutdown(cx).map(drop);
        }
        // Dropping the writing half shuts the direction down.
        *self = self.fd().map_or(Self::Closed, Self::Unavailable);
        Poll::Ready(())
    }
}

/// Writer of a socket: all who send write through it, under the lock of the connection's state.
#[derive(Debug)]
pub(crate) enum Writer {
    Plain(OwnedWriteHalf),
    /// One session for both directions: what is read goes through it, too.
    Tls(Box<Secured>),
}

impl Writer {
    /// True if what it has taken is not all written.
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

    /// Number of bytes that the socket has taken that were not counted when they were encrypted.
    pub(crate) fn taken(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(secured) => secured.taken(),
        }
    }

    /// Writes what waits, without waiting: whether nothing is left. Whether it `ends` our direction
    /// matters to TLS.
    pub(crate) fn flush(&mut self, out: &mut OutboundBuffer, ends: bool) -> io::Result<bool> {
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
    pub(crate) fn poll_flush_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
