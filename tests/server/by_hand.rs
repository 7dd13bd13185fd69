//! A server whose queue is taken from by hand.

use std::{collections::VecDeque, thread, time::Instant};

use em_websocket::server::{
    Batch, Charge, ConnectionOptions, Delivery, Opening, Owner, QueueLimits, Server, ServerOptions,
};

use crate::{client::Client, reactor::PATIENCE};

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// A server whose queue is taken from by hand, as slowly as a test likes.
pub(crate) struct ByHand {
    pub(crate) server: Server,
    batch: Batch,
    connections: Vec<Owner>,
    opened: usize,
    /// True if the application is done with its opening, as soon as it is told.
    pub(crate) opens: bool,
    /// Connections of whose opening the application is still being told.
    pub(crate) openings: Vec<Opening>,
    /// True if what is taken is told to be delivered.
    pub(crate) delivers: bool,
    /// Charges for what is taken and not told to be delivered.
    kept: Vec<Charge>,
    /// Messages that were taken, each with its connection.
    pub(crate) messages: VecDeque<(u32, Vec<u8>)>,
}

impl ByHand {
    pub(crate) fn new(queue: QueueLimits) -> Self {
        Self::with(ServerOptions { queue, ..ServerOptions::default() })
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        Self {
            server: Server::bind("127.0.0.1", 0, options).unwrap(),
            batch: Batch::default(),
            connections: Vec::new(),
            opened: 0,
            opens: true,
            openings: Vec::new(),
            delivers: true,
            kept: Vec::new(),
            messages: VecDeque::new(),
        }
    }

    /// Takes one batch.
    pub(crate) fn take(&mut self) {
        self.server.queue().take(&mut self.batch);
        if !self.delivers {
            self.kept.extend(self.batch.take_charges());
        }
        while let Some(record) = self.batch.pop() {
            let message = match record.delivery {
                Delivery::Accepted(owner, incoming) => {
                    self.connections.push(owner);
                    let number = self.connections.len() as u32 - 1;
                    self.server.start(*incoming, number.into(), &ConnectionOptions::default());
                    continue;
                }
                Delivery::Open(opened) => {
                    let owner = &self.connections[record.connection as usize];
                    self.openings.extend(owner.open(opened.profile).filter(|_| !self.opens));
                    self.opened += 1;
                    continue;
                }
                Delivery::Message(_, span) => self.batch.bytes(span).to_vec(),
                other => panic!("{other:?}"),
            };
            self.messages.push_back((record.connection as u32, message));
        }
    }

    /// Tells that all that was taken is delivered.
    pub(crate) fn deliver(&mut self) {
        self.kept.clear();
    }

    /// Number of bytes that were taken and not looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.messages.iter().map(|(_, message)| message.len()).sum()
    }

    pub(crate) fn wait_and_take(&mut self) {
        let queue = self.server.queue();
        wait_until("something comes", || !queue.is_empty());
        self.take();
    }

    /// A client whose opening handshake is done, and which sends these bytes behind it.
    pub(crate) fn open(&mut self, bytes: &[u8]) -> Client {
        let addr = self.server.local_addr().unwrap();
        let bytes = bytes.to_vec();
        let client = thread::spawn(move || Client::open_with(addr, &bytes));
        let before = self.opened;
        while self.opened == before {
            self.wait_and_take();
        }
        client.join().unwrap()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let stopped = self.server.stop();
        if !thread::panicking() {
            stopped.unwrap();
        }
    }
}
