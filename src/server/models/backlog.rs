//! The bounds by themselves: whoever rests goes on once enough is delivered, even if nothing of its
//! own is.

use std::{net::SocketAddr, sync::Arc};

use super::{model, spawn, sync::atomic::Ordering::SeqCst};
use crate::server::{backlog::Backlog, config::QueueLimits, handle::Handle, link::hold};

fn connections(limits: QueueLimits) -> [Handle; 2] {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let backlog = Arc::new(Backlog::new(limits.total));
    [(), ()].map(|()| Handle::new(0, address, address, limits, Arc::clone(&backlog)))
}

/// Whether it is not read.
fn rests(handle: &Handle) -> bool {
    handle.0.hold.load(SeqCst) & hold::FULL != 0
}

#[test]
fn a_connection_does_not_rest_while_little_of_its_own_waits() {
    model(3, || {
        let [one, _] = connections(QueueLimits { bytes: 100, messages: 2, total: 100 });
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
        let [one, other] = connections(QueueLimits { bytes: 100, messages: 100, total: 4 });
        other.0.queued(2, 1);
        other.0.queued(2, 1);
        assert!(rests(&other));
        let driver = one.clone();
        let driver = spawn(move || driver.0.queued(2, 1));
        other.delivered(2, 1);
        other.delivered(2, 1);
        driver.join().unwrap();
        assert!(!rests(&one) && !rests(&other));
    });
}
