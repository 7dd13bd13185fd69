//! Versions that are spoken.

use em_websocket::protocol::handshake::{Handshake, Progress};
use em_websocket::protocol::version::Versions;

use crate::requests::{upgrade, ASKED};
use crate::{answer_text, handshake, refused};

/// The numbers of the versions that are accepted; the others must be refused like one that does not
/// exist, and told of `listed`.
fn accepted_versions(server: impl Fn() -> Handshake, listed: Option<&str>) -> Vec<u16> {
    let mut versions = Vec::new();
    for (version, asks, behind) in ASKED {
        match server().receive(&upgrade(asks, behind)) {
            Progress::Accepted(_) => versions.push(version),
            progress => {
                let refused = refused(progress);
                let text = format!("Protocol version {version} not supported");
                assert_eq!(refused.error.to_string(), text);
                let response = answer_text(refused.response);
                assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
                let line = listed.map(|listed| format!("Sec-WebSocket-Version: {listed}"));
                let found = response.lines().find(|line| line.starts_with("Sec-WebSocket-V"));
                assert_eq!(found, line.as_deref());
                assert!(response.ends_with(&format!("\r\n\r\n{text}")), "{response}");
            }
        }
    }
    versions
}

#[test]
fn all_are_spoken_by_default_and_13_and_8_where_it_is_strict() {
    let all = ASKED.map(|(version, ..)| version);
    assert_eq!(accepted_versions(handshake, None), all);
    assert_eq!(accepted_versions(|| handshake().strict(true), Some("13, 8")), [8, 13]);
}

#[test]
fn those_that_are_said_are_spoken_strict_or_not() {
    for (chosen, listed) in [
        (&[13_i64][..], Some("13")),
        (&[13, 8], Some("13, 8")),
        (&[75, 76], None),
        (&[2], None),
        (&[3, 5, 6, 7], Some("7, 6, 5")),
        (&[1, 2, 3, 5, 6, 7, 8, 13, 75, 76], None),
    ] {
        for strict in [false, true] {
            let server = || handshake().strict(strict).versions(Versions::of(chosen));
            let mut expected = ASKED.map(|(version, ..)| version).to_vec();
            expected.retain(|version| chosen.contains(&i64::from(*version)));
            assert_eq!(accepted_versions(server, listed), expected, "{chosen:?}, {strict}");
        }
    }
}

#[test]
fn a_plain_request_is_told_of_them_where_it_is_strict() {
    for (chosen, listed) in [(&[13_i64][..], "13"), (&[13, 7], "13, 7")] {
        let mut server = handshake().strict(true).versions(Versions::of(chosen));
        let refused = refused(server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = answer_text(refused.response);
        let line = format!("\r\nSec-WebSocket-Version: {listed}\r\n");
        assert!(response.contains(&line), "{response}");
    }
}
