//! The file descriptor that wakes the queue's owner: readable while something waits.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
#[cfg(not(target_os = "linux"))]
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// An eventfd, or a pair of sockets where there is none.
#[derive(Debug)]
pub struct Wakeup {
    #[cfg(target_os = "linux")]
    fd: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    pair: (UnixStream, UnixStream),
}

#[cfg(target_os = "linux")]
impl Wakeup {
    /// A wakeup that is not set.
    ///
    /// # Errors
    /// The system's, where it has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        use rustix::event::{eventfd, EventfdFlags};
        Ok(Self { fd: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)? })
    }

    /// Makes the descriptor readable.
    pub fn set(&self) {
        // It can only fail by being full, and then it is readable already.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor not readable.
    pub fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.fd, &mut count);
    }
}

#[cfg(not(target_os = "linux"))]
impl Wakeup {
    /// A wakeup that is not set.
    ///
    /// # Errors
    /// The system's, where it has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let pair = UnixStream::pair()?;
        pair.0.set_nonblocking(true)?;
        pair.1.set_nonblocking(true)?;
        Ok(Self { pair })
    }

    /// Makes the descriptor readable.
    pub fn set(&self) {
        let _ = (&self.pair.1).write(&[1]);
    }

    /// Makes the descriptor not readable.
    pub fn clear(&self) {
        let mut sink = [0; 64];
        while matches!((&self.pair.0).read(&mut sink), Ok(64)) {}
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        #[cfg(target_os = "linux")]
        return self.fd.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        return self.pair.0.as_raw_fd();
    }
}
