//! A server's counters as a Hash, and those that are counted here: of drains.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use em_websocket::server::Stats;
use magnus::{prelude::*, Error, IntoValue, RArray, RHash, RModule, Ruby};

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
        ("turned_away_by_ip", stats.rejected_by_address),
        ("turned_away_by_rate", stats.rejected_by_rate),
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
        ("message_rate_limits", stats.flooding),
        ("drains", drains.took.counts.iter().sum()),
    ] {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    hash.aset(ruby.to_symbol("longest_drain"), drains.longest.as_secs_f64())?;
    hash.aset(ruby.to_symbol("handshakes_failed"), failed)?;
    Ok(hash)
}

/// The drains so far: how long they took, and how long the oldest event of each had waited.
#[derive(Clone, Copy, Default)]
pub(crate) struct Drains {
    longest: Duration,
    took: Histogram,
    waited: Histogram,
}

impl Drains {
    /// `[[took], [waited]]`, each a number for each of [`BOUNDS`] and for what is longer, and the
    /// sum in seconds.
    pub(crate) fn histograms(&self, ruby: &Ruby) -> Result<RArray, Error> {
        let pair = ruby.ary_new_capa(2);
        for histogram in [&self.took, &self.waited] {
            let counts = ruby.ary_from_vec(histogram.counts.to_vec());
            let sum = Duration::from_nanos(histogram.nanoseconds).as_secs_f64();
            pair.push(ruby.ary_new_from_values(&[counts.as_value(), sum.into_value_with(ruby)]))?;
        }
        Ok(pair)
    }
}

/// Upper bounds of a histogram, in microseconds.
const BOUNDS: [u64; 11] =
    [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

/// Numbers of durations, by their bounds.
#[derive(Clone, Copy, Default)]
struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    nanoseconds: u64,
}

impl Histogram {
    fn observe(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most are below the first bounds.
        let longer = |bound: &u64| nanoseconds > bound * 1_000;
        let bound = BOUNDS.iter().position(|bound| !longer(bound)).unwrap_or(BOUNDS.len());
        self.counts[bound] += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
    }
}

/// Measures one drain, from [`begin`](Self::begin) to its drop.
pub(crate) struct DrainTimer<'a> {
    drains: &'a RefCell<Drains>,
    begin: Instant,
}

impl<'a> DrainTimer<'a> {
    #[allow(clippy::disallowed_methods, reason = "it is measured here, where it happens")]
    pub(crate) fn begin(drains: &'a RefCell<Drains>) -> Self {
        Self { drains, begin: Instant::now() }
    }

    /// The oldest event that is about to be delivered has waited since then.
    pub(crate) fn has_waited(&self, since: Instant) {
        let waited = self.begin.saturating_duration_since(since);
        self.drains.borrow_mut().waited.observe(waited);
    }
}

impl Drop for DrainTimer<'_> {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        let mut drains = self.drains.borrow_mut();
        drains.longest = drains.longest.max(took);
        drains.took.observe(took);
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let bounds = BOUNDS.map(|bound| Duration::from_micros(bound).as_secs_f64());
    let bounds = ruby.ary_from_vec(bounds.to_vec());
    bounds.freeze();
    native.const_set("HISTOGRAM_BOUNDS", bounds)
}
