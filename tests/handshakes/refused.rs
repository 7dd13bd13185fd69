//! Refusals, with the text and the answer of each.

use em_websocket::error::HandshakeError;
use em_websocket::protocol::handshake::Progress;

use crate::requests::{get, request, upgrade, KEY, KEY_1, KEY_2, KEY_3, VERSION_13};
use crate::{accepted, handshake, refused};

/// The text of the error that `request` gets, and the status line of its answer.
#[track_caller]
fn refusal(request: &[u8]) -> (String, Option<String>) {
    let refused = refused(handshake().receive(request));
    let status = refused.response.map(|response| {
        let response = String::from_utf8(response).expect("answers are text");
        let (header, body) = response.split_once("\r\n\r\n").expect("headers end");
        assert!(header.contains(&format!("\r\nContent-Length: {}", body.len())), "{header}");
        header.lines().next().unwrap_or_default().to_owned()
    });
    (refused.error.to_string(), status)
}

#[track_caller]
pub(crate) fn assert_refused(request: &[u8], text: &str, status: Option<&str>) {
    let status = status.map(str::to_owned);
    assert_eq!(refusal(request), (text.to_owned(), status), "{}", request.escape_ascii());
}

const BAD_REQUEST: Option<&str> = Some("HTTP/1.1 400 Bad Request");
const UPGRADE_REQUIRED: Option<&str> = Some("HTTP/1.1 426 Upgrade Required");

#[test]
fn checks_come_in_order() {
    let not_web_socket = ["Host: x", "Connection: Upgrade", "Upgrade: NonWebSocket"];
    let no_connection = ["Host: x", "Upgrade: NonWebSocket"];
    for (line, fields, text, status) in [
        ("POST /% HTTP/1.1", &["Upgrade: x"][..], "Must be GET request", BAD_REQUEST),
        ("POST /% HTTP/1.1", &["Host: x"], "Must be GET request", None),
        ("GET /% HTTP/1.1", &["Upgrade: x"], "Invalid request URI: /%", BAD_REQUEST),
        ("GET /% HTTP/1.1", &["Host: x"], "Invalid request URI: /%", None),
        ("GET / HTTP/1.1", &["Host: x"], "Not an upgrade request", None),
        ("GET / HTTP/1.1", &["Host: x", "Upgrade:"], "Not an upgrade request", None),
        ("GET / HTTP/1.1", &no_connection, "Not an upgrade request", BAD_REQUEST),
        (
            "GET / HTTP/1.1",
            &not_web_socket,
            "Invalid upgrade header: \"NonWebSocket\"",
            BAD_REQUEST,
        ),
    ] {
        let request = request(line, &[fields, &["Sec-WebSocket-Version: 99"]].concat(), b"");
        assert_refused(&request, text, status);
    }
    assert_refused(
        &upgrade(&["Upgrade: WebSocket"], b""),
        "Invalid upgrade header: [\"WebSocket\", \"WebSocket\"]",
        BAD_REQUEST,
    );
}

#[test]
fn unknown_versions_are_refused() {
    for version in [0, 4, 9, 12, 14, 99, -1] {
        let asked_by = format!("Sec-WebSocket-Version: {version}");
        let text = format!("Protocol version {version} not supported");
        assert_refused(&upgrade(&[KEY, &asked_by], b""), &text, UPGRADE_REQUIRED);
    }
    let refused = refused(handshake().receive(&upgrade(&["Sec-WebSocket-Version: 99"], b"")));
    let response = String::from_utf8(refused.response.unwrap()).unwrap();
    assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{response}");
    assert_eq!(refused.request.unwrap().protocol_version(), Some(99));
}

#[test]
fn version_must_be_clear() {
    let text = "sec-websocket-version header is required";
    assert_refused(&upgrade(&[KEY], b""), text, UPGRADE_REQUIRED);
    let text = "sec-websocket-version header must not be repeated";
    assert_refused(&upgrade(&[KEY, VERSION_13, VERSION_13], b""), text, BAD_REQUEST);
}

#[test]
fn drafts_07_and_later_are_strict() {
    let browser = ["Host: x", "Connection: Upgrade", "Upgrade: websocket"];
    for version in ["7", "8", "13"] {
        let version = format!("Sec-WebSocket-Version: {version}");
        let asks = |fields: &[&str]| get("/", &[fields, &[&version]].concat(), b"");
        let refuses =
            |fields: &[&str], text: &str| assert_refused(&asks(fields), text, BAD_REQUEST);

        refuses(&browser, "sec-websocket-key header is required");
        refuses(&[&browser[1..], &[KEY]].concat(), "host header is required exactly once");
        refuses(
            &[&browser[..], &["Host: y", KEY]].concat(),
            "host header is required exactly once",
        );
        refuses(
            &[&browser[..], &["Sec-WebSocket-Key: x"]].concat(),
            "Invalid sec-websocket-key header: \"x\"",
        );
        refuses(
            &[&browser[..], &[KEY, "Sec-WebSocket-Key: x"]].concat(),
            "Invalid sec-websocket-key header: [\"dGhlIHNhbXBsZSBub25jZQ==\", \"x\"]",
        );
        refuses(
            &[&browser[..], &[KEY, "Sec-WebSocket-Protocol:"]].concat(),
            "Invalid WebSocket-Protocol: empty",
        );
    }
}

#[test]
fn drafts_05_and_06_are_lenient() {
    for version in ["5", "6"] {
        let version = format!("Sec-WebSocket-Version: {version}");
        let fields =
            ["Connection: Upgrade", "Upgrade: websocket", &version, "Sec-WebSocket-Key: x"];
        let accepted = accepted(handshake().receive(&request("GET / HTTP/1.0", &fields, b"")));
        let response = String::from_utf8(accepted.response.to_bytes()).unwrap();
        assert!(response.contains("Sec-WebSocket-Accept: JVxkmtKFjDcI/Pm/AGPEKSN6wT8=\r\n"));
        let text = "sec-websocket-key header is required";
        assert_refused(&upgrade(&[&version], b""), text, BAD_REQUEST);
    }
}

#[test]
fn bad_challenges_are_refused() {
    for (fields, behind, text) in [
        (&[KEY_1][..], KEY_3, "WebSocket key1 or key2 is missing"),
        (&[KEY_1], b"^n:ds[4Ux", "Extra bytes after third key"),
        (&[KEY_1, KEY_2], b"^n:ds[4Ux", "Extra bytes after third key"),
        (
            &["Sec-WebSocket-Key1: nospaces", KEY_2],
            KEY_3,
            "Websocket Key1 or Key2 does not contain spaces - \
             this is a symptom of a cross-protocol attack",
        ),
        (
            &[KEY_1, "Sec-WebSocket-Key2: 12998 5 Y3 1.P00"],
            KEY_3,
            "Invalid Key \"12998 5 Y3 1.P00\"",
        ),
        (
            &[KEY_1, "Sec-WebSocket-Key2: 12 9985999999999999998 4"],
            KEY_3,
            "Challenge computation out of range for key \"12 9985999999999999998 4\"",
        ),
        (&[KEY_1, KEY_2, "Sec-WebSocket-Protocol:"], KEY_3, "Invalid WebSocket-Protocol: empty"),
    ] {
        assert_refused(&upgrade(fields, behind), text, BAD_REQUEST);
    }
    let repeated = upgrade(&["Sec-WebSocket-Key1: 1 2", "Sec-WebSocket-Key1: 3 4", KEY_2], KEY_3);
    assert_refused(&repeated, "Invalid Key [\"1 2\", \"3 4\"]", BAD_REQUEST);
}

/// The one place where cutting matters: see `Handshake::receive`.
#[test]
fn nothing_may_follow_the_old_drafts_in_the_same_call() {
    assert_refused(&upgrade(&[], b"abc"), "Extra bytes after header", BAD_REQUEST);
    let accepted = accepted(handshake().receive(&upgrade(&[], b"")));
    assert_eq!(accepted.rest, b"");

    let mut challenge = handshake();
    let request = upgrade(&[KEY_1, KEY_2], b"^n:d");
    assert!(matches!(challenge.receive(&request), Progress::Incomplete));
    let refused = refused(challenge.receive(b"s[4Ux"));
    assert_eq!(refused.error, HandshakeError::ExtraBytesAfterThirdKey);
}
