//! Messages of one channel on their way to its subscribers.

use bytes::Bytes;

use super::{
    log::{Entry, Log},
    rules::Slow,
    subscribers::Subscriber,
};
use crate::{
    protocol::{version::Profile, ReadyState},
    server::{connection::State, handle::Handle, outbound::Flush, outbox::Sent, stats::Traffic},
};

/// Messages of one channel that go to its subscribers together: encoded once for all who are to
/// have the same ones.
#[derive(Debug)]
pub(super) struct Round {
    /// Offset before the first of them.
    start: u64,
    end: u64,
    /// Offset of the last message that everybody has been sent who is not behind.
    delivered: u64,
    entries: Vec<Entry>,
    slow: Slow,
    /// True if there are some that do not go to everybody.
    has_exceptions: bool,
    bundles: Vec<Bundle>,
}

/// Frames of one version, for those who have been sent what is before them.
#[derive(Debug)]
struct Bundle {
    version: u16,
    offset: u64,
    frames: Bytes,
    traffic: Traffic,
}

/// Number of them that are kept: almost everybody is to have the same messages.
const BUNDLES: usize = 8;

/// Outcome of messages for one subscriber.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Delivery {
    /// Number of messages that were sent.
    pub(super) delivered: usize,
    /// Number of messages that were dropped, because the subscriber was too slow for them.
    pub(super) dropped: usize,
    /// True if they are the first that wait for a flush.
    pub(super) is_unflushed: bool,
}

impl Round {
    /// The messages that are pending.
    pub(super) fn pending(log: &Log) -> Self {
        Self::after(log, log.delivered())
    }

    /// The messages after an offset that are still there.
    pub(super) fn after(log: &Log, offset: u64) -> Self {
        let entries: Vec<_> = log.after(offset).cloned().collect();
        Self {
            start: log.end() - entries.len() as u64,
            end: log.end(),
            delivered: log.delivered(),
            has_exceptions: entries.iter().any(|entry| entry.except.is_some()),
            entries,
            slow: log.slow(),
            bundles: Vec::new(),
        }
    }

    /// As [`after`](Self::after), for one who has missed them: however slow, it gets all of them.
    pub(super) fn replay(log: &Log, offset: u64) -> Self {
        let mut round =
            Self { slow: Slow::Close, has_exceptions: false, ..Self::after(log, offset) };
        // Whether it was excepted is only known until everybody has the message.
        round.entries.iter_mut().for_each(|entry| entry.except = None);
        round
    }

    /// Offset of the last message.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// True if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if a subscriber misses messages before these.
    pub(super) fn is_behind(&self, subscriber: &Subscriber) -> bool {
        subscriber.offset < self.start
    }

    /// Sends a subscriber those that it has not been sent yet; where it is slow, and the channel
    /// has them wait, nothing.
    pub(super) fn deliver(&mut self, subscriber: &mut Subscriber, flush: Flush) -> Delivery {
        let mut delivery = Delivery::default();
        if subscriber.offset >= self.end {
            return delivery;
        }
        let Subscriber { handle, offset } = subscriber;
        let Some(mut state) = handle.0.lock() else { return delivery };
        if state.outbox.is_gone() || state.protocol.ready_state() != ReadyState::Connected {
            *offset = self.end;
            return delivery;
        }
        let mut from = self.start.max(*offset);
        if let Slow::Drop { keep } = self.slow {
            if state.outbox.is_slow() {
                state.outbox.set_behind();
                return delivery;
            }
            if *offset < self.delivered {
                from = from.max(self.end.saturating_sub(keep as u64));
            }
        }
        delivery.dropped = (from - *offset) as usize;
        *offset = self.end;
        let handle = handle.clone();
        self.send(&handle, &mut state, from, flush, &mut delivery);
        delivery
    }

    fn send(
        &mut self,
        handle: &Handle,
        state: &mut State,
        from: u64,
        flush: Flush,
        delivery: &mut Delivery,
    ) {
        let Some(profile) = state.protocol.profile() else { return };
        if self.has_exceptions || !profile.binary || state.outbox.is_compressing() {
            return self.send_each(handle, state, profile, from, flush, delivery);
        }
        let bundle = self.bundle(profile, from);
        let (frames, traffic) = (bundle.frames.clone(), bundle.traffic);
        delivery.delivered = traffic.messages as usize;
        let sent = state.outbox.send_frames(&frames, traffic, flush);
        delivery.is_unflushed = matches!(sent, Sent::Unflushed(_));
    }

    /// Sends one by one what is not the same for everybody.
    fn send_each(
        &self,
        handle: &Handle,
        state: &mut State,
        profile: &'static Profile,
        from: u64,
        flush: Flush,
        delivery: &mut Delivery,
    ) {
        let entries = &self.entries[(from - self.start) as usize..];
        let is_for = |entry: &&Entry| {
            entry.except.as_ref().is_none_or(|except| except.address() != handle.address())
                && (profile.binary || !entry.message.is_binary())
        };
        let mut entries = entries.iter().filter(is_for).peekable();
        while let Some(entry) = entries.next() {
            // They leave together, with the last.
            let is_last = entries.peek().is_none();
            let flush = if is_last { flush } else { Flush::Later };
            let sent = state.outbox.send_shared(&entry.message, profile, flush);
            delivery.is_unflushed |= matches!(sent, Sent::Unflushed(_));
            delivery.delivered += 1;
        }
        if flush == Flush::Now {
            delivery.is_unflushed = false;
        }
    }

    fn bundle(&mut self, profile: &Profile, from: u64) -> &Bundle {
        let is_it = |it: &Bundle| it.version == profile.version && it.offset == from;
        let index = self.bundles.iter().position(is_it).unwrap_or_else(|| {
            let made = self.make(profile, from);
            if self.bundles.len() == BUNDLES {
                self.bundles.remove(0);
            }
            self.bundles.push(made);
            self.bundles.len() - 1
        });
        &self.bundles[index]
    }

    fn make(&self, profile: &Profile, from: u64) -> Bundle {
        let entries = &self.entries[(from - self.start) as usize..];
        let bytes = entries.iter().map(|entry| entry.message.len() as u64).sum();
        let frames = match entries {
            [one] => one.message.frame(profile),
            several => {
                let frames = several.iter().map(|entry| entry.message.frame(profile));
                Bytes::from(frames.collect::<Vec<_>>().concat())
            }
        };
        let traffic = Traffic { messages: entries.len() as u64, bytes };
        Bundle { version: profile.version, offset: from, frames, traffic }
    }
}
