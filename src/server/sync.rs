//! What threads meet at: std's locks and atomics, the eventfd, the halves of a tokio socket. In the
//! models (`models/`, `driver/models/`) they are loom's, and what loom can look into, so that the
//! code around them is tried in every order that threads can bring it into.

#[cfg(all(test, feature = "loom"))]
pub(crate) use super::models::{
    socket::{split, OwnedReadHalf, OwnedWriteHalf},
    sync::{atomic, AtomicWaker, Condvar, Mutex, MutexGuard, Wakeup},
};
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use {
    super::wakeup::Wakeup,
    atomic_waker::AtomicWaker,
    std::sync::{atomic, Condvar, Mutex, MutexGuard},
    tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

/// The two directions of a socket.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn split(stream: tokio::net::TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    stream.into_split()
}
