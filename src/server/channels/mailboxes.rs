//! Mailboxes of channels.

use std::sync::Arc;

use super::{
    check, matches, round::Delivery, ChannelError, Channels, Mailbox, MailboxKind, Position,
    Subscribed, Taken,
};
use crate::server::{locks::lock, outbound::broadcast::Broadcast};

impl Channels {
    /// A mailbox that is subscribed to nothing yet.
    pub fn open_mailbox(&self, kind: MailboxKind) -> Arc<Mailbox> {
        self.shared.post.open(kind)
    }

    /// As [`subscribe`](Self::subscribe), for a mailbox.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn subscribe_mailbox(
        &self,
        mailbox: &Arc<Mailbox>,
        name: &[u8],
        since: Option<Position>,
        limit: usize,
    ) -> Result<Option<Subscribed>, ChannelError> {
        self.subscribe_by(name, |channel| channel.subscribe_mailbox(mailbox, since, limit))
    }

    /// As [`unsubscribe`](Self::unsubscribe), for a mailbox. What is in it stays.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name.
    pub fn unsubscribe_mailbox(
        &self,
        mailbox: &Mailbox,
        name: &[u8],
    ) -> Result<bool, ChannelError> {
        check(name)?;
        let Some(channel) = lock(&self.shared.table).find(name) else { return Ok(false) };
        let is_subscribed = mailbox.leave(&channel);
        if is_subscribed {
            channel.dismiss(mailbox);
        }
        Ok(is_subscribed)
    }

    /// As [`unsubscribe_all`](Self::unsubscribe_all), for a mailbox.
    pub fn unsubscribe_all_of(&self, mailbox: &Mailbox) -> usize {
        let channels = mailbox.leave_all();
        for channel in &channels {
            channel.dismiss(mailbox);
        }
        channels.len()
    }

    /// Ends all subscriptions of a mailbox. What is in it is lost, and nothing comes any more.
    pub fn close_mailbox(&self, mailbox: &Mailbox) {
        mailbox.close();
        self.unsubscribe_all_of(mailbox);
    }

    /// True if a mailbox has mail.
    pub fn has_mail(&self) -> bool {
        !self.shared.post.is_empty()
    }

    /// A mailbox that has mail, the one first that has had it for longest. Whoever takes it empties
    /// it.
    pub fn take_mailbox(&self) -> Option<Arc<Mailbox>> {
        self.shared.post.take()
    }

    /// Takes a message out of a mailbox, or finds that a rule asks first how slow its subscriber is.
    pub fn take_mail(&self, mailbox: &Mailbox) -> Option<Taken> {
        let taken = mailbox.take()?;
        if matches!(taken, Taken::Message(_)) {
            self.shared.counters.taken();
        }
        Some(taken)
    }

    /// Takes a message that [`take_mail`](Self::take_mail) has said there is a rule for. Where the
    /// subscriber is slow it is held back, and drops older ones: then there is none.
    pub fn take_ruled_mail(&self, mailbox: &Mailbox, is_slow: bool) -> Option<Arc<Broadcast>> {
        let (message, dropped) = mailbox.take_ruled(is_slow);
        let delivered = usize::from(message.is_some());
        self.shared.counters.count(Delivery { delivered, dropped, ..Delivery::default() });
        message
    }

    /// Takes a message that was held back, for a subscriber that is not slow any more.
    pub fn take_held_mail(&self, mailbox: &Mailbox) -> Option<Arc<Broadcast>> {
        let message = mailbox.take_held()?;
        self.shared.counters.taken();
        Some(message)
    }

    /// True if messages are held back in a mailbox.
    pub fn is_behind(&self, mailbox: &Mailbox) -> bool {
        mailbox.is_behind()
    }

    /// Channels whose names match a pattern and that have subscribers in this process, and how many
    /// those are.
    pub fn occupied(&self, pattern: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let channels: Vec<_> = {
            let table = lock(&self.shared.table);
            table.iter().filter(|it| matches(pattern, it.name())).cloned().collect()
        };
        let counted = channels.iter().map(|it| (it.name().to_vec(), lock(&it.log).listeners()));
        counted.filter(|(_, listeners)| *listeners > 0).collect()
    }

    /// Number of subscribers of a channel in this process.
    ///
    /// # Errors
    /// [`ChannelError`], where that is no name.
    pub fn subscribers(&self, name: &[u8]) -> Result<usize, ChannelError> {
        check(name)?;
        let channel = lock(&self.shared.table).find(name);
        Ok(channel.map_or(0, |channel| lock(&channel.log).listeners()))
    }
}
