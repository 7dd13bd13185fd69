//! The channels of this process, and not of one that it was forked off from.

use super::Channels;
use crate::server::{memberships, process::PerProcess};

static CHANNELS: PerProcess<Channels> = PerProcess::new();

/// The channels of this process. A forked child has its own, and never touches a lock of its
/// parent's, which a thread of that may have held at the fork.
pub fn channels() -> &'static Channels {
    CHANNELS.get(Channels::default)
}

/// In a forked child, while it has one thread.
pub(crate) fn forked() {
    memberships::forked();
    CHANNELS.forked();
}
