//! Primitives that threads share: std's locks and atomics, the eventfd, the halves of a tokio socket.
//! In the models (`models/`, `driver/models/`) they are loom's, and what loom can look into, so that
//! the code around them is tried in every order that threads can bring it into.

#[cfg(all(test, feature = "loom"))]
pub(crate) use super::models::{
    socket::{split, OwnedReadHalf, OwnedWriteHalf},
    sync::{atomic, on_another_thread, AtomicWaker, Condvar, Mutex, MutexGuard, Wakeup},
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

/// Runs a job on a thread of the runtime's that serves no sockets, and returns what it makes. A
/// panic goes on here.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) async fn on_another_thread<R: Send + 'static>(
    job: impl FnOnce() -> R + Send + 'static,
) -> R {
    match tokio::task::spawn_blocking(job).await {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
