//! Pauses between attempts to reach a broker.

use std::time::Duration;

use crate::server::channels::new_epoch;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses between attempts: a random part of a time that doubles, so that those who lost the same
/// broker at the same moment do not come back at the same moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(new_epoch() as f64 / u64::MAX as f64)
    }

    /// The broker was reached.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_below_a_bound_that_doubles_from_50_ms_to_5_s() {
        let mut longest = [Duration::ZERO; 12];
        for _ in 0..300 {
            let mut backoff = Backoff::default();
            for longest in &mut longest {
                *longest = backoff.next().max(*longest);
            }
        }
        for (n, longest) in longest.into_iter().enumerate() {
            let bound = Duration::from_millis((50 << n).min(5_000));
            assert!(longest <= bound && longest > bound / 2, "{n}: {longest:?}");
        }
    }
}
