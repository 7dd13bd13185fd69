//! Messages of a channel that several processes have in common, and that are loaded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    log::{Entry, Log},
    mailbox::Post,
    position::Position,
};
use crate::server::outbound::broadcast::Broadcast;

/// Message of a channel's history.
#[derive(Clone, Debug)]
pub(crate) struct LoadedMessage {
    pub(crate) offset: u64,
    pub(crate) age: Duration,
    pub(crate) message: Arc<Broadcast>,
}

/// Messages of a channel that are kept, in their order, up to its end.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Position behind the last message that there has been.
    pub(crate) end: Position,
    pub(crate) messages: Vec<LoadedMessage>,
}

/// Outcome of a load.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Synced {
    /// True if messages are lost between what was here and what was loaded.
    pub(crate) has_gap: bool,
    /// True if more has come meanwhile, which has to be loaded, too.
    pub(crate) is_behind: bool,
    /// True if somebody waits for it.
    pub(crate) is_awaited: bool,
}

impl Log {
    /// Position from which a load has to go on; `None` where everything is to be loaded.
    pub(super) fn load_from(&self) -> Option<Position> {
        let Self { numbering, .. } = self;
        let offset = numbering.offset(self.end());
        numbering.has_loaded.then_some(Position { epoch: numbering.epoch, offset })
    }

    /// Takes what was loaded: history where nothing was here, and otherwise what was missing.
    pub(super) fn load(&mut self, name: &[u8], loaded: Loaded, post: &Post) -> Synced {
        let is_first = !std::mem::replace(&mut self.numbering.has_loaded, true);
        let seen = self.numbering.seen.take();
        self.numbering.is_synced = true;
        let (end, has_gap) = if is_first {
            (loaded.end, self.begin(name, loaded))
        } else {
            (loaded.end, self.go_on(name, loaded, post))
        };
        let is_behind =
            seen.is_some_and(|seen| seen.epoch != end.epoch || seen.offset > end.offset);
        if is_behind {
            self.numbering.is_synced = false;
        }
        Synced { has_gap, is_behind, is_awaited: self.numbering.is_awaited() }
    }

    /// Begins with history, which nobody is sent who is there.
    fn begin(&mut self, name: &[u8], loaded: Loaded) -> bool {
        let end = self.end();
        self.numbering.rebase(end, loaded.end, end);
        if !self.entries.is_empty() {
            return false;
        }
        let count = loaded.messages.len() as u64;
        self.numbering.rebase(end, loaded.end, end - count);
        for (place, one) in (end - count + 1..).zip(loaded.messages) {
            let entry = self.entry(name, place, one);
            self.held.add(entry.bytes());
            self.entries.push_back(entry);
        }
        self.trim();
        false
    }

    /// Goes on with what was missing: whether some of that is lost.
    fn go_on(&mut self, name: &[u8], loaded: Loaded, post: &Post) -> bool {
        let first = loaded.messages.first().map(|one| one.offset);
        // The offset of the message before what there is.
        let before = first.map_or(loaded.end.offset, |first| first - 1);
        let is_same = loaded.end.epoch == self.numbering.epoch;
        let end = self.end();
        let has_gap = !is_same || before > self.numbering.offset(end);
        if has_gap {
            self.numbering.rebase(end, Position { offset: before, ..loaded.end }, end);
        }
        for one in loaded.messages {
            if one.offset == self.numbering.offset(self.end()) + 1 {
                let entry = self.entry(name, self.end() + 1, one);
                self.append(entry, None, post);
            }
        }
        has_gap
    }

    fn entry(&self, name: &[u8], place: u64, one: LoadedMessage) -> Entry {
        let at = Instant::now().checked_sub(one.age);
        let mut entry = Entry::published(one.message, at.unwrap_or_else(Instant::now));
        // Whoever published it has checked that it has a place in the envelope.
        let _ = self.wrap_at(name, place, &mut entry);
        entry
    }
}
