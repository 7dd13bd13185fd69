//! The socket that a server listens on: made of an address or a path, or handed in by who has it.

mod path;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream, ToSocketAddrs},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::{SocketAddr as UnixAddress, UnixListener},
    },
    path::{Path, PathBuf},
    sync::Arc,
    task::{ready, Context, Poll},
};

use rustix::{
    io::{fcntl_setfd, ioctl_fionbio, FdFlags},
    net::{self, sockopt, AddressFamily, SocketType},
};
use tokio::net::{TcpListener, TcpStream, UnixListener as TokioUnixListener};

use self::path::{listen_at, SocketFile};
use super::addresses::ListenAddress;

/// Place that a server listens on.
#[derive(Debug)]
pub enum Listen {
    /// Address of TCP.
    Address {
        /// Name or address.
        host: String,
        /// Port; 0: the system chooses.
        port: u16,
        /// True if others may listen on it, too (`SO_REUSEPORT`), among whom the system divides the
        /// clients.
        reuse_port: bool,
    },
    /// Path at which a socket of Unix is made.
    Path {
        /// The path.
        path: PathBuf,
        /// Permissions of the file, from when it is there.
        mode: u32,
    },
    /// A socket that listens already, and that others may have as well.
    Socket(OwnedFd),
}

impl Listen {
    /// An address that nobody else listens on.
    pub fn address(host: &str, port: u16) -> Self {
        Self::Address { host: host.to_owned(), port, reuse_port: false }
    }
}

/// Reason for which no server could be started.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// No socket can be made at the path.
    #[error("cannot listen on {}: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something else is at the path.
    #[error("{} is there, and is no socket", .0.display())]
    InTheWay(PathBuf),
    /// The descriptor that was handed in cannot be accepted from.
    #[error("the descriptor {0}")]
    Socket(&'static str),
    /// The system has no threads or file descriptors left.
    #[error("cannot start the server's threads: {0}")]
    Threads(io::Error),
}

/// A socket that listens, not yet known to a runtime.
#[derive(Debug)]
pub(crate) struct Opened {
    socket: Socket<StdListener, UnixListener>,
    file: Option<SocketFile>,
    address: ListenAddress,
    ending: Ending,
}

/// A socket that listens, until it is dropped.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    socket: Socket<TcpListener, TokioUnixListener>,
    file: Option<SocketFile>,
    ending: Ending,
}

#[derive(Debug)]
enum Socket<T, U> {
    Tcp(T),
    Unix(U),
}

/// End of a listening socket, as far as others matter to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// Nobody else has the address.
    Alone,
    /// Others have the address, but not those who wait at this socket to be accepted: they are
    /// answered.
    Drained,
    /// Others have this socket, and whoever waits at it.
    Shared,
}

impl Opened {
    /// Makes it.
    ///
    /// # Errors
    /// [`BindError`].
    pub(crate) fn new(place: Listen) -> Result<Self, BindError> {
        match place {
            Listen::Address { host, port, reuse_port } => {
                let failed =
                    |source| BindError::Address { address: format!("{host}:{port}"), source };
                let listener = listen(&host, port, reuse_port).map_err(failed)?;
                let address = ListenAddress::Inet(listener.local_addr().map_err(failed)?);
                let ending = if reuse_port { Ending::Drained } else { Ending::Alone };
                Ok(Self { socket: Socket::Tcp(listener), file: None, address, ending })
            }
            Listen::Path { path, mode } => {
                let (listener, file) = listen_at(&path, mode)?;
                Ok(Self {
                    socket: Socket::Unix(listener),
                    file: Some(file),
                    address: ListenAddress::Unix(Arc::new(path)),
                    ending: Ending::Drained,
                })
            }
            Listen::Socket(socket) => {
                let (socket, address) = adopted(socket)?;
                Ok(Self { socket, file: None, address, ending: Ending::Shared })
            }
        }
    }

    /// Address that is listened on.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Has what is accepted begin with or without Nagle's algorithm, where it can be said once for
    /// all; true if it is said.
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> bool {
        match &self.socket {
            // A socket that others have is left as it is.
            Socket::Tcp(listener) if INHERITS_NODELAY && self.ending != Ending::Shared => {
                sockopt::set_tcp_nodelay(listener, nodelay).is_ok()
            }
            Socket::Tcp(_) => false,
            Socket::Unix(_) => true,
        }
    }

    /// Registers it with the runtime that is entered.
    pub(crate) fn register(self) -> io::Result<ListeningSocket> {
        let socket = match self.socket {
            Socket::Tcp(listener) => Socket::Tcp(TcpListener::from_std(listener)?),
            Socket::Unix(listener) => Socket::Unix(TokioUnixListener::from_std(listener)?),
        };
        Ok(ListeningSocket { socket, file: self.file, ending: self.ending })
    }
}

impl ListeningSocket {
    /// Its number.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_raw_fd(),
            Socket::Unix(listener) => listener.as_raw_fd(),
        }
    }

    /// True if another process may go on with it, or with its address.
    pub(crate) fn is_shared(&self) -> bool {
        self.ending != Ending::Alone
    }

    /// Accepts one connection, and the address that it comes from; `None` for a socket of Unix,
    /// which is served as one of TCP: reading, writing and waiting are the same to the system.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, Option<SocketAddr>)>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((stream, Some(peer))))
            }
            Socket::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                let stream = StdStream::from(OwnedFd::from(stream.into_std()?));
                Poll::Ready(TcpStream::from_std(stream).map(|stream| (stream, None)))
            }
        }
    }

    /// Closes it, and hands on those who wait at it where nobody else will accept them: those of an
    /// address that others have as well, or, if `all`, of any that is not theirs.
    ///
    /// Who comes after the last one and before the socket is closed is reset by the system.
    pub(crate) fn close(self, all: bool, mut left: impl FnMut(StdStream)) {
        if let Some(file) = &self.file {
            file.remove();
        }
        let hands_on = match self.ending {
            Ending::Alone => all,
            Ending::Drained => true,
            Ending::Shared => false,
        };
        if !hands_on {
            return;
        }
        type Accept = Box<dyn Fn() -> io::Result<StdStream>>;
        let accept = match self.socket {
            Socket::Tcp(listener) => listener.into_std().map(|listener| {
                Box::new(move || listener.accept().map(|(stream, _)| stream)) as Accept
            }),
            Socket::Unix(listener) => listener.into_std().map(|listener| {
                let accept = move || listener.accept().map(|(stream, _)| stream);
                Box::new(move || accept().map(|stream| StdStream::from(OwnedFd::from(stream))))
                    as Accept
            }),
        };
        let Ok(accept) = accept else { return };
        for _ in 0..MOST_LEFT {
            match accept() {
                Ok(stream) => left(stream),
                Err(error) if is_the_clients(&error) => {}
                Err(_) => break,
            }
        }
    }
}

/// Number of connections that are taken from a socket that is being closed, at most: more than may
/// wait at one, and less than for ever.
const MOST_LEFT: usize = 65_536;

/// True if an accepted socket has the options of the one that listens: it is a copy of it.
const INHERITS_NODELAY: bool = cfg!(all(target_os = "linux", not(feature = "portable")));

/// True if accepting failed for one client only (accept(2): it is gone before it was accepted).
pub(crate) fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Listens on the first of the host's addresses that can be listened on. As many connections may
/// wait to be accepted as the system allows, where the standard library has 128: one reconnect of
/// many clients is more, and what finds no room tries again after a second, then after three.
fn listen(host: &str, port: u16, reuse_port: bool) -> io::Result<StdListener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let listener =
        if reuse_port { bind_with_others(&addresses)? } else { StdListener::bind(&addresses[..])? };
    // Of a socket that listens already it changes only that. More than it allows, the system cuts
    // down to it; where it did not, there would be the 128 that there are.
    let _ = net::listen(&listener, i32::MAX);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// As [`StdListener::bind`], for an address that others may have bound in the same way.
fn bind_with_others(addresses: &[SocketAddr]) -> io::Result<StdListener> {
    let mut failure = io::Error::from(io::ErrorKind::InvalidInput);
    for address in addresses {
        match bind_one_with_others(address) {
            Ok(socket) => return Ok(StdListener::from(socket)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bind_one_with_others(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = stream_socket(family)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    net::bind(&socket, address)?;
    net::listen(&socket, i32::MAX)?;
    Ok(socket)
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = net::socket(family, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

type Adopted = (Socket<StdListener, UnixListener>, ListenAddress);

/// A socket that was handed in, if it is one that listens.
fn adopted(socket: OwnedFd) -> Result<Adopted, BindError> {
    match sockopt::socket_type(&socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err(BindError::Socket("is no stream socket")),
        Err(_) => return Err(BindError::Socket("is no socket")),
    }
    if !listens(&socket) {
        return Err(BindError::Socket("is a socket that does not listen"));
    }
    // It is one setting for all who have the socket, who wait by other means than reading, too.
    ioctl_fionbio(&socket, true).map_err(|_| BindError::Socket("cannot be waited for"))?;
    let listener = StdListener::from(socket);
    if let Ok(address) = listener.local_addr() {
        return Ok((Socket::Tcp(listener), ListenAddress::Inet(address)));
    }
    let listener = UnixListener::from(OwnedFd::from(listener));
    match listener.local_addr() {
        Ok(address) => {
            let path = Arc::new(path_of(&address));
            Ok((Socket::Unix(listener), ListenAddress::Unix(path)))
        }
        Err(_) => Err(BindError::Socket("is a socket of neither TCP nor Unix")),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn listens(socket: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// There the system does not tell.
#[cfg(target_vendor = "apple")]
fn listens(_: &OwnedFd) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn path_of(address: &UnixAddress) -> PathBuf {
    use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStringExt};

    match address.as_abstract_name() {
        Some(name) => std::ffi::OsString::from_vec([b"\0", name].concat()).into(),
        None => address.as_pathname().map(Path::to_owned).unwrap_or_default(),
    }
}

#[cfg(not(target_os = "linux"))]
fn path_of(address: &UnixAddress) -> PathBuf {
    address.as_pathname().map(Path::to_owned).unwrap_or_default()
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used, reason = "clippy knows test functions, and not what they share")]
mod tests {
    use std::{os::unix::net::UnixStream, time::Duration};

    use super::*;

    #[test]
    fn the_listener_lets_as_many_clients_wait_as_come_at_once() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let allowed = allowed.map_or(128, |text| text.trim().parse().unwrap());
        let listener = listen("localhost", 0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        // Nobody accepts. What finds no room is not refused, but left to try again.
        let clients: Vec<_> = (0..allowed.min(400))
            .map(|_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(900)))
            .collect();
        let count = clients.iter().filter(|client| client.is_ok()).count();
        assert_eq!(count, clients.len());
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap()
    }

    /// Number of those that are handed on by a socket at which three wait.
    fn handed_on(place: Listen, all: bool) -> usize {
        let runtime = runtime();
        let _inside = runtime.enter();
        let opened = Opened::new(place).unwrap();
        let mut unix = Vec::new();
        let mut tcp = Vec::new();
        for _ in 0..3 {
            match opened.address() {
                ListenAddress::Inet(address) => tcp.push(StdStream::connect(address).unwrap()),
                ListenAddress::Unix(path) => unix.push(UnixStream::connect(&**path).unwrap()),
            }
        }
        let mut count = 0;
        opened.register().unwrap().close(all, |_| count += 1);
        count
    }

    #[test]
    fn who_waits_at_a_socket_that_is_closed_is_handed_on_unless_others_have_it() {
        let address =
            |reuse_port| Listen::Address { host: "127.0.0.1".into(), port: 0, reuse_port };
        let path = std::env::temp_dir().join(format!("em-{}.sock", std::process::id()));
        let shared = || Listen::Socket(StdListener::bind("127.0.0.1:0").unwrap().into());
        assert_eq!(handed_on(address(false), false), 0);
        assert_eq!(handed_on(address(false), true), 3);
        assert_eq!(handed_on(address(true), false), 3);
        assert_eq!(handed_on(Listen::Path { path: path.clone(), mode: 0o600 }, false), 3);
        assert_eq!(handed_on(shared(), true), 0);
        assert!(!path.exists());
    }
}
