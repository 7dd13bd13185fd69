//! Where bytes land: memory that goes round between whoever reads and whoever delivers.

use bytes::BytesMut;

use super::config::ReadSize;

/// One piece of memory, whatever the servers of a thread read at a time.
const PIECE: usize = ReadSize::MOST;

/// So many pieces may wait until what stands in them has been delivered; past that, memory is
/// given back and asked for again.
const RESTING: usize = 16;

/// The landing place of one thread.
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
