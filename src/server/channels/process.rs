//! The channels of this process, and not of one that it was forked off from.

use std::sync::OnceLock;

use super::Channels;
use crate::server::{memberships, runtime::fork_generation};

/// The channels of one process in a line of forks, and its children.
#[derive(Debug)]
struct Process {
    channels: OnceLock<Channels>,
    child: OnceLock<Box<Process>>,
}

impl Process {
    const fn new() -> Self {
        Self { channels: OnceLock::new(), child: OnceLock::new() }
    }
}

static FIRST: Process = Process::new();

/// The channels of this process. A forked child has its own, and never touches a lock of its
/// parent's, which a thread of that may have held at the fork.
pub fn channels() -> &'static Channels {
    this().channels.get_or_init(Channels::default)
}

fn this() -> &'static Process {
    let mut process = &FIRST;
    for _ in 0..fork_generation() {
        process = process.child.get_or_init(|| Box::new(Process::new()));
    }
    process
}

/// In a forked child, while it has one thread.
pub(crate) fn forked() {
    memberships::forked();
    // No thread may be at it at the next fork: whoever waits for it there waits for ever.
    this();
}
