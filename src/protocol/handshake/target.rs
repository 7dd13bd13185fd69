//! A request target (RFC 9112 section 3.2), cut into path and query.

use std::ops::Range;

/// Where path and query stand in a target.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
}

impl Target {
    /// `None` where the target is not a URI.
    ///
    /// The grammar is RFC 3986's, read as em-websocket reads it: a query may hold any ASCII, and
    /// `//host/path` has the path `/path`.
    pub(super) fn parse(target: &str) -> Option<Self> {
        let (uri, fragment) = target.split_once('#').unwrap_or((target, ""));
        let (hierarchy, query) = uri.split_once('?').unwrap_or((uri, ""));
        let authority = authority(hierarchy);
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
            && authority.is_none_or(|authority| has_only(authority, "[]"))
            && query.is_ascii()
            && has_only(fragment, "/?");
        let query_end = uri.len();
        fits.then(|| Self { path, query: query_end - query.len()..query_end })
    }
}

/// Where the authority stands in what precedes the query: after `scheme://`, or after `//`.
fn authority(hierarchy: &str) -> Option<Range<usize>> {
    let slashes = hierarchy.find("//")?;
    let is_scheme = match hierarchy[..slashes].strip_suffix(':') {
        Some(scheme) => {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        }
        None => slashes == 0,
    };
    if !is_scheme {
        return None;
    }
    let start = slashes + 2;
    let end = hierarchy[start..].find('/').map_or(hierarchy.len(), |length| start + length);
    Some(start..end)
}

/// Whether `part` holds nothing but `pchar` (RFC 3986 section 3.3) and the bytes of `more`.
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
            ("/demo?a=b&c=d&e#frag", "/demo", "a=b&c=d&e"),
            ("/a?b?c", "/a", "b?c"),
            ("/a?|\"<%>[\\]^`{", "/a", "|\"<%>[\\]^`{"),
            ("/?", "/", ""),
            ("/#f", "/", ""),
            ("http://foo.com:81/demo?x=1", "/demo", "x=1"),
            ("http://[::1]/p", "/p", ""),
            ("HTTP://H/P", "/P", ""),
            ("http://h", "", ""),
            ("http://h?x", "", "x"),
            ("//h", "", ""),
            ("//u@h:80/p", "/p", ""),
            ("///p", "/p", ""),
        ] {
            assert_eq!(split(target), Some((path, query)), "{target}");
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
}
