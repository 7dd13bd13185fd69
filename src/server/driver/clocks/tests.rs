//! One rule at a time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Clocks in virtual time, with facts and a system that a test sets.
struct Bench {
    clocks: Clocks,
    now: Instant,
    facts: Facts,
    told: Option<Transmission>,
}

const NOTHING_SENT: Transmission =
    Transmission { acked: 100, unacked: 0, since_ack: Duration::from_secs(3600) };

impl Bench {
    fn new() -> Self {
        Self {
            clocks: Clocks::default(),
            now: Instant::now(),
            facts: Facts { is_awaited: true, ..Facts::default() },
            told: Some(NOTHING_SENT),
        }
    }

    /// Of a connection that is open, with these limits in seconds.
    fn open(keepalive: Option<(u32, u32)>, idle_timeout: Option<u32>) -> Self {
        let mut bench = Self::new();
        let keepalive = keepalive.map(|(interval, timeout)| Keepalive {
            interval: SECOND * interval,
            timeout: SECOND * timeout,
        });
        bench.clocks.open(keepalive, idle_timeout.map(|seconds| SECOND * seconds), bench.now);
        bench
    }

    fn with(timer: Timer, seconds: u32) -> Self {
        let mut bench = Self::new();
        bench.clocks.start(timer, SECOND * seconds, bench.now);
        bench
    }

    /// Runs for so many seconds, and returns what is over within them, and after how many;
    /// `meanwhile` is called before each look.
    fn run(
        &mut self,
        seconds: u32,
        mut meanwhile: impl FnMut(&mut Self, Duration),
    ) -> Option<(Timer, Duration)> {
        let begin = self.now;
        while let Some(at) = self.clocks.next().filter(|at| *at <= begin + SECOND * seconds) {
            self.now = at;
            meanwhile(self, at - begin);
            if !self.facts.is_awaited {
                self.clocks.not_awaited();
            }
            let told = self.told;
            while let Some(timer) = self.clocks.handle(at, &self.facts, &mut || told) {
                if timer != Timer::Ping {
                    return Some((timer, at - begin));
                }
            }
        }
        self.now = begin + SECOND * seconds;
        None
    }

    /// The peer takes so much, of what is left.
    fn take(&mut self, bytes: u64) {
        if let Some(told) = &mut self.told {
            let bytes = bytes.min(told.unacked);
            told.acked += bytes;
            told.unacked -= bytes;
            if bytes > 0 {
                told.since_ack = Duration::ZERO;
            }
        }
    }
}

#[test]
fn nothing_is_watched_by_default() {
    assert_eq!(Bench::open(None, None).clocks.next(), None);
}

#[test]
fn a_peer_that_is_silent_after_a_ping_is_dead_a_quarter_of_the_timeout_after_it() {
    let mut bench = Bench::open(Some((10, 8)), None);
    assert_eq!(bench.run(60, |_, _| {}), Some((Timer::Pong, SECOND * 20)));
    // The same with a system that does not tell; and with a timeout that is the longer one.
    let mut bench = Bench::open(Some((10, 24)), None);
    bench.told = None;
    assert_eq!(bench.run(60, |_, _| {}), Some((Timer::Pong, SECOND * 40)));
}

#[test]
fn a_peer_that_is_heard_after_each_ping_stays() {
    let mut bench = Bench::open(Some((10, 8)), None);
    assert_eq!(bench.run(600, |bench, _| bench.facts.reads += 1), None);
}

#[test]
fn a_peer_that_is_not_read_is_not_silent_and_has_all_of_the_time_when_it_is() {
    let mut bench = Bench::open(Some((10, 8)), None);
    let over = bench.run(600, |bench, at| bench.facts.is_awaited = at > SECOND * 100);
    let Some((Timer::Pong, at)) = over else { panic!("{over:?}") };
    assert!(at > SECOND * 110 && at <= SECOND * 113, "{at:?}");
    // The same for one that was not read for a moment between two looks.
    let mut bench = Bench::open(Some((10, 8)), None);
    let over = bench.run(600, |bench, at| {
        if at == SECOND * 35 / 2 {
            bench.clocks.not_awaited();
        }
    });
    assert_eq!(over, Some((Timer::Pong, SECOND * 55 / 2)));
}

#[test]
fn a_ping_behind_what_the_peer_still_takes_is_not_late() {
    for is_known in [true, false] {
        let mut bench = Bench::open(Some((10, 8)), None);
        bench.told = is_known.then_some(Transmission { unacked: 1_000_000, ..NOTHING_SENT });
        let mut last = SECOND;
        let over = bench.run(600, |bench, at| {
            // 4 MB, of which a fourth is written already, in 100 s.
            let seconds = at.as_secs().saturating_sub(10) as usize;
            let left = 4_000_000_usize.saturating_sub(40_000 * seconds);
            let waiting = left.saturating_sub(1_000_000);
            if waiting < bench.facts.waiting {
                bench.clocks.taken();
                last = at;
            }
            bench.facts.waiting = waiting;
            if let Some(told) = &mut bench.told {
                let unacked = left.min(1_000_000) as u64;
                let acked = 5_000_000 - left as u64;
                if acked > told.acked {
                    *told = Transmission { acked, unacked, since_ack: Duration::ZERO };
                    last = at;
                } else {
                    told.since_ack = at - last;
                }
            }
        });
        let Some((Timer::Pong, at)) = over else { panic!("{over:?}") };
        assert!(at >= last + SECOND * 10 && at <= last + SECOND * 13, "{at:?} {last:?}");
        assert!(last >= SECOND * if is_known { 109 } else { 84 }, "{last:?}");
    }
}

/// All that it is sent goes into its system's buffer, and is acknowledged.
#[test]
fn a_peer_that_is_sent_things_all_the_time_and_says_nothing_is_dead() {
    let mut bench = Bench::open(Some((10, 8)), None);
    let over = bench.run(600, |bench, at| {
        let told = bench.told.as_mut().unwrap();
        told.acked = 100 * at.as_millis() as u64;
        told.unacked = 50;
        told.since_ack = Duration::ZERO;
    });
    let Some((Timer::Pong, at)) = over else { panic!("{over:?}") };
    assert!(at <= SECOND * 23, "{at:?}");
}

#[test]
fn a_peer_that_takes_nothing_of_what_is_before_our_close_is_not_waited_for() {
    let mut bench = Bench::with(Timer::Close, 8);
    bench.facts.waiting = 1_000_000;
    bench.told = Some(Transmission { unacked: 1_000_000, ..NOTHING_SENT });
    assert_eq!(bench.run(600, |_, _| {}), Some((Timer::Close, SECOND * 9)));
}

#[test]
fn the_answer_to_our_close_is_not_late_once_it_is_read() {
    let mut bench = Bench::with(Timer::Close, 8);
    let over = bench.run(600, |bench, at| bench.facts.is_over = at > SECOND * 7);
    assert_eq!(over, None);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off_after_an_eighth_more_at_most() {
    for (told, after) in [(None, 8), (Some(NOTHING_SENT), 9)] {
        for timer in [Timer::Write, Timer::End] {
            let mut bench = Bench::with(timer, 8);
            bench.told = told;
            assert_eq!(bench.run(600, |_, _| {}), Some((timer, SECOND * after)));
        }
    }
}

#[test]
fn a_peer_that_takes_a_little_before_the_time_is_over_is_not_cut_off() {
    for is_known in [true, false] {
        let mut bench = Bench::with(Timer::Write, 8);
        bench.told = is_known.then_some(Transmission { unacked: 1_000_000, ..NOTHING_SENT });
        let mut taken_at = Duration::ZERO;
        let over = bench.run(600, |bench, at| {
            // The system's word counts although no byte could be written.
            if at >= taken_at + SECOND * 6 && at < SECOND * 500 {
                taken_at = at;
                if is_known {
                    bench.take(1);
                } else {
                    bench.clocks.taken();
                }
            }
        });
        let Some((Timer::Write, at)) = over else { panic!("{over:?}") };
        assert!(at >= SECOND * 500 && at <= SECOND * 510, "{at:?}");
    }
}

#[test]
fn the_opening_has_all_of_its_time_but_none_while_the_application_is_not_told() {
    let mut bench = Bench::with(Timer::Opening, 8);
    assert_eq!(bench.run(600, |_, _| {}), Some((Timer::Opening, SECOND * 8)));
    let mut bench = Bench::with(Timer::Opening, 8);
    let over = bench.run(600, |bench, at| {
        bench.facts.is_awaited = !(SECOND * 3..SECOND * 31).contains(&at);
    });
    let Some((Timer::Opening, at)) = over else { panic!("{over:?}") };
    assert!(at >= SECOND * 36 && at <= SECOND * 38, "{at:?}");
}

#[test]
fn a_connection_without_messages_is_idle_an_eighth_later_at_most() {
    let mut bench = Bench::open(None, Some(8));
    let over = bench.run(600, |bench, at| {
        // Reads alone, of pongs for instance, are not use.
        bench.facts.reads += 1;
        bench.facts.messages = at.as_secs().min(20);
    });
    assert_eq!(over, Some((Timer::Idle, SECOND * 28)));
}

#[test]
fn what_makes_a_connection_not_idle() {
    type Change = fn(&mut Bench);
    let all: [(&str, Change); 5] = [
        ("messages", |bench| bench.facts.messages += 1),
        ("the middle of a message", |bench| {
            bench.facts.is_amid = true;
            bench.facts.reads += 1;
        }),
        ("messages that are being told", |bench| bench.facts.is_queued = true),
        ("not being read", |bench| bench.facts.is_awaited = false),
        ("a message that is being written", |bench| {
            bench.facts.waiting = 1_000_000;
            bench.clocks.taken();
        }),
    ];
    for (what, change) in all {
        let mut bench = Bench::open(None, Some(8));
        assert_eq!(bench.run(100, |bench, _| change(bench)), None, "{what}");
        let is_once = |bench: &mut Bench| {
            let before = bench.facts;
            bench.facts = Facts { is_awaited: true, waiting: 0, is_amid: true, ..before };
            bench.facts.is_queued = false;
        };
        is_once(&mut bench);
        let over = bench.run(100, |_, _| {});
        assert!(matches!(over, Some((Timer::Idle, at)) if at <= SECOND * 18), "{what}: {over:?}");
    }
}

#[test]
fn a_message_that_the_peer_takes_out_of_the_socket_is_use_and_a_ping_is_not() {
    let mut bench = Bench::open(None, Some(8));
    bench.told = Some(Transmission { unacked: 1_000_000, ..NOTHING_SENT });
    let over = bench.run(600, |bench, _| bench.take(20_000));
    let Some((Timer::Idle, at)) = over else { panic!("{over:?}") };
    assert!(at >= SECOND * 48, "{at:?}");

    let mut bench = Bench::open(None, Some(8));
    let over = bench.run(600, |bench, _| {
        let told = bench.told.as_mut().unwrap();
        told.acked += 11;
        told.unacked = 11;
    });
    assert_eq!(over, Some((Timer::Idle, SECOND * 8)));
}

#[test]
fn a_connection_is_idle_from_when_the_peer_has_taken_all_but_1_kib_of_a_message() {
    for (len, until) in [(2_000, 4), (10_000, 7), (1_000_000, 7)] {
        let mut bench = Bench::open(None, Some(8));
        bench.told = Some(Transmission { unacked: len, ..NOTHING_SENT });
        let over = bench.run(600, |bench, _| {
            (bench.facts.messages, bench.facts.sent) = (1, len);
            // The last of it a second before a limit from its being sent is over.
            bench.take(len / 7);
        });
        assert_eq!(over, Some((Timer::Idle, SECOND * (until + 8))), "{len} bytes");
    }
}

#[test]
fn what_waits_and_what_is_not_acknowledged_is_on_its_way_together() {
    let mut bench = Bench::open(None, Some(8));
    let told = Transmission { unacked: 600, ..NOTHING_SENT };
    let over = bench.run(600, |bench, at| {
        bench.facts.waiting = 600;
        bench.told = Some(Transmission { acked: 100 + at.as_secs().min(20), ..told });
    });
    assert_eq!(over, Some((Timer::Idle, SECOND * 29)));
}

#[test]
fn a_byte_either_way_is_activity() {
    type Change = fn(&mut Bench);
    let all: [(&str, Change); 5] = [
        ("a read", |bench| bench.facts.reads += 1),
        ("a send", |bench| bench.facts.sends += 1),
        ("what the driver writes", |bench| bench.clocks.taken()),
        ("not being read", |bench| bench.facts.is_awaited = false),
        ("what the peer takes", |bench| {
            bench.told.as_mut().unwrap().unacked = 1_000_000;
            bench.take(1);
        }),
    ];
    for (what, change) in all {
        let mut bench = Bench::new();
        bench.clocks.limit_inactivity(Some(SECOND * 8), bench.now);
        assert_eq!(bench.run(100, |bench, _| change(bench)), None, "{what}");
        bench.facts.is_awaited = true;
        let over = bench.run(100, |_, _| {});
        assert!(matches!(over, Some((Timer::Inactivity, at)) if at <= SECOND * 26), "{what}");
        bench.clocks.limit_inactivity(None, bench.now);
        assert_eq!(bench.clocks.next(), None);
    }
}

#[test]
fn a_connection_that_was_ended_is_read_until_the_peer_has_taken_all() {
    for (unacked, after) in [(0, 2..=2), (1_000_000, 11..=15)] {
        let mut bench = Bench::new();
        bench.clocks.linger(SECOND * 2, bench.now);
        bench.told = Some(Transmission { unacked, ..NOTHING_SENT });
        let over = bench.run(600, |bench, at| {
            if at >= SECOND {
                bench.take(25_000);
            }
        });
        let Some((Timer::Linger, at)) = over else { panic!("{over:?}") };
        assert!(after.contains(&at.as_secs()), "{at:?}");
    }
    // One that takes nothing is not waited for.
    let mut bench = Bench::new();
    bench.clocks.linger(SECOND * 2, bench.now);
    bench.told = Some(Transmission { unacked: 1_000_000, ..NOTHING_SENT });
    let over = bench.run(600, |_, _| {});
    assert!(matches!(over, Some((Timer::Linger, at)) if at <= SECOND * 5), "{over:?}");
}
