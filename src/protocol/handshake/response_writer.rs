//! Writer of a response's header.

use http::{HeaderName, HeaderValue};

use crate::error::{HandshakeError, UsageError};

/// Header of a response while it is written.
#[derive(Default)]
pub(super) struct ResponseWriter(Vec<u8>);

impl ResponseWriter {
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

    /// Bytes that are written so far.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Ends the header, with the error's text as the body.
    pub(super) fn say(self, error: &HandshakeError) -> Vec<u8> {
        self.say_text(&error.to_string())
    }

    pub(super) fn say_text(self, text: &str) -> Vec<u8> {
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

impl From<Vec<u8>> for ResponseWriter {
    /// Goes on with what is written already.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Checks a header field (RFC 9110 section 5).
pub(super) fn check_field(name: &str, value: &[u8]) -> Result<(), UsageError> {
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        (Ok(_), Ok(_)) => Ok(()),
        _ => Err(UsageError::HeaderField(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_line() {
        let response =
            ResponseWriter::new("101 x").field("A", b"b\r\nSet-Cookie: c\0d\te\x7f\xe9").end(b"");
        assert_eq!(response, b"HTTP/1.1 101 x\r\nA: b  Set-Cookie: c d e \xe9\r\n\r\n");
    }
}
