//! The time in which a channel is known that has neither subscribers nor messages any more.

use std::time::{Duration, Instant};

use super::rules::History;

/// Time in which a channel is known that has neither subscribers nor messages any more: who comes
/// back with its newest position has missed nothing.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// True once a position of the channel may be known to somebody.
    is_known: bool,
    since: Option<Instant>,
    is_over: bool,
}

/// A channel is known for so long at most, however long messages would be.
const LONGEST: Duration = Duration::from_secs(3600);

/// Bytes that a channel takes which rests, about.
pub(super) const RESTING: usize = 768;

impl Rest {
    /// The channel is used: whether it rested.
    pub(super) fn end(&mut self) -> bool {
        self.is_known = true;
        self.is_over = false;
        self.since.take().is_some()
    }

    /// The channel is not used at present: whether it begins to rest.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.is_known && self.since.is_none();
        if begins {
            self.since = Some(Instant::now());
        }
        begins
    }

    /// The channel is to be let go of.
    pub(super) fn cut(&mut self) {
        self.is_over = true;
    }

    /// Time since which it rests, if it does.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since.filter(|_| !self.is_over)
    }

    /// Time at which the rest is over.
    pub(super) fn ends_at(&self, history: &History) -> Option<Instant> {
        self.since?.checked_add(history.ttl.min(LONGEST))
    }

    /// True if nothing would be lost with the channel.
    pub(super) fn is_over(&self, history: &History) -> bool {
        let is_due = |at| at <= Instant::now();
        !self.is_known || self.is_over || self.ends_at(history).is_some_and(is_due)
    }
}
