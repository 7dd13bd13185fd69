//! Responses that open no WebSocket: those of errors, and an application's own.

use http::StatusCode;

use super::response_writer::{check_field, ResponseWriter};
use crate::error::{HandshakeError, UsageError};
use crate::protocol::version::Versions;

/// The fields that say where an answer ends, and that the connection ends with it. They are never the
/// application's: a proxy would wait for a body that does not come, or take a part of this one for
/// the next answer (RFC 9112 section 6.3).
const ENDS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// An application's own answer, which opens no WebSocket.
#[derive(Debug)]
pub struct Rejection {
    status: StatusCode,
    fields: Vec<u8>,
    has_type: bool,
}

impl Rejection {
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
        self.fields = ResponseWriter::from(fields).field(name, value).into_bytes();
        Ok(())
    }

    /// Response to send before the connection is closed.
    pub fn to_bytes(&self, body: &[u8]) -> Vec<u8> {
        let mut response = self.head(BodyLength::Bytes(body.len()));
        if self.may_have_body() {
            response.extend_from_slice(body);
        }
        response
    }

    /// False where the response ends with its header, whatever that says.
    pub fn may_have_body(&self) -> bool {
        !self.is_silent() && self.status != StatusCode::RESET_CONTENT
    }

    /// RFC 9110 section 8.6: a 204 or 304 does not even say how long its body is.
    fn is_silent(&self) -> bool {
        matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// The header of a response whose body follows.
    pub fn head(&self, length: BodyLength) -> Vec<u8> {
        let length = if self.may_have_body() { length } else { BodyLength::Bytes(0) };
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut response = ResponseWriter::new(&format!("{} {reason}", self.status.as_u16()))
            .field("Connection", b"close")
            .raw(&self.fields);
        if matches!(length, BodyLength::Bytes(1..)) && !self.has_type {
            response = response.field("Content-Type", b"text/plain; charset=utf-8");
        }
        match length {
            BodyLength::Bytes(_) if self.is_silent() => {}
            BodyLength::Bytes(length) => {
                response = response.field("Content-Length", length.to_string().as_bytes());
            }
            BodyLength::Chunked => response = response.field("Transfer-Encoding", b"chunked"),
            BodyLength::UntilClose => {}
        }
        response.end(b"")
    }
}

/// End of a response's body (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyLength {
    /// After so many bytes.
    Bytes(usize),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The answer to a refused handshake, for the errors that have a status.
pub(super) fn rejection(error: &HandshakeError, spoken: Versions) -> Option<Vec<u8>> {
    match error.status()? {
        426 => Some(upgrade_required(error, spoken)),
        503 => Some(unavailable(error)),
        status => Some(close_with(StatusCode::from_u16(status).ok()?).say(error)),
    }
}

/// The response to a client that may come again.
pub fn unavailable(error: &HandshakeError) -> Vec<u8> {
    let response = close_with(StatusCode::SERVICE_UNAVAILABLE);
    match error {
        HandshakeError::TooFast(seconds) => {
            response.field("Retry-After", seconds.to_string().as_bytes()).say(error)
        }
        _ => response.say(error),
    }
}

/// The response to a plain HTTP request whose time is over: the client's, or, where it has come
/// whole, the application's.
pub(super) fn timed_out(is_whole: bool) -> Vec<u8> {
    if is_whole {
        return close_with(StatusCode::SERVICE_UNAVAILABLE).say_text("No response in time");
    }
    close_with(StatusCode::REQUEST_TIMEOUT).say_text("The request has not come in time")
}

fn close_with(status: StatusCode) -> ResponseWriter {
    ResponseWriter::new(&status.to_string()).field("Connection", b"close")
}

/// The answer to a header that is not HTTP below its first line. The error's own text counts bytes
/// as they were cut on the way, which is no business of the client's.
pub(super) fn bad_header() -> Vec<u8> {
    ResponseWriter::new("400 Bad Request")
        .field("Connection", b"close")
        .say_text("Invalid HTTP header")
}

/// The answer to who would be served after an upgrade, to a version that is spoken.
pub(super) fn upgrade_required(error: &HandshakeError, spoken: Versions) -> Vec<u8> {
    // RFC 9110 section 15.5.22 wants `Upgrade` in it, RFC 6455 section 4.4 the versions.
    let response = ResponseWriter::new("426 Upgrade Required")
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
    fn unknown_version_is_told_the_one_to_use() {
        let response = rejection(&HandshakeError::UnsupportedVersion(99), Versions::ALL).unwrap();
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
    fn other_rejections_name_their_error() {
        let response = rejection(&HandshakeError::KeyRequired, Versions::ALL).unwrap();
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "HTTP/1.1 400 Bad Request\r\n\
             Connection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 36\r\n\
             \r\n\
             sec-websocket-key header is required"
        );
        let response = rejection(&HandshakeError::HeaderTooLong(16_384), Versions::ALL).unwrap();
        assert!(response.starts_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert_eq!(rejection(&HandshakeError::NotUpgrade, Versions::ALL), None);
    }
}
