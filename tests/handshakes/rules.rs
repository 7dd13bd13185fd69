//! Rules of HTTP for a request, which hold for every version; and what `strict` adds.

use em_websocket::protocol::handshake::{Handshake, Progress};
use em_websocket::protocol::version::Versions;

use crate::requests::{request, ASKED, KEY_3};
use crate::{answer_text, handshake};

/// Patience of a server.
const LENIENT: bool = false;
const STRICT: bool = true;

const BROWSER: [&str; 4] =
    ["Host: a", "Connection: Upgrade", "Upgrade: websocket", "Origin: http://a"];

/// A server of every version.
fn server(strict: bool) -> Handshake {
    handshake().strict(strict).versions(Some(Versions::ALL))
}

/// Reply of a server to a request: 101, or the error's text, which its answer must be, with 400.
fn said(strict: bool, request: &[u8]) -> String {
    match server(strict).receive(request) {
        Progress::Accepted(accepted) => {
            String::from_utf8_lossy(&accepted.response.to_bytes()[9..12]).into_owned()
        }
        Progress::Rejected(refused) => {
            let text = refused.error.to_string();
            let response = answer_text(refused.response);
            assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
            assert!(response.ends_with(&format!("\r\n\r\n{text}")), "{response}");
            text
        }
        other => panic!("{other:?}"),
    }
}

/// Tries this first line, these fields beside the version's own, and its bytes behind them, on
/// every version.
#[track_caller]
fn each_version(line: &str, fields: &[&str], strict: bool, expected: impl Fn(u16) -> String) {
    for (version, asks, behind) in ASKED {
        let request = request(line, &[fields, asks].concat(), behind);
        assert_eq!(said(strict, &request), expected(version), "{version}: {fields:?}, {strict}");
    }
}

const LINE: &str = "GET / HTTP/1.1";

#[test]
fn a_good_request_is_accepted() {
    for strict in [LENIENT, STRICT] {
        each_version(LINE, &BROWSER, strict, |_| "101".to_owned());
        each_version("GET http://a/ HTTP/1.1", &BROWSER, strict, |_| "101".to_owned());
    }
}

#[test]
fn a_body_is_refused() {
    for lengths in [
        &["Transfer-Encoding: chunked"][..],
        &["transfer-ENCODING: identity"],
        &["Transfer-Encoding:"],
        &["Transfer-Encoding: chunked", "Content-Length: 0"],
        &["Content-Length: 5"],
        &["Content-Length: 08"],
        &["Content-Length:"],
        &["Content-Length: +0"],
        &["Content-Length: -1"],
        &["Content-Length: 0x0"],
        &["Content-Length: 0, 5"],
        &["Content-Length: 0", "Content-Length: 5"],
        &["content-length: 5", "Content-Length: 0"],
        &["Content-Length: 99999999999999999999999999"],
    ] {
        let has_third_key = |version| matches!(version, 76 | 1..=3);
        for strict in [LENIENT, STRICT] {
            each_version(LINE, &[&BROWSER, lengths].concat(), strict, |version| {
                let is_third_key = has_third_key(version) && lengths == ["Content-Length: 08"];
                if is_third_key { "101" } else { "The request must not have a body" }.to_owned()
            });
        }
    }
    for none in [&["Content-Length: 0"][..], &["Content-Length: 000", "content-length: 0"]] {
        for strict in [LENIENT, STRICT] {
            each_version(LINE, &[&BROWSER, none].concat(), strict, |_| "101".to_owned());
        }
    }
}

/// A proxy and this server agree about where the request ends, where the body is announced.
#[test]
fn a_third_key_may_be_announced_as_the_body_that_it_is() {
    for (lengths, challenged) in [
        (&["Content-Length: 8"][..], "101"),
        (&["Content-Length: 8", "Content-Length: 8"], "101"),
        (&["Content-Length: 8", "Content-Length: 0"], "The request must not have a body"),
        (&["Content-Length: 0", "Content-Length: 8"], "The request must not have a body"),
        (&["Content-Length: 9"], "The request must not have a body"),
    ] {
        for strict in [LENIENT, STRICT] {
            each_version(LINE, &[&BROWSER, lengths].concat(), strict, |version| {
                let text = "The request must not have a body";
                if matches!(version, 76 | 1..=3) { challenged } else { text }.to_owned()
            });
        }
    }
}

#[test]
fn who_a_request_is_for_must_be_clear() {
    let others = &BROWSER[1..];
    let refuses = |fields: &[&str], strict, text: &str| {
        each_version(LINE, fields, strict, |_| text.to_owned());
    };
    for strict in [LENIENT, STRICT] {
        let once = "host header is required exactly once";
        refuses(&[&BROWSER[..], &["Host: b"]].concat(), strict, once);
        refuses(&[&BROWSER[..], &["hOST: a"]].concat(), strict, once);
        for (host, shown) in [
            ("Host: a b", "a b"),
            ("Host: a/b", "a/b"),
            ("Host: u@a", "u@a"),
            ("Host: a, b", "a, b"),
            ("Host: a\tb", "a\\tb"),
            ("Host: a\\b", "a\\\\b"),
            ("Host: a?b", "a?b"),
            ("Host: \u{e9}", "\\xC3\\xA9"),
        ] {
            let text = format!("Invalid host header: \"{shown}\"");
            refuses(&[&[host], others].concat(), strict, &text);
        }
        refuses(&[&["Host:"], others].concat(), strict, "101");
        refuses(&[&["Host: [::1]:80"], others].concat(), strict, "101");
    }
    refuses(others, STRICT, "host header is required exactly once");
    each_version(LINE, others, LENIENT, |version| {
        let required = matches!(version, 7 | 8 | 13);
        if required { "host header is required exactly once" } else { "101" }.to_owned()
    });
}

/// RFC 9112 section 3.2.2: the target's host counts, whatever `Host` says.
#[test]
fn two_hosts_in_one_request_are_refused_where_it_is_strict() {
    for (target, fits) in
        [("http://A/", true), ("http://b/", false), ("http://a:80/", false), ("ws://b", false)]
    {
        let line = format!("GET {target} HTTP/1.1");
        each_version(&line, &BROWSER, LENIENT, |_| "101".to_owned());
        each_version(&line, &BROWSER, STRICT, |_| {
            if fits { "101" } else { "Invalid host header: \"a\"" }.to_owned()
        });
    }
}

/// RFC 6454 section 7.3.
#[test]
fn a_second_origin_is_refused() {
    let text = "origin header must not be repeated";
    for strict in [LENIENT, STRICT] {
        for more in [
            &["Origin: http://b"][..],
            &["ORIGIN: http://a"],
            &["Sec-WebSocket-Origin: http://a", "Sec-WebSocket-Origin: http://b"],
        ] {
            each_version(LINE, &[&BROWSER, more].concat(), strict, |_| text.to_owned());
        }
        let both = [&BROWSER[..], &["Sec-WebSocket-Origin: http://a"]].concat();
        each_version(LINE, &both, strict, |_| "101".to_owned());
    }
}

#[test]
fn a_line_that_lf_alone_ends_is_refused() {
    for (version, asks, behind) in ASKED {
        let good = request(LINE, &[&BROWSER, asks].concat(), b"");
        let good = String::from_utf8(good).unwrap();
        let ends = good.matches("\r\n").count();
        for bare in 0..ends {
            let parts: Vec<_> = good.split("\r\n").collect();
            let end = |at| if at == bare { "\n" } else { "\r\n" };
            let mut header = String::new();
            for (at, part) in parts[..ends].iter().enumerate() {
                header += part;
                header += end(at);
            }
            let request = [header.as_bytes(), behind].concat();
            for strict in [LENIENT, STRICT] {
                let text = "Header lines must end with CRLF";
                assert_eq!(said(strict, &request), text, "{version}: line {bare}, {strict}");
            }
        }
    }
}

/// Nginx forwards a handshake so, unless it is told `proxy_http_version 1.1`.
#[test]
fn http_1_0_is_accepted_unless_it_is_strict() {
    let line = "GET / HTTP/1.0";
    each_version(line, &BROWSER, LENIENT, |_| "101".to_owned());
    each_version(line, &BROWSER, STRICT, |_| "HTTP/1.1 or later is required".to_owned());
    for (_, asks, behind) in ASKED {
        let request = request(line, &[&BROWSER, asks].concat(), behind);
        let Progress::Accepted(accepted) = server(LENIENT).receive(&request) else { panic!() };
        assert!(accepted.response.to_bytes().starts_with(b"HTTP/1.1 101 "));
    }
}

#[test]
fn strict_holds_drafts_05_and_06_to_a_key_of_16_bytes() {
    for (version, asks, _) in ASKED.iter().filter(|(version, ..)| matches!(version, 5 | 6)) {
        let fields = [&BROWSER[..], &["Sec-WebSocket-Key: x"], &asks[1..]].concat();
        let request = request(LINE, &fields, b"");
        assert_eq!(said(LENIENT, &request), "101", "{version}");
        assert_eq!(said(STRICT, &request), "Invalid sec-websocket-key header: \"x\"");
    }
}

/// A request of no version that is spoken is judged, too, and told of that first.
#[test]
fn the_rules_come_before_the_version() {
    for asks in ["Sec-WebSocket-Version: 99", "Sec-WebSocket-Version: 13x", "Sec-WebSocket-Key: x"]
    {
        for (bad, text) in [
            ("Content-Length: 8", "The request must not have a body"),
            ("Host: b", "host header is required exactly once"),
            ("Origin: b", "origin header must not be repeated"),
        ] {
            let request = request(LINE, &[&BROWSER[..], &[asks, bad]].concat(), KEY_3);
            assert_eq!(said(LENIENT, &request), text, "{asks}");
        }
    }
}
