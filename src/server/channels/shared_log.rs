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
    /// Has the channel in common with other processes from now on, or no more.
    pub(super) fn share(&mut self, is_shared: bool) {
        self.numbering.share(is_shared, self.end());
    }

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
        let end = loaded.end;
        let has_gap = !is_first && self.go_on(name, &loaded, post);
        if is_first {
            self.begin(name, &loaded);
        }
        let is_behind =
            seen.is_some_and(|seen| seen.epoch != end.epoch || seen.offset > end.offset);
        if is_behind {
            self.numbering.is_synced = false;
        }
        Synced { has_gap, is_behind, is_awaited: self.numbering.is_awaited() }
    }

    /// Begins with history, which nobody is sent who is there.
    fn begin(&mut self, name: &[u8], loaded: &Loaded) {
        let end = self.end();
        // There is no place for it before what this process has had alone.
        let messages = if self.entries.is_empty() { &loaded.messages[..] } else { &[] };
        let start = end - messages.len() as u64;
        self.numbering.rebase(end, loaded.end, start);
        for (place, one) in (start + 1..).zip(messages) {
            let entry = self.entry(name, place, one);
            self.held.add(entry.bytes());
            self.entries.push_back(entry);
        }
        self.trim();
    }

    /// Goes on with what was missing: whether some of that is lost.
    fn go_on(&mut self, name: &[u8], loaded: &Loaded, post: &Post) -> bool {
        let first = loaded.messages.first().map(|one| one.offset);
        // The offset of the message before what there is.
        let before = first.map_or(loaded.end.offset, |first| first - 1);
        let is_same = loaded.end.epoch == self.numbering.epoch;
        let end = self.end();
        let known = self.numbering.offset(end);
        // A broker that was brought back from a copy may know less than was here.
        let has_gap = !is_same || before > known || loaded.end.offset < known;
        if has_gap {
            self.numbering.rebase(end, Position { offset: before, ..loaded.end }, end);
        }
        for one in &loaded.messages {
            if one.offset == self.numbering.offset(self.end()) + 1 {
                let entry = self.entry(name, self.end() + 1, one);
                self.append(entry, None, post);
            }
        }
        has_gap
    }

    fn entry(&self, name: &[u8], place: u64, one: &LoadedMessage) -> Entry {
        let at = Instant::now().checked_sub(one.age);
        let mut entry = Entry::published(Arc::clone(&one.message), at.unwrap_or_else(Instant::now));
        // Whoever published it has checked that it has a place in the envelope.
        let _ = self.wrap_at(name, place, &mut entry);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::channels::rules::{History, Settings};

    const EPOCH: u64 = 7;

    fn log() -> Log {
        let history = History { size: 10, ttl: Duration::MAX, envelope: None };
        let settings = Settings { history: Some(history), ..Settings::default() };
        Log::new(settings, true, Arc::default())
    }

    /// Messages from one offset up to the end.
    fn loaded(from: u64, end: u64) -> Loaded {
        let message = |offset: u64| LoadedMessage {
            offset,
            age: Duration::ZERO,
            message: Arc::new(Broadcast::text(offset.to_string().as_bytes())),
        };
        let end = Position { epoch: EPOCH, offset: end };
        Loaded { end, messages: (from..=end.offset).map(message).collect() }
    }

    fn load(log: &mut Log, loaded: Loaded) -> Synced {
        log.load(b"a", loaded, &Post::default())
    }

    fn kept(log: &mut Log) -> Vec<(u64, String)> {
        let all = log.history(None, 99).unwrap();
        let text = |message: &Broadcast| String::from_utf8(message.payload().to_vec()).unwrap();
        all.into_iter().map(|(position, message)| (position.offset, text(&message))).collect()
    }

    #[test]
    fn history_that_is_loaded_is_numbered_as_everywhere_and_goes_on_behind_it() {
        let mut log = log();
        assert_eq!(log.position(), None);
        assert_eq!(load(&mut log, loaded(3, 5)), Synced::default());
        assert_eq!(log.position(), Some(Position { epoch: EPOCH, offset: 5 }));
        log.numbering.is_synced = false;
        assert_eq!(load(&mut log, loaded(6, 7)), Synced::default());
        let numbers = kept(&mut log);
        assert_eq!(numbers, (3..=7).map(|n| (n, n.to_string())).collect::<Vec<_>>());
        log.numbering.is_synced = false;
        // What was between is not there any more.
        assert!(load(&mut log, loaded(9, 9)).has_gap);
        assert!(!log.resume(Position { epoch: EPOCH, offset: 7 }).1);
        assert!(log.resume(Position { epoch: EPOCH, offset: 8 }).1);
    }

    #[test]
    fn a_broker_that_has_gone_back_in_time_is_a_gap_and_its_next_message_is_no_old_one() {
        let mut log = log();
        load(&mut log, loaded(1, 9));
        log.numbering.is_synced = false;
        assert!(load(&mut log, loaded(9, 4)).has_gap);
        assert_eq!(log.position(), Some(Position { epoch: EPOCH, offset: 4 }));
        assert!(!log.resume(Position { epoch: EPOCH, offset: 9 }).1);
    }

    #[test]
    fn a_channel_that_is_shared_no_more_gives_no_position_that_others_give_too() {
        let mut log = log();
        load(&mut log, loaded(1, 3));
        let shared = log.position().unwrap();
        log.share(false);
        assert_ne!(log.position().unwrap().epoch, shared.epoch);
        assert!(!log.resume(shared).1);
        log.append(
            Entry::new(loaded(4, 4).messages.remove(0).message, None),
            None,
            &Post::default(),
        );
        log.share(true);
        assert_eq!((log.position(), log.load_from()), (None, None));
        // Others have gone on meanwhile.
        assert_eq!(load(&mut log, loaded(1, 5)), Synced::default());
        assert_eq!(log.position(), Some(Position { epoch: EPOCH, offset: 5 }));
    }
}
