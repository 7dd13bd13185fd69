//! Members of the hub, what they are subscribed to, and what waits for each of them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use bytes::Bytes;
use rustix::net::{shutdown, Shutdown};
use tokio::{net::UnixStream, sync::Notify};

use super::store::Store;
use crate::server::{
    locks::{Guarded, LockRank},
    slab::Slab,
};

/// Bytes that may wait for a member before there is another reply or push for it.
const MAX_WAITING: usize = 32 << 20;
/// Bytes that are written before a member is looked at again.
const TURN: usize = 256 << 10;

/// Bytes that wait for a member while publishers go on.
const SLACK: usize = 4 << 20;
/// Milliseconds after which a member that has taken nothing is not waited for.
const STALLED: u64 = 200;

/// A process that is connected.
#[derive(Debug)]
struct Member {
    stream: Arc<UnixStream>,
    subscriptions: HashSet<Bytes>,
    queue: VecDeque<Bytes>,
    /// Bytes of the queue, and those that are being written.
    waiting: usize,
    /// Time at which it last took something, in milliseconds since the hub began.
    took: u64,
    /// Wakes the task that writes.
    wake: Arc<Notify>,
    /// True while that task sleeps.
    is_idle: bool,
}

/// All that the hub knows. What happens here happens one after the other.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) store: Store,
    members: Slab<Member>,
    /// Numbers of all members.
    present: Vec<u64>,
    /// Members that are subscribed to a channel.
    channels: HashMap<Bytes, Vec<u64>>,
    /// Members that do not read.
    stalled: Vec<u64>,
    /// Number of messages that have been published.
    pub(super) published: u64,
    is_stopped: bool,
}

impl Guarded for Broker {
    const RANK: LockRank = LockRank::Hub;
}

impl Broker {
    pub(super) fn new(store: Store) -> Self {
        Self { store, ..Self::default() }
    }

    /// Takes a member in, unless the hub is at its end.
    pub(super) fn join(&mut self, stream: Arc<UnixStream>, wake: Arc<Notify>) -> Option<u64> {
        if self.is_stopped {
            return None;
        }
        let who = self.members.insert(Member {
            stream,
            subscriptions: HashSet::new(),
            queue: VecDeque::new(),
            waiting: 0,
            took: 0,
            wake,
            is_idle: true,
        });
        self.present.push(who);
        Some(who)
    }

    /// Lets go of a member.
    pub(super) fn leave(&mut self, who: u64) {
        let Some(member) = self.members.remove(who) else { return };
        self.present.retain(|present| *present != who);
        for channel in &member.subscriptions {
            self.unlist(channel, who);
        }
        // Both of its tasks end by this, whichever of them is waiting for the socket.
        let _ = shutdown(&*member.stream, Shutdown::Both);
        member.wake.notify_one();
    }

    pub(super) fn has(&self, who: u64) -> bool {
        self.members.get(who).is_some()
    }

    /// Subscribes a member; the number of its subscriptions.
    pub(super) fn subscribe(&mut self, who: u64, channel: &[u8]) -> usize {
        let Some(member) = self.members.get_mut(who) else { return 0 };
        if !member.subscriptions.contains(channel) {
            // A name is kept once, however many members are subscribed.
            let name = match self.channels.get_key_value(channel) {
                Some((name, _)) => name.clone(),
                None => Bytes::copy_from_slice(channel),
            };
            member.subscriptions.insert(name.clone());
            self.channels.entry(name).or_default().push(who);
        }
        member.subscriptions.len()
    }

    /// Ends a subscription; the number of those that are left.
    pub(super) fn unsubscribe(&mut self, who: u64, channel: &[u8]) -> usize {
        let Some(member) = self.members.get_mut(who) else { return 0 };
        let was_subscribed = member.subscriptions.remove(channel);
        let left = member.subscriptions.len();
        if was_subscribed {
            self.unlist(channel, who);
        }
        left
    }

    /// Channels that a member is subscribed to.
    pub(super) fn subscriptions(&self, who: u64) -> Vec<Bytes> {
        self.members.get(who).into_iter().flat_map(|it| it.subscriptions.iter().cloned()).collect()
    }

    /// Sends a push to the members that are subscribed to a channel; their number.
    pub(super) fn publish(&mut self, channel: &[u8], push: &Bytes) -> usize {
        self.published += 1;
        let Some(subscribers) = self.channels.get(channel) else { return 0 };
        for who in subscribers {
            if let Some(member) = self.members.get_mut(*who) {
                if !member.send(push.clone()) {
                    self.stalled.push(*who);
                }
            }
        }
        let reached = subscribers.len();
        self.cut();
        reached
    }

    /// Sends a member the parts of a reply.
    pub(super) fn send(&mut self, who: u64, parts: impl IntoIterator<Item = Bytes>) {
        let Some(member) = self.members.get_mut(who) else { return };
        // A reply goes out whole or not at all.
        if member.waiting > MAX_WAITING {
            return self.leave(who);
        }
        parts.into_iter().for_each(|part| member.push(part));
    }

    /// True while much waits for a member that reads: publishers that go on would have it cut.
    pub(super) fn is_crowded(&self, elapsed: u64) -> bool {
        let members = self.present.iter().filter_map(|who| self.members.get(*who));
        members.into_iter().any(|it| it.waiting > SLACK && elapsed < it.took + STALLED)
    }

    /// Next bytes to be written to a member, after so many that have been; true where there is room
    /// for more again. `None` once it is gone.
    pub(super) fn turn(
        &mut self,
        who: u64,
        written: usize,
        elapsed: u64,
        next: &mut Vec<Bytes>,
    ) -> Option<bool> {
        let member = self.members.get_mut(who)?;
        let was_crowded = member.waiting > SLACK;
        member.waiting -= written;
        if written > 0 {
            member.took = elapsed;
        }
        let mut length = 0;
        while length < TURN {
            let Some(part) = member.queue.pop_front() else { break };
            length += part.len();
            next.push(part);
        }
        if next.is_empty() {
            member.is_idle = true;
            // What a burst has needed is not kept.
            member.queue.shrink_to(TURN / 64);
        }
        Some(was_crowded && member.waiting <= SLACK)
    }

    /// Ends the hub: nobody is a member from now on.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.present.clone().into_iter().for_each(|who| self.leave(who));
    }

    /// Descriptors of the members' sockets.
    pub(super) fn fds(&self) -> Vec<RawFd> {
        let members = self.present.iter().filter_map(|who| self.members.get(*who));
        members.map(|member| member.stream.as_raw_fd()).collect()
    }

    /// Disconnects those that do not read.
    fn cut(&mut self) {
        while let Some(who) = self.stalled.pop() {
            self.leave(who);
        }
    }

    fn unlist(&mut self, channel: &[u8], who: u64) {
        if let Some(subscribers) = self.channels.get_mut(channel) {
            subscribers.retain(|subscriber| *subscriber != who);
            if subscribers.is_empty() {
                self.channels.remove(channel);
            }
        }
    }
}

impl Member {
    /// Queues bytes; false where too many wait already.
    fn send(&mut self, bytes: Bytes) -> bool {
        let has_room = self.waiting <= MAX_WAITING;
        if has_room {
            self.push(bytes);
        }
        has_room
    }

    fn push(&mut self, bytes: Bytes) {
        self.waiting += bytes.len();
        self.queue.push_back(bytes);
        if self.is_idle {
            self.is_idle = false;
            self.wake.notify_one();
        }
    }
}
