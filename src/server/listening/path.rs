//! A socket of Unix at a path: its file, which takes the place of one that nobody listens on.

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rustix::{
    io::{ioctl_fionbio, Errno},
    net::{self, AddressFamily, SocketAddrUnix},
};

use super::{stream_socket, BindError};

/// Listens at a path. The socket is made under another name, where nobody can connect before it has
/// its permissions, and then takes its place.
pub(super) fn listen_at(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |source| BindError::Path { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::InTheWay(path.to_owned()));
        }
        Ok(_) if is_served(path).map_err(failed)? => {
            return Err(failed(Errno::ADDRINUSE.into()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let socket = stream_socket(AddressFamily::UNIX).map_err(failed)?;
    let name = bind_beside(&socket, path).map_err(failed)?;
    let placed = (|| {
        fs::set_permissions(&name, Permissions::from_mode(mode))?;
        net::listen(&socket, i32::MAX)?;
        ioctl_fionbio(&socket, true)?;
        fs::rename(&name, path)?;
        SocketFile::of(path)
    })();
    match placed {
        Ok(file) => Ok((UnixListener::from(socket), file)),
        Err(error) => {
            let _ = fs::remove_file(&name);
            Err(failed(error))
        }
    }
}

/// Binds a socket to a name of its own in the path's directory. It is short: the system has room
/// for some hundred bytes only.
fn bind_beside(socket: &OwnedFd, path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // The path that clients use must be no longer than the system has room for.
    SocketAddrUnix::new(path)?;
    let mut attempts = 0..100;
    loop {
        let number = COUNT.fetch_add(1, Relaxed);
        let name = path.with_file_name(format!(".{:x}.{number:x}", process::id()));
        match net::bind(socket, &SocketAddrUnix::new(&name)?) {
            Ok(()) => return Ok(name),
            // Left by a process that had this number.
            Err(Errno::ADDRINUSE) if attempts.next().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// True if a socket listens at the path.
fn is_served(path: &Path) -> io::Result<bool> {
    let socket = stream_socket(AddressFamily::UNIX)?;
    // Where its queue is full, connecting would wait.
    ioctl_fionbio(&socket, true)?;
    match net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// File of a socket of ours, which another may have taken the place of.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }

    /// Removes it, if it is still ours. Nobody takes the place of a socket that is served: so it is to
    /// be removed before that is closed.
    pub(super) fn remove(&self) {
        let is_ours = Self::of(&self.path)
            .is_ok_and(|there| (there.device, there.inode) == (self.device, self.inode));
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
