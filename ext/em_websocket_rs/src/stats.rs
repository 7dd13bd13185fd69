//! A server's counters as a Hash, and those that are counted here: of drains.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use em_websocket::server::Stats;
use magnus::{Error, RHash, Ruby};

/// Hash of all counters.
pub(crate) fn hash(ruby: &Ruby, stats: Stats, drains: Drains) -> Result<RHash, Error> {
    let failed = ruby.hash_new();
    for (reason, count) in stats.failed {
        failed.aset(ruby.to_symbol(reason), count)?;
    }
    let hash = ruby.hash_new();
    for (name, number) in [
        ("connections", stats.open as u64),
        ("accepted", stats.accepted),
        ("turned_away", stats.rejected),
        ("messages_received", stats.received.messages),
        ("bytes_received", stats.received.bytes),
        ("messages_sent", stats.sent.messages),
        ("bytes_sent", stats.sent.bytes),
        ("messages_waiting", stats.waiting.messages),
        ("bytes_waiting", stats.waiting.bytes),
        ("bytes_outbound", stats.outbound),
        ("outbound_limits", stats.overrun),
        ("write_timeouts", stats.stalled),
        ("ping_timeouts", stats.unanswered),
        ("idle_timeouts", stats.idle),
        ("drains", drains.count),
    ] {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    hash.aset(ruby.to_symbol("longest_drain"), drains.longest.as_secs_f64())?;
    hash.aset(ruby.to_symbol("handshakes_failed"), failed)?;
    Ok(hash)
}

/// The drains so far, and the longest of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Drains {
    count: u64,
    longest: Duration,
}

/// Measures one drain, from [`begin`](Self::begin) to its drop.
pub(crate) struct DrainTimer<'a> {
    drains: &'a Cell<Drains>,
    begin: Instant,
}

impl<'a> DrainTimer<'a> {
    #[allow(clippy::disallowed_methods, reason = "it is measured here, where it happens")]
    pub(crate) fn begin(drains: &'a Cell<Drains>) -> Self {
        Self { drains, begin: Instant::now() }
    }
}

impl Drop for DrainTimer<'_> {
    fn drop(&mut self) {
        let Drains { count, longest } = self.drains.get();
        self.drains.set(Drains { count: count + 1, longest: longest.max(self.begin.elapsed()) });
    }
}
