//! Batch of records, and the bytes that they speak of.
//!
//! Payloads of small messages stand one behind the other in the batch's own buffer, and those of large
//! ones where they were read to, so that a message costs no allocation here.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::{
    charge::{Charge, PORTION, RECORD},
    delivery::{Delivery, MessageKind, Record, Span},
    incoming::Incoming,
    locks::{Guarded, LockRank},
};
use crate::protocol::{CodeRange, Event, Payload};

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
    /// Large messages, in the order of their records.
    pieces: VecDeque<Bytes>,
    /// Number of pieces that have been read and let go.
    gone: u32,
    /// Charges for the records: each up to the record of this number.
    charges: VecDeque<(usize, Charge)>,
    /// Number of the record that the first charge is up to; 0 without charges.
    charged: usize,
    /// Number of records that have been appended, and of those that have been read.
    appended: usize,
    read: usize,
    /// Bytes and messages that have been read of the first charge and not been told yet.
    due: (usize, usize),
    /// Time when the first record was appended to the empty batch.
    since: Option<Instant>,
}

impl Guarded for Batch {
    const RANK: LockRank = LockRank::Queue;
}

impl Batch {
    /// The next record, in order; the bytes of those before it may be gone. They count as delivered
    /// from now on.
    pub fn pop(&mut self) -> Option<Record> {
        if let Some((connection, kind, span)) = self.pop_message() {
            return Some(Record { connection, delivery: Delivery::Message(kind, span) });
        }
        let record = self.records.pop_front()?;
        let (bytes, messages) = match record.delivery {
            Delivery::Bytes(span) => (span.len, 1),
            Delivery::Close(_, span) => (span.len, 0),
            _ => (0, 0),
        };
        self.note_read(bytes, messages);
        if let Delivery::Open(_) | Delivery::Http(_) | Delivery::Rejected(_) | Delivery::Error(_) =
            record.delivery
        {
            // It is the caller's now.
            self.release(PORTION);
        }
        Some(record)
    }

    /// The next record as [`pop`](Self::pop), if it is a message: its connection, its kind, and where
    /// it stands. Most records are, and this is the shorter way.
    #[inline]
    pub fn pop_message(&mut self) -> Option<(u64, MessageKind, Span)> {
        // The charge of those before it is over, or much of it has been delivered.
        if self.read >= self.charged || self.due.0 >= PORTION {
            self.release(PORTION);
        }
        let &Record { connection, delivery: Delivery::Message(kind, span) } =
            self.records.front()?
        else {
            return None;
        };
        // A message owns nothing: there is nothing to look for that may have to be dropped.
        std::mem::forget(self.records.pop_front());
        self.note_read(span.len, 1);
        while span.piece > self.gone + 1 {
            self.pieces.pop_front();
            self.gone += 1;
        }
        Some((connection, kind, span))
    }

    /// Notes that a record has been read, of so many bytes and messages.
    fn note_read(&mut self, bytes: usize, messages: usize) {
        self.read += 1;
        self.due.0 += RECORD + bytes;
        self.due.1 += messages;
    }

    /// Lets go of what has been read so far: it has been delivered. Otherwise that is done once it is
    /// much, or all of what one read has brought.
    pub fn settle(&mut self) {
        self.release(1);
    }

    /// Lets go of what has been delivered, if it is so much or all of it.
    #[inline(never)]
    fn release(&mut self, much: usize) {
        while let Some((end, charge)) = self.charges.front_mut() {
            self.charged = *end;
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
        // Nothing is charged: the first charge that comes is looked at.
        self.charged = 0;
    }

    /// Adds the charge for the records that were appended last, up to the last of them.
    pub(crate) fn charge(&mut self, charge: Charge) {
        self.charges.push_back((self.appended, charge));
    }

    /// Takes over what the records count for: it counts until that is dropped, and not until they
    /// are read.
    pub fn take_charges(&mut self) -> Vec<Charge> {
        self.charged = 0;
        self.charges.drain(..).map(|(_, charge)| charge).collect()
    }

    /// Time when its first record was appended, whether or not that has been read; `None` of an empty
    /// one.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Notes when its first record was appended.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Number of records that are left.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if no record is left.
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
        self.records.retain(|record| !matches!(record.delivery, Delivery::Accepted(..)));
        // Some charges end later than they should have now: with the last record.
        self.appended = self.read + self.records.len();
        for (end, _) in &mut self.charges {
            *end = self.appended.min(*end);
        }
        self.charged = 0;
    }

    /// The connections that were accepted and have not been told.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Incoming> {
        self.records.iter().filter_map(|record| match &record.delivery {
            Delivery::Accepted(_, incoming) => Some(&**incoming),
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
            Event::Text(payload, code_range) => {
                Delivery::Message(MessageKind::Text, Span { code_range, ..self.store(payload) })
            }
            Event::Binary(payload) => Delivery::Message(MessageKind::Binary, self.store(payload)),
            Event::Ping(payload) => Delivery::Message(MessageKind::Ping, self.store(payload)),
            Event::Pong(payload) => Delivery::Message(MessageKind::Pong, self.store(payload)),
            Event::Close(close) => Delivery::Close(close.code, self.copy(close.body)),
            Event::Error(error) => Delivery::Error(Box::new(error)),
        };
        self.push(connection, delivery);
    }

    /// Appends a message that stands at `start` of a piece that is still to come, by
    /// [`attach`](Self::attach).
    pub(crate) fn push_shared(
        &mut self,
        connection: u64,
        kind: MessageKind,
        code_range: Option<CodeRange>,
        start: usize,
        len: usize,
    ) {
        if self.pieces.back().is_none_or(|piece| !piece.is_empty()) {
            self.pieces.push_back(Bytes::new());
        }
        let span = Span { start, len, piece: self.last_piece(), code_range };
        self.push(connection, Delivery::Message(kind, span));
    }

    /// The piece that messages landed in.
    pub(crate) fn attach(&mut self, buffer: &Bytes) {
        for piece in self.pieces.iter_mut().filter(|piece| piece.is_empty()) {
            piece.clone_from(buffer);
        }
    }

    /// Copies the messages among the last records that landed in a piece that is still to come,
    /// where they are too few for it to stay: `read` is where they stand.
    pub(crate) fn copy_shared(&mut self, records: usize, read: &[u8]) {
        let Self { records: all, bytes, pieces, gone, .. } = self;
        for record in all.iter_mut().rev().take(records) {
            let Delivery::Message(_, span) = &mut record.delivery else { continue };
            if span.piece > 0 && pieces[(span.piece - *gone) as usize - 1].is_empty() {
                let begin = bytes.len();
                bytes.extend_from_slice(&read[span.start..span.start + span.len]);
                (span.start, span.piece) = (begin, 0);
            }
        }
        for piece in pieces.iter_mut().filter(|piece| piece.is_empty()) {
            *piece = Bytes::from_static(b"copied");
        }
    }

    /// Place of a message's payload, which has been stored here.
    fn store(&mut self, payload: Payload<'_>) -> Span {
        match payload {
            Payload::Owned(bytes) if bytes.len() >= LARGE => {
                let len = bytes.len();
                // Without the room behind it: it counts by its length.
                self.pieces.push_back(Bytes::from(bytes.into_boxed_slice()));
                Span { len, piece: self.last_piece(), ..Span::default() }
            }
            payload => self.copy(&payload),
        }
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
        (self.appended, self.read, self.charged, self.due) = (0, 0, 0, (0, 0));
        self.since = None;
        self.charges.shrink_to(KEPT / 64);
        self.records.shrink_to(KEPT / size_of::<Record>());
        self.bytes.shrink_to(KEPT);
    }
}
