//! A connection to a broker, while it lasts.

use std::{
    collections::HashSet,
    iter,
    sync::{atomic::Ordering::Relaxed, Arc},
    time::{Duration, Instant},
};

use redis::{cmd, Cmd, Pipeline, PushInfo, RedisError, Value};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};

use super::{
    backlog::{Item, Lost, Waiting},
    error::LinkError,
    link::Link,
    loading::{Loading, PAGE},
    receiver::{Origins, Receiver},
    setup::{answered, number, Broker},
    wire::{self, Kind},
};
use crate::server::{
    channels::{new_epoch, Fate, HistorySize, Loaded, Position},
    locks::lock,
};

/// Number of requests that are sent together, and bytes of messages.
const BATCH: (usize, usize) = (512, 1024 * 1024);

/// Number of histories that are asked for together: their answers are held at once.
const LOADS: usize = 32;

/// Time after which a broker that has nothing to do is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(5);

/// Longest time that messages are kept, in milliseconds, where there is one.
const LONGEST_TTL: u64 = 10 * 365 * 24 * 3600 * 1000;

/// Request to a broker, which has one answer.
#[derive(Debug)]
enum Request {
    Subscribe(Box<[u8]>),
    Unsubscribe(Box<[u8]>),
    Load(Box<[u8]>),
    Publish(Waiting),
    /// Word to others that messages of a channel are missing; without a name, of any.
    Gap(Box<[u8]>),
}

/// Requests that are sent together.
#[derive(Debug, Default)]
struct Requests {
    all: Vec<Request>,
    /// Bytes of the messages.
    bytes: usize,
    loads: usize,
}

impl Requests {
    fn push(&mut self, request: Request) {
        match &request {
            Request::Publish(message) => self.bytes += message.payload.len(),
            Request::Load(_) => self.loads += 1,
            _ => {}
        }
        self.all.push(request);
    }

    /// True if the next ones are for another time.
    fn are_many(&self) -> bool {
        self.all.len() >= BATCH.0 || self.bytes >= BATCH.1 || self.loads >= LOADS
    }
}

impl From<Request> for Requests {
    fn from(request: Request) -> Self {
        let mut requests = Self::default();
        requests.push(request);
        requests
    }
}

/// One connection to a broker, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Session {
    link: Arc<Link>,
    broker: Broker,
    receiver: JoinHandle<Origins>,
    /// Channels that it is subscribed to.
    subscribed: HashSet<Box<[u8]>>,
    loading: Loading,
}

impl Session {
    pub(super) fn new(
        link: &Arc<Link>,
        broker: Broker,
        pushes: UnboundedReceiver<PushInfo>,
        origins: Origins,
    ) -> Self {
        let inbox = Arc::clone(&broker.inbox);
        let receiver = Receiver { link: Arc::clone(link), inbox, pushes, origins };
        Self {
            link: Arc::clone(link),
            broker,
            receiver: tokio::spawn(receiver.run()),
            subscribed: HashSet::new(),
            loading: Loading::default(),
        }
    }

    /// Subscribes to what somebody listens to, and loads what may be missing.
    pub(super) async fn begin(&mut self, may_have_missed: bool) -> Result<(), LinkError> {
        lock(&self.link.backlog).is_connected = true;
        // Words that are for all channels.
        self.send(Requests::from(Request::Subscribe(Box::default()))).await?;
        let names = self.link.channels.all_wanted();
        let names: Vec<_> = names.into_iter().filter(|name| self.link.has(name)).collect();
        let mut requests = Requests::default();
        for name in &names {
            self.look_at(name, &mut requests);
            if requests.are_many() {
                self.send(std::mem::take(&mut requests)).await?;
            }
        }
        self.send(requests).await?;
        if may_have_missed {
            for name in &names {
                if self.link.channels.wanted(name).is_some_and(|wanted| wanted.kept.is_none()) {
                    self.link.events.gap(name);
                }
            }
        }
        Ok(())
    }

    /// Does what there is to do, until the connection or the engine ends.
    pub(super) async fn serve(&mut self) -> Result<(), LinkError> {
        loop {
            if self.broker.inbox.is_gone() {
                return Err(LinkError::Closed);
            }
            if self.link.is_closed() {
                return Ok(());
            }
            let requests = self.next_requests();
            if !requests.all.is_empty() {
                self.send(requests).await?;
                continue;
            }
            let pause = self.loading.pause().unwrap_or(SILENCE);
            if tokio::time::timeout(pause, self.link.wakeup.notified()).await.is_err() {
                self.ping().await?;
            }
        }
    }

    async fn ping(&mut self) -> Result<(), LinkError> {
        let asked = Instant::now();
        let _: Value = answered(cmd("PING").query_async(&mut self.broker.connection)).await?;
        self.answered_after(asked);
        Ok(())
    }

    fn answered_after(&self, asked: Instant) {
        let micros = asked.elapsed().as_micros() as u64;
        self.link.counters.lag_micros.store(micros, Relaxed);
    }

    fn next_requests(&mut self) -> Requests {
        let mut requests = Requests::default();
        self.loading.due(LOADS).into_iter().for_each(|name| requests.push(Request::Load(name)));
        while !requests.are_many() {
            let Some(item) = lock(&self.link.backlog).take() else { break };
            match item {
                Item::Touch(name) => self.look_at(&name, &mut requests),
                Item::Message(message) => requests.push(Request::Publish(message)),
            }
        }
        match lock(&self.link.backlog).take_lost() {
            Lost::None => {}
            Lost::In(names) => names.into_iter().for_each(|it| requests.push(Request::Gap(it))),
            Lost::InAll => requests.push(Request::Gap(Box::default())),
        }
        requests
    }

    /// Requests by which what is subscribed becomes what is wanted. A history is asked for right
    /// behind the subscription, and before whatever is published next.
    fn look_at(&mut self, name: &[u8], requests: &mut Requests) {
        match self.link.channels.wanted(name) {
            None => {
                if self.subscribed.remove(name) {
                    requests.push(Request::Unsubscribe(name.into()));
                    self.loading.forget(name);
                }
            }
            Some(wanted) => {
                if self.subscribed.insert(name.into()) {
                    requests.push(Request::Subscribe(name.into()));
                }
                if wanted.kept.is_some() && !wanted.is_synced && self.loading.begin(name) {
                    requests.push(Request::Load(name.into()));
                }
            }
        }
    }

    /// Sends requests, and does what follows from their answers.
    async fn send(&mut self, requests: Requests) -> Result<(), LinkError> {
        let (pipeline, requests) = self.prepared(requests);
        if requests.is_empty() {
            return Ok(());
        }
        let asked = Instant::now();
        let count = requests.len();
        let answer = self.broker.connection.send_packed_commands(&pipeline, 0, count);
        let answers = match answered(answer).await {
            Ok(answers) if answers.len() == count => answers,
            Ok(_) => return Err(self.give_back(requests, LinkError::Answer("too short"))),
            Err(error) => return Err(self.give_back(requests, error)),
        };
        self.answered_after(asked);
        let mut both = requests.into_iter().zip(answers);
        while let Some((request, answer)) = both.next() {
            let error = match answer {
                Value::ServerError(error) if is_fatal(error.code()) => {
                    LinkError::from(RedisError::from(error))
                }
                Value::ServerError(error) => {
                    self.refuse(request, &RedisError::from(error));
                    continue;
                }
                answer => match self.take(&request, answer) {
                    Some(()) => continue,
                    None => LinkError::Answer("of another shape"),
                },
            };
            let rest = iter::once(request).chain(both.map(|(request, _)| request));
            let rest = rest.collect();
            return Err(self.give_back(rest, error));
        }
        Ok(())
    }

    /// The commands of requests, and those requests that there is still need of.
    fn prepared(&mut self, requests: Requests) -> (Pipeline, Vec<Request>) {
        let mut pipeline = Pipeline::new();
        let requests: Vec<_> = requests
            .all
            .into_iter()
            .filter(|request| match self.command(request) {
                Some(command) => {
                    pipeline.add_command(command);
                    true
                }
                None => {
                    if let Request::Load(name) = request {
                        self.loading.forget(name);
                    }
                    false
                }
            })
            .collect();
        (pipeline, requests)
    }

    /// The command of a request; `None` where there is no need of it any more.
    fn command(&self, request: &Request) -> Option<Cmd> {
        let Link { url, node, .. } = &*self.link;
        let mut command;
        match request {
            Request::Subscribe(name) => {
                command = cmd("SUBSCRIBE");
                command.arg(url.channel(name));
            }
            Request::Unsubscribe(name) => {
                command = cmd("UNSUBSCRIBE");
                command.arg(url.channel(name));
            }
            Request::Load(name) => return self.load_command(name),
            Request::Publish(message) => {
                let kind = Kind::of(message.is_binary);
                let Some(kept) = message.kept else {
                    command = cmd("PUBLISH");
                    let text = wire::message(kind, *node, message.number, &message.payload);
                    command.arg(url.channel(&message.name)).arg(text);
                    return Some(command);
                };
                self.link.except(message.number, &message.except);
                command = self.script(&self.broker.publish, 3, &message.name, kept);
                command
                    .arg(url.channel(&message.name))
                    .arg(wire::head(kind, *node, message.number))
                    .arg(&message.payload[..])
                    .arg(message.number)
                    .arg(kept.size);
            }
            Request::Gap(name) => {
                command = cmd("PUBLISH");
                command.arg(url.channel(name)).arg(wire::message(Kind::Gap, *node, 0, b""));
            }
        }
        Some(command)
    }

    fn load_command(&self, name: &[u8]) -> Option<Cmd> {
        let wanted = self.link.channels.wanted(name)?;
        let kept = wanted.kept?;
        let mut command = self.script(&self.broker.load, 2, name, kept);
        let from = self.loading.from(name).or(wanted.load_from);
        let (epoch, offset) = match from {
            Some(Position { epoch, offset }) => (format!("{epoch:x}"), offset),
            None => (String::new(), 0),
        };
        command.arg(kept.size).arg(epoch).arg(offset).arg(PAGE);
        Some(command)
    }

    /// A script with the arguments that both have.
    fn script(&self, name: &str, keys: usize, channel: &[u8], kept: HistorySize) -> Cmd {
        let url = &self.link.url;
        let mut command = cmd("EVALSHA");
        command.arg(name).arg(keys).arg(url.key("stream", channel)).arg(url.key("end", channel));
        if keys == 3 {
            command.arg(url.key("node", format!("{:016x}", self.link.node).as_bytes()));
        }
        let ttl = match kept.ttl {
            Duration::MAX => 0,
            ttl => u64::try_from(ttl.as_millis()).unwrap_or(0).clamp(1, LONGEST_TTL),
        };
        command.arg(&self.broker.generation).arg(format!("{:x}", new_epoch())).arg(ttl);
        command
    }

    /// Does what follows from an answer; `None` where it is none to that request.
    fn take(&mut self, request: &Request, answer: Value) -> Option<()> {
        match request {
            Request::Subscribe(_) | Request::Unsubscribe(_) | Request::Gap(_) => {}
            Request::Load(name) => {
                if let Some(loaded) = self.loading.take(name, answer)? {
                    self.loaded(name, loaded);
                }
            }
            Request::Publish(message) => {
                let position = match (message.kept, answer) {
                    (None, Value::Int(_)) => None,
                    (Some(_), Value::Array(parts)) => {
                        let epoch = number(parts.first()?, 16)?;
                        let offset = number(parts.get(1)?, 10)?;
                        // A message that has come before is numbered already, and not known how.
                        (offset > 0).then_some(Position { epoch, offset })
                    }
                    _ => return None,
                };
                lock(&self.link.backlog).settle(message, Fate::Done(position));
            }
        }
        Some(())
    }

    fn loaded(&mut self, name: &[u8], loaded: Loaded) {
        let Link { channels, events, .. } = &*self.link;
        let synced = channels.load(name, loaded);
        channels.send_arrived();
        if synced.has_gap {
            events.gap(name);
        }
        if synced.is_behind {
            self.loading.ask(name);
        } else if synced.is_awaited {
            events.loaded(name);
        }
        if channels.has_mail() {
            events.wake();
        }
    }

    /// The broker has refused something.
    fn refuse(&mut self, request: Request, error: &RedisError) {
        let name = match &request {
            Request::Subscribe(name)
            | Request::Unsubscribe(name)
            | Request::Load(name)
            | Request::Gap(name) => name.clone(),
            Request::Publish(message) => message.name.clone(),
        };
        let what = match request {
            Request::Subscribe(_) => "to subscribe to",
            Request::Unsubscribe(_) => "to unsubscribe from",
            Request::Load(_) => {
                self.loading.ask_later(&name);
                "to load"
            }
            Request::Publish(message) => {
                self.link.counters.lost.fetch_add(1, Relaxed);
                lock(&self.link.backlog).settle(&message, Fate::Lost);
                "a message of"
            }
            Request::Gap(_) => "word of a gap in",
        };
        let name = String::from_utf8_lossy(&name);
        self.link.refused(&format!("it refuses {what} {name:?}: {error}"));
    }

    /// Messages that are not known to have arrived are published again.
    fn give_back(&mut self, requests: Vec<Request>, error: LinkError) -> LinkError {
        let mut backlog = lock(&self.link.backlog);
        let mut messages = Vec::new();
        for request in requests {
            match request {
                Request::Publish(message) => messages.push(message),
                Request::Gap(name) => backlog.lose(&name),
                _ => {}
            }
        }
        backlog.put_back(messages);
        error
    }

    /// Ends the connection: whatever has come is brought to those who listen.
    pub(super) async fn end(self) -> Origins {
        let Self { link, broker, receiver, subscribed, .. } = self;
        lock(&link.backlog).disconnect();
        drop(broker);
        let origins = receiver.await.unwrap_or_default();
        for name in &subscribed {
            link.channels.desync(name);
        }
        origins
    }
}

/// True for an error that says of the broker, not of the request, that it cannot be used now.
fn is_fatal(code: &str) -> bool {
    const CODES: [&str; 9] = [
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MOVED",
        "NOAUTH",
        "NOSCRIPT",
        "READONLY",
        "TRYAGAIN",
    ];
    CODES.contains(&code)
}
