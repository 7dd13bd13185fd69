//! Latency of an echo: of one message after the other, and of messages that are due at fixed
//! moments, whether or not the ones before have come back (so that a server that stops for a
//! moment pays for all that were due meanwhile).

use std::time::{Duration, Instant};

use super::window::Window;
use crate::{
    arguments::Arguments,
    cycle::Cycle,
    fleet::{Fleet, GLANCE},
    report::Report,
    Failure,
};

pub(crate) fn pingpong(arguments: &Arguments) -> Result<Report, Failure> {
    let mut fleet = Fleet::open(arguments, Cycle::new(arguments.bytes, 1))?;
    let patience = if arguments.spin { Duration::ZERO } else { GLANCE };
    let mut window = Window::new(arguments, 1);
    let mut times = Vec::with_capacity(1 << 20);
    let mut units = 0;
    let mut counting = false;
    while !window.glance(units)? {
        if !counting && window.is_open() {
            counting = true;
            times.clear();
        }
        let since = Instant::now();
        fleet.send(0, 1)?;
        let mut came = false;
        while !came {
            if units % 64 == 0 {
                fleet.check_deadline()?;
            }
            fleet.turn(patience, |_, _, _| {
                came = true;
                Ok(())
            })?;
        }
        times.push(since.elapsed().as_nanos() as u64);
        units += 1;
    }
    let mut report = window.close(units)?;
    quantiles(&mut times, &mut report);
    Ok(report)
}

pub(crate) fn open_loop(arguments: &Arguments) -> Result<Report, Failure> {
    let mut fleet = Fleet::open(arguments, Cycle::new(arguments.bytes, 1))?;
    let lanes = fleet.lanes.len() as u64;
    let interval = Duration::from_secs(1) / arguments.rate;
    // When each lane's messages were due, in order: they come back in it.
    let mut due = vec![std::collections::VecDeque::new(); fleet.lanes.len()];
    let mut times = Vec::with_capacity(1 << 16);
    let mut window = Window::new(arguments, 1);
    let mut counting = false;
    let mut sent = 0_u64;
    let mut units = 0;
    let begun = Instant::now();
    while !window.glance(units)? {
        fleet.check_deadline()?;
        if !counting && window.is_open() {
            counting = true;
            times.clear();
        }
        let now = Instant::now();
        let mut next = begun + interval * sent as u32;
        while next <= now {
            let token = (sent % lanes) as usize;
            due[token].push_back(next);
            fleet.send(token, 1)?;
            sent += 1;
            next = begun + interval * sent as u32;
        }
        let patience = if arguments.spin { Duration::ZERO } else { next - now };
        fleet.turn(patience, |_, token, messages| {
            let now = Instant::now();
            for _ in 0..messages {
                let since = due[token].pop_front().ok_or("more came back than was sent")?;
                times.push((now - since).as_nanos() as u64);
            }
            units += messages;
            Ok(())
        })?;
    }
    let mut report = window.close(units)?;
    quantiles(&mut times, &mut report);
    Ok(report)
}

/// In microseconds.
pub(super) fn quantiles(times: &mut [u64], report: &mut Report) {
    times.sort_unstable();
    for (name, per_mille) in [("p50", 500), ("p99", 990), ("p999", 999)] {
        let at = (times.len() * per_mille / 1000).min(times.len() - 1);
        report.set(name, times[at] as f64 / 1e3);
    }
}
