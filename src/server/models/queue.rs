//! The event queue and its wake-up edge.

use std::sync::Arc;

use loom::thread;

use super::model;
use crate::server::{batch::Batch, delivery::Delivery, event_queue::EventQueue};

/// Appends a producer's numbered records, so many under each lock.
fn produce(queue: &EventQueue, producer: u64, appends: &[u8]) {
    let mut number = 0;
    for count in appends {
        let mut batch = queue.lock().unwrap();
        for _ in 0..*count {
            batch.push_bytes(producer, &[number]);
            number += 1;
        }
    }
}

/// Appends them one by one, and wakes the owner once for all of them, as a listener does.
fn produce_quietly(queue: &EventQueue, producer: u64, count: u8) {
    let mut wakes = false;
    for number in 0..count {
        let mut batch = queue.lock().unwrap();
        batch.push_bytes(producer, &[number]);
        wakes |= batch.unlock_quietly();
    }
    if wakes {
        queue.wake();
    }
}

/// Records that the queue's owner has seen: of each producer all so far, in order.
#[derive(Default)]
struct Seen {
    next: [u8; 2],
    takes: u64,
    wakes: u64,
}

impl Seen {
    fn count(&self) -> u8 {
        self.next.iter().sum()
    }

    /// As `Native::Server#drain`, whose turn ends after `limit` records, or with an exception.
    fn drain(&mut self, queue: &EventQueue, batch: &mut Batch, limit: usize) {
        if batch.is_empty() {
            queue.take(batch);
            self.takes += 1;
        }
        for _ in 0..limit {
            let Some(record) = batch.pop() else { return };
            let Delivery::Bytes(span) = record.delivery else { panic!("{record:?}") };
            let next = &mut self.next[record.connection as usize];
            assert_eq!(batch.bytes(span), [*next], "of producer {}", record.connection);
            *next += 1;
        }
        queue.wake();
        self.wakes += 1;
    }

    /// Sleeps and drains until so many have come.
    fn drain_all(&mut self, queue: &EventQueue, limit: usize, count: u8) {
        let mut batch = Batch::default();
        while self.count() < count {
            queue.wakeup.wait();
            self.drain(queue, &mut batch, limit);
        }
    }
}

fn run(appends: [&'static [u8]; 2], limit: usize) {
    let queue = Arc::new(EventQueue::new().unwrap());
    let producers: Vec<_> = (0..)
        .zip(appends)
        .map(|(producer, appends)| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || produce(&queue, producer, appends))
        })
        .collect();
    let mut seen = Seen::default();
    let count = |appends: &[u8]| appends.iter().sum::<u8>();
    seen.drain_all(&queue, limit, appends.map(count).iter().sum());
    for producer in producers {
        producer.join().unwrap();
    }
    assert_eq!(seen.next, appends.map(count));
    assert!(queue.is_empty());
    // An append finds the queue empty once, and once more each time it has been taken.
    let (sets, Seen { takes, wakes, .. }) = (queue.wakeup.sets(), seen);
    assert!(sets <= wakes + takes + 1, "set {sets} times, taken {takes} times");
}

#[test]
fn no_record_is_lost_or_overtaken_and_none_waits_for_a_sleeper() {
    model(3, || run([&[1, 1], &[1, 1]], usize::MAX));
}

#[test]
fn the_owner_does_not_sleep_while_quietly_appended_records_wait() {
    model(3, || {
        let queue = Arc::new(EventQueue::new().unwrap());
        let quiet = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || produce_quietly(&queue, 0, 2))
        };
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || produce(&queue, 1, &[1, 1]))
        };
        let mut seen = Seen::default();
        seen.drain_all(&queue, usize::MAX, 4);
        quiet.join().unwrap();
        other.join().unwrap();
        assert_eq!(seen.next, [2, 2]);
        assert!(queue.is_empty());
    });
}

#[test]
fn the_owner_does_not_sleep_while_a_turn_has_left_records() {
    model(3, || run([&[2, 1], &[1]], 1));
}
