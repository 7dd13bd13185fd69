//! Timers of a connection, which find that it has been waited for too long. Sans-IO: they are told
//! the time, and the facts.
//!
//! One rule for all: silence, idleness and lateness count only while the peer is read, and only
//! from when what it is to answer has left. Most of what renews a timer is not noted when it
//! happens: looks at counts that are there anyway find it, so that a message costs no clock.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{
    mem,
    time::{Duration, Instant},
};

use super::timers::{Found, Marks, Timer, TimerTable};
use crate::server::{keepalive::Keepalive, transmission::Transmission};

/// Number of bytes on their way to the peer that are a message, and no ping.
const MESSAGE: u64 = 1024;

/// A part more than what waits is to be written, for what TLS adds to it.
const OVERHEAD: u64 = 64;

/// State of a connection when a deadline has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// True if it is the peer that is waited for: it is read; or its opening handshake waits for an
    /// application that has been asked.
    pub(crate) is_awaited: bool,
    /// True once the peer has sent all that it will: its answer to our close, for instance.
    pub(crate) is_over: bool,
    /// Number of times that something was read.
    pub(crate) reads: u32,
    /// Number of times that something was sent, or an inactivity timeout was set.
    pub(crate) sends: u32,
    /// Number of messages, both ways.
    pub(crate) messages: u64,
    /// Number of their bytes that were sent.
    pub(crate) sent: u64,
    /// True while the application has not been told of all that was received.
    pub(crate) is_queued: bool,
    /// True while the peer is in the middle of a message.
    pub(crate) is_amid: bool,
    /// Number of bytes that wait to be written.
    pub(crate) waiting: usize,
}

/// Asks the system; not more often than once a look, for it is a system call or four.
pub(crate) type Ask<'a> = &'a mut dyn FnMut() -> Option<Transmission>;

/// Progress, on its way to the peer, of that which is to be answered.
#[derive(Clone, Copy, Debug, Default)]
enum Leaving {
    #[default]
    Unknown,
    /// It has left once the peer's system has acknowledged so many bytes.
    Behind(u64),
    Left,
}

/// All timers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    table: TimerTable,
    keepalive: Option<Keepalive>,
    idle_timeout: Option<Duration>,
    inactivity: Option<Duration>,
    ping: Leaving,
    close: Leaving,
    /// Number of bytes that the peer's system had acknowledged when it was last asked.
    acked: Option<u64>,
    /// Timers since whose last look the peer was not waited for at some time.
    unawaited: Marks,
    /// Those since whose last look it has taken something of what waited.
    taken: Marks,
    /// Those at whose last look a message was on its way.
    travels: Marks,
    /// The counts at the last ping, and at the last looks.
    pinged_at: u32,
    active_at: (u32, u32),
    idle_at: (u64, u64, u32),
}

impl Clocks {
    /// Time at which [`handle`](Self::handle) wants to be called.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.table.next()
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.table.is_set(timer)
    }

    /// Starts a limited time, unless it runs.
    pub(crate) fn start(&mut self, timer: Timer, limit: Duration, now: Instant) {
        if !self.table.is_set(timer) {
            self.restart(timer, limit, now);
        }
    }

    fn restart(&mut self, timer: Timer, limit: Duration, now: Instant) {
        self.table.start(timer, limit, now);
        self.unawaited.set(timer, false);
        self.taken.set(timer, false);
        self.travels.set(timer, false);
        match timer {
            Timer::Pong => self.ping = Leaving::Unknown,
            Timer::Close => self.close = Leaving::Unknown,
            _ => {}
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.table.stop(timer);
    }

    /// The next look at a limited time is now, and its last, unless there is progress.
    pub(crate) fn hurry(&mut self, timer: Timer, now: Instant) {
        self.table.hurry(timer, now);
    }

    /// The connection has been ended: nothing else is waited for.
    pub(crate) fn linger(&mut self, limit: Duration, now: Instant) {
        self.table = TimerTable::default();
        self.restart(Timer::Linger, limit, now);
    }

    /// Sets the time at which a compression context may be given back.
    pub(crate) fn set_context(&mut self, at: Option<Instant>) {
        self.table.set(Timer::Context, at);
    }

    /// The opening handshake is done: what is watched from now on.
    pub(crate) fn open(
        &mut self,
        keepalive: Option<Keepalive>,
        idle_timeout: Option<Duration>,
        now: Instant,
    ) {
        self.keepalive = keepalive;
        let next = keepalive.and_then(|keepalive| now.checked_add(keepalive.interval));
        self.table.set(Timer::Ping, next);
        self.idle_timeout = idle_timeout;
        if let Some(timeout) = idle_timeout {
            self.start(Timer::Idle, timeout, now);
        }
    }

    /// Sets how long nothing may be read nor written, where that has changed.
    pub(crate) fn limit_inactivity(&mut self, timeout: Option<Duration>, now: Instant) {
        if timeout != self.inactivity {
            self.inactivity = timeout;
            match timeout {
                Some(timeout) => self.restart(Timer::Inactivity, timeout, now),
                None => self.stop(Timer::Inactivity),
            }
        }
    }

    /// Longest time in which nothing may be read nor written.
    pub(crate) fn inactivity_timeout(&self) -> Option<Duration> {
        self.inactivity
    }

    /// Longest time for which a connection may be idle.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.unwrap_or_default()
    }

    /// The peer is not waited for at present.
    pub(crate) fn not_awaited(&mut self) {
        self.unawaited.mark_all();
    }

    /// The peer has taken something of what waited.
    pub(crate) fn taken(&mut self) {
        self.taken.mark_all();
    }

    /// The timer whose time is over, if there is one. To be asked until there is none.
    pub(crate) fn handle(&mut self, now: Instant, facts: &Facts, ask: Ask<'_>) -> Option<Timer> {
        while let Some(timer) = self.table.expired(now) {
            let found = match timer {
                Timer::Ping => {
                    self.begin_ping(now, facts);
                    return Some(timer);
                }
                Timer::Context => {
                    self.stop(timer);
                    return Some(timer);
                }
                Timer::Pong if facts.reads != self.pinged_at => {
                    self.stop(timer);
                    continue;
                }
                Timer::Opening => self.opening(facts),
                Timer::Pong | Timer::Close => self.answer(timer, facts, ask),
                Timer::Write | Timer::End => self.writing(timer, ask),
                Timer::Linger => self.lingering(now, ask),
                Timer::Inactivity => self.inactivity(now, facts, ask),
                Timer::Idle => self.idleness(now, facts, ask),
            };
            if self.table.look(timer, now, found) {
                return Some(timer);
            }
        }
        None
    }

    fn begin_ping(&mut self, now: Instant, facts: &Facts) {
        let Some(Keepalive { interval, timeout }) = self.keepalive else {
            return self.stop(Timer::Ping);
        };
        self.table.set(Timer::Ping, now.checked_add(interval));
        // One that is not answered yet goes on counting.
        if !self.is_set(Timer::Pong) || facts.reads != self.pinged_at {
            self.pinged_at = facts.reads;
            // A pong that is on its way when the time is up still counts.
            self.restart(Timer::Pong, timeout.saturating_add(timeout / 4), now);
        }
    }

    /// True if the peer was waited for all the time since the last look.
    fn was_awaited(&mut self, timer: Timer, facts: &Facts) -> bool {
        let was_unawaited = self.unawaited.take(timer);
        self.unawaited.set(timer, !facts.is_awaited);
        facts.is_awaited && !was_unawaited
    }

    fn opening(&mut self, facts: &Facts) -> Found {
        if self.was_awaited(Timer::Opening, facts) {
            Found::Nothing
        } else {
            Found::Suspended
        }
    }

    /// Looks whether something is answered that has left.
    fn answer(&mut self, timer: Timer, facts: &Facts, ask: Ask<'_>) -> Found {
        if !self.was_awaited(timer, facts) || facts.is_over {
            return Found::Progress;
        }
        let leaving = if timer == Timer::Pong { self.ping } else { self.close };
        if matches!(leaving, Leaving::Left) {
            return Found::Nothing;
        }
        let told = self.ask(ask);
        let has_taken = self.taken.take(timer);
        let waiting = facts.waiting as u64;
        let (leaving, found) = match (told, leaving) {
            (None, _) if waiting == 0 && !has_taken => (Leaving::Left, Found::Nothing),
            (None, _) if waiting == 0 => (Leaving::Left, Found::Progress),
            (Some(told), _) if waiting == 0 && told.unacked == 0 => {
                (Leaving::Left, Found::NothingFor(told.since_ack))
            }
            (Some(told), Leaving::Behind(position)) if told.acked >= position => {
                (Leaving::Left, Found::Progress)
            }
            (Some(told), Leaving::Unknown) => {
                let position = told.acked + told.unacked + waiting + waiting / OVERHEAD;
                (Leaving::Behind(position), Found::Progress)
            }
            (_, leaving) if has_taken => (leaving, Found::Progress),
            (_, leaving) => (leaving, Found::Nothing),
        };
        match timer {
            Timer::Pong => self.ping = leaving,
            _ => self.close = leaving,
        }
        found
    }

    /// Looks whether the peer takes something of what waits.
    fn writing(&mut self, timer: Timer, ask: Ask<'_>) -> Found {
        self.ask(ask);
        progress_if(self.taken.take(timer))
    }

    /// True if more than `least` bytes that were written are on their way to a peer that takes them.
    /// It is found out where they were at the last look, and where it would be the last one.
    fn is_travelling(&mut self, timer: Timer, least: u64, now: Instant, ask: Ask<'_>) -> bool {
        let did = self.travels.take(timer);
        if !did && !self.table.is_last(timer, now) {
            return false;
        }
        let told = self.ask(ask);
        let has_taken = self.taken.take(timer);
        let does = told.is_some_and(|told| told.unacked > least) && has_taken;
        self.travels.set(timer, does);
        // Bytes that are there by now were on their way until shortly.
        did || does
    }

    fn lingering(&mut self, now: Instant, ask: Ask<'_>) -> Found {
        progress_if(self.is_travelling(Timer::Linger, 0, now, ask))
    }

    fn inactivity(&mut self, now: Instant, facts: &Facts, ask: Ask<'_>) -> Found {
        let active_at = (facts.reads, facts.sends);
        let is_active = mem::replace(&mut self.active_at, active_at) != active_at;
        let was_awaited = self.was_awaited(Timer::Inactivity, facts);
        if is_active || !was_awaited || self.taken.take(Timer::Inactivity) {
            return Found::Progress;
        }
        if !self.table.is_last(Timer::Inactivity, now) {
            return Found::Nothing;
        }
        match self.ask(ask) {
            Some(told) if told.unacked == 0 => Found::NothingFor(told.since_ack),
            _ => progress_if(self.taken.take(Timer::Inactivity)),
        }
    }

    fn idleness(&mut self, now: Instant, facts: &Facts, ask: Ask<'_>) -> Found {
        let idle_at = (facts.messages, facts.sent, facts.reads);
        let before = mem::replace(&mut self.idle_at, idle_at);
        let is_used = before.0 != facts.messages || facts.is_amid && before.2 != facts.reads;
        if facts.sent - before.1 > MESSAGE {
            self.travels.set(Timer::Idle, true);
        }
        let was_awaited = self.was_awaited(Timer::Idle, facts);
        let waiting = facts.waiting as u64;
        let is_written = waiting > MESSAGE && self.taken.take(Timer::Idle);
        if is_used || is_written || facts.is_queued || !was_awaited {
            return Found::Progress;
        }
        let least = MESSAGE.saturating_sub(waiting);
        progress_if(self.is_travelling(Timer::Idle, least, now, ask))
    }

    /// Asks the system. What has been acknowledged since it was last asked has been taken; before
    /// it was first asked, something may have been.
    fn ask(&mut self, ask: Ask<'_>) -> Option<Transmission> {
        let told = ask()?;
        if self.acked.is_none_or(|acked| acked < told.acked) {
            self.taken();
        }
        self.acked = Some(told.acked);
        Some(told)
    }
}

fn progress_if(is_progress: bool) -> Found {
    if is_progress {
        Found::Progress
    } else {
        Found::Nothing
    }
}
