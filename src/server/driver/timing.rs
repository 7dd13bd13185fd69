//! A driver's deadlines.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, Sleep};

use super::{Driver, Stage, Step, Transport};
use crate::{
    error::HandshakeError,
    protocol::{
        close::CloseCode,
        handshake::{Progress as Opening, Refused},
    },
    server::{
        deferred::Compressor,
        handle::{Cork, Sent},
        liveness::{self, Due, Liveness},
        stats::count,
    },
};

/// A timeout in the room that a driver has for it: there are many drivers.
pub(super) fn milliseconds(timeout: Duration) -> NonZeroU32 {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    let milliseconds = u32::try_from(milliseconds).unwrap_or(u32::MAX);
    NonZeroU32::new(milliseconds).unwrap_or(NonZeroU32::MIN)
}

/// What a connection waits for, and the clock that wakes it.
#[derive(Default)]
pub(super) struct Timers {
    /// When the opening handshakes must be done.
    pub(super) opening: Option<Instant>,
    /// When what waits must be written, once the connection is to be ended; later, when lingering
    /// is over.
    pub(super) closing: Option<Instant>,
    /// What the link said when it was last looked at: when our close will have been unanswered too
    /// long, and when too long nothing will have been read nor written.
    pub(super) unanswered: Option<Instant>,
    pub(super) inactive: Option<Instant>,
    /// When the peer will have taken nothing for too long.
    stalled: Option<Instant>,
    pub(super) liveness: Option<Box<Liveness>>,
    /// Who compresses, where that was agreed to.
    pub(super) compressor: Option<Box<Compressor>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    pub(super) fn of_opening(deadline: Instant) -> Box<Self> {
        Box::new(Self { opening: Some(deadline), ..Self::default() })
    }

    fn next(&self) -> Option<Instant> {
        let deadlines = [
            self.opening,
            self.closing,
            self.unanswered,
            self.inactive,
            self.stalled,
            self.liveness.as_ref().and_then(|liveness| liveness.poll_timeout()),
            self.compressor.as_ref().and_then(|compressor| compressor.poll_timeout()),
        ];
        deadlines.into_iter().flatten().min()
    }
}

impl Driver {
    /// A peer that takes nothing of what waits is not waited for for ever.
    pub(super) fn note_stall(&mut self, is_written: bool, has_taken: bool) {
        if is_written {
            if let Some(timers) = &mut self.timers {
                timers.stalled = None;
            }
        } else if let Some(timeout) = self.write_timeout {
            let timers = self.timers.get_or_insert_default();
            if has_taken || timers.stalled.is_none() {
                let timeout = Duration::from_millis(u64::from(timeout.get()));
                timers.stalled = Instant::now().checked_add(timeout);
            }
        }
    }

    /// Sleeps until the next deadline, or does what one wants that has passed.
    pub(super) fn keep_time(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(timers) = &mut self.timers else { return Step::Wait };
        let Some(next) = timers.next() else {
            timers.sleep = None;
            if timers.compressor.is_none() && timers.liveness.is_none() {
                self.timers = None;
            }
            return Step::Wait;
        };
        let next = tokio::time::Instant::from_std(next);
        let sleep = timers.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if sleep.deadline() != next {
            sleep.as_mut().reset(next);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return Step::Wait;
        }
        timers.sleep = None;
        let now = Instant::now();
        if let Some(compressor) = &mut timers.compressor {
            compressor.handle_timeout(now);
        }
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let error = {
            let mut link = self.ends.handle.0.driver_link();
            let error = link.connection.handle_timeout(now);
            timers.unanswered = link.connection.poll_timeout();
            timers.inactive = link.inactive_at();
            if passed(timers.closing) || passed(timers.inactive) {
                return Step::End;
            }
            error
        };
        if passed(timers.stalled) {
            count(&self.ends.handle.counters().stalled);
            return Step::End;
        }
        let is_opened_late = passed(timers.opening);
        if is_opened_late {
            timers.opening = None;
        }
        if self.is_dead(now) {
            return Step::End;
        }
        if is_opened_late {
            if matches!(self.transport, Transport::Accepting(_)) {
                self.ends.handle.counters().failed("tls_timed_out");
                return Step::End;
            }
            let is_opening = matches!(self.stage, Stage::Handshake(_) | Stage::Opening(..));
            // The application may have opened it, or refused, at this moment.
            if !is_opening || !self.ends.handle.close_opening() {
                return Step::On;
            }
            let error = HandshakeError::TimedOut;
            let refused = Refused { error, response: None, request: None };
            self.answer(Opening::Refused(Box::new(refused)));
        }
        if let Some(error) = error {
            self.tell_error(error);
            self.stage = Stage::Over;
        }
        Step::On
    }

    pub(super) fn watches_inactivity(&self) -> bool {
        self.timers.as_ref().is_some_and(|timers| timers.inactive.is_some())
    }

    /// The opening handshakes are done.
    pub(super) fn is_opened(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.opening = None;
        }
    }

    /// Pings, or closes an idle connection, where that is due; whether the peer is dead.
    fn is_dead(&mut self, now: Instant) -> bool {
        let Some(timers) = &mut self.timers else { return false };
        let Some(liveness) = &mut timers.liveness else { return false };
        let (received, sent) = self.ends.handle.traffic();
        let counters = &self.ends.handle.counters();
        match liveness.handle_timeout(now, self.reads, received.messages + sent.messages) {
            Due::Nothing => {}
            Due::Ping => {
                // A connection that is closing has a limit of its own.
                let sent = self.ends.handle.ping(liveness::ping().as_bytes(), Cork::No);
                if matches!(sent, Ok(Sent::Bytes(1..))) {
                    self.reading.own_pings = self.reading.own_pings.saturating_add(1);
                }
            }
            Due::Dead => {
                count(&counters.unanswered);
                return true;
            }
            Due::Idle => {
                count(&counters.idle);
                let reason = format!("Idle for {:?}", liveness.idle_timeout());
                timers.liveness = None;
                self.ends.handle.close(Some(CloseCode::GOING_AWAY), &reason);
            }
        }
        false
    }
}
