//! Writing: by the threads that send, and by the driver of what the socket did not take.

use std::{sync::Arc, time::Duration};

use super::{frame, join, Driver, QueueOwner, Site};
use crate::{
    protocol::{
        close::CloseCode,
        deflate::{Config, Deflater, Params},
        version::RFC_6455,
    },
    server::{
        config::QueueLimits,
        delivery::Delivery,
        handle::Handle,
        models::{block_on, model, socket::Peer, spawn, spawn_task},
        outbound::compression::Compressor,
        outbound::Flush,
        owner::Owner,
    },
};

pub(super) const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Takes the whole frames off what has come: first byte and payload of each.
pub(super) fn take_frames(wire: &mut Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, ..] = wire[..] {
        let end = 2 + len as usize;
        assert!(len < 126 && [TEXT, CLOSE, PING, PONG].contains(&first), "{wire:?}");
        if wire.len() < end {
            break;
        }
        let frame: Vec<_> = wire.drain(..end).collect();
        frames.push((first, frame[2..].to_vec()));
    }
    frames
}

/// Reads until so many frames have come, and nothing else.
pub(super) fn receive(peer: &Peer, count: usize) -> Vec<(u8, Vec<u8>)> {
    let (mut wire, mut frames) = (Vec::new(), Vec::new());
    while frames.len() < count {
        let bytes = peer.receive();
        assert!(!bytes.is_empty(), "the end after {frames:?}");
        wire.extend(bytes);
        frames.extend(take_frames(&mut wire));
    }
    assert_eq!((frames.len(), &wire[..]), (count, &[][..]), "{frames:?}");
    frames
}

/// Reads to the end: the whole frames, and what is left of one that is not.
fn receive_all(peer: &Peer) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
    let mut wire = Vec::new();
    loop {
        let bytes = peer.receive();
        if bytes.is_empty() {
            return (take_frames(&mut wire), wire);
        }
        wire.extend(bytes);
    }
}

/// Those of one thread, which begin with its letter, in the order they came in.
fn of(letter: u8, frames: &[(u8, Vec<u8>)]) -> Vec<&[u8]> {
    let payloads = frames.iter().map(|(_, payload)| &payload[..]);
    payloads.filter(|payload| payload.first() == Some(&letter)).collect()
}

fn send(handle: &Handle, text: &str, flush: Flush) {
    handle.send_text(text.as_bytes(), flush).unwrap();
}

#[test]
fn frames_of_two_threads_and_what_the_driver_writes_of_them_are_whole_and_in_order() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 3);
        let (a, b) = (handle.clone(), handle.clone());
        let threads = [
            spawn_task(driver),
            spawn(move || {
                send(&a, "a0", Flush::Now);
                send(&a, "a1", Flush::Now);
            }),
            spawn(move || {
                send(&b, "b0", Flush::Later);
                b.flush();
            }),
        ];
        let frames = receive(&peer, 3);
        assert_eq!(of(b'a', &frames), [b"a0", b"a1"]);
        assert_eq!(of(b'b', &frames), [b"b0"]);
        handle.abort();
        join(threads);
        assert!(peer.receive().is_empty());
    });
}

#[test]
fn a_pong_goes_between_frames() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 3);
        peer.send(&frame(PING, b"p"));
        let a = handle.clone();
        let threads = [
            spawn_task(driver),
            spawn(move || {
                send(&a, "a0", Flush::Now);
                a.ping(b"a1", Flush::Now).unwrap();
            }),
        ];
        let frames = receive(&peer, 3);
        assert_eq!(of(b'a', &frames), [b"a0", b"a1"]);
        assert_eq!(of(b'p', &frames), [b"p"]);
        handle.abort();
        join(threads);
    });
}

/// Leaves messages of two bytes and more to the driver, as where they are compressed. That they take
/// this way is what matters, not what becomes of them, which would take its time.
pub(super) fn defer(driver: &mut Driver, handle: &Handle) {
    let as_they_are = Config { threshold: usize::MAX, ..Config::default() };
    let deflater = Deflater::new(&Params::default(), &as_they_are);
    let (compressor, deferred) = Compressor::new(deflater, &RFC_6455, 2);
    driver.timers.get_or_insert_default().compressor = Some(Box::new(compressor));
    handle.0.driver_lock().outbox.begin_compression(deferred);
}

#[test]
fn nothing_overtakes_what_is_left_to_the_driver_to_compress() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (mut driver, handle, peer) = site.open(0, 3);
        defer(&mut driver, &handle);
        let (a, b) = (handle.clone(), handle.clone());
        let threads = [
            spawn_task(driver),
            spawn(move || {
                send(&a, "a0", Flush::Later);
                a.flush();
            }),
            spawn(move || {
                send(&b, "b0", Flush::Now);
                b.ping(b"b1", Flush::Now).unwrap();
            }),
        ];
        let frames = receive(&peer, 3);
        assert_eq!(of(b'a', &frames), [b"a0"]);
        assert_eq!(of(b'b', &frames), [b"b0", b"b1"]);
        handle.abort();
        join(threads);
    });
}

/// Ends a connection while a thread sends: what the peer has got when it is over.
fn end(prepare: fn(&mut Driver, &Handle), end: fn(&Handle)) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
    let site = Site::new(QueueLimits::default());
    let (mut driver, handle, peer) = site.open(0, 3);
    prepare(&mut driver, &handle);
    let a = handle.clone();
    let threads = [
        spawn_task(driver),
        spawn(move || {
            // Too late, perhaps.
            let _ = a.send_text(b"a0", Flush::Now);
        }),
        spawn(move || {
            send(&handle, "b0", Flush::Later);
            end(&handle);
        }),
    ];
    let (frames, rest) = receive_all(&peer);
    // It is listened to until it sends no more.
    peer.send(b"");
    join(threads);
    assert!(peer.is_alone());
    assert_eq!(site.records(), ["Closed"]);
    (frames, rest)
}

#[test]
fn frames_sent_before_the_end_are_written_whole() {
    model(2, || {
        let (frames, rest) = end(|_, _| (), Handle::close_after_writing);
        assert_eq!((of(b'b', &frames), &rest[..]), (vec![&b"b0"[..]], &[][..]));
    });
}

#[test]
fn frames_left_to_the_driver_to_compress_before_the_end_are_written_whole() {
    model(2, || {
        let (frames, rest) = end(defer, Handle::close_after_writing);
        assert_eq!((of(b'b', &frames), &rest[..]), (vec![&b"b0"[..]], &[][..]));
    });
}

#[test]
fn an_abort_at_any_moment_ends_the_connection() {
    model(2, || {
        end(|_, _| (), Handle::abort);
    });
}

#[test]
fn our_close_stands_behind_what_was_sent_before_it_and_before_nothing() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let (driver, handle, peer) = site.open(0, 3);
        let (a, b) = (handle.clone(), handle.clone());
        let threads = [
            spawn_task(driver),
            spawn(move || {
                let _ = a.send_text(b"a0", Flush::Now);
            }),
            spawn(move || {
                send(&b, "b0", Flush::Later);
                b.close(Some(CloseCode::NORMAL), "");
            }),
        ];
        let (mut wire, mut frames) = (Vec::new(), Vec::new());
        while frames.last().is_none_or(|(first, _)| *first != CLOSE) {
            wire.extend(peer.receive());
            frames.extend(take_frames(&mut wire));
        }
        assert_eq!(of(b'b', &frames), [b"b0"]);
        handle.abort();
        join(threads);
        wire.extend(peer.receive());
        assert!(wire.is_empty(), "{wire:?} behind {frames:?}");
    });
}

#[test]
fn a_peer_that_has_only_stopped_sending_gets_all_that_was_sent() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let mut owner = QueueOwner::new(&site);
        let (driver, handle, peer) = site.open(0, 3);
        peer.send(b"");
        let a = handle.clone();
        let receiver = spawn(move || receive_all(&peer));
        let threads = [
            spawn_task(driver),
            spawn(move || {
                let _ = a.send_text(b"a0", Flush::Now);
            }),
        ];
        assert!(matches!(owner.next().delivery, Delivery::Closed));
        send(&handle, "o0", Flush::Later);
        Owner::new(&handle).closed();
        join(threads);
        let (frames, rest) = receiver.join().unwrap();
        assert_eq!((of(b'o', &frames), &rest[..]), (vec![&b"o0"[..]], &[][..]));
    });
}

#[test]
fn the_owner_learns_that_the_outbox_has_drained_to_half() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let mut owner = QueueOwner::new(&site);
        let (driver, handle, peer) = site.open(0, 3);
        handle.set_high_water(2);
        let driver = spawn_task(driver);
        let receiver = spawn(move || {
            receive(&peer, 1);
        });
        send(&handle, "o0", Flush::Later);
        handle.flush();
        assert!(matches!(owner.next().delivery, Delivery::Drained));
        join([receiver]);
        handle.abort();
        join([driver]);
    });
}

/// The connection's place may be another's by then.
#[test]
fn the_owner_learns_of_nothing_behind_closed() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let mut owner = QueueOwner::new(&site);
        let (driver, handle, peer) = site.open(0, 3);
        handle.set_high_water(2);
        send(&handle, "o0", Flush::Later);
        peer.send(b"");
        let receiver = spawn(move || drop(receive_all(&peer)));
        let driver = spawn_task(driver);
        loop {
            match owner.next().delivery {
                Delivery::Closed => break,
                delivery => assert!(matches!(delivery, Delivery::Drained), "{delivery:?}"),
            }
        }
        Owner::new(&handle).closed();
        join([receiver, driver]);
        assert_eq!((owner.batch.len(), site.records()), (0, vec![]));
    });
}

#[test]
fn a_stop_waits_until_the_sockets_are_closed() {
    model(3, || {
        let site = Site::new(QueueLimits::default());
        let (driver, _handle, peer) = site.open(0, 3);
        let driver = spawn_task(driver);
        site.registry.abort_all();
        assert_eq!(site.registry.wait_for_none(Duration::ZERO), 0);
        assert!(peer.is_alone());
        join([driver]);
    });
}

#[test]
fn a_stop_ends_what_begins_meanwhile() {
    model(3, || {
        let site = Arc::new(Site::new(QueueLimits::default()));
        let late = Arc::clone(&site);
        let driver = spawn(move || {
            let (driver, _handle, _peer) = late.open(1, 3);
            block_on(driver);
        });
        site.registry.abort_all();
        assert_eq!(site.registry.wait_for_none(Duration::ZERO), 0);
        join([driver]);
    });
}
