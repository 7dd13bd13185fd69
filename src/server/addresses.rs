//! Addresses of a connection: where it comes from, and where it goes to.

use std::net::{SocketAddr, SocketAddrV4};

/// Both ends of a socket, in the room that most of them need.
#[derive(Debug)]
pub(crate) enum Addresses {
    V4 { peer: SocketAddrV4, local: SocketAddrV4 },
    Other(Box<(SocketAddr, SocketAddr)>),
}

impl Addresses {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        match (peer, local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => Self::V4 { peer, local },
            addresses => Self::Other(Box::new(addresses)),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        match self {
            Self::V4 { peer, .. } => (*peer).into(),
            Self::Other(addresses) => addresses.0,
        }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::V4 { local, .. } => (*local).into(),
            Self::Other(addresses) => addresses.1,
        }
    }
}
