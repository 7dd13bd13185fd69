//! Messages that the hub keeps, by channel, and the numbers of the last messages of nodes. It does
//! what the [scripts](crate::server::pubsub::scripts) do to a broker's Streams, Hashes and Strings.
//!
//! A channel's Stream and Hash are one record here, found by the Hash's key: no script is called
//! with one of the two alone.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

use bytes::Bytes;

use super::{
    nodes::Nodes,
    resp::{self, Message},
};

/// Memory that an entry takes beside its bytes.
const OVERHEAD: usize = 128;
/// Channels that one step of a sweep looks at.
const STEP: usize = 1_000;

/// Time of a command, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// By the wall clock, for messages.
    pub(super) wall: u64,
    /// Since the hub began, for what expires.
    pub(super) elapsed: u64,
}

/// Bounds of all that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) channels: usize,
    pub(super) nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20, channels: 1_000_000, nodes: 100_000 }
    }
}

/// Arguments that both scripts begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) hash: &'a [u8],
    pub(super) generation: &'a [u8],
    /// Epoch to begin with, where there is none.
    pub(super) epoch: &'a [u8],
    /// Milliseconds that messages are kept, 0 for ever.
    pub(super) ttl: u64,
}

/// Message that is to be numbered, kept and published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication<'a> {
    pub(super) node: &'a [u8],
    /// Number of the message among those of its node.
    pub(super) number: u64,
    pub(super) channel: &'a [u8],
    pub(super) line: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) kept: usize,
}

/// Outcome of a publication.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) epoch: Bytes,
    /// Offset of the message; 0 where it has been published before.
    pub(super) offset: u64,
    pub(super) message: Option<Message>,
}

/// Messages that somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) kept: u64,
    pub(super) epoch: &'a [u8],
    pub(super) after: u64,
    pub(super) count: usize,
}

/// Messages that are there, as bulk strings.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) epoch: Bytes,
    pub(super) end: u64,
    pub(super) messages: Vec<Bytes>,
}

/// Stream and Hash of a channel.
#[derive(Debug)]
struct Channel {
    epoch: Bytes,
    generation: Bytes,
    /// Offset of the last message.
    end: u64,
    /// Messages as bulk strings, up to the last one.
    messages: VecDeque<Bytes>,
    messages_expire: Option<u64>,
    expires: Option<u64>,
    /// Place in the order of writes.
    written: u64,
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Store {
    channels: HashMap<Bytes, Channel>,
    /// Keys of all channels, those first that were written to the longest time ago.
    by_write: BTreeMap<u64, Bytes>,
    /// Those of them that have messages.
    filled: BTreeMap<u64, Bytes>,
    nodes: Nodes,
    /// Bytes of all messages.
    bytes: usize,
    writes: u64,
    limits: Limits,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The script `PUBLISH`, up to the publishing itself.
    pub(super) fn publish(&mut self, to: Target<'_>, it: &Publication<'_>, now: Now) -> Published {
        let known = self.known(to, now);
        if self.nodes.last(it.node, now.elapsed).is_some_and(|last| last >= it.number) {
            let epoch = known.unwrap_or_else(|| Bytes::copy_from_slice(to.epoch));
            return Published { epoch, offset: 0, message: None };
        }
        if known.is_none() {
            self.begin(to);
        }
        self.nodes.set(it.node, it.number, now.elapsed, self.limits.nodes);
        self.touch(to.hash);
        let Some(channel) = self.channels.get_mut(to.hash) else { unreachable!("it has begun") };
        channel.end += 1;
        let place = format!(" {} {}\n", channel.end, now.wall);
        let parts = [it.line, b" ", &channel.epoch, place.as_bytes(), it.payload];
        let message = resp::message(it.channel, &parts);
        channel.expire(to.ttl, now);
        let (epoch, offset) = (channel.epoch.clone(), channel.end);
        self.keep(to.hash, message.bulk.clone(), it.kept);
        Published { epoch, offset, message: Some(message) }
    }

    /// The script `LOAD`.
    pub(super) fn load(&mut self, from: Target<'_>, wanted: &Wanted<'_>, now: Now) -> Loaded {
        if self.known(from, now).is_none() {
            self.begin(from);
            if let Some(channel) = self.channels.get_mut(from.hash) {
                channel.expire(from.ttl, now);
            }
        }
        let Some(channel) = self.channels.get(from.hash) else { unreachable!("it has begun") };
        let mut after = channel.end.saturating_sub(wanted.kept);
        if wanted.epoch == channel.epoch {
            after = after.max(wanted.after);
        }
        let missing = channel.end - channel.messages.len() as u64;
        let skipped = usize::try_from(after.saturating_sub(missing)).unwrap_or(usize::MAX);
        let messages = channel.messages.iter().skip(skipped).take(wanted.count).cloned().collect();
        Loaded { epoch: channel.epoch.clone(), end: channel.end, messages }
    }

    /// Forgets what has expired, of a part of the channels: those that were last written to after
    /// `cursor`. The next part's cursor, if there is one.
    pub(super) fn sweep(&mut self, cursor: u64, now: Now) -> Option<u64> {
        self.nodes.sweep(now.elapsed);
        let rest = self.by_write.range((Excluded(cursor), Unbounded));
        let part: Vec<_> = rest.take(STEP).map(|(place, key)| (*place, key.clone())).collect();
        part.iter().for_each(|(_, key)| self.expire(key, now));
        part.last().filter(|_| part.len() == STEP).map(|(place, _)| *place)
    }

    /// Epoch of a channel that is there, and of the same generation.
    fn known(&mut self, target: Target<'_>, now: Now) -> Option<Bytes> {
        self.expire(target.hash, now);
        let channel = self.channels.get(target.hash)?;
        (channel.generation == target.generation).then(|| channel.epoch.clone())
    }

    /// Begins a channel, in place of what it was.
    fn begin(&mut self, target: Target<'_>) {
        self.forget(target.hash);
        while self.channels.len() >= self.limits.channels.max(1) {
            let Some((_, key)) = self.by_write.pop_first() else { break };
            self.forget(&key);
        }
        self.writes += 1;
        let key = Bytes::copy_from_slice(target.hash);
        self.by_write.insert(self.writes, key.clone());
        let channel = Channel {
            epoch: Bytes::copy_from_slice(target.epoch),
            generation: Bytes::copy_from_slice(target.generation),
            end: 0,
            messages: VecDeque::new(),
            messages_expire: None,
            expires: None,
            written: self.writes,
        };
        self.channels.insert(key, channel);
    }

    /// Makes a channel the last one that was written to.
    fn touch(&mut self, key: &[u8]) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.written == self.writes {
            return;
        }
        self.writes += 1;
        for order in [&mut self.by_write, &mut self.filled] {
            if let Some(key) = order.remove(&channel.written) {
                order.insert(self.writes, key);
            }
        }
        channel.written = self.writes;
    }

    /// Keeps a channel's message, and as many as it may have before it.
    fn keep(&mut self, key: &[u8], message: Bytes, kept: usize) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        self.bytes += cost(key, &message);
        channel.messages.push_back(message);
        let surplus = channel.messages.len().saturating_sub(kept);
        for message in channel.messages.drain(..surplus) {
            self.bytes -= cost(key, &message);
        }
        let written = channel.written;
        if channel.messages.is_empty() {
            self.filled.remove(&written);
        } else if let Some((name, _)) = self.channels.get_key_value(key) {
            self.filled.entry(written).or_insert_with(|| name.clone());
        }
        self.shrink();
    }

    /// Keeps all messages within their bound: those channels lose them first that were written to
    /// the longest time ago, and one that is alone, its first ones.
    fn shrink(&mut self) {
        while self.bytes > self.limits.bytes {
            let Some((_, key)) = self.filled.first_key_value() else { return };
            let key = key.clone();
            if self.filled.len() > 1 {
                self.clear(&key);
            } else if let Some(channel) = self.channels.get_mut(&key) {
                match channel.messages.pop_front() {
                    Some(message) => self.bytes -= cost(&key, &message),
                    None => self.clear(&key),
                }
            }
        }
    }

    /// Forgets what has expired of a channel.
    fn expire(&mut self, key: &[u8], now: Now) {
        let is_past = |time: Option<u64>| time.is_some_and(|time| time <= now.elapsed);
        match self.channels.get(key) {
            Some(channel) if is_past(channel.expires) => self.forget(key),
            Some(channel) if is_past(channel.messages_expire) => self.clear(key),
            _ => {}
        }
    }

    /// Forgets a channel: where it is used again, there is a new epoch.
    fn forget(&mut self, key: &[u8]) {
        self.clear(key);
        if let Some(channel) = self.channels.remove(key) {
            self.by_write.remove(&channel.written);
        }
    }

    /// Forgets a channel's messages, and not how many there were.
    fn clear(&mut self, key: &[u8]) {
        if let Some(channel) = self.channels.get_mut(key) {
            self.bytes -= channel.messages.iter().map(|it| cost(key, it)).sum::<usize>();
            channel.messages = VecDeque::new();
            channel.messages_expire = None;
            self.filled.remove(&channel.written);
        }
    }
}

impl Channel {
    fn expire(&mut self, ttl: u64, now: Now) {
        let after = |time: u64| (ttl > 0).then(|| now.elapsed.saturating_add(time));
        self.messages_expire = after(ttl);
        self.expires = after(ttl.saturating_mul(2));
    }
}

/// Memory that a message takes: it keeps the whole push, in which its channel is named.
fn cost(key: &[u8], bulk: &Bytes) -> usize {
    key.len() + bulk.len() + OVERHEAD
}

#[cfg(test)]
mod tests;
