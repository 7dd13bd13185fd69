//! One connection keeps `depth` messages in flight, and each goes to all connections. The unit is
//! a delivery. A message is done when as many deliveries have come as all before it and it make.

use std::{thread::sleep, time::Duration};

use super::window::Window;
use crate::{
    arguments::Arguments,
    cycle::Cycle,
    fleet::{Fleet, GLANCE},
    report::Report,
    Failure,
};

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let everybody = arguments.connections as u64;
    let depth = arguments.depth as u64;
    let mut fleet = Fleet::open(arguments, Cycle::new(arguments.bytes, arguments.depth))?;
    // The server may still be about to count the last one in.
    sleep(Duration::from_millis(100));
    let mut window = Window::new(arguments, everybody * depth);
    let mut deliveries = 0;
    let mut sent = 0;
    while !window.glance(deliveries)? && !fleet.deadline_passed() {
        // Once a turn, so that messages that are done together are followed by as many together.
        let allowed = deliveries / everybody + depth;
        if allowed > sent {
            fleet.send(0, allowed - sent)?;
            sent = allowed;
        }
        fleet.turn(GLANCE, |_, _, messages| {
            deliveries += messages;
            Ok(())
        })?;
    }
    window.close(deliveries)
}
