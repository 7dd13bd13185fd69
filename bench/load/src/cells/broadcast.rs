//! One connection, or several in turn, keep `depth` messages in flight, and each goes to all
//! connections. The unit is a delivery. A message is done when as many deliveries have come as all
//! before it and it make.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{latency::quantiles, window::Window};
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
    let publishers = arguments.publishers as u64;
    let cycle = match publishers {
        1 => Cycle::new(arguments.bytes, arguments.depth),
        _ => Cycle::same(arguments.bytes),
    };
    let mut fleet = Fleet::open(arguments, cycle)?;
    // The server may still be about to count the last one in.
    sleep(Duration::from_millis(100));
    let mut window = Window::new(arguments, everybody * depth);
    let mut deliveries = 0;
    let mut sent = 0;
    while !window.glance(deliveries)? && !fleet.deadline_passed() {
        // Once a turn, so that messages that are done together are followed by as many together.
        let allowed = deliveries / everybody + depth;
        if publishers == 1 && allowed > sent {
            fleet.send(0, allowed - sent)?;
            sent = allowed;
        }
        while sent < allowed {
            fleet.send((sent % publishers) as usize, 1)?;
            sent += 1;
        }
        fleet.turn(GLANCE, |_, _, messages| {
            deliveries += messages;
            Ok(())
        })?;
    }
    window.close(deliveries)
}

/// Time that it takes until the last one has a message that one connection sends to all; one after
/// the other.
pub(crate) fn last_receiver(arguments: &Arguments) -> Result<Report, Failure> {
    let everybody = arguments.connections as u64;
    let mut fleet = Fleet::open(arguments, Cycle::new(arguments.bytes, 1))?;
    sleep(Duration::from_millis(100));
    let patience = if arguments.spin { Duration::ZERO } else { GLANCE };
    let mut window = Window::new(arguments, everybody);
    let mut times = Vec::new();
    let mut deliveries = 0;
    let mut counting = false;
    while !window.glance(deliveries)? && !fleet.deadline_passed() {
        if !counting && window.is_open() {
            counting = true;
            times.clear();
        }
        let since = Instant::now();
        let until = deliveries + everybody;
        fleet.send(0, 1)?;
        while deliveries < until {
            fleet.check_deadline()?;
            fleet.turn(patience, |_, _, messages| {
                deliveries += messages;
                Ok(())
            })?;
        }
        times.push(since.elapsed().as_nanos() as u64);
    }
    let mut report = window.close(deliveries)?;
    quantiles(&mut times, &mut report);
    Ok(report)
}
