//! Channels in common with other processes, by way of a Redis, or of several, over which they are
//! spread.
//!
//! A [`Link`](link::Link) is the way to one broker: a task on the threads that are there, which
//! connects, subscribes to what somebody here listens to, and publishes what waits in its
//! [`Backlog`](backlog::Backlog). Messages without history have gone to those who are here when they
//! are put there, and are published plainly. Messages with history are numbered by a script of the
//! broker's, which keeps them in a Stream, and come back as they come to everybody.
//!
//! A message that is not known to have arrived is published again. Who gets it twice drops it: by the
//! number that it has in its process, or by its offset in the channel. Whatever may be missing is
//! loaded, where history is kept, and otherwise said ([`Told::gaps`]).

mod backlog;
mod backoff;
mod error;
mod events;
mod excepted;
mod hub;
mod ipc;
mod jump_hash;
mod link;
mod loading;
mod receiver;
mod scripts;
mod session;
mod setup;
mod url;
mod wire;

use std::{os::fd::RawFd, sync::Arc};

pub(crate) use self::ipc::forked;
use self::link::Link;
pub use self::{
    backlog::BACKLOG,
    events::{Events, LinkEvent, LinkState, Told},
    url::{Url, UrlError},
};
use crate::server::channels::{channels, Engine, Outgoing, Receipt};

/// Engine that has the channels of this process in common with others.
#[derive(Debug)]
pub struct PubSub {
    links: Vec<Arc<Link>>,
}

/// Counts of the engine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PubSubStats {
    /// Number of brokers.
    pub links: usize,
    /// Number of brokers that are connected.
    pub connected: usize,
    /// Messages that the brokers do not have yet.
    pub messages: usize,
    /// Bytes that those take.
    pub bytes: usize,
    /// Time between a request and its answer, the longest of all brokers' newest, in microseconds.
    pub lag_micros: u64,
    /// Number of times that a connection was made anew.
    pub reconnects: u64,
    /// Messages that were lost on their way to the broker.
    pub lost: u64,
}

impl PubSub {
    /// Has the channels of this process in common with all others that name the same brokers, one at
    /// least, in the same order. At most `limit` bytes of messages wait for each of them. They are reached when
    /// somebody subscribes or publishes. What the application is to be told goes to `events`, which
    /// engines may have one after the other.
    pub fn start(urls: Vec<Url>, limit: usize, events: &Arc<Events>) -> Arc<Self> {
        let count = urls.len();
        let links = urls.into_iter().enumerate().map(|(index, url)| {
            Arc::new(Link::new(url, (index, count), limit, Arc::clone(events)))
        });
        let pubsub = Arc::new(Self { links: links.collect() });
        channels().set_engine(Some(Arc::clone(&pubsub) as Arc<dyn Engine>));
        pubsub
    }

    /// Ends it: the channels are this process's own. What waits is lost.
    pub fn stop(&self) {
        channels().set_engine(None);
        for link in &self.links {
            link.close();
        }
    }

    /// Limits the bytes of messages that wait for each broker. What waits already stays.
    pub fn limit(&self, bytes: usize) {
        for link in &self.links {
            link.limit(bytes);
        }
    }

    /// Number of messages that the brokers do not have yet.
    pub fn pending(&self) -> usize {
        self.links.iter().map(|link| link.pending()).sum()
    }

    /// Counts as they are now.
    pub fn stats(&self) -> PubSubStats {
        let mut stats = PubSubStats { links: self.links.len(), ..PubSubStats::default() };
        for link in &self.links {
            link.add_to(&mut stats);
        }
        stats
    }

    /// In a forked child: descriptors of the parent's that only keep others waiting there.
    pub fn inherited_fds() -> Vec<RawFd> {
        ipc::inherited_fds()
    }

    fn link(&self, name: &[u8]) -> &Arc<Link> {
        &self.links[jump_hash::jump_hash(jump_hash::key(name), self.links.len())]
    }
}

impl Engine for PubSub {
    fn touch(&self, name: &[u8]) {
        self.link(name).touch(name);
    }

    fn publish(&self, message: Outgoing<'_>) -> Arc<Receipt> {
        self.link(message.name).publish(message)
    }
}
