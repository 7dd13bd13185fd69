//! The bounds by themselves: whoever rests goes on once enough is delivered, even if nothing of its
//! own is.

use std::{array, net::SocketAddr, sync::Arc};

use super::{model, spawn, sync::atomic::Ordering::SeqCst};
use crate::server::{
    addresses::Addresses,
    charge::Charge,
    config::QueueLimits,
    connection::held,
    handle::Handle,
    inbound::{Claim, InboundBudget},
    pause,
};

fn connections<const COUNT: usize>(limits: QueueLimits) -> [Handle; COUNT] {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let budget = Arc::new(InboundBudget::new(limits));
    array::from_fn(|_| Handle::new(0, Addresses::new(address, address), Arc::clone(&budget)))
}

/// True if it is not read.
fn rests(handle: &Handle) -> bool {
    handle.0.pauses.load(SeqCst) & (pause::INBOUND_FULL | pause::BUDGET_FULL) != 0
}

/// Reads as its driver does: asks first, and queues what that brings.
fn read(handle: &Handle, bytes: usize) -> Option<Charge> {
    handle.0.budget.may_read(&handle.0, None).then(|| Charge::new(&handle.0, bytes, 1))
}

#[test]
fn a_connection_does_not_rest_while_little_of_its_own_waits() {
    model(3, || {
        let [one] = connections(QueueLimits { bytes: 100, messages: 2, total: 100 });
        let charge = Charge::new(&one.0, 1, 1);
        let driver = one.clone();
        let driver = spawn(move || Charge::new(&driver.0, 1, 1));
        drop(charge);
        let charge = driver.join().unwrap();
        assert!(!rests(&one));
        drop(charge);
    });
}

#[test]
fn no_connection_stays_paused_while_little_waits_on_all_together() {
    model(3, || {
        let all: [_; 3] = connections(QueueLimits { bytes: 100, messages: 100, total: 4 });
        let [one, other, third] = all.clone();
        let mut charge = read(&one, 4).unwrap();
        assert!(read(&one, 1).is_none() && rests(&one));
        let drivers = [other, third].map(|driver| spawn(move || read(&driver, 1)));
        charge.release(2, 1);
        drop(charge);
        let charges = drivers.map(|driver| driver.join().unwrap());
        assert_eq!(all.each_ref().map(rests), [false; 3]);
        drop(charges);
    });
}

/// Messages that are not complete take all the room: their connections go on one after the other,
/// whatever else happens meanwhile, and so does whoever has none.
#[test]
fn a_connection_that_waits_for_its_turn_gets_it() {
    model(3, || {
        let [one, other, small] = connections(QueueLimits { bytes: 100, messages: 9, total: 4 });
        let claim = Some(Claim { outstanding: 10, limit: 10 });
        let holds = held(&one.0, 4);
        let waits = Charge::new(&small.0, 2, 1);
        let turns = [one.clone(), other.clone()].map(|handle| {
            spawn(move || {
                let budget = &handle.0.budget;
                while !budget.may_read(&handle.0, claim) {
                    while rests(&handle) {
                        loom::thread::yield_now();
                    }
                }
                budget.end_turn(&handle.0);
            })
        });
        drop(waits);
        for turn in turns {
            turn.join().unwrap();
        }
        assert!(read(&small, 1).is_some());
        drop(holds);
        assert_eq!([one, other, small].each_ref().map(rests), [false; 3]);
    });
}
