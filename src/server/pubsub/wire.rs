//! Form of what goes through a broker: a line of text, which a script of the broker's can complete,
//! and the message.
//!
//! ```text
//! \0em1t 00c0ffee00c0ffee 17\n…                      text, of a node, its 17th
//! \0em1b 00c0ffee00c0ffee 18 5eed 42 1700000000000\n…  binary, with epoch, offset, and when
//! \0em1g 00c0ffee00c0ffee 19\n                         messages before this are missing
//! ```
//!
//! Anything else is a text, of a program that knows nothing of this.

use bytes::Bytes;

use crate::server::channels::Position;

/// Mark that other programs' messages do not begin with.
const MARK: &[u8] = b"\0em1";

/// Longest line, with some room.
const LONGEST: usize = 160;

/// Kind of what goes through a broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Text,
    Binary,
    /// Messages that were published before are missing.
    Gap,
}

impl Kind {
    pub(super) fn of(is_binary: bool) -> Self {
        if is_binary {
            Self::Binary
        } else {
            Self::Text
        }
    }

    fn letter(self) -> u8 {
        match self {
            Self::Text => b't',
            Self::Binary => b'b',
            Self::Gap => b'g',
        }
    }

    fn read(letter: u8) -> Option<Self> {
        [Self::Text, Self::Binary, Self::Gap].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// Place of a message in its channel's history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) position: Position,
    /// Time at which it was published, in milliseconds of the broker's clock.
    pub(super) at: u64,
}

/// Message that has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Arrived {
    pub(super) kind: Kind,
    /// Process that has published it, and its number there.
    pub(super) origin: Option<(u64, u64)>,
    pub(super) place: Option<Place>,
    pub(super) payload: Bytes,
}

/// The line without its end, which a script completes with the place.
pub(super) fn head(kind: Kind, node: u64, number: u64) -> Vec<u8> {
    let mut head = MARK.to_vec();
    head.push(kind.letter());
    head.extend_from_slice(format!(" {node:016x} {number}").as_bytes());
    head
}

/// A message without a place.
pub(super) fn message(kind: Kind, node: u64, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut message = head(kind, node, number);
    message.push(b'\n');
    message.extend_from_slice(payload);
    message
}

/// A message that has come; `None` where it begins as one of ours, and goes on as none.
pub(super) fn read(bytes: Bytes) -> Option<Arrived> {
    let Some(rest) = bytes.strip_prefix(MARK) else {
        return Some(Arrived { kind: Kind::Text, origin: None, place: None, payload: bytes });
    };
    let end = rest.iter().take(LONGEST).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&rest[..end]).ok()?;
    let mut words = line.split(' ');
    let kind = match words.next()?.as_bytes() {
        [letter] => Kind::read(*letter)?,
        _ => return None,
    };
    let node = u64::from_str_radix(words.next()?, 16).ok()?;
    let number = words.next()?.parse().ok()?;
    let place = match words.next() {
        None => None,
        Some(epoch) => Some(Place {
            position: Position {
                epoch: u64::from_str_radix(epoch, 16).ok()?,
                offset: words.next()?.parse().ok()?,
            },
            at: words.next()?.parse().ok()?,
        }),
    };
    if words.next().is_some() {
        return None;
    }
    let payload = bytes.slice(MARK.len() + end + 1..);
    Some(Arrived { kind, origin: Some((node, number)), place, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for (kind, payload) in
            [(Kind::Text, b"".as_slice()), (Kind::Binary, b"\0em1t\n\xff"), (Kind::Gap, b"")]
        {
            let arrived = read(Bytes::from(message(kind, u64::MAX - 1, 7, payload)));
            let payload = Bytes::copy_from_slice(payload);
            let origin = Some((u64::MAX - 1, 7));
            assert_eq!(arrived, Some(Arrived { kind, origin, place: None, payload }));
        }
        let mut placed = head(Kind::Text, 10, 3);
        placed.extend_from_slice(b" ff 12 1700000000000\nhello");
        let place = Place { position: Position { epoch: 255, offset: 12 }, at: 1_700_000_000_000 };
        assert_eq!(
            read(Bytes::from(placed)),
            Some(Arrived {
                kind: Kind::Text,
                origin: Some((10, 3)),
                place: Some(place),
                payload: Bytes::from_static(b"hello"),
            })
        );
    }

    #[test]
    fn what_other_programs_publish_is_a_text_and_a_broken_line_is_nothing() {
        for text in ["", "hello", "\0em", "em1t 1 1\n"] {
            let arrived = read(Bytes::from(text)).map(|it| (it.kind, it.origin, it.payload));
            assert_eq!(arrived, Some((Kind::Text, None, Bytes::from(text))));
        }
        let long = format!("\0em1t {}\n", "1 ".repeat(200));
        for broken in [
            "\0em1",
            "\0em1\n",
            "\0em1t\n",
            "\0em1x 1 1\n",
            "\0em1tt 1 1\n",
            "\0em1t 1\n",
            "\0em1t g 1\n",
            "\0em1t 1 -1\n",
            "\0em1t 1 1 1\n",
            "\0em1t 1 1 1 1\n",
            "\0em1t 1 1 1 1 1 1\n",
            "\0em1t 1 1",
            &long,
        ] {
            assert_eq!(read(Bytes::from(broken.to_owned())), None, "{broken:?}");
        }
    }
}
