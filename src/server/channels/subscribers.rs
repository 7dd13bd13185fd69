//! The subscribers of one channel.

use crate::server::{
    handle::Handle,
    locks::{Guarded, LockRank},
};

/// Connection that is subscribed to a channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) handle: Handle,
    /// Offset of the last message that it has been sent.
    pub(super) offset: u64,
}

/// Subscribers of one channel, each in a place of its own.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    slots: Vec<Option<Subscriber>>,
    free: Vec<u32>,
}

impl Guarded for Subscribers {
    const RANK: LockRank = LockRank::Subscribers;
}

/// Number of places that may be free before those that are taken move together.
const FREE: usize = 64;

impl Subscribers {
    /// Number of places, those included that are free.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Adds a subscriber; its place.
    pub(super) fn insert(&mut self, subscriber: Subscriber) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(subscriber);
            return slot;
        }
        // There may be very many: a doubling would be memory for as many again.
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len() / 4).max(4));
        }
        self.slots.push(Some(subscriber));
        (self.slots.len() - 1) as u32
    }

    /// Subscriber in a place.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Subscriber> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Subscriber in a place, if it is this connection.
    pub(super) fn of(&mut self, slot: u32, connection: *const ()) -> Option<&mut Subscriber> {
        self.get_mut(slot as usize).filter(|it| it.handle.address() == connection)
    }

    /// Gives up a place. `moved(subscriber, from, to)` is asked of subscribers that may move to
    /// free places, and answers whether they do.
    pub(super) fn remove(&mut self, slot: u32, moved: impl FnMut(&Handle, u32, u32) -> bool) {
        if self.slots.get_mut(slot as usize).and_then(Option::take).is_none() {
            return;
        }
        self.free.push(slot);
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        } else if self.free.len() > FREE + self.slots.len() / 2 {
            self.compact(moved);
        }
    }

    fn compact(&mut self, mut moved: impl FnMut(&Handle, u32, u32) -> bool) {
        // From the front to the free places; from the back those that are taken.
        let mut low = 0;
        let mut high = self.slots.len();
        while low < high {
            if self.slots[low].is_some() {
                low += 1;
                continue;
            }
            high -= 1;
            let Some(subscriber) = self.slots[high].take() else { continue };
            if moved(&subscriber.handle, high as u32, low as u32) {
                self.slots[low] = Some(subscriber);
            } else {
                self.slots[high] = Some(subscriber);
                break;
            }
        }
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        self.slots.shrink_to(self.slots.len() + self.slots.len() / 4);
        let free = self.slots.iter().zip(0..).filter(|(slot, _)| slot.is_none());
        self.free = free.map(|(_, slot)| slot).collect();
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Option<Subscriber>>() <= 16);
