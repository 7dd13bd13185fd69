//! Write buffer of one connection: what has been sent and not been written yet.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    thread::{self, ThreadId},
};

use bytes::{Buf, Bytes};

/// Memory that a piece takes that stands by itself, beside its bytes.
pub(crate) const ITEM_OVERHEAD: usize = 64;

/// Number of pieces that one write takes at most.
const MAX_SLICES: usize = 32;

/// Number of bytes that are written before others have their turn: a peer may take them as fast as
/// they are written. It is some hundreds of microseconds.
pub(crate) const TURN: usize = 1024 * 1024;

/// Memory of written buffers that one thread keeps for the next ones, in bytes.
const SPARE: usize = 4 * 1024 * 1024;

/// A buffer whose tail has grown larger than this is not kept.
const SPARE_TAIL: usize = 64 * 1024;

/// Buffers up to this size are kept even when mostly empty.
const MUCH: usize = 4 * 1024;

thread_local! {
    /// Buffers that have been written: a connection of which nothing waits holds no memory for it.
    static FREE_LIST: RefCell<FreeList> = RefCell::default();
}

/// Buffers that have been written.
#[derive(Debug)]
struct FreeList {
    thread: ThreadId,
    // In the boxes that connections have them in.
    #[allow(clippy::vec_box, reason = "they move between here and there")]
    buffers: Vec<Box<Buffers>>,
    /// The memory that they pause, together.
    room: usize,
}

impl Default for FreeList {
    fn default() -> Self {
        Self { thread: thread::current().id(), buffers: Vec::new(), room: 0 }
    }
}

impl FreeList {
    fn take(&mut self) -> Box<Buffers> {
        let Some(buffer) = self.buffers.pop() else {
            return Box::new(Buffers::new(self.thread));
        };
        self.room -= buffer.room();
        buffer
    }

    /// Keeps a buffer that was taken here. Those that one thread fills and another one writes would
    /// all gather with the other, and be of no use there.
    fn give_back(&mut self, mut buffer: Box<Buffers>) {
        if buffer.thread != self.thread {
            return;
        }
        if buffer.pieces.capacity() > MAX_SLICES {
            buffer.pieces = VecDeque::new();
        }
        let room = buffer.room();
        if buffer.tail.capacity() <= SPARE_TAIL && self.room + room <= SPARE {
            buffer.tail.clear();
            self.room += room;
            self.buffers.push(buffer);
        }
    }
}

/// The outbound buffer. Small frames are gathered in one tail; large payloads stand by themselves
/// and are not copied.
#[derive(Debug, Default)]
pub struct OutboundBuffer {
    /// There only while anything waits: there are many connections, and most are idle.
    waiting: Option<Box<Buffers>>,
}

/// Buffered bytes of one connection.
#[derive(Debug)]
struct Buffers {
    /// Thread that has made it.
    thread: ThreadId,
    len: usize,
    /// Bytes of the tail that are written, while no piece stands before it.
    written: usize,
    tail: Vec<u8>,
    pieces: VecDeque<Bytes>,
}

impl OutboundBuffer {
    /// Number of bytes that wait.
    pub fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len)
    }

    /// Memory that is held for it.
    pub fn held(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.len + waiting.pieces.len() * ITEM_OVERHEAD)
    }

    /// The bytes that stand by themselves, and may stand in other buffers, too.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.waiting.iter().flat_map(|waiting| &waiting.pieces)
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes, copied.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.append(|tail| tail.extend_from_slice(bytes));
    }

    /// Appends parts, copied, but for the first `skip` bytes of them together.
    pub fn extend_parts(&mut self, parts: &[&[u8]], mut skip: usize) {
        self.append(|tail| {
            for part in parts {
                let skipped = skip.min(part.len());
                tail.extend_from_slice(&part[skipped..]);
                skip -= skipped;
            }
        });
    }

    /// Appends bytes, shared.
    pub fn push(&mut self, bytes: Bytes) {
        let waiting = self.waiting();
        waiting.len += bytes.len();
        if !waiting.tail.is_empty() {
            let mut tail = Bytes::from(mem::take(&mut waiting.tail).into_boxed_slice());
            tail.advance(mem::take(&mut waiting.written));
            waiting.pieces.push_back(tail);
        }
        waiting.pieces.push_back(bytes);
    }

    /// Lets `append` add to the end.
    pub fn append<R>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let waiting = self.waiting();
        let before = waiting.tail.len();
        let result = append(&mut waiting.tail);
        waiting.len += waiting.tail.len() - before;
        if waiting.len == 0 {
            self.give_back();
        }
        result
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.waiting = None;
    }

    fn waiting(&mut self) -> &mut Buffers {
        self.waiting.get_or_insert_with(|| FREE_LIST.with_borrow_mut(FreeList::take))
    }

    fn give_back(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            FREE_LIST.with_borrow_mut(|spares| spares.give_back(waiting));
        }
    }

    /// Writes as much as `write` takes, or a turn's worth: `Ok(true)` once nothing waits any more,
    /// `Ok(false)` where it would block, or the turn is over.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` and `Interrupted`; a write of nothing is `WriteZero`.
    pub fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let Some(waiting) = &mut self.waiting else { return Ok(true) };
        let mut written = 0;
        while waiting.len > 0 {
            if written >= TURN {
                return Ok(false);
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = waiting.slices(&mut slices);
            match write(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    waiting.advance(n);
                    written += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waiting.give_up_room();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.give_back();
        Ok(true)
    }
}

impl Buffers {
    fn new(thread: ThreadId) -> Self {
        Self { thread, len: 0, written: 0, tail: Vec::new(), pieces: VecDeque::new() }
    }

    /// Bytes that there is memory for.
    fn room(&self) -> usize {
        size_of::<Self>() + self.tail.capacity() + self.pieces.capacity() * size_of::<Bytes>()
    }

    /// Slices that are to be written next, and their number.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut count = 0;
        for piece in self.pieces.iter().take(MAX_SLICES - 1) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        if self.pieces.len() == count && self.written < self.tail.len() {
            slices[count] = IoSlice::new(&self.tail[self.written..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut n: usize) {
        self.len -= n;
        while let Some(piece) = self.pieces.front_mut() {
            if n < piece.len() {
                piece.advance(n);
                return;
            }
            n -= piece.len();
            self.pieces.pop_front();
        }
        self.written += n;
        if self.written == self.tail.len() {
            self.written = 0;
            self.tail.clear();
        }
    }

    /// Gives up room: bytes may wait for long, in a tail that must not be much too large for them.
    fn give_up_room(&mut self) {
        if self.tail.capacity() > MUCH && self.tail.capacity() / 2 > self.tail.len() {
            self.tail.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_outbound_buffer_writes_everything_in_order(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
            room in prop::collection::vec(0usize..50, 1..80),
        ) {
            let mut out = OutboundBuffer::default();
            let mut expected = Vec::new();
            let mut written = Vec::new();
            let mut room = room.into_iter();
            let mut flush = |out: &mut OutboundBuffer, written: &mut Vec<u8>| {
                let mut left = room.next().unwrap_or(usize::MAX);
                out.flush(|slices| {
                    if left == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    let mut taken = 0;
                    for slice in slices {
                        let n = slice.len().min(left);
                        written.extend_from_slice(&slice[..n]);
                        left -= n;
                        taken += n;
                    }
                    Ok(taken)
                })
                .unwrap()
            };
            for (shared, bytes) in parts {
                expected.extend_from_slice(&bytes);
                if shared {
                    out.push(Bytes::from(bytes));
                } else {
                    out.extend(&bytes);
                }
                flush(&mut out, &mut written);
                prop_assert_eq!(out.len(), expected.len() - written.len());
            }
            for _ in 0..100 {
                flush(&mut out, &mut written);
            }
            prop_assert!(out.is_empty());
            prop_assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_connection_of_which_nothing_waits_holds_no_memory_and_one_of_which_little_waits_little() {
        let mut out = OutboundBuffer::default();
        out.extend(&[0; 40_000]);
        assert!(out.flush(|slices| Ok(slices[0].len())).unwrap());
        assert!(out.waiting.is_none());
        out.extend(b"");
        assert!(out.waiting.is_none());
        out.extend(b"little");
        assert!(out.waiting().room() >= 40_000, "the same again");
        assert!(!out.flush(|_| Err(io::ErrorKind::WouldBlock.into())).unwrap());
        assert!(out.waiting().room() <= MUCH);
    }

    #[test]
    fn a_turn_ends_though_the_peer_takes_all_that_is_written() {
        let mut out = OutboundBuffer::default();
        (0..100).for_each(|_| out.push(Bytes::from(vec![0; TURN / 10])));
        let mut turns = 0;
        loop {
            let before = out.len();
            turns += 1;
            let all = out.flush(|slices| Ok(slices[0].len())).unwrap();
            assert!(before - out.len() < TURN + TURN / 5);
            if all {
                break;
            }
        }
        assert_eq!(turns, 10);
    }

    #[test]
    fn buffers_filled_by_one_thread_and_written_by_another_gather_with_neither() {
        let kept = || FREE_LIST.with_borrow(|spares| (spares.buffers.len(), spares.room));
        let write = |mut out: OutboundBuffer| {
            assert!(out.flush(|slices| Ok(slices.iter().map(|slice| slice.len()).sum())).unwrap());
        };
        let filled = || {
            let mut out = OutboundBuffer::default();
            out.extend(&[0; 1000]);
            out
        };
        write(filled());
        let (count, room) = kept();
        assert_eq!(count, 1, "its own are used again");
        assert!(room > 1000);

        let (to_be_written, all) = std::sync::mpsc::sync_channel(1);
        let writer = thread::spawn(move || {
            all.into_iter().for_each(write);
            kept()
        });
        (0..100).for_each(|_| to_be_written.send(filled()).unwrap());
        drop(to_be_written);
        assert_eq!(writer.join().unwrap(), (0, 0));
        assert_eq!(kept(), (0, 0));
    }
}
