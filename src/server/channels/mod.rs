//! Channels: names that connections subscribe to, and messages that are published to all of them.
//!
//! A channel is a log, and a subscription a place in it. [`Channels::publish`] appends, which gives
//! a message its offset and costs the same however many subscribers there are. Then *rounds* go
//! through the subscribers, and send each what it has not been sent yet: all that is pending at
//! once, encoded once for all who are at the same place. Whoever has published makes the round
//! where there are few subscribers, a task where there are many; what a turn of the reactor
//! publishes goes at its end.
//!
//! The rest follows from that. What one connection is sent by itself cannot overtake what was
//! published before it: its part of the round is made first ([`Handle::send_text`]). A subscriber
//! that is behind needs no buffer of its own, for the log has what it misses ([`Slow`]). One that
//! comes back begins at its old place, under the lock that rounds go by, so that there is neither a
//! gap nor a double between what is kept and what is live.
//!
//! Everything here is the process's: connections of several servers meet in one channel. Where an
//! [`Engine`](engine::Engine) has channels in common with other processes, [`Channels::publish`] hands
//! it the messages, and it brings those that come.

#![cfg_attr(
    any(not(feature = "redis"), all(test, feature = "loom")),
    allow(dead_code, unused_imports, reason = "the engine's side is used by one alone")
)]

mod channel;
mod counters;
mod engine;
mod envelope;
mod expiry;
mod limits;
mod log;
mod mailbox;
mod mailboxes;
mod numbering;
mod position;
mod process;
mod receipt;
mod rest;
mod round;
mod rounds;
mod rules;
mod shared_log;
mod subscribers;
mod table;

use std::sync::Arc;

pub(crate) use self::process::forked;
use self::{
    channel::{Channel, Subscription},
    counters::Counters,
    engine::EngineSlot,
    expiry::Expiry,
    limits::Limits,
    log::{Entry, Log},
    mailbox::Post,
    rounds::Rounds,
    table::Table,
};
pub use self::{
    counters::ChannelStats,
    envelope::{Envelope, EnvelopeError},
    limits::{HISTORY_BYTES, PROCESS_SUBSCRIPTIONS},
    mailbox::{Mailbox, MailboxKind, Taken},
    position::{NoPosition, Position},
    process::channels,
    receipt::{Fate, Receipt},
    rules::{matches, History, Settings, Slow},
};
pub(crate) use self::{
    engine::{Engine, Excepted, Outgoing, Placed},
    position::new_epoch,
    rules::HistorySize,
    shared_log::{Loaded, LoadedMessage},
};
use super::{
    handle::Handle,
    locks::{lock, Guard},
    memberships::any_pending,
    outbound::broadcast::Broadcast,
    outbound::Flush,
    sync::Mutex,
};

/// Longest name of a channel, in bytes.
pub const LONGEST_NAME: usize = 255;

/// Default of how many channels one connection may be subscribed to.
pub const SUBSCRIPTIONS: usize = 1_000;

/// Mistake of a caller of channels.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// A name without a byte.
    #[error("the name of a channel must not be empty")]
    EmptyName,
    /// A name with too many bytes: how many.
    #[error("the name of a channel has {LONGEST_NAME} bytes at most, not {0}")]
    LongName(usize),
    /// A name that is no text.
    #[error("the name of a channel must be valid UTF-8")]
    InvalidName,
    /// A subscription of a connection that is not open yet.
    #[error("Cannot subscribe before onopen callback")]
    BeforeOpen,
    /// A subscription since a position, where there is one already.
    #[error("Cannot subscribe since a position: the connection is subscribed already")]
    Subscribed,
    /// A binary message for a channel whose envelope is text.
    #[error("a binary message has no place in the envelope of the channel")]
    BinaryInEnvelope,
    /// A subscription past the limit of its connection, which is told.
    #[error("Cannot subscribe to more than {0} channels")]
    TooMany(usize),
    /// A subscription past the limit of the process, which is told.
    #[error("Cannot have more than {0} subscriptions in all")]
    TooManyOfAll(usize),
}

/// Beginning of a subscription.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Subscribed {
    /// True if there was none of that connection before.
    pub is_new: bool,
    /// Position behind the last message of the channel; `None` where no history is kept.
    pub position: Option<Position>,
    /// True if everything that came after the position that was asked for has been sent, false if
    /// some of it is lost and nothing was; `None` where none was asked for.
    pub recovered: Option<bool>,
    /// True if that is the first that waits for [`Handle::flush`].
    pub is_unflushed: bool,
}

/// Outcome of a message that was published.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// Number of subscribers that it goes to.
    pub receivers: usize,
    /// Position behind it; `None` where no history is kept.
    pub position: Option<Position>,
    /// Receipt of it on its way to other processes; `None` where there are none.
    pub receipt: Option<Arc<Receipt>>,
}

/// Message that is kept, and the position behind it.
pub type Kept = (Position, Arc<Broadcast>);

/// The one subscriber that a message does not go to.
#[derive(Clone, Copy, Debug, Default)]
pub enum Except<'a> {
    /// None: it goes to all.
    #[default]
    Nobody,
    /// A connection of a server's.
    Connection(&'a Handle),
    /// A mailbox.
    Mailbox(&'a Mailbox),
}

/// The channels of a process.
#[derive(Debug, Default)]
pub struct Channels {
    shared: Arc<Shared>,
}

/// State that the channels share.
#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    rounds: Rounds,
    post: Post,
    limits: Limits,
    expiry: Expiry,
    counters: Counters,
    engine: EngineSlot,
}

impl Channels {
    /// Keeps messages of the channels whose names match a pattern.
    pub fn keep_history(&self, pattern: &[u8], history: History) {
        lock(&self.shared.table).change(|rules| rules.keep_history(pattern, history));
    }

    /// Sets what becomes of messages for slow subscribers of the channels that match a pattern.
    pub fn treat_slow(&self, pattern: &[u8], slow: Slow) {
        lock(&self.shared.table).change(|rules| rules.treat_slow(pattern, slow));
    }

    /// Subscribes a connection, if it is not subscribed already: it gets what is published from now
    /// on. `since` a position, it is sent first what came after that, if all of it is still there.
    /// `limit` is how many subscriptions it may have. `None` where the connection is gone.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn subscribe(
        &self,
        handle: &Handle,
        name: &[u8],
        since: Option<Position>,
        limit: usize,
        flush: Flush,
    ) -> Result<Option<Subscribed>, ChannelError> {
        self.subscribe_by(name, |channel| channel.subscribe(handle, since, limit, flush))
    }

    fn subscribe_by(
        &self,
        name: &[u8],
        subscribe: impl Fn(&Arc<Channel>) -> Result<Subscription, ChannelError>,
    ) -> Result<Option<Subscribed>, ChannelError> {
        check(name)?;
        loop {
            let channel = lock(&self.shared.table).find_or_add(name, &self.shared);
            let result = subscribe(&channel);
            if !matches!(result, Ok(Subscription::Done(_))) {
                channel.retire_if_idle();
            }
            match result? {
                Subscription::Done(subscribed) => {
                    if subscribed.is_new {
                        self.shared.announce(&channel);
                    }
                    return Ok(Some(subscribed));
                }
                Subscription::Gone => return Ok(None),
                Subscription::Retired => {}
            }
        }
    }

    /// Ends the subscription of a connection: whether there was one. What was published before is
    /// sent.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name.
    pub fn unsubscribe(&self, handle: &Handle, name: &[u8]) -> Result<bool, ChannelError> {
        check(name)?;
        handle.send_published(Flush::Now);
        let channel = lock(&self.shared.table).find(name);
        Ok(channel.is_some_and(|channel| channel.unsubscribe(handle)))
    }

    /// Ends all subscriptions of a connection: how many there were.
    pub fn unsubscribe_all(&self, handle: &Handle) -> usize {
        handle.send_published(Flush::Now);
        handle.leave_channels()
    }

    /// Publishes a message to all subscribers of a channel but one, from any thread. While a turn
    /// of the reactor goes on (`Flush::Later`), it leaves at the [end](Self::end_turn) of that.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name, or the message has no place in the envelope.
    pub fn publish(
        &self,
        name: &[u8],
        message: Broadcast,
        except: Except<'_>,
        flush: Flush,
    ) -> Result<Publication, ChannelError> {
        check(name)?;
        let message = Arc::new(message);
        let except = Excepted::from(except);
        let publication = match self.shared.engine.get() {
            Some(engine) => self.publish_through(&*engine, name, &message, except, flush)?,
            None => self.publish_here(name, &message, &except, flush)?,
        };
        self.shared.counters.published();
        Ok(publication)
    }

    /// Delivers a message to the subscribers in this process.
    fn publish_here(
        &self,
        name: &[u8],
        message: &Arc<Broadcast>,
        except: &Excepted,
        flush: Flush,
    ) -> Result<Publication, ChannelError> {
        loop {
            let channel = lock(&self.shared.table).find_to_publish(name, &self.shared);
            let Some(channel) = channel else { return Ok(Publication::default()) };
            let connection = except.connection().filter(|it| channel.goes_to(it, message));
            let mut log = lock(&channel.log);
            if log.is_retired {
                continue;
            }
            let mut entry = Entry::new(Arc::clone(message), connection.cloned());
            if let Err(error) = log.wrap(name, &mut entry) {
                drop(log);
                channel.retire_if_idle();
                return Err(error);
            }
            let mut receivers = log.receivers(message, connection.is_some());
            receivers += log.append(entry, except.mailbox(), &self.shared.post);
            let position = log.position();
            let is_crowded = self.shared.appended(&channel, log, flush);
            if !is_crowded && flush == Flush::Now {
                self.shared.run_rounds();
            }
            return Ok(Publication { receivers, position, receipt: None });
        }
    }

    /// A turn of the reactor ends, or takes long: what was published in it leaves.
    pub fn end_turn(&self) {
        if !any_pending() {
            return;
        }
        self.shared.rounds.end_turn();
        self.shared.run_rounds();
    }

    /// Messages of a channel that are kept, the oldest first: at most `limit`, after a position.
    /// `None` where some of those are lost.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name.
    pub fn history(
        &self,
        name: &[u8],
        since: Option<Position>,
        limit: usize,
    ) -> Result<Option<Vec<Kept>>, ChannelError> {
        check(name)?;
        let channel = lock(&self.shared.table).find(name);
        Ok(match channel {
            Some(channel) => lock(&channel.log).history(since, limit),
            None => since.is_none().then(Vec::new),
        })
    }

    /// Counts of what has been seen and done so far.
    pub fn stats(&self) -> ChannelStats {
        ChannelStats {
            channels: lock(&self.shared.table).len(),
            bytes: self.shared.limits.held.get(),
            ..self.shared.counters.stats()
        }
    }
}

impl Shared {
    /// A message was appended to a channel: it is to be delivered, and to be let go of some day.
    /// True if so much waited that it has been delivered.
    fn appended(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        mut log: Guard<'_, Log>,
        flush: Flush,
    ) -> bool {
        let is_crowded = log.is_crowded();
        let is_listed = self.expiry.list(channel, &mut log);
        self.rounds.schedule(channel, &mut log, flush);
        drop(log);
        if is_listed {
            self.await_expiry();
        }
        self.evict();
        if is_crowded {
            rounds::finish(channel);
        }
        is_crowded
    }
}

/// True if that is a name.
fn check(name: &[u8]) -> Result<(), ChannelError> {
    match name.len() {
        0 => Err(ChannelError::EmptyName),
        1..=LONGEST_NAME => match std::str::from_utf8(name) {
            Ok(_) => Ok(()),
            Err(_) => Err(ChannelError::InvalidName),
        },
        len => Err(ChannelError::LongName(len)),
    }
}
