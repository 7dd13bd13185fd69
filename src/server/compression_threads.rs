//! The threads that compress what is large.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::sync::on_another_thread;

/// Past so many bytes, others do not wait for what is being compressed: another thread does it,
/// which costs a hand-over. In the models, past what most of their messages have.
pub(crate) const BLOCKING_THRESHOLD: usize =
    if cfg!(all(test, feature = "loom")) { 4 } else { 64 * 1024 };

/// Number of threads that compress at the same time. The worker and the application's thread want
/// processors, too. In the models one, so that somebody waits.
pub(crate) const THREADS: usize = if cfg!(all(test, feature = "loom")) { 1 } else { 2 };

/// Threads that compress what is large, beside those that serve sockets: so many at the same time,
/// and whoever wants another one waits for its turn without a thread.
#[derive(Clone, Debug)]
pub(crate) struct CompressionThreads(Arc<Semaphore>);

impl Default for CompressionThreads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }
}

impl CompressionThreads {
    /// Runs a job once it has its turn, and returns what it makes. Jobs begin in the order they
    /// were first polled in. One that has opening is finished although nobody waits for it any more.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        // It is never closed.
        let turn = Arc::clone(&self.0).acquire_owned().await.ok();
        on_another_thread(move || {
            let _turn = turn;
            job()
        })
        .await
    }
}
