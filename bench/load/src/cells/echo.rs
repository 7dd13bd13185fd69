//! Every connection keeps `depth` messages in flight. The unit is a message.

use super::window::Window;
use crate::{
    arguments::Arguments,
    cycle::Cycle,
    fleet::{Fleet, GLANCE},
    report::Report,
    Failure,
};

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let depth = arguments.depth as u64;
    let mut fleet = Fleet::open(arguments, Cycle::new(arguments.bytes, arguments.depth))?;
    let mut window = Window::new(arguments, depth * arguments.connections as u64);
    for token in 0..fleet.lanes.len() {
        fleet.send(token, depth)?;
    }
    let mut units = 0;
    while !window.glance(units)? && !fleet.deadline_passed() {
        fleet.turn(GLANCE, |fleet, token, messages| {
            units += messages;
            fleet.send(token, messages)
        })?;
    }
    let mut report = window.close(units)?;
    if let Some(tls) = fleet.lanes[0].stream.describe_tls() {
        report.text("tls", &tls);
    }
    Ok(report)
}
