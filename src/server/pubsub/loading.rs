//! Histories on their way from a broker, page by page.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::Value;

use super::{
    receiver::message,
    setup::{bytes, number},
    wire,
};
use crate::server::channels::{Loaded, LoadedMessage, Position};

/// Number of messages that are loaded together.
pub(super) const PAGE: usize = 1_000;

/// Time after which a load is asked for again that was refused.
const RETRY: Duration = Duration::from_secs(1);

/// Histories on their way.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// Channels that are asked for, each once at a time.
    asked: HashSet<Box<[u8]>>,
    pages: HashMap<Box<[u8]>, Pages>,
    /// Channels to be asked for next.
    next: Vec<Box<[u8]>>,
    /// Channels to be asked for again, and when.
    again: BTreeMap<Box<[u8]>, Instant>,
}

/// Pages of one history that have come.
#[derive(Debug)]
struct Pages {
    epoch: u64,
    messages: Vec<LoadedMessage>,
}

/// One page.
#[derive(Debug)]
struct Page {
    end: Position,
    messages: Vec<LoadedMessage>,
}

impl Loading {
    /// Position after which the next page begins, where it is not the first.
    pub(super) fn from(&self, name: &[u8]) -> Option<Position> {
        let pages = self.pages.get(name)?;
        let last = pages.messages.last()?;
        Some(Position { epoch: pages.epoch, offset: last.offset })
    }

    /// A channel is to be loaded: whether it is to be asked for, and has not been already.
    pub(super) fn begin(&mut self, name: &[u8]) -> bool {
        self.asked.insert(name.into())
    }

    /// A page has come: the whole history, if it was the last. `None` where it is none.
    pub(super) fn take(&mut self, name: &[u8], answer: Value) -> Option<Option<Loaded>> {
        let Page { end, messages } = read(answer)?;
        let count = messages.len();
        let pages = self
            .pages
            .entry(name.into())
            .or_insert_with(|| Pages { epoch: end.epoch, messages: Vec::new() });
        if pages.epoch != end.epoch {
            *pages = Pages { epoch: end.epoch, messages: Vec::new() };
        }
        for one in messages {
            // Some may have been let go of meanwhile: what is before them is not of use any more.
            if pages.messages.last().is_some_and(|last| last.offset + 1 != one.offset) {
                pages.messages.clear();
            }
            pages.messages.push(one);
        }
        let last = pages.messages.last().map(|last| last.offset);
        if count == PAGE && last.is_some_and(|last| last < end.offset) {
            self.next.push(name.into());
            return Some(None);
        }
        self.asked.remove(name);
        let mut messages = self.pages.remove(name)?.messages;
        if last != Some(end.offset) {
            messages.clear();
        }
        Some(Some(Loaded { end, messages }))
    }

    /// A channel is to be asked for once more: more has come.
    pub(super) fn ask(&mut self, name: &[u8]) {
        self.asked.insert(name.into());
        self.next.push(name.into());
    }

    /// The broker has refused to load a channel: it is asked again some time later.
    pub(super) fn ask_later(&mut self, name: &[u8]) {
        self.pages.remove(name);
        self.again.insert(name.into(), Instant::now() + RETRY);
    }

    /// Channels that are to be asked for now, up to so many.
    pub(super) fn due(&mut self, most: usize) -> Vec<Box<[u8]>> {
        if !self.again.is_empty() {
            let now = Instant::now();
            self.again.retain(|name, at| {
                let is_due = *at <= now;
                if is_due {
                    self.next.push(name.clone());
                }
                !is_due
            });
        }
        self.next.drain(..most.min(self.next.len())).collect()
    }

    /// Time until the next is due.
    pub(super) fn pause(&self) -> Option<Duration> {
        let next = self.again.values().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Nobody listens any more.
    pub(super) fn forget(&mut self, name: &[u8]) {
        self.asked.remove(name);
        self.pages.remove(name);
        self.again.remove(name);
    }
}

/// `[epoch, end, now, messages]`.
fn read(answer: Value) -> Option<Page> {
    let Value::Array(parts) = answer else { return None };
    let [epoch, end, now, messages]: [Value; 4] = parts.try_into().ok()?;
    let end = Position { epoch: number(&epoch, 16)?, offset: number(&end, 10)? };
    let now = number(&now, 10)?;
    let Value::Array(messages) = messages else { return None };
    let messages = messages.into_iter().map(|one| read_message(bytes(one)?, now));
    Some(Page { end, messages: messages.collect::<Option<_>>()? })
}

fn read_message(bytes: Bytes, now: u64) -> Option<LoadedMessage> {
    let arrived = wire::read(bytes)?;
    let place = arrived.place?;
    Some(LoadedMessage {
        offset: place.position.offset,
        age: Duration::from_millis(now.saturating_sub(place.at)),
        message: message(arrived.kind, arrived.payload)?,
    })
}
