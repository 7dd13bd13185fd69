//! Finds the end of a request's header while its bytes arrive, and looks at each byte once.
//!
//! The request line is read byte by byte, so that what cannot be HTTP is refused at its first
//! impossible byte; of the fields only the line ends are looked for.

use memchr::memchr;

use super::non_websocket;

/// Progress of a header's reading.
#[derive(Debug, Default)]
pub(super) struct Scan {
    part: Part,
    /// The next byte to look at.
    at: usize,
    /// Beginning of the request, behind any blank lines.
    start: usize,
    /// Beginning of the current part, or of the current line of fields.
    token: usize,
    /// Lines of fields so far.
    fields: usize,
}

/// The part of a request that the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Part {
    /// Blank lines before the request line (RFC 9112 section 2.2).
    #[default]
    Blank,
    Policy,
    Method,
    Target,
    Version,
    Fields,
}

/// Kind of the bytes so far.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// The beginning of a request.
    Incomplete,
    /// A whole header.
    Header {
        /// Beginning of the request line.
        start: usize,
        /// Behind the blank line.
        end: usize,
        /// Number of lines of fields.
        fields: usize,
    },
    /// A whole request for Flash's policy file.
    PolicyRequest,
    /// Not HTTP: the place of the first byte that cannot be.
    Malformed(usize),
    /// More fields than the limit.
    TooManyFields,
}

impl Scan {
    /// Goes on to the end of `bytes`: everything received, of which nothing was taken away.
    pub(super) fn advance(&mut self, bytes: &[u8], max_fields: usize) -> Found {
        while self.part != Part::Fields {
            let Some(&byte) = bytes.get(self.at) else {
                return Found::Incomplete;
            };
            if self.part == Part::Blank {
                if matches!(byte, b'\r' | b'\n') {
                    self.at += 1;
                    continue;
                }
                self.start = self.at;
                self.token = self.at;
                self.part = if self.at == 0 && byte == b'<' { Part::Policy } else { Part::Method };
            }
            let Some(part) = self.part_after(&bytes[self.token..self.at], byte) else {
                // "<" begins no method: for an HTTP parser it is the byte that cannot be.
                let at = if self.part == Part::Policy { self.start } else { self.at };
                return Found::Malformed(at);
            };
            self.at += 1;
            if self.part == Part::Policy && byte == b'>' {
                return Found::PolicyRequest;
            }
            if part != self.part {
                self.part = part;
                self.token = self.at;
            }
        }
        self.advance_fields(bytes, max_fields)
    }

    /// True if a whole method was there: a client that sends one speaks HTTP, and gets an answer.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.part, Part::Target | Part::Version | Part::Fields)
    }

    /// The part that follows `byte`, which `token`, the current part so far, precedes.
    fn part_after(&self, token: &[u8], byte: u8) -> Option<Part> {
        let (fits, part) = match (self.part, byte) {
            (Part::Policy, _) => {
                (non_websocket::continues_policy_request(token, byte), Part::Policy)
            }
            (Part::Method, b' ') => (METHODS.contains(&token), Part::Target),
            (Part::Method, _) => (continues_method(token, byte), Part::Method),
            (Part::Target, b' ') => (!token.is_empty(), Part::Version),
            (Part::Target, _) => (byte > b' ' && byte != 0x7f, Part::Target),
            (Part::Version, b'\n') => (token.len() > VERSION.len(), Part::Fields),
            (Part::Version, _) => (continues_version(token, byte), Part::Version),
            (Part::Blank | Part::Fields, _) => (false, self.part),
        };
        fits.then_some(part)
    }

    fn advance_fields(&mut self, bytes: &[u8], max_fields: usize) -> Found {
        while let Some(length) = memchr(b'\n', &bytes[self.at..]) {
            let line = &bytes[self.token..self.at + length];
            self.at += length + 1;
            self.token = self.at;
            if matches!(line, b"" | b"\r") {
                return Found::Header { start: self.start, end: self.at, fields: self.fields };
            }
            self.fields += 1;
            if self.fields > max_fields {
                return Found::TooManyFields;
            }
        }
        self.at = bytes.len();
        Found::Incomplete
    }
}

/// The methods of the HTTP parser under em-websocket, whose count of bytes its error text gives: a
/// client that sends any of them is told that it must be GET.
const METHODS: [&[u8]; 34] = [
    b"ACL",
    b"BIND",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LINK",
    b"LOCK",
    b"M-SEARCH",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MOVE",
    b"NOTIFY",
    b"OPTIONS",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"PUT",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"SOURCE",
    b"SUBSCRIBE",
    b"TRACE",
    b"UNBIND",
    b"UNLINK",
    b"UNLOCK",
    b"UNSUBSCRIBE",
];

fn continues_method(token: &[u8], byte: u8) -> bool {
    // What almost every client sends.
    if let Some(next) = b"GET".get(token.len()) {
        if byte == *next && b"GET".starts_with(token) {
            return true;
        }
    }
    METHODS.iter().any(|method| method.starts_with(token) && method.get(token.len()) == Some(&byte))
}

/// The version up to its last digit.
const VERSION: &[u8] = b"HTTP/1.";

fn continues_version(token: &[u8], byte: u8) -> bool {
    match VERSION.get(token.len()) {
        Some(expected) => byte == *expected,
        None if token.len() == VERSION.len() => matches!(byte, b'0' | b'1'),
        None => token.len() == VERSION.len() + 1 && byte == b'\r',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Found {
        Scan::default().advance(bytes, 100)
    }

    #[test]
    fn finds_the_end_of_the_header() {
        let header = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        assert_eq!(scan(header), Found::Header { start: 0, end: 24, fields: 1 });
        let header = b"\r\n\nGET / HTTP/1.0\nA: b\nC:\n\n";
        assert_eq!(scan(header), Found::Header { start: 3, end: header.len(), fields: 2 });
        assert_eq!(scan(&header[..header.len() - 1]), Found::Incomplete);
    }

    #[test]
    fn looks_at_each_byte_once() {
        let header = b"\r\nGET /demo HTTP/1.1\r\nHost: x\r\nA: b\r\n";
        let mut scan = Scan::default();
        for end in 0..header.len() {
            assert_eq!(scan.advance(&header[..end], 100), Found::Incomplete);
            assert_eq!(scan.at, end);
        }
    }

    /// Every count was printed by em-websocket, for the whole text in one call.
    #[test]
    fn refuses_at_the_first_impossible_byte() {
        for (bytes, at) in [
            (&b"This is not a HTTP header\r\n\r\n"[..], 1),
            (b"\r\n\r\nfoobar", 4),
            (b"\n\nx", 2),
            (b"\rx", 1),
            (b"\r\n \r\n", 2),
            (b" GET", 0),
            (b"get / HTTP/1.1\r\n", 0),
            (b"GETX / HTTP", 3),
            (b"GET /\0 HTTP/1.1\r\n", 5),
            (b"GET /a\x7fb HTTP/1.1\r\n", 6),
            (b"GET / FTP/1.1", 6),
            (b"GET / HTTP/1.11\r\n\r\n", 14),
            (b"GET / HTTP/1.1 \r\n\r\n", 14),
            (b"GET / HTTP/1.1\r\rX", 15),
            (b"GET / HTTP/1.\r\n\r\n", 13),
            (b"GET / HTTP/.1\r\n\r\n", 11),
            (b"GET / \r\n\r\n", 6),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 2),
            (b"BREW / HTTP/1.1\r\n\r\n", 1),
            (b"CHECKIN / HTTP/1.1\r\n\r\n", 5),
            (b"\x16\x03\x01\x02\x00\x01", 0),
            (b"<policy-file-request>", 0),
            (b" <policy-file-request/>", 0),
            (b"\r\n<policy-file-request/>", 2),
        ] {
            assert_eq!(scan(bytes), Found::Malformed(at), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn refuses_other_versions() {
        assert_eq!(scan(b"GET / HTTP/2.0\r\n\r\n"), Found::Malformed(11));
        assert_eq!(scan(b"GET / HTTP/1.2\r\n\r\n"), Found::Malformed(13));
        assert_eq!(scan(b"GET /\r\n\r\n"), Found::Malformed(5));
        assert_eq!(scan(b"GET / HTTP/1.\n"), Found::Malformed(13));
    }

    #[test]
    fn a_method_is_http() {
        let is_http = |bytes: &[u8]| {
            let mut scan = Scan::default();
            assert_eq!(scan.advance(bytes, 100), Found::Incomplete);
            scan.is_http()
        };
        assert!(!is_http(b"\r\n\r\n"));
        assert!(!is_http(b"GET"));
        assert!(is_http(b"GET "));
        assert!(is_http(b"POST /aaaa"));
        assert!(is_http(b"GET / HTTP/1.1\r\nA: b\r\n"));
    }

    #[test]
    fn counts_fields_as_they_come() {
        let mut scan = Scan::default();
        let header = b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n";
        assert_eq!(scan.advance(header, 2), Found::Incomplete);
        assert_eq!(Scan::default().advance(header, 1), Found::TooManyFields);
    }
}
