//! Messages that wait for a broker, and channels to be looked at, in their order.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::server::{
    channels::{Excepted, Fate, HistorySize, Receipt},
    locks::{Guarded, LockRank},
};

/// Default of how many bytes of messages wait for a broker.
pub const BACKLOG: usize = 16 * 1024 * 1024;

/// Bytes that a message takes beside those that it has, about.
const MESSAGE: usize = 256;

/// Room for so many items stays.
const SPARE: usize = 1_024;

/// Past so many channels that have lost messages, others are told of a gap in all of them.
const GAPS: usize = 10_000;

/// Message that waits for a broker.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Number among the messages of this process to this broker.
    pub(super) number: u64,
    pub(super) name: Box<[u8]>,
    pub(super) payload: Bytes,
    pub(super) is_binary: bool,
    pub(super) kept: Option<HistorySize>,
    pub(super) except: Excepted,
    pub(super) receipt: Arc<Receipt>,
}

/// Step that is to be done.
#[derive(Debug)]
pub(super) enum Item {
    /// A channel to be looked at.
    Touch(Box<[u8]>),
    Message(Waiting),
}

/// Channels in which messages are lost that other processes do not know of.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) enum Lost {
    #[default]
    None,
    In(BTreeSet<Box<[u8]>>),
    /// Too many to be named.
    InAll,
}

/// Queue of what waits for a broker.
#[derive(Debug)]
pub(super) struct Backlog {
    items: VecDeque<Item>,
    touched: HashSet<Box<[u8]>>,
    /// Bytes of the messages, those included that are on their way.
    bytes: usize,
    messages: usize,
    pub(super) limit: usize,
    last_number: u64,
    /// True while there is a session: without one, channels are not looked at one by one.
    pub(super) is_connected: bool,
    pub(super) is_closed: bool,
    lost: Lost,
}

impl Guarded for Backlog {
    const RANK: LockRank = LockRank::Backlog;
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.payload.len() + self.name.len() + MESSAGE
    }
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            items: VecDeque::new(),
            touched: HashSet::new(),
            bytes: 0,
            messages: 0,
            limit,
            last_number: 0,
            is_connected: false,
            is_closed: false,
            lost: Lost::None,
        }
    }

    /// Bytes of the messages that the broker does not have yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the messages that the broker does not have yet.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn touch(&mut self, name: &[u8]) {
        if self.is_connected && !self.touched.contains(name) {
            self.touched.insert(name.into());
            self.items.push_back(Item::Touch(name.into()));
        }
    }

    /// Appends a message, unless there is no room for it: its receipt says so, and, where others
    /// here have it already, the channel has a gap for the other processes.
    pub(super) fn push(&mut self, mut message: Waiting) {
        if self.is_closed || self.bytes + message.bytes() > self.limit {
            message.receipt.settle(Fate::Lost);
            if message.kept.is_none() {
                self.lose(&message.name);
            }
            return;
        }
        self.last_number += 1;
        message.number = self.last_number;
        self.bytes += message.bytes();
        self.messages += 1;
        self.items.push_back(Item::Message(message));
    }

    /// A message of a channel has gone to nobody else; without a name, of any.
    pub(super) fn lose(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.lost = Lost::InAll;
        }
        match &mut self.lost {
            Lost::InAll => {}
            Lost::In(names) if names.len() >= GAPS => self.lost = Lost::InAll,
            Lost::In(names) => names.extend([name.into()]),
            Lost::None => self.lost = Lost::In(BTreeSet::from([name.into()])),
        }
    }

    pub(super) fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// Takes what is next.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Touch(name) = &item {
            self.touched.remove(name);
        }
        if self.items.is_empty() && self.items.capacity() > SPARE {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Puts back messages that are not known to have arrived.
    pub(super) fn put_back(&mut self, messages: Vec<Waiting>) {
        for message in messages.into_iter().rev() {
            if self.is_closed {
                message.receipt.settle(Fate::Lost);
                continue;
            }
            self.items.push_front(Item::Message(message));
        }
    }

    /// The broker has a message, or has refused it.
    pub(super) fn settle(&mut self, message: &Waiting, fate: Fate) {
        // Where it is closed nothing is counted any more.
        self.bytes = self.bytes.saturating_sub(message.bytes());
        self.messages = self.messages.saturating_sub(1);
        message.receipt.settle(fate);
        if fate == Fate::Lost && message.kept.is_none() {
            self.lose(&message.name);
        }
    }

    /// There is no session any more: the next one looks at all channels.
    pub(super) fn disconnect(&mut self) {
        self.is_connected = false;
        self.touched = HashSet::new();
        self.items.retain(|item| matches!(item, Item::Message(_)));
    }

    /// Nothing is taken any more, and what waits is lost.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        for item in std::mem::take(&mut self.items) {
            if let Item::Message(message) = item {
                message.receipt.settle(Fate::Lost);
            }
        }
        (self.bytes, self.messages) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str, kept: Option<HistorySize>) -> Waiting {
        Waiting {
            number: 0,
            name: (*b"a").into(),
            payload: Bytes::from_static(text.as_bytes()),
            is_binary: false,
            kept,
            except: Excepted::Nobody,
            receipt: Arc::default(),
        }
    }

    /// Takes messages, up to so many.
    fn take(backlog: &mut Backlog, most: usize) -> Vec<Waiting> {
        let messages = std::iter::from_fn(|| backlog.take()).filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Touch(_) => None,
        });
        messages.take(most).collect()
    }

    fn numbers(messages: &[Waiting]) -> Vec<u64> {
        messages.iter().map(|message| message.number).collect()
    }

    #[test]
    fn messages_keep_their_order_and_their_numbers_also_where_a_batch_is_put_back() {
        let mut backlog = Backlog::new(BACKLOG);
        backlog.is_connected = true;
        for text in ["1", "2", "3"] {
            backlog.push(message(text, None));
        }
        backlog.touch(b"b");
        backlog.touch(b"b");
        let batch = take(&mut backlog, 2);
        assert_eq!(numbers(&batch), [1, 2]);
        backlog.put_back(batch);
        backlog.disconnect();
        backlog.touch(b"c");
        assert_eq!(numbers(&take(&mut backlog, 9)), [1, 2, 3]);
        assert_eq!(backlog.messages(), 3);
    }

    #[test]
    fn a_message_that_there_is_no_room_for_is_lost_and_others_are_to_be_told() {
        let mut backlog = Backlog::new(2 * MESSAGE + 6);
        let kept = Some(HistorySize { size: 1, ttl: std::time::Duration::MAX });
        backlog.push(message("12", None));
        let first = take(&mut backlog, 1);
        backlog.push(message("12", None));
        let refused = message("1", kept);
        let receipt = Arc::clone(&refused.receipt);
        backlog.push(refused);
        assert_eq!(receipt.fate(), Fate::Lost);
        assert_eq!(backlog.take_lost(), Lost::None);
        backlog.push(message("1", None));
        assert_eq!(backlog.take_lost(), Lost::In(BTreeSet::from([(*b"a").into()])));
        for message in &first {
            backlog.settle(message, Fate::Done(None));
            assert_eq!(message.receipt.fate(), Fate::Done(None));
        }
        backlog.push(message("1", None));
        assert_eq!((backlog.take_lost(), backlog.messages()), (Lost::None, 2));
    }
}
