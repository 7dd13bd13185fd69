//! Events that one connection has for the queue's owner.

use std::sync::Arc;

use super::{
    batch::Batch,
    buffers::Lent,
    delivery::Delivery,
    event_queue::{EventQueue, LockedBatch},
};

/// Sends one connection's events into the queue, up to [`Delivery::Closed`]. Whatever is sent later
/// goes nowhere: the connection's place may be another's by then.
#[derive(Debug)]
pub(crate) struct EventSender {
    /// Until that has been sent.
    queue: Option<Arc<EventQueue>>,
    /// As the owner numbers it.
    connection: u64,
}

impl EventSender {
    pub(crate) fn new(queue: Arc<EventQueue>, connection: u64) -> Self {
        Self { queue: Some(queue), connection }
    }

    /// As its events are numbered.
    pub(crate) fn connection(&self) -> u64 {
        self.connection
    }

    /// Sends one event.
    pub(crate) fn send(&self, delivery: Delivery) {
        if let Some(mut batch) = self.lock() {
            batch.push(self.connection, delivery);
        }
    }

    /// Locks the queue, to append events; `None` once the last one has been sent.
    pub(crate) fn lock(&self) -> Option<LockedBatch<'_>> {
        self.queue.as_ref()?.lock()
    }

    /// Empty batch for a slow read, as of [`EventQueue::scratch`].
    pub(crate) fn scratch(&self) -> Option<Lent<'_, Batch>> {
        Some(self.queue.as_ref()?.scratch())
    }

    /// Sends [`Delivery::Closed`], once.
    pub(crate) fn close(&mut self) {
        self.send(Delivery::Closed);
        self.queue = None;
    }

    /// True once it has been sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_none()
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::iter;

    use super::*;
    use crate::{
        error::{HandshakeError, ProtocolError},
        protocol::handshake::Rejected,
    };

    #[test]
    fn an_event_sender_sends_nothing_behind_closed() {
        let refused =
            || Rejected { error: HandshakeError::TimedOut, response: None, request: None };
        let later: [fn(&mut EventSender); 5] = [
            |sender| sender.send(Delivery::Drained),
            |sender| sender.send(Delivery::TlsEstablished),
            |sender| sender.send(Delivery::Error(Box::new(ProtocolError::Internal(String::new())))),
            |sender| sender.close(),
            |sender| assert!(sender.lock().is_none() && sender.scratch().is_none()),
        ];
        let queue = Arc::new(EventQueue::new().unwrap());
        let mut sender = EventSender::new(Arc::clone(&queue), 7);
        sender.send(Delivery::Drained);
        sender.close();
        assert!(sender.is_closed());
        for late in later {
            late(&mut sender);
        }
        sender.send(Delivery::Rejected(Box::new(refused())));

        let mut batch = Batch::default();
        queue.take(&mut batch);
        let told: Vec<_> = iter::from_fn(|| batch.pop())
            .map(|record| (record.connection, format!("{:?}", record.delivery)))
            .collect();
        assert_eq!(told, [(7, "Drained".into()), (7, "Closed".into())]);
    }
}
