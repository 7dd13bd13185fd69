//! The system's word on what a peer has taken of what was written to its socket.
//!
//! A socket says "writable" only once a third of its buffer is free, and what it holds may be
//! megabytes: of a slow peer it says nothing for long. Linux tells how far the peer has
//! acknowledged (`SIOCOUTQ`, `TCP_INFO`), here by its netlink interface `sock_diag(7)`, which needs
//! no `unsafe`. Elsewhere, and where a sandbox forbids netlink, nothing is known.

#[cfg(test)]
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::{net::SocketAddr, time::Duration};

use super::addresses::Addresses;

/// A port of ours of whose connections the system tells nothing, as elsewhere than on Linux.
#[cfg(test)]
pub(crate) static UNTOLD: AtomicU16 = AtomicU16::new(0);

/// Progress of what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmission {
    /// Number of bytes that the peer's system has acknowledged, ever.
    pub acked: u64,
    /// Number of bytes that it has not acknowledged.
    pub unacked: u64,
    /// Time since it acknowledged anything.
    pub since_ack: Duration,
}

impl Transmission {
    /// Of the connection with these ends; `None` where the system does not tell.
    pub fn between(local: SocketAddr, peer: SocketAddr) -> Option<Self> {
        #[cfg(test)]
        if UNTOLD.load(SeqCst) == local.port() {
            return None;
        }
        system::ask(local, peer)
    }

    /// The same.
    pub(crate) fn of(addresses: &Addresses) -> Option<Self> {
        Self::between(addresses.local()?, addresses.peer()?)
    }
}

#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod system {
    use std::net::SocketAddr;

    use super::Transmission;

    pub(super) fn ask(_: SocketAddr, _: SocketAddr) -> Option<Transmission> {
        None
    }
}

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod system {
    use std::{
        net::{IpAddr, SocketAddr},
        time::Duration,
    };

    use rustix::net::{
        netlink, recv, send, socket_with, AddressFamily, RecvFlags, SendFlags, SocketFlags,
        SocketType,
    };

    use super::Transmission;

    /// `SOCK_DIAG_BY_FAMILY` and `NLM_F_REQUEST` (linux/sock_diag.h, linux/netlink.h).
    const BY_FAMILY: u16 = 20;
    const REQUEST: u16 = 1;
    /// `INET_DIAG_INFO`: an attribute that is a `tcp_info` (linux/inet_diag.h).
    const INFO: u16 = 2;
    const TCP: u8 = 6;
    /// Of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
    const HEADER: usize = 16;
    const ASKED: usize = HEADER + 56;
    const TOLD: usize = HEADER + 72;
    /// In `inet_diag_msg`: the peer's port, and what is not acknowledged.
    const PEER_PORT: usize = HEADER + 6;
    const UNACKED: usize = HEADER + 60;
    /// In `tcp_info`.
    const SINCE_ACK: usize = 56;
    const ACKED: usize = 120;

    pub(super) fn ask(local: SocketAddr, peer: SocketAddr) -> Option<Transmission> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol).ok()?;
        send(&socket, &question(local, peer), SendFlags::empty()).ok()?;
        // The system has answered by now.
        let mut told = [0; 1024];
        let (len, _) = recv(&socket, &mut told, RecvFlags::DONTWAIT).ok()?;
        answer(&told[..len], peer)
    }

    fn question(local: SocketAddr, peer: SocketAddr) -> [u8; ASKED] {
        let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let mut bytes = [0; ASKED];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &(ASKED as u32).to_ne_bytes());
        put(4, &BY_FAMILY.to_ne_bytes());
        put(6, &REQUEST.to_ne_bytes());
        put(HEADER, &[family.as_raw() as u8, TCP, 1 << (INFO - 1)]);
        // In any state.
        put(HEADER + 4, &u32::MAX.to_ne_bytes());
        put(HEADER + 8, &local.port().to_be_bytes());
        put(HEADER + 10, &peer.port().to_be_bytes());
        for (at, end) in [(HEADER + 12, local), (HEADER + 28, peer)] {
            match end.ip() {
                IpAddr::V4(ip) => put(at, &ip.octets()),
                IpAddr::V6(ip) => put(at, &ip.octets()),
            }
        }
        let scope = match peer {
            SocketAddr::V6(peer) => peer.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        put(HEADER + 44, &scope.to_ne_bytes());
        // Whichever socket it is (`INET_DIAG_NOCOOKIE`).
        put(HEADER + 48, &u64::MAX.to_ne_bytes());
        bytes
    }

    fn answer(bytes: &[u8], peer: SocketAddr) -> Option<Transmission> {
        let kind = u16::from_ne_bytes(part(bytes, 4)?);
        // A socket that listens on that port may be found, where there is no such one.
        if kind != BY_FAMILY || u16::from_be_bytes(part(bytes, PEER_PORT)?) != peer.port() {
            return None;
        }
        let unacked = u32::from_ne_bytes(part(bytes, UNACKED)?);
        let mut attributes = bytes.get(TOLD..)?;
        loop {
            let len = usize::from(u16::from_ne_bytes(part(attributes, 0)?));
            if u16::from_ne_bytes(part(attributes, 2)?) == INFO {
                let info = attributes.get(4..len)?;
                let since_ack = u32::from_ne_bytes(part(info, SINCE_ACK)?);
                return Some(Transmission {
                    acked: u64::from_ne_bytes(part(info, ACKED)?),
                    unacked: unacked.into(),
                    since_ack: Duration::from_millis(since_ack.into()),
                });
            }
            attributes = attributes.get(len.max(4).next_multiple_of(4)..)?;
        }
    }

    fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
        bytes.get(at..at + N)?.try_into().ok()
    }
}

#[cfg(all(test, target_os = "linux", not(any(feature = "loom", feature = "portable"))))]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    /// Transmission of a stream: nothing to try where netlink is forbidden.
    fn of(stream: &TcpStream) -> Option<Transmission> {
        let (local, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
        Transmission::of(&Addresses::new(peer, local))
    }

    #[test]
    fn the_system_tells_what_a_peer_has_taken() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut ours = listener.accept().unwrap().0;
            ours.set_nonblocking(true).unwrap();
            let Some(before) = of(&ours) else { return };
            let mut written = 0;
            while let Ok(len) = ours.write(&[0; 65_536]) {
                written += len;
            }
            let full = of(&ours).unwrap();
            assert!(full.unacked > 0, "{full:?}");
            assert_eq!(full.acked - before.acked + full.unacked, written as u64);

            let mut left = written;
            let mut bytes = vec![0; 65_536];
            while left > 0 {
                left -= client.read(&mut bytes).unwrap();
            }
            let begin = Instant::now();
            while of(&ours).unwrap().unacked > 0 {
                assert!(begin.elapsed() < Duration::from_secs(10));
            }
            let empty = of(&ours).unwrap();
            assert_eq!(empty.acked - before.acked, written as u64);
            assert!(empty.since_ack < Duration::from_secs(10), "{empty:?}");
        }
    }

    #[test]
    fn the_system_tells_nothing_of_a_socket_that_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let peer = "127.0.0.1:1".parse().unwrap();
        assert_eq!(Transmission::of(&Addresses::new(peer, local)), None);
    }
}
