//! The part of a load that counts.

use std::time::{Duration, Instant};

use crate::{arguments::Arguments, report::Report, usage, usage::Usage, Failure};

/// Opens when the load has been warm for long enough, and closes when it has lasted long enough.
pub(crate) struct Window {
    pid: u32,
    warm: Duration,
    seconds: Duration,
    /// Before that many units it does not open, and with fewer it does not close: where a unit
    /// takes long, what is half done at the edges would count.
    least: u64,
    begun: Instant,
    opened: Option<Opened>,
}

struct Opened {
    at: Instant,
    units: u64,
    usage: Usage,
}

impl Window {
    pub(crate) fn new(arguments: &Arguments, in_flight: u64) -> Self {
        Self {
            pid: arguments.pid,
            warm: arguments.warm,
            seconds: arguments.seconds,
            least: in_flight,
            begun: Instant::now(),
            opened: None,
        }
    }

    /// Looks whether it opens or closes: `units` are done, since ever. Whether it has closed.
    pub(crate) fn glance(&mut self, units: u64) -> Result<bool, Failure> {
        match &self.opened {
            None => {
                if self.begun.elapsed() >= self.warm && units >= self.least {
                    self.open(units)?;
                }
                Ok(false)
            }
            Some(opened) => {
                let enough = units - opened.units >= self.least * 2;
                Ok(opened.at.elapsed() >= self.seconds && enough)
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Opens it now.
    pub(crate) fn open(&mut self, units: u64) -> Result<(), Failure> {
        self.opened = Some(Opened { at: Instant::now(), units, usage: Usage::of(self.pid)? });
        Ok(())
    }

    /// Report of what was used for the units since it opened.
    pub(crate) fn close(self, units: u64) -> Result<Report, Failure> {
        let usage = Usage::of(self.pid)?;
        let opened = self.opened.ok_or("the server was too slow to be measured")?;
        let seconds = opened.at.elapsed().as_secs_f64();
        let units = units - opened.units;
        if units == 0 {
            return Err("the server was too slow to be measured".into());
        }
        let (rss, peak) = usage::memory(self.pid)?;
        let mut report = Report::default();
        report
            .set("units", units)
            .set("seconds", seconds)
            .set("cost", usage.cpu_since(&opened.usage) / units as f64 * 1e6)
            .set("rss", rss)
            .set("peak", peak);
        usage.report(&opened.usage, &mut report);
        Ok(report)
    }
}
