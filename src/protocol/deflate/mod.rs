//! permessage-deflate: whole messages, compressed (RFC 7692).
//!
//! [`negotiate`](negotiate()) answers a client's offers. What it agreed to goes to the
//! [`Receiver`](super::Receiver::with_deflate), which inflates, and to a [`Deflater`], which makes
//! the frames that are sent.
//!
//! DEFLATE itself is `zlib-rs`: zlib in Rust, maintained, and as fast as zlib-ng, so that cargo is
//! all that it takes to build. It is used without `flate2` in between, which has no way to say
//! `memory_level`. The price is memory: a compressor takes 371 KiB, and no less than 134 KiB at the
//! least window and memory level, for its hash table has one size; a decompressor takes 46 KiB,
//! whatever its window. So a context is made at the first message that needs one, and where it is
//! not taken over it is gone with the message: to make one anew takes no longer than to clear one.

mod deflater;
mod inflater;
mod negotiate;

use std::fmt;

pub use deflater::{Deflater, Key};
pub(crate) use inflater::Inflater;
pub use negotiate::negotiate;

/// Tail of a compressed message, which stays away from the wire (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The largest window, and the one of a side that agreed to nothing else (RFC 7692 section 7.1.2).
const MAX_WINDOW_BITS: u8 = 15;

/// Compression that this side is ready for. Numbers out of their range count as its nearest end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// Compression level, 0 to 9; 3 by default. Level 6, zlib's own default, saves one part in
    /// fifty more, and takes twice the time.
    pub level: u8,
    /// Messages of fewer bytes are sent as they are; 860 by default. A message below that fits a
    /// packet anyway, and each byte that compression takes off it costs twice the time.
    pub threshold: usize,
    /// True if a message may refer to those before it, both ways; on by default. It makes small
    /// messages much smaller (a quarter of their size instead of a half, for 500 bytes of JSON), and
    /// keeps the contexts in memory.
    pub context_takeover: bool,
    /// The largest window, as a power of two, both ways: 8 to 15; 15 by default. A client is told of
    /// it where it has offered the parameter.
    pub window_bits: u8,
    /// Memory level of a compressor, 1 to 9; 8 by default.
    pub memory_level: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: 3,
            threshold: 860,
            context_takeover: true,
            window_bits: MAX_WINDOW_BITS,
            memory_level: 8,
        }
    }
}

impl Config {
    fn window_bits(&self) -> u8 {
        self.window_bits.clamp(8, MAX_WINDOW_BITS)
    }
}

/// Parameters that both sides have agreed on, once the opening handshake is answered. Shown,
/// it is the value of `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params {
    /// This side's messages stand alone (RFC 7692 section 7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client's messages stand alone (section 7.1.1.2).
    pub client_no_context_takeover: bool,
    /// This side's window, as a power of two (section 7.1.2.1); no larger than 15 where it is not
    /// named.
    pub server_max_window_bits: Option<u8>,
    /// The client's window (section 7.1.2.2).
    pub client_max_window_bits: Option<u8>,
}

impl fmt::Display for Params {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)?;
        if self.server_no_context_takeover {
            write!(formatter, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(formatter, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(formatter, "; {SERVER_MAX_WINDOW_BITS}={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(formatter, "; {CLIENT_MAX_WINDOW_BITS}={bits}")?;
        }
        Ok(())
    }
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Deflater>();
    is_send::<Inflater>();
};
