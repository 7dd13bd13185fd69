//! Charge for a connection's messages, for as long as they are held.

use std::sync::Arc;

use super::connection::Shared;

/// Bytes that a record takes in the queue, beside those it speaks of, and that one read takes for
/// all of its records.
pub(crate) const RECORD: usize = 64;

/// Messages of one connection that wait in the queue: they count until this is dropped.
#[derive(Debug)]
pub struct Charge {
    connection: Arc<Shared>,
    bytes: usize,
    messages: usize,
}

impl Charge {
    pub(crate) fn new(connection: &Arc<Shared>, bytes: usize, messages: usize) -> Self {
        connection.budget.add(bytes, messages);
        connection.queued(bytes, messages);
        Self { connection: Arc::clone(connection), bytes, messages }
    }

    /// Gives up as much of it as has been delivered; but not more than there was.
    pub(crate) fn release(&mut self, bytes: usize, messages: usize) {
        let (bytes, messages) = (bytes.min(self.bytes), messages.min(self.messages));
        self.bytes -= bytes;
        self.messages -= messages;
        self.connection.delivered(bytes, messages);
        self.connection.budget.remove(bytes, messages);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release(self.bytes, self.messages);
    }
}

/// Deliveries are told of in portions of so many bytes.
pub(crate) const PORTION: usize = 8 * 1024;
