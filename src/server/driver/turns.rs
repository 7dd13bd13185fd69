//! Room to read, and a driver's turn where there is none.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use super::{Driver, Stage};
use crate::{
    error::ProtocolError,
    protocol::Receiver,
    server::{
        inbound::{Claim, SMALL_MESSAGE},
        pause,
    },
};

/// The reasons for not reading that have nothing to do with turns.
const OTHERS: u16 = pause::ANY & !pause::BUDGET_FULL;

/// A turn to go on with a message that is not complete, although there is no room for it.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) until: Instant,
    /// Number of bytes that had come of it, and of messages before it.
    come: usize,
    messages: u64,
}

/// Within so much time, so many bytes have to come of the message of whoever has his turn, where
/// others wait for theirs: 50 KiB a second. He does not read before, so most of them are in the
/// socket already.
const PACE: (Duration, usize) =
    (Duration::from_millis(if cfg!(test) { 300 } else { 10_000 }), 512 * 1024);

impl Driver {
    /// True if there is room for more. If not, it rests.
    pub(super) fn may_read(&self) -> bool {
        let claim = match &self.stage {
            Stage::Frames(receiver) => Self::claim(receiver),
            Stage::Buffered(held) => Self::claim(&held.0),
            Stage::Handshake(opening) => match opening.handshake.unfinished() {
                // One that is small comes whole, as opening handshakes do.
                Some(body) if body.received > SMALL_MESSAGE => {
                    Some(Claim { outstanding: body.outstanding, limit: body.limit })
                }
                _ => return true,
            },
            Stage::Raw => None,
            _ => return true,
        };
        self.ends.handle.0.budget.may_read(&self.ends.handle.0, claim)
    }

    fn claim(receiver: &Receiver) -> Option<Claim> {
        (receiver.held() > SMALL_MESSAGE).then(|| Claim {
            outstanding: receiver.outstanding(),
            limit: receiver.limits().message,
        })
    }

    /// Memory and bytes of what is not complete, a message's or a body's, and number of messages
    /// before it; `None` where nothing is that others would wait for.
    fn unfinished(&self) -> Option<(usize, usize, u64)> {
        let receiver = match &self.stage {
            Stage::Frames(receiver) => receiver,
            Stage::Buffered(held) => &held.0,
            Stage::Handshake(opening) => {
                return opening.handshake.unfinished().map(|it| (it.received, it.received, 0));
            }
            _ => return None,
        };
        let messages = self.ends.handle.0.received().messages;
        Some((receiver.held(), receiver.unfinished(), messages))
    }

    /// Sees whether it is this connection's turn to go on although too much waits, and still needs
    /// to be. It is given up where the connection is not read for other reasons.
    pub(super) fn see_to_turn(&mut self, held: u16) {
        let shared = &self.ends.handle.0;
        if !shared.budget.has_waiters() {
            return;
        }
        if matches!(self.stage, Stage::Raw) {
            return;
        }
        let Some((size, come, messages)) = self.unfinished() else {
            return shared.budget.leave(shared);
        };
        if !shared.budget.has_turn(shared) {
            if let Some(timers) = &mut self.timers {
                timers.turn = None;
            }
            return;
        }
        let is_done = size <= SMALL_MESSAGE;
        let timers = self.timers.get_or_insert_default();
        let begin = || Turn { until: Instant::now() + PACE.0, come, messages };
        let turn = *timers.turn.get_or_insert_with(begin);
        if is_done || turn.messages != messages || held & OTHERS != 0 {
            timers.turn = None;
            shared.budget.end_turn(shared);
        }
    }

    /// The time of a turn is over: who has not made use of it is ended, if others wait.
    pub(super) fn end_turn(&mut self) {
        let shared = &self.ends.handle.0;
        let come = self.unfinished().map_or(0, |(_, come, _)| come);
        let turn = self.timers.as_mut().and_then(|timers| timers.turn.take());
        let Some(turn) = turn.filter(|_| shared.budget.has_turn(shared)) else { return };
        let is_held = shared.pauses.load(SeqCst) & OTHERS != 0;
        if is_held || come - turn.come.min(come) >= PACE.1 || !shared.budget.is_waited_for() {
            return;
        }
        if matches!(self.stage, Stage::Handshake(_)) {
            return self.give_up_body();
        }
        self.tell_error(ProtocolError::GivenUp);
        self.stage = Stage::ReadClosed;
    }
}
