//! The tick of the figures: minutes that are over are summed, and this process's calls are counted.
//!
//! Must not know what is counted but the calls, which no database sees.

use std::sync::{Mutex, PoisonError};

use super::Worker;
use crate::store::StoreError;

/// Calls of this process that were told of, by vendor: Marketo first; none before the first look.
pub(super) type Told = Mutex<Option<[u64; 2]>>;

impl Worker {
    /// Called once in a while by each worker.
    pub(super) async fn sum_up(&self) -> Result<(), StoreError> {
        if let (Some(marketo), Some(salesforce)) = (self.marketo.pace().calls, self.salesforce.pace().calls) {
            let now = [marketo, salesforce];
            let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
            let before = before.unwrap_or_default();
            let new = |n: usize| i64::try_from(now[n].saturating_sub(before[n])).unwrap_or(0);
            self.store.count_calls(new(0), new(1)).await?;
        }
        self.store.sum_minutes().await.map(drop)
    }
}
