//! `Native.forked`: what a forked child must forget of its parent.

use magnus::{function, Error, RModule};

use crate::flush::FlushGuard;

/// Forgets, in a forked child, what was there before, which is the parent's.
fn forked() {
    em_websocket::server::forked();
    FlushGuard::forked();
    #[cfg(feature = "redis")]
    crate::pubsub::forked();
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("forked", function!(forked, 0))
}
