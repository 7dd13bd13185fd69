//! The client behind proxies that are trusted: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy adds the address that it was connected from at the end. What stands there is read from
//! the end on, for as long as the one who has written it is trusted; the first address that is not a
//! proxy's is the client's, and what stands before it was sent by the client, or by anybody.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::request::Request;
use crate::error::HandshakeError;
use crate::protocol::{http_token::is_token_byte, networks::Networks};

/// Client, as trusted proxies say it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Client {
    /// `None` where they do not say, or hide it.
    pub(super) address: Option<IpAddr>,
    /// True if it speaks TLS with the first of them; `None` where that is not said.
    pub(super) secure: Option<bool>,
}

/// Client of a request that has come from `peer` (`None`: by a socket of Unix): nothing is said, if
/// that is not trusted.
///
/// # Errors
/// [`HandshakeError::Forwarded`] if `Forwarded` cannot be read, or names another client than
/// `X-Forwarded-For`: a proxy writes one of them, and the other one is its client's.
pub(super) fn client(
    request: &Request,
    peer: Option<IpAddr>,
    trusted: &Networks,
) -> Result<Client, HandshakeError> {
    if !trusted.contain_peer(peer) {
        return Ok(Client::default());
    }
    let standard = by_forwarded(request, trusted)?;
    let usual = by_x_forwarded_for(request, trusted);
    let secure = standard.and_then(|client| client.secure);
    let secure = secure.or_else(|| by_x_forwarded_proto(request));
    match (standard.map(|client| client.address), usual) {
        (Some(one), Some(other)) if one != other => Err(HandshakeError::Forwarded),
        (one, other) => Ok(Client { address: one.or(other).flatten(), secure }),
    }
}

/// `None` where there is no such header.
fn by_x_forwarded_for(request: &Request, trusted: &Networks) -> Option<Option<IpAddr>> {
    let mut lists: Vec<_> = request.header_all("x-forwarded-for").collect();
    lists.reverse();
    let entries = lists.iter().flat_map(|list| list.rsplit(|byte| *byte == b','));
    // RFC 9110 section 5.6.1: an empty one is none.
    let entries = entries.map(|entry| entry.trim_ascii()).filter(|entry| !entry.is_empty());
    let mut client = None;
    for address in entries.map(node) {
        client = Some(address);
        if address.is_none_or(|address| !trusted.contain(address)) {
            break;
        }
    }
    client
}

/// The last one is what the nearest proxy says.
fn by_x_forwarded_proto(request: &Request) -> Option<bool> {
    let last = request.header_all("x-forwarded-proto").last()?;
    is_secure(last.rsplit(|byte| *byte == b',').next()?.trim_ascii())
}

fn is_secure(scheme: &[u8]) -> Option<bool> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    if is("https") || is("wss") {
        return Some(true);
    }
    (is("http") || is("ws")).then_some(false)
}

/// `None` where there is no such header.
fn by_forwarded(request: &Request, trusted: &Networks) -> Result<Option<Client>, HandshakeError> {
    let mut elements = Vec::new();
    for list in request.header_all("forwarded") {
        read_list(list, &mut elements).ok_or(HandshakeError::Forwarded)?;
    }
    let mut client = None;
    for element in elements.iter().rev() {
        // An identifier that hides it (RFC 7239 section 6.3) may be anybody's.
        let address = element.node.as_deref().and_then(node);
        let secure = element.proto.as_deref().and_then(is_secure);
        client = Some(Client { address, secure });
        if address.is_none_or(|address| !trusted.contain(address)) {
            break;
        }
    }
    Ok(client)
}

/// Element in which one proxy says whom it was connected from.
#[derive(Debug, Default)]
struct Element {
    node: Option<Vec<u8>>,
    proto: Option<Vec<u8>>,
}

/// Reads `1#( [ pair ] *( ";" [ pair ] ) )` of RFC 7239 section 4 to its end; `None` if it is not
/// that. A quote that a client has opened would take up what a proxy adds.
fn read_list(list: &[u8], elements: &mut Vec<Element>) -> Option<()> {
    let mut element = Element::default();
    let mut is_empty = true;
    let mut rest = list.trim_ascii();
    loop {
        if !matches!(rest.first(), None | Some(b',' | b';')) {
            let (name, value, behind) = read_pair(rest)?;
            let field = match name.to_ascii_lowercase().as_slice() {
                b"for" => Some(&mut element.node),
                b"proto" => Some(&mut element.proto),
                _ => None,
            };
            // RFC 7239 section 4: a parameter comes once.
            if field.is_some_and(|field| field.replace(value).is_some()) {
                return None;
            }
            is_empty = false;
            rest = behind.trim_ascii_start();
        }
        let next = rest.first();
        if next != Some(&b';') && !is_empty {
            elements.push(std::mem::take(&mut element));
            is_empty = true;
        }
        match next {
            None => return Some(()),
            Some(b';' | b',') => rest = rest[1..].trim_ascii_start(),
            Some(_) => return None,
        }
    }
}

/// `token "=" ( token / quoted-string )`: the name, the value, and what is behind it.
fn read_pair(bytes: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'=').filter(|end| *end > 0)?;
    let (name, value) = (&bytes[..end], &bytes[end + 1..]);
    if !name.iter().copied().all(is_token_byte) {
        return None;
    }
    if value.first() != Some(&b'"') {
        // Addresses with colons should be quoted, and are not always.
        let is_value = |byte| is_token_byte(byte) || matches!(byte, b':' | b'[' | b']');
        let end = value.iter().position(|byte| !is_value(*byte)).unwrap_or(value.len());
        return (end > 0).then(|| (name, value[..end].to_vec(), &value[end..]));
    }
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        match *value.get(at)? {
            b'"' => return Some((name, text, &value[at + 1..])),
            b'\\' => {
                at += 1;
                text.push(*value.get(at)?);
            }
            byte => text.push(byte),
        }
        at += 1;
    }
}

/// An address, with a port or without: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let address = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        Some(_) => None,
        None => text.parse().ok().or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip())),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: [&str; 3] = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];

    fn said(peer: &str, fields: &[&str]) -> Result<Client, HandshakeError> {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let header = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let request = Request::parse(header.as_bytes(), fields.len(), false).unwrap();
        client(&request, peer.parse().ok(), &Networks::parse(TRUSTED).unwrap())
    }

    fn address(fields: &[&str]) -> Option<String> {
        said("127.0.0.1", fields).unwrap().address.map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        for (fields, client) in [
            (&["X-Forwarded-For: 192.0.2.1"][..], Some("192.0.2.1")),
            (&["X-Forwarded-For: 6.6.6.6, 192.0.2.1"], Some("192.0.2.1")),
            (
                &["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 192.0.2.1,10.1.1.1,"],
                Some("192.0.2.1"),
            ),
            (&["X-Forwarded-For: 10.2.2.2, 10.1.1.1"], Some("10.2.2.2")),
            (&["X-Forwarded-For: 192.0.2.1:1234"], Some("192.0.2.1")),
            (&["X-Forwarded-For: [2001:db8::1]:80, fd00::1"], Some("2001:db8::1")),
            (&["X-Forwarded-For: ::ffff:192.0.2.1"], Some("192.0.2.1")),
            // Hidden, or no address: whoever it is, it is none of those before it.
            (&["X-Forwarded-For: 6.6.6.6, unknown"], None),
            (&["X-Forwarded-For: 6.6.6.6, proxy.example"], None),
            (&["X-Forwarded-For: 6.6.6.6, 1.2.3.4.5, 10.1.1.1"], None),
            (&["X-Forwarded-For: ,"], None),
            (&["Forwarded: for=192.0.2.1;proto=https;by=203.0.113.43"], Some("192.0.2.1")),
            (
                &["Forwarded: for=6.6.6.6, FOR=\"[2001:db8::1]:4711\", for=10.1.1.1"],
                Some("2001:db8::1"),
            ),
            (&["Forwarded: for=6.6.6.6", "Forwarded: for=\"192.0.2\\.1\" "], Some("192.0.2.1")),
            (&["Forwarded: for=6.6.6.6, for=_hidden"], None),
            (&["Forwarded: for=6.6.6.6, proto=http"], None),
            (&["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"], Some("192.0.2.1")),
            (
                &["Forwarded: for=192.0.2.1:1", "X-Forwarded-For: 192.0.2.1, 10.1.1.1"],
                Some("192.0.2.1"),
            ),
            (&["Via: 1.1 x", "X-Real-IP: 192.0.2.1"], None),
        ] {
            assert_eq!(address(fields).as_deref(), client, "{fields:?}");
        }
    }

    #[test]
    fn whoever_is_not_trusted_is_not_believed() {
        for peer in ["192.0.2.9", "127.0.0.2", "::1"] {
            for field in
                ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=\"", "X-Forwarded-Proto: https"]
            {
                assert_eq!(said(peer, &[field]), Ok(Client::default()), "{peer} {field}");
            }
        }
    }

    #[test]
    fn two_headers_that_do_not_agree_and_a_quote_that_is_not_closed_are_refused() {
        for fields in [
            &["Forwarded: for=6.6.6.6", "X-Forwarded-For: 192.0.2.1"][..],
            &["Forwarded: for=unknown", "X-Forwarded-For: 192.0.2.1"],
            &["Forwarded: for=6.6.6.6", "X-Forwarded-For: unknown"],
            // What a proxy has added is inside of the client's quotes.
            &["Forwarded: for=6.6.6.6;x=\", for=192.0.2.1"],
            &["Forwarded: for=6.6.6.6;x=\", for=\"[2001:db8::1]\""],
            &["Forwarded: for=6.6.6.6 for=192.0.2.1"],
            &["Forwarded: for=6.6.6.6;for=192.0.2.1"],
            &["Forwarded: for="],
            &["Forwarded: 192.0.2.1"],
            &["Forwarded: =192.0.2.1"],
        ] {
            assert_eq!(said("127.0.0.1", fields), Err(HandshakeError::Forwarded), "{fields:?}");
        }
    }

    #[test]
    fn the_scheme_is_what_the_nearest_proxy_says() {
        for (fields, secure) in [
            (&["X-Forwarded-Proto: https"][..], Some(true)),
            (&["X-Forwarded-Proto: HTTP"], Some(false)),
            (&["X-Forwarded-Proto: http, wss"], Some(true)),
            (&["X-Forwarded-Proto: https", "X-Forwarded-Proto: ws"], Some(false)),
            (&["X-Forwarded-Proto: gopher"], None),
            (&["Forwarded: for=192.0.2.1;proto=https"], Some(true)),
            (&["Forwarded: for=192.0.2.1;proto=https, for=10.1.1.1;proto=http"], Some(true)),
            (&["Forwarded: for=192.0.2.1;proto=http", "X-Forwarded-Proto: https"], Some(false)),
            (&["X-Forwarded-For: 192.0.2.1"], None),
        ] {
            assert_eq!(said("10.0.0.1", fields).unwrap().secure, secure, "{fields:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_client_sends_before_it_what_the_proxy_adds_is_the_client(
            sent in "[ -~]{0,60}",
        ) {
            let added = [format!("X-Forwarded-For: {sent}"), "X-Forwarded-For: 192.0.2.1".into()];
            let fields: Vec<_> = added.iter().map(String::as_str).collect();
            assert_eq!(address(&fields).as_deref(), Some("192.0.2.1"));
            // It is added in the same line, too: then what is sent is refused, or passed over.
            for added in ["192.0.2.1", "\"[2001:db8::1]\""] {
                let line = format!("Forwarded: {sent}, for={added}");
                let client = said("127.0.0.1", &[&line]).map(|client| client.address);
                let proxys = node(added.trim_matches('"').as_bytes());
                assert!(client == Ok(proxys) || client == Err(HandshakeError::Forwarded), "{line}");
            }
        }
    }
}
