//! Cuts of a handshake's bytes, of which its outcome does not depend.

use em_websocket::error::HandshakeError;
use em_websocket::protocol::handshake::{Handshake, Progress, RequestLimits};
use proptest::prelude::*;

use crate::requests::{get, request, upgrade, KEY, KEY_1, KEY_2, KEY_3};

/// Outcome of a handshake, as far as it must not depend on the cuts.
#[derive(Debug, PartialEq)]
enum Outcome {
    Incomplete,
    Accepted { version: u16, response: Vec<u8>, rest: Vec<u8> },
    Healthcheck,
    Http { method: String, body: Vec<u8> },
    FlashPolicy,
    Rejected { error: HandshakeError, response: Option<Vec<u8>>, has_request: bool },
}

/// Gives `bytes` in parts of these lengths, the last one taking what is left.
fn outcome(bytes: &[u8], lengths: &[usize]) -> Outcome {
    outcome_of(bytes, lengths, None)
}

/// The same, of a server that takes plain HTTP with bodies of so many bytes.
fn outcome_of(bytes: &[u8], lengths: &[usize], max_body: Option<usize>) -> Outcome {
    let limits = RequestLimits { header_bytes: 600, headers: 12 };
    let mut handshake = Handshake::new(false, limits).plain_http(max_body);
    let mut left = bytes;
    for length in lengths.iter().chain([&usize::MAX]) {
        let (part, behind) = left.split_at((*length).min(left.len()));
        left = behind;
        match handshake.receive(part) {
            Progress::Incomplete | Progress::Continue => {}
            Progress::Http(http) => {
                let method = http.request.method().to_owned();
                return Outcome::Http { method, body: http.body };
            }
            Progress::Accepted(accepted) => {
                return Outcome::Accepted {
                    version: accepted.profile.version,
                    response: accepted.response.to_bytes(),
                    rest: [&accepted.rest, left].concat(),
                };
            }
            Progress::Healthcheck => return Outcome::Healthcheck,
            Progress::FlashPolicy => return Outcome::FlashPolicy,
            Progress::Rejected(refused) => {
                let error = match refused.error {
                    // Counted per call.
                    HandshakeError::InvalidHeader { .. } => {
                        HandshakeError::InvalidHeader { parsed: 0, given: 0 }
                    }
                    error => error,
                };
                return Outcome::Rejected {
                    error,
                    response: refused.response,
                    has_request: refused.request.is_some(),
                };
            }
        }
    }
    Outcome::Incomplete
}

/// Drafts 75 and 76 judge what follows the request by its coming in the same call.
fn depends_on_cuts(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Rejected {
            error: HandshakeError::ExtraBytesAfterHeader | HandshakeError::ExtraBytesAfterThirdKey,
            ..
        }
    )
}

/// Requests of every draft, good, bad and plain.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let accepts = |version: &str, behind: &[u8]| {
        upgrade(&[KEY, &format!("Sec-WebSocket-Version: {version}")], behind)
    };
    let long = format!("A: {}", "a".repeat(600));
    prop::sample::select(vec![
        upgrade(&[], b""),
        upgrade(&[KEY_1, KEY_2], KEY_3),
        upgrade(&[KEY_1], KEY_3),
        upgrade(&[KEY_1, KEY_2, "Sec-WebSocket-Draft: 3", "Sec-WebSocket-Protocol: a"], KEY_3),
        accepts("5", b"\0\0\0\0"),
        accepts("6", b""),
        accepts("7", b"\x81\x85\0\0\0\0hello"),
        accepts("13", b"\x81\x00\r\n\r\n"),
        accepts("13", b""),
        accepts("4", b"x"),
        upgrade(&[KEY], b"x"),
        upgrade(&["Upgrade: x"], b""),
        [b"\r\n\n", &accepts("13", b"rest")[..]].concat(),
        accepts("13", b"").into_iter().filter(|byte| *byte != b'\r').collect(),
        get("/%", &["Host: x"], b""),
        get("/healthcheck", &["Host: x"], b"x"),
        request("POST / HTTP/1.1", &["Host: x", "Content-Length: 3"], b"abc"),
        get("/", &["A: b"; 20], b""),
        get("/", &[&long], b""),
        b"<policy-file-request />\0".to_vec(),
    ])
}

/// Plain HTTP, good and bad.
fn plain_requests() -> impl Strategy<Value = Vec<u8>> {
    let post =
        |field: &str, behind: &[u8]| request("POST /x HTTP/1.1", &["Host: x", field], behind);
    prop::sample::select(vec![
        get("/", &["Host: x"], b""),
        get("/healthcheck", &["Host: x"], b"behind"),
        request("CONNECT x:80 HTTP/1.1", &["Host: x:80"], b""),
        post("Content-Length: 5", b"12345behind"),
        post("Content-Length: 40", b"12345"),
        post("Expect: 100-continue", b""),
        post(
            "Transfer-Encoding: chunked",
            b"2;a=b\r\n12\r\n0A\r\n1234567890\r\n0\r\nA: b\r\n\r\nx",
        ),
        post("Transfer-Encoding: chunked", b"fff\r\n12"),
        post("Transfer-Encoding: gzip, chunked", b"2\r\n12\r\n0\r\n\r\n"),
        upgrade(&[KEY, "Sec-WebSocket-Version: 13"], b"\x81\x00"),
    ])
}

proptest! {
    #[test]
    fn cuts_make_no_difference_to_plain_http(
        mut request in plain_requests(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        lengths in prop::collection::vec(0..40_usize, 0..40),
    ) {
        for (at, byte) in damages {
            let at = at.index(request.len());
            request[at] = byte;
        }
        let whole = outcome_of(&request, &[], Some(32));
        let cut = outcome_of(&request, &lengths, Some(32));
        prop_assert!(
            cut == whole || depends_on_cuts(&whole),
            "{}: {:?} and {:?}", request.escape_ascii(), whole, cut
        );
        if let Outcome::Http { body, .. } = whole {
            prop_assert!(body.len() <= 32);
        }
    }

    #[test]
    fn cuts_make_no_difference(
        request in requests(),
        lengths in prop::collection::vec(0..80_usize, 0..40),
    ) {
        prop_assert_eq!(outcome(&request, &lengths), outcome(&request, &[]));
    }

    #[test]
    fn single_bytes_make_no_difference(request in requests()) {
        prop_assert_eq!(outcome(&request, &vec![1; request.len()]), outcome(&request, &[]));
    }

    #[test]
    fn cuts_make_no_difference_to_damaged_requests(
        mut request in requests(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        lengths in prop::collection::vec(0..80_usize, 0..40),
    ) {
        for (at, byte) in damages {
            let at = at.index(request.len());
            request[at] = byte;
        }
        let whole = outcome(&request, &[]);
        let cut = outcome(&request, &lengths);
        prop_assert!(
            cut == whole || depends_on_cuts(&whole),
            "{}: {:?} and {:?}", request.escape_ascii(), whole, cut
        );
    }

    #[test]
    fn garbage_does_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        lengths in prop::collection::vec(0..80_usize, 0..10),
    ) {
        prop_assert_eq!(outcome(&bytes, &lengths), outcome(&bytes, &[]));
    }
}
