//! Taking a mapping back: who is still to be looked at, who stays, and how it begins.
//!
//! The mapping stands until its run has ended, so that nobody maps program or campaign to something else meanwhile. Must
//! not decide who stays.

use std::collections::BTreeSet;

use super::dialect::{Rows, Tx, args};
use super::lanes::lock_lanes;
use super::mappings::{Mapping, audit, halt};
use super::members::Member;
use super::replays::end_finds_of;
use super::runs::{Kept, Run};
use super::{Store, StoreError};

/// Members listed with their run.
const SHOWN: i64 = 1000;

/// A member that an undo has left, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeptMember {
    pub member_id: String,
    pub side: String,
    pub reason: String,
    pub marketo_id: Option<i64>,
    pub salesforce_id: Option<String>,
    pub email: Option<String>,
}

impl Store {
    /// Begins to take a mapping back, or finds the run that does so already; its id.
    ///
    /// # Errors
    /// `Conflict` when the mapping was changed since it was read.
    pub async fn undo_mapping(&self, mapping: &Mapping, actor: &str) -> Result<String, StoreError> {
        let now = self.now();
        let lane = mapping.campaign_id.as_str();
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, [lane]).await?;
        let sql = "UPDATE mappings SET state = 'removing', reason = NULL, version = version + 1, updated_at = $3
                   WHERE id = $1 AND version = $2 AND deleted_at IS NULL";
        if tx.execute(sql, args![&mapping.id, mapping.version, now]).await? == 0 {
            return Err(StoreError::Conflict("the mapping was changed by somebody else in between".to_owned()));
        }
        let sql = "UPDATE runs SET state = 'failed', message = 'the mapping is being removed', completed_at = $2
                   WHERE mapping_id = $1 AND state = 'running' AND kind <> 'undo' RETURNING id";
        let ended: Vec<(String,)> = tx.fetch(sql, args![&mapping.id, now]).await?;
        let sql = "SELECT id FROM runs WHERE mapping_id = $1 AND state = 'running'";
        let id = match tx.fetch::<(String,)>(sql, args![&mapping.id]).await?.pop() {
            Some((id,)) => id,
            None => {
                let id = self.new_id();
                let sql = "INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at)
                           VALUES ($1, $2, $3, 'undo', 'running', 'undo', '{}', $4, $4)";
                tx.execute(sql, args![&id, lane, &mapping.id, now]).await?;
                id
            }
        };
        halt(self, &mut tx, lane, false).await?;
        let sql = "UPDATE lanes SET next_due_at = $2 WHERE id = $1 AND lease_owner IS NULL";
        tx.execute(sql, args![lane, now]).await?;
        audit(self, &mut tx, actor, "mapping.removing", &mapping.id, "").await?;
        end_finds_of(self, &mut tx, &ended).await?;
        tx.commit().await?;
        self.work.notify_one();
        self.deliveries.notify_one();
        Ok(id)
    }

    /// A page of the members whom this service has added on a side, and who were not left by this run.
    pub async fn undoable(
        &self,
        run_id: &str,
        campaign_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        let condition = "(m.added_to_marketo OR m.added_to_salesforce) AND NOT EXISTS (SELECT 1 FROM run_kept k
             WHERE k.run_id = $4 AND k.member_id = m.id
               AND k.side = CASE WHEN m.added_to_salesforce THEN 'salesforce' ELSE 'marketo' END)";
        self.member_page_where(condition, args![campaign_id, after, limit, run_id]).await
    }

    /// Members whose removal a person has discarded since, epoch milliseconds.
    pub async fn discarded_removals(&self, mapping_id: &str, since: i64) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT DISTINCT l.member_id FROM guards g CROSS JOIN guard_members l
                   WHERE l.guard_id = g.id AND g.mapping_id = $1 AND g.state = 'discarded' AND g.decided_at >= $2";
        Ok(self.db.fetch::<(String,)>(sql, args![mapping_id, since]).await?.into_iter().map(|row| row.0).collect())
    }

    /// Whether removals of a mapping wait for a person.
    pub async fn has_waiting_guard(&self, mapping_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM guards WHERE mapping_id = $1 AND state = 'waiting'";
        Ok(self.db.fetch_optional::<(String,)>(sql, args![mapping_id]).await?.is_some())
    }

    /// The first thousand members that an undo has left.
    pub async fn kept_members(&self, run_id: &str) -> Result<Vec<KeptMember>, StoreError> {
        let sql = "SELECT k.member_id, k.side, k.reason, p.marketo_id, p.salesforce_id, p.email FROM run_kept k
                   JOIN members m ON m.id = k.member_id JOIN people p ON p.id = m.person_id
                   WHERE k.run_id = $1 ORDER BY k.member_id, k.side LIMIT $2";
        self.db.fetch(sql, args![run_id, SHOWN]).await
    }
}

/// Lists members that a run leaves, in the transaction of its page.
pub(super) async fn store_kept(tx: &mut Tx, run: &Run, kept: &[Kept]) -> Result<(), StoreError> {
    let rows: Vec<_> =
        kept.iter().filter(|k| k.run_id == run.id).map(|k| (&k.run_id, &k.member_id, &k.side, &k.reason)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql =
        "INSERT INTO run_kept (run_id, member_id, side, reason) SELECT run_id, member_id, side, reason FROM {rows}
               WHERE true ON CONFLICT DO NOTHING";
    let rows = Rows::new("run_id text, member_id text, side text, reason text", &rows)?;
    tx.execute_rows(sql, &rows, vec![]).await.map(drop)
}
