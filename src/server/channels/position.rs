//! Positions in the sequence of a channel's messages.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    process,
    str::FromStr,
    time::SystemTime,
};

/// Position in the sequence of a channel's messages: behind the message of this offset. As text,
/// `epoch:offset`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// Name of the sequence: a channel that begins anew, in this process or another, has another
    /// one.
    pub epoch: u64,
    /// Number of messages up to here.
    pub offset: u64,
}

impl Position {
    /// Position that no channel has come to, for text that is none: clients send anything.
    pub const UNKNOWN: Self = Self { epoch: 0, offset: u64::MAX };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.epoch, self.offset)
    }
}

/// Text that is no position.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no position of a channel")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        // Clients say it in a URL's query, of which applications see what was escaped.
        let separator = [":", "%3A", "%3a"].into_iter().find_map(|it| text.split_once(it));
        let (epoch, offset) = separator.ok_or(NoPosition)?;
        if text.contains('+') {
            return Err(NoPosition);
        }
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| NoPosition)?,
            offset: offset.parse().map_err(|_| NoPosition)?,
        })
    }
}

/// An epoch that no other channel has, here, in a forked child, or in the next process: a position
/// that fits by accident would be a gap that nobody notices.
pub(crate) fn new_epoch() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_nothing_else_is_one() {
        for position in [
            Position { epoch: 0, offset: 0 },
            Position { epoch: u64::MAX, offset: u64::MAX },
            Position { epoch: new_epoch(), offset: 42 },
        ] {
            let text = position.to_string();
            for written in [text.clone(), text.replace(':', "%3A"), text.replace(':', "%3a")] {
                assert_eq!(written.parse(), Ok(position));
            }
        }
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "x:1",
            "1:x",
            "1:-1",
            "+1:1",
            "1:+1",
            "1:1:1",
            "1:%3A1",
            "1%3A",
            " 1:1",
            "10000000000000000:1",
            "1:18446744073709551616",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text:?}");
        }
        assert_ne!(new_epoch(), new_epoch());
    }
}
