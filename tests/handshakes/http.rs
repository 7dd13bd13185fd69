//! Plain HTTP where the application answers it: which requests are its own, and which bodies.

use em_websocket::{
    error::HandshakeError,
    protocol::handshake::{Handshake, HttpRequest, Progress, RequestLimits, Unfinished},
};

use crate::requests::{request, upgrade, KEY, VERSION_13};
use crate::{answer_text, refused};

/// Takes bodies of up to 20 bytes.
fn handshake() -> Handshake {
    Handshake::new(false, RequestLimits::default()).plain_http(Some(20))
}

#[track_caller]
fn taken(bytes: &[u8]) -> HttpRequest {
    match handshake().receive(bytes) {
        Progress::Http(http) => *http,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

/// The error and the status line of the response.
#[track_caller]
fn refusal(bytes: &[u8]) -> (HandshakeError, String) {
    let refused = refused(handshake().receive(bytes));
    let response = answer_text(refused.response);
    assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
    (refused.error, response.lines().next().unwrap_or_default().to_owned())
}

fn post(fields: &[&str], behind: &[u8]) -> Vec<u8> {
    request("POST /x?a=b HTTP/1.1", &[&["Host: x"], fields].concat(), behind)
}

#[test]
fn a_request_without_a_websocket_is_the_applications() {
    for (line, fields, behind, body) in [
        ("GET /healthcheck HTTP/1.1", &["Host: x"][..], &b""[..], &b""[..]),
        ("GET /healthcheck HTTP/1.1", &["Host: x"], b"GET / HTTP/1.1\r\n\r\n", b""),
        ("HEAD / HTTP/1.0", &[], b"", b""),
        ("GET / HTTP/1.1", &["Host: x", "Upgrade: h2c", "Connection: Upgrade"], b"", b""),
        ("GET / HTTP/1.1", &["Host: x", "Upgrade:"], b"", b""),
        ("OPTIONS * HTTP/1.1", &["Host: x"], b"", b""),
        ("GET http://x/y HTTP/1.1", &["Host: x"], b"", b""),
        ("POST / HTTP/1.1", &["Host: x", "Content-Length: 0"], b"x", b""),
        ("POST / HTTP/1.1", &["Host: x", "Content-Length: 20"], &[b'a'; 30], &[b'a'; 20]),
        ("POST / HTTP/1.0", &["Content-Length: 2"], b"ab", b"ab"),
        ("DELETE / HTTP/1.1", &["Host: x", "Content-Length: 0002"], b"ab", b"ab"),
        (
            "PUT / HTTP/1.1",
            &["Host: x", "Transfer-Encoding: Chunked"],
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            b"abc",
        ),
    ] {
        let http = taken(&request(line, fields, behind));
        assert_eq!(http.request.method(), line.split(' ').next().unwrap());
        assert_eq!(http.body, body, "{line}");
    }
}

#[test]
fn a_request_for_a_websocket_is_an_opening_handshake() {
    let opening = handshake().receive(&upgrade(&[KEY, VERSION_13], b""));
    assert!(matches!(opening, Progress::Accepted(_)), "{opening:?}");
    let post = request(
        "POST / HTTP/1.1",
        &["Host: x", "Upgrade: h2c, WebSocket", "Connection: Upgrade", KEY, VERSION_13],
        b"",
    );
    assert_eq!(refusal(&post).0, HandshakeError::NotGet);
    assert!(matches!(handshake().receive(b"<policy-file-request/>\0"), Progress::FlashPolicy));
}

#[track_caller]
fn assert_refused(bytes: &[u8], error: &HandshakeError, status: u16) {
    let (refused, line) = refusal(bytes);
    assert_eq!(refused, *error, "{}", bytes.escape_ascii());
    assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{line}");
}

#[test]
fn a_request_that_two_readers_may_read_differently_is_refused() {
    let both = ["Content-Length: 3", "Transfer-Encoding: chunked"];
    let framing = HandshakeError::BodyFraming;
    for (bytes, error, status) in [
        (post(&both, b"0\r\n\r\n"), framing.clone(), 400),
        (post(&[both[1], both[0]], b"0\r\n\r\n"), framing.clone(), 400),
        (post(&[both[0], "Content-Length: 4"], b"abcd"), framing.clone(), 400),
        (post(&[both[0], both[0]], b"abc"), framing.clone(), 400),
        (post(&["Content-Length: 3, 3"], b"abc"), framing.clone(), 400),
        (post(&["Content-Length: +3"], b"abc"), framing.clone(), 400),
        (post(&["Content-Length: -3"], b"abc"), framing.clone(), 400),
        (post(&["Content-Length: 0x3"], b"abc"), framing.clone(), 400),
        (post(&["Content-Length: 3 3"], b"abc"), framing.clone(), 400),
        (post(&["Content-Length:"], b""), framing.clone(), 400),
        (post(&["Content-Length: 21"], b""), HandshakeError::BodyTooLong(20), 413),
        (
            post(&["Content-Length: 99999999999999999999999999"], b""),
            HandshakeError::BodyTooLong(20),
            413,
        ),
        (post(&[both[1], both[1]], b"0\r\n\r\n"), framing.clone(), 400),
        (post(&["Transfer-Encoding:"], b""), framing.clone(), 400),
        (post(&["Transfer-Encoding: identity"], b""), framing.clone(), 400),
        (post(&["Transfer-Encoding: xchunked"], b""), framing.clone(), 400),
        (post(&["Transfer-Encoding: \"chunked\""], b""), framing.clone(), 400),
        (post(&["Transfer-Encoding: chunked, gzip"], b""), framing.clone(), 400),
        (post(&["Transfer-Encoding: gzip, chunked"], b""), HandshakeError::TransferCoding, 501),
        (request("POST / HTTP/1.0", &[both[1]], b"0\r\n\r\n"), framing, 400),
    ] {
        assert_refused(&bytes, &error, status);
    }
}

#[test]
fn a_request_that_breaks_a_rule_of_http_is_refused() {
    let chunked = "Transfer-Encoding: chunked";
    for (bytes, error, status) in [
        (post(&[chunked], b"3\nabc"), HandshakeError::InvalidChunk, 400),
        (post(&[chunked], b"15\r\n"), HandshakeError::BodyTooLong(20), 413),
        (
            post(&["Expect: the unexpected", "Content-Length: 3"], b""),
            HandshakeError::Expectation,
            417,
        ),
        (post(&["Host: y"], b""), HandshakeError::Host, 400),
        (request("GET / HTTP/1.1", &[], b""), HandshakeError::Host, 400),
        (
            request("GET / HTTP/1.1", &["Host: a b"], b""),
            HandshakeError::InvalidHost("\"a b\"".into()),
            400,
        ),
        (
            request("GET http://y/ HTTP/1.1", &["Host: x"], b""),
            HandshakeError::InvalidHost("\"x\"".into()),
            400,
        ),
        (b"GET / HTTP/1.1\nHost: x\n\n".to_vec(), HandshakeError::BareLineFeed, 400),
        (
            request("GET /% HTTP/1.1", &["Host: x"], b""),
            HandshakeError::InvalidUri("/%".into()),
            400,
        ),
        (request("CONNECT x:80 HTTP/1.1", &["Host: x:80"], b""), HandshakeError::Method, 501),
        (request("TRACE / HTTP/1.1", &["Host: x"], b""), HandshakeError::Method, 501),
    ] {
        assert_refused(&bytes, &error, status);
    }
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked_once() {
    let expecting = post(&["Expect: 100-Continue", "Content-Length: 4"], b"");
    let mut handshake = handshake();
    assert!(matches!(handshake.receive(&expecting), Progress::Continue));
    assert!(matches!(handshake.receive(b"ab"), Progress::Incomplete));
    let Progress::Http(http) = handshake.receive(b"cd") else { panic!("it is whole") };
    assert_eq!(http.body, b"abcd");

    let old = request("POST / HTTP/1.0", &["Expect: x", "Content-Length: 1"], b"");
    let sent = post(&["Expect: 100-continue", "Content-Length: 4"], b"a");
    for bytes in [old, sent] {
        let progress = self::handshake().receive(&bytes);
        assert!(matches!(progress, Progress::Incomplete), "{}", bytes.escape_ascii());
    }
    let nothing_to_wait_for = post(&["Expect: 100-continue"], b"");
    assert_eq!(taken(&nothing_to_wait_for).body, b"");
}

#[test]
fn a_body_that_is_coming_says_how_much_may_still_come() {
    let mut handshake = handshake();
    assert!(handshake.unfinished().is_none());
    assert!(matches!(
        handshake.receive(&post(&["Content-Length: 9"], b"abc")),
        Progress::Incomplete
    ));
    let unfinished = Unfinished { received: 3, outstanding: 6, limit: 20 };
    assert_eq!(handshake.unfinished(), Some(unfinished));
    assert!(handshake.held() > 3);
    let response = answer_text(handshake.timed_out(false));
    assert!(response.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{response}");
    let response = answer_text(handshake.give_up().response);
    assert!(response.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{response}");
    assert!(matches!(handshake.receive(b"defghi"), Progress::Http(_)));
    assert_eq!(handshake.unfinished(), None);
    assert_eq!(handshake.held(), 0);
}

#[test]
fn a_client_that_says_nothing_in_time_gets_no_response_unless_it_speaks_http() {
    for (bytes, status) in [
        (&b""[..], None),
        (b"\x16\x03", None),
        (b"GE", None),
        (b"GET /x HT", Some("HTTP/1.1 408 ")),
        (b"POST / HTTP/1.1\r\nHost: x\r\n", Some("HTTP/1.1 408 ")),
    ] {
        let mut handshake = handshake();
        handshake.receive(bytes);
        let response = handshake.timed_out(false).map(|response| answer_text(Some(response)));
        assert_eq!(response.is_some(), status.is_some(), "{response:?}");
        assert!(response.unwrap_or_default().starts_with(status.unwrap_or_default()));
        let mut closed = crate::handshake();
        closed.receive(bytes);
        assert_eq!(closed.timed_out(false), None);
    }
}
