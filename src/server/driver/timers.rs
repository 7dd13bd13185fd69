//! The timers of one connection, in one table.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// A limited time is looked at so often before it is over: nothing that happens meanwhile has to
/// note when it did.
const CHECKS_PER_TIMEOUT: u32 = 8;

/// One timer. `docs/reliability.md` has the table of what starts, renews and suspends each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// Time limit on the opening handshakes.
    Opening,
    /// Interval from one ping of ours to the next.
    Ping,
    /// Time limit on a sign of life after a ping of ours.
    Pong,
    /// Time limit on the answer to our close.
    Close,
    /// Time limit on a peer that takes nothing of what waits to be written.
    Write,
    /// The same once the connection is to be ended.
    End,
    /// Time for which a connection that has been ended is still read.
    Linger,
    /// Time limit without a byte either way.
    Inactivity,
    /// Time limit without a message either way.
    Idle,
    /// Time after which a compression context that is not used is given back.
    Context,
}

impl Timer {
    const COUNT: usize = Self::Context as usize + 1;

    const ALL: [Self; Self::COUNT] = [
        Self::Opening,
        Self::Ping,
        Self::Pong,
        Self::Close,
        Self::Write,
        Self::End,
        Self::Linger,
        Self::Inactivity,
        Self::Idle,
        Self::Context,
    ];
}

/// A set of timers, such as of those since whose last look something has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks(u16);

impl Marks {
    pub(super) fn mark_all(&mut self) {
        self.0 = u16::MAX;
    }

    pub(super) fn set(&mut self, timer: Timer, is_marked: bool) {
        self.0 &= !(1 << timer as u16);
        self.0 |= u16::from(is_marked) << timer as u16;
    }

    /// Takes a timer's mark: true if it had one.
    pub(super) fn take(&mut self, timer: Timer) -> bool {
        let is_marked = self.0 & 1 << timer as u16 != 0;
        self.set(timer, false);
        is_marked
    }
}

/// Result of a look at a limited time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// The time since the last look counts.
    Nothing,
    /// It counts, but no more than this much has passed of the whole.
    NothingFor(Duration),
    /// It does not count, and what counted before stays.
    Suspended,
    /// Progress of what was waited for: all of the time is left again.
    Progress,
}

/// The deadlines of all timers. In milliseconds, for there are many connections.
#[derive(Debug, Default)]
pub(super) struct TimerTable {
    entries: [Entry; Timer::COUNT],
}

/// A deadline: of a timer that is not limited time, itself; else, of the next look at it.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    at: Option<Instant>,
    limit: u32,
    spent: u32,
    /// From the last look to the next one.
    step: u32,
}

impl TimerTable {
    /// Sets a timer that is over at once when it expires.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.entries[timer as usize].at = at;
    }

    /// Starts a limited time: [`look`](Self::look) at it when it expires.
    pub(super) fn start(&mut self, timer: Timer, limit: Duration, now: Instant) {
        let limit = milliseconds(limit).get();
        self.entries[timer as usize] = Entry { limit, ..Entry::default() };
        self.entries[timer as usize].wait(now);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.entries[timer as usize].at.is_some()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.at).min()
    }

    /// The timer of the earliest deadline, if that has passed.
    pub(super) fn expired(&self, now: Instant) -> Option<Timer> {
        let deadline = |timer: &Timer| self.entries[*timer as usize].at;
        let set = Timer::ALL.into_iter().filter(|timer| deadline(timer).is_some());
        set.min_by_key(deadline).filter(|timer| deadline(timer).is_some_and(|at| at <= now))
    }

    /// True if a limited time is over at this look, unless there is progress.
    pub(super) fn is_last(&self, timer: Timer, now: Instant) -> bool {
        let entry = &self.entries[timer as usize];
        entry.spent_by(now) >= entry.limit
    }

    /// A look at a limited time whose deadline has passed: whether the time is over.
    pub(super) fn look(&mut self, timer: Timer, now: Instant, found: Found) -> bool {
        let entry = &mut self.entries[timer as usize];
        let spent = entry.spent_by(now);
        entry.spent = match found {
            Found::Nothing => spent,
            Found::NothingFor(time) => {
                spent.min(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
            }
            Found::Suspended => entry.spent,
            Found::Progress => 0,
        };
        if entry.spent >= entry.limit {
            entry.at = None;
            return true;
        }
        entry.wait(now);
        false
    }

    /// The next look at a limited time is now, and its last, unless there is progress.
    pub(super) fn hurry(&mut self, timer: Timer, now: Instant) {
        let entry = &mut self.entries[timer as usize];
        if entry.at.is_some() {
            entry.spent = entry.limit - entry.step;
            entry.at = Some(now);
        }
    }
}

impl Entry {
    /// Time that counts, if nothing was found. A look that is late, because the machine had no time
    /// for us, counts for two at most: then it had none for what the peer has sent, either.
    fn spent_by(&self, now: Instant) -> u32 {
        let late = self.at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
        let late = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
        self.spent.saturating_add(self.step).saturating_add(late.min(self.step))
    }

    fn wait(&mut self, now: Instant) {
        self.step = self.limit.div_ceil(CHECKS_PER_TIMEOUT).min(self.limit - self.spent).max(1);
        self.at = now.checked_add(Duration::from_millis(self.step.into()));
    }
}

/// A timeout in the room that a connection has for it: there are many. At least one, at most some
/// fifty days.
pub(super) fn milliseconds(timeout: Duration) -> NonZeroU32 {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    let milliseconds = u32::try_from(milliseconds).unwrap_or(u32::MAX);
    NonZeroU32::new(milliseconds).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_earliest_deadline_comes_first() {
        let now = Instant::now();
        let mut table = TimerTable::default();
        assert_eq!((table.next(), table.expired(now)), (None, None));
        table.set(Timer::Ping, Some(now + SECOND * 2));
        table.start(Timer::Idle, SECOND * 8, now);
        assert_eq!((table.next(), table.expired(now)), (Some(now + SECOND), None));
        assert_eq!(table.expired(now + SECOND * 2), Some(Timer::Idle));
        table.stop(Timer::Idle);
        assert_eq!(table.expired(now + SECOND * 2), Some(Timer::Ping));
        assert!(table.is_set(Timer::Ping) && !table.is_set(Timer::Idle));
    }

    /// Looks whenever that is due until the time is over: how long it took.
    fn until_over(limit: Duration, mut found: impl FnMut(u32) -> Found) -> Duration {
        let begin = Instant::now();
        let mut table = TimerTable::default();
        table.start(Timer::Write, limit, begin);
        let mut looks = 0;
        while let Some(at) = table.next() {
            looks += 1;
            if table.look(Timer::Write, at, found(looks)) {
                return at - begin;
            }
        }
        unreachable!("it is looked at until it is over");
    }

    #[test]
    fn a_limited_time_is_over_after_it_and_not_while_something_goes_on() {
        let all = [SECOND, SECOND * 60, Duration::from_millis(1), Duration::from_millis(13)];
        for limit in all {
            assert_eq!(until_over(limit, |_| Found::Nothing), limit);
        }
        assert_eq!(until_over(Duration::ZERO, |_| Found::Nothing), Duration::from_millis(1));
        let limit = SECOND * 8;
        let progress = |look| if look == 7 { Found::Progress } else { Found::Nothing };
        assert_eq!(until_over(limit, progress), SECOND * 15);
        let suspended = |look| if look < 5 { Found::Suspended } else { Found::Nothing };
        assert_eq!(until_over(limit, suspended), SECOND * 12);
        let late = |look| {
            if look == 3 {
                Found::NothingFor(SECOND / 2)
            } else {
                Found::Nothing
            }
        };
        assert_eq!(until_over(limit, late), SECOND * 10 + SECOND / 2);
    }

    #[test]
    fn time_in_which_the_machine_stood_still_does_not_count() {
        let begin = Instant::now();
        let mut table = TimerTable::default();
        table.start(Timer::Pong, SECOND * 8, begin);
        let woken = begin + SECOND * 3600;
        assert!(!table.look(Timer::Pong, woken, Found::Nothing));
        assert!(!table.is_last(Timer::Pong, woken));
        table.hurry(Timer::Pong, woken);
        assert!(table.is_last(Timer::Pong, woken));
        assert!(table.look(Timer::Pong, woken, Found::Nothing));
    }
}
