//! Rules of HTTP for a request, in one list for every version: who it is for, and where it ends.
//! Where a proxy and this server read that differently, one request is smuggled inside another (RFC
//! 9112 section 11.2).

use http::uri::Authority;

use super::challenge::THIRD_KEY;
use super::request::Request;
use super::ruby_format;
use crate::error::HandshakeError;
use crate::protocol::version::{Opening, Profile};

/// Judges a request that asks for this version, if for one that is known.
///
/// Drafts 75 to 06 were spoken by clients that knew no better: from them, as from nobody else, a
/// `Host` may be missing. `strict` has no patience with them, and none with HTTP/1.0, which cannot
/// upgrade (RFC 9110 section 7.8) although proxies forward it so.
pub(super) fn check(
    request: &Request,
    profile: Option<&Profile>,
    strict: bool,
) -> Result<(), HandshakeError> {
    let fields = Fields::of(request, profile.is_some_and(|it| it.opening == Opening::Challenge));
    if strict && !request.is_http_1_1() {
        return Err(HandshakeError::HttpVersion);
    }
    // RFC 9112 section 3.2.
    match fields.host {
        None if strict || profile.is_some_and(|profile| profile.strict_frames) => {
            return Err(HandshakeError::Host);
        }
        None => {}
        Some(_) if fields.hosts > 1 => return Err(HandshakeError::Host),
        Some(host) if !is_host(host) || strict && !is_authority_of(request, host) => {
            return Err(HandshakeError::InvalidHost(ruby_format::inspect(&[host])));
        }
        Some(_) => {}
    }
    if request.has_bare_line_feed() {
        return Err(HandshakeError::BareLineFeed);
    }
    // RFC 6454 section 7.3: a client must not send more than one.
    if fields.origins > 1 || fields.draft_origins > 1 {
        return Err(HandshakeError::RepeatedOrigin);
    }
    // Bytes that a proxy takes for the body of this request would be taken for frames here.
    if fields.has_body {
        return Err(HandshakeError::Body);
    }
    Ok(())
}

/// Judges a request that is plain HTTP, and meant for the application. What its body is like is not
/// looked at here.
pub(super) fn check_plain(request: &Request) -> Result<(), HandshakeError> {
    if matches!(request.method(), "CONNECT" | "TRACE") {
        return Err(HandshakeError::Method);
    }
    if !request.has_valid_target() {
        return Err(HandshakeError::InvalidUri(request.target().to_owned()));
    }
    let mut hosts = request.header_all("host");
    match (hosts.next(), hosts.next()) {
        (None, _) if request.is_http_1_1() => return Err(HandshakeError::Host),
        (None, _) => {}
        (Some(_), Some(_)) => return Err(HandshakeError::Host),
        (Some(host), None) if !is_host(host) || !is_authority_of(request, host) => {
            return Err(HandshakeError::InvalidHost(ruby_format::inspect(&[host])));
        }
        (Some(_), None) => {}
    }
    if request.has_bare_line_feed() {
        return Err(HandshakeError::BareLineFeed);
    }
    Ok(())
}

/// The fields that the rules are about.
#[derive(Default)]
struct Fields<'a> {
    /// The first one.
    host: Option<&'a [u8]>,
    hosts: usize,
    origins: usize,
    /// `Sec-WebSocket-Origin`, of drafts 04 to 12.
    draft_origins: usize,
    has_body: bool,
}

impl<'a> Fields<'a> {
    /// Looks at each field once. A third key may be announced as the body that it is.
    fn of(request: &'a Request, third_key: bool) -> Self {
        let mut fields = Self::default();
        let mut length = None;
        for (name, value) in request.headers() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                4 if is("host") => {
                    fields.hosts += 1;
                    fields.host = fields.host.or(Some(value));
                }
                6 if is("origin") => fields.origins += 1,
                14 if is("content-length") => {
                    let says = content_length(value);
                    let fits = says == Some(0) || third_key && says == Some(THIRD_KEY as u64);
                    fields.has_body |= !fits || length.is_some_and(|before| before != says);
                    length = Some(says);
                }
                17 if is("transfer-encoding") => fields.has_body = true,
                20 if is("sec-websocket-origin") => fields.draft_origins += 1,
                _ => {}
            }
        }
        fields
    }
}

/// The number that a `Content-Length` is; `None` where it is none.
fn content_length(value: &[u8]) -> Option<u64> {
    let is_number = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

/// True for a host, with a port or without. It may be empty (RFC 9110 section 7.2).
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || !host.contains(&b'@') && Authority::try_from(host).is_ok()
}

/// True unless the target itself names another host (RFC 9112 section 3.2.2).
fn is_authority_of(request: &Request, host: &[u8]) -> bool {
    request.authority().is_none_or(|named| named.as_bytes().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_digits_and_nothing_else() {
        for (value, expected) in
            [("0", Some(0)), ("000", Some(0)), ("8", Some(8)), ("08", Some(8)), ("12", Some(12))]
        {
            assert_eq!(content_length(value.as_bytes()), expected, "{value}");
        }
        for value in ["", "+0", "-1", "0x8", "8 ", "8,8", "8, 8", "\u{668}", &"9".repeat(30)] {
            assert_eq!(content_length(value.as_bytes()), None, "{value}");
        }
    }
}
