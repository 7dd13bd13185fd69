//! The outbound buffer: what has been sent and not been written yet.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf, Bytes};

/// How many pieces one write takes at most.
const MAX_SLICES: usize = 32;

/// So much memory of tails that have been written waits, on one thread, for the next ones.
const SPARE: usize = 4 * 1024 * 1024;

/// A tail that has grown larger than this is not kept.
const SPARE_TAIL: usize = 64 * 1024;

/// Up to here it does not matter.
const MUCH: usize = 4 * 1024;

thread_local! {
    /// Tails that have been written: a connection of which nothing waits holds no memory for it.
    static SPARES: RefCell<Spares> = RefCell::default();
}

/// Tails that have been written.
#[derive(Debug, Default)]
struct Spares {
    tails: Vec<Vec<u8>>,
    /// What they have room for, together.
    room: usize,
}

impl Spares {
    fn take(&mut self) -> Vec<u8> {
        let tail = self.tails.pop().unwrap_or_default();
        self.room -= tail.capacity();
        tail
    }

    fn give_back(&mut self, mut tail: Vec<u8>) {
        let room = tail.capacity();
        if (1..=SPARE_TAIL).contains(&room) && self.room + room <= SPARE {
            tail.clear();
            self.room += room;
            self.tails.push(tail);
        }
    }
}

/// The outbound buffer. Small frames are gathered in one tail; large payloads stand by themselves
/// and are not copied.
// In the order of its fields, so that what every send looks at stands together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Outbound {
    /// There only while there are any.
    #[allow(clippy::box_collection, reason = "it is rare, and there are many connections")]
    pieces: Option<Box<VecDeque<Bytes>>>,
    /// How much of the tail is written, while no piece stands before it.
    written: usize,
    len: usize,
    tail: Vec<u8>,
}

impl Outbound {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes, copied.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.tail().extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends parts, copied, but for the first `skip` bytes of them together.
    pub fn extend_parts(&mut self, parts: &[&[u8]], mut skip: usize) {
        for part in parts {
            let skipped = skip.min(part.len());
            self.extend(&part[skipped..]);
            skip -= skipped;
        }
    }

    /// Appends bytes, shared.
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        let pieces = self.pieces.get_or_insert_default();
        if !self.tail.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.written));
            pieces.push_back(tail);
        }
        pieces.push_back(bytes);
    }

    /// Lets `append` add to the end.
    pub fn append<R>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.tail.len();
        let result = append(self.tail());
        self.len += self.tail.len() - before;
        result
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.capacity() == 0 {
            self.tail = SPARES.with_borrow_mut(Spares::take);
        }
        &mut self.tail
    }

    /// Writes as much as `write` takes: `Ok(true)` once nothing waits any more, `Ok(false)` where
    /// it would block.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` and `Interrupted`; a write of nothing is `WriteZero`.
    pub fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.len > 0 {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            let pieces = self.pieces.iter().flat_map(|pieces| pieces.iter());
            for piece in pieces.take(MAX_SLICES - 1) {
                slices[count] = IoSlice::new(piece);
                count += 1;
            }
            let all = self.pieces.as_ref().is_none_or(|pieces| pieces.len() == count);
            if all && self.written < self.tail.len() {
                slices[count] = IoSlice::new(&self.tail[self.written..]);
                count += 1;
            }
            match write(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.give_up_room();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// What waits may wait for long: a tail that was used before must not be much too large for it.
    fn give_up_room(&mut self) {
        if self.tail.capacity() > MUCH && self.tail.capacity() / 4 > self.tail.len() {
            self.tail.shrink_to_fit();
        }
    }

    fn advance(&mut self, mut n: usize) {
        self.len -= n;
        if let Some(pieces) = &mut self.pieces {
            while let Some(piece) = pieces.front_mut() {
                if n < piece.len() {
                    piece.advance(n);
                    return;
                }
                n -= piece.len();
                pieces.pop_front();
            }
            self.pieces = None;
        }
        self.written += n;
        if self.written == self.tail.len() {
            self.written = 0;
            let tail = std::mem::take(&mut self.tail);
            SPARES.with_borrow_mut(|spares| spares.give_back(tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_is_written_in_order(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
            room in prop::collection::vec(0usize..50, 1..80),
        ) {
            let mut out = Outbound::default();
            let mut expected = Vec::new();
            let mut written = Vec::new();
            let mut room = room.into_iter();
            let mut flush = |out: &mut Outbound, written: &mut Vec<u8>| {
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
        let mut out = Outbound::default();
        out.extend(&[0; 40_000]);
        assert!(out.flush(|slices| Ok(slices[0].len())).unwrap());
        assert_eq!(out.tail.capacity(), 0);
        out.extend(b"little");
        assert!(out.tail.capacity() >= 40_000, "the same again");
        assert!(!out.flush(|_| Err(io::ErrorKind::WouldBlock.into())).unwrap());
        assert!(out.tail.capacity() <= MUCH);
    }
}
