//! Where bytes land: memory that goes round between whoever reads and whoever delivers.

use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;

use super::config::ReadSize;

/// One piece of memory, whatever a server reads at a time.
const PIECE: usize = ReadSize::MOST;

/// So many pieces may wait until what stands in them has been delivered; past that, memory is
/// given back and asked for again.
const RESTING: usize = 16;

/// What a server's drivers read with, so that no connection holds memory while it waits: as many as
/// there are drivers that read at the same time. Threads have none of their own, because there are
/// more of them: those that stand in for others that compress or inflate.
// Held for no longer than it takes to move something in or out, so no model tries it.
#[derive(Debug, Default)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Lends what was used last.
    pub(crate) fn lend<R>(&self, borrow: impl FnOnce(&mut T) -> R) -> R {
        let resting = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lent = resting().pop().unwrap_or_default();
        let result = borrow(&mut lent);
        resting().push(lent);
        result
    }
}

/// The landing place of one driver at a time.
#[derive(Debug, Default)]
pub(crate) struct Landing {
    current: BytesMut,
    /// Pieces of which parts are still in use, and what will be free of each again.
    resting: Vec<BytesMut>,
}

impl Landing {
    /// An empty buffer with room for a read, half of the largest at least.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.current.clear();
        if !self.current.try_reclaim(PIECE) && self.current.capacity() < PIECE / 2 {
            self.turn();
        }
        &mut self.current
    }

    /// Goes on with another piece.
    fn turn(&mut self) {
        let free = self.resting.iter_mut().position(|piece| piece.try_reclaim(PIECE));
        let next = match free {
            Some(free) => self.resting.swap_remove(free),
            None => BytesMut::with_capacity(PIECE),
        };
        let used = std::mem::replace(&mut self.current, next);
        if used.capacity() > 0 || !self.resting.is_empty() {
            self.resting.push(used);
        }
        if self.resting.len() > RESTING {
            self.resting.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_used_at_the_same_time() {
        let pool = Pool::<Vec<u8>>::default();
        pool.lend(|first| {
            first.push(1);
            pool.lend(|second| {
                assert!(second.is_empty());
                second.push(2);
            });
        });
        for _ in 0..10 {
            pool.lend(|last| assert_eq!(last, &[1]));
            std::thread::scope(|scope| {
                scope.spawn(|| pool.lend(|last| assert_eq!(last, &[1])));
            });
        }
        assert_eq!(pool.0.into_inner().unwrap().len(), 2);
    }

    #[test]
    fn what_is_split_off_stays_and_its_memory_comes_round_again() {
        let mut landing = Landing::default();
        let mut places = Vec::new();
        for number in 0..100u8 {
            let mut kept = Vec::new();
            for _ in 0..4 {
                let room = landing.room();
                assert!(room.is_empty() && room.capacity() >= PIECE / 2);
                room.extend_from_slice(&[number; PIECE / 4]);
                kept.push(room.split_to(PIECE / 8).freeze());
            }
            assert!(kept.iter().all(|bytes| bytes.iter().all(|byte| *byte == number)));
            places.extend(kept.iter().map(|bytes| bytes.as_ptr()));
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 8, "{} places", places.len());
    }

    #[test]
    fn no_more_than_so_many_pieces_rest() {
        let mut landing = Landing::default();
        let kept: Vec<_> = (0..100)
            .map(|_| {
                let room = landing.room();
                room.extend_from_slice(&[0; PIECE / 2 + 1]);
                room.split().freeze()
            })
            .collect();
        assert_eq!(landing.resting.len(), RESTING);
        drop(kept);
        landing.room();
        assert_eq!(landing.resting.len(), RESTING);
    }
}
