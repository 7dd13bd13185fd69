//! Requests that are answered without a WebSocket, and bytes after an end.

use em_websocket::protocol::handshake::Progress;

use crate::handshake;
use crate::refused::assert_refused;
use crate::requests::{request, upgrade, KEY, VERSION_13};

#[test]
fn health_is_told() {
    for line in ["GET /healthcheck HTTP/1.1", "GET /healthcheck?x HTTP/1.0"] {
        let progress = handshake().receive(&request(line, &["Host: x"], b""));
        assert!(matches!(progress, Progress::Healthcheck), "{line}: {progress:?}");
    }
    let unfinished = handshake().receive(b"GET /healthcheck HTTP/1.1\r\n");
    assert!(matches!(unfinished, Progress::Incomplete));
    let post = request("POST /healthcheck HTTP/1.1", &["Host: x"], b"");
    assert_refused(&post, "Must be GET request", None);
}

#[test]
fn flash_gets_its_policy_however_it_is_cut() {
    let mut handshake = handshake();
    for part in ["<policy-file", "-request", " \r\n", "/"] {
        assert!(matches!(handshake.receive(part.as_bytes()), Progress::Incomplete));
    }
    assert!(matches!(handshake.receive(b">\0"), Progress::FlashPolicy));
}

#[test]
fn nothing_comes_after_the_end() {
    for (request, is_final) in [
        (upgrade(&[KEY, VERSION_13], b""), true),
        (b"garbage".to_vec(), true),
        (b"GET / HTTP/1.1\r\n".to_vec(), false),
    ] {
        let mut handshake = handshake();
        let first = handshake.receive(&request);
        assert_eq!(!matches!(first, Progress::Incomplete), is_final);
        let next = handshake.receive(b"\r\n");
        assert_eq!(matches!(next, Progress::Incomplete), is_final);
    }
}
