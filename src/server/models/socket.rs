//! A socket that takes a bounded number of bytes, and whoever is at its other end.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Arc,
    },
    task::{Context, Poll, Waker},
    thread,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::sync::{Condvar, Mutex};
use crate::server::locks::lock;

/// No stream of tokio's comes here.
pub(crate) fn split(_: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    unreachable!("models have sockets of their own")
}

/// A socket that holds so many bytes until its peer reads them.
pub(crate) fn pair(room: usize) -> ((OwnedReadHalf, OwnedWriteHalf), Peer) {
    let inbound = Arc::new(Inbound::default());
    let outbound = Arc::new(Outbound {
        state: Mutex::new(Sent { room, is_ready: true, ..Sent::default() }),
        moved: Condvar::default(),
    });
    let halves = (OwnedReadHalf(Arc::clone(&inbound)), OwnedWriteHalf(Arc::clone(&outbound)));
    (halves, Peer { inbound, outbound })
}

/// Bytes that come from the peer.
#[derive(Debug, Default)]
struct Inbound {
    received: Mutex<Received>,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Received {
    /// A read each; no bytes: the end.
    reads: VecDeque<Vec<u8>>,
    reader: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct OwnedReadHalf(Arc<Inbound>);

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut received = lock(&self.0.received);
        match received.reads.pop_front() {
            Some(bytes) => {
                buffer.put_slice(&bytes);
                if bytes.is_empty() {
                    // The end comes with each read from now on.
                    received.reads.push_front(bytes);
                }
                Poll::Ready(Ok(()))
            }
            None => {
                received.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for OwnedReadHalf {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Relaxed);
    }
}

/// Bytes that go to the peer.
#[derive(Debug)]
pub(crate) struct Outbound {
    state: Mutex<Sent>,
    /// Something has been sent, or the end.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Sent {
    bytes: Vec<u8>,
    room: usize,
    /// As tokio knows it: after a write that found no room nothing is tried, until there is some.
    is_ready: bool,
    writer: Option<Waker>,
    is_shut: bool,
}

impl Outbound {
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = lock(&self.state);
        if sent.is_ready {
            return Poll::Ready(Ok(()));
        }
        sent.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[derive(Debug)]
pub(crate) struct OwnedWriteHalf(Arc<Outbound>);

impl OwnedWriteHalf {
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = lock(&self.0.state);
        if !sent.is_ready || sent.room == 0 {
            sent.is_ready = false;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for slice in slices {
            let len = slice.len().min(sent.room);
            sent.bytes.extend_from_slice(&slice[..len]);
            sent.room -= len;
            written += len;
        }
        self.0.moved.notify_all();
        Ok(written)
    }
}

/// A socket's options, which no model looks at.
impl Outbound {
    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Outbound {
    fn as_raw_fd(&self) -> RawFd {
        0
    }
}

impl AsRef<Outbound> for OwnedWriteHalf {
    fn as_ref(&self) -> &Outbound {
        &self.0
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // A model that has failed is not to be touched any more.
        if thread::panicking() {
            return;
        }
        lock(&self.0.state).is_shut = true;
        self.0.moved.notify_all();
    }
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Peer {
    inbound: Arc<Inbound>,
    outbound: Arc<Outbound>,
}

impl Peer {
    /// Sends what one read will bring; no bytes: it sends no more.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut received = lock(&self.inbound.received);
        received.reads.push_back(bytes.to_vec());
        let reader = received.reader.take();
        drop(received);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Waits for something to come, and takes what is there; nothing at the end.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let quiet = |sent: &mut Sent| sent.bytes.is_empty() && !sent.is_shut;
        let mut sent = self.outbound.moved.wait_while(lock(&self.outbound.state), quiet);
        let bytes = mem::take(&mut sent.bytes);
        sent.room += bytes.len();
        sent.is_ready = true;
        let writer = sent.writer.take();
        drop(sent);
        if let Some(writer) = writer {
            writer.wake();
        }
        bytes
    }

    /// True if this end is the only one that is left.
    pub(crate) fn is_alone(&self) -> bool {
        self.inbound.is_closed.load(Relaxed) && lock(&self.outbound.state).is_shut
    }
}
