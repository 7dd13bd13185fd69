//! What a driver reads from and, with TLS, writes to.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::{pin, Pin},
    task::{ready, Context, Poll},
};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{landing::Landing, outbound::Outbound, sync::OwnedReadHalf};

super::sync::thread_local! {
    /// Where bytes land before they are judged: one place a thread, so that no connection holds
    /// memory while it waits.
    static LANDING: RefCell<Landing> = RefCell::default();
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
    /// Reads once, at most `limit` bytes, and lends what came to `take`; `Ok(None)` at the end of the
    /// stream. What is split off the front of it stays where it landed.
    pub(crate) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&mut BytesMut) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        LANDING.with(|landing| {
            let mut landing = landing.borrow_mut();
            let bytes = landing.room();
            let polled = {
                let mut reader = self.reader();
                let mut buffer = (&mut *bytes).limit(limit);
                pin!(reader.read_buf(&mut buffer)).poll(cx)
            };
            if polled.is_pending() {
                self.flush_replies(cx);
            }
            let len = ready!(polled)?;
            Poll::Ready(Ok((len > 0).then(|| take(bytes))))
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
        let polled = pin!(self.reader().read_buf(&mut buffer)).poll(cx);
        if polled.is_pending() {
            self.flush_replies(cx);
        }
        polled
    }

    /// Sends what TLS has to say to records that carry nothing for the application, such as its no
    /// to a renegotiation (RFC 5246 section 7.2.2): nothing else may have to be written for long.
    fn flush_replies(&mut self, cx: &mut Context<'_>) {
        if let Self::Tls(stream) = self {
            if stream.get_ref().1.wants_write() {
                // An error is found by the next read, too.
                let _ = Pin::new(stream).poll_flush(cx);
            }
        }
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
