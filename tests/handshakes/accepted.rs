//! Every draft's answer: the bytes that em-websocket sent for the same requests.

use em_websocket::protocol::handshake::{Handshake, Progress, RequestLimits};

use crate::requests::{get, upgrade, KEY, KEY_1, KEY_2, KEY_3, VERSION_13};
use crate::{accepted, handshake};

#[test]
fn draft_75_echoes() {
    let accepted = accepted(handshake().receive(&upgrade(&["WebSocket-Protocol: sample"], b"")));
    assert_eq!(accepted.profile.version, 75);
    assert_eq!(
        accepted.response.to_bytes(),
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
          Upgrade: WebSocket\r\n\
          Connection: Upgrade\r\n\
          WebSocket-Origin: http://example.com\r\n\
          WebSocket-Location: ws://example.com/demo\r\n\r\n"
    );
}

#[test]
fn draft_75_echoes_what_there_is() {
    let fields = ["Connection: Upgrade", "Upgrade: WebSocket"];
    let accepted = accepted(handshake().receive(&get("/demo?a=b", &fields, b"")));
    assert_eq!(
        accepted.response.to_bytes(),
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
          Upgrade: WebSocket\r\n\
          Connection: Upgrade\r\n\
          WebSocket-Origin: \r\n\
          WebSocket-Location: ws:///demo?a=b\r\n\r\n"
    );
}

#[test]
fn drafts_76_and_03_answer_the_challenge() {
    for (version, asked_by) in [
        (76, &[][..]),
        (76, &["Sec-WebSocket-Draft: 76"]),
        (76, &["Sec-WebSocket-Version: 76"]),
        (3, &["Sec-WebSocket-Draft: 1"]),
        (3, &["Sec-WebSocket-Draft: 2"]),
        (3, &["Sec-WebSocket-Draft: 3"]),
    ] {
        let fields = [&[KEY_1, KEY_2], asked_by].concat();
        let accepted = accepted(handshake().receive(&upgrade(&fields, KEY_3)));
        assert_eq!(accepted.profile.version, version, "{asked_by:?}");
        assert_eq!(
            accepted.response.to_bytes(),
            b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
              Upgrade: WebSocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Location: ws://example.com/demo\r\n\
              Sec-WebSocket-Origin: http://example.com\r\n\r\n\
              8jKS'y:G*Co,Wxa-"
        );
    }
}

#[test]
fn secure_answers_name_wss() {
    let mut secure = Handshake::new(true, RequestLimits::default());
    let fields = [KEY_1, KEY_2, "Sec-WebSocket-Protocol: sample"];
    let accepted = accepted(secure.receive(&upgrade(&fields, KEY_3)));
    assert!(accepted.request.secure());
    assert_eq!(
        accepted.response.to_bytes(),
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
          Upgrade: WebSocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Location: wss://example.com/demo\r\n\
          Sec-WebSocket-Origin: http://example.com\r\n\
          Sec-WebSocket-Protocol: sample\r\n\r\n\
          8jKS'y:G*Co,Wxa-"
    );
}

#[test]
fn drafts_05_to_13_accept_the_key() {
    for version in [5, 6, 7, 8, 13] {
        let asked_by = format!("Sec-WebSocket-Version: {version}");
        let accepted = accepted(handshake().receive(&upgrade(&[KEY, &asked_by], b"")));
        assert_eq!(accepted.profile.version, version);
        assert_eq!(accepted.request.protocol_version(), Some(version.into()));
        assert_eq!(
            accepted.response.to_bytes(),
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }
}

#[test]
fn one_subprotocol_is_selected() {
    for (offered, selected) in [
        (&["Sec-WebSocket-Protocol: sample"][..], "sample"),
        (&["Sec-WebSocket-Protocol: a, b"], "a"),
        (&["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"], "a"),
    ] {
        let fields = [&[KEY, VERSION_13], offered].concat();
        let accepted = accepted(handshake().receive(&upgrade(&fields, b"")));
        let expected = format!(
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: {selected}\r\n\r\n"
        );
        assert!(accepted.response.to_bytes().ends_with(expected.as_bytes()), "{offered:?}");
    }
}

#[test]
fn first_frames_are_kept() {
    let accepted = accepted(handshake().receive(&upgrade(&[KEY, VERSION_13], b"\x81\x00\x89\x00")));
    assert_eq!(accepted.rest, b"\x81\x00\x89\x00");
}

#[test]
fn lists_and_cases_are_read() {
    let fields =
        ["Host: x", "connection: keep-alive, UPGRADE", "UPGRADE: h2c, WebSocket", KEY, VERSION_13];
    accepted(handshake().receive(&get("/", &fields, b"")));
    let fields = ["Host: x", "Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"];
    accepted(handshake().receive(&get("/", &fields, b"")));
}

#[test]
fn requests_cannot_write_into_the_answer() {
    let fields =
        ["Host: a", "Connection: Upgrade", "Upgrade: WebSocket", "Origin: c\td", KEY_1, KEY_2];
    let sub = ["Sec-WebSocket-Protocol: e\tf"];
    let accepted = accepted(handshake().receive(&get("/", &[&fields[..], &sub].concat(), KEY_3)));
    let answer = accepted.response.to_bytes();
    let header = answer.strip_suffix(b"8jKS'y:G*Co,Wxa-").unwrap();
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.lines().all(|line| !line.contains(char::is_control)), "{header}");
    assert_eq!(header.lines().count(), 7);

    // A line end in a value cannot come through at all.
    for end in ["\r", "\n", "\r\n"] {
        let origin = format!("Origin: a{end}Set-Cookie: b");
        let fields = [&fields[..3], &[&*origin]].concat();
        let answer = match handshake().receive(&get("/", &fields, b"")) {
            Progress::Accepted(accepted) => accepted.response.to_bytes(),
            Progress::Rejected(refused) => refused.response.unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(!answer.windows(10).any(|part| part == b"Set-Cookie"), "{end:?}");
        assert_eq!(answer.starts_with(b"HTTP/1.1 101"), end == "\r\n", "{end:?}");
    }
}
