//! The places where threads meet, tried by loom in every order that may matter: `rake test:loom`.
//!
//! What is tried is the code that runs: [`sync`](super::sync) gives it loom's locks and atomics, an
//! eventfd and sockets that loom can look into. A wake-up that is lost leaves a thread asleep that
//! another waits for, and loom reports the deadlock.

mod queue;
pub(super) mod socket;
pub(super) mod sync;

/// Runs a model in every order with at most so many preemptions: a thread that could go on is
/// interrupted so often. `LOOM_MAX_PREEMPTIONS` overrides it.
fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    builder.check(body);
}
