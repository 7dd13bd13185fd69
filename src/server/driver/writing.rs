//! A driver's writing: what nobody else could write, what is compressed, and the end.

use std::{
    mem,
    sync::{atomic::Ordering::SeqCst, Arc},
    task::{Context, Poll},
    time::Instant,
};

use super::{timers::Timer, Driver, Stage, Step, Transport, LINGER};
use crate::{
    protocol::CloseAction,
    server::{
        connection::{Shared, State},
        handle::Handle,
        locks::Guard,
    },
};

impl Driver {
    /// Writes what is ours to write, and follows what has been ordered.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, has_read: bool) -> Step {
        let is_wanted = self.ends.handle.0.driver_notified.swap(false, SeqCst);
        let has_replies = matches!(&self.transport, Transport::Open(it) if it.has_replies());
        if !(is_wanted || self.must_poll_write || has_read && has_replies) {
            return Step::Continue;
        }
        let shared = Arc::clone(&self.ends.handle.0);
        let mut state = shared.driver_lock();
        if state.close == CloseAction::Abort {
            return Step::Done;
        }
        if matches!(self.stage, Stage::Linger(_)) {
            return Step::Continue;
        }
        self.follow_limits(&mut state);
        state = self.compress(&shared, state, cx);
        let is_written = self.write_out(&mut state, cx);
        self.note_orders(&state);
        self.must_poll_write = !is_written || state.detached || state.close != CloseAction::None;
        if state.close == CloseAction::None && !state.detached {
            return Step::Continue;
        }
        self.finish(state, is_written, cx)
    }

    /// Goes on with what is being compressed, or begins with what comes next; what is made of it goes
    /// into the write buffer. The state is not locked meanwhile. Where something is still in progress,
    /// or more waits, the task will be woken.
    fn compress<'a>(
        &mut self,
        shared: &'a Shared,
        mut state: Guard<'a, State>,
        cx: &mut Context<'_>,
    ) -> Guard<'a, State> {
        let threads = self.ends.handle.compression_threads();
        let Some(compressor) = self.timers.as_mut().and_then(|it| it.compressor.as_mut()) else {
            return state;
        };
        if !compressor.begin_next(state.compression.as_deref_mut(), threads) {
            return state;
        }
        drop(state);
        let polled = compressor.poll(cx, Instant::now());
        state = shared.driver_lock();
        let Poll::Ready(frames) = polled else { return state };
        for bytes in frames {
            state.out.push(bytes);
        }
        if let Some(queue) = &mut state.compression {
            queue.done();
            if queue.is_waiting() {
                // Others have their turn first.
                cx.waker().wake_by_ref();
            }
        }
        state
    }

    fn follow_limits(&mut self, state: &mut State) {
        if mem::take(&mut state.limits_changed) {
            match &mut self.stage {
                Stage::Frames(receiver) => receiver.set_limits(state.limits()),
                Stage::Buffered(held) => held.0.set_limits(state.limits()),
                _ => {}
            }
        }
    }

    /// Writes what waits, and what waited for that: whether nothing is left.
    fn write_out(&mut self, state: &mut State, cx: &mut Context<'_>) -> bool {
        let before = (state.out.len(), state.taken());
        let was_blocked = state.blocked;
        let mut is_written = self.flush(state, cx);
        // A socket that was full takes only what the peer has taken before.
        let is_less = state.out.len() < before.0 || state.taken() > before.1;
        self.note_stall(is_written, was_blocked && is_less);
        if is_written && state.has_pending_pong() {
            state.take_pending_pong();
            is_written = self.flush(state, cx);
        }
        self.has_drained |= state.has_drained();
        if is_written && !state.is_deferring() && state.take_behind() {
            let handle = Handle(Arc::clone(&self.ends.handle.0));
            // Not here: a channel is locked before a connection is.
            tokio::spawn(async move { handle.catch_up() });
        }
        // Bytes that were sent meanwhile have woken this task again.
        is_written && !state.is_deferring()
    }

    /// Ends our direction once everything is written, and lingers.
    fn finish(
        &mut self,
        mut state: Guard<'_, State>,
        is_written: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        // A peer that does not read is not waited for longer than one that does not answer.
        let patience = state.protocol.close_timeout();
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        if !clocks.is_set(Timer::End) {
            clocks.start(Timer::End, patience, Instant::now());
        }
        if !is_written {
            return Step::Pending;
        }
        if state.detached {
            // Its peer has stopped sending, and the application has been told: nothing more comes.
            return Step::Done;
        }
        if state.write_half.poll_shutdown(cx).is_pending() {
            return Step::Pending;
        }
        drop(state);
        if self.peer_closed {
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

    /// Writes what waits: true if that was everything.
    fn flush(&mut self, state: &mut State, cx: &mut Context<'_>) -> bool {
        if state.write_failed {
            state.out.clear();
        }
        let result = state.flush_turn(cx);
        if let Transport::Open(stream) = &mut self.transport {
            // A reply that could not be written is kept by `state`.
            stream.has_replied();
        }
        match result {
            Ok(written) => {
                state.blocked = !written;
                written
            }
            Err(_) => {
                state.write_failed = true;
                state.blocked = false;
                state.out.clear();
                true
            }
        }
    }
}
