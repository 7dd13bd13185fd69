//! What a server and its connections are told to be.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;

use crate::protocol::{deflate, handshake, Limits};

/// What one connection is told to be, once the application has seen it accepted.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Encrypts the connection.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether answers name `wss://`: with TLS, or behind a proxy that does TLS.
    pub secure: bool,
    /// Whether bytes are handed on as they come ([`Delivery::Bytes`](super::Delivery::Bytes)),
    /// without any protocol.
    pub raw: bool,
    /// Which subprotocols are spoken; by default the client's first is taken.
    pub subprotocols: handshake::Subprotocols,
    /// Whether the application is asked before an opening handshake is accepted
    /// ([`Opened::answer`](super::Opened::answer)); off by default.
    pub asks: bool,
    /// Agrees to permessage-deflate where the client offers it; off by default.
    pub compression: Option<deflate::Config>,
    /// Whether a plain HTTP request gets an answer (426); off by default.
    pub answers_plain_http: bool,
    /// Whether the application is told when TLS is established, and nothing is read until it has
    /// agreed ([`Delivery::Secured`](super::Delivery::Secured)); off by default.
    pub announces_tls: bool,
    /// What the peer may not exceed.
    pub limits: Limits,
    /// What an opening handshake may not exceed.
    pub handshake: handshake::Limits,
    /// How long the opening handshakes (TLS and WebSocket) may take together; 30 s by default.
    pub handshake_timeout: Duration,
    /// How long our close may stay without answer; 60 s by default.
    pub close_timeout: Duration,
    /// The most bytes that may wait to be written; past it the connection is aborted. No limit by
    /// default.
    pub outbound_limit: Option<usize>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            tls: None,
            secure: false,
            raw: false,
            subprotocols: handshake::Subprotocols::default(),
            asks: false,
            compression: None,
            answers_plain_http: false,
            announces_tls: false,
            limits: Limits::default(),
            handshake: handshake::Limits::default(),
            handshake_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(60),
            outbound_limit: None,
        }
    }
}

/// How much of one connection may wait for the queue's owner before its socket is not read any
/// more. One read (64 KiB) or one message may go past it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Bytes; 1 MiB by default.
    pub bytes: usize,
    /// Messages; 4,096 by default.
    pub messages: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, messages: 4096 }
    }
}
