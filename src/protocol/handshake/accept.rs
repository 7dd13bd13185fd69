//! The answer of drafts 05 and later: `Sec-WebSocket-Accept` (RFC 6455 section 4.2).

use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::Engine;
use http::uri::Authority;
use sha1::{Digest, Sha1};

use super::answer::Answer;
use super::request::Request;
use super::response::Response;
use super::subprotocol::Subprotocols;
use super::text;
use crate::error::HandshakeError;
use crate::protocol::{
    deflate::{self, Agreed},
    version::{Opening, Profile},
};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Clients exist whose random keys end in bits that no encoder would set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Answers, and says what was agreed of compression. A profile with strict frames has a strict
/// handshake too: drafts 05 and 06 were spoken by clients that were still finding out.
pub(super) fn respond(
    request: &Request,
    profile: &Profile,
    compression: Option<&deflate::Config>,
    subprotocols: &Subprotocols,
) -> Result<(Answer, Option<Agreed>), HandshakeError> {
    let key = if profile.strict_frames {
        strict_key(request)?
    } else {
        request.header("sec-websocket-key").ok_or(HandshakeError::KeyRequired)?
    };
    let subprotocol = subprotocols.select(request)?;
    let offers = request.header_all("sec-websocket-extensions");
    let agreed = compression
        .filter(|_| profile.extensions)
        .and_then(|config| deflate::negotiate(offers, config));

    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let head = Response::new("101 Switching Protocols")
        .field("Upgrade", b"websocket")
        .field("Connection", b"Upgrade")
        .field("Sec-WebSocket-Accept", BASE64.encode(digest).as_bytes());
    Ok((Answer::new(head, Opening::Accept, subprotocol, agreed.as_ref(), b""), agreed))
}

/// The key of a request that RFC 6455 section 4.2.1 finds nothing wrong with.
fn strict_key(request: &Request) -> Result<&[u8], HandshakeError> {
    let keys: Vec<_> = request.header_all("sec-websocket-key").collect();
    let key = *keys.first().ok_or(HandshakeError::KeyRequired)?;
    if !request.is_http_1_1() {
        return Err(HandshakeError::HttpVersion);
    }
    // RFC 9112 section 3.2: not twice either.
    let hosts: Vec<_> = request.header_all("host").collect();
    let [host] = hosts[..] else {
        return Err(HandshakeError::Host);
    };
    if !is_host(host) {
        return Err(HandshakeError::InvalidHost(text::inspect(&hosts)));
    }
    if request.has_bare_line_feed() {
        return Err(HandshakeError::BareLineFeed);
    }
    if keys.len() > 1 || !is_nonce(key) {
        return Err(HandshakeError::InvalidAcceptKey(text::inspect(&keys)));
    }
    // RFC 6454 section 7.3: a client must not send more than one.
    if request.header_all("origin").count() > 1 {
        return Err(HandshakeError::RepeatedOrigin);
    }
    // What a proxy would take for the body of this request (RFC 9112 section 11.2) would be taken
    // for frames here.
    let is_empty = |length: &[u8]| !length.is_empty() && length.iter().all(|digit| *digit == b'0');
    if request.header("transfer-encoding").is_some()
        || !request.header_all("content-length").all(is_empty)
    {
        return Err(HandshakeError::Body);
    }
    Ok(key)
}

/// Whether this is a host, with a port or without. It may be empty (RFC 9110 section 7.2).
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || !host.contains(&b'@') && Authority::try_from(host).is_ok()
}

/// Whether `key` is the base64 of 16 bytes.
fn is_nonce(key: &[u8]) -> bool {
    BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_have_16_bytes() {
        assert!(is_nonce(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_nonce(b"AAAAAAAAAAAAAAAAAAAAAA=="));
        // Trailing bits that are not zero.
        assert!(is_nonce(b"dGhlIHNhbXBsZSBub25jZR=="));
        for key in
            ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "dGhl IHNhbXBsZSBub25jZQ=="]
        {
            assert!(!is_nonce(key.as_bytes()), "{key}");
        }
    }
}
