//! Work that the database does not take: found by taking less at a time, and put off alone.
//!
//! What is stored of one mapping cannot be read, or what would be stored of one member is refused: all that was claimed with it would
//! fail with it, each time. So claims become as small as they can be for a while, and who fails alone waits, is told of as failed in
//! the end, and leaves the others alone. Must not judge a database that is away or full: that is nobody's fault.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{BATCH, PassError, Worker};
use crate::domain::merge::Reason;
use crate::domain::retry;
use crate::store::StoreError;
use crate::store::lanes::{Claim, Claimed, Lease};
use crate::store::record::{Batch, End, VendorError};
use crate::store::runs::Run;

/// Claims of one row each, after one that could not be worked off.
const NARROW: u32 = 64;

/// How many claims are still to be small.
#[derive(Debug, Default)]
pub(super) struct Narrow(AtomicU32);

impl Narrow {
    /// Rows that the next claim may take.
    pub(super) fn limit(&self) -> usize {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { 1 } else { BATCH }
    }
}

/// What a claim was, for when it cannot be worked off.
pub(super) struct Taken {
    leases: Vec<Lease>,
    changes: Vec<Claimed>,
    runs: Vec<Run>,
}

impl Taken {
    pub(super) fn of(claim: &Claim) -> Self {
        // Of more than one row, or lane, nothing is said but that they are too many.
        let lanes: BTreeSet<&str> =
            claim.changes.iter().map(|c| c.lane.as_str()).chain(claim.runs.iter().map(|r| r.lane.as_str())).collect();
        let alone = lanes.len() == 1 && claim.changes.len() <= 1 && claim.runs.len() <= 1;
        let (changes, runs) = if alone { (claim.changes.clone(), claim.runs.clone()) } else { Default::default() };
        Self { leases: claim.leases.clone(), changes, runs }
    }
}

impl Worker {
    /// After a claim of which something cannot be stored or read. Where that fails too, the leases run out.
    pub(super) async fn narrow_down(&self, taken: Taken, error: &StoreError) -> Result<usize, PassError> {
        self.narrow.0.store(NARROW, Ordering::Relaxed);
        if taken.changes.is_empty() && taken.runs.is_empty() {
            tracing::error!(%error, lanes = taken.leases.len(), "a batch cannot be worked off; it is taken apart");
            self.store.release(&taken.leases).await?;
            return Ok(1);
        }
        let mut batch = Batch { leases: taken.leases, ..Batch::default() };
        for change in &taken.changes {
            tracing::error!(%error, change = change.id, lane = change.lane, "a change cannot be worked off");
            batch.settled.push(super::sync::settle(change, self.end_of_unworkable(change, error)));
        }
        for mut run in taken.runs {
            tracing::error!(%error, run = run.id, lane = run.lane, "a run cannot go on");
            self.end_run(&mut run, "failed", Some(&error.to_string()));
            batch.runs.push(run);
        }
        self.store.record(batch).await?;
        Ok(1)
    }

    fn end_of_unworkable(&self, change: &Claimed, error: &StoreError) -> End {
        let attempts = u32::try_from(change.attempts).unwrap_or(u32::MAX);
        let (code, message) = ("not_storable".to_owned(), error.to_string().replace('\0', ""));
        let error = Some(VendorError { vendor: "campaign-sync".to_owned(), code, message });
        if retry::exhausted(attempts, self.settings.max_attempts) {
            return End::GivenUp { reason: Reason::AttemptsExhausted.to_string(), error };
        }
        let pause = retry::backoff(attempts, self.settings.retry_base, self.settings.retry_cap, self.seed());
        let due_at = self.store.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        End::Retry { due_at, reason: Reason::Retrying.to_string(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_small_for_a_while_and_then_as_before() {
        let narrow = Narrow::default();
        assert_eq!(narrow.limit(), BATCH);
        narrow.0.store(2, Ordering::Relaxed);
        assert_eq!([narrow.limit(), narrow.limit(), narrow.limit()], [1, 1, BATCH]);
    }
}
