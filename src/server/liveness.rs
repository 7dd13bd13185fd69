//! Whether the peer is still there, and anybody uses the connection: when to ping, and when to give
//! up. Sans-IO: it is told the time, and how far the connection's counts have come.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Pings that this side sends by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// From one ping to the next.
    pub interval: Duration,
    /// How long a peer may then stay silent.
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

/// An idle connection is found to be so up to this part of its timeout late: it is looked at so
/// often, and nothing else has to note the time.
const LOOKS: u32 = 8;

/// The watch over one connection.
#[derive(Debug)]
pub(crate) struct Liveness {
    keepalive: Option<(Keepalive, Pings)>,
    idle: Option<Idle>,
}

#[derive(Debug)]
struct Pings {
    /// When the next one goes.
    next: Instant,
    /// When the peer must have been heard, and how many reads there were before.
    expected: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Idle {
    timeout: Duration,
    next: Instant,
    /// The count of messages when it last changed, and the looks that have found it so since.
    messages: u64,
    looks: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Nothing,
    /// A ping must be sent.
    Ping,
    /// The peer is gone.
    Dead,
    /// Nobody uses the connection.
    Idle,
}

impl Liveness {
    /// Nothing, where there is nothing to watch.
    pub(crate) fn new(
        keepalive: Option<Keepalive>,
        idle_timeout: Option<Duration>,
        now: Instant,
    ) -> Option<Box<Self>> {
        let keepalive = keepalive
            .map(|keepalive| (keepalive, Pings { next: now + keepalive.interval, expected: None }));
        let idle = idle_timeout.map(|timeout| Idle {
            timeout,
            next: now + timeout / LOOKS,
            messages: 0,
            looks: 0,
        });
        (keepalive.is_some() || idle.is_some()).then(|| Box::new(Self { keepalive, idle }))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let pings = self.keepalive.as_ref().map(|(_, pings)| match pings.expected {
            Some((by, _)) => by.min(pings.next),
            None => pings.next,
        });
        pings.into_iter().chain(self.idle.as_ref().map(|idle| idle.next)).min()
    }

    /// What is due now, where there have been so many reads and so many messages, both ways.
    pub(crate) fn handle_timeout(&mut self, now: Instant, reads: u32, messages: u64) -> Due {
        if let Some((keepalive, pings)) = &mut self.keepalive {
            if let Some((by, before)) = pings.expected {
                if reads != before {
                    pings.expected = None;
                } else if by <= now {
                    return Due::Dead;
                }
            }
            if pings.next <= now {
                pings.next = now + keepalive.interval;
                pings.expected.get_or_insert((now + keepalive.timeout, reads));
                return Due::Ping;
            }
        }
        match &mut self.idle {
            Some(idle) if idle.next <= now => idle.look(now, messages),
            _ => Due::Nothing,
        }
    }

    /// How long a connection may be idle.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle.as_ref().map(|idle| idle.timeout).unwrap_or_default()
    }
}

impl Idle {
    fn look(&mut self, now: Instant, messages: u64) -> Due {
        self.next = now + self.timeout / LOOKS;
        if self.messages != messages {
            self.messages = messages;
            self.looks = 0;
        }
        // It was used at some time before the first look that found it so.
        self.looks += 1;
        if self.looks > LOOKS {
            Due::Idle
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const EVERY_10: Keepalive = Keepalive { interval: Duration::from_secs(10), timeout: SECOND };

    #[test]
    fn nothing_is_watched_by_default() {
        assert!(Liveness::new(None, None, Instant::now()).is_none());
    }

    #[test]
    fn a_peer_that_is_heard_gets_a_ping_each_interval() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(Some(EVERY_10), None, begin).unwrap();
        for n in 1..5u32 {
            let at = begin + SECOND * 10 * n;
            assert_eq!(liveness.poll_timeout(), Some(at));
            assert_eq!(liveness.handle_timeout(at, n, 0), Due::Ping);
            assert_eq!(liveness.poll_timeout(), Some(at + SECOND));
            assert_eq!(liveness.handle_timeout(at + SECOND, n + 1, 0), Due::Nothing);
        }
    }

    #[test]
    fn a_peer_that_is_not_heard_is_dead_after_the_timeout() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(Some(EVERY_10), None, begin).unwrap();
        let at = begin + SECOND * 10;
        assert_eq!(liveness.handle_timeout(at, 7, 0), Due::Ping);
        assert_eq!(liveness.handle_timeout(at + SECOND / 2, 7, 0), Due::Nothing);
        assert_eq!(liveness.handle_timeout(at + SECOND, 7, 0), Due::Dead);
    }

    #[test]
    fn a_timeout_longer_than_the_interval_goes_on_counting() {
        let patient = Keepalive { interval: SECOND, timeout: SECOND * 3 };
        let begin = Instant::now();
        let mut liveness = Liveness::new(Some(patient), None, begin).unwrap();
        for n in 1..4 {
            assert_eq!(liveness.handle_timeout(begin + SECOND * n, 7, 0), Due::Ping);
        }
        assert_eq!(liveness.handle_timeout(begin + SECOND * 4, 7, 0), Due::Dead);
    }

    #[test]
    fn a_connection_without_messages_is_idle_and_not_much_later() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(None, Some(SECOND * 8), begin).unwrap();
        let mut messages = 0;
        let mut last = begin;
        loop {
            let at = liveness.poll_timeout().unwrap();
            // Reads alone, of pongs for instance, are not use.
            let due =
                liveness.handle_timeout(at, at.duration_since(begin).as_secs() as u32, messages);
            if due == Due::Idle {
                let idle = at - last;
                assert!(idle >= SECOND * 8 && idle <= SECOND * 9, "{idle:?}");
                break;
            }
            assert_eq!(due, Due::Nothing);
            if messages < 5 {
                messages += 1;
                last = at + SECOND / 10;
            }
        }
    }
}
