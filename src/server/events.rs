//! The event queue: what has happened and has not been told yet.
//!
//! Drivers append to one batch under a lock, a burst of messages at a time; the owner takes the
//! whole batch away and reads it without the lock. Payloads of small messages stand one behind the
//! other in the batch's own buffer, and those of large ones where they were read to, so that a
//! message costs no allocation here.

use std::{
    collections::VecDeque,
    mem::size_of,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    charge::{Charge, PORTION, RECORD},
    corked::Corked,
    listener::Incoming,
    locks::{Guarded, Place},
    process::ProcessMutex,
    sync::Wakeup,
};
use crate::{
    error::ProtocolError,
    protocol::{
        close::CloseCode,
        handshake::{Answer, Refused, Request},
        version::Profile,
        Charset, Event, Payload,
    },
};

/// One thing that happened.
#[derive(Debug)]
pub struct Record {
    /// Which connection, by the number it was [started](Incoming::start) with; of no meaning for
    /// [`Delivery::Accepted`].
    pub connection: u64,
    /// What happened.
    pub delivery: Delivery,
}

/// What happened.
#[derive(Debug)]
pub enum Delivery {
    /// A connection was accepted and waits for [`Incoming::start`].
    Accepted(Box<Incoming>),
    /// TLS is established. Nothing is read until [`Handle::secured`](super::Handle::secured).
    Secured,
    /// The opening handshake is accepted. Nothing is read until [`Handle::opened`](super::Handle::opened).
    Open(Box<Opened>),
    /// The opening handshake was refused; [`Handle::refuse`](super::Handle::refuse) answers.
    Refused(Box<Refused>),
    /// No opening handshake, but what the application answers itself
    /// ([`ConnectionOptions::tells_plain_http`](super::ConnectionOptions::tells_plain_http)).
    Plain(Plain),
    /// A message: [`Batch::bytes`].
    Message(Kind, Span),
    /// The peer's close frame: its code and whole body; [`Handle::peer_closed`](super::Handle::peer_closed) answers.
    Close(Option<CloseCode>, Span),
    /// The peer broke a rule; [`Handle::fail`](super::Handle::fail) ends the connection.
    Error(Box<ProtocolError>),
    /// What waits to be written is down to half of [`Handle::set_high_water`](super::Handle::set_high_water).
    Drained,
    /// Bytes of a raw connection.
    Bytes(Span),
    /// The connection is gone, or its peer has stopped sending. Always the last of a connection;
    /// [`Handle::closed`](super::Handle::closed) lets go of it.
    Closed,
}

/// An opening handshake that was accepted.
#[derive(Debug)]
pub struct Opened {
    /// What the client asked for.
    pub request: Request,
    /// What its version does.
    pub profile: &'static Profile,
    /// The subprotocol that is selected, one of those that the client offers.
    pub subprotocol: Option<Box<[u8]>>,
    /// Answer that the application may change where it is asked first
    /// ([`Handle::asked`](super::Handle::asked) begins its time), and must give to
    /// [`Handle::open_with`](super::Handle::open_with); or it calls
    /// [`Handle::refuse_opening`](super::Handle::refuse_opening).
    pub answer: Option<Box<Answer>>,
}

/// Requests that are answered although they are no opening handshakes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plain {
    /// `GET /healthcheck`.
    Healthcheck,
    /// A Flash player's request for the policy file.
    FlashPolicy,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// UTF-8 where the draft checks it.
    Text,
    /// Bytes.
    Binary,
    /// A ping; its pong has been sent.
    Ping,
    /// A pong.
    Pong,
}

/// Where bytes stand in their batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    start: usize,
    len: usize,
    /// Of which piece, counted from 1; 0: of the batch's own buffer.
    piece: u32,
    charset: Option<Charset>,
}

impl Span {
    /// What the bytes are made of, where they are text that was checked.
    pub fn charset(self) -> Option<Charset> {
        self.charset
    }

    /// How many bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A message at least this long keeps its buffer, and so does a read of whose messages some are
/// not tiny.
pub(crate) const LARGE: usize = 16 * 1024;

/// A batch that has been read keeps at most this much memory. Giving back less would be asked for
/// again under load, at a page fault for every 4 KiB.
const KEPT: usize = 4 * 1024 * 1024;

/// Many records, and the bytes they speak of.
#[derive(Debug, Default)]
pub struct Batch {
    records: VecDeque<Record>,
    bytes: Vec<u8>,
    /// Where large messages stand, in the order of their records.
    pieces: VecDeque<Bytes>,
    /// How many pieces have been read and let go.
    gone: u32,
    /// Charges for the records: each up to the record of this number.
    charges: VecDeque<(usize, Charge)>,
    /// Number of records that have been appended, and of those that have been read.
    appended: usize,
    read: usize,
    /// Bytes and messages that have been read of the first charge and not been told yet.
    due: (usize, usize),
}

impl Guarded for Batch {
    const PLACE: Place = Place::Queue;
}

impl Batch {
    /// The next record, in order; the bytes of those before it may be gone. They count as delivered
    /// from now on.
    pub fn pop(&mut self) -> Option<Record> {
        self.tell(PORTION);
        let record = self.records.pop_front()?;
        self.read += 1;
        let (bytes, messages) = match record.delivery {
            Delivery::Message(_, span) | Delivery::Bytes(span) => (span.len, 1),
            Delivery::Close(_, span) => (span.len, 0),
            _ => (0, 0),
        };
        self.due.0 += RECORD + bytes;
        self.due.1 += messages;
        if let Delivery::Open(_) | Delivery::Refused(_) | Delivery::Error(_) = record.delivery {
            // It is the caller's now.
            self.tell(PORTION);
        }
        if let Delivery::Message(_, span) = record.delivery {
            while span.piece > self.gone + 1 {
                self.pieces.pop_front();
                self.gone += 1;
            }
        }
        Some(record)
    }

    /// Lets go of what has been read so far: it has been delivered. Otherwise that is done once it is
    /// much, or all of what one read has brought.
    pub fn settle(&mut self) {
        self.tell(1);
    }

    /// Lets go of what has been delivered, if it is so much or all of it.
    fn tell(&mut self, much: usize) {
        while let Some((end, charge)) = self.charges.front_mut() {
            if *end > self.read {
                if self.due.0 >= much {
                    let (bytes, messages) = std::mem::take(&mut self.due);
                    charge.release(bytes, messages);
                }
                return;
            }
            self.due = (0, 0);
            self.charges.pop_front();
        }
    }

    /// Adds the charge for the records that were appended last, up to the last of them.
    pub(crate) fn charge(&mut self, charge: Charge) {
        self.charges.push_back((self.appended, charge));
    }

    /// Takes over what the records count for: it counts until that is dropped, and not until they
    /// are read.
    pub fn take_charges(&mut self) -> Vec<Charge> {
        self.charges.drain(..).map(|(_, charge)| charge).collect()
    }

    /// How many records are left.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no record is left.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of a record of this batch.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let bytes = match span.piece {
            0 => &self.bytes[..],
            piece => &self.pieces[(piece - self.gone) as usize - 1],
        };
        &bytes[span.start..span.start + span.len]
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, connection: u64, delivery: Delivery) {
        self.records.push_back(Record { connection, delivery });
        self.appended += 1;
    }

    /// Drops the connections that were accepted and have not been told.
    pub(crate) fn drop_accepted(&mut self) {
        self.records.retain(|record| !matches!(record.delivery, Delivery::Accepted(_)));
        // Some charges end later than they should have now: with the last record.
        self.appended = self.read + self.records.len();
        for (end, _) in &mut self.charges {
            *end = self.appended.min(*end);
        }
    }

    /// The connections that were accepted and have not been told.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Incoming> {
        self.records.iter().filter_map(|record| match &record.delivery {
            Delivery::Accepted(incoming) => Some(&**incoming),
            _ => None,
        })
    }

    /// Appends bytes of a raw connection.
    pub(crate) fn push_bytes(&mut self, connection: u64, bytes: &[u8]) {
        let span = self.copy(bytes);
        self.push(connection, Delivery::Bytes(span));
    }

    /// Appends what the protocol reports.
    pub(crate) fn push_event(&mut self, connection: u64, event: Event<'_>) {
        let delivery = match event {
            Event::Text(payload, charset) => match self.message(Kind::Text, payload) {
                Delivery::Message(kind, span) => Delivery::Message(kind, Span { charset, ..span }),
                other => other,
            },
            Event::Binary(payload) => self.message(Kind::Binary, payload),
            Event::Ping(payload) => self.message(Kind::Ping, payload),
            Event::Pong(payload) => self.message(Kind::Pong, payload),
            Event::Close(close) => Delivery::Close(close.code, self.copy(close.body)),
            Event::Error(error) => Delivery::Error(Box::new(error)),
        };
        self.push(connection, delivery);
    }

    /// Appends a message that stands at `start` of a piece that is still to come, by
    /// [`fill`](Self::fill).
    pub(crate) fn push_landed(
        &mut self,
        connection: u64,
        kind: Kind,
        charset: Option<Charset>,
        start: usize,
        len: usize,
    ) {
        if self.pieces.back().is_none_or(|piece| !piece.is_empty()) {
            self.pieces.push_back(Bytes::new());
        }
        let span = Span { start, len, piece: self.last_piece(), charset };
        self.push(connection, Delivery::Message(kind, span));
    }

    /// The piece that messages landed in.
    pub(crate) fn fill(&mut self, landed: &Bytes) {
        for piece in self.pieces.iter_mut().filter(|piece| piece.is_empty()) {
            piece.clone_from(landed);
        }
    }

    /// Copies the messages among the last records that landed in a piece that is still to come,
    /// where they are too few for it to stay: `landing` is where they stand.
    pub(crate) fn copy_landed(&mut self, records: usize, landing: &[u8]) {
        let Self { records: all, bytes, pieces, gone, .. } = self;
        for record in all.iter_mut().rev().take(records) {
            let Delivery::Message(_, span) = &mut record.delivery else { continue };
            if span.piece > 0 && pieces[(span.piece - *gone) as usize - 1].is_empty() {
                let begin = bytes.len();
                bytes.extend_from_slice(&landing[span.start..span.start + span.len]);
                (span.start, span.piece) = (begin, 0);
            }
        }
        for piece in pieces.iter_mut().filter(|piece| piece.is_empty()) {
            *piece = Bytes::from_static(b"copied");
        }
    }

    fn message(&mut self, kind: Kind, payload: Payload<'_>) -> Delivery {
        let span = match payload {
            Payload::Owned(bytes) if bytes.len() >= LARGE => {
                let len = bytes.len();
                // Without the room behind it: it counts by its length.
                self.pieces.push_back(Bytes::from(bytes.into_boxed_slice()));
                Span { len, piece: self.last_piece(), ..Span::default() }
            }
            payload => self.copy(&payload),
        };
        Delivery::Message(kind, span)
    }

    fn last_piece(&self) -> u32 {
        self.gone + self.pieces.len() as u32
    }

    fn copy(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start, len: bytes.len(), ..Span::default() }
    }

    /// Appends what is in another batch, of which nothing has been read.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        if self.is_empty() && self.bytes.is_empty() && self.charges.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let (bytes, pieces) = (self.bytes.len(), self.last_piece());
        self.bytes.extend_from_slice(&other.bytes);
        self.pieces.append(&mut other.pieces);
        self.appended += other.records.len();
        self.records.extend(other.records.drain(..).map(|mut record| {
            if let Delivery::Message(_, span) | Delivery::Close(_, span) | Delivery::Bytes(span) =
                &mut record.delivery
            {
                match span.piece {
                    0 => span.start += bytes,
                    _ => span.piece += pieces,
                }
            }
            record
        }));
    }

    /// Forgets what has been read.
    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.pieces.clear();
        self.gone = 0;
        self.charges.clear();
        (self.appended, self.read, self.due) = (0, 0, (0, 0));
        self.charges.shrink_to(KEPT / 64);
        self.records.shrink_to(KEPT / size_of::<Record>());
        self.bytes.shrink_to(KEPT);
    }
}

/// The event queue of a server.
#[derive(Debug)]
pub struct EventQueue {
    pub(super) batch: ProcessMutex<Batch>,
    pub(super) wakeup: Wakeup,
    corked: Arc<Corked>,
}

impl EventQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// The system's, where there is no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let (batch, corked) = (ProcessMutex::default(), Arc::new(Corked::new()));
        Ok(Self { batch, wakeup: Wakeup::new()?, corked })
    }

    /// Takes everything that waits, in exchange for a batch that has been read. The wakeup is
    /// cleared first, so that what comes later sets it again.
    pub fn take(&self, read: &mut Batch) {
        read.clear();
        // A forked child would take the parent's wake-up, which both have.
        if !self.batch.is_foreign() {
            self.wakeup.clear();
        }
        if let Some(mut batch) = self.batch.lock() {
            std::mem::swap(&mut *batch, read);
        }
    }

    /// Connections with bytes that were sent while its owner drains it.
    pub fn corked(&self) -> &Arc<Corked> {
        &self.corked
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batch.lock().is_none_or(|batch| batch.is_empty())
    }

    /// Wakes the owner although nothing new waits.
    pub fn wake(&self) {
        if !self.batch.is_foreign() {
            self.wakeup.set();
        }
    }

    /// In a forked child: what the parent's queue had open.
    pub(crate) fn inherited_fds(&self) -> Vec<RawFd> {
        let mut fds = vec![self.as_raw_fd()];
        if let Some(batch) = self.batch.inherited() {
            fds.extend(batch.accepted().filter_map(|incoming| incoming.handle().inherited_fd()));
        }
        fds
    }

    /// Appends under the lock, and wakes the owner on the edge from empty to non-empty; `None` in a
    /// forked child, which the queue is not for.
    pub(crate) fn append<R>(&self, append: impl FnOnce(&mut Batch) -> R) -> Option<R> {
        let (result, edge) = self.append_quietly(append)?;
        if edge {
            // Only the sooner. In the models, where no clock goes, it would be one more step each time.
            if !cfg!(all(test, feature = "loom")) {
                self.corked.expect();
            }
            self.wake();
        }
        Some(result)
    }

    /// As [`append`](Self::append), for whoever appends more at once: the owner sleeps until it is
    /// [woken](Self::wake), which is the caller's to do if `true` is returned with the result.
    /// Nobody else will.
    pub(crate) fn append_quietly<R>(
        &self,
        append: impl FnOnce(&mut Batch) -> R,
    ) -> Option<(R, bool)> {
        let mut batch = self.batch.lock()?;
        let was_empty = batch.is_empty();
        let result = append(&mut batch);
        Some((result, was_empty && !batch.is_empty()))
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.wakeup.as_raw_fd()
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<EventQueue>();
    // Millions of these pass through the queue.
    assert!(size_of::<Record>() <= 40);
};
