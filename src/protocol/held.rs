//! Memory that counts for as long as it is held.

use std::{fmt, sync::Arc};

/// Counter of memory that is held, for whoever bounds it.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Counts this many bytes more as held.
    fn add(&self, bytes: usize);
    /// Counts this many bytes fewer.
    fn remove(&self, bytes: usize);
}

/// Bytes that are counted while this lives: nothing that is dropped stays counted.
#[derive(Debug, Default)]
pub struct Held {
    meter: Option<Arc<dyn Meter>>,
    bytes: usize,
}

impl Held {
    /// Nothing yet; where there is no meter, nobody counts.
    pub fn new(meter: Option<Arc<dyn Meter>>) -> Self {
        Self { meter, bytes: 0 }
    }

    /// Number of bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets the number of bytes that are held now.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if let Some(meter) = self.meter.as_ref().filter(|_| before != bytes) {
            if bytes > before {
                meter.add(bytes - before);
            } else {
                meter.remove(before - bytes);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Meter for Count {
        fn add(&self, bytes: usize) {
            self.0.fetch_add(bytes, SeqCst);
        }

        fn remove(&self, bytes: usize) {
            self.0.fetch_sub(bytes, SeqCst);
        }
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let count = Arc::<Count>::default();
        let meter = || Some(Arc::clone(&count) as Arc<dyn Meter>);
        let mut one = Held::new(meter());
        let mut other = Held::new(meter());
        for (bytes, together) in [(10, 15), (3, 8), (3, 8), (0, 5), (100, 105)] {
            one.set(bytes);
            other.set(5);
            assert_eq!(count.0.load(SeqCst), together);
        }
        drop(one);
        assert_eq!(count.0.load(SeqCst), 5);
        drop(other);
        assert_eq!(count.0.load(SeqCst), 0);
    }
}
