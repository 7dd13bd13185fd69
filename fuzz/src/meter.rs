//! Meter of the memory that something takes.

use crate::MEMORY;

/// The most bytes on the heap while `work` ran, beyond those that were there before.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (result, MEMORY.peak_usage().saturating_sub(before))
}
