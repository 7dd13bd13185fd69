//! One read of a driver: from the socket through the receiver into the queue.

use std::{
    io,
    task::{ready, Context, Poll},
};

use super::Ends;
use crate::{
    protocol::{handshake::Progress as Opening, Event, Receiver, Sink},
    server::{events::Batch, stream::Stream, tally::lock},
};

/// What one read brought.
pub(super) enum Read {
    Some,
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

/// Reads frames once: into their own buffer where a large payload is under way.
pub(super) fn poll_frames(
    stream: &mut Stream,
    receiver: &mut Receiver,
    ends: &Ends,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Read>> {
    if let Some((buffer, limit)) = receiver.buffer() {
        let len = ready!(stream.poll_read_to(cx, buffer, limit))?;
        if len == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        let is_close = feed(ends, |sink| receiver.received(len, sink));
        return Poll::Ready(Ok(if is_close { Read::Close } else { Read::Some }));
    }
    let read = stream.poll_read(cx, |bytes| feed(ends, |sink| receiver.receive(bytes, sink)));
    read.map_ok(|read| match read {
        None => Read::End,
        Some(true) => Read::Close,
        Some(false) => Read::Some,
    })
}

/// Lets a receiver put its events into the queue, counts them, and answers pings. Whether the
/// peer's close was among them.
pub(super) fn feed(ends: &Ends, receive: impl FnOnce(&mut Burst<'_>)) -> bool {
    let shared = &ends.handle.0;
    // What is counted late may be delivered before it is counted, and nothing that is sent in answer
    // to what came behind a ping may overtake its pong: both are seen to before the queue is let go.
    let announce = |found: &Found| {
        if found.messages > 0 {
            shared.queued(found.bytes, found.messages);
        }
        (!found.pings.is_empty()).then(|| lock(&shared.link))
    };
    let (found, link) = if ends.inflates {
        let mut apart = Batch::default();
        let found = Burst::read(&mut apart, ends.connection, receive);
        let link = ends.queue.append(|batch| {
            batch.absorb(apart);
            announce(&found)
        });
        (found, link)
    } else {
        ends.queue.append(|batch| {
            let found = Burst::read(batch, ends.connection, receive);
            let link = announce(&found);
            (found, link)
        })
    };
    if let Some(mut link) = link {
        ends.handle.answer_pings(&mut link, found.pings);
    }
    found.is_close
}

/// What one read completes.
pub(super) struct Burst<'a> {
    batch: &'a mut Batch,
    connection: u32,
    found: Found,
}

/// What there is to know of it.
#[derive(Default)]
struct Found {
    bytes: usize,
    messages: usize,
    pings: Vec<Vec<u8>>,
    is_close: bool,
}

impl Burst<'_> {
    fn read(batch: &mut Batch, connection: u32, receive: impl FnOnce(&mut Burst<'_>)) -> Found {
        let mut burst = Burst { batch, connection, found: Found::default() };
        receive(&mut burst);
        burst.found
    }

    fn count(&mut self, payload: &[u8]) {
        self.found.bytes += payload.len();
        self.found.messages += 1;
    }
}

impl Sink for Burst<'_> {
    fn event(&mut self, event: Event<'_>) {
        match &event {
            Event::Ping(payload) => {
                self.found.pings.push(payload.to_vec());
                self.count(payload);
            }
            Event::Text(payload) | Event::Binary(payload) | Event::Pong(payload) => {
                self.count(payload);
            }
            Event::Close(_) => self.found.is_close = true,
            Event::Error(_) => {}
        }
        self.batch.push_event(self.connection, event);
    }
}
