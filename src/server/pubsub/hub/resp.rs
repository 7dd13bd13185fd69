//! Bytes of a broker's protocol, RESP: requests in, which are arrays of bulk strings, and what
//! replies and pushes are written with (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use std::{fmt::Write, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};

/// Elements of a request, at most.
const MAX_ELEMENTS: usize = 64;
/// Bytes of one element, at most.
const MAX_BULK: usize = 64 << 20;
/// Bytes of all elements of a request, at most.
const MAX_REQUEST: usize = 2 * MAX_BULK;
/// Digits of a length, at most.
const MAX_DIGITS: usize = 10;

/// Bytes that are no request, or one that is too large.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Broken;

/// Beginning of what a member has sent.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parsed<'a> {
    /// A request, and how many bytes it has taken.
    Request { elements: Vec<&'a [u8]>, length: usize },
    /// Number of bytes that there must be at least before there can be a request.
    Incomplete(usize),
}

/// Reads the request that bytes begin with.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Broken> {
    let Some((count, mut at)) = length(bytes, 0, b'*')? else {
        return Ok(Parsed::Incomplete(bytes.len() + 1));
    };
    if count > MAX_ELEMENTS {
        return Err(Broken);
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let Some((length, start)) = length(bytes, at, b'$')? else {
            return Ok(Parsed::Incomplete(bytes.len() + 1));
        };
        let end = start + length;
        if length > MAX_BULK || end > MAX_REQUEST {
            return Err(Broken);
        }
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => elements.push(&bytes[start..end]),
            Some(_) => return Err(Broken),
            None => return Ok(Parsed::Incomplete(end + 2)),
        }
        at = end + 2;
    }
    Ok(Parsed::Request { elements, length: at })
}

/// The length on the line that begins at a place, and where the next line begins.
fn length(bytes: &[u8], at: usize, mark: u8) -> Result<Option<(usize, usize)>, Broken> {
    let Some((first, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if *first != mark {
        return Err(Broken);
    }
    let mut length = 0;
    for (digits, byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' if digits < MAX_DIGITS => length = length * 10 + usize::from(byte - b'0'),
            b'\r' if digits > 0 => {
                return match rest.get(digits + 1) {
                    Some(b'\n') => Ok(Some((length, at + digits + 3))),
                    Some(_) => Err(Broken),
                    None => Ok(None),
                };
            }
            _ => return Err(Broken),
        }
    }
    Ok(None)
}

/// Writes a mark with a number: the head of an array (`*`), a map (`%`), a push (`>`), or a whole
/// integer (`:`).
pub(super) fn head(out: &mut BytesMut, mark: char, number: impl std::fmt::Display) {
    // Nothing but an allocation can fail here.
    let _ = write!(out, "{mark}{number}\r\n");
}

/// Writes a bulk string.
pub(super) fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    head(out, '$', bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// An error's reply.
pub(super) fn error(text: &str) -> Bytes {
    let line: String = text.chars().filter(|it| !it.is_control()).collect();
    Bytes::from(format!("-{line}\r\n"))
}

/// Push of a message of a channel.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The whole push.
    pub(super) push: Bytes,
    /// The message alone, as a bulk string; it shares the push's bytes.
    pub(super) bulk: Bytes,
}

/// Encodes a message, which is given in parts.
pub(super) fn message(channel: &[u8], parts: &[&[u8]]) -> Message {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = BytesMut::with_capacity(64 + channel.len() + length);
    out.put_slice(b">3\r\n$7\r\nmessage\r\n");
    bulk(&mut out, channel);
    let start = out.len();
    head(&mut out, '$', length);
    parts.iter().for_each(|part| out.put_slice(part));
    out.put_slice(b"\r\n");
    let push = out.freeze();
    let Range { start, end } = start..push.len();
    Message { bulk: push.slice(start..end), push }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_once_it_is_there() {
        let bytes = b"*3\r\n$4\r\nPING\r\n$0\r\n\r\n$3\r\na\r\n\r\n*0\r\n";
        let first = bytes.len() - 4;
        for end in 0..first {
            match parse(&bytes[..end]) {
                Ok(Parsed::Incomplete(needed)) => {
                    assert!((end + 1..=31).contains(&needed), "{end}")
                }
                other => panic!("{end}: {other:?}"),
            }
        }
        let elements = vec![b"PING".as_slice(), b"", b"a\r\n"];
        assert_eq!(parse(bytes), Ok(Parsed::Request { elements, length: first }));
        let none = Parsed::Request { elements: Vec::new(), length: 4 };
        assert_eq!(parse(&bytes[first..]), Ok(none));
    }

    #[test]
    fn what_is_no_request_or_too_large_is_broken() {
        for bytes in [
            "PING\r\n",
            "*\r\n",
            "*-1\r\n",
            "*1\n",
            "*1\rx",
            "*65\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$67108865\r\n",
            "*1\r\n$1\r\nab\r\n",
            "*00000000001\r\n",
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(Broken), "{bytes:?}");
        }
        assert_eq!(parse(b"*1\r\n$67108864\r\n"), Ok(Parsed::Incomplete(15 + (64 << 20) + 2)));
    }

    #[test]
    fn a_message_and_its_bulk_string_share_their_bytes() {
        let message = message(b"room", &[b"one ", b"", b"two"]);
        assert_eq!(message.push, &b">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$7\r\none two\r\n"[..]);
        assert_eq!(message.bulk, &b"$7\r\none two\r\n"[..]);
        let shared = message.push.as_ptr_range();
        assert!(shared.contains(&message.bulk.as_ptr()));
        assert_eq!(error("ERR of\r\ntwo lines"), &b"-ERR oftwo lines\r\n"[..]);
    }

    proptest! {
        #[test]
        fn requests_are_read_as_they_were_written(
            elements in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..64)
        ) {
            let mut out = BytesMut::new();
            head(&mut out, '*', elements.len());
            elements.iter().for_each(|element| bulk(&mut out, element));
            let length = out.len();
            let read: Vec<_> = elements.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(parse(&out), Ok(Parsed::Request { elements: read, length }));
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"*2\r\n$2\r\n", &bytes[..]].concat());
        }
    }
}
