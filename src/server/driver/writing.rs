//! A driver's writing: what nobody else could write, what is compressed, and the end.

use std::{
    sync::{atomic::Ordering::SeqCst, Arc},
    task::{Context, Poll},
    time::Instant,
};

use super::{timers::Timer, Driver, Stage, Step, Transport, LINGER};
use crate::server::{
    connection::{Locked, Shared, State},
    handle::Handle,
    outbox::{Closing, Flushed},
};

impl Driver {
    /// True if the state is to be looked at: somebody asks for it, something waits to be written, or
    /// the session has something to say to what was read.
    fn must_write(&mut self, has_read: bool) -> bool {
        let is_notified = self.ends.handle.0.driver_notified.swap(false, SeqCst);
        let has_replies = matches!(&self.transport, Transport::Open(it) if it.has_replies());
        is_notified || self.must_poll_write || has_read && has_replies
    }

    /// Does what has been asked for, and writes what nobody else could.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, has_read: bool) -> Step {
        if !self.must_write(has_read) {
            return Step::Continue;
        }
        let shared = Arc::clone(&self.ends.handle.0);
        let mut state = shared.driver_lock();
        if state.outbox.closing() == Closing::Abort {
            return Step::Done;
        }
        if matches!(self.stage, Stage::Linger(_)) {
            return Step::Continue;
        }
        self.apply_requests(&state);
        state = self.compress(&shared, state, cx);
        let is_written = self.flush(&mut state, cx);
        self.must_poll_write = !is_written || state.outbox.closing() != Closing::No;
        let is_behind = is_written && state.outbox.take_behind();
        let step = self.poll_close(state, is_written, cx);
        if is_behind {
            // Not before: a channel is locked before a connection is.
            Handle(shared).catch_up();
        }
        step
    }

    /// Takes over the limits that have been set, on the peer and in time.
    fn apply_requests(&mut self, state: &Locked<'_>) {
        match &mut self.stage {
            Stage::Frames(receiver) => receiver.set_limits(state.limits()),
            Stage::Buffered(held) => held.0.set_limits(state.limits()),
            _ => {}
        }
        let closes_within =
            state.protocol.poll_timeout().is_some().then(|| state.protocol.close_timeout());
        self.limit_times(closes_within, state.outbox.inactivity());
    }

    /// Goes on with what is being compressed, or begins with what comes next; what is made of it goes
    /// into the write buffer. The state is not locked meanwhile. Where something is still in progress,
    /// or more waits, the task will be woken.
    fn compress<'a>(
        &mut self,
        shared: &'a Shared,
        mut state: Locked<'a>,
        cx: &mut Context<'_>,
    ) -> Locked<'a> {
        let threads = self.ends.handle.compression_threads();
        let Some(compressor) = self.timers.as_mut().and_then(|it| it.compressor.as_mut()) else {
            return state;
        };
        if !compressor.begin_next(state.outbox.compression(), threads) {
            return state;
        }
        drop(state);
        let polled = compressor.poll(cx, Instant::now());
        state = shared.driver_lock();
        let Poll::Ready(frames) = polled else { return state };
        if state.outbox.push_compressed(frames) {
            // Others have their turn first.
            cx.waker().wake_by_ref();
        }
        state
    }

    /// Writes what waits, and what waited for that: whether nothing is left.
    fn flush(&mut self, state: &mut State, cx: &mut Context<'_>) -> bool {
        let Flushed { mut is_written, has_taken } = state.outbox.poll_flush(cx);
        if let Transport::Open(reader) = &mut self.transport {
            // A reply that could not be written is kept by the outbox.
            reader.has_replied();
        }
        self.note_stall(is_written, has_taken);
        if is_written && state.answer_kept_ping() {
            is_written = state.outbox.poll_flush(cx).is_written;
        }
        self.has_drained |= state.outbox.has_drained();
        // Bytes that were sent meanwhile have woken this task again.
        is_written && !state.outbox.is_deferring()
    }

    /// End of a connection that is to be closed: ends our direction once everything is written, and
    /// lingers.
    fn poll_close(
        &mut self,
        mut state: Locked<'_>,
        is_written: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        if state.outbox.closing() == Closing::No {
            return Step::Continue;
        }
        // A peer that does not read is not waited for longer than one that does not answer.
        let patience = state.protocol.close_timeout();
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        if !clocks.is_set(Timer::End) {
            clocks.start(Timer::End, patience, Instant::now());
        }
        if !is_written {
            return Step::Pending;
        }
        if state.outbox.write_half().poll_shutdown(cx).is_pending() {
            return Step::Pending;
        }
        // Its peer has stopped sending, and the application may have been told: nothing more comes.
        let is_over = state.outbox.closing() == Closing::Detached;
        drop(state);
        if is_over || matches!(self.stage, Stage::PeerClosed) {
            return Step::Done;
        }
        if matches!(self.stage, Stage::AwaitingOpen(..)) {
            self.ends.handle.counters().failed("application");
        }
        self.tell_closed();
        self.stage = Stage::Linger(LINGER.1);
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        clocks.linger(LINGER.0, Instant::now());
        Step::Continue
    }
}
