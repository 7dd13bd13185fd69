//! A driver's writing: what nobody else could write, what is compressed, and the end.

use std::{
    mem,
    sync::{atomic::Ordering::SeqCst, Arc},
    task::Context,
    time::Instant,
};

use super::{timers::Timer, Driver, Stage, Step, Transport, LINGER};
use crate::{
    protocol::Progress,
    server::{link::Link, locks::Guard},
};

impl Driver {
    /// Writes what is ours to write, and follows what has been ordered.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, has_read: bool) -> Step {
        let is_wanted = self.ends.handle.0.attention.swap(false, SeqCst);
        let has_replies = matches!(&self.transport, Transport::Open(it) if it.has_replies());
        if !(is_wanted || self.is_busy || has_read && has_replies) {
            return Step::On;
        }
        let shared = Arc::clone(&self.ends.handle.0);
        let mut link = shared.driver_link();
        if link.end == Progress::Abort {
            return Step::End;
        }
        if matches!(self.stage, Stage::Linger(_)) {
            return Step::On;
        }
        self.follow_limits(&mut link);
        if let Some(compressor) = self.timers.as_mut().and_then(|it| it.compressor.as_mut()) {
            link = compressor.advance(&shared, link, cx);
        }
        let is_written = self.write_out(&mut link, cx);
        self.note_orders(&link);
        self.is_busy = !is_written || link.released || link.end != Progress::Stay;
        if link.end == Progress::Stay && !link.released {
            return Step::On;
        }
        self.finish(link, is_written, cx)
    }

    fn follow_limits(&mut self, link: &mut Link) {
        if mem::take(&mut link.limits_changed) {
            match &mut self.stage {
                Stage::Frames(receiver) => receiver.set_limits(link.limits()),
                Stage::Held(held) => held.0.set_limits(link.limits()),
                _ => {}
            }
        }
    }

    /// Writes what waits, and what waited for that: whether nothing is left.
    fn write_out(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        let before = (link.out.len(), link.taken());
        let was_blocked = link.blocked;
        let mut is_written = self.flush(link, cx);
        // A socket that was full takes only what the peer has taken before.
        let is_less = link.out.len() < before.0 || link.taken() > before.1;
        self.note_stall(is_written, was_blocked && is_less);
        if is_written && link.has_late_pong() {
            link.take_late_pong();
            is_written = self.flush(link, cx);
        }
        self.has_drained |= link.has_drained();
        // Bytes that were sent meanwhile have woken this task again.
        is_written && !link.is_deferring()
    }

    /// Ends our direction once everything is written, and lingers.
    fn finish(
        &mut self,
        mut link: Guard<'_, Link>,
        is_written: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        // A peer that does not read is not waited for longer than one that does not answer.
        let patience = link.connection.close_timeout();
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        if !clocks.is_set(Timer::End) {
            clocks.start(Timer::End, patience, Instant::now());
        }
        if !is_written {
            return Step::Wait;
        }
        if link.released {
            // Its peer has stopped sending, and the application has been told: nothing more comes.
            return Step::End;
        }
        if link.socket.poll_shutdown(cx).is_pending() {
            return Step::Wait;
        }
        drop(link);
        if self.peer_closed {
            return Step::End;
        }
        if matches!(self.stage, Stage::Opening(..)) {
            self.ends.handle.counters().failed("application");
        }
        self.tell_closed();
        self.stage = Stage::Linger(LINGER.1);
        let clocks = &mut self.timers.get_or_insert_default().clocks;
        clocks.linger(LINGER.0, Instant::now());
        Step::On
    }

    /// Writes what waits: true if that was everything.
    fn flush(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        if link.broken {
            link.out.clear();
        }
        let result = link.flush_turn(cx);
        if let Transport::Open(stream) = &mut self.transport {
            // A reply that could not be written is kept by `link`.
            stream.has_replied();
        }
        match result {
            Ok(written) => {
                link.blocked = !written;
                written
            }
            Err(_) => {
                link.broken = true;
                link.blocked = false;
                link.out.clear();
                true
            }
        }
    }
}
