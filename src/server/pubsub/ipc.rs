//! Directory in which the processes of one host meet without a broker: one of them is the
//! [hub](super::hub), and serves on a socket there.
//!
//! It is the one that has a lock on a file of the directory. The system gives up the lock when the
//! process ends, however it does, and the next one that wants to connect becomes the hub. It is
//! POSIX's kind of lock, which a forked child does not have, as it would have flock(2)'s. All such
//! locks on a file end when any descriptor of it is closed, so that a process opens it only where it
//! is not the hub yet.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io, mem,
    os::{
        fd::{AsRawFd, RawFd},
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{fcntl_lock, FlockOperation},
    io::Errno,
    process::geteuid,
};

use super::hub::Hub;
use crate::server::process::PerProcess;

/// Bytes of a socket's path, at most (`sun_path` without its end).
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Bits of a mode by which others than the owner may do something.
const OTHERS: u32 = 0o077;

const SOCKET: &str = "hub.sock";
const LOCK: &str = "lock";

/// Reasons not to meet in a directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum IpcError {
    #[error("belongs to another user: the directory has to be this process's user's own")]
    NotOurs,
    #[error(
        "has mode {0:04o}: users other than its owner must not have access to the directory \
         (chmod 0700)"
    )]
    TooOpen(u32),
    #[error("is not a directory")]
    NotADirectory,
    #[error(
        "is too long a path: with /{SOCKET} behind it, it may have {LONGEST_PATH} bytes, and has {0}"
    )]
    PathTooLong(usize),
    #[error("cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Path of the socket of a directory's hub. This process becomes the hub if nobody is, and serves on
/// the current runtime.
#[allow(clippy::unused_async, reason = "it needs a runtime around it")]
pub(super) async fn reach(directory: &Path) -> Result<PathBuf, IpcError> {
    let socket = directory.join(SOCKET);
    let length = socket.as_os_str().as_bytes().len();
    if length > LONGEST_PATH {
        return Err(IpcError::PathTooLong(length));
    }
    let id = check(directory)?;
    let mut hubs = hubs();
    if hubs.iter().any(|one| one.pid != process::id()) {
        // A fork that nobody has told of: to drop them would disconnect the parent's members.
        mem::forget(mem::take(&mut *hubs));
    }
    hubs.retain(|one| one.directory != id || one.is_current());
    if !hubs.iter().any(|one| one.directory == id) {
        hubs.extend(Serving::elected(directory, id)?);
    }
    Ok(socket)
}

/// Descriptors that a forked child has of its parent's hubs, and may close.
pub(super) fn inherited_fds() -> Vec<RawFd> {
    // A thread of the parent's may have held the lock at the fork.
    let hubs = HUBS.of_parent().and_then(|hubs| hubs.try_lock().ok());
    let of_hub = |one: &Serving| {
        let mut fds = one.hub.inherited_fds();
        fds.push(one.lock.as_raw_fd());
        fds
    };
    hubs.iter().flat_map(|hubs| hubs.iter()).flat_map(of_hub).collect()
}

/// Makes the directory if it is not there, and sees whether it is this user's alone.
fn check(directory: &Path) -> Result<Id, IpcError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let metadata = fs::metadata(directory)?;
    if !metadata.is_dir() {
        return Err(IpcError::NotADirectory);
    }
    if metadata.uid() != geteuid().as_raw() {
        return Err(IpcError::NotOurs);
    }
    match metadata.mode() & 0o7777 {
        mode if mode & OTHERS != 0 => Err(IpcError::TooOpen(mode)),
        _ => Ok(Id::of(&metadata)),
    }
}

/// A file or a directory, whatever path leads to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    fn at(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// Hub of a directory, which this process is.
#[derive(Debug)]
struct Serving {
    directory: Id,
    pid: u32,
    place: Place,
    hub: Hub,
    /// Held as long as this process is the hub.
    lock: File,
}

/// Files by which others find a hub.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    socket: (PathBuf, Id),
    lock: (PathBuf, Id),
}

impl Place {
    /// False where somebody has removed or replaced a file: others would wait for a hub that they do
    /// not find.
    fn is_there(&self) -> bool {
        [&self.socket, &self.lock].into_iter().all(|(path, id)| Id::at(path) == Some(*id))
    }
}

impl Serving {
    /// Tries to become the hub; `None` where another process is.
    fn elected(directory: &Path, id: Id) -> io::Result<Option<Self>> {
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).mode(0o600).open(&path)?;
        match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            outcome => outcome?,
        }
        let lock_id = Id::of(&lock.metadata()?);
        let socket = directory.join(SOCKET);
        let listener = listen(&socket)?;
        let socket_id = Id::of(&fs::symlink_metadata(&socket)?);
        let place = Place { socket: (socket, socket_id), lock: (path, lock_id) };
        let seen = place.clone();
        let hub = Hub::serve(listener, move || seen.is_there())?;
        Ok(Some(Self { directory: id, pid: process::id(), place, hub, lock }))
    }

    /// True while others find it, on a runtime that runs.
    fn is_current(&self) -> bool {
        self.hub.is_serving() && self.place.is_there()
    }
}

/// Listens in place of a hub that is gone.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    // As many may wait as the system allows: all processes connect at once when a hub ends.
    let _ = rustix::net::listen(&listener, i32::MAX);
    Ok(listener)
}

/// The hubs of one process.
type Hubs = Mutex<Vec<Serving>>;

static HUBS: PerProcess<Hubs> = PerProcess::new();

fn hubs() -> MutexGuard<'static, Vec<Serving>> {
    HUBS.get(Hubs::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a forked child, while it has one thread.
pub(crate) fn forked() {
    HUBS.forked();
}

#[cfg(test)]
mod tests;
