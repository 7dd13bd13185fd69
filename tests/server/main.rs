//! The server on loopback, driven by clients that were written elsewhere, and by raw sockets.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]
#![cfg(feature = "server")]
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod channel_limits;
mod channel_model;
mod channels;
mod clocks;
mod closing;
mod deciding;
mod fairness;
mod http;
mod independent;
mod keepalive;
mod opening;
mod pressure;
mod proxied;
mod read_size;
mod sending;
mod server_limits;
mod stopping;
mod tls;
mod tls_attacks;
mod unfinished;

#[path = "../support/client.rs"]
mod client;
#[path = "../support/reactor.rs"]
mod reactor;
#[path = "../support/mod.rs"]
mod support;
