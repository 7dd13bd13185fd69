//! A driver's clock: it sleeps until the next deadline, and does what one wants that has passed.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, Sleep};

use super::{
    clocks::{Clocks, Facts},
    timers::Timer,
    turns::Turn,
    Driver, Stage, Step, Transport,
};
use crate::{
    error::HandshakeError,
    protocol::{
        close::CloseCode,
        handshake::{Progress, Rejected},
        Rate, ReadyState, TokenBucket,
    },
    server::{
        keepalive,
        outbound::{compression::Compressor, Flush},
        outbox::Sent,
        pause,
        stats::count,
        transmission::Transmission,
    },
};

/// Limit on the messages that come.
#[derive(Debug)]
pub(super) struct MessageRate {
    pub(super) rate: Rate,
    pub(super) bucket: TokenBucket,
}

impl MessageRate {
    /// Number of messages that may come now.
    pub(super) fn available(&mut self) -> usize {
        self.bucket.available(self.rate, Instant::now())
    }
}

/// Timers of a connection, and the clock that wakes it.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) clocks: Clocks,
    /// Messages that it may still send, where that is limited.
    pub(super) message_rate: Option<MessageRate>,
    /// Its turn among those whose messages are not complete, where others wait for theirs.
    pub(super) turn: Option<Turn>,
    /// Compressor, where that was agreed to.
    pub(super) compressor: Option<Box<Compressor>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    pub(super) fn of_opening(limit: Duration) -> Box<Self> {
        let mut timers = Box::<Self>::default();
        timers.clocks.start(Timer::Opening, limit, Instant::now());
        timers
    }

    fn next(&self) -> Option<Instant> {
        self.turn.map(|turn| turn.until).into_iter().chain(self.clocks.next()).min()
    }
}

impl Driver {
    /// A peer that takes nothing of what waits is not waited for for ever.
    pub(super) fn note_stall(&mut self, is_written: bool, has_taken: bool) {
        let limit = self.write_timeout.filter(|_| !is_written);
        if limit.is_none() && self.timers.is_none() {
            return;
        }
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        if has_taken {
            clocks.taken();
        }
        match limit {
            Some(_) if clocks.is_set(Timer::Write) => {}
            Some(limit) => {
                let limit = Duration::from_millis(u64::from(limit.get()));
                clocks.start(Timer::Write, limit, Instant::now());
            }
            None => clocks.stop(Timer::Write),
        }
    }

    /// Limits the time until our close is answered, while it is not, and that without a byte either
    /// way. The clock is read where one of them begins.
    pub(super) fn limit_times(&mut self, close: Option<Duration>, inactivity: Option<Duration>) {
        if self.timers.is_none() && close.is_none() && inactivity.is_none() {
            return;
        }
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        match close {
            None => clocks.stop(Timer::Close),
            Some(_) if clocks.is_set(Timer::Close) => {}
            Some(limit) => clocks.start(Timer::Close, limit, Instant::now()),
        }
        if inactivity != clocks.inactivity_timeout() {
            clocks.limit_inactivity(inactivity, Instant::now());
        }
    }

    /// Sleeps until the next deadline, or does what those want that have passed.
    pub(super) fn poll_timers(&mut self, cx: &mut Context<'_>, held: u16) -> Step {
        if self.timers.is_none() {
            return Step::Pending;
        }
        let is_awaited = self.is_awaited(held);
        let Some(timers) = &mut self.timers else { return Step::Pending };
        if !is_awaited {
            timers.clocks.not_awaited();
        }
        let context = timers.compressor.as_ref().and_then(|compressor| compressor.poll_timeout());
        timers.clocks.set_context(context);
        let Some(next) = timers.next() else {
            timers.sleep = None;
            if timers.compressor.is_none() && timers.message_rate.is_none() {
                self.timers = None;
            }
            return Step::Pending;
        };
        let next = tokio::time::Instant::from_std(next);
        let sleep = timers.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if sleep.deadline() != next {
            sleep.as_mut().reset(next);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return Step::Pending;
        }
        timers.sleep = None;
        let now = Instant::now();
        if self.timers.as_ref().is_some_and(|timers| timers.turn.is_some_and(|it| it.until <= now))
        {
            self.end_turn();
        }
        self.time_out(now, is_awaited)
    }

    /// Does what the deadlines want that have passed.
    fn time_out(&mut self, now: Instant, is_awaited: bool) -> Step {
        let facts = self.facts(is_awaited);
        let shared = Arc::clone(&self.ends.handle.0);
        let mut ask = || Transmission::of(&shared.addresses);
        while let Some(timers) = &mut self.timers {
            let Some(timer) = timers.clocks.handle(now, &facts, &mut ask) else { break };
            if let Some(step) = self.expire(timer, now) {
                return step;
            }
        }
        Step::Continue
    }

    /// Does what one wants whose time is over: how the poll goes on, where others are not looked at.
    fn expire(&mut self, timer: Timer, now: Instant) -> Option<Step> {
        let counters = self.ends.handle.counters();
        match timer {
            Timer::Context => self.release_context(now),
            Timer::Ping => self.ping(),
            Timer::Pong => {
                count(&counters.unanswered);
                self.ends.handle.set_ended_by("ping_timeout");
                return Some(Step::Done);
            }
            Timer::Write => {
                count(&counters.stalled);
                self.ends.handle.set_ended_by("write_timeout");
                return Some(Step::Done);
            }
            Timer::End | Timer::Linger | Timer::Inactivity => return Some(Step::Done),
            Timer::Idle if self.ends.handle.ready_state() == ReadyState::Connected => {
                self.close_idle();
            }
            Timer::Idle => {}
            Timer::Close => {
                let error = self.ends.handle.0.driver_lock().protocol.time_out()?;
                self.tell_error(error);
                self.stage.stop_reading();
                return Some(Step::Continue);
            }
            Timer::Opening => return Some(self.opening_is_late()),
        }
        None
    }

    fn release_context(&mut self, now: Instant) {
        let Some(timers) = &mut self.timers else { return };
        if let Some(compressor) = &mut timers.compressor {
            compressor.handle_timeout(now);
            timers.clocks.set_context(compressor.poll_timeout());
        }
    }

    fn ping(&mut self) {
        // A connection that is closing has a limit of its own.
        let sent = self.ends.handle.ping(keepalive::ping().as_bytes(), Flush::Now);
        if matches!(sent, Ok(Sent::Bytes(1..))) {
            self.reading.own_pings = self.reading.own_pings.saturating_add(1);
        }
    }

    fn close_idle(&mut self) {
        let Some(timers) = &mut self.timers else { return };
        count(&self.ends.handle.counters().idle);
        self.ends.handle.set_ended_by("idle_timeout");
        let reason = format!("Idle for {:?}", timers.clocks.idle_timeout());
        timers.clocks.stop(Timer::Ping);
        timers.clocks.stop(Timer::Pong);
        self.ends.handle.close_unasked(Some(CloseCode::GOING_AWAY), &reason);
    }

    fn opening_is_late(&mut self) -> Step {
        let early = match self.transport {
            Transport::Accepting(_) => Some("tls_timed_out"),
            Transport::Proxied(_) => Some("proxy"),
            _ => None,
        };
        if let Some(reason) = early {
            self.ends.handle.counters().failed(reason);
            return Step::Done;
        }
        let is_opening = matches!(self.stage, Stage::Handshake(_) | Stage::AwaitingOpen(..));
        // The application may have opened it, or refused, at this moment.
        if is_opening && self.ends.handle.close_opening() {
            let error = HandshakeError::TimedOut;
            let response = match &self.stage {
                Stage::Handshake(opening) => opening.timed_out(),
                _ => None,
            };
            let refused = Rejected { error, response, request: None };
            self.respond(Progress::Rejected(Box::new(refused)));
        }
        Step::Continue
    }

    fn facts(&self, is_awaited: bool) -> Facts {
        let handle = &self.ends.handle;
        let is_amid = match &self.stage {
            Stage::Frames(receiver) => receiver.is_amid(),
            Stage::Buffered(_) => true,
            _ => false,
        };
        let state = handle.0.driver_lock();
        Facts {
            is_awaited,
            is_over: matches!(self.stage, Stage::ReadClosed | Stage::PeerClosed),
            reads: self.reads,
            sends: state.outbox.sends(),
            messages: handle.0.received().messages + state.outbox.sent().messages,
            sent: state.outbox.sent().bytes,
            is_queued: handle.0.is_queued(),
            is_amid,
            waiting: state.outbox.waiting_len(),
        }
    }

    /// True if it is the peer that is waited for, or an application that has been asked.
    fn is_awaited(&self, held: u16) -> bool {
        match self.stage {
            Stage::AwaitingOpen(..) => held & pause::UNASKED == 0,
            Stage::Handshake(_) if held & pause::UNASKED != 0 => false,
            Stage::ReadClosed | Stage::PeerClosed => false,
            Stage::Linger(_) => true,
            _ => !self.is_held(held),
        }
    }

    /// True if nothing is read. Once we have closed, it is read although the application has paused
    /// it: the answer would never be seen.
    pub(super) fn is_held(&self, held: u16) -> bool {
        let is_closing =
            || self.ends.handle.0.driver_lock().protocol.ready_state() == ReadyState::Closing;
        let reasons = held & pause::ANY;
        reasons != 0 && !(reasons == pause::APPLICATION && is_closing())
    }

    /// The opening handshakes are done.
    pub(super) fn is_opened(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.clocks.stop(Timer::Opening);
        }
    }
}
