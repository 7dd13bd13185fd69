//! Channels beside a model of them: whatever is subscribed, published, left and recovered, and in
//! whatever order, everybody gets what the model says, once and in order.

use std::{mem, net::TcpStream, sync::Arc, time::Duration};

use em_websocket::server::{
    channels::{Channels, Except, History, Mailbox, MailboxKind, Position, Taken},
    Broadcast, Flush, Handle, Sent,
};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

use crate::{
    client::Client,
    reactor::Reactor,
    support::{Kind, DRAFTS},
};

/// Connections, of which the first has no binary messages, and mailboxes after them.
const CONNECTIONS: usize = 3;
const SUBSCRIBERS: usize = 5;

/// Names of channels: that of the first keeps no history.
const NAMES: [&[u8]; 3] = [b"none", b"kept:1", b"kept:2"];
const SIZE: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Subscribe { who: usize, channel: usize, since: Option<Index> },
    Unsubscribe { who: usize, channel: usize },
    UnsubscribeAll { who: usize },
    Publish { channel: usize, except: Option<usize>, is_binary: bool, later: bool },
    Send { who: usize },
    EndTurn,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..SUBSCRIBERS;
    let channel = 0..NAMES.len();
    prop_oneof![
        3 => (who.clone(), channel.clone(), any::<Option<Index>>())
            .prop_map(|(who, channel, since)| Op::Subscribe { who, channel, since }),
        1 => (who.clone(), channel.clone())
            .prop_map(|(who, channel)| Op::Unsubscribe { who, channel }),
        1 => who.clone().prop_map(|who| Op::UnsubscribeAll { who }),
        8 => (channel, proptest::option::weighted(0.3, who.clone()), any::<(bool, bool)>())
            .prop_map(|(channel, except, (is_binary, later))| {
                Op::Publish { channel, except, is_binary, later }
            }),
        2 => (0..CONNECTIONS).prop_map(|who| Op::Send { who }),
        1 => Just(Op::EndTurn),
    ]
}

/// Expectation: a log without an end of each channel, and who is in it.
#[derive(Default)]
struct Model {
    logs: [Vec<(String, bool)>; NAMES.len()],
    members: [[bool; SUBSCRIBERS]; NAMES.len()],
    /// By subscriber and channel; what is sent by itself is in all of a subscriber's.
    got: [[Vec<String>; NAMES.len()]; SUBSCRIBERS],
}

fn takes(who: usize, is_binary: bool) -> bool {
    who > 0 || !is_binary
}

impl Model {
    /// True if it is recovered, where there was no subscription.
    fn subscribe(&mut self, who: usize, channel: usize, since: Option<usize>) -> Option<bool> {
        self.members[channel][who] = true;
        let log = &self.logs[channel];
        let is_kept = channel > 0 && since? + SIZE >= log.len();
        let missed = log.iter().skip(since?).filter(|(_, is_binary)| takes(who, *is_binary));
        if is_kept {
            self.got[who][channel].extend(missed.map(|(text, _)| text.clone()));
        }
        Some(is_kept)
    }

    /// To how many it goes.
    fn publish(
        &mut self,
        channel: usize,
        text: &str,
        except: Option<usize>,
        is_binary: bool,
    ) -> usize {
        self.logs[channel].push((text.to_owned(), is_binary));
        let members = (0..SUBSCRIBERS).filter(|who| self.members[channel][*who]);
        let receivers: Vec<_> =
            members.filter(|who| Some(*who) != except && takes(*who, is_binary)).collect();
        for who in &receivers {
            self.got[*who][channel].push(text.to_owned());
        }
        receivers.len()
    }

    fn send(&mut self, who: usize, text: &str) {
        self.got[who].iter_mut().for_each(|got| got.push(text.to_owned()));
    }
}

/// The channels, and who subscribes.
struct Reality<'a> {
    channels: Channels,
    connections: &'a mut [(Client<TcpStream>, Handle)],
    mailboxes: Vec<Arc<Mailbox>>,
    positions: [Vec<Position>; NAMES.len()],
}

impl Reality<'_> {
    fn subscribe(&self, who: usize, channel: usize, since: Option<Position>) -> Option<bool> {
        let name = NAMES[channel];
        let subscribed = match self.connections.get(who) {
            Some((_, handle)) => self.channels.subscribe(handle, name, since, 9, Flush::Now),
            None => {
                let mailbox = &self.mailboxes[who - CONNECTIONS];
                self.channels.subscribe_mailbox(mailbox, name, since, 9)
            }
        };
        subscribed.unwrap().unwrap().recovered
    }

    fn publish(
        &mut self,
        channel: usize,
        text: &str,
        except: Option<usize>,
        op: (bool, bool),
    ) -> usize {
        let message = match op.0 {
            true => Broadcast::binary(text.as_bytes()),
            false => Broadcast::text(text.as_bytes()),
        };
        let except = match except.map(|who| (self.connections.get(who), who)) {
            None => Except::Nobody,
            Some((Some((_, handle)), _)) => Except::Connection(handle),
            Some((None, who)) => Except::Mailbox(&self.mailboxes[who - CONNECTIONS]),
        };
        let flush = if op.1 { Flush::Later } else { Flush::Now };
        let published = self.channels.publish(NAMES[channel], message, except, flush).unwrap();
        self.positions[channel].extend(published.position);
        published.receivers
    }

    fn unsubscribe(&self, who: usize, channel: usize) -> bool {
        match self.connections.get(who) {
            Some((_, handle)) => self.channels.unsubscribe(handle, NAMES[channel]),
            None => self
                .channels
                .unsubscribe_mailbox(&self.mailboxes[who - CONNECTIONS], NAMES[channel]),
        }
        .unwrap()
    }

    fn unsubscribe_all(&self, who: usize) -> usize {
        match self.connections.get(who) {
            Some((_, handle)) => self.channels.unsubscribe_all(handle),
            None => self.channels.unsubscribe_all_of(&self.mailboxes[who - CONNECTIONS]),
        }
    }

    fn send(&self, who: usize, text: &str) {
        let handle = &self.connections[who].1;
        if let Sent::Unflushed(_) = handle.send_text(text.as_bytes(), Flush::Later).unwrap() {
            handle.flush();
        }
    }

    /// All that a subscriber has got.
    fn got(&mut self, who: usize) -> Vec<String> {
        let mut got = Vec::new();
        let Some((client, handle)) = self.connections.get_mut(who) else {
            let mailbox = &self.mailboxes[who - CONNECTIONS];
            while let Some(Taken::Message(message)) = self.channels.take_mail(mailbox) {
                got.push(String::from_utf8(message.payload().to_vec()).unwrap());
            }
            return got;
        };
        handle.send_text(b"end", Flush::Now).unwrap();
        loop {
            let (kind, text) = client.next();
            let text = String::from_utf8(text).unwrap();
            if text == "end" {
                return got;
            }
            assert_eq!(kind == Kind::Binary, text.contains('b'), "{text}");
            got.push(text);
        }
    }
}

/// The channels beside the model.
struct Both<'a> {
    real: Reality<'a>,
    model: Model,
}

impl<'a> Both<'a> {
    fn new(connections: &'a mut [(Client<TcpStream>, Handle)]) -> Self {
        let channels = Channels::default();
        let history = History { size: SIZE, ttl: Duration::MAX, envelope: None };
        channels.keep_history(b"kept:*", history);
        let open = |_| channels.open_mailbox(MailboxKind::Application);
        let mailboxes = (CONNECTIONS..SUBSCRIBERS).map(open).collect();
        let positions = Default::default();
        let real = Reality { channels, connections, mailboxes, positions };
        Self { real, model: Model::default() }
    }

    fn subscribe(&mut self, who: usize, channel: usize, since: Option<Index>) {
        if self.model.members[channel][who] {
            assert_eq!(self.real.subscribe(who, channel, None), None);
            return;
        }
        let positions = &self.real.positions[channel];
        let since = since.filter(|_| !positions.is_empty());
        let since = since.map(|index| index.index(positions.len()));
        let recovered = self.real.subscribe(who, channel, since.map(|index| positions[index]));
        assert_eq!(recovered, self.model.subscribe(who, channel, since.map(|index| index + 1)));
    }

    fn apply(&mut self, number: usize, op: Op) {
        let Self { real, model } = self;
        match op {
            Op::Subscribe { who, channel, since } => self.subscribe(who, channel, since),
            Op::Unsubscribe { who, channel } => {
                let was_there = mem::take(&mut model.members[channel][who]);
                assert_eq!(real.unsubscribe(who, channel), was_there);
            }
            Op::UnsubscribeAll { who } => {
                let left = model.members.iter_mut().map(|them| mem::take(&mut them[who]));
                assert_eq!(real.unsubscribe_all(who), left.filter(|was_there| *was_there).count());
            }
            Op::Publish { channel, except, is_binary, later } => {
                let kind = if is_binary { "b" } else { "" };
                let text = format!("{channel}:{number}{kind}");
                let receivers = real.publish(channel, &text, except, (is_binary, later));
                assert_eq!(receivers, model.publish(channel, &text, except, is_binary));
            }
            Op::Send { who } => {
                let text = format!("sent {number}");
                real.send(who, &text);
                model.send(who, &text);
            }
            Op::EndTurn => real.channels.end_turn(),
        }
    }

    /// Everybody has got what the model says, and so much is kept. Nothing is left behind.
    fn compare(mut self) {
        let Self { real, model } = &mut self;
        real.channels.end_turn();
        for who in 0..SUBSCRIBERS {
            let got = real.got(who);
            for (channel, expected) in model.got[who].iter().enumerate() {
                let own = format!("{channel}:");
                let is_own = |it: &&String| it.starts_with(&own) || it.starts_with("sent");
                let got: Vec<_> = got.iter().filter(is_own).collect();
                assert_eq!(got, expected.iter().collect::<Vec<_>>(), "{who} in {channel}");
            }
        }
        for (name, log) in NAMES.iter().zip(&model.logs).skip(1) {
            let kept = real.channels.history(name, None, usize::MAX).unwrap().unwrap();
            let last = &log[log.len().saturating_sub(SIZE)..];
            let expected = last.iter().map(|(text, _)| text.as_bytes());
            assert!(kept.iter().map(|(_, message)| &message.payload()[..]).eq(expected));
        }
        for who in 0..SUBSCRIBERS {
            real.unsubscribe_all(who);
        }
        assert_eq!(real.channels.stats().subscriptions, 0);
    }
}

fn open(reactor: &Reactor) -> Vec<(Client<TcpStream>, Handle)> {
    let without_binary = DRAFTS.iter().find(|draft| draft.sentinel).unwrap();
    let drafts = [*without_binary, DRAFTS[DRAFTS.len() - 1], DRAFTS[DRAFTS.len() / 2]];
    let open = |draft| {
        let mut client = Client::on(crate::client::connect(reactor.addr()), draft);
        client.handshake();
        (client, reactor.wait_for_open())
    };
    drafts.map(open).into()
}

#[test]
fn everybody_gets_what_the_model_says() {
    let reactor = Reactor::echo();
    let config = Config { failure_persistence: None, ..Config::with_cases(300) };
    let tried = TestRunner::new(config).run(&proptest::collection::vec(op(), 1..60), |ops| {
        let mut connections = open(&reactor);
        let mut both = Both::new(&mut connections);
        for (number, op) in ops.into_iter().enumerate() {
            both.apply(number, op);
        }
        both.compare();
        Ok(())
    });
    tried.unwrap();
}
