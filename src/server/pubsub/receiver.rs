//! Messages of a broker, on their way to those who listen here.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
        Arc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};

use super::{
    events::LinkState,
    link::Link,
    setup,
    wire::{self, Arrived, Kind},
};
use crate::server::{
    channels::{Excepted, Placed},
    locks::lock,
    outbound::broadcast::Broadcast,
};

/// Bytes of messages that have come and wait for this process. Past it they are dropped, which is a
/// gap: the socket is read whatever happens, for Redis cuts off who is far behind.
const INBOX: usize = 64 * 1024 * 1024;

/// Number of messages that are taken together, and leave in one write to each connection.
const TOGETHER: usize = 256;

/// Time for which a process is remembered that publishes nothing, once there are many.
const REMEMBERED: Duration = Duration::from_secs(3600);
const MANY: usize = 10_000;

/// Numbers of the last messages of other processes: one that comes again is dropped.
#[derive(Debug, Default)]
pub(super) struct Origins(HashMap<u64, (u64, Instant)>);

impl Origins {
    /// True if the message of a process has not come before.
    fn is_new(&mut self, node: u64, number: u64) -> bool {
        let now = Instant::now();
        if self.0.len() >= MANY && !self.0.contains_key(&node) {
            self.0.retain(|_, (_, at)| now.duration_since(*at) < REMEMBERED);
        }
        let (last, at) = self.0.entry(node).or_insert((0, now));
        let is_new = number > *last;
        *last = number.max(*last);
        *at = now;
        is_new
    }
}

/// Messages that have come and wait for this process.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: AtomicUsize,
    /// True once messages were dropped, until that has been told.
    has_dropped: AtomicBool,
    is_gone: AtomicBool,
}

impl Inbox {
    /// The way in for the connection, which must not wait, and the way out.
    pub(super) fn open(
        self: &Arc<Self>,
    ) -> (impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static, UnboundedReceiver<PushInfo>)
    {
        let (sender, receiver) = unbounded_channel();
        let inbox = Arc::clone(self);
        (move |push| inbox.put(&sender, push), receiver)
    }

    fn put(&self, sender: &UnboundedSender<PushInfo>, push: PushInfo) -> Result<(), ()> {
        let size = size(&push);
        if size > 0 && self.bytes.load(Relaxed) > INBOX {
            self.has_dropped.store(true, SeqCst);
            return Ok(());
        }
        self.bytes.fetch_add(size, Relaxed);
        sender.send(push).map_err(drop)
    }

    /// True once the connection is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(SeqCst)
    }
}

/// Bytes of a message.
fn size(push: &PushInfo) -> usize {
    match (&push.kind, &push.data[..]) {
        (PushKind::Message, [_, Value::BulkString(payload)]) => payload.len() + 64,
        _ => 0,
    }
}

/// The task that brings what comes to those who listen.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) link: Arc<Link>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) pushes: UnboundedReceiver<PushInfo>,
    pub(super) origins: Origins,
}

impl Receiver {
    pub(super) async fn run(mut self) -> Origins {
        let mut together = Vec::with_capacity(TOGETHER);
        while self.pushes.recv_many(&mut together, TOGETHER).await > 0 {
            for push in together.drain(..) {
                self.inbox.bytes.fetch_sub(size(&push), Relaxed);
                self.take(push);
            }
            if self.inbox.has_dropped.swap(false, SeqCst) {
                self.miss_all();
            }
            let channels = self.link.channels;
            channels.send_arrived();
            if channels.has_mail() {
                self.link.events.wake();
            }
        }
        self.inbox.is_gone.store(true, SeqCst);
        self.link.wakeup.notify_one();
        self.origins
    }

    fn take(&mut self, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => {
                self.inbox.is_gone.store(true, SeqCst);
                self.link.wakeup.notify_one();
            }
            PushKind::Message => {
                let mut data = push.data.into_iter().filter_map(setup::bytes);
                let (Some(channel), Some(payload)) = (data.next(), data.next()) else { return };
                let link = Arc::clone(&self.link);
                let Some(name) = link.url.name(&channel) else { return };
                if self.arrive(name, payload).is_none() {
                    let text = "a message that is none was published to the channel";
                    link.refused(&format!("{text} {:?}", String::from_utf8_lossy(name)));
                }
            }
            _ => {}
        }
    }

    /// Brings a message to those who listen; `None` where it is none.
    fn arrive(&mut self, name: &[u8], payload: Bytes) -> Option<()> {
        let Arrived { kind, origin, place, payload } = wire::read(payload)?;
        let is_ours = origin.is_some_and(|(node, _)| node == self.link.node);
        if kind == Kind::Gap {
            if !is_ours {
                self.miss(name);
            }
            return Some(());
        }
        if let (None, Some((node, number))) = (place, origin) {
            // Those who are here have it already.
            if is_ours || !self.origins.is_new(node, number) {
                return Some(());
            }
        }
        let message = message(kind, payload)?;
        let channels = self.link.channels;
        match place {
            None if channels.arrive(name, &message) => {}
            None => {
                let name = String::from_utf8_lossy(name);
                let text = format!("a message came without a position to the channel {name:?}, of which history is kept here: the rules of all processes must be the same");
                self.link.refused(&text);
            }
            Some(place) => {
                let except = origin.filter(|_| is_ours).map(|(_, number)| number);
                let except = except.and_then(|number| self.link.take_excepted(number));
                let except = except.unwrap_or(Excepted::Nobody);
                let placed = channels.arrive_at(name, place.position, message, &except);
                if placed == Placed::Behind {
                    self.link.touch(name);
                }
            }
        }
        Some(())
    }

    /// Another process could not publish to a channel; without a name, to any.
    fn miss(&self, name: &[u8]) {
        if name.is_empty() {
            self.link.miss_all();
        } else if self.link.channels.wanted(name).is_some() {
            self.link.events.gap(name);
        }
    }

    /// Messages were dropped here.
    fn miss_all(&self) {
        self.link.refused("messages come faster than this process can take them");
        self.link.miss_all();
    }
}

/// A message; `None` where it is a text that is not UTF-8.
pub(super) fn message(kind: Kind, payload: Bytes) -> Option<Arc<Broadcast>> {
    let is_binary = kind == Kind::Binary;
    if !is_binary && simdutf8::basic::from_utf8(&payload).is_err() {
        return None;
    }
    Some(Arc::new(Broadcast::shared(is_binary, payload)))
}

impl Link {
    /// Messages of any channel may be missing: they are loaded, where history is kept, and it is
    /// told, where none is.
    pub(super) fn miss_all(self: &Arc<Self>) {
        for name in self.channels.all_wanted().into_iter().filter(|name| self.has(name)) {
            match self.channels.wanted(&name) {
                Some(wanted) if wanted.kept.is_some() => {
                    self.channels.desync(&name);
                    self.touch(&name);
                }
                Some(_) => self.events.gap(&name),
                None => {}
            }
        }
    }

    pub(super) fn refused(&self, text: &str) {
        self.events.state(LinkState::Refused, Some(format!("{}: {text}", self.url)));
    }

    /// Remembers whom a message of this process does not go to, until it comes back.
    pub(super) fn except(&self, number: u64, except: &Excepted) {
        if !matches!(except, Excepted::Nobody) {
            lock(&self.excepted).put(number, except.clone());
        }
    }

    fn take_excepted(&self, number: u64) -> Option<Excepted> {
        lock(&self.excepted).take(number)
    }
}
