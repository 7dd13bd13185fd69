//! What a driver reads from and, with TLS, writes to.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::{pin, Pin},
    task::{ready, Context, Poll},
};

use bytes::BufMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{tcp::OwnedReadHalf, TcpStream},
};
use tokio_rustls::server::TlsStream;

use super::outbound::Outbound;

/// One read takes at most this much.
const READ: usize = 64 * 1024;

thread_local! {
    /// Where bytes land before they are judged: one buffer a thread, so that no connection holds
    /// one while it waits.
    static LANDING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// The driver's end of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// The writing half is shared: it stands in the link.
    Plain(OwnedReadHalf),
    /// A TLS session has one owner, for both directions.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads once, and lends what came to `take`; `Ok(None)` at the end of the stream.
    pub(crate) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        LANDING.with_borrow_mut(|landing| {
            let mut buffer = ReadBuf::new(landing);
            ready!(self.reader().poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled_mut();
            Poll::Ready(Ok((!bytes.is_empty()).then(|| take(bytes))))
        })
    }

    /// Reads once, at most `limit` bytes, to the end of `buffer`; 0 at the end of the stream.
    pub(crate) fn poll_read_to(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = buffer.limit(limit);
        let mut reader = self.reader();
        pin!(reader.read_buf(&mut buffer)).poll(cx)
    }

    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Self::Plain(half) => Pin::new(half),
            Self::Tls(stream) => Pin::new(stream),
        }
    }
}

/// Writes what waits through TLS; ready once nothing waits and nothing is left unsent.
pub(crate) fn poll_flush_tls(
    stream: &mut TlsStream<TcpStream>,
    out: &mut Outbound,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let written =
        out.flush(|slices| match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        })?;
    // Even where it took everything, the session may hold records that the socket did not take.
    ready!(Pin::new(stream).poll_flush(cx))?;
    if written {
        Poll::Ready(Ok(()))
    } else {
        Poll::Pending
    }
}
