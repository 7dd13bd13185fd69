//! The event queue: one burst appended, and the whole batch taken.
//!
//! Appending is the drivers' alone, so the core is built in here by its sources.

#![allow(dead_code, unreachable_pub, unused_imports)]

#[path = "../../../../src/protocol/mod.rs"]
mod protocol;
#[path = "../../../../src/server/mod.rs"]
mod server;

use divan::{black_box, counter::ItemsCount, Bencher};
use protocol::{error, CodeRange, Event, Payload};
use server::{Batch, Delivery, EventQueue};

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [64, 1024, 65_536];

/// A burst of sixteen messages under one lock, then taken and read, as with sixteen in flight. The
/// wakeup's two system calls are in it.
#[divan::bench(args = SIZES)]
fn burst_of_sixteen(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, len, 16, 1);
}

/// The same from 64 connections before anybody takes it: what a busy reactor finds.
#[divan::bench(args = [64, 1024])]
fn sixty_four_bursts(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, len, 16, 64);
}

/// One message, and one take.
#[divan::bench(args = SIZES)]
fn one(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, len, 1, 1);
}

fn run(bencher: Bencher<'_, '_>, len: usize, burst: usize, bursts: u32) {
    let queue = EventQueue::new().expect("there are descriptors left");
    let mut batch = Batch::default();
    let payload = vec![b'x'; len];
    let mut sum = 0;
    bencher.counter(ItemsCount::new(burst * bursts as usize)).bench_local(|| {
        for connection in 0..u64::from(bursts) {
            queue.append(|batch| {
                for _ in 0..burst {
                    let payload = Payload::Borrowed(black_box(&payload));
                    batch.push_event(connection, Event::Text(payload, Some(CodeRange::Ascii)));
                }
            });
        }
        queue.take(&mut batch);
        while let Some(record) = batch.pop() {
            sum += match &record.delivery {
                Delivery::Message(_, span) => batch.bytes(*span).len(),
                other => panic!("{other:?}"),
            };
        }
    });
    assert!(sum > 0, "a message must have come");
}
