//! The answer of drafts 76 to 03: the MD5 of two keys and of the eight bytes behind the header
//! (draft-ietf-hybi-thewebsocketprotocol-03 section 5.2).

use md5::{Digest, Md5};

use super::request::Request;
use super::response::Response;
use super::response_writer::ResponseWriter;
use super::ruby_format;
use super::subprotocol::Subprotocols;
use crate::error::HandshakeError;
use crate::protocol::version::Opening;

/// Number of bytes that follow the header: the third key.
pub(super) const THIRD_KEY: usize = 8;

/// Answers; `third_key` is everything that came behind the header.
pub(super) fn respond(
    request: &Request,
    third_key: &[u8],
    subprotocols: &Subprotocols,
) -> Result<Response, HandshakeError> {
    if third_key.len() > THIRD_KEY {
        return Err(HandshakeError::ExtraBytesAfterThirdKey);
    }
    let digest = Md5::new()
        .chain_update(key(request, "sec-websocket-key1")?)
        .chain_update(key(request, "sec-websocket-key2")?)
        .chain_update(third_key)
        .finalize();
    let subprotocol = subprotocols.select(request)?;

    let head = ResponseWriter::new("101 WebSocket Protocol Handshake")
        .field("Upgrade", b"WebSocket")
        .field("Connection", b"Upgrade")
        .field("Sec-WebSocket-Location", &request.location())
        .field("Sec-WebSocket-Origin", request.header("origin").unwrap_or_default());
    Ok(Response::new(head, Opening::Challenge, subprotocol, None, &digest))
}

/// Part of the digest that a key contributes: the number in it, divided by its spaces.
fn key(request: &Request, name: &str) -> Result<[u8; 4], HandshakeError> {
    let values: Vec<_> = request.header_all(name).collect();
    match values[..] {
        [] => Err(HandshakeError::KeysMissing),
        [value] => key_number(value).map(u32::to_be_bytes),
        [..] => Err(HandshakeError::InvalidKey(ruby_format::inspect(&values))),
    }
}

/// Divides digit by digit: a key is as long as its client likes.
fn key_number(key: &[u8]) -> Result<u32, HandshakeError> {
    let spaces = memchr::memchr_iter(b' ', key).count() as u64;
    if spaces == 0 {
        return Err(HandshakeError::NoSpacesInKey);
    }
    let mut quotient = 0_u64;
    let mut remainder = 0;
    for digit in key.iter().filter(|byte| byte.is_ascii_digit()) {
        let dividend = remainder * 10 + u64::from(digit - b'0');
        quotient = quotient.saturating_mul(10).saturating_add(dividend / spaces);
        remainder = dividend % spaces;
    }
    if remainder != 0 {
        return Err(HandshakeError::InvalidKey(ruby_format::inspect(&[key])));
    }
    u32::try_from(quotient)
        .map_err(|_| HandshakeError::ChallengeOutOfRange(ruby_format::inspect(&[key])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_its_number_by_its_spaces() {
        // The example of draft 76 section 1.2, and of draft 03.
        assert_eq!(key_number(b"4 @1  46546xW%0l 1 5"), Ok(829_309_203));
        assert_eq!(key_number(b"12998 5 Y3 1  .P00"), Ok(259_970_620));
        assert_eq!(key_number(b"a b"), Ok(0));
        assert_eq!(key_number(b" 4294967295"), Ok(u32::MAX));
    }

    #[test]
    fn bad_keys_are_named() {
        let text = |key: &[u8]| key_number(key).unwrap_err().to_string();
        assert_eq!(
            text(b"nospaces"),
            "Websocket Key1 or Key2 does not contain spaces - \
             this is a symptom of a cross-protocol attack"
        );
        assert_eq!(text(b"12998 5 Y3 1.P00"), r#"Invalid Key "12998 5 Y3 1.P00""#);
        // Out of range, but indivisible first.
        let indivisible = b"1 2 9 9 8 5999999999999999999 4 1 1.P00";
        assert!(text(indivisible).starts_with("Invalid Key"));
        assert_eq!(
            text(b"12 9985999999999999998 4"),
            r#"Challenge computation out of range for key "12 9985999999999999998 4""#
        );
        assert!(text(b" 4294967296").starts_with("Challenge computation out of range"));
        assert!(text(&[b" ", &[b'9'; 9_000][..]].concat()).starts_with("Challenge computation"));
    }
}
