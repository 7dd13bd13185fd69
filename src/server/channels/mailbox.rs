//! Subscribers that are no connections of a server's: a thread of the application's takes their
//! messages.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{channel::Channel, log::Entry};
use crate::server::{
    locks::{lock, Guarded, LockRank},
    outbound::broadcast::Broadcast,
    process::ProcessMutex,
    sync::Mutex,
};

/// Subscriber whose messages wait until a thread of the application's takes them.
/// One mailbox may be subscribed to several channels.
#[derive(Debug)]
pub struct Mailbox {
    number: u64,
    kind: MailboxKind,
    /// A forked child has it, too, and no channels that it is of.
    mail: ProcessMutex<Mail>,
}

/// Kind of who takes the messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MailboxKind {
    /// The application itself: it is given messages without their envelope.
    Application,
    /// A connection whose bytes pass through the application.
    Connection {
        /// True if its draft has no binary messages.
        is_text_only: bool,
    },
}

/// Mail that is taken out of a mailbox.
#[derive(Clone, Debug)]
pub enum Taken {
    /// A message.
    Message(Arc<Broadcast>),
    /// A message of a channel that has a rule for slow subscribers is the next: whoever takes it
    /// says whether this one is slow ([`Channels::take_ruled_mail`](super::Channels::take_ruled_mail)).
    Ruled,
}

/// Message in a mailbox.
#[derive(Debug)]
struct Letter {
    message: Arc<Broadcast>,
    /// Epoch of its channel.
    epoch: u64,
    /// Number of the channel's messages that wait for a slow subscriber; 0: all are sent.
    keep: usize,
}

#[derive(Debug, Default)]
struct Mail {
    waiting: VecDeque<Letter>,
    /// The newest of what has come while the subscriber was slow, by their channels' epochs.
    held: BTreeMap<u64, VecDeque<Arc<Broadcast>>>,
    channels: Vec<Arc<Channel>>,
    /// True while it stands among those that have mail.
    is_posted: bool,
    is_closed: bool,
}

impl Guarded for Mail {
    const RANK: LockRank = LockRank::Mailbox;
}

/// Mailboxes that have mail, in the order in which they got it.
#[derive(Debug, Default)]
pub(super) struct Post(Mutex<Posted>);

#[derive(Debug, Default)]
struct Posted {
    mailboxes: VecDeque<Arc<Mailbox>>,
    last_number: u64,
}

impl Guarded for Posted {
    const RANK: LockRank = LockRank::Post;
}

/// Room for so many stays.
const SPARE: usize = 16;

impl Mailbox {
    /// Number that no other mailbox of this process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes the message that has waited longest, unless a rule asks first how slow the subscriber
    /// is.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut mail = self.mail.lock()?;
        let next = mail.waiting.front()?;
        let (epoch, keep) = (next.epoch, next.keep);
        if keep > 0 {
            return Some(Taken::Ruled);
        }
        // Of a channel that had a rule until now.
        if let Some(message) = mail.take_held(Some(epoch)) {
            return Some(Taken::Message(message));
        }
        mail.take_waiting().map(|letter| Taken::Message(letter.message))
    }

    /// Takes the message that has waited longest, or holds it back where the subscriber is slow:
    /// the message, and how many older ones were dropped for it.
    pub(super) fn take_ruled(&self, is_slow: bool) -> (Option<Arc<Broadcast>>, usize) {
        let Some(mut mail) = self.mail.lock() else { return (None, 0) };
        if is_slow {
            return (None, mail.hold());
        }
        let message = mail.take_held(None);
        (message.or_else(|| mail.take_waiting().map(|letter| letter.message)), 0)
    }

    /// Takes a message that was held back.
    pub(super) fn take_held(&self) -> Option<Arc<Broadcast>> {
        self.mail.lock()?.take_held(None)
    }

    /// True if messages are held back.
    pub(super) fn is_behind(&self) -> bool {
        self.mail.lock().is_some_and(|mail| !mail.held.is_empty())
    }

    /// Drops what is held back of a channel.
    pub(super) fn forget(&self, epoch: u64) {
        if let Some(mut mail) = self.mail.lock() {
            mail.held.remove(&epoch);
        }
    }

    /// Names of the channels that it is subscribed to.
    pub fn subscriptions(&self) -> Vec<Vec<u8>> {
        let Some(mail) = self.mail.lock() else { return Vec::new() };
        mail.channels.iter().map(|channel| channel.name().to_vec()).collect()
    }

    /// True if it can have such messages.
    pub(super) fn accepts(&self, message: &Broadcast) -> bool {
        !(message.is_binary()
            && matches!(self.kind, MailboxKind::Connection { is_text_only: true }))
    }

    /// Puts in a message of the channel of an epoch, behind those that wait. `keep` is how many of
    /// that channel wait for a slow subscriber; 0: all are sent.
    pub(super) fn put(self: &Arc<Self>, entry: &Entry, epoch: u64, keep: usize, post: &Post) {
        let Some(mut mail) = self.mail.lock() else { return };
        if mail.is_closed {
            return;
        }
        let (message, keep) = match self.kind {
            MailboxKind::Application => (entry.content(), 0),
            MailboxKind::Connection { .. } => (&entry.message, keep),
        };
        mail.waiting.push_back(Letter { message: Arc::clone(message), epoch, keep });
        if !mail.is_posted {
            mail.is_posted = true;
            lock(&post.0).mailboxes.push_back(Arc::clone(self));
        }
    }

    /// Number of its subscriptions; `None` once it is closed.
    pub(super) fn subscribed(&self) -> Option<usize> {
        let mail = self.mail.lock()?;
        (!mail.is_closed).then_some(mail.channels.len())
    }

    pub(super) fn is_in(&self, channel: &Arc<Channel>) -> bool {
        let mail = self.mail.lock();
        mail.is_some_and(|mail| mail.channels.iter().any(|one| Arc::ptr_eq(one, channel)))
    }

    /// Lists a channel, unless it has been closed meanwhile.
    pub(super) fn join(&self, channel: &Arc<Channel>) -> bool {
        let Some(mut mail) = self.mail.lock() else { return false };
        if !mail.is_closed {
            mail.channels.push(Arc::clone(channel));
        }
        !mail.is_closed
    }

    /// Takes a channel off its list: whether it was there.
    pub(super) fn leave(&self, channel: &Arc<Channel>) -> bool {
        let Some(mut mail) = self.mail.lock() else { return false };
        let index = mail.channels.iter().position(|one| Arc::ptr_eq(one, channel));
        index.map(|index| mail.channels.remove(index)).is_some()
    }

    /// Takes all channels off its list.
    pub(super) fn leave_all(&self) -> Vec<Arc<Channel>> {
        self.mail.lock().map(|mut mail| std::mem::take(&mut mail.channels)).unwrap_or_default()
    }

    /// Takes no mail any more.
    pub(super) fn close(&self) {
        if let Some(mut mail) = self.mail.lock() {
            mail.is_closed = true;
            mail.waiting = VecDeque::new();
            mail.held = BTreeMap::new();
        }
    }
}

impl Mail {
    fn take_waiting(&mut self) -> Option<Letter> {
        let letter = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > SPARE {
            self.waiting = VecDeque::new();
        }
        letter
    }

    /// Takes the oldest message that is held back, of one channel or of any.
    fn take_held(&mut self, epoch: Option<u64>) -> Option<Arc<Broadcast>> {
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => *self.held.first_key_value()?.0,
        };
        let held = self.held.get_mut(&epoch)?;
        let message = held.pop_front();
        if held.is_empty() {
            self.held.remove(&epoch);
        }
        message
    }

    /// Holds back the message that has waited longest: how many were dropped for it.
    fn hold(&mut self) -> usize {
        let Some(letter) = self.take_waiting() else { return 0 };
        let held = self.held.entry(letter.epoch).or_default();
        held.push_back(letter.message);
        let dropped = held.len().saturating_sub(letter.keep);
        held.drain(..dropped);
        dropped
    }
}

impl Post {
    /// A mailbox that has no mail yet.
    pub(super) fn open(&self, kind: MailboxKind) -> Arc<Mailbox> {
        let number = {
            let mut posted = lock(&self.0);
            posted.last_number += 1;
            posted.last_number
        };
        Arc::new(Mailbox { number, kind, mail: ProcessMutex::default() })
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).mailboxes.is_empty()
    }

    /// Takes the mailbox that has had mail for longest. More that comes puts it there again.
    pub(super) fn take(&self) -> Option<Arc<Mailbox>> {
        let mailbox = {
            let mut posted = lock(&self.0);
            let mailbox = posted.mailboxes.pop_front()?;
            if posted.mailboxes.is_empty() && posted.mailboxes.capacity() > SPARE {
                posted.mailboxes = VecDeque::new();
            }
            mailbox
        };
        if let Some(mut mail) = mailbox.mail.lock() {
            mail.is_posted = false;
        }
        Some(mailbox)
    }
}
