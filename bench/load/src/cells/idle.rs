//! Connections that do nothing; then the same after one echo each. The unit is a connection, and
//! what it costs is bytes of resident memory.

use std::{thread::sleep, time::Duration};

use crate::{
    arguments::Arguments, cycle::Cycle, fleet::Fleet, report::Report, usage::memory, Failure,
};

/// Number of connections after which the server has allocated what it allocates once.
const FIRST: usize = 100;

/// Until a server has come to rest.
const REST: Duration = Duration::from_millis(300);

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let mut fleet = Fleet::new(arguments, Cycle::new(arguments.bytes, 1))?;
    fleet.grow(arguments, FIRST)?;
    fleet.echo_once()?;
    sleep(REST);
    let (before, _) = memory(arguments.pid)?;
    fleet.grow(arguments, FIRST + arguments.connections)?;
    sleep(REST);
    let (idle, _) = memory(arguments.pid)?;
    fleet.echo_once()?;
    sleep(REST);
    let (used, peak) = memory(arguments.pid)?;
    let each = |rss: u64| (rss as f64 - before as f64) / arguments.connections as f64;
    let mut report = Report::default();
    report
        .set("units", arguments.connections)
        .set("cost", each(idle))
        .set("cost_used", each(used))
        .set("rss", used)
        .set("peak", peak);
    Ok(report)
}
