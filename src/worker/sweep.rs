//! What is due by time alone: mappings whose program and campaign are to be read again, and those to be compared.
//!
//! Owns how often that is looked for. When something is due, the store says.

use std::time::Duration;

use super::Worker;

/// How often mappings that are due are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Worker {
    /// Finds mappings that are due, once in a while.
    pub(super) async fn sweep(&self, swept: &mut Option<Duration>) {
        let now = self.store.clock().monotonic();
        if swept.is_some_and(|at| now.saturating_sub(at) < SWEEP) {
            return;
        }
        *swept = Some(now);
        let interval = self.settings.reconcile_interval;
        if let Err(error) = self.store.sweep_mappings(interval).await {
            tracing::warn!(%error, "the mappings that are due could not be found");
        }
        if let Err(error) = self.store.due_looks().await {
            tracing::warn!(%error, "the members that are due to be looked at again could not be found");
        }
        if let Err(error) = self.store.sweep_comparisons(interval).await {
            tracing::warn!(%error, "the comparisons that are due could not be started");
        }
        if let Err(error) = self.sum_up().await {
            tracing::warn!(%error, "the figures of the last minute could not be summed");
        }
    }
}
