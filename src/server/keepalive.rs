//! Pings that this side sends by itself.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::LazyLock,
    time::Duration,
};

/// Pings that this side sends by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// From one ping to the next.
    pub interval: Duration,
    /// Time for which a peer may then stay silent.
    pub timeout: Duration,
}

/// The body of such a ping, which no application chooses for its own by chance.
pub(crate) fn ping() -> &'static str {
    static PING: LazyLock<String> = LazyLock::new(|| {
        // The standard library's one source of random numbers.
        let random = RandomState::new().build_hasher().finish();
        format!("keepalive {random:016x}")
    });
    &PING
}
