//! The places of a queue's owner: who a connection's number belongs to.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Values that an owner keeps, one of each of its connections, by number.
///
/// A place is used again, a number is not: it has the place in its lower half, and in its upper one
/// how many numbers the process had given before. What is said of a connection that is gone finds
/// nobody, whoever has its place now. (A number would have to be kept while 2^32 connections come, to
/// be taken for another's.)
#[derive(Debug)]
pub struct Slab<T> {
    values: Vec<Option<T>>,
    /// Apart from the values, which are smaller without.
    generations: Vec<u32>,
    free: Vec<u32>,
}

/// Count of the numbers that have been given.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// The place that a number has.
pub fn slot(number: u64) -> u32 {
    number as u32
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { values: Vec::new(), generations: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a value; its number.
    pub fn insert(&mut self, value: T) -> u64 {
        let generation = GIVEN.fetch_add(1, Relaxed);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.values[slot as usize] = Some(value);
                self.generations[slot as usize] = generation;
                slot
            }
            None => {
                self.values.push(Some(value));
                self.generations.push(generation);
                (self.values.len() - 1) as u32
            }
        };
        u64::from(generation) << 32 | u64::from(slot)
    }

    /// Value that has this number.
    pub fn get(&self, number: u64) -> Option<&T> {
        let index = self.index(number)?;
        self.values[index].as_ref()
    }

    /// Value that has this number, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = self.index(number)?;
        self.values[index].as_mut()
    }

    /// Gives up what has this number, and its place.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let index = self.index(number)?;
        let value = self.values[index].take()?;
        self.free.push(slot(number));
        Some(value)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = slot(number) as usize;
        let generation = (number >> 32) as u32;
        (*self.generations.get(index)? == generation).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_a_number_is_not() {
        let mut slots = Slab::default();
        let [first, second] = ["first", "second"].map(|name| slots.insert(name));
        assert_eq!(slots.remove(first), Some("first"));
        let third = slots.insert("third");

        assert_eq!((slot(third), slots.len()), (slot(first), 2));
        assert_ne!(third, first);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!((slots.get(second), slots.get(third)), (Some(&"second"), Some(&"third")));
    }

    #[test]
    fn nobody_is_found_by_the_number_of_a_connection_of_another_owner() {
        let (mut ours, mut theirs) = (Slab::default(), Slab::default());
        let number = ours.insert(1);
        theirs.insert(2);
        assert_eq!(theirs.get(number), None);
        assert_eq!(theirs.remove(number), None);
        assert_eq!(theirs.len(), 1);
        assert_eq!(Slab::<u8>::default().get(number), None);
    }
}
