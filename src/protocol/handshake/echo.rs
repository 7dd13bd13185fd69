//! The answer of draft 75: origin and location come back.

use super::request::Request;
use super::response::Response;
use super::response_writer::ResponseWriter;
use crate::protocol::version::Opening;

pub(super) fn respond(request: &Request) -> Response {
    let head = ResponseWriter::new("101 Web Socket Protocol Handshake")
        .field("Upgrade", b"WebSocket")
        .field("Connection", b"Upgrade")
        .field("WebSocket-Origin", request.header("origin").unwrap_or_default())
        .field("WebSocket-Location", &request.location());
    Response::new(head, Opening::Echo, None, None, b"")
}
