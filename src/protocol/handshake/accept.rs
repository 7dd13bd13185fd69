//! The answer of drafts 05 and later: `Sec-WebSocket-Accept` (RFC 6455 section 4.2).

use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::Engine;
use sha1::{Digest, Sha1};

use super::request::Request;
use super::response::Response;
use super::response_writer::ResponseWriter;
use super::ruby_format;
use super::subprotocol::Subprotocols;
use crate::error::HandshakeError;
use crate::protocol::{
    deflate::{self, Params},
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
/// key too: drafts 05 and 06 were spoken by clients that were still finding out.
pub(super) fn respond(
    request: &Request,
    profile: &Profile,
    strict: bool,
    compression: Option<&deflate::Config>,
    subprotocols: &Subprotocols,
) -> Result<(Response, Option<Params>), HandshakeError> {
    let key = if strict || profile.strict_frames {
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
    let head = ResponseWriter::new("101 Switching Protocols")
        .field("Upgrade", b"websocket")
        .field("Connection", b"Upgrade")
        .field("Sec-WebSocket-Accept", BASE64.encode(digest).as_bytes());
    Ok((Response::new(head, Opening::Accept, subprotocol, agreed.as_ref(), b""), agreed))
}

/// The key of a request that RFC 6455 section 4.2.1 finds nothing wrong with.
fn strict_key(request: &Request) -> Result<&[u8], HandshakeError> {
    let keys: Vec<_> = request.header_all("sec-websocket-key").collect();
    match keys[..] {
        [] => Err(HandshakeError::KeyRequired),
        [key] if is_nonce(key) => Ok(key),
        [..] => Err(HandshakeError::InvalidAcceptKey(ruby_format::inspect(&keys))),
    }
}

/// True if `key` is the base64 of 16 bytes.
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
