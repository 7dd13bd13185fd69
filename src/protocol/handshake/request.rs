//! The client's request.

use std::fmt;
use std::ops::Range;
use std::str;

use super::ruby_format;
use super::target::{self, Target};
use crate::error::HandshakeError;
use crate::protocol::version::profile;

/// The request of an opening handshake.
///
/// Applications keep it for as long as they like, so it is two allocations: the header as it came,
/// and where its fields stand in it.
#[derive(Clone)]
pub struct Request {
    /// From the method to the blank line.
    header: Box<[u8]>,
    fields: Box<[Field]>,
    method: Span,
    target: Span,
    /// Empty, like `query`, where the target is not a URI.
    path: Span,
    query: Span,
    has_valid_target: bool,
    /// HTTP/1.`minor`
    minor: u8,
    secure: bool,
}

/// A header field: its name as spelled, and its value without the space around it.
#[derive(Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

/// A part of the header.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Request {
    /// The target's path, as sent.
    pub fn path(&self) -> &str {
        self.str(self.path)
    }

    /// Query behind the `?` in the target, as sent; empty where there is none.
    pub fn query_string(&self) -> &str {
        self.str(self.query)
    }

    /// The query's pairs, in order and not decoded; a name without `=` has no value.
    pub fn query(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.query_string().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            }
        })
    }

    /// Every header field: its name as spelled, and its value. One that was repeated comes again.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(field.name), self.bytes(field.value)))
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(spelled, _)| is_named(spelled, name)).map(|(_, value)| value)
    }

    /// Every header of this name, whatever its case.
    pub fn header_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers().filter(move |(spelled, _)| is_named(spelled, name)).map(|(_, value)| value)
    }

    /// `Host`, if it was sent.
    pub fn host(&self) -> Option<&[u8]> {
        self.header("host")
    }

    /// `Origin`, or the `Sec-WebSocket-Origin` of drafts 04 to 12, which em-websocket takes from any.
    pub fn origin(&self) -> Option<&[u8]> {
        self.header("origin").or_else(|| self.header("sec-websocket-origin"))
    }

    /// The version as the client asked for it, spoken here or not; 75 is what asks for nothing.
    /// `None` where that is not clear: a repeated version, or RFC 6455's key without one.
    pub fn protocol_version(&self) -> Option<i64> {
        self.version().ok()
    }

    /// True if the connection is a `wss://` one.
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// A proxy that is trusted says so.
    pub(super) fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// Reads a whole header, from the method to the blank line, that has this many fields.
    ///
    /// The error is the place of the first byte that is not HTTP.
    pub(super) fn parse(header: &[u8], fields: usize, secure: bool) -> Result<Self, usize> {
        let mut parsed_fields = vec![httparse::EMPTY_HEADER; fields];
        let mut parsed = httparse::Request::new(&mut parsed_fields);
        let (Ok(httparse::Status::Complete(_)), Some(method), Some(target), Some(minor)) =
            (parsed.parse(header), parsed.method, parsed.path, parsed.version)
        else {
            return Err(readable(header, fields));
        };

        let spans = |part: &[u8]| Span::of(part, header);
        let target_span = spans(target.as_bytes());
        let parts = Target::parse(target);
        let has_valid_target = parts.is_some();
        let parts = parts.unwrap_or_default();
        let fields = parsed
            .headers
            .iter()
            .map(|field| Field { name: spans(field.name.as_bytes()), value: spans(field.value) });
        Ok(Self {
            fields: fields.collect(),
            method: spans(method.as_bytes()),
            target: target_span,
            path: target_span.part(parts.path),
            query: target_span.part(parts.query),
            has_valid_target,
            minor,
            secure,
            header: header.into(),
        })
    }

    /// The version asked for, found as em-websocket finds it, except that it must not only begin
    /// like a version, and that RFC 6455's key without one is an error: draft 75 has no such key.
    pub(super) fn version(&self) -> Result<i64, HandshakeError> {
        let mut versions = self.header_all("sec-websocket-version");
        if let Some(version) = versions.next() {
            return match versions.next() {
                None => exact(version),
                Some(_) => Err(HandshakeError::RepeatedVersion),
            };
        }
        if let Some(draft) = self.header("sec-websocket-draft") {
            return Ok(ruby_format::integer(draft));
        }
        if self.header("sec-websocket-key1").is_some() {
            return Ok(76);
        }
        match self.header("sec-websocket-key") {
            Some(_) => Err(HandshakeError::VersionRequired),
            None => Ok(75),
        }
    }

    /// True if a line is ended by LF alone.
    pub(super) fn has_bare_line_feed(&self) -> bool {
        let mut feeds = memchr::memchr_iter(b'\n', &self.header);
        feeds.any(|at| at == 0 || self.header[at - 1] != b'\r')
    }

    /// The subprotocols that the client offers, in its order.
    pub fn subprotocols(&self) -> impl Iterator<Item = &[u8]> {
        self.tokens("sec-websocket-protocol")
    }

    pub(super) fn offers_subprotocols(&self) -> bool {
        self.header("sec-websocket-protocol").is_some()
    }

    /// True if the list of this name has this token, whatever its case.
    pub(super) fn lists(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|listed| listed.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The method, as sent.
    pub fn method(&self) -> &str {
        self.str(self.method)
    }

    pub(super) fn is_get(&self) -> bool {
        self.method() == "GET"
    }

    /// False for HTTP/1.0. Whether the client may send `Upgrade` (RFC 9110 section 7.8).
    pub fn is_http_1_1(&self) -> bool {
        self.minor == 1
    }

    /// Memory that it takes.
    pub fn held(&self) -> usize {
        self.header.len() + size_of_val(&*self.fields)
    }

    /// The target as sent; whether it is a URI says [`Self::has_valid_target`].
    pub(super) fn target(&self) -> &str {
        self.str(self.target)
    }

    /// The host, and the port if there is one, that the target itself names.
    pub(super) fn authority(&self) -> Option<&str> {
        target::authority(self.target())
    }

    pub(super) fn has_valid_target(&self) -> bool {
        self.has_valid_target
    }

    /// `ws://` or `wss://`, the host and the target, which drafts 75 to 03 send back.
    pub(super) fn location(&self) -> Vec<u8> {
        let scheme: &[u8] = if self.secure { b"wss://" } else { b"ws://" };
        [scheme, self.host().unwrap_or_default(), self.target().as_bytes()].concat()
    }

    /// The elements of a list, over all fields of this name (RFC 9110 section 5.6.1).
    fn tokens<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.header_all(name)
            .flat_map(|list| list.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty())
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.header[span.range()]
    }

    fn str(&self, span: Span) -> &str {
        str::from_utf8(self.bytes(span)).expect("httparse read the request line as UTF-8")
    }
}

/// Leaves the fields out: they hold cookies and credentials.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("path", &self.path())
            .field("query_string", &self.query_string())
            .field("protocol_version", &self.protocol_version())
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

impl Span {
    /// Place of `part` in `header`, of which it is a slice.
    fn of(part: &[u8], header: &[u8]) -> Self {
        let start = part.as_ptr() as usize - header.as_ptr() as usize;
        Self::new(start..start + part.len())
    }

    /// A part of this span.
    fn part(self, range: Range<usize>) -> Self {
        let start = self.range().start;
        Self::new(start + range.start..start + range.end)
    }

    fn new(range: Range<usize>) -> Self {
        let offset = |at: usize| u32::try_from(at).expect("the limit of a header fits 32 bits");
        Self { start: offset(range.start), end: offset(range.end) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The number that a version is; em-websocket takes what begins with one.
fn exact(version: &[u8]) -> Result<i64, HandshakeError> {
    let number = ruby_format::integer(version);
    if profile(number).is_some() && number.to_string().as_bytes() != version {
        return Err(HandshakeError::InvalidVersion(ruby_format::inspect(&[version])));
    }
    Ok(number)
}

fn is_named(spelled: &[u8], name: &str) -> bool {
    spelled.eq_ignore_ascii_case(name.as_bytes())
}

/// Number of bytes that can still be read of a header that is not HTTP: its longest beginning that
/// is not refused. Only an error's text needs it, so it may take a few parses more.
fn readable(header: &[u8], fields: usize) -> usize {
    let is_refused = |length: usize| {
        let mut fields = vec![httparse::EMPTY_HEADER; fields];
        httparse::Request::new(&mut fields).parse(&header[..length]).is_err()
    };
    let (mut readable, mut refused) = (0, header.len());
    while readable + 1 < refused {
        let middle = readable + (refused - readable) / 2;
        if is_refused(middle) {
            refused = middle;
        } else {
            readable = middle;
        }
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::super::Subprotocols;
    use super::*;

    fn request(fields: &[&str]) -> Request {
        let header =
            format!("GET /demo?a=b&c&&d=&a=2=3 HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
        Request::parse(header.as_bytes(), fields.len(), true).unwrap()
    }

    #[test]
    fn reads_target_and_fields() {
        let request = request(&["Host: h", "X-a:  1 ", "x-A:", "X-b: 2", "Origin: http://o"]);
        assert_eq!(request.path(), "/demo");
        assert_eq!(request.query_string(), "a=b&c&&d=&a=2=3");
        assert_eq!(
            request.query().collect::<Vec<_>>(),
            [("a", Some("b")), ("c", None), ("d", Some("")), ("a", Some("2=3"))]
        );
        let headers = request
            .headers()
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        assert_eq!(
            headers.collect::<Vec<_>>(),
            ["Host=h", "X-a=1", "x-A=", "X-b=2", "Origin=http://o"]
        );
        assert_eq!(request.header("x-a"), Some(&b"1"[..]));
        assert_eq!(request.header_all("X-A").collect::<Vec<_>>(), [&b"1"[..], b""]);
        assert_eq!(request.header("x-c"), None);
        assert_eq!(request.host(), Some(&b"h"[..]));
        assert_eq!(request.origin(), Some(&b"http://o"[..]));
        assert_eq!(request.location(), b"wss://h/demo?a=b&c&&d=&a=2=3");
        assert!(request.secure() && request.is_http_1_1() && request.is_get());
    }

    #[test]
    fn origin_may_be_the_drafts_own() {
        let old = request(&["Sec-WebSocket-Origin: http://old"]);
        assert_eq!(old.origin(), Some(&b"http://old"[..]));
        let both = request(&["Sec-WebSocket-Origin: http://old", "Origin: http://new"]);
        assert_eq!(both.origin(), Some(&b"http://new"[..]));
    }

    #[test]
    fn finds_the_version() {
        for (fields, version) in [
            (&["Sec-WebSocket-Version: 13", "Sec-WebSocket-Draft: 3"][..], Ok(13)),
            (&["Sec-WebSocket-Version: 99"], Ok(99)),
            (&["Sec-WebSocket-Version:"], Ok(0)),
            (&["Sec-WebSocket-Draft: 3", "Sec-WebSocket-Key1: x"], Ok(3)),
            (&["Sec-WebSocket-Key1: x"], Ok(76)),
            (&["Sec-WebSocket-Key2: x"], Ok(75)),
            (&["Host: x"], Ok(75)),
            (&["Sec-WebSocket-Key: x"], Err(HandshakeError::VersionRequired)),
            (
                &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
                Err(HandshakeError::RepeatedVersion),
            ),
        ] {
            let request = request(fields);
            assert_eq!(request.protocol_version(), version.clone().ok());
            assert_eq!(request.version(), version, "{fields:?}");
        }
    }

    #[test]
    fn selects_the_first_subprotocol() {
        let selected = |fields: &[&str]| {
            let first = Subprotocols::default().select(&request(fields))?.map(<[u8]>::to_vec);
            Ok(first)
        };
        assert_eq!(selected(&["Host: x"]), Ok(None));
        assert_eq!(selected(&["Sec-WebSocket-Protocol: sample"]), Ok(Some(b"sample".to_vec())));
        assert_eq!(selected(&["Sec-WebSocket-Protocol: ,a, b"]), Ok(Some(b"a".to_vec())));
        let twice = ["Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: b,c"];
        assert_eq!(selected(&twice), Ok(Some(b"b".to_vec())));
        for empty in ["Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: , ,"] {
            assert_eq!(selected(&[empty]), Err(HandshakeError::EmptyProtocol));
        }
    }

    /// Every count was printed by em-websocket.
    #[test]
    fn names_the_first_byte_that_is_not_http() {
        for (header, at) in [
            (&b"GET / HTTP/1.1\r\nA\r\n\r\n"[..], 17),
            (b"GET / HTTP/1.1\r\n: b\r\n\r\n", 16),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 21),
            (b"GET / HTTP/1.1\r\nA@: b\r\n\r\n", 17),
            (b"GET / HTTP/1.1\r\n\xff: b\r\n\r\n", 16),
            (b"GET / HTTP/1.1\r\nHost: a\r\nConte\0nt: 1\r\n\r\n", 30),
        ] {
            assert_eq!(
                Request::parse(header, 2, false).err(),
                Some(at),
                "{}",
                header.escape_ascii()
            );
        }
    }

    /// Requests that em-websocket's parser accepts: RFC 9112 sections 5.1 and 5.2, RFC 9110 section
    /// 5.5.
    #[test]
    fn refuses_folded_lines_and_control_bytes() {
        for (header, at) in [
            (&b"GET / HTTP/1.1\r\nA : b\r\n\r\n"[..], 17),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 22),
            (b"GET / HTTP/1.1\r\nA: \0b\r\n\r\n", 19),
            (b"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 20),
        ] {
            assert_eq!(
                Request::parse(header, 2, false).err(),
                Some(at),
                "{}",
                header.escape_ascii()
            );
        }
    }

    #[test]
    fn stays_small() {
        assert!(std::mem::size_of::<Request>() <= 72, "{}", std::mem::size_of::<Request>());
    }
}
