//! One read of a driver: from the socket through the receiver into the queue.

use std::{
    io, mem,
    ops::Range,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::BytesMut;

use super::{timing::MessageRate, Ends, Stage};
use crate::{
    protocol::{handshake::Progress, Budget, Event, Held, Meter, Payload, Receiver, Sink},
    server::{
        batch::{Batch, LARGE},
        charge::{Charge, RECORD},
        connection::{held, Shared},
        delivery::MessageKind,
        inbound::SMALL_MESSAGE,
        keepalive,
        reader::Reader,
        stats::Traffic,
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
        let is_own = self.own_pings > 0 && payload == keepalive::ping().as_bytes();
        self.own_pings -= u8::from(is_own);
        is_own
    }
}

/// Outcome of one read.
pub(super) enum Read {
    Some,
    /// Frames, and more of them than are looked at at once.
    Partial(Rest),
    /// Bytes, and the peer's close among them.
    Close,
    Handshake(Progress),
    /// More messages than the limit on their rate lets come.
    TooMany,
    End,
}

/// Input of a receiver.
pub(super) enum Input<'a> {
    /// Bytes that are the caller's.
    Borrowed(&'a mut [u8]),
    /// Bytes where they landed: messages may stay there.
    ReadBuffer(&'a mut BytesMut),
    /// Number of bytes that the receiver has got already, in a buffer of its own.
    InPlace(usize),
}

impl Input<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::ReadBuffer(bytes) => bytes.len(),
            Self::InPlace(len) => *len,
        }
    }

    /// Number of bytes that are left.
    fn give(&mut self, receiver: &mut Receiver, budget: Budget, sink: &mut impl Sink) -> usize {
        match self {
            Self::Borrowed(bytes) => receiver.receive_within(bytes, budget, sink),
            Self::ReadBuffer(bytes) => receiver.receive_within(bytes, budget, sink),
            Self::InPlace(len) => {
                receiver.received(*len, sink);
                0
            }
        }
    }
}

/// Reads frames once: into their own buffer where a large payload is under way.
pub(super) fn poll_frames(
    stream: &mut Reader,
    receiver: &mut Receiver,
    ends: &Ends,
    reading: &mut Reading,
    rate: Option<&mut MessageRate>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Read>> {
    let buffers = ends.handle.read_buffers();
    let size = buffers.size;
    // A read takes no more than everybody may pause, where there is little room.
    let is_short = ends.is_short();
    let most = if is_short { SMALL_MESSAGE } else { usize::MAX };
    let summary = if let Some((buffer, limit)) = receiver.buffer() {
        let limit = limit.min(size.large()).min(most);
        let len = ready!(stream.poll_read(cx, buffers, &ends.handle.0, buffer, limit))?;
        if len == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        deliver(ends, receiver, reading, rate, Input::InPlace(len), is_short)
    } else {
        // Not more past what may wait than a usual read.
        let usual = size.usual();
        let limit =
            if reading.is_large { ends.handle.0.room().clamp(usual, size.large()) } else { usual };
        let mut buffer = buffers.plaintext.get();
        let bytes = buffer.prepare();
        let limit = limit.min(most);
        if ready!(stream.poll_read(cx, buffers, &ends.handle.0, bytes, limit))? == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        let mut summary =
            deliver(ends, receiver, reading, rate, Input::ReadBuffer(bytes), is_short);
        if summary.left > 0 {
            let rest = bytes[bytes.len() - summary.left..].to_vec();
            summary.rest = Some(Rest::new(rest, &ends.handle.0));
        }
        summary
    };
    reading.is_large = summary.was_large.unwrap_or(reading.is_large) && receiver.counts_frames();
    Poll::Ready(Ok(match summary.rest {
        _ if summary.has_exceeded => Read::TooMany,
        Some(rest) => Read::Partial(rest),
        None if summary.is_close => Read::Close,
        None => Read::Some,
    }))
}

impl Stage {
    /// Takes bytes that were read, and are no frames.
    pub(super) fn take(&mut self, bytes: &mut BytesMut, ends: &Ends) -> Read {
        match self {
            Self::Handshake(opening) => {
                let progress = opening.receive(bytes);
                opening.held.set(opening.handshake.held());
                return Read::Handshake(progress);
            }
            Self::Raw => {
                if let Some(mut batch) = ends.events.lock() {
                    batch.push_bytes(ends.events.connection(), bytes);
                    batch.charge(Charge::new(&ends.handle.0, 2 * RECORD + bytes.len(), 1));
                }
            }
            Self::Linger(left) => *left = left.saturating_sub(bytes.len()),
            _ => {}
        }
        Read::Some
    }

    /// With bytes that are not looked at yet.
    pub(super) fn buffered(self, rest: Rest) -> Self {
        match self {
            Self::Frames(receiver) => Self::Buffered(Box::new((receiver, rest))),
            stage => stage,
        }
    }

    /// Now that they have been.
    pub(super) fn resumed(self) -> Self {
        match self {
            Self::Buffered(held) if !held.0.is_done() => Self::Frames(held.0),
            _ => Self::ReadClosed,
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
pub(super) fn resume(
    (receiver, rest): &mut (Receiver, Rest),
    ends: &Ends,
    reading: &mut Reading,
    rate: Option<&mut MessageRate>,
) -> Read {
    let input = Input::Borrowed(&mut rest.bytes[rest.at..]);
    let summary = deliver(ends, receiver, reading, rate, input, ends.is_short());
    rest.at = rest.bytes.len() - summary.left;
    if summary.has_exceeded {
        Read::TooMany
    } else if summary.is_close {
        Read::Close
    } else {
        Read::Some
    }
}

/// Lets a receiver put its events into the queue, counts them, and answers pings. Where room is
/// short, no more is inflated than everybody may hold.
fn deliver(
    ends: &Ends,
    receiver: &mut Receiver,
    reading: &mut Reading,
    rate: Option<&mut MessageRate>,
    input: Input<'_>,
    is_short: bool,
) -> ReadSummary {
    let Some(rate) = rate else {
        return deliver_within(ends, receiver, reading, usize::MAX, input, is_short);
    };
    let allowed = rate.available();
    let summary = deliver_within(ends, receiver, reading, allowed, input, is_short);
    rate.bucket.spend(summary.messages);
    summary
}

/// The same, up to so many messages.
fn deliver_within(
    ends: &Ends,
    receiver: &mut Receiver,
    reading: &mut Reading,
    allowed: usize,
    input: Input<'_>,
    is_short: bool,
) -> ReadSummary {
    let shared = &ends.handle.0;
    let budget = Budget { inflated: if is_short { SMALL_MESSAGE } else { TURN.inflated }, ..TURN };
    let (mut batch, mut summary) = if reading.inflates || input.len() >= LARGE {
        let Some(mut scratch) = ends.events.scratch() else { return ReadSummary::default() };
        let summary =
            BatchSink::read(&mut scratch, (ends, allowed), receiver, reading, input, budget);
        let Some(mut batch) = ends.events.lock() else { return ReadSummary::default() };
        batch.absorb(&mut scratch);
        (batch, summary)
    } else {
        let Some(mut batch) = ends.events.lock() else { return ReadSummary::default() };
        let summary =
            BatchSink::read(&mut batch, (ends, allowed), receiver, reading, input, budget);
        (batch, summary)
    };
    // What is counted late may be delivered before it is counted, and nothing that is sent in answer
    // to what came behind a ping may overtake its pong: both are seen to before the queue is let go.
    if summary.records > 0 {
        let bytes = summary.bytes + RECORD * (1 + summary.records);
        batch.charge(Charge::new(shared, bytes, summary.messages));
    }
    if summary.received.messages > 0 {
        shared.count_received(summary.received);
    }
    let state = (!summary.pings.is_empty()).then(|| shared.driver_lock());
    drop(batch);
    if let Some(mut state) = state {
        state.answer_pings(mem::take(&mut summary.pings));
    }
    summary
}

/// Sink of the events that one read completes.
pub(super) struct BatchSink<'a> {
    batch: &'a mut Batch,
    ends: &'a Ends,
    reading: &'a mut Reading,
    /// Number of messages that may come.
    allowed: usize,
    summary: ReadSummary,
    /// Addresses between which bytes may stay.
    buffer: Range<usize>,
    /// End of those messages among them that stay, and how many bytes they have.
    shared: (usize, usize),
}

/// Summary of one read.
#[derive(Default)]
pub(super) struct ReadSummary {
    /// Bytes that its records take in the queue beside themselves.
    bytes: usize,
    records: usize,
    messages: usize,
    pings: Vec<Vec<u8>>,
    /// The text and binary messages among them, and their bytes.
    received: Traffic,
    /// True if the peer's close was there.
    pub(super) is_close: bool,
    /// True if the last message was a large one.
    was_large: Option<bool>,
    /// True if there were more messages than may come: those behind it are left out.
    has_exceeded: bool,
    /// Number of bytes that are left, and which.
    left: usize,
    rest: Option<Rest>,
}

impl<'a> BatchSink<'a> {
    fn read(
        batch: &'a mut Batch,
        (ends, allowed): (&'a Ends, usize),
        receiver: &mut Receiver,
        reading: &'a mut Reading,
        mut input: Input<'_>,
        budget: Budget,
    ) -> ReadSummary {
        let buffer = match &input {
            Input::ReadBuffer(bytes) if bytes.len() >= LARGE => {
                let begin = bytes.as_ptr() as usize;
                begin..begin + bytes.len()
            }
            _ => 0..0,
        };
        let (summary, shared) = (ReadSummary::default(), (0, 0));
        let mut sink = BatchSink { batch, ends, reading, allowed, summary, buffer, shared };
        let left = input.give(receiver, budget, &mut sink);
        let BatchSink { batch, mut summary, shared: (reach, shared), .. } = sink;
        summary.left = left;
        if let (Input::ReadBuffer(bytes), 1..) = (input, reach) {
            // Messages that stay are held until they are delivered, with all that stands between:
            // it counts, and has to be worth it.
            if shared >= reach / 2 {
                batch.attach(&bytes.split_to(reach).freeze());
                summary.bytes += reach - shared;
            } else {
                batch.copy_shared(summary.records, bytes);
            }
        }
        summary
    }

    fn count(&mut self, payload: &[u8]) {
        self.summary.bytes += payload.len();
        self.summary.messages += 1;
        self.summary.was_large = Some(payload.len() >= LARGE);
    }

    /// Leaves out what comes behind the last message that may come: true for that.
    #[cold]
    fn exceeds(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Pong(payload) if self.reading.is_own_pong(payload) => return true,
            Event::Close(_) | Event::Error(_) => {}
            _ => self.summary.has_exceeded = true,
        }
        self.summary.has_exceeded
    }

    /// Place of a message that may stay where it landed.
    fn start_in_buffer(&self, payload: &Payload<'_>) -> Option<usize> {
        let Payload::Borrowed(bytes) = payload else { return None };
        let begin = bytes.as_ptr() as usize;
        let stays = bytes.len() >= STAYS && self.buffer.contains(&begin);
        stays.then(|| begin - self.buffer.start)
    }
}

impl Sink for BatchSink<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.summary.messages >= self.allowed && self.exceeds(&event) {
            return;
        }
        match &event {
            Event::Ping(payload) => {
                self.summary.pings.push(payload.to_vec());
                self.count(payload);
            }
            Event::Text(payload, _) | Event::Binary(payload) => {
                self.count(payload);
                self.summary.received += Traffic { messages: 1, bytes: payload.len() as u64 };
            }
            Event::Pong(payload) if self.reading.is_own_pong(payload) => return,
            Event::Pong(payload) => self.count(payload),
            Event::Close(close) => {
                self.summary.is_close = true;
                self.summary.bytes += close.body.len();
            }
            Event::Error(_) => {}
        }
        self.summary.records += 1;
        let connection = self.ends.events.connection();
        let (kind, code_range, payload) = match &event {
            Event::Text(payload, code_range) => (MessageKind::Text, *code_range, payload),
            Event::Binary(payload) => (MessageKind::Binary, None, payload),
            _ => return self.batch.push_event(connection, event),
        };
        match self.start_in_buffer(payload) {
            Some(start) => {
                self.shared.0 = start + payload.len();
                self.shared.1 += payload.len();
                self.batch.push_shared(connection, kind, code_range, start, payload.len());
            }
            None => self.batch.push_event(connection, event),
        }
    }

    fn meter(&self) -> Option<Arc<dyn Meter>> {
        Some(Arc::clone(&self.ends.handle.0) as Arc<dyn Meter>)
    }
}
