//! Writing the answer's header.

use http::StatusCode;

use super::answer::check_field;
use crate::error::{HandshakeError, UsageError};
use crate::protocol::version::Versions;

/// An answer's header while it is written.
#[derive(Default)]
pub(super) struct Response(Vec<u8>);

impl Response {
    /// Begins with the status line; `status` is the code and its reason.
    pub(super) fn new(status: &str) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(status.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        Self(bytes)
    }

    /// Adds a field. A control byte becomes a space, so that nothing a client sent can end the line.
    pub(super) fn field(mut self, name: &str, value: &[u8]) -> Self {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend(value.iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }));
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// Adds fields as they are written.
    pub(super) fn raw(mut self, fields: &[u8]) -> Self {
        self.0.extend_from_slice(fields);
        self
    }

    /// What is written so far.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Ends the header, with the error's text as the body.
    fn say(self, error: &HandshakeError) -> Vec<u8> {
        self.say_text(&error.to_string())
    }

    fn say_text(self, text: &str) -> Vec<u8> {
        self.field("Content-Type", b"text/plain; charset=utf-8")
            .field("Content-Length", text.len().to_string().as_bytes())
            .end(text.as_bytes())
    }

    /// Ends the header, `body` behind it.
    pub(super) fn end(mut self, body: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(body);
        self.0
    }
}

impl From<Vec<u8>> for Response {
    /// Goes on with what is written already.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// The fields that say where an answer ends, and that the connection ends with it. They are never the
/// application's: a proxy would wait for a body that does not come, or take a part of this one for
/// the next answer (RFC 9112 section 6.3).
const ENDS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// An application's own answer, which opens no WebSocket.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    fields: Vec<u8>,
    has_type: bool,
}

impl Refusal {
    /// An answer with this status: 200 to 599, for 101 alone opens a WebSocket (RFC 6455 section
    /// 4.1).
    ///
    /// # Errors
    /// [`UsageError::Status`].
    pub fn new(status: u16) -> Result<Self, UsageError> {
        let valid = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
        let status = valid.ok_or(UsageError::Status(status))?;
        Ok(Self { status, fields: Vec::new(), has_type: false })
    }

    /// Adds a header field.
    ///
    /// # Errors
    /// [`UsageError::HeaderField`] if it is none (RFC 9110 section 5), or one that says where the
    /// answer ends.
    pub fn add_field(&mut self, name: &str, value: &[u8]) -> Result<(), UsageError> {
        check_field(name, value)?;
        if ENDS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(UsageError::HeaderField(name.to_owned()));
        }
        self.has_type |= name.eq_ignore_ascii_case("content-type");
        let fields = std::mem::take(&mut self.fields);
        self.fields = Response::from(fields).field(name, value).into_bytes();
        Ok(())
    }

    /// What to send before the connection is closed.
    pub fn to_bytes(&self, body: &[u8]) -> Vec<u8> {
        // RFC 9110 section 8.6: a 204 or 304 does not even say how long its body is.
        let is_silent = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = if is_silent || self.status == StatusCode::RESET_CONTENT { b"" } else { body };
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut response = Response::new(&format!("{} {reason}", self.status.as_u16()))
            .field("Connection", b"close")
            .raw(&self.fields);
        if !self.has_type && !body.is_empty() {
            response = response.field("Content-Type", b"text/plain; charset=utf-8");
        }
        if !is_silent {
            response = response.field("Content-Length", body.len().to_string().as_bytes());
        }
        response.end(body)
    }
}

/// The answer to a refused handshake, for the errors that have a status.
pub(super) fn refusal(error: &HandshakeError, spoken: Versions) -> Option<Vec<u8>> {
    let response = match error.status()? {
        426 => return Some(upgrade_required(error, spoken)),
        431 => Response::new("431 Request Header Fields Too Large").field("Connection", b"close"),
        _ => Response::new("400 Bad Request").field("Connection", b"close"),
    };
    Some(response.say(error))
}

/// The answer to a header that is not HTTP below its first line. The error's own text counts bytes
/// as they were cut on the way, which is no business of the client's.
pub(super) fn bad_header() -> Vec<u8> {
    Response::new("400 Bad Request").field("Connection", b"close").say_text("Invalid HTTP header")
}

/// The answer to who would be served after an upgrade, to a version that is spoken.
pub(super) fn upgrade_required(error: &HandshakeError, spoken: Versions) -> Vec<u8> {
    // RFC 9110 section 15.5.22 wants `Upgrade` in it, RFC 6455 section 4.4 the versions.
    let response = Response::new("426 Upgrade Required")
        .field("Upgrade", b"websocket")
        .field("Connection", b"Upgrade, close");
    let response = match spoken.to_header() {
        Some(versions) => response.field("Sec-WebSocket-Version", versions.as_bytes()),
        None => response,
    };
    response.say(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_line() {
        let response =
            Response::new("101 x").field("A", b"b\r\nSet-Cookie: c\0d\te\x7f\xe9").end(b"");
        assert_eq!(response, b"HTTP/1.1 101 x\r\nA: b  Set-Cookie: c d e \xe9\r\n\r\n");
    }

    #[test]
    fn unknown_version_is_told_the_one_to_use() {
        let response = refusal(&HandshakeError::UnsupportedVersion(99), Versions::ALL).unwrap();
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "HTTP/1.1 426 Upgrade Required\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade, close\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 33\r\n\
             \r\n\
             Protocol version 99 not supported"
        );
    }

    #[test]
    fn other_refusals_name_their_error() {
        let response = refusal(&HandshakeError::KeyRequired, Versions::ALL).unwrap();
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "HTTP/1.1 400 Bad Request\r\n\
             Connection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 36\r\n\
             \r\n\
             sec-websocket-key header is required"
        );
        let response = refusal(&HandshakeError::HeaderTooLong(16_384), Versions::ALL).unwrap();
        assert!(response.starts_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert_eq!(refusal(&HandshakeError::NotUpgrade, Versions::ALL), None);
    }
}
