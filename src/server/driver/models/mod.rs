//! A driver, the threads that send through its connection, and the queue's owner.

use std::{iter, net::SocketAddr, sync::Arc};

use loom::thread::JoinHandle;

use super::{begin, plain, Driver, Ends, Stage};
use crate::{
    protocol::{version::RFC_6455, Limits, Receiver},
    server::{
        addresses::Addresses,
        batch::Batch,
        config::{ConnectionOptions, QueueLimits},
        delivery::Record,
        event_queue::EventQueue,
        event_sender::EventSender,
        handle::Handle,
        inbound::InboundBudget,
        models::socket::{pair, Peer},
        owner::Owner,
        registry::Registry,
    },
};

mod compressing;
mod opening;
mod publishing;
mod reading;
mod writing;

/// Parts of a server but the listener.
struct Site {
    queue: Arc<EventQueue>,
    budget: Arc<InboundBudget>,
    registry: Arc<Registry>,
}

impl Site {
    fn new(limits: QueueLimits) -> Self {
        Self {
            queue: Arc::new(EventQueue::new().unwrap()),
            budget: Arc::new(InboundBudget::new(limits)),
            registry: Arc::default(),
        }
    }

    /// A connection before its opening handshake, whose socket has room for so many bytes.
    fn accept(
        &self,
        connection: u64,
        room: usize,
        asks_application: bool,
    ) -> (Driver, Handle, Peer) {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let handle = Handle::new(0, Addresses::new(address, address), Arc::clone(&self.budget));
        let options =
            ConnectionOptions { asks_application, write_timeout: None, ..Default::default() };
        handle.configure(&options);
        let permit = self.registry.permit(None).unwrap();
        let ends = Ends {
            handle: permit.register(&handle),
            events: EventSender::new(Arc::clone(&self.queue), connection),
        };
        let (halves, peer) = pair(room);
        let transport = plain(halves, &handle);
        (begin(transport, ends, &options), handle, peer)
    }

    /// A connection that is open.
    fn open(&self, connection: u64, room: usize) -> (Driver, Handle, Peer) {
        let (mut driver, handle, peer) = self.accept(connection, room, false);
        driver.timers = None;
        driver.stage = Stage::Frames(Receiver::new(&RFC_6455, Limits::default()));
        drop(Owner::new(&handle).open(&RFC_6455));
        (driver, handle, peer)
    }

    /// Names of the records that have been told and not been taken.
    fn records(&self) -> Vec<String> {
        let mut batch = Batch::default();
        self.queue.take(&mut batch);
        iter::from_fn(|| batch.pop()).map(|record| format!("{:?}", record.delivery)).collect()
    }
}

/// Waits until they have ended.
fn join<const COUNT: usize>(threads: [JoinHandle<()>; COUNT]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The queue's owner: sleeps where nothing waits.
struct QueueOwner {
    queue: Arc<EventQueue>,
    batch: Batch,
}

impl QueueOwner {
    fn new(site: &Site) -> Self {
        Self { queue: Arc::clone(&site.queue), batch: Batch::default() }
    }

    /// The next record, once there is one.
    fn next(&mut self) -> Record {
        loop {
            if let Some(record) = self.batch.pop() {
                return record;
            }
            self.queue.wakeup.wait();
            self.queue.take(&mut self.batch);
        }
    }
}

/// A frame of a client's, whose mask is all zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}
