//! One channel: its messages and its subscribers.

use std::sync::Arc;

use super::{
    log::Log,
    mailbox::Mailbox,
    position::Position,
    round::{Delivery, Round},
    rules::Settings,
    subscribers::{Subscriber, Subscribers},
    ChannelError, Shared as Common, Subscribed,
};
use crate::{
    protocol::ReadyState,
    server::{
        handle::Handle,
        locks::lock,
        memberships::{remove_pending, Membered, Membership},
        outbound::{broadcast::Broadcast, Flush},
        sync::Mutex,
    },
};

/// One channel. A message goes into the log first, which numbers it, and from there to the
/// subscribers, each of which has the offset of the last one that it was sent. So whoever comes to
/// deliver, and however many do, each subscriber is sent every message once, and in order.
#[derive(Debug)]
pub(super) struct Channel {
    name: Box<[u8]>,
    common: Arc<Common>,
    pub(super) log: Mutex<Log>,
    subscribers: Mutex<Subscribers>,
}

/// Outcome of a subscription.
pub(super) enum Subscription {
    Done(Subscribed),
    /// The connection is gone, or is being ended.
    Gone,
    /// The channel is: another of its name may be there.
    Retired,
}

/// Number of subscribers that are sent to under one lock, before others have their turn.
const CHUNK: usize = 32;

impl Channel {
    pub(super) fn new(name: &[u8], settings: Settings, common: Arc<Common>) -> Self {
        let shares = common.engine.is_set();
        let log = Log::new(settings, shares, Arc::clone(&common.limits.held));
        Self { name: name.into(), common, log: Mutex::new(log), subscribers: Mutex::default() }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Address by which memberships find it.
    fn address(self: &Arc<Self>) -> *const () {
        Arc::as_ptr(self).cast()
    }

    /// Subscribes a connection: it gets what is published from now on or, if nothing of that is
    /// missing, what was after a position and then what is published.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        handle: &Handle,
        since: Option<Position>,
        limit: usize,
        flush: Flush,
    ) -> Result<Subscription, ChannelError> {
        let mut subscribers = lock(&self.subscribers);
        let mut log = lock(&self.log);
        if log.is_retired {
            return Ok(Subscription::Retired);
        }
        let Some(mut state) = handle.0.lock() else { return Ok(Subscription::Gone) };
        let profile = match (state.protocol.ready_state(), state.protocol.profile()) {
            (ReadyState::Handshake, _) => return Err(ChannelError::BeforeOpen),
            (ReadyState::Connected, Some(profile)) if !state.outbox.is_gone() => profile,
            _ => return Ok(Subscription::Gone),
        };
        let memberships = &mut state.cold_mut().channels;
        if memberships.contains(self.address()) {
            if since.is_some() {
                return Err(ChannelError::Subscribed);
            }
            let position = log.position();
            return Ok(Subscription::Done(Subscribed { position, ..Subscribed::default() }));
        }
        if memberships.len() >= limit {
            return Err(ChannelError::TooMany(limit));
        }
        self.count_subscription()?;
        let (offset, recovered) = match since {
            Some(since) => {
                let (offset, recovered) = log.resume(since);
                (offset, Some(recovered))
            }
            None => (log.end(), None),
        };
        let slot = subscribers.insert(Subscriber { handle: handle.clone(), offset });
        let is_text_only = !profile.binary;
        memberships.insert(Membership { channel: self.clone(), slot, is_text_only });
        log.wake();
        log.subscribers += 1;
        log.text_only += usize::from(is_text_only);
        let position = log.position();
        let missed = (offset < log.end()).then(|| Round::replay(&log, offset));
        drop((state, log));
        let mut is_unflushed = false;
        if let (Some(mut missed), Some(subscriber)) = (missed, subscribers.get_mut(slot as usize)) {
            is_unflushed = self.count(missed.deliver(subscriber, flush)).is_unflushed;
        }
        Ok(Subscription::Done(Subscribed { is_new: true, position, recovered, is_unflushed }))
    }

    /// As [`subscribe`](Self::subscribe), for a mailbox.
    pub(super) fn subscribe_mailbox(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Subscription, ChannelError> {
        let mut log = lock(&self.log);
        if log.is_retired {
            return Ok(Subscription::Retired);
        }
        let Some(subscribed) = mailbox.subscribed() else { return Ok(Subscription::Gone) };
        let position = log.position();
        if mailbox.is_in(self) {
            return match since {
                Some(_) => Err(ChannelError::Subscribed),
                None => Ok(Subscription::Done(Subscribed { position, ..Subscribed::default() })),
            };
        }
        if subscribed >= limit {
            return Err(ChannelError::TooMany(limit));
        }
        self.count_subscription()?;
        if !mailbox.join(self) {
            self.common.counters.unsubscribed();
            return Ok(Subscription::Gone);
        }
        let recovered = log.add_mailbox(mailbox, since, &self.common.post);
        Ok(Subscription::Done(Subscribed {
            is_new: true,
            position,
            recovered,
            is_unflushed: false,
        }))
    }

    /// Counts one more, if the process may have it.
    fn count_subscription(&self) -> Result<(), ChannelError> {
        let limit = self.common.limits.subscriptions();
        let is_counted = self.common.counters.subscribe(limit);
        is_counted.then_some(()).ok_or(ChannelError::TooManyOfAll(limit))
    }

    /// Ends a subscription that the mailbox does not list any more.
    pub(super) fn dismiss(self: &Arc<Self>, mailbox: &Mailbox) {
        lock(&self.log).remove_mailbox(mailbox);
        self.common.counters.unsubscribed();
        self.retire_if_idle();
    }

    /// Ends the subscription of a connection: whether there was one.
    pub(super) fn unsubscribe(self: &Arc<Self>, handle: &Handle) -> bool {
        let removed = handle.0.lock().and_then(|mut state| {
            state.cold()?;
            state.cold_mut().channels.remove(self.address())
        });
        let is_subscribed = removed.is_some();
        if let Some(membership) = removed {
            Arc::clone(self).leave(&membership);
        }
        is_subscribed
    }

    /// True if this connection is subscribed, and can have the message.
    pub(super) fn goes_to(self: &Arc<Self>, handle: &Handle, message: &Broadcast) -> bool {
        let Some(state) = handle.0.lock() else { return false };
        let Some(cold) = state.cold() else { return false };
        let membership = cold.channels.get(self.address());
        membership.is_some_and(|it| !(it.is_text_only && message.is_binary()))
    }

    /// Messages that are pending.
    pub(super) fn begin_round(&self) -> Round {
        Round::pending(&lock(&self.log))
    }

    /// Sends them to some subscribers, from this place on: the next place, if there is one. Who is
    /// to be flushed is added to `unflushed`.
    pub(super) fn advance_round(
        &self,
        round: &mut Round,
        place: usize,
        flush: Flush,
        unflushed: &mut Vec<Handle>,
    ) -> Option<usize> {
        let mut subscribers = lock(&self.subscribers);
        let end = subscribers.slots().min(place + CHUNK);
        for slot in place..end {
            let Some(subscriber) = subscribers.get_mut(slot) else { continue };
            let delivery = if round.is_behind(subscriber) {
                self.catch_up(subscriber, flush)
            } else {
                round.deliver(subscriber, flush)
            };
            if self.count(delivery).is_unflushed {
                unflushed.push(subscriber.handle.clone());
            }
        }
        (end < subscribers.slots()).then_some(end)
    }

    /// Everybody has been sent them: whether more is pending.
    pub(super) fn end_round(self: &Arc<Self>, round: &Round) -> bool {
        let mut log = lock(&self.log);
        log.deliver_up_to(round.end());
        if log.delivered() < log.end() {
            return true;
        }
        if log.is_scheduled {
            log.is_scheduled = false;
            remove_pending();
        }
        drop(log);
        self.retire_if_idle();
        false
    }

    /// Takes it out of the table, if nothing would be lost with it.
    pub(super) fn retire_if_idle(self: &Arc<Self>) {
        let (is_retired, is_listed) = {
            let mut log = lock(&self.log);
            log.is_retired |= log.is_idle();
            (log.is_retired, !log.is_retired && self.common.expiry.list(self, &mut log))
        };
        // Whoever finds it there meanwhile sees that, and looks again.
        if is_retired {
            lock(&self.common.table).forget(self);
            self.common.engine.touch(&self.name);
            return;
        }
        if is_listed {
            self.common.await_expiry();
        }
        // One that rests takes memory, too.
        self.common.evict();
    }

    /// Sends a subscriber that has been slow what there is for it.
    fn catch_up(&self, subscriber: &mut Subscriber, flush: Flush) -> Delivery {
        let mut round = {
            let log = lock(&self.log);
            if subscriber.offset >= log.end() {
                return Delivery::default();
            }
            Round::after(&log, subscriber.offset)
        };
        round.deliver(subscriber, flush)
    }

    fn count(&self, delivery: Delivery) -> Delivery {
        self.common.counters.count(delivery);
        delivery
    }
}

impl Membered for Channel {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn is_pending(&self) -> bool {
        lock(&self.log).is_scheduled
    }

    fn leave(self: Arc<Self>, membership: &Membership) {
        let mut subscribers = lock(&self.subscribers);
        let address = self.address();
        subscribers.remove(membership.slot, |handle, from, to| {
            let Some(mut state) = handle.0.lock() else { return false };
            let moving = state.cold_mut().channels.get_mut(address).filter(|it| it.slot == from);
            moving.map(|it| it.slot = to).is_some()
        });
        self.common.counters.unsubscribed();
        let mut log = lock(&self.log);
        log.subscribers -= 1;
        log.text_only -= usize::from(membership.is_text_only);
        drop((log, subscribers));
        self.retire_if_idle();
    }

    fn deliver(&self, slot: u32, connection: *const (), flush: Flush) -> bool {
        let mut subscribers = lock(&self.subscribers);
        let Some(subscriber) = subscribers.of(slot, connection) else { return false };
        self.count(self.catch_up(subscriber, flush)).is_unflushed
    }
}
