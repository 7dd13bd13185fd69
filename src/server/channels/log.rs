//! The messages of one channel, in their order.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    limits::HeldBytes,
    mailbox::{Mailbox, Post},
    numbering::{Numbering, ORIGIN},
    position::Position,
    rest::{Rest, RESTING},
    rules::{HistorySize, Settings, Slow},
    ChannelError, Kept,
};
use crate::server::{
    handle::Handle,
    locks::{Guarded, LockRank},
    outbound::broadcast::Broadcast,
};

/// Message in a channel.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As it is sent.
    pub(super) message: Arc<Broadcast>,
    /// As it was published, where that is something else.
    content: Option<Arc<Broadcast>>,
    /// The one connection that it does not go to. Kept until everybody else has it, so that no
    /// later connection can be taken for this one.
    pub(super) except: Option<Handle>,
    at: Instant,
}

/// Messages of one channel, numbered one after the other: those that have not gone to every
/// subscriber yet, and before them those that are kept.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) entries: VecDeque<Entry>,
    /// Offset of the last message, as numbered here ([`Numbering`]).
    end: u64,
    /// Offset of the last message that every subscriber has been sent which is not slow.
    delivered: u64,
    /// Bytes of the messages after that.
    pending_bytes: usize,
    pub(super) numbering: Numbering,
    settings: Settings,
    /// Number of subscribers, and of those whose drafts have no binary messages.
    pub(super) subscribers: usize,
    pub(super) text_only: usize,
    /// Mailboxes that are subscribed, by their numbers: they are not among the subscribers.
    mailboxes: BTreeMap<u64, Arc<Mailbox>>,
    /// True while it stands among the channels that have something to deliver.
    pub(super) is_scheduled: bool,
    /// True while it stands among those whose messages have a time.
    pub(super) is_listed: bool,
    rest: Rest,
    /// Counts the bytes of all logs.
    pub(super) held: Arc<HeldBytes>,
    /// True once the channel is not in the table any more: another of its name may be.
    pub(super) is_retired: bool,
}

impl Entry {
    pub(super) fn new(message: Arc<Broadcast>, except: Option<Handle>) -> Self {
        Self { message, content: None, except, at: Instant::now() }
    }

    /// A message of some time ago.
    pub(super) fn published(message: Arc<Broadcast>, at: Instant) -> Self {
        Self { message, content: None, except: None, at }
    }

    /// Bytes that it takes: the message, its frame, and what stands around them.
    pub(super) fn bytes(&self) -> usize {
        let content = self.content.as_ref().map_or(0, |content| content.len() + MESSAGE);
        2 * self.message.len() + MESSAGE + content
    }

    /// Message as it was published.
    pub(super) fn content(&self) -> &Arc<Broadcast> {
        self.content.as_ref().unwrap_or(&self.message)
    }
}

impl Guarded for Log {
    const RANK: LockRank = LockRank::ChannelLog;
}

/// Past so much that waits to be delivered, whoever publishes delivers himself.
const PENDING: (u64, usize) = (4_096, 4 * 1024 * 1024);

/// Bytes that a message takes beside those that it has, about.
const MESSAGE: usize = 256;

/// A channel of which nothing is kept has room for so many messages at most.
const SPARE: usize = 16;

impl Log {
    pub(super) fn new(settings: Settings, shares: bool, held: Arc<HeldBytes>) -> Self {
        Self {
            entries: VecDeque::new(),
            end: ORIGIN,
            delivered: ORIGIN,
            pending_bytes: 0,
            numbering: Numbering::new(shares),
            settings,
            subscribers: 0,
            text_only: 0,
            mailboxes: BTreeMap::new(),
            is_scheduled: false,
            is_listed: false,
            rest: Rest::default(),
            held,
            is_retired: false,
        }
    }

    pub(super) fn slow(&self) -> Slow {
        self.settings.slow
    }

    pub(super) fn keeps_history(&self) -> bool {
        self.settings.history.is_some()
    }

    /// Other rules hold from now on.
    pub(super) fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.trim();
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Offset of the message before the first that is here.
    pub(super) fn start(&self) -> u64 {
        self.end - self.entries.len() as u64
    }

    /// Position behind the last message; `None` where nobody could come back to it.
    pub(super) fn position(&self) -> Option<Position> {
        self.keeps_history().then_some(self.numbering.position(self.end)?)
    }

    /// True if nothing would be lost with it: there are neither subscribers nor messages, and
    /// have been none for as long as somebody may come back who has missed nothing.
    pub(super) fn is_idle(&mut self) -> bool {
        self.trim();
        if self.listeners() > 0 || self.is_scheduled || self.numbering.is_awaited() {
            return false;
        }
        if self.numbering.is_shared {
            return true;
        }
        if !self.entries.is_empty() {
            return false;
        }
        let Some(history) = &self.settings.history else { return true };
        if self.rest.begin() {
            self.held.add(RESTING);
        }
        self.rest.is_over(history)
    }

    /// Somebody subscribes or publishes.
    pub(super) fn wake(&mut self) {
        if self.rest.end() {
            self.held.subtract(RESTING);
        }
    }

    /// True if so much waits to be delivered that it should be delivered now.
    pub(super) fn is_crowded(&self) -> bool {
        self.end - self.delivered > PENDING.0 || self.pending_bytes > PENDING.1
    }

    /// Puts the next message into its envelope, if the channel has one.
    pub(super) fn wrap(&self, name: &[u8], entry: &mut Entry) -> Result<(), ChannelError> {
        self.wrap_at(name, self.end + 1, entry)
    }

    /// Puts the message of a place into its envelope, if the channel has one.
    pub(super) fn wrap_at(
        &self,
        name: &[u8],
        place: u64,
        entry: &mut Entry,
    ) -> Result<(), ChannelError> {
        let history = self.settings.history.as_ref();
        let Some(envelope) = history.and_then(|history| history.envelope.as_ref()) else {
            return Ok(());
        };
        let message = &entry.message;
        if message.is_binary() && !envelope.takes_binary() {
            return Err(ChannelError::BinaryInEnvelope);
        }
        let Some(position) = self.numbering.position(place) else { return Ok(()) };
        let whole = message.with_payload(envelope.around(name, position, message.payload()));
        entry.content = Some(std::mem::replace(&mut entry.message, Arc::new(whole)));
        Ok(())
    }

    /// True if somebody listens, or waits until it is loaded.
    pub(super) fn is_wanted(&self) -> bool {
        !self.is_retired && (self.listeners() > 0 || self.numbering.is_awaited())
    }

    /// Number of subscribers of either kind.
    pub(super) fn listeners(&self) -> usize {
        self.subscribers + self.mailboxes.len()
    }

    /// Number of mailboxes that a message goes to, but for one.
    pub(super) fn mailboxes_but(&self, except: Option<u64>, message: &Broadcast) -> usize {
        let goes_to = |it: &&Arc<Mailbox>| except != Some(it.number()) && it.accepts(message);
        self.mailboxes.values().filter(goes_to).count()
    }

    /// History that is kept.
    pub(super) fn kept(&self) -> Option<HistorySize> {
        let history = self.settings.history.as_ref()?;
        Some(HistorySize { size: history.size, ttl: history.ttl })
    }

    /// Number of connections that a message goes to, but for one where it is left out.
    pub(super) fn receivers(&self, message: &Broadcast, leaves_one_out: bool) -> usize {
        let text_only = if message.is_binary() { self.text_only } else { 0 };
        (self.subscribers - text_only).saturating_sub(usize::from(leaves_one_out))
    }

    /// Numbers a message, puts it into the mailboxes but one, and keeps it for the other
    /// subscribers and for those who come back. The number of mailboxes that have it.
    pub(super) fn append(&mut self, entry: Entry, except: Option<u64>, post: &Post) -> usize {
        self.wake();
        let mut receivers = 0;
        let keep = self.slow().kept();
        for mailbox in self.mailboxes.values() {
            let is_left_out = except == Some(mailbox.number());
            if !is_left_out && mailbox.accepts(&entry.message) {
                mailbox.put(&entry, self.numbering.epoch, keep, post);
                receivers += 1;
            }
        }
        if self.subscribers > 0 || self.keeps_history() {
            self.end += 1;
            self.pending_bytes += entry.message.len();
            self.held.add(entry.bytes());
            self.entries.push_back(entry);
            if self.subscribers == 0 {
                self.deliver_up_to(self.end);
            }
        }
        receivers
    }

    /// Subscribes a mailbox: whether nothing is missing behind the position that it has come to,
    /// which then follows.
    pub(super) fn add_mailbox(
        &mut self,
        mailbox: &Arc<Mailbox>,
        since: Option<Position>,
        post: &Post,
    ) -> Option<bool> {
        self.wake();
        self.mailboxes.insert(mailbox.number(), Arc::clone(mailbox));
        let (offset, recovered) = self.resume(since?);
        for entry in self.after(offset).filter(|entry| mailbox.accepts(&entry.message)) {
            // However slow it is, nothing of that is left out.
            mailbox.put(entry, self.numbering.epoch, 0, post);
        }
        Some(recovered)
    }

    /// Ends the subscription of a mailbox.
    pub(super) fn remove_mailbox(&mut self, mailbox: &Mailbox) {
        self.mailboxes.remove(&mailbox.number());
        mailbox.forget(self.numbering.epoch);
    }

    /// Every subscriber that is not slow has been sent the messages up to this one.
    pub(super) fn deliver_up_to(&mut self, offset: u64) {
        if offset <= self.delivered {
            return;
        }
        let forgets = self.slow() == Slow::Close;
        let from = self.index(self.delivered);
        let to = self.index(offset);
        for entry in self.entries.range_mut(from..to) {
            self.pending_bytes -= entry.message.len();
            if forgets {
                entry.except = None;
            }
        }
        self.delivered = offset;
        self.trim();
    }

    fn index(&self, offset: u64) -> usize {
        (offset.max(self.start()) - self.start()) as usize
    }

    /// The messages after an offset that are here.
    pub(super) fn after(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.index(offset.min(self.end))..)
    }

    /// Place where somebody begins who has everything up to a position: the offset, and whether
    /// nothing is missing behind it.
    pub(super) fn resume(&mut self, since: Position) -> (u64, bool) {
        self.trim();
        let known = self.numbering.place(since).filter(|_| self.keeps_history());
        match known.filter(|place| (self.start()..=self.end).contains(place)) {
            Some(place) => (place, true),
            None => (self.end, false),
        }
    }

    /// Messages that are kept, after a position, the oldest first: `limit` at most. `None` where
    /// there is a gap behind the position.
    pub(super) fn history(&mut self, since: Option<Position>, limit: usize) -> Option<Vec<Kept>> {
        let from = match since {
            Some(since) => match self.resume(since) {
                (offset, true) => offset,
                (_, false) => return None,
            },
            None => {
                self.trim();
                self.start()
            }
        };
        if !self.keeps_history() {
            return Some(Vec::new());
        }
        let numbered = (from + 1..).zip(self.after(from)).take(limit);
        let kept = numbered.filter_map(|(place, entry)| {
            Some((self.numbering.position(place)?, Arc::clone(entry.content())))
        });
        Some(kept.collect())
    }

    pub(super) fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.held.subtract(entry.bytes());
        }
    }

    /// Age by which something is let go of first: channels that rest, and then messages.
    pub(super) fn age(&self) -> Option<(bool, Instant)> {
        match self.entries.front() {
            Some(oldest) => (self.start() < self.delivered).then_some((true, oldest.at)),
            None => self.rest.since().map(|since| (false, since)),
        }
    }

    /// Lets go of the older half of what has been delivered, and of a channel that rests.
    pub(super) fn forget_half(&mut self) {
        if self.entries.is_empty() {
            self.rest.cut();
        }
        let delivered = self.delivered - self.start().min(self.delivered);
        for _ in 0..delivered.div_ceil(2) {
            self.pop();
        }
    }

    /// Time at which the oldest message is over, or the rest; `None` where none has a time.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let history = self.settings.history.as_ref()?;
        match self.entries.front() {
            Some(oldest) => oldest.at.checked_add(history.ttl),
            None => self.rest.ends_at(history),
        }
    }

    /// Lets go of messages that have been delivered and are too many or too old.
    pub(super) fn trim(&mut self) {
        let (size, ttl) = match &self.settings.history {
            Some(history) => (history.size, history.ttl),
            None => (0, Duration::ZERO),
        };
        let for_slow = self.settings.slow.kept();
        let mut now = None;
        while self.start() < self.delivered && self.entries.len() > for_slow {
            let Some(front) = self.entries.front() else { break };
            let is_kept = self.entries.len() <= size
                && now.get_or_insert_with(Instant::now).duration_since(front.at) < ttl;
            if is_kept {
                break;
            }
            self.pop();
        }
        if self.entries.is_empty() && self.entries.capacity() > SPARE {
            self.entries = VecDeque::new();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.wake();
        self.held.subtract(self.entries.iter().map(Entry::bytes).sum());
    }
}
