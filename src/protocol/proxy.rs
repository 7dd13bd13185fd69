//! Header of the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): with it a proxy of
//! TCP says whom it was connected from, before the client's first byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Limit on a header of version 2, in bytes. Those of load balancers have some dozens, and a
/// client's certificate in it, which nobody reads here, 2 to 3 KiB.
pub const MAX_HEADER: usize = 4 * 1024;

/// Beginning of every header of version 1.
const TEXT: &[u8] = b"PROXY ";

/// The longest one (section 2.1), with its CRLF.
const MAX_TEXT: usize = 107;

/// Beginning of every header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// From the signature to the length.
const FIXED: usize = 16;

/// Reason for which a connection is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProxyError {
    /// The first bytes are those of no such header.
    #[error("no PROXY header")]
    Missing,
    /// A version, a command, a family or an address that there is not.
    #[error("invalid PROXY header")]
    Invalid,
    /// The header is longer than the limit.
    #[error("PROXY header too long")]
    TooLong,
}

/// Source that a header names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The client's address.
    Client(IpAddr),
    /// Nothing: a check of the proxy's own, or a client without an address of IP. The connection's
    /// address stands.
    Unknown,
}

/// Reader of one header, which takes no byte behind it.
#[derive(Debug)]
pub struct HeaderReader {
    /// The first bytes; those that do not fit are nobody's.
    bytes: [u8; MAX_TEXT],
    len: usize,
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self { bytes: [0; MAX_TEXT], len: 0 }
    }
}

impl HeaderReader {
    /// Takes the next bytes, up to the header's end: how many, and, at its end, what it says.
    ///
    /// # Errors
    /// [`ProxyError`], at the first byte that cannot be part of a header.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(usize, Option<Source>), ProxyError> {
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
            }
            self.len += 1;
            if let Some(source) = self.judge(*byte)? {
                return Ok((at + 1, Some(source)));
            }
        }
        Ok((bytes.len(), None))
    }

    /// Judges what has come, of which this byte is the last one.
    fn judge(&self, last: u8) -> Result<Option<Source>, ProxyError> {
        let head = &self.bytes[..self.len.min(MAX_TEXT)];
        if head.starts_with(TEXT) {
            return match last {
                b'\n' => source_of_text(head).ok_or(ProxyError::Invalid).map(Some),
                _ if self.len >= MAX_TEXT => Err(ProxyError::TooLong),
                _ => Ok(None),
            };
        }
        if TEXT.starts_with(head) || SIGNATURE.starts_with(head) && head.len() < SIGNATURE.len() {
            return Ok(None);
        }
        if !head.starts_with(SIGNATURE) {
            return Err(ProxyError::Missing);
        }
        if head.get(12).is_some_and(|it| !matches!(it, 0x20 | 0x21)) {
            return Err(ProxyError::Invalid);
        }
        let Some(len) = head.get(14..FIXED) else { return Ok(None) };
        let len = FIXED + usize::from(u16::from_be_bytes([len[0], len[1]]));
        if len > MAX_HEADER {
            return Err(ProxyError::TooLong);
        }
        if self.len < len {
            return Ok(None);
        }
        let addresses = &head[FIXED..len.min(MAX_TEXT)];
        source_of_binary(head[12], head[13], addresses).ok_or(ProxyError::Invalid).map(Some)
    }
}

/// `PROXY TCP4 192.0.2.1 203.0.113.9 56324 443`, and its CRLF.
fn source_of_text(line: &[u8]) -> Option<Source> {
    let text = std::str::from_utf8(line.strip_prefix(TEXT)?.strip_suffix(b"\r\n")?).ok()?;
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Source::Unknown);
    }
    let words: Vec<_> = words.collect();
    let [client, server, client_port, server_port] = words[..] else { return None };
    for port in [client_port, server_port] {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let is_shortest = port == "0" || !port.starts_with('0');
        if !is_number || !is_shortest || port.parse::<u16>().is_err() {
            return None;
        }
    }
    let client = match family {
        "TCP4" => {
            server.parse::<Ipv4Addr>().ok()?;
            IpAddr::V4(client.parse().ok()?)
        }
        "TCP6" => {
            server.parse::<Ipv6Addr>().ok()?;
            IpAddr::V6(client.parse().ok()?)
        }
        _ => return None,
    };
    Some(Source::Client(client.to_canonical()))
}

/// Command and family stand in one byte each; behind the addresses come fields that nobody needs.
fn source_of_binary(command: u8, family: u8, addresses: &[u8]) -> Option<Source> {
    if command == 0x20 {
        // LOCAL: whatever the addresses are.
        return Some(Source::Unknown);
    }
    let client = match family {
        0x11 => {
            let (client, _) = addresses.get(..12)?.split_first_chunk::<4>()?;
            IpAddr::from(*client)
        }
        0x21 => {
            let (client, _) = addresses.get(..36)?.split_first_chunk::<16>()?;
            IpAddr::from(*client)
        }
        // Unspecified, and a Unix-domain socket.
        0x00 | 0x31 => return Some(Source::Unknown),
        _ => return None,
    };
    Some(Source::Client(client.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    fn read(bytes: &[u8]) -> Result<(usize, Option<Source>), ProxyError> {
        HeaderReader::default().receive(bytes)
    }

    fn client(address: &str) -> Source {
        Source::Client(address.parse().unwrap())
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 203, 0, 113, 9, 1, 2, 1, 187];

    fn v6() -> Vec<u8> {
        let address = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        [&address[..], &address, &[1, 2, 1, 187]].concat()
    }

    /// Every header that is taken, and what it says.
    fn good() -> Vec<(Vec<u8>, Source)> {
        let text = |line: &str| format!("PROXY {line}\r\n").into_bytes();
        vec![
            (text("TCP4 192.0.2.1 203.0.113.9 56324 443"), client("192.0.2.1")),
            (text("TCP4 255.255.255.255 255.255.255.255 65535 0"), client("255.255.255.255")),
            (text("TCP6 2001:db8::1 ::1 56324 443"), client("2001:db8::1")),
            (text("TCP6 ::ffff:192.0.2.1 ::1 1 2"), client("192.0.2.1")),
            (text("UNKNOWN"), Source::Unknown),
            (text("UNKNOWN ffff::1 what ever 1 2"), Source::Unknown),
            (binary(0x21, 0x11, &V4), client("192.0.2.1")),
            (binary(0x21, 0x11, &[&V4[..], &[0x20; 900]].concat()), client("192.0.2.1")),
            (binary(0x21, 0x21, &v6()), client("2001:db8::1")),
            (
                binary(0x21, 0x21, &[v6(), vec![4; MAX_HEADER - 16 - 36]].concat()),
                client("2001:db8::1"),
            ),
            (binary(0x20, 0x00, &[]), Source::Unknown),
            (binary(0x20, 0x11, &V4), Source::Unknown),
            (binary(0x20, 0x11, &[1]), Source::Unknown),
            (binary(0x21, 0x00, &[9; 40]), Source::Unknown),
            (binary(0x21, 0x31, &[9; 216]), Source::Unknown),
        ]
    }

    #[test]
    fn a_header_says_who_the_client_is_however_it_is_cut_and_takes_nothing_behind_it() {
        for (header, source) in good() {
            let shown = header.escape_ascii().to_string();
            let sent = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&sent), Ok((header.len(), Some(source))), "{shown}");
            for at in 0..header.len() {
                let mut reader = HeaderReader::default();
                assert_eq!(reader.receive(&sent[..at]), Ok((at, None)), "{shown}");
                let expected = Ok((header.len() - at, Some(source)));
                assert_eq!(reader.receive(&sent[at..]), expected, "{shown}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        use ProxyError::{Invalid, Missing, TooLong};
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let endless = format!("PROXY TCP4 {}", "1".repeat(10_240));
        for (bytes, error) in [
            (b"GET / HTTP/1.1\r\n".to_vec(), Missing),
            (b"\x16\x03\x01".to_vec(), Missing),
            (b"proxy TCP4".to_vec(), Missing),
            (b"PROXYTCP4".to_vec(), Missing),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Missing),
            (long.into_bytes(), TooLong),
            (endless.into_bytes(), TooLong),
            (b"PROXY \r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 56324\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443 1\r\n".to_vec(), Invalid),
            (b"PROXY TCP4  192.0.2.1 203.0.113.9 56324 443\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.256 203.0.113.9 56324 443\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 65536 443\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 +1 443\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 192.0.2.1 203.0.113.9 01 443\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), Invalid),
            (b"PROXY TCP6 192.0.2.1 ::1 1 2\r\n".to_vec(), Invalid),
            (b"PROXY UDP4 192.0.2.1 192.0.2.1 1 2\r\n".to_vec(), Invalid),
            (b"PROXY TCP4 \xff 203.0.113.9 1 443\r\n".to_vec(), Invalid),
            (binary(0x11, 0x11, &V4), Invalid),
            (binary(0x22, 0x11, &V4), Invalid),
            (binary(0x21, 0x12, &V4), Invalid),
            (binary(0x21, 0x41, &V4), Invalid),
            (binary(0x21, 0x11, &V4[..11]), Invalid),
            (binary(0x21, 0x21, &v6()[..35]), Invalid),
            (binary(0x21, 0x21, &V4), Invalid),
            (binary(0x21, 0x11, &[0; 10_240]), TooLong),
            (binary(0x20, 0x00, &[0; MAX_HEADER - 15]), TooLong),
        ] {
            assert_eq!(read(&bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_to_the_same_however_they_are_cut(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            begins in 0..17_usize, which in 0..15_usize, cut in 0..200_usize,
        ) {
            // Most begin as a header does.
            for (byte, begin) in bytes.iter_mut().zip(&good()[which].0[..begins.min(15)]) {
                *byte = *begin;
            }
            let whole = read(&bytes);
            let cut = cut.min(bytes.len());
            let mut reader = HeaderReader::default();
            let first = reader.receive(&bytes[..cut]);
            let parts = match first {
                Ok((taken, None)) => {
                    reader.receive(&bytes[cut..]).map(|(more, source)| (taken + more, source))
                }
                other => other,
            };
            assert_eq!(parts, whole);
            if let Ok((taken, Some(_))) = whole {
                assert!(taken <= MAX_HEADER);
            }
        }
    }
}
