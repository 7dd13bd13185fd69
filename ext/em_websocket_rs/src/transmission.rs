//! `Native.transmission`: what the system knows of a TCP connection's acknowledgements.

use std::net::SocketAddr;

use em_websocket::server::Transmission;
use magnus::{function, Error, RModule};

/// `[acknowledged bytes, unacknowledged ones, seconds since the last acknowledgement]` of the TCP
/// connection with these ends; nil where the system does not tell.
fn transmission(
    host: String,
    port: u16,
    peer_host: String,
    peer_port: u16,
) -> Option<(u64, u64, f64)> {
    let local = SocketAddr::new(host.parse().ok()?, port);
    let peer = SocketAddr::new(peer_host.parse().ok()?, peer_port);
    let told = Transmission::between(local, peer)?;
    Some((told.acked, told.unacked, told.since_ack.as_secs_f64()))
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("transmission", function!(transmission, 4))
}
