//! Charge for a connection's messages, for as long as they are held.

use std::sync::Arc;

use super::link::Shared;
use crate::protocol::{Held, Meter};

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
        connection.backlog.add(bytes, messages);
        connection.queued(bytes, messages);
        Self { connection: Arc::clone(connection), bytes, messages }
    }

    /// Gives up as much of it as has been delivered; but not more than there was.
    pub(crate) fn release(&mut self, bytes: usize, messages: usize) {
        let (bytes, messages) = (bytes.min(self.bytes), messages.min(self.messages));
        self.bytes -= bytes;
        self.messages -= messages;
        self.connection.delivered(bytes, messages);
        self.connection.backlog.remove(bytes, messages);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release(self.bytes, self.messages);
    }
}

/// Messages that are not complete count for the server alone: a message may be larger than what may
/// wait of one connection.
impl Meter for Shared {
    fn add(&self, bytes: usize) {
        self.backlog.hold(bytes);
    }

    fn remove(&self, bytes: usize) {
        self.backlog.let_go(bytes);
    }
}

/// Memory of a connection's that is counted with its messages that are not complete.
pub(crate) fn held(connection: &Arc<Shared>, bytes: usize) -> Held {
    let mut held = Held::new(Some(Arc::clone(connection) as Arc<dyn Meter>));
    held.set(bytes);
    held
}

/// Deliveries are told of in portions of so many bytes.
pub(crate) const PORTION: usize = 8 * 1024;
