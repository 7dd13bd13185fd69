//! A server's numbers, as Ruby has them.

use em_websocket::server::Stats;
use magnus::{Error, RHash, Ruby};

use crate::drain::Drains;

/// One Hash of all of them.
pub(crate) fn hash(ruby: &Ruby, stats: Stats, drains: Drains) -> Result<RHash, Error> {
    let failed = ruby.hash_new();
    for (reason, count) in stats.failed {
        failed.aset(ruby.to_symbol(reason), count)?;
    }
    let hash = ruby.hash_new();
    for (name, number) in [
        ("connections", stats.open as u64),
        ("accepted", stats.accepted),
        ("turned_away", stats.turned_away),
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
