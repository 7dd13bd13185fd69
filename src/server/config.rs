//! Options of a server and its connections.

use std::{num::NonZeroUsize, ops::RangeInclusive, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::ServerConfig;

use super::{keepalive::Keepalive, server_names::ServerNames};
use crate::protocol::{deflate, handshake, version, Limits, Networks, Rate};

/// Options of one connection, once the application has seen it accepted.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Encrypts the connection.
    pub tls: Option<Arc<ServerConfig>>,
    /// Configurations instead of `tls`, for clients that ask for a name which has its own; none by
    /// default.
    pub tls_hosts: Option<Arc<ServerNames>>,
    /// True if answers name `wss://`: with TLS, or behind a proxy that does TLS.
    pub secure: bool,
    /// True if bytes are handed on as they come ([`Delivery::Bytes`](super::Delivery::Bytes)),
    /// without any protocol.
    pub raw: bool,
    /// Subprotocols that are spoken; by default the client's first is taken.
    pub subprotocols: handshake::Subprotocols,
    /// True if the application is asked before an opening handshake is accepted
    /// ([`Opened::response`](super::Opened::response)); off by default.
    pub asks_application: bool,
    /// Agrees to permessage-deflate where the client offers it; off by default.
    pub compression: Option<deflate::Config>,
    /// Holds opening handshakes to RFC 6455, whatever their version, and answers plain HTTP requests
    /// with 426 ([`Handshake::strict`](handshake::Handshake::strict)); off by default.
    pub strict: bool,
    /// True if the application itself answers the requests that are answered although they are no
    /// opening handshakes ([`Delivery::NonWebSocket`](super::Delivery::NonWebSocket)); off by default.
    pub reports_plain_http: bool,
    /// Limit on the body of plain HTTP, in bytes, which the application answers
    /// ([`Delivery::Http`](super::Delivery::Http)); `None`, by default, where it is not asked.
    pub http_body: Option<usize>,
    /// Versions that are spoken; by default all, or 13 and 8 where it is strict.
    pub versions: Option<version::Versions>,
    /// True if the application is told when TLS is established, and nothing is read until it has
    /// agreed ([`Delivery::TlsEstablished`](super::Delivery::TlsEstablished)); off by default.
    pub awaits_tls_verify: bool,
    /// Limits on the peer.
    pub limits: Limits,
    /// Limits on an opening handshake.
    pub handshake: handshake::RequestLimits,
    /// Addresses of proxies whose connections begin with a header of the PROXY protocol; connections
    /// from elsewhere, and without one, are closed. By default there is none.
    pub proxies: Option<Arc<Networks>>,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` are believed; none by default.
    pub trusted_proxies: Option<Arc<Networks>>,
    /// Time that the opening handshakes (TLS and WebSocket) may take together; 30 s by default.
    pub handshake_timeout: Duration,
    /// Time for which our close may stay without answer; 60 s by default.
    pub close_timeout: Duration,
    /// The most bytes that may wait to be written; past it the connection is aborted. No limit by
    /// default.
    pub outbound_limit: Option<usize>,
    /// Time for which a peer may take nothing of what waits for it, before the connection is aborted;
    /// 60 s by default.
    pub write_timeout: Option<Duration>,
    /// Pings of our own, in drafts that have them; none by default.
    pub keepalive: Option<Keepalive>,
    /// Limit on the messages that come, pings and pongs included; none by default.
    pub message_rate: Option<Rate>,
    /// Time for which no message may come or go before the connection is closed (1001), or up to an
    /// eighth longer; no limit by default.
    pub idle_timeout: Option<Duration>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            tls: None,
            tls_hosts: None,
            secure: false,
            raw: false,
            subprotocols: handshake::Subprotocols::default(),
            asks_application: false,
            compression: None,
            strict: false,
            reports_plain_http: false,
            http_body: None,
            versions: None,
            awaits_tls_verify: false,
            limits: Limits::default(),
            handshake: handshake::RequestLimits::default(),
            proxies: None,
            trusted_proxies: None,
            handshake_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(60),
            outbound_limit: None,
            write_timeout: Some(Duration::from_secs(60)),
            keepalive: None,
            message_rate: None,
            idle_timeout: None,
        }
    }
}

/// Limits on what may wait for the queue's owner before sockets are not read any more: the memory
/// that it takes. One read or one message of each connection may go past its limit, and past that
/// of all connections one read of each thread, one message, and 64 KiB of each connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Bytes of one connection; 1 MiB by default.
    pub bytes: usize,
    /// Messages of one connection; 4,096 by default.
    pub messages: usize,
    /// Bytes of all connections of a server together; 64 MiB by default.
    pub total: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, messages: 4096, total: 64 * 1024 * 1024 }
    }
}

/// Number of bytes that one read takes at most; 64 KiB by default.
///
/// Where messages are large, a read takes up to 8 times as many, but not more than
/// [`RANGE`](Self::RANGE) allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadSize(usize);

/// Factor by which more is read where messages are large. With the default it is about what a
/// socket holds, so that most of them come whole.
const LARGER: usize = 8;

impl ReadSize {
    /// Sizes that may be set: less would be a system call for every few messages, and more is not
    /// in a socket at a time.
    pub const RANGE: RangeInclusive<usize> = 4 * 1024..=Self::MOST;

    pub(crate) const MOST: usize = 512 * 1024;

    /// `None` out of [`RANGE`](Self::RANGE).
    pub fn new(bytes: usize) -> Option<Self> {
        Self::RANGE.contains(&bytes).then_some(Self(bytes))
    }

    /// Of a usual read.
    pub(crate) fn usual(self) -> usize {
        self.0
    }

    /// Among large messages.
    pub(crate) fn large(self) -> usize {
        (self.0 * LARGER).min(Self::MOST)
    }
}

impl Default for ReadSize {
    fn default() -> Self {
        Self(64 * 1024)
    }
}

/// Limits on each address; of IPv6, on each network of 64 bits, which is what one client has.
#[derive(Clone, Debug, Default)]
pub struct ClientLimits {
    /// Connections at a time; no limit by default.
    pub connections: Option<usize>,
    /// Connections that are begun; no limit by default.
    pub handshakes: Option<Rate>,
    /// Addresses whose connections are those of others, who are known only once a request has come.
    pub trusted_proxies: Option<Arc<Networks>>,
    /// True if all connections come from proxies, which speak the PROXY protocol.
    pub proxy_protocol: bool,
}

impl ClientLimits {
    /// True if there is one.
    pub fn is_limited(&self) -> bool {
        self.connections.is_some() || self.handshakes.is_some()
    }
}

/// Options of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Limits on what waits for the queue's owner.
    pub queue: QueueLimits,
    /// Number of bytes that one read takes at most.
    pub read_size: ReadSize,
    /// Number of connections that there may be; no limit by default.
    pub max_connections: Option<usize>,
    /// Limits on each client's address; none by default.
    pub clients: ClientLimits,
    /// Response to one too many, before it is closed; none by default.
    pub rejection: Option<Bytes>,
    /// Number of threads that serve its sockets; servers with the same number share them. By default
    /// 1.
    pub threads: NonZeroUsize,
    /// True if small writes leave at once, without Nagle's algorithm; true by default.
    pub tcp_nodelay: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            queue: QueueLimits::default(),
            read_size: ReadSize::default(),
            max_connections: None,
            clients: ClientLimits::default(),
            rejection: None,
            threads: NonZeroUsize::MIN,
            tcp_nodelay: true,
        }
    }
}
