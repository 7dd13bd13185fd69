//! Addresses of a server, and of a connection: where it comes from, and where it goes to.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Address that a server listens on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// Of TCP.
    Inet(SocketAddr),
    /// Path of a socket of Unix; with a zero byte first, a name in Linux's abstract namespace.
    Unix(Arc<PathBuf>),
}

/// Both ends of a socket, in the room that most of them need. The client's end of a socket of Unix
/// has no address.
#[derive(Debug)]
pub(crate) enum Addresses {
    V4 { peer: SocketAddrV4, local: SocketAddrV4 },
    Other(Box<(SocketAddr, SocketAddr)>),
    Unix(Arc<PathBuf>),
}

impl Addresses {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        match (peer, local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => Self::V4 { peer, local },
            addresses => Self::Other(Box::new(addresses)),
        }
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::V4 { peer, .. } => Some((*peer).into()),
            Self::Other(addresses) => Some(addresses.0),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn peer_ip(&self) -> Option<IpAddr> {
        self.peer().map(|peer| peer.ip())
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::V4 { local, .. } => Some((*local).into()),
            Self::Other(addresses) => Some(addresses.1),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::V4 { .. } | Self::Other(_) => None,
        }
    }
}
