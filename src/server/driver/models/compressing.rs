//! Compression on other threads, of which there is one: whoever waits for it, or for a frame that
//! another connection's driver makes, is woken.

use std::sync::Arc;

use super::{
    join,
    writing::{defer, receive, TEXT},
    Driver, Site,
};
use crate::server::{
    config::QueueLimits,
    handle::Handle,
    models::{model, socket::Peer, spawn_task},
    outbound::broadcast::Broadcast,
    outbound::Flush,
};

/// Longer than what is compressed at once.
const LONG: &[u8] = b"a long one";

/// Connections that compress, whose sockets take everything at once.
fn open<const COUNT: usize>(site: &Site) -> [(Driver, Handle, Peer); COUNT] {
    std::array::from_fn(|number| {
        let (mut driver, handle, peer) = site.open(number as u64, 100);
        defer(&mut driver, &handle);
        (driver, handle, peer)
    })
}

#[test]
fn messages_that_wait_for_compression_get_their_turn_and_are_overtaken_by_nothing() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let both = open::<2>(&site).map(|(driver, handle, peer)| {
            handle.send_text(LONG, Flush::Now).unwrap();
            handle.send_text(b"b", Flush::Now).unwrap();
            (spawn_task(driver), handle, peer)
        });
        for (driver, handle, peer) in both {
            assert_eq!(receive(&peer, 2), [(TEXT, LONG.to_vec()), (TEXT, b"b".to_vec())]);
            handle.abort();
            join([driver]);
        }
    });
}

#[test]
fn a_broadcast_reaches_everybody_whoever_makes_its_frame() {
    for message in [&b"abc"[..], LONG] {
        model(2, move || {
            let site = Site::new(QueueLimits::default());
            let message_ = Arc::new(Broadcast::text(message));
            let both = open::<2>(&site).map(|(driver, handle, peer)| {
                handle.send_shared(&message_, Flush::Now);
                (spawn_task(driver), handle, peer)
            });
            for (driver, handle, peer) in both {
                assert_eq!(receive(&peer, 1), [(TEXT, message.to_vec())]);
                handle.abort();
                join([driver]);
            }
        });
    }
}

/// The first may have opening to make it, or wait for its turn to, behind something of the other's.
#[test]
fn a_broadcast_reaches_the_others_where_who_makes_its_frame_is_aborted() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let message = Arc::new(Broadcast::text(LONG));
        let [first, second] = open::<2>(&site);
        let (driver, first, _peer) = (first.0, first.1, first.2);
        first.send_shared(&message, Flush::Now);
        let one = spawn_task(driver);
        let (driver, second, peer) = second;
        second.send_text(b"own, long", Flush::Now).unwrap();
        second.send_shared(&message, Flush::Now);
        let two = spawn_task(driver);
        first.abort();
        let frames = receive(&peer, 2);
        assert_eq!(frames, [(TEXT, b"own, long".to_vec()), (TEXT, LONG.to_vec())]);
        second.abort();
        join([one, two]);
    });
}
