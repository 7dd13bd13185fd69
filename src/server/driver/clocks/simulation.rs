//! Connections in virtual time: any two timers meet, the application pauses and goes on, messages
//! pile up, the machine stands still, at any moment. Healthy peers are never ended; dead ones are,
//! within a bound.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One step of the simulation.
const STEP: Duration = Duration::from_millis(20);
const PING: u64 = 11;
/// Number of steps after the last that is chosen.
const REST: u32 = 4_000;

/// Story of a connection. Times in steps, limits in milliseconds.
#[derive(Clone, Debug)]
struct Story {
    keepalive: Option<(u32, u32)>,
    idle: Option<u32>,
    inactivity: Option<u32>,
    write: u32,
    close: u32,
    /// Number of bytes that the socket holds, and the peer's.
    buffers: (u64, u64),
    /// Number of bytes that the peer takes in a step.
    rate: u64,
    /// Number of steps that it takes to answer.
    latency: u32,
    /// Times at which we send, and how much.
    sends: Vec<(u32, u64)>,
    /// Times at which the peer is not read, and for how long.
    pauses: Vec<(u32, u32)>,
    /// Times at which the machine stands still, and for how long.
    stops: Vec<(u32, u32)>,
    /// Times at which we close, and at which we end the connection once everything is written.
    closes_at: Option<u32>,
    ends_at: Option<u32>,
    /// Time at which the peer is gone: its machine, or only whoever reads there.
    dies_at: Option<(u32, bool)>,
    /// True if the system tells what has been taken.
    tells: bool,
}

/// A connection, its two sockets and its peer.
struct World {
    story: Story,
    clocks: Clocks,
    begin: Instant,
    now: u32,
    facts: Facts,
    /// Number of bytes that have been sent, written, acknowledged, and taken by the peer.
    sent: u64,
    written: u64,
    acked: u64,
    seen: u64,
    acked_at: u32,
    /// Ends of pings and of our close, in what was sent.
    questions: VecDeque<u64>,
    close: Option<u64>,
    /// Times at which what the peer has sent comes.
    arrivals: VecDeque<u32>,
    has_answered_close: bool,
    was_ended: bool,
}

impl World {
    fn new(story: Story) -> Self {
        let begin = Instant::now();
        let mut clocks = Clocks::default();
        let milliseconds = |limit: u32| Duration::from_millis(limit.into());
        let keepalive = story.keepalive.map(|(interval, timeout)| Keepalive {
            interval: milliseconds(interval),
            timeout: milliseconds(timeout),
        });
        clocks.open(keepalive, story.idle.map(milliseconds), begin);
        clocks.limit_inactivity(story.inactivity.map(milliseconds), begin);
        Self {
            story,
            clocks,
            begin,
            now: 0,
            facts: Facts::default(),
            sent: 0,
            written: 0,
            acked: 0,
            seen: 0,
            acked_at: 0,
            questions: VecDeque::new(),
            close: None,
            arrivals: VecDeque::new(),
            has_answered_close: false,
            was_ended: false,
        }
    }

    fn at(&self) -> Instant {
        self.begin + STEP * self.now
    }

    fn is_within(&self, spans: &[(u32, u32)]) -> bool {
        spans.iter().any(|(from, len)| (*from..from + len).contains(&self.now))
    }

    /// Takes a step, and returns what ends the connection in it.
    fn step(&mut self) -> Option<Timer> {
        self.now += 1;
        self.peer();
        if self.is_within(&self.story.stops) {
            return None;
        }
        self.orders();
        self.write();
        self.read();
        self.poll_timers()
    }

    fn peer(&mut self) {
        let death = self.story.dies_at.filter(|(at, _)| *at <= self.now);
        if death.is_none() {
            self.seen = (self.seen + self.story.rate).min(self.acked);
            while self.questions.front().is_some_and(|end| *end <= self.seen) {
                self.questions.pop_front();
                self.arrivals.push_back(self.now + self.story.latency);
            }
            if self.close.is_some_and(|end| end <= self.seen) {
                self.close = None;
                self.has_answered_close = true;
                self.arrivals.push_back(self.now + self.story.latency);
            }
        }
        if death.is_none_or(|(_, system_lives)| system_lives) {
            let acked = self.written.min(self.seen + self.story.buffers.1);
            if acked > self.acked {
                (self.acked, self.acked_at) = (acked, self.now);
            }
        }
    }

    fn send(&mut self, bytes: u64) {
        self.sent += bytes;
        self.facts.sends += 1;
    }

    fn orders(&mut self) {
        let now = self.now;
        let due = |at: &u32| *at <= now;
        while let Some(next) = self.story.sends.iter().position(|(at, _)| due(at)) {
            let (_, bytes) = self.story.sends.swap_remove(next);
            if !self.was_ended && self.story.closes_at.is_some() {
                self.facts.messages += 1;
                self.facts.sent += bytes;
                self.send(bytes);
            }
        }
        if self.story.closes_at.take_if(|at| due(at)).is_some() {
            self.send(4);
            self.close = Some(self.sent);
            let limit = Duration::from_millis(self.story.close.into());
            self.clocks.start(Timer::Close, limit, self.at());
        }
        if self.story.ends_at.take_if(|at| due(at)).is_some() {
            self.was_ended = true;
        }
    }

    fn write(&mut self) {
        let waited = self.sent > self.written;
        let room = self.story.buffers.0.saturating_sub(self.written - self.acked);
        if waited && room * 3 >= self.story.buffers.0 {
            self.written += room.min(self.sent - self.written);
            // It was full, so that something must have been taken.
            if self.clocks.is_set(Timer::Write) {
                self.clocks.taken();
            }
        }
        let waits = self.sent > self.written;
        let now = self.at();
        if waits {
            let limit = Duration::from_millis(self.story.write.into());
            self.clocks.start(Timer::Write, limit, now);
        } else {
            self.clocks.stop(Timer::Write);
        }
        if self.was_ended && waits {
            let limit = Duration::from_millis(self.story.close.into());
            self.clocks.start(Timer::End, limit, now);
        } else {
            self.clocks.stop(Timer::End);
        }
    }

    fn read(&mut self) {
        self.facts.is_awaited = !self.is_within(&self.story.pauses) && !self.facts.is_over;
        if !self.facts.is_awaited {
            self.clocks.not_awaited();
            return;
        }
        let come = self.arrivals.iter().take_while(|at| **at <= self.now).count();
        self.arrivals.drain(..come);
        if come > 0 {
            self.facts.reads += 1;
        }
        if self.has_answered_close && self.arrivals.is_empty() {
            self.facts.is_over = true;
        }
    }

    fn poll_timers(&mut self) -> Option<Timer> {
        self.facts.waiting = (self.sent - self.written) as usize;
        let told = self.story.tells.then(|| Transmission {
            acked: self.acked,
            unacked: self.written - self.acked,
            since_ack: STEP * (self.now - self.acked_at),
        });
        let now = self.at();
        while let Some(timer) = self.clocks.handle(now, &self.facts, &mut || told) {
            if timer != Timer::Ping {
                return Some(timer);
            }
            if !self.facts.is_over {
                self.send(PING);
                self.questions.push_back(self.sent);
            }
        }
        None
    }

    /// Goes on until the connection is ended, or everything chosen is long over.
    fn run(&mut self, steps: u32) -> Option<(Timer, u32)> {
        while self.now < steps {
            if let Some(timer) = self.step() {
                return Some((timer, self.now));
            }
            if self.facts.is_over && self.sent == self.written {
                break;
            }
        }
        None
    }
}

fn spans() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0..2_000u32, 1..400u32), 0..4)
}

prop_compose! {
    fn stories()(
        keepalive in prop::option::of((400..8_000u32, 800..8_000u32)),
        limits in (800..8_000u32, 800..8_000u32),
        buffers in (1_000..200_000u64, 1_000..100_000u64),
        rate in 40..20_000u64,
        latency in 0..20u32,
        sends in prop::collection::vec((0..2_000u32, 1..400_000u64), 0..12),
        pauses in spans(),
        stops in spans(),
        closes_at in 0..2_500u32,
        ends in prop::option::of(0..2_500u32),
        tells in any::<bool>(),
    ) -> Story {
        Story {
            keepalive,
            idle: None,
            inactivity: None,
            write: limits.0,
            close: limits.1,
            buffers,
            rate,
            latency,
            sends,
            pauses,
            stops,
            closes_at: Some(closes_at),
            ends_at: ends,
            dies_at: None,
            tells,
        }
    }
}

/// In steps.
fn steps(milliseconds: u32) -> u32 {
    milliseconds.div_ceil(STEP.as_millis() as u32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// It takes what it is sent, however slowly, and answers what it has seen.
    #[test]
    fn a_healthy_peer_is_never_ended(story in stories()) {
        let least = story.keepalive.map_or(u32::MAX, |(_, timeout)| timeout);
        // The peer takes what its own system holds within a fourth of the shortest limit, for
        // nobody can see that from here; and it answers within another one.
        let fourth = steps(least.min(story.close)) / 4;
        let latency = story.latency.min(fourth);
        let buffers = (story.buffers.0, story.buffers.1.min(story.rate * u64::from(fourth)));
        let mut world = World::new(Story { tells: true, latency, buffers, ..story });
        let over = world.run(100_000);
        prop_assert_eq!(over, None);
    }

    /// As long as there is a message now and then, or a part of one.
    #[test]
    fn a_connection_in_use_is_neither_idle_nor_inactive(
        story in stories(),
        limits in (800..8_000u32, 800..8_000u32),
    ) {
        let (idle, inactivity) = limits;
        // A message each half of the time, as long as nothing is chosen, until something travels.
        let each = steps(idle.min(inactivity)) / 2;
        let mut world = World::new(Story {
            idle: Some(idle),
            inactivity: Some(inactivity),
            tells: true,
            write: u32::MAX,
            closes_at: Some(u32::MAX),
            ends_at: None,
            ..story
        });
        while world.now < 4_000 {
            let travels = world.sent > world.acked + MESSAGE;
            if world.now % each == 0 && !travels {
                world.facts.messages += 1;
                world.send(100);
            }
            let over = world.step();
            prop_assert!(
                !matches!(over, Some(Timer::Idle | Timer::Inactivity)),
                "{over:?} at {}", world.now
            );
        }
    }

    /// Its machine is gone, or nobody reads there any more.
    #[test]
    fn a_dead_peer_is_ended_within_the_bound(
        story in stories(),
        dies_at in 0..2_000u32,
        system_lives in any::<bool>(),
    ) {
        let (interval, timeout) = story.keepalive.unwrap_or((1_000, 1_000));
        let mut world = World::new(Story {
            keepalive: Some((interval, timeout)),
            closes_at: Some(u32::MAX),
            ends_at: None,
            dies_at: Some((dies_at, system_lives)),
            ..story
        });
        let story = world.story.clone();
        // From when it is dead, read for good, sent nothing more, and the machine goes on; and what
        // it has said before may still be heard.
        let ends = |spans: &[(u32, u32)]| spans.iter().map(|(at, len)| at + len).max().unwrap_or(0);
        let last_send = story.sends.iter().map(|(at, _)| *at).max().unwrap_or(0);
        let from = dies_at.max(ends(&story.pauses)).max(ends(&story.stops)).max(last_send);
        // A ping, the time for what is before it, and the time for the answer; a quarter and an
        // eighth more each.
        let patience = steps(timeout) * 5 / 4;
        let bound = from + story.latency + steps(interval) * 2 + patience * 18 / 8 + REST / 200;
        let over = world.run(from + REST);
        let Some((_, at)) = over else { return Err(TestCaseError::fail("it is never ended")) };
        prop_assert!(at <= bound, "{over:?}, {bound}");
    }

    /// It does not answer our close; what was sent before that it may take, or not.
    #[test]
    fn a_close_that_is_not_answered_ends_within_the_bound(
        story in stories(),
        dies_at in 0..2_000u32,
        system_lives in any::<bool>(),
    ) {
        let mut world = World::new(Story {
            keepalive: None,
            closes_at: Some(story.closes_at.unwrap_or(0).max(dies_at)),
            dies_at: Some((dies_at, system_lives)),
            ..story
        });
        let story = world.story.clone();
        let ends = |spans: &[(u32, u32)]| spans.iter().map(|(at, len)| at + len).max().unwrap_or(0);
        let from = story.closes_at.unwrap_or(0).max(ends(&story.pauses)).max(ends(&story.stops));
        let bound = from + steps(story.close) * 18 / 8 + REST / 200;
        let over = world.run(from + REST);
        let Some((_, at)) = over else { return Err(TestCaseError::fail("it is never ended")) };
        prop_assert!(at <= bound, "{over:?}, {bound}");
    }
}
