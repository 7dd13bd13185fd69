//! Subscribers that are no connections of a server's: a thread of the application's takes their
//! messages.

use std::{collections::VecDeque, sync::Arc};

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

/// Who it is that takes the messages.
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

#[derive(Debug, Default)]
struct Mail {
    waiting: VecDeque<Arc<Broadcast>>,
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

    /// Takes the message that has waited longest.
    pub(super) fn take(&self) -> Option<Arc<Broadcast>> {
        let mut mail = self.mail.lock()?;
        let message = mail.waiting.pop_front();
        if mail.waiting.is_empty() && mail.waiting.capacity() > SPARE {
            mail.waiting = VecDeque::new();
        }
        message
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

    /// Puts in a message, behind those that wait.
    pub(super) fn put(self: &Arc<Self>, entry: &Entry, post: &Post) {
        let Some(mut mail) = self.mail.lock() else { return };
        if mail.is_closed {
            return;
        }
        mail.waiting.push_back(Arc::clone(match self.kind {
            MailboxKind::Application => entry.content(),
            MailboxKind::Connection { .. } => &entry.message,
        }));
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
        }
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
