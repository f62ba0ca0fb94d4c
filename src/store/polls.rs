//! Polls: how far each of the vendors' logs was read, and who reads on.
//!
//! Owns the places. One replica at a time holds each, by a lease with a fence, as lanes are held. A place moves in the transaction that
//! stores what was found before it, and never otherwise: a crash costs one page again, whose records are known when they come again.
//! Must not know what a place means.

use std::time::Duration;

use super::dialect::{Rows, args};
use super::mappings::audit;
use super::polled::accept;
use super::settings::SYNC_IS_OFF;
use super::{Store, StoreError};
use crate::domain::hint::{DeliveredHint, Source};
use crate::domain::ids::SalesforceId;

/// What is done while campaign sync is off as well.
pub const MAINTENANCE: &str = "maintenance";

/// A task that is ours until its lease runs out.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Poll {
    pub name: String,
    /// Where it goes on; none at its beginning.
    pub place: Option<String>,
    /// When its end was last reached, epoch milliseconds.
    pub covered_at: Option<i64>,
    /// In a row.
    pub failures: i64,
    fence: i64,
}

/// What came of one step.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub place: Option<String>,
    pub covered_at: Option<i64>,
    /// Epoch milliseconds.
    pub due_at: i64,
    /// In a row, and what the last one said.
    pub failures: i64,
    pub message: Option<String>,
}

impl Store {
    /// Makes tasks known, due at once.
    pub async fn know_polls(&self, names: &[&str]) -> Result<(), StoreError> {
        let rows: Vec<_> = names.iter().map(|name| (name,)).collect();
        let mut tx = self.db.begin().await?;
        let sql = "INSERT INTO polls (name) SELECT name FROM {rows} WHERE true ON CONFLICT (name) DO NOTHING";
        tx.execute_rows(sql, &Rows::new("name text", &rows)?, vec![]).await?;
        tx.commit().await
    }

    /// Takes the one of these tasks that is due longest. None while campaign sync is off, but for maintenance.
    pub async fn claim_poll(&self, names: &[&str], owner: &str, lease: Duration) -> Result<Option<Poll>, StoreError> {
        let now = self.now();
        let rows: Vec<_> = names.iter().map(|name| (name,)).collect();
        let rows = Rows::new("name text", &rows)?;
        let due = format!(
            "SELECT name FROM polls WHERE name IN (SELECT r.name FROM {{rows}}) AND due_at <= $2
               AND (lease_until IS NULL OR lease_until <= $2) AND (name = '{MAINTENANCE}' OR NOT {SYNC_IS_OFF})
             ORDER BY due_at, name LIMIT 1"
        );
        // Looked for without a lock first: mostly nothing is due.
        if self.db.fetch_rows::<(String,)>(&due, &rows, args![now]).await?.is_empty() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let skip = tx.backend().for_update_skip_locked();
        let sql = format!(
            "WITH due AS ({due} {skip})
             UPDATE polls SET lease_owner = $3, lease_until = $4, fence = fence + 1 WHERE name IN (SELECT name FROM due)
             RETURNING name, place, covered_at, failures, fence"
        );
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2);
        let taken: Vec<Poll> = tx.fetch_rows(&sql, &rows, args![now, owner, until]).await?;
        tx.commit().await?;
        Ok(taken.into_iter().next())
    }

    /// Moves the place of a poll and stores what was found on the way there, in one transaction; how many records became work.
    ///
    /// # Errors
    /// `LeaseLost` when another replica has it now; nothing is stored then.
    pub async fn record_poll(
        &self,
        poll: &Poll,
        step: &Step,
        found: Option<(Source, &[DeliveredHint])>,
    ) -> Result<usize, StoreError> {
        let mut tx = self.db.begin().await?;
        self.move_place(&mut tx, poll, step).await?;
        let accepted = match found {
            Some((source, records)) if !records.is_empty() => accept(self, &mut tx, source, records).await?,
            _ => 0,
        };
        tx.commit().await?;
        if accepted > 0 {
            self.work.notify_one();
        }
        Ok(accepted)
    }

    /// Begins a poll anew whose place is lost: what happened meanwhile is found by comparing all mappings, as soon as there is room.
    pub async fn lose_place(&self, poll: &Poll, reason: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.move_place(&mut tx, poll, &Step { due_at: self.now(), ..Step::default() }).await?;
        // A paused one as well: it is compared when it is resumed.
        tx.execute("UPDATE mappings SET compare_at = 1 WHERE deleted_at IS NULL", vec![]).await?;
        audit(self, &mut tx, "worker", "poll.place_lost", &poll.name, reason).await?;
        tx.commit().await
    }

    async fn move_place(&self, tx: &mut super::dialect::Tx, poll: &Poll, step: &Step) -> Result<(), StoreError> {
        let sql = "UPDATE polls SET place = $3, covered_at = $4, due_at = $5, failures = $6, message = $7, lease_owner = NULL,
                     lease_until = NULL WHERE name = $1 AND fence = $2 AND lease_owner IS NOT NULL";
        let step = args![
            &poll.name,
            poll.fence,
            step.place.clone(),
            step.covered_at,
            step.due_at,
            step.failures,
            step.message.clone()
        ];
        match tx.execute(sql, step).await? {
            0 => Err(StoreError::LeaseLost(poll.name.clone())),
            _ => Ok(()),
        }
    }

    /// When the next of these tasks is due, or could be taken over.
    pub async fn next_poll(&self, names: &[&str]) -> Result<Option<i64>, StoreError> {
        let rows: Vec<_> = names.iter().map(|name| (name,)).collect();
        let sql = "SELECT MIN(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) FROM polls
                   WHERE name IN (SELECT r.name FROM {rows})";
        let due: Vec<(Option<i64>,)> = self.db.fetch_rows(sql, &Rows::new("name text", &rows)?, vec![]).await?;
        Ok(due.first().and_then(|row| row.0))
    }

    /// Campaigns whose changes somebody wants to know: mapped, also where the mapping is paused, since it goes on receiving; or named
    /// by a flow action. In order.
    pub async fn polled_campaigns(&self) -> Result<Vec<SalesforceId>, StoreError> {
        let sql = "SELECT l.id FROM lanes l WHERE l.pinned OR EXISTS
                   (SELECT 1 FROM mappings m WHERE m.campaign_id = l.id AND m.deleted_at IS NULL AND m.state IN ('active', 'paused'))
                   ORDER BY l.id";
        let lanes: Vec<(String,)> = self.db.fetch(sql, vec![]).await?;
        let id = |(lane,): (String,)| lane.parse().map_err(|_| StoreError::Corrupt(format!("lanes.id {lane}")));
        lanes.into_iter().map(id).collect()
    }

    /// Whether any program is mapped whose changes somebody wants to know.
    pub async fn is_any_program_mapped(&self) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM mappings WHERE deleted_at IS NULL AND state IN ('active', 'paused') LIMIT 1";
        Ok(self.db.fetch_optional::<(String,)>(sql, vec![]).await?.is_some())
    }

    /// Whether a webhook of this source came since; epoch milliseconds.
    pub async fn heard_since(&self, source: Source, since: i64) -> Result<bool, StoreError> {
        let heard = self.last_heard().await?;
        Ok(heard.get(source.as_str()).is_some_and(|at| *at > since))
    }
}
