//! A request target (RFC 9112 section 3.2), cut into authority, path and query.

use std::ops::Range;

/// Places of path and query in a target.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
}

impl Target {
    /// `None` where the target is not a URI that a server may be asked for.
    ///
    /// The grammar is RFC 3986's, read as em-websocket reads it: a query may hold any ASCII. But what
    /// begins with a slash is all path (RFC 9112 section 3.2.1), there is no fragment, and no other
    /// scheme than HTTP's and WebSocket's: where a proxy reads another path than this, what it
    /// refuses would come through.
    pub(super) fn parse(target: &str) -> Option<Self> {
        let (hierarchy, query) = target.split_once('?').unwrap_or((target, ""));
        let authority = authority_range(hierarchy);
        let path = match &authority {
            Some(authority) => authority.end..hierarchy.len(),
            None => 0..hierarchy.len(),
        };
        let authority = authority.map(|range| &hierarchy[range]);

        let path_fits = match &hierarchy[path.clone()] {
            "" => authority.is_some(),
            "*" => true,
            path => path.starts_with('/') && has_only(path, "/"),
        };
        let fits = path_fits
            && authority.is_none_or(is_authority)
            && query.is_ascii()
            && !query.contains('#');
        let query = target.len() - query.len()..target.len();
        fits.then_some(Self { path, query })
    }
}

/// The host, and the port if there is one, that a target in absolute form names (RFC 9112 section
/// 3.2.2).
pub(super) fn authority(target: &str) -> Option<&str> {
    let hierarchy = target.split_once('?').map_or(target, |(hierarchy, _)| hierarchy);
    authority_range(hierarchy).map(|range| &hierarchy[range])
}

/// Range of the authority in what precedes the query.
fn authority_range(hierarchy: &str) -> Option<Range<usize>> {
    let (scheme, rest) = hierarchy.split_once("://")?;
    let is_known = ["http", "https", "ws", "wss"].iter().any(|it| scheme.eq_ignore_ascii_case(it));
    if !is_known {
        return None;
    }
    let start = hierarchy.len() - rest.len();
    let end = rest.find('/').map_or(hierarchy.len(), |length| start + length);
    Some(start..end)
}

/// True for a host with a port or without: never empty, and without a user (RFC 9110 sections 4.2.1
/// and 4.2.4).
fn is_authority(authority: &str) -> bool {
    !authority.is_empty() && !authority.contains('@') && has_only(authority, "[]")
}

/// True if `part` holds nothing but `pchar` (RFC 3986 section 3.3) and the bytes of `more`.
fn has_only(part: &str, more: &str) -> bool {
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut is_hex = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                is_hex() && is_hex()
            }
            _ => {
                byte.is_ascii_alphanumeric()
                    || b"-._~!$&'()*+,;=:@".contains(&byte)
                    || more.as_bytes().contains(&byte)
            }
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(target: &str) -> Option<(&str, &str)> {
        Target::parse(target).map(|parts| (&target[parts.path], &target[parts.query]))
    }

    /// Every row was tried with em-websocket.
    #[test]
    fn splits_as_em_websocket_does() {
        for (target, path, query) in [
            ("/", "/", ""),
            ("*", "*", ""),
            ("/a:b/~c//d", "/a:b/~c//d", ""),
            ("/./../b", "/./../b", ""),
            ("/%41", "/%41", ""),
            ("/%2e%2E/b", "/%2e%2E/b", ""),
            ("/demo?a=b&c=d&e", "/demo", "a=b&c=d&e"),
            ("/a?b?c", "/a", "b?c"),
            ("/a?//h/b", "/a", "//h/b"),
            ("/a?http://h/b", "/a", "http://h/b"),
            ("/a?|\"<%>[\\]^`{", "/a", "|\"<%>[\\]^`{"),
            ("/?", "/", ""),
            ("http://foo.com:81/demo?x=1", "/demo", "x=1"),
            ("http://[::1]/p", "/p", ""),
            ("HTTP://H/P", "/P", ""),
            ("ws://h/p", "/p", ""),
            ("wss://h/p", "/p", ""),
            ("http://h//p", "//p", ""),
            ("http://h", "", ""),
            ("http://h?x", "", "x"),
        ] {
            assert_eq!(split(target), Some((path, query)), "{target}");
        }
    }

    /// RFC 9112 section 3.2.1: the origin form has no authority. Em-websocket finds one.
    #[test]
    fn what_begins_with_a_slash_is_all_path() {
        for target in ["//h", "//x/admin", "//u@h:80/p", "///p", "/x://h/p", "/http://h/p", "//"] {
            assert_eq!(split(target), Some((target, "")));
            assert_eq!(split(&format!("{target}?//y/z")), Some((target, "//y/z")));
            assert_eq!(authority(target), None);
        }
    }

    #[test]
    fn the_absolute_form_names_an_authority() {
        for (target, expected) in [
            ("http://h:81/p?//x", Some("h:81")),
            ("WS://[::1]", Some("[::1]")),
            ("https://h?http://x/", Some("h")),
            ("/p?http://x/", None),
            ("*", None),
        ] {
            assert_eq!(authority(target), expected, "{target}");
        }
    }

    #[test]
    fn refuses_what_is_no_uri() {
        for target in [
            "/%", "/%4", "/%4g", "/[", "/a|b", "/a\"b", "/a<b", "/a\\b", "/a^b", "/a`b", "/{}",
            "/a?b#c#d", "/#[", "/é", "/?é", "//[é]", "foo", "a:b", "a:/b", "%2f", "?a=b", "",
        ] {
            assert_eq!(split(target), None, "{target}");
        }
    }

    /// Em-websocket takes them, and reads a path that others may read otherwise.
    #[test]
    fn refuses_what_a_proxy_may_read_otherwise() {
        for target in [
            "/#f",
            "/admin#.png",
            "/demo?a=b#frag",
            "/?#",
            "#/admin",
            "*#",
            "http://h/p#f",
            "ftp://h/p",
            "x://h/admin",
            "file:///p",
            "http:///p",
            "http://",
            "http://u@h/p",
            "http://u:p@h/p",
            "h2c+http://h/p",
            "http:/p",
            "http:p",
            "http://h\\@x/p",
            "*/",
            "**",
        ] {
            assert_eq!(split(target), None, "{target}");
        }
    }
}
