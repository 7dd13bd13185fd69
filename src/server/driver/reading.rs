//! One read of a driver: from the socket through the receiver into the queue.

use std::{
    io,
    ops::Range,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::BytesMut;

use super::{Ends, Stage};
use crate::{
    protocol::{
        handshake::Progress as Opening, Budget, Event, Held, Meter, Payload, Receiver, Sink,
    },
    server::{
        backlog::SMALL,
        charge::{held, Charge, RECORD},
        events::{Batch, Kind, LARGE},
        link::Shared,
        liveness,
        stats::Traffic,
        stream::Stream,
    },
};

/// A message of a large read is not copied if it is at least this long.
const STAYS: usize = 256;

/// Budget for what is made of one read at a time; the rest of it is held. A thousand times as many
/// bytes may come out of compressed ones: these take a quarter of a millisecond, in which nobody
/// else is served. So many frames are half a MiB in the queue, however short they are.
const TURN: Budget = Budget { frames: 8 * 1024, inflated: 256 * 1024 };

/// State of a connection's reading, in the room that a driver has for it.
#[derive(Default)]
pub(super) struct Reading {
    /// Large messages come, and more is read at a time.
    is_large: bool,
    /// It may take long: then it is not done under the queue's lock.
    pub(super) inflates: bool,
    /// Our own pings that are not answered yet.
    pub(super) own_pings: u8,
}

impl Reading {
    /// True for the pong that answers a ping of our own, once for each of them: the application is
    /// told of all others.
    fn is_own_pong(&mut self, payload: &[u8]) -> bool {
        let is_own = self.own_pings > 0 && payload == liveness::ping().as_bytes();
        self.own_pings -= u8::from(is_own);
        is_own
    }
}

/// What one read brought.
pub(super) enum Read {
    Some,
    /// Frames, and more of them than are looked at at once.
    More(Rest),
    /// Bytes, and the peer's close among them.
    Close,
    Opening(Opening),
    End,
}

impl From<Option<Option<Opening>>> for Read {
    fn from(read: Option<Option<Opening>>) -> Self {
        match read {
            None => Self::End,
            Some(None) => Self::Some,
            Some(Some(opening)) => Self::Opening(opening),
        }
    }
}

/// What a receiver is given.
pub(super) enum Input<'a> {
    /// Bytes that are the caller's.
    Lent(&'a mut [u8]),
    /// Bytes where they landed: messages may stay there.
    Landed(&'a mut BytesMut),
    /// How many bytes the receiver has got already, in a buffer of its own.
    Own(usize),
}

impl Input<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Lent(bytes) => bytes.len(),
            Self::Landed(bytes) => bytes.len(),
            Self::Own(len) => *len,
        }
    }

    /// How many bytes are left.
    fn give(&mut self, receiver: &mut Receiver, budget: Budget, sink: &mut impl Sink) -> usize {
        match self {
            Self::Lent(bytes) => receiver.receive_within(bytes, budget, sink),
            Self::Landed(bytes) => receiver.receive_within(bytes, budget, sink),
            Self::Own(len) => {
                receiver.received(*len, sink);
                0
            }
        }
    }
}

/// Reads frames once: into their own buffer where a large payload is under way.
pub(super) fn poll_frames(
    stream: &mut Stream,
    receiver: &mut Receiver,
    ends: &Ends,
    reading: &mut Reading,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Read>> {
    let size = ends.handle.0.backlog.read_size;
    // A read takes no more than everybody may hold, where there is little room.
    let is_short = ends.is_short();
    let most = if is_short { SMALL } else { usize::MAX };
    let found = if let Some((buffer, limit)) = receiver.buffer() {
        let limit = limit.min(size.large()).min(most);
        let len = ready!(stream.poll_read_to(cx, &ends.handle.0, buffer, limit))?;
        (len > 0).then(|| feed(ends, receiver, reading, Input::Own(len), is_short))
    } else {
        // Not more past what may wait than a usual read.
        let usual = size.usual();
        let limit =
            if reading.is_large { ends.handle.0.room().clamp(usual, size.large()) } else { usual };
        let feed = |bytes: &mut BytesMut| {
            let mut found = feed(ends, receiver, reading, Input::Landed(bytes), is_short);
            if found.left > 0 {
                let rest = bytes[bytes.len() - found.left..].to_vec();
                found.rest = Some(Rest::new(rest, &ends.handle.0));
            }
            found
        };
        ready!(stream.poll_read(cx, &ends.handle.0, limit.min(most), feed))?
    };
    let Some(found) = found else { return Poll::Ready(Ok(Read::End)) };
    reading.is_large = found.was_large.unwrap_or(reading.is_large) && receiver.counts_frames();
    Poll::Ready(Ok(match found.rest {
        Some(rest) => Read::More(rest),
        None if found.is_close => Read::Close,
        None => Read::Some,
    }))
}

impl Stage {
    /// With bytes that are not looked at yet.
    pub(super) fn held(self, rest: Rest) -> Self {
        match self {
            Self::Frames(receiver) => Self::Held(Box::new((receiver, rest))),
            stage => stage,
        }
    }

    /// Now that they have been.
    pub(super) fn freed(self) -> Self {
        match self {
            Self::Held(held) if !held.0.is_done() => Self::Frames(held.0),
            _ => Self::Over,
        }
    }
}

/// Bytes that were read and not looked at yet.
pub(super) struct Rest {
    bytes: Vec<u8>,
    /// Number of them that have been looked at.
    at: usize,
    /// The memory of it.
    _held: Held,
}

impl Rest {
    pub(super) fn new(bytes: Vec<u8>, shared: &Arc<Shared>) -> Self {
        let held = held(shared, bytes.capacity());
        Self { bytes, at: 0, _held: held }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// Goes on with what is held.
pub(super) fn go_on(
    (receiver, rest): &mut (Receiver, Rest),
    ends: &Ends,
    reading: &mut Reading,
) -> Read {
    let input = Input::Lent(&mut rest.bytes[rest.at..]);
    let found = feed(ends, receiver, reading, input, ends.is_short());
    rest.at = rest.bytes.len() - found.left;
    if found.is_close {
        Read::Close
    } else {
        Read::Some
    }
}

/// Lets a receiver put its events into the queue, counts them, and answers pings. Where room is
/// short, no more is inflated than everybody may hold.
fn feed(
    ends: &Ends,
    receiver: &mut Receiver,
    reading: &mut Reading,
    input: Input<'_>,
    is_short: bool,
) -> Found {
    #[cfg(test)]
    super::tests::panic_if_asked(&input);
    let shared = &ends.handle.0;
    let budget = Budget { inflated: if is_short { SMALL } else { TURN.inflated }, ..TURN };
    // What is counted late may be delivered before it is counted, and nothing that is sent in answer
    // to what came behind a ping may overtake its pong: both are seen to before the queue is let go.
    let announce = |found: &Found, batch: &mut Batch| {
        if found.records > 0 {
            let bytes = found.bytes + RECORD * (1 + found.records);
            batch.charge(Charge::new(shared, bytes, found.messages));
        }
        if found.received.messages > 0 {
            shared.count_received(found.received);
        }
        (!found.pings.is_empty()).then(|| shared.driver_link())
    };
    let fed = if reading.inflates || input.len() >= LARGE {
        shared.backlog.apart.lend(|apart| {
            // Of what stood there, it was a copy that was queued.
            apart.clear();
            let found = Burst::read(apart, ends, receiver, reading, input, budget);
            ends.events.append(|batch| {
                batch.absorb(apart);
                let link = announce(&found, batch);
                (found, link)
            })
        })
    } else {
        ends.events.append(|batch| {
            let found = Burst::read(batch, ends, receiver, reading, input, budget);
            let link = announce(&found, batch);
            (found, link)
        })
    };
    let Some((mut found, link)) = fed else { return Found::default() };
    if let Some(mut link) = link {
        ends.handle.answer_pings(&mut link, std::mem::take(&mut found.pings));
    }
    found
}

/// What one read completes.
pub(super) struct Burst<'a> {
    batch: &'a mut Batch,
    ends: &'a Ends,
    reading: &'a mut Reading,
    found: Found,
    /// Where bytes that may stay begin and end in memory.
    landing: Range<usize>,
    /// End of those messages among them that stay, and how many bytes they have.
    landed: (usize, usize),
}

/// What there is to know of it.
#[derive(Default)]
pub(super) struct Found {
    /// Bytes that its records take in the queue beside themselves.
    bytes: usize,
    records: usize,
    messages: usize,
    pings: Vec<Vec<u8>>,
    /// The text and binary messages among them, and their bytes.
    received: Traffic,
    /// Whether the peer's close was there.
    pub(super) is_close: bool,
    /// Whether the last message was a large one.
    was_large: Option<bool>,
    /// How many bytes are left, and which.
    left: usize,
    rest: Option<Rest>,
}

impl<'a> Burst<'a> {
    fn read(
        batch: &'a mut Batch,
        ends: &'a Ends,
        receiver: &mut Receiver,
        reading: &'a mut Reading,
        mut input: Input<'_>,
        budget: Budget,
    ) -> Found {
        let landing = match &input {
            Input::Landed(bytes) if bytes.len() >= LARGE => {
                let begin = bytes.as_ptr() as usize;
                begin..begin + bytes.len()
            }
            _ => 0..0,
        };
        let (found, landed) = (Found::default(), (0, 0));
        let mut burst = Burst { batch, ends, reading, found, landing, landed };
        let left = input.give(receiver, budget, &mut burst);
        let Burst { batch, mut found, landed: (reach, landed), .. } = burst;
        found.left = left;
        if let (Input::Landed(bytes), 1..) = (input, reach) {
            // Messages that stay are held until they are delivered, with all that stands between:
            // it counts, and has to be worth it.
            if landed >= reach / 2 {
                batch.fill(&bytes.split_to(reach).freeze());
                found.bytes += reach - landed;
            } else {
                batch.copy_landed(found.records, bytes);
            }
        }
        found
    }

    fn count(&mut self, payload: &[u8]) {
        self.found.bytes += payload.len();
        self.found.messages += 1;
        self.found.was_large = Some(payload.len() >= LARGE);
    }

    /// Where a message stands that may stay where it landed.
    fn landed(&self, payload: &Payload<'_>) -> Option<usize> {
        let Payload::Borrowed(bytes) = payload else { return None };
        let begin = bytes.as_ptr() as usize;
        let stays = bytes.len() >= STAYS && self.landing.contains(&begin);
        stays.then(|| begin - self.landing.start)
    }
}

impl Sink for Burst<'_> {
    fn event(&mut self, event: Event<'_>) {
        match &event {
            Event::Ping(payload) => {
                self.found.pings.push(payload.to_vec());
                self.count(payload);
            }
            Event::Text(payload, _) | Event::Binary(payload) => {
                self.count(payload);
                self.found.received += Traffic { messages: 1, bytes: payload.len() as u64 };
            }
            Event::Pong(payload) if self.reading.is_own_pong(payload) => return,
            Event::Pong(payload) => self.count(payload),
            Event::Close(close) => {
                self.found.is_close = true;
                self.found.bytes += close.body.len();
            }
            Event::Error(_) => {}
        }
        self.found.records += 1;
        let connection = self.ends.events.connection();
        let (kind, charset, payload) = match &event {
            Event::Text(payload, charset) => (Kind::Text, *charset, payload),
            Event::Binary(payload) => (Kind::Binary, None, payload),
            _ => return self.batch.push_event(connection, event),
        };
        match self.landed(payload) {
            Some(start) => {
                self.landed.0 = start + payload.len();
                self.landed.1 += payload.len();
                self.batch.push_landed(connection, kind, charset, start, payload.len());
            }
            None => self.batch.push_event(connection, event),
        }
    }

    fn meter(&self) -> Option<Arc<dyn Meter>> {
        Some(Arc::clone(&self.ends.handle.0) as Arc<dyn Meter>)
    }
}
