//! Cost of a subscription to a channel: memory, which is counted for the whole process, so this
//! is one test in a process of its own; and time, where it is built with optimisation.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]
#![cfg(feature = "server")]
// clippy knows test functions, and not what they share.
#![allow(clippy::unwrap_used)]

#[path = "support/client.rs"]
mod client;
#[path = "support/reactor.rs"]
mod reactor;
mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use client::Client;
use em_websocket::server::{channels::Channels, Flush, Handle};
use reactor::Reactor;

static HELD: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size as isize - layout.size() as isize, SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: usize = 64;
const CHANNELS: usize = 500;

fn subscribe(channels: &Channels, handle: &Handle, name: &str) {
    let result = channels.subscribe(handle, name.as_bytes(), None, CHANNELS + 1, Flush::Now);
    assert!(result.unwrap().unwrap().is_new);
}

/// Subscriptions of some connections to some channels: bytes that one takes.
fn bytes_of_one(channels: &Channels, handles: &[Handle], names: &[String]) -> isize {
    let before = HELD.load(SeqCst);
    for handle in handles {
        names.iter().for_each(|name| subscribe(channels, handle, name));
    }
    let held = HELD.load(SeqCst) - before;
    held / (handles.len() * names.len()) as isize
}

fn leave(channels: &Channels, handles: &[Handle]) {
    handles.iter().for_each(|handle| assert!(channels.unsubscribe_all(handle) > 0));
}

#[test]
fn a_subscription_takes_64_bytes_and_a_million_are_made_and_ended_in_a_second() {
    let reactor = Reactor::echo();
    let channels = Channels::default();
    let open = |_| (Client::open(reactor.addr()), reactor.wait_for_open());
    let (_clients, mut handles): (Vec<_>, Vec<_>) = (0..=CONNECTIONS).map(open).unzip();
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("channel {number}")).collect();
    // A channel has its own memory, and a connection that it has for whatever is rare.
    let first = handles.pop().unwrap();
    bytes_of_one(&channels, std::slice::from_ref(&first), &names);
    for handle in &handles {
        subscribe(&channels, handle, "rare");
    }
    let few = bytes_of_one(&channels, &handles, &names[..1]);
    let many = bytes_of_one(&channels, &handles, &names[1..]);
    println!("{few} bytes of a connection's first subscription, {many} of each in all");
    assert!(few <= 64 && many <= 64, "{few} and {many} bytes");
    let before = HELD.load(SeqCst);
    leave(&channels, &handles);
    let freed = (before - HELD.load(SeqCst)) / (CONNECTIONS * CHANNELS) as isize;
    assert!(freed >= many / 2, "{freed} bytes of each are free again");
    // Without optimisation it is another matter.
    if cfg!(debug_assertions) {
        return;
    }
    for (handles, names) in [(&handles[..1], &names[..]), (&handles[..], &names[..8])] {
        let mut done = 0;
        let begin = Instant::now();
        while done < 1_000_000 {
            for handle in handles {
                names.iter().for_each(|name| subscribe(&channels, handle, name));
            }
            leave(&channels, handles);
            done += handles.len() * names.len();
        }
        let took = begin.elapsed();
        println!("{done} in {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
