//! tokio's threads: one runtime a process, started with the first listener.

use std::{
    io, mem, process,
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        Mutex, PoisonError,
    },
};

use tokio::runtime::{Builder, Handle, Runtime};

/// Counts the forks between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Tells the core that this process is the child of a fork.
///
/// The threads, the sockets and what they wait on are the parent's: handles that were made before
/// do nothing from now on, and servers are to be [abandoned](super::Server::abandon).
pub fn forked() {
    GENERATION.fetch_add(1, Relaxed);
}

pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

static RUNTIME: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    runtime: Runtime,
    pid: u32,
}

/// The runtime of this process, started where it is not running yet.
///
/// After a fork the child gets a runtime of its own: the parent's has no threads here, and
/// dropping it would wait for them, so it is leaked.
pub(crate) fn handle() -> io::Result<Handle> {
    let mut running = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(current) = &*running {
        if current.pid == process::id() {
            return Ok(current.runtime.handle().clone());
        }
        mem::forget(running.take());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("em-websocket")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    *running = Some(Running { runtime, pid: process::id() });
    Ok(handle)
}
