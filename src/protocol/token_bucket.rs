//! Token bucket: a rate that may be exceeded for a moment, by as much as one second's worth.

use std::time::{Duration, Instant};

/// Rate, and with it the size of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// Rate of so many a second; `None` for what is no positive, finite number.
    pub fn new(per_second: f64) -> Option<Self> {
        (per_second > 0.0 && per_second.is_finite()).then_some(Self(per_second))
    }

    /// Number a second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// As many may come at once: one at least.
    fn burst(self) -> f64 {
        self.0.max(1.0)
    }
}

/// Tokens of which each event takes one. They come with the time, up to the rate's burst.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    tokens: f64,
    since: Instant,
}

impl TokenBucket {
    /// A full one.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst(), since: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.0).min(rate.burst());
        self.since = self.since.max(now);
    }

    /// Number of tokens that there are.
    pub fn available(&mut self, rate: Rate, now: Instant) -> usize {
        self.fill(rate, now);
        self.tokens as usize
    }

    /// Takes tokens that are [available](Self::available).
    pub fn spend(&mut self, tokens: usize) {
        self.tokens = (self.tokens - tokens as f64).max(0.0);
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        if self.available(rate, now) == 0 {
            let seconds = (1.0 - self.tokens) / rate.0;
            return Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        }
        self.spend(1);
        Ok(())
    }

    /// True if it is as good as a new one.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate.burst()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests have clocks")]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_come_for_a_second_may_come_at_once_and_then_as_the_rate_is() {
        let (rate, begin) = (Rate::new(4.0).unwrap(), Instant::now());
        let mut bucket = TokenBucket::new(rate, begin);
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        for _ in 0..4 {
            assert_eq!(bucket.take(rate, begin), Ok(()));
        }
        assert_eq!(bucket.take(rate, begin), Err(Duration::from_millis(250)));
        assert_eq!(bucket.take(rate, at(125)), Err(Duration::from_millis(125)));
        assert_eq!(bucket.take(rate, at(250)), Ok(()));
        assert!(!bucket.is_full(rate, at(1000)));
        // Not more than that, however long it waits; and a clock that goes back gives nothing.
        assert!(bucket.is_full(rate, at(60_000)));
        assert_eq!(bucket.available(rate, at(60_000)), 4);
        bucket.spend(4);
        assert_eq!(bucket.available(rate, at(0)), 0);
        assert_eq!(bucket.available(rate, at(60_000)), 0);
    }

    #[test]
    fn less_than_one_a_second_lets_one_come_at_a_time() {
        let (rate, begin) = (Rate::new(0.5).unwrap(), Instant::now());
        let mut bucket = TokenBucket::new(rate, begin);
        assert_eq!(bucket.take(rate, begin), Ok(()));
        assert_eq!(bucket.take(rate, begin), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(rate, begin + Duration::from_secs(2)), Ok(()));
        assert_eq!([0.0, -1.0, f64::NAN, f64::INFINITY].map(Rate::new), [None; 4]);
    }
}
