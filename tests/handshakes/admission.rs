//! Subprotocols, the application's own say, and requests that are more than an opening handshake.

use em_websocket::error::UsageError;
use em_websocket::protocol::handshake::{Rejection, Subprotocols};

use crate::requests::{upgrade, KEY, KEY_1, KEY_2, KEY_3, VERSION_13};
use crate::{accepted, handshake, refused};

fn speaking(names: &[&str], required: bool) -> Subprotocols {
    Subprotocols { supported: Some(names.iter().map(|name| Box::from(*name)).collect()), required }
}

#[test]
fn the_servers_order_decides() {
    let offered = "Sec-WebSocket-Protocol: v1.chat, v2.chat,other";
    for (names, expected) in [
        (&["v2.chat", "v1.chat"][..], Some(&b"v2.chat"[..])),
        (&["other"], Some(b"other")),
        (&["V1.CHAT", "v1"], None),
        (&[], None),
    ] {
        let request = upgrade(&[KEY, VERSION_13, offered], b"");
        let mut handshake = handshake().subprotocols(speaking(names, false));
        let accepted = accepted(handshake.receive(&request));
        assert_eq!(accepted.response.subprotocol(), expected, "{names:?}");
        let challenge = upgrade(&[KEY_1, KEY_2, offered], KEY_3);
        let mut handshake = crate::handshake().subprotocols(speaking(names, false));
        assert_eq!(crate::accepted(handshake.receive(&challenge)).response.subprotocol(), expected);
    }
}

#[test]
fn none_in_common_may_be_refused() {
    for fields in [&[KEY, VERSION_13, "Sec-WebSocket-Protocol: a"][..], &[KEY, VERSION_13]] {
        let mut handshake = handshake().subprotocols(speaking(&["b"], true));
        let refused = refused(handshake.receive(&upgrade(fields, b"")));
        assert_eq!(refused.error.to_string(), "None of the offered subprotocols is supported");
        assert!(refused.response.unwrap().starts_with(b"HTTP/1.1 400 "));
    }
}

#[test]
fn an_answer_can_be_changed_before_it_is_sent() {
    let request = upgrade(&[KEY, VERSION_13, "Sec-WebSocket-Protocol: a, b"], b"");
    let mut answer = accepted(handshake().receive(&request)).response;
    answer.select(Some(b"b"));
    answer.add_field("Set-Cookie", b"x=1").unwrap();
    answer.add_field("Set-Cookie", b"y=\xE9").unwrap();
    assert_eq!(
        answer.to_bytes(),
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
          Sec-WebSocket-Protocol: b\r\n\
          Set-Cookie: x=1\r\n\
          Set-Cookie: y=\xE9\r\n\r\n"
    );
    let before = answer.to_bytes();
    for (name, value) in FRAMING.iter().chain(&UNSOUND).chain(&HANDSHAKE) {
        let refused = Err(UsageError::HeaderField((*name).to_owned()));
        assert_eq!(answer.add_field(name, value), refused, "{name}");
    }
    assert_eq!(answer.to_bytes(), before);
}

/// Fields that would say where an answer ends, in any case of their names.
const FRAMING: [(&str, &[u8]); 8] = [
    ("Content-Length", b"1"),
    ("content-length", b"0"),
    ("CONTENT-LENGTH", b""),
    ("Transfer-Encoding", b"chunked"),
    ("transfer-encoding", b"identity"),
    ("TRANSFER-encoding", b""),
    ("Connection", b"keep-alive"),
    ("cONNECTION", b"Upgrade"),
];

/// Names and values that make no field.
const UNSOUND: [(&str, &[u8]); 13] = [
    ("", b"x"),
    ("A B", b"x"),
    ("A:", b"x"),
    ("Content-Length ", b"1"),
    ("Content-Length\t", b"1"),
    (" Content-Length", b"1"),
    ("A\r\nContent-Length", b"1"),
    ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", b"x"),
    ("A\0", b"x"),
    ("A", b"x\r\ny"),
    ("A", b"x\ny"),
    ("A", b"x\ry"),
    ("A", b"x\0y"),
];

/// Fields that the opening handshake itself writes.
const HANDSHAKE: [(&str, &[u8]); 9] = [
    ("Upgrade", b"x"),
    ("upgrade", b"websocket"),
    ("Sec-WebSocket-Accept", b"x"),
    ("sec-websocket-extensions", b"x"),
    ("SEC-WEBSOCKET-PROTOCOL", b"x"),
    ("Sec-WebSocket-", b"x"),
    ("Sec-WebSocket-Location", b"ws://x/"),
    ("WebSocket-Location", b"ws://x/"),
    ("websocket-origin", b"http://x"),
];

/// Two lengths, or a length and an encoding, and a proxy may end the answer elsewhere.
#[test]
fn a_refusal_ends_where_it_says_whatever_the_application_adds() {
    let mut refusal = Rejection::new(403).unwrap();
    for (name, value) in FRAMING.iter().chain(&UNSOUND) {
        let refused = Err(UsageError::HeaderField((*name).to_owned()));
        assert_eq!(refusal.add_field(name, value), refused, "{name}");
    }
    for (name, value) in HANDSHAKE {
        refusal.add_field(name, value).unwrap();
    }
    let answer = String::from_utf8(refusal.to_bytes(b"no")).unwrap();
    let (header, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "no");
    let named = |name: &str| {
        header
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with(name))
            .collect::<Vec<_>>()
    };
    assert_eq!(named("content-length"), ["Content-Length: 2"]);
    assert_eq!(named("connection"), ["Connection: close"]);
    assert_eq!(named("transfer-encoding"), [""; 0]);
    assert_eq!(header.lines().count(), 4 + HANDSHAKE.len());
}

/// RFC 9110 sections 8.6, 15.3.5, 15.3.6 and 15.4.5.
#[test]
fn some_refusals_have_no_body() {
    for (status, length) in [(204, None), (304, None), (205, Some("Content-Length: 0"))] {
        let answer = Rejection::new(status).unwrap().to_bytes(b"body");
        let answer = String::from_utf8(answer).unwrap();
        let (header, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!((body, header.lines().nth(2)), ("", length), "{status}");
        assert!(!header.contains("Content-Type"), "{header}");
    }
}

#[test]
fn an_application_refuses_with_an_answer_of_its_own() {
    let mut refusal = Rejection::new(503).unwrap();
    refusal.add_field("Retry-After", b"5").unwrap();
    assert_eq!(
        refusal.to_bytes(b"later"),
        b"HTTP/1.1 503 Service Unavailable\r\n\
          Connection: close\r\n\
          Retry-After: 5\r\n\
          Content-Type: text/plain; charset=utf-8\r\n\
          Content-Length: 5\r\n\r\nlater"
    );
    assert_eq!(
        Rejection::new(204).unwrap().to_bytes(b""),
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    );
    assert!(Rejection::new(499).unwrap().to_bytes(b"").starts_with(b"HTTP/1.1 499 \r\n"));
    for status in [0, 101, 199, 600] {
        assert_eq!(Rejection::new(status).err(), Some(UsageError::Status(status)));
    }
}
