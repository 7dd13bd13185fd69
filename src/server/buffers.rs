//! Read buffers, recycled between the drivers that fill them and the reactor's thread that delivers
//! from them.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::BytesMut;

use super::config::ReadSize;

/// Read buffers of one server: as many as there are drivers that read at the same time, so that no
/// connection holds memory while it waits.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffers {
    /// Number of bytes that one read takes.
    pub(crate) size: ReadSize,
    pub(crate) plaintext: Pool<ReadBuffer>,
    pub(crate) ciphertext: Pool<Vec<u8>>,
}

impl ReadBuffers {
    pub(crate) fn new(size: ReadSize) -> Self {
        Self { size, ..Self::default() }
    }
}

/// Size of a read buffer, whatever a server reads at a time.
const READ_BUFFER_SIZE: usize = ReadSize::MOST;

/// Number of buffers that are kept until what was attached of them has been delivered; past that,
/// memory is given back and asked for again.
const MAX_RETIRED: usize = 16;

/// Values that are lent to one thread at a time, as many as are used at the same time. Threads have
/// none of their own, because there are more of them: those that compress, for instance.
// Held for no longer than it takes to move something in or out, so no model tries it.
#[derive(Debug, Default)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Value that was used last, until the guard is dropped.
    pub(crate) fn get(&self) -> Lent<'_, T> {
        let value = self.spare().pop().unwrap_or_default();
        Lent { pool: self, value }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Value of a pool, which goes back there when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent<'a, T: Default> {
    pool: &'a Pool<T>,
    value: T,
}

impl<T: Default> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let value = mem::take(&mut self.value);
        self.pool.spare().push(value);
    }
}

/// Read buffer of one driver at a time.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    current: BytesMut,
    /// Buffers of which parts are still in use, and what will be free of each again.
    retired: Vec<BytesMut>,
}

impl ReadBuffer {
    /// An empty buffer with room for a read, half of the largest at least.
    pub(crate) fn prepare(&mut self) -> &mut BytesMut {
        self.current.clear();
        if !self.current.try_reclaim(READ_BUFFER_SIZE)
            && self.current.capacity() < READ_BUFFER_SIZE / 2
        {
            self.rotate();
        }
        &mut self.current
    }

    /// Goes on with another buffer.
    fn rotate(&mut self) {
        let free = self.retired.iter_mut().position(|buffer| buffer.try_reclaim(READ_BUFFER_SIZE));
        let next = match free {
            Some(free) => self.retired.swap_remove(free),
            None => BytesMut::with_capacity(READ_BUFFER_SIZE),
        };
        let used = std::mem::replace(&mut self.current, next);
        if used.capacity() > 0 || !self.retired.is_empty() {
            self.retired.push(used);
        }
        if self.retired.len() > MAX_RETIRED {
            self.retired.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_as_many_values_as_are_lent_at_the_same_time() {
        let pool = Pool::<Vec<u8>>::default();
        {
            let mut first = pool.get();
            first.push(1);
            let mut second = pool.get();
            assert!(second.is_empty());
            second.push(2);
            drop(second);
        }
        for _ in 0..10 {
            assert_eq!(*pool.get(), [1]);
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(*pool.get(), [1]));
            });
        }
        assert_eq!(pool.0.into_inner().unwrap().len(), 2);
    }

    #[test]
    fn bytes_split_off_a_read_buffer_stay_and_its_memory_is_used_again() {
        let mut buffer = ReadBuffer::default();
        let mut places = Vec::new();
        for number in 0..100u8 {
            let mut kept = Vec::new();
            for _ in 0..4 {
                let room = buffer.prepare();
                assert!(room.is_empty() && room.capacity() >= READ_BUFFER_SIZE / 2);
                room.extend_from_slice(&[number; READ_BUFFER_SIZE / 4]);
                kept.push(room.split_to(READ_BUFFER_SIZE / 8).freeze());
            }
            assert!(kept.iter().all(|bytes| bytes.iter().all(|byte| *byte == number)));
            places.extend(kept.iter().map(|bytes| bytes.as_ptr()));
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 8, "{} places", places.len());
    }

    #[test]
    fn a_read_buffer_retires_a_bounded_number_of_buffers() {
        let mut buffer = ReadBuffer::default();
        let kept: Vec<_> = (0..100)
            .map(|_| {
                let room = buffer.prepare();
                room.extend_from_slice(&[0; READ_BUFFER_SIZE / 2 + 1]);
                room.split().freeze()
            })
            .collect();
        assert_eq!(buffer.retired.len(), MAX_RETIRED);
        drop(kept);
        buffer.prepare();
        assert_eq!(buffer.retired.len(), MAX_RETIRED);
    }
}
