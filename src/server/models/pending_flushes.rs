//! The clock of a long drain.

use std::sync::Arc;

use super::{model, spawn};
use crate::server::pending_flushes::TickState;

#[test]
fn the_clock_goes_during_a_drain_that_begins_as_it_stops() {
    model(3, || {
        let ticking = Arc::new(TickState::default());
        assert!(ticking.starts());
        let clock = {
            let ticking = Arc::clone(&ticking);
            spawn(move || ticking.drain() % 2 == 0 && ticking.stops())
        };
        ticking.turn();
        let is_started = ticking.starts();
        let has_stopped = clock.join().unwrap();
        assert_eq!(is_started, has_stopped, "it goes once");
    });
}
