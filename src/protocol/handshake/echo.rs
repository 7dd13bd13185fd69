//! The answer of draft 75: origin and location come back.

use super::request::Request;
use super::response::Response;

pub(super) fn respond(request: &Request) -> Vec<u8> {
    Response::new("101 Web Socket Protocol Handshake")
        .field("Upgrade", b"WebSocket")
        .field("Connection", b"Upgrade")
        .field("WebSocket-Origin", request.header("origin").unwrap_or_default())
        .field("WebSocket-Location", &request.location())
        .end(b"")
}
