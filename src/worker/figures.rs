//! The tick of the figures: minutes that are over are summed, this process's calls are counted, and what its changes met is written down.
//!
//! Must not know what is counted but what no database sees: calls, how the time of a change was spent, and errors that passed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Worker;
use crate::store::StoreError;
use crate::store::lanes::Claimed;
use crate::store::record::Settled;
use crate::store::spent::Spent;

/// Calls of this process that were told of, by vendor: Marketo first; none before the first look.
pub(super) type Told = Mutex<Option<[u64; 2]>>;

/// What changes met since it was last written down.
pub(super) type Collected = Mutex<Spent>;

impl Worker {
    /// How attempts at changes have ended that were claimed at `claimed`.
    pub(super) fn collect(&self, settled: &[Settled], changes: &[Claimed], claimed: i64) {
        let now = self.store.now();
        let accepted: HashMap<&str, i64> = changes.iter().map(|c| (c.id.as_str(), c.created_at)).collect();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        for settled in settled {
            if let Some(at) = accepted.get(settled.id.as_str()) {
                spent.end(settled, *at, claimed, now);
            }
        }
    }

    /// Called once in a while by each worker.
    pub(super) async fn sum_up(&self) -> Result<(), StoreError> {
        if let (Some(marketo), Some(salesforce)) = (self.marketo.pace().calls, self.salesforce.pace().calls) {
            let now = [marketo, salesforce];
            let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
            let before = before.unwrap_or_default();
            let new = |n: usize| i64::try_from(now[n].saturating_sub(before[n])).unwrap_or(0);
            self.store.count_calls(new(0), new(1)).await?;
        }
        let spent = std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner));
        self.store.keep_spent(&spent).await?;
        self.store.sum_minutes().await.map(drop)
    }
}
