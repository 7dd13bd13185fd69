//! Events that one connection has for the queue's owner.

use std::sync::Arc;

use super::{batch::Batch, delivery::Delivery, event_queue::EventQueue};

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
        self.append(|batch| batch.push(self.connection, delivery));
    }

    /// Sends what is appended, all of it under one lock; `None`, and nothing is called, where the
    /// last event has been sent.
    pub(crate) fn append<R>(&self, append: impl FnOnce(&mut Batch) -> R) -> Option<R> {
        self.queue.as_ref()?.append(append)
    }

    /// As [`append`](Self::append), of what is [collected](EventQueue::append_collected) first.
    pub(crate) fn append_collected<T, R>(
        &self,
        collect: impl FnOnce(&mut Batch) -> T,
        finish: impl FnOnce(T, &mut Batch) -> R,
    ) -> Option<R> {
        self.queue.as_ref()?.append_collected(collect, finish)
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
        protocol::{handshake::Rejected, Event},
    };

    #[test]
    fn an_event_sender_sends_nothing_behind_closed() {
        let refused =
            || Rejected { error: HandshakeError::TimedOut, response: None, request: None };
        let later: [fn(&mut EventSender); 6] = [
            |sender| sender.send(Delivery::Drained),
            |sender| sender.send(Delivery::TlsEstablished),
            |sender| sender.send(Delivery::Error(Box::new(ProtocolError::Internal(String::new())))),
            |sender| sender.close(),
            |sender| {
                let connection = sender.connection();
                sender.append(|batch| batch.push_bytes(connection, b"late"));
            },
            |sender| {
                let connection = sender.connection();
                let event = Event::Error(ProtocolError::Internal(String::new()));
                sender.append(|batch| batch.push_event(connection, event));
            },
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
