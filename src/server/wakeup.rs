//! The file descriptor that wakes the queue's owner: readable while something waits. It is an
//! eventfd on Linux, and one of a pair of sockets elsewhere and with the feature `portable`.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub use event::Wakeup;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub use pair::Wakeup;

#[cfg(all(target_os = "linux", any(test, not(feature = "portable"))))]
#[cfg_attr(test, allow(unreachable_pub, reason = "the tests have both kinds"))]
mod event {
    use std::{
        io,
        os::fd::{AsRawFd, OwnedFd, RawFd},
    };

    use rustix::event::{eventfd, EventfdFlags};

    /// An eventfd.
    #[derive(Debug)]
    pub struct Wakeup {
        fd: OwnedFd,
    }

    impl Wakeup {
        /// A wakeup that is not set.
        ///
        /// # Errors
        /// The system's, where it has no file descriptor left.
        pub fn new() -> io::Result<Self> {
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

        /// Every descriptor that it has open.
        pub fn fds(&self) -> Vec<RawFd> {
            vec![self.as_raw_fd()]
        }
    }

    impl AsRawFd for Wakeup {
        fn as_raw_fd(&self) -> RawFd {
            self.fd.as_raw_fd()
        }
    }
}

#[cfg(any(all(test, not(feature = "loom")), not(target_os = "linux"), feature = "portable"))]
#[cfg_attr(test, allow(unreachable_pub, reason = "the tests have both kinds"))]
mod pair {
    use std::{
        io::{self, Read, Write},
        os::{
            fd::{AsRawFd, RawFd},
            unix::net::UnixStream,
        },
    };

    /// A pair of sockets: what is written to one makes the other readable.
    #[derive(Debug)]
    pub struct Wakeup {
        readable: UnixStream,
        writer: UnixStream,
    }

    impl Wakeup {
        /// A wakeup that is not set.
        ///
        /// # Errors
        /// The system's, where it has no file descriptor left.
        pub fn new() -> io::Result<Self> {
            let (readable, writer) = UnixStream::pair()?;
            readable.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { readable, writer })
        }

        /// Makes the descriptor readable.
        pub fn set(&self) {
            // It can only fail by being full, and then it is readable already.
            let _ = (&self.writer).write(&[1]);
        }

        /// Makes the descriptor not readable.
        pub fn clear(&self) {
            let mut sink = [0; 64];
            while matches!((&self.readable).read(&mut sink), Ok(64)) {}
        }

        /// Every descriptor that it has open.
        pub fn fds(&self) -> Vec<RawFd> {
            vec![self.readable.as_raw_fd(), self.writer.as_raw_fd()]
        }
    }

    impl AsRawFd for Wakeup {
        fn as_raw_fd(&self) -> RawFd {
            self.readable.as_raw_fd()
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::time::Duration;

    use mio::{unix::SourceFd, Events, Interest, Poll, Token};

    /// True if a descriptor is readable, now.
    fn is_readable(fd: i32) -> bool {
        let (mut poll, mut events) = (Poll::new().expect("epoll"), Events::with_capacity(1));
        let mut source = SourceFd(&fd);
        poll.registry().register(&mut source, Token(0), Interest::READABLE).expect("a descriptor");
        poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll_wait");
        !events.is_empty()
    }

    /// Tests of each kind of wakeup, whichever is this system's.
    macro_rules! of_each_kind {
        ($kind:ident, $descriptors:literal) => {
            mod $kind {
                use std::os::fd::AsRawFd;

                use super::{super::$kind::Wakeup, is_readable};

                #[test]
                fn its_descriptor_is_readable_from_the_first_set_to_clear() {
                    let wakeup = Wakeup::new().unwrap();
                    for sets in [1, 2, 63, 64, 65, 1_000] {
                        assert!(!is_readable(wakeup.as_raw_fd()), "before {sets}");
                        (0..sets).for_each(|_| wakeup.set());
                        assert!(is_readable(wakeup.as_raw_fd()), "{sets}");
                        wakeup.clear();
                    }
                    assert!(!is_readable(wakeup.as_raw_fd()));
                }

                #[test]
                fn set_by_whoever_never_sees_it_cleared_it_blocks_nobody() {
                    let wakeup = Wakeup::new().unwrap();
                    (0..300_000).for_each(|_| wakeup.set());
                    assert!(is_readable(wakeup.as_raw_fd()));
                    wakeup.clear();
                    assert!(!is_readable(wakeup.as_raw_fd()));
                }

                #[test]
                fn cleared_where_it_is_not_set_it_blocks_nobody() {
                    let wakeup = Wakeup::new().unwrap();
                    wakeup.clear();
                    assert!(!is_readable(wakeup.as_raw_fd()));
                }

                #[test]
                fn a_wakeup_tells_of_every_descriptor_that_it_has() {
                    let wakeup = Wakeup::new().unwrap();
                    let fds = wakeup.fds();
                    assert_eq!(fds.len(), $descriptors);
                    assert!(fds.contains(&wakeup.as_raw_fd()));
                }
            }
        };
    }

    #[cfg(target_os = "linux")]
    of_each_kind!(event, 1);
    of_each_kind!(pair, 2);
}
