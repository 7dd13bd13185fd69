//! The channels by their names.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    channel::Channel,
    rules::{Rules, Settings},
    Shared,
};
use crate::server::locks::{lock, Guarded, LockRank};

/// The channels that are there, by their names, and the rules for those that will be.
#[derive(Debug, Default)]
pub(super) struct Table {
    channels: HashSet<ByName>,
    rules: Rules,
}

/// Room for so many channels stays.
const SPARE: usize = 1024;

impl Guarded for Table {
    const RANK: LockRank = LockRank::Channels;
}

/// Channel that is found by its name.
#[derive(Debug)]
struct ByName(Arc<Channel>);

impl Borrow<[u8]> for ByName {
    fn borrow(&self) -> &[u8] {
        self.0.name()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.iter().map(|it| &it.0)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|it| Arc::clone(&it.0))
    }

    pub(super) fn find_or_add(&mut self, name: &[u8], shared: &Arc<Shared>) -> Arc<Channel> {
        self.find(name).unwrap_or_else(|| self.add(name, shared))
    }

    /// The channel of this name; a new one only if it would keep what is published.
    pub(super) fn find_to_publish(
        &mut self,
        name: &[u8],
        shared: &Arc<Shared>,
    ) -> Option<Arc<Channel>> {
        let keeps = |rules: &Rules| !shared.engine.is_set() && rules.of(name).history.is_some();
        self.find(name).or_else(|| keeps(&self.rules).then(|| self.add(name, shared)))
    }

    fn add(&mut self, name: &[u8], shared: &Arc<Shared>) -> Arc<Channel> {
        let channel = Channel::new(name, self.rules.of(name), Arc::clone(shared));
        let channel = Arc::new(channel);
        self.channels.insert(ByName(Arc::clone(&channel)));
        channel
    }

    /// Takes out a channel, if it is still there and no other of its name.
    pub(super) fn forget(&mut self, channel: &Channel) {
        let known = self.channels.get(channel.name());
        if known.is_some_and(|known| std::ptr::eq(&*known.0, channel)) {
            self.channels.remove(channel.name());
            if self.channels.capacity() > SPARE
                && self.channels.len() < self.channels.capacity() / 8
            {
                self.channels.shrink_to(SPARE.max(2 * self.channels.len()));
            }
        }
    }

    /// Changes the rules, for channels that are there, too.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules);
        for ByName(channel) in &self.channels {
            lock(&channel.log).set(self.rules.of(channel.name()));
        }
    }

    /// Settings of a channel of this name.
    pub(super) fn settings_of(&self, name: &[u8]) -> Settings {
        self.rules.of(name)
    }
}
