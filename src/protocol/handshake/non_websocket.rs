//! Requests that are answered without a WebSocket: the health check, and Flash's policy file.
//!
//! Both answers are em-websocket's, byte for byte; the connection ends after either.

use super::request::Request;

/// The answer to `GET /healthcheck`.
pub const HEALTHCHECK_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK";

/// The answer to `<policy-file-request/>`, which Flash's sockets send before they connect.
pub const FLASH_POLICY: &[u8] = b"<?xml version=\"1.0\"?><cross-domain-policy>\
    <allow-access-from domain=\"*\" to-ports=\"*\"/></cross-domain-policy>";

/// True if this is a load balancer that asks for [`HEALTHCHECK_RESPONSE`]; a WebSocket request for
/// such a path is one too, as in em-websocket.
pub(super) fn is_healthcheck(request: &Request) -> bool {
    request.is_get() && request.target().starts_with("/healthcheck")
}

/// The start of Flash's request; spaces and `/>` follow.
const POLICY_REQUEST: &[u8] = b"<policy-file-request";

/// True if `byte` may come next, `so_far` being what came before it.
pub(super) fn continues_policy_request(so_far: &[u8], byte: u8) -> bool {
    match POLICY_REQUEST.get(so_far.len()) {
        Some(expected) => byte == *expected,
        None if so_far.ends_with(b"/") => byte == b'>',
        None => byte == b'/' || byte == 0x0b || byte.is_ascii_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// True if every byte of `bytes` may follow those before it.
    fn is_policy_request(bytes: &[u8]) -> bool {
        (0..bytes.len()).all(|at| continues_policy_request(&bytes[..at], bytes[at]))
    }

    #[test]
    fn policy_request_may_have_space_before_its_end() {
        assert!(is_policy_request(b"<policy-file-request/>"));
        assert!(is_policy_request(b"<policy-file-request \t\r\n\x0b\x0c/>"));
    }

    #[test]
    fn policy_request_may_not_be_anything_else() {
        assert!(!is_policy_request(b"<policy-file-request>"));
        assert!(!is_policy_request(b"<policy-file-request/ >"));
        assert!(!is_policy_request(b"<policy-file request/>"));
        assert!(!is_policy_request(b"<html>"));
    }

    #[test]
    fn healthcheck_says_its_length() {
        let response = std::str::from_utf8(HEALTHCHECK_RESPONSE).unwrap();
        let (header, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(header.ends_with(&format!("Content-Length: {}", body.len())));
    }
}
