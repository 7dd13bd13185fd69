//! tokio's threads: one runtime a process, started with the first listener; another one for servers
//! that want another number of threads.

use std::{
    io, mem,
    num::NonZeroUsize,
    process,
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        Mutex, PoisonError,
    },
};

use tokio::runtime::{Builder, Handle, Runtime};

use super::compression_threads::{CompressionThreads, THREADS};

/// Counts the forks between the first process and this one.
static FORK_GENERATION: AtomicU32 = AtomicU32::new(0);

/// This process is the child of a fork.
pub(crate) fn forked() {
    FORK_GENERATION.fetch_add(1, Relaxed);
}

pub(crate) fn fork_generation() -> u32 {
    FORK_GENERATION.load(Relaxed)
}

/// Number of threads that stand in for those that inflate something large.
const MAX_BLOCKING_THREADS: usize = 4;

static RUNTIMES: Mutex<Vec<Running>> = Mutex::new(Vec::new());

struct Running {
    runtime: Runtime,
    compression: CompressionThreads,
    threads: NonZeroUsize,
    pid: u32,
}

/// One of this process's runtimes, if there is one: where work goes that is no server's.
pub(crate) fn any() -> Option<Handle> {
    let running = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = process::id();
    running.iter().find(|one| one.pid == pid).map(|one| one.runtime.handle().clone())
}

/// This process's runtime of so many threads, started where it is not running yet, and its threads
/// that compress.
///
/// After a fork the child gets a runtime of its own: the parent's has no threads here, and
/// dropping it would wait for them, so it is leaked.
pub(crate) fn handle(threads: NonZeroUsize) -> io::Result<(Handle, CompressionThreads)> {
    let mut running = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = process::id();
    if running.iter().any(|one| one.pid != pid) {
        mem::forget(mem::take(&mut *running));
    }
    if let Some(one) = running.iter().find(|one| one.threads == threads) {
        return Ok((one.runtime.handle().clone(), one.compression.clone()));
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.get())
        .max_blocking_threads(MAX_BLOCKING_THREADS + THREADS)
        .thread_name("em-websocket")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let compression = CompressionThreads::default();
    running.push(Running { runtime, compression: compression.clone(), threads, pid });
    Ok((handle, compression))
}
