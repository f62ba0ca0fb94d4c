//! What is kept, and for how long.
//!
//! Owns the deletes. Each takes a few rows, in a transaction of its own, so that nobody waits for it; whoever calls comes again while there
//! is more. Work that is not done with is kept however old it is, with what it was made of. The ledger is left alone: it counts what was
//! received and what became of it, and stays right when the rows are gone; so does the bridge, which counts members.

use std::time::Duration;

use super::dialect::{Arg, Rows, args};
use super::keys::REMEMBERED;
use super::{Store, StoreError};

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// What webhooks and polls said, and receivers answered.
    pub bodies: Duration,
    /// The history of members, and trigger events.
    pub history: Duration,
    /// Changes, flow actions, runs and deliveries that are done with.
    pub completed: Duration,
}

/// Changes that somebody or something still sees to.
const OPEN: &str = "'available', 'running', 'retryable', 'parked'";

impl Store {
    /// Deletes at most `most` rows of each kind that are older than they are kept; whether there may be more.
    ///
    /// # Errors
    /// When the database fails; what was deleted before that stays deleted.
    pub async fn prune(&self, keep: &Retention, most: i64) -> Result<bool, StoreError> {
        let now = self.now();
        let before = |time: Duration| now.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let (bodies, history, completed) = (before(keep.bodies), before(keep.history), before(keep.completed));
        let skip = self.db.backend().for_update_skip_locked();
        let statements = [
            (
                "inbox",
                format!(
                    "SELECT i.id FROM inbox i WHERE i.id < $1 AND NOT EXISTS
                     (SELECT 1 FROM outbox o WHERE o.id = i.change_id AND o.state IN ({OPEN})) ORDER BY i.id LIMIT $2"
                ),
                self.inbox_before(bodies).await?,
            ),
            (
                // What has failed is tried again at each comparison, so it is not done with.
                "outbox",
                format!(
                    "SELECT id FROM outbox WHERE completed_at < $1 AND kind = 'hint'
                     AND (state = 'completed' OR (state = 'discarded' AND reason IS NULL)) ORDER BY completed_at LIMIT $2 {skip}"
                ),
                completed,
            ),
            // Their ids grow with time, which spares an index.
            (
                "history",
                "SELECT id FROM (SELECT id, at FROM history ORDER BY id LIMIT $2) AS oldest WHERE at < $1".to_owned(),
                history,
            ),
            (
                "trigger_events",
                "SELECT position AS id FROM trigger_events WHERE created_at < $1 ORDER BY created_at LIMIT $2".to_owned(),
                history,
            ),
            // Those of every day; what was done to keys, mappings and the switch is kept.
            (
                "audit",
                "SELECT id FROM (SELECT id, at FROM audit WHERE action = 'flow_action.requested' ORDER BY id LIMIT $2) AS oldest
                 WHERE at < $1"
                    .to_owned(),
                history,
            ),
            (
                "idempotency_keys",
                "SELECT key AS id FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2".to_owned(),
                now - REMEMBERED,
            ),
        ];
        let mut more = false;
        for (table, old, before) in statements {
            let key = match table {
                "trigger_events" => "position",
                "idempotency_keys" => "key",
                _ => "id",
            };
            let sql = format!("WITH old AS ({old}) DELETE FROM {table} WHERE {key} IN (SELECT id FROM old)");
            more |= self.delete(&sql, args![before, most]).await? >= most;
        }
        // Removals are counted over a window of hours.
        let old = "SELECT removed_at FROM removals WHERE removed_at < $1 ORDER BY removed_at LIMIT $2";
        self.delete(&format!("DELETE FROM removals WHERE removed_at IN ({old})"), args![completed, most]).await?;
        more |= self.prune_deliveries(completed, bodies, most).await?;
        more |= self.prune_runs(completed, most).await?;
        more |= self.prune_flow_action(completed, most).await?;
        Ok(more)
    }

    /// The id from which on records of the inbox are not older than a time. Their ids grow with time, which spares an index for each
    /// delivery.
    pub(super) async fn inbox_before(&self, time: i64) -> Result<i64, StoreError> {
        let ends = "SELECT (SELECT MIN(id) FROM inbox), (SELECT MAX(id) FROM inbox)";
        let Some((Some(mut old), Some(newest))) =
            self.db.fetch_optional::<(Option<i64>, Option<i64>)>(ends, vec![]).await?
        else {
            return Ok(0);
        };
        let mut young = newest + 1;
        while old < young {
            let middle = old + (young - old) / 2;
            let sql = "SELECT id, received_at FROM inbox WHERE id >= $1 ORDER BY id LIMIT 1";
            match self.db.fetch_optional::<(i64, i64)>(sql, args![middle]).await? {
                Some((id, at)) if at < time => old = id + 1,
                _ => young = middle,
            }
        }
        Ok(old)
    }

    async fn delete(&self, sql: &str, args: Vec<Arg>) -> Result<i64, StoreError> {
        let mut tx = self.db.begin_patiently().await?;
        let deleted = tx.execute(sql, args).await?;
        tx.commit().await?;
        Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
    }

    /// Runs that a later one of the same mapping has followed: the last one is what is shown of it.
    async fn prune_runs(&self, before: i64, most: i64) -> Result<bool, StoreError> {
        let sql = "SELECT r.id FROM runs r WHERE r.completed_at < $1 AND EXISTS
                   (SELECT 1 FROM runs n WHERE n.mapping_id = r.mapping_id AND n.id > r.id) ORDER BY r.completed_at LIMIT $2";
        let old: Vec<(String,)> = self.db.fetch(sql, args![before, most]).await?;
        if old.is_empty() {
            return Ok(false);
        }
        let rows = Rows::new("id text", &old)?;
        let mut tx = self.db.begin_patiently().await?;
        for sql in [
            "DELETE FROM run_kept WHERE run_id IN (SELECT r.id FROM {rows})",
            "DELETE FROM runs WHERE id IN (SELECT r.id FROM {rows})",
        ] {
            tx.execute_rows(sql, &rows, vec![]).await?;
        }
        tx.commit().await?;
        Ok(i64::try_from(old.len()).unwrap_or(i64::MAX) >= most)
    }

    /// The oldest flow action that is done with, with its changes: some of its people, and itself with the last of them.
    async fn prune_flow_action(&self, before: i64, most: i64) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT f.id FROM flow_actions f WHERE f.created_at < $1 AND NOT EXISTS
               (SELECT 1 FROM flow_action_people p JOIN outbox o ON o.id = p.change_id
                WHERE p.flow_action_id = f.id AND (o.state IN ({OPEN}) OR o.completed_at >= $1)) ORDER BY f.id LIMIT 1"
        );
        let Some((id,)) = self.db.fetch_optional::<(String,)>(&sql, args![before]).await? else { return Ok(false) };
        let sql =
            "SELECT position, change_id FROM flow_action_people WHERE flow_action_id = $1 ORDER BY position LIMIT $2";
        let people: Vec<(i64, Option<String>)> = self.db.fetch(sql, args![&id, most]).await?;
        let rows = Rows::new("position int, change_id text", &people)?;
        let last = i64::try_from(people.len()).unwrap_or(i64::MAX) < most;
        let mut tx = self.db.begin_patiently().await?;
        tx.execute_rows("DELETE FROM outbox WHERE id IN (SELECT r.change_id FROM {rows})", &rows, vec![]).await?;
        let sql =
            "DELETE FROM flow_action_people WHERE flow_action_id = $2 AND position IN (SELECT r.position FROM {rows})";
        tx.execute_rows(sql, &rows, args![&id]).await?;
        if last {
            tx.execute("DELETE FROM flow_actions WHERE id = $1", args![&id]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
