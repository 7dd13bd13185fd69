//! The core of em-websocket-rs: a WebSocket server that speaks every draft, without a word of Ruby.
//!
//! [`protocol`] is sans-IO: bytes and a `now` in, events and bytes out. `server` (feature
//! `server`, on by default) puts it on sockets with tokio. [`error`] says what can go wrong, and
//! who made it.

#![forbid(unsafe_code)]

pub mod protocol;
#[cfg(feature = "server")]
pub mod server;

pub use protocol::error;
