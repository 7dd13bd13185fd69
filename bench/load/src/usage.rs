//! Usage of a process, read from `/proc`.

use std::{collections::BTreeMap, fs};

use crate::{report::Report, Failure};

/// The unit of `/proc/PID/stat`; Linux shows applications 100 a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process at one moment.
#[derive(Debug)]
pub(crate) struct Usage {
    user_ticks: u64,
    system_ticks: u64,
    threads: BTreeMap<u32, Thread>,
}

#[derive(Debug, Default)]
struct Thread {
    name: String,
    user_ticks: u64,
    system_ticks: u64,
    /// User and system, exact; 0 where the kernel does not say.
    nanoseconds: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let (_, user_ticks, system_ticks) = stat(&format!("/proc/{pid}/stat"))?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let path = entry?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
                continue;
            };
            // A thread may end while it is looked at.
            let Ok((name, user_ticks, system_ticks)) = stat(&path.join("stat").to_string_lossy())
            else {
                continue;
            };
            let nanoseconds = fs::read_to_string(path.join("schedstat"))
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or(0);
            threads.insert(id, Thread { name, user_ticks, system_ticks, nanoseconds });
        }
        Ok(Self { user_ticks, system_ticks, threads })
    }

    /// CPU seconds of all threads, user and system, since `earlier`.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> f64 {
        let exact: u64 = self
            .threads
            .iter()
            .map(|(id, thread)| {
                let before = earlier.threads.get(id).map_or(0, |thread| thread.nanoseconds);
                thread.nanoseconds.saturating_sub(before)
            })
            .sum();
        if exact > 0 {
            return exact as f64 / 1e9;
        }
        let ticks = self.user_ticks + self.system_ticks;
        (ticks - earlier.user_ticks - earlier.system_ticks) as f64 / TICKS_PER_SECOND
    }

    /// Writes down what was used since `earlier`.
    pub(crate) fn report(&self, earlier: &Self, report: &mut Report) {
        report.set("cpu", self.cpu_since(earlier));
        report.set("user", seconds(self.user_ticks - earlier.user_ticks));
        report.set("system", seconds(self.system_ticks - earlier.system_ticks));
        let nobody = Thread::default();
        let threads: Vec<String> = self
            .threads
            .iter()
            .map(|(id, thread)| {
                let before = earlier.threads.get(id).unwrap_or(&nobody);
                let mut spent = Report::default();
                spent
                    .text("name", &thread.name)
                    .set("cpu", (thread.nanoseconds - before.nanoseconds) as f64 / 1e9)
                    .set("user", seconds(thread.user_ticks - before.user_ticks))
                    .set("system", seconds(thread.system_ticks - before.system_ticks));
                spent.to_string()
            })
            .collect();
        report.set("threads", format_args!("[{}]", threads.join(",")));
    }
}

/// Resident memory, now and at most, in bytes.
pub(crate) fn memory(pid: u32) -> Result<(u64, u64), Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok()
            })
            .map(|kilobytes: u64| kilobytes * 1024)
            .ok_or(format!("no {name} of {pid}"))
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// The name, user ticks and system ticks in a `stat` file.
fn stat(path: &str) -> Result<(String, u64, u64), Failure> {
    let text = fs::read_to_string(path)?;
    // The name stands in parentheses and may contain anything.
    let (head, tail) = text.rsplit_once(") ").ok_or(format!("{path} has no name"))?;
    let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
    // Fields 14 and 15 of the file; the first behind the name is the third.
    let mut fields = tail.split(' ').skip(11);
    let mut next = || fields.next().and_then(|field| field.parse().ok());
    match (next(), next()) {
        (Some(user), Some(system)) => Ok((name, user, system)),
        _ => Err(format!("{path} is too short").into()),
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}
