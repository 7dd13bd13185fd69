//! The side of the channels on which an engine stands that has them in common with other
//! processes.

use std::{fmt, sync::Arc};

use super::{
    channel::Channel,
    log::Entry,
    receipt::Receipt,
    rules::HistorySize,
    shared_log::{Loaded, Synced},
    ChannelError, Channels, Except, Position, Publication, Shared,
};
use crate::server::{
    handle::Handle,
    locks::{lock, Guarded, LockRank},
    outbound::{broadcast::Broadcast, Flush},
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Mutex,
    },
};

/// Way of messages to other processes and from them. Its methods are called by whoever subscribes or
/// publishes, and only note what is to be done.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// Somebody began to listen to a channel, or nobody does any more, or it is to be loaded.
    fn touch(&self, name: &[u8]);

    /// A message was published.
    fn publish(&self, message: Outgoing<'_>) -> Arc<Receipt>;
}

/// Message on its way to other processes.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) message: &'a Arc<Broadcast>,
    /// Number of messages that are kept of the channel, and for how long; `None` where none are.
    /// Then everybody here has it already, and otherwise it is to come back.
    pub(crate) kept: Option<HistorySize>,
    pub(crate) except: Excepted,
}

/// The one subscriber that a message does not go to, kept until it does.
#[derive(Clone, Debug, Default)]
pub(crate) enum Excepted {
    #[default]
    Nobody,
    Connection(Handle),
    /// Number of a mailbox.
    Mailbox(u64),
}

/// State of a channel that its engine looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// History that is kept of it.
    pub(crate) kept: Option<HistorySize>,
    /// True where it need not be loaded.
    pub(crate) is_synced: bool,
    /// Position that a load has to go on from.
    pub(crate) load_from: Option<Position>,
}

/// Outcome of a message that came, with its position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Placed {
    /// It is the next, or is here already, or nobody listens.
    Done,
    /// Messages before it are missing: the channel is to be loaded.
    Behind,
}

/// The engine, if there is one.
#[derive(Debug, Default)]
pub(super) struct EngineSlot {
    is_set: AtomicBool,
    engine: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot(Option<Arc<dyn Engine>>);

impl Guarded for Slot {
    const RANK: LockRank = LockRank::Engine;
}

impl EngineSlot {
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(SeqCst)
    }

    pub(super) fn get(&self) -> Option<Arc<dyn Engine>> {
        self.is_set().then(|| lock(&self.engine).0.clone()).flatten()
    }

    pub(super) fn touch(&self, name: &[u8]) {
        if let Some(engine) = self.get() {
            engine.touch(name);
        }
    }
}

impl From<Except<'_>> for Excepted {
    fn from(except: Except<'_>) -> Self {
        match except {
            Except::Nobody => Self::Nobody,
            Except::Connection(handle) => Self::Connection(handle.clone()),
            Except::Mailbox(mailbox) => Self::Mailbox(mailbox.number()),
        }
    }
}

impl Excepted {
    pub(super) fn connection(&self) -> Option<&Handle> {
        match self {
            Self::Connection(handle) => Some(handle),
            _ => None,
        }
    }

    pub(super) fn mailbox(&self) -> Option<u64> {
        match self {
            Self::Mailbox(number) => Some(*number),
            _ => None,
        }
    }
}

impl Shared {
    /// Tells the engine, once, that somebody listens to a channel.
    pub(super) fn announce(&self, channel: &Channel) {
        if !self.engine.is_set() {
            return;
        }
        if !std::mem::replace(&mut lock(&channel.log).numbering.is_announced, true) {
            self.engine.touch(channel.name());
        }
    }
}

impl Channels {
    /// Has an engine take the channels to other processes, or nobody.
    pub(crate) fn set_engine(&self, engine: Option<Arc<dyn Engine>>) {
        let shared = &self.shared;
        let is_set = engine.is_some();
        lock(&shared.engine.engine).0 = engine;
        shared.engine.is_set.store(is_set, SeqCst);
        let channels: Vec<_> = lock(&shared.table).iter().cloned().collect();
        for channel in channels {
            lock(&channel.log).share(is_set);
            if is_set && lock(&channel.log).is_wanted() {
                shared.announce(&channel);
            }
            channel.retire_if_idle();
        }
    }

    /// Publishes through the engine. What is not kept goes to those who are here at once; what is
    /// comes back from the engine, in the order that holds for all.
    pub(super) fn publish_through(
        &self,
        engine: &dyn Engine,
        name: &[u8],
        message: &Arc<Broadcast>,
        except: Excepted,
        flush: Flush,
    ) -> Result<Publication, ChannelError> {
        let settings = lock(&self.shared.table).settings_of(name);
        let Some(history) = settings.history else {
            let publication = self.publish_here(name, message, &except, flush)?;
            let receipt = engine.publish(Outgoing { name, message, kept: None, except });
            return Ok(Publication { receipt: Some(receipt), ..publication });
        };
        let takes_binary = history.envelope.is_none_or(|envelope| envelope.takes_binary());
        if message.is_binary() && !takes_binary {
            return Err(ChannelError::BinaryInEnvelope);
        }
        let receivers = self.count_receivers(name, message, &except);
        let kept = Some(HistorySize { size: history.size, ttl: history.ttl });
        let receipt = engine.publish(Outgoing { name, message, kept, except });
        Ok(Publication { receivers, position: None, receipt: Some(receipt) })
    }

    fn count_receivers(&self, name: &[u8], message: &Broadcast, except: &Excepted) -> usize {
        let Some(channel) = lock(&self.shared.table).find(name) else { return 0 };
        let connection = except.connection().filter(|it| channel.goes_to(it, message));
        let log = lock(&channel.log);
        log.receivers(message, connection.is_some()) + log.mailboxes_but(except.mailbox(), message)
    }

    /// Has a channel loaded and kept so, until [`release`](Self::release): whether it is.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name.
    pub fn await_load(&self, name: &[u8]) -> Result<bool, ChannelError> {
        super::check(name)?;
        if !self.shared.engine.is_set() {
            return Ok(true);
        }
        loop {
            let channel = lock(&self.shared.table).find_or_add(name, &self.shared);
            let mut log = lock(&channel.log);
            if log.is_retired {
                continue;
            }
            if log.numbering.is_synced || !log.keeps_history() {
                drop(log);
                channel.retire_if_idle();
                return Ok(true);
            }
            log.numbering.awaited += 1;
            drop(log);
            self.shared.announce(&channel);
            return Ok(false);
        }
    }

    /// True if a channel need not be loaded, or not any more.
    pub fn is_loaded(&self, name: &[u8]) -> bool {
        let channel = lock(&self.shared.table).find(name);
        channel.is_none_or(|channel| {
            let log = lock(&channel.log);
            log.numbering.is_synced || !log.keeps_history()
        })
    }

    /// Ends what [`await_load`](Self::await_load) began, where that has answered that it is not.
    pub fn release(&self, name: &[u8]) {
        let Some(channel) = lock(&self.shared.table).find(name) else { return };
        {
            let mut log = lock(&channel.log);
            log.numbering.awaited = log.numbering.awaited.saturating_sub(1);
        }
        channel.retire_if_idle();
    }

    /// For the engine: the state of a channel, if somebody listens to it or waits for it.
    pub(crate) fn wanted(&self, name: &[u8]) -> Option<Wanted> {
        let channel = lock(&self.shared.table).find(name)?;
        let log = lock(&channel.log);
        log.is_wanted().then(|| Wanted {
            kept: log.kept(),
            is_synced: log.numbering.is_synced,
            load_from: log.load_from(),
        })
    }

    /// For the engine: every channel that somebody listens to or waits for.
    pub(crate) fn all_wanted(&self) -> Vec<Box<[u8]>> {
        let channels: Vec<_> = lock(&self.shared.table).iter().cloned().collect();
        let wanted = channels.iter().filter(|it| lock(&it.log).is_wanted());
        wanted.map(|it| it.name().into()).collect()
    }

    /// For the engine: messages of a channel may be missing from now on.
    pub(crate) fn desync(&self, name: &[u8]) {
        if let Some(channel) = lock(&self.shared.table).find(name) {
            let mut log = lock(&channel.log);
            if log.numbering.is_shared {
                log.numbering.is_synced = false;
            }
        }
    }

    /// For the engine: a message of another process's came to a channel without history. It is
    /// sent with [`send_arrived`](Self::send_arrived). False where history is kept here, in which
    /// it has no place.
    pub(crate) fn arrive(&self, name: &[u8], message: &Arc<Broadcast>) -> bool {
        let Some(channel) = lock(&self.shared.table).find(name) else { return true };
        let mut log = lock(&channel.log);
        if log.is_retired {
            return true;
        }
        if log.keeps_history() {
            return false;
        }
        log.append(Entry::new(Arc::clone(message), None), None, &self.shared.post);
        self.shared.appended(&channel, log, Flush::Now);
        true
    }

    /// For the engine: a message with a position came, which is sent as by
    /// [`arrive`](Self::arrive).
    pub(crate) fn arrive_at(
        &self,
        name: &[u8],
        position: Position,
        message: Arc<Broadcast>,
        except: &Excepted,
    ) -> Placed {
        let Some(channel) = lock(&self.shared.table).find(name) else { return Placed::Done };
        let connection = except.connection().filter(|it| channel.goes_to(it, &message)).cloned();
        let mut log = lock(&channel.log);
        if log.is_retired {
            return Placed::Done;
        }
        if !log.keeps_history() {
            drop(log);
            self.arrive(name, &message);
            return Placed::Done;
        }
        let next = log.end() + 1;
        if !log.numbering.is_synced {
            let newest = log.numbering.seen.filter(|seen| seen.epoch == position.epoch);
            log.numbering.seen =
                Some(newest.filter(|it| it.offset > position.offset).unwrap_or(position));
            return Placed::Done;
        }
        match log.numbering.place(position) {
            Some(place) if place < next => return Placed::Done,
            Some(place) if place == next => {}
            _ if position.epoch == log.numbering.epoch
                && position.offset < log.numbering.offset(next) =>
            {
                return Placed::Done
            }
            _ => {
                log.numbering.is_synced = false;
                log.numbering.seen = Some(position);
                return Placed::Behind;
            }
        }
        let mut entry = Entry::new(message, connection);
        if log.wrap(name, &mut entry).is_ok() {
            log.append(entry, except.mailbox(), &self.shared.post);
            self.shared.appended(&channel, log, Flush::Now);
        }
        Placed::Done
    }

    /// For the engine: a channel was loaded.
    pub(crate) fn load(&self, name: &[u8], loaded: Loaded) -> Synced {
        let Some(channel) = lock(&self.shared.table).find(name) else { return Synced::default() };
        let mut log = lock(&channel.log);
        if log.is_retired || !log.numbering.is_shared || !log.keeps_history() {
            return Synced::default();
        }
        let synced = log.load(name, loaded, &self.shared.post);
        self.shared.appended(&channel, log, Flush::Now);
        synced
    }

    /// For the engine: sends what has come to those who are here.
    pub(crate) fn send_arrived(&self) {
        self.shared.run_rounds();
    }
}
