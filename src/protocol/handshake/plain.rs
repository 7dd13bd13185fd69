//! Plain HTTP request: one that asks for no WebSocket, and that the application answers.

use super::body::BodyReader;
use super::request::Request;
use super::rules;
use crate::error::HandshakeError;

/// The interim response to a client that waits for it before it sends its body (RFC 9110 section
/// 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A plain HTTP request, whole.
#[derive(Debug)]
pub struct HttpRequest {
    /// Its header.
    pub request: Request,
    /// Its body, decoded.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// Memory that it takes.
    pub fn held(&self) -> usize {
        self.request.held() + self.body.capacity()
    }
}

/// A body that is still coming.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unfinished {
    /// Bytes that have come.
    pub received: usize,
    /// Bytes that may still come.
    pub outstanding: usize,
    /// Limit on all of them.
    pub limit: usize,
}

/// A plain HTTP request whose body is still coming.
#[derive(Debug)]
pub(super) struct PlainRequest {
    request: Request,
    body: BodyReader,
    limit: usize,
    /// True while the client waits to be told that it may send.
    expects: bool,
}

impl PlainRequest {
    /// Judges a whole header.
    pub(super) fn begin(request: Request, limit: usize) -> Result<Self, (HandshakeError, Request)> {
        match check(&request, limit) {
            Ok((body, expects)) => Ok(Self { request, body, limit, expects }),
            Err(error) => Err((error, request)),
        }
    }

    /// Takes bytes of the body: true if that is whole.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<bool, HandshakeError> {
        // A client that sends does not wait.
        self.expects &= bytes.is_empty();
        self.body.receive(bytes)?;
        Ok(self.body.is_complete())
    }

    /// True, once, if the client waits for [`CONTINUE`].
    pub(super) fn takes_expectation(&mut self) -> bool {
        std::mem::take(&mut self.expects)
    }

    pub(super) fn unfinished(&self) -> Unfinished {
        Unfinished {
            received: self.body.received(),
            outstanding: self.body.outstanding(),
            limit: self.limit,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.request.held() + self.body.held()
    }

    pub(super) fn into_request(self) -> Request {
        self.request
    }

    pub(super) fn finish(self) -> HttpRequest {
        let Self { request, body, .. } = self;
        HttpRequest { request, body: body.into_body() }
    }
}

/// The body to read, and whether its client waits to be told so.
fn check(request: &Request, limit: usize) -> Result<(BodyReader, bool), HandshakeError> {
    rules::check_plain(request)?;
    let body = BodyReader::of(request, limit)?;
    let mut expects = false;
    // RFC 9110 section 10.1.1: of HTTP/1.0, it is ignored.
    for expectation in request.header_all("expect").filter(|_| request.is_http_1_1()) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(HandshakeError::Expectation);
        }
        expects = true;
    }
    Ok((body, expects))
}
