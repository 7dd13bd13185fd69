//! Decisions on an opening handshake: whoever comes first decides.

use super::{frame, join, QueueOwner, Site};
use crate::{
    protocol::version::RFC_6455,
    server::{
        config::QueueLimits,
        delivery::Delivery,
        models::{model, spawn, spawn_task},
        owner::Owner,
    },
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A client sends a message early, and leaves, while the application decides late.
#[test]
fn a_client_that_leaves_is_gone_or_its_connection_is_open_but_not_both() {
    model(2, || {
        let site = Site::new(QueueLimits::default());
        let mut owner = QueueOwner::new(&site);
        let (driver, handle, peer) = site.accept(0, 1000, true);
        peer.send(REQUEST);
        let driver = spawn_task(driver);
        let Delivery::Open(opened) = owner.next().delivery else { panic!("it is not asked") };
        let answer = opened.response.expect("it is asked").to_bytes();
        let peer = spawn(move || {
            peer.send(&frame(0x81, b"m"));
            peer.send(b"");
            peer
        });
        handle.set_deferred(true);
        let right = Owner::new(&handle);
        if let Some(opening) = right.open_with(&answer, opened.profile) {
            drop(opening);
            let record = owner.next();
            assert!(matches!(record.delivery, Delivery::Message(..)), "{record:?}");
        }
        let record = owner.next();
        assert!(matches!(record.delivery, Delivery::Closed), "{record:?}");
        assert!(right.open(&RFC_6455).is_none());
        right.closed();
        join([driver]);
        drop(peer.join().unwrap());
        assert!(site.records().is_empty());
    });
}

/// The end of the time is what refuses here, by what it does: in a model, no clock goes on.
#[test]
fn one_of_all_who_decide_an_opening_handshake_decides_it() {
    model(3, || {
        let site = Site::new(QueueLimits::default());
        let (_driver, handle, _peer) = site.accept(0, 1000, true);
        let time = {
            let handle = handle.clone();
            spawn(move || handle.close_opening())
        };
        let application = {
            let handle = handle.clone();
            spawn(move || handle.reject_handshake(b"no"))
        };
        let is_open = Owner::new(&handle).open_with(b"yes", &RFC_6455).is_some();
        let decisions = [is_open, time.join().unwrap(), application.join().unwrap()];
        assert_eq!(decisions.iter().filter(|&&has| has).count(), 1, "{decisions:?}");
    });
}
