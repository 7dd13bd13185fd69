//! A connection that sends no more than it is allowed to, and knows what must come back.

use crate::{
    cycle::Cycle,
    stream::{Received, Stream},
    Failure,
};

pub(crate) struct Lane {
    pub(crate) stream: Stream,
    /// Bytes that were taken from us.
    sent: u64,
    /// Bytes that may be.
    allowed: u64,
    /// Bytes that came back.
    received: u64,
    /// True if the poll watches for room to write.
    pub(crate) watched: bool,
}

impl Lane {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, sent: 0, allowed: 0, received: 0, watched: false }
    }

    /// Lets it send so many messages more.
    pub(crate) fn allow(&mut self, messages: u64, cycle: &Cycle) {
        self.allowed += messages * cycle.sent_len();
    }

    /// Takes back what was allowed, as far as no message is cut.
    pub(crate) fn stop(&mut self, cycle: &Cycle) {
        self.allowed = self.sent.div_ceil(cycle.sent_len()) * cycle.sent_len();
    }

    /// Number of messages that were sent.
    pub(crate) fn messages_sent(&self, cycle: &Cycle) -> u64 {
        self.sent / cycle.sent_len()
    }

    /// Number of messages that have come back.
    pub(crate) fn messages_received(&self, cycle: &Cycle) -> u64 {
        self.received / cycle.returned_len()
    }

    /// Sends what it may. Whether all of it went out.
    pub(crate) fn pump(&mut self, cycle: &Cycle) -> Result<bool, Failure> {
        if !self.stream.flush()? {
            return Ok(false);
        }
        while self.sent < self.allowed {
            match self.stream.transmit(cycle.to_send(self.sent, self.allowed))? {
                0 => return Ok(false),
                len => self.sent += len as u64,
            }
        }
        Ok(self.stream.flush()?)
    }

    /// Reads once. How many messages that completed.
    pub(crate) fn receive(&mut self, scratch: &mut [u8], cycle: &Cycle) -> Result<u64, Failure> {
        let before = self.messages_received(cycle);
        let received = &mut self.received;
        let outcome = self.stream.receive(scratch, |bytes| {
            if !cycle.is_next(*received, bytes) {
                return Err("what came back is not what was sent".into());
            }
            *received += bytes.len() as u64;
            Ok(())
        })?;
        if outcome == Received::End {
            return Err("the server ended a connection".into());
        }
        Ok(self.messages_received(cycle) - before)
    }
}
