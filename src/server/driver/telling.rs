//! Parties that a driver tells, and of what.

use std::{mem, sync::atomic::Ordering::SeqCst};

use super::Driver;
use crate::{
    error::ProtocolError,
    server::{
        charge::{Charge, RECORD},
        delivery::Delivery,
        event_sender::EventSender,
        registry::Registration,
        stats::count,
    },
};

/// Parties that a driver tells, and about whom.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) events: EventSender,
    /// Dropped last: whoever waits until all that was opened is closed waits for this.
    pub(crate) handle: Registration,
}

impl Ends {
    /// Tells what speaks of so many bytes. What speaks of none comes once or so of each connection:
    /// it is a part of what a connection takes.
    pub(super) fn tell(&self, delivery: Delivery, bytes: usize) {
        let Some(mut batch) = self.events.lock() else { return };
        batch.push(self.events.connection(), delivery);
        if bytes > 0 {
            batch.charge(Charge::new(&self.handle.0, RECORD + bytes, 0));
        }
    }

    /// Tells what the application must have its chance to answer before more is read. The reason
    /// not to read is there before the record: once that is queued, it may be answered at any
    /// moment, and the reason taken away; after that it would stay.
    pub(super) fn ask(&self, reason: u16, delivery: Delivery, bytes: usize) {
        self.handle.0.pauses.fetch_or(reason, SeqCst);
        self.tell(delivery, bytes);
    }

    /// True if others' messages that are not complete take all the room there is for them, and it
    /// is not this connection's turn.
    pub(super) fn is_short(&self) -> bool {
        let budget = &self.handle.0.budget;
        budget.is_unfinished_full() && !budget.has_turn(&self.handle.0)
    }
}

impl Driver {
    pub(super) fn tell_error(&self, error: ProtocolError) {
        self.ends.tell(Delivery::Error(Box::new(error)), size_of::<ProtocolError>());
    }

    /// More messages have come than may.
    pub(super) fn floods(&mut self) {
        let rate = self.timers.as_ref().and_then(|timers| timers.message_rate.as_ref());
        let Some(limit) = rate.map(|rate| rate.rate.per_second()) else { return };
        count(&self.ends.handle.counters().flooding);
        self.ends.handle.set_ended_by("messages_per_second");
        self.tell_error(ProtocolError::TooManyMessages(limit.to_string()));
        self.stage.stop_reading();
    }

    pub(super) fn tell_panic(&mut self, panic: &(dyn std::any::Any + Send)) {
        if self.ends.events.is_closed() {
            return;
        }
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        self.tell_error(ProtocolError::Internal(text.unwrap_or_default()));
    }

    pub(super) fn tell_drained(&mut self) {
        if mem::take(&mut self.has_drained) {
            self.ends.tell(Delivery::Drained, 0);
        }
    }

    pub(super) fn tell_closed(&mut self) {
        self.tell_drained();
        self.ends.events.close();
    }
}
