//! Requests that are no HTTP, or too much of it.

use em_websocket::error::HandshakeError;
use em_websocket::protocol::handshake::{Handshake, Progress, RequestLimits};

use crate::refused::assert_refused;
use crate::requests::{upgrade, KEY, VERSION_13};
use crate::{accepted, handshake, refused};

const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";

#[test]
fn garbage_is_counted_as_em_websocket_does() {
    // Where the first line is HTTP's, the client is told (RFC 9112 section 5.1).
    let told = Some("HTTP/1.1 400 Bad Request");
    for (bytes, counts, status) in [
        (&b"This is not a HTTP header\r\n\r\n"[..], "1 != 29", None),
        (b"\r\n\r\nfoobar", "4 != 10", None),
        (b"\r\nGET / HTTP/1.1\r\nA\r\n\r\n", "19 != 23", told),
        (b"\x16\x03\x01\x02\x00\x01", "0 != 6", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConte\0nt: 1\r\n\r\n", "30 != 40", told),
    ] {
        let text = format!("Invalid HTTP header: Could not parse data entirely ({counts})");
        assert_refused(bytes, &text, status);
    }
    let mut cut = handshake();
    assert!(matches!(cut.receive(b"GET / HT"), Progress::Incomplete));
    let error = refused(cut.receive(b"TX/1.1")).error;
    assert_eq!(error, HandshakeError::InvalidHeader { parsed: 1, given: 6 });
}

#[test]
fn garbage_is_refused_at_its_first_byte() {
    let mut handshake = handshake();
    for byte in b"GET /demo" {
        assert!(matches!(handshake.receive(&[*byte]), Progress::Incomplete));
    }
    let error = refused(handshake.receive(b"\0")).error;
    assert_eq!(error, HandshakeError::InvalidHeader { parsed: 0, given: 1 });
}

#[test]
fn header_that_never_ends_is_refused_at_the_limit() {
    let limits = RequestLimits { header_bytes: 100, ..RequestLimits::default() };
    let mut handshake = Handshake::new(false, limits);
    let header = [&b"GET / HTTP/1.1\r\nA: "[..], &[b'a'; 80]].concat();
    assert!(matches!(handshake.receive(&header), Progress::Incomplete));
    let refused = refused(handshake.receive(b"a"));
    assert_eq!(refused.error, HandshakeError::HeaderTooLong(100));
    assert_eq!(refused.error.to_string(), "HTTP header too long (limit 100 bytes)");
    assert!(refused.response.unwrap().starts_with(TOO_LARGE));
}

#[test]
fn header_may_fill_the_limit() {
    let request = upgrade(&[KEY, VERSION_13], b"\x81\x00");
    let header = request.len() - 2;
    let with_limit = |header_bytes| {
        Handshake::new(false, RequestLimits { header_bytes, ..RequestLimits::default() })
            .receive(&request)
    };
    assert_eq!(accepted(with_limit(header)).rest, b"\x81\x00");
    assert_eq!(refused(with_limit(header - 1)).error, HandshakeError::HeaderTooLong(header - 1));
}

#[test]
fn too_many_fields_are_refused_as_they_come() {
    let field = "A: b\r\n";
    let mut handshake = handshake();
    let header = format!("GET / HTTP/1.1\r\n{}", field.repeat(100));
    assert!(matches!(handshake.receive(header.as_bytes()), Progress::Incomplete));
    let refused = refused(handshake.receive(field.as_bytes()));
    assert_eq!(refused.error, HandshakeError::TooManyHeaders(100));
    assert_eq!(refused.error.to_string(), "Too many HTTP headers (limit 100)");
    assert!(refused.response.unwrap().starts_with(TOO_LARGE));
}

#[test]
fn what_is_not_http_gets_no_answer_at_the_limit() {
    let blank = [b'\n'; 20_000];
    let refused = refused(handshake().receive(&blank));
    assert_eq!(refused.error, HandshakeError::HeaderTooLong(16_384));
    assert_eq!(refused.response, None);
}
