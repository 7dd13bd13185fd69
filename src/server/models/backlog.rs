//! The bounds by themselves: whoever rests goes on once enough is delivered, even if nothing of its
//! own is.

use std::{array, net::SocketAddr, sync::Arc};

use super::{model, spawn, sync::atomic::Ordering::SeqCst};
use crate::server::{
    backlog::Backlog,
    compressing::Compressing,
    config::{QueueLimits, ReadSize},
    handle::Handle,
    link::hold,
};

fn connections<const COUNT: usize>(limits: QueueLimits) -> [Handle; COUNT] {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let backlog = Arc::new(Backlog::new(limits, ReadSize::default(), Compressing::default()));
    array::from_fn(|_| Handle::new(0, address, address, Arc::clone(&backlog)))
}

/// Whether it is not read.
fn rests(handle: &Handle) -> bool {
    handle.0.hold.load(SeqCst) & hold::FULL != 0
}

#[test]
fn a_connection_does_not_rest_while_little_of_its_own_waits() {
    model(3, || {
        let [one] = connections(QueueLimits { bytes: 100, messages: 2, total: 100 });
        one.0.queued(1, 1);
        let driver = one.clone();
        let driver = spawn(move || driver.0.queued(1, 1));
        one.delivered(1, 1);
        driver.join().unwrap();
        assert!(!rests(&one));
    });
}

#[test]
fn nor_while_little_waits_altogether() {
    model(3, || {
        let all: [_; 3] = connections(QueueLimits { bytes: 100, messages: 100, total: 4 });
        let [one, other, third] = all.clone();
        one.0.queued(2, 1);
        one.0.queued(2, 1);
        assert!(rests(&one));
        let drivers = [other, third].map(|driver| spawn(move || driver.0.queued(1, 1)));
        one.delivered(2, 1);
        one.delivered(2, 1);
        for driver in drivers {
            driver.join().unwrap();
        }
        assert_eq!(all.each_ref().map(rests), [false; 3]);
    });
}
