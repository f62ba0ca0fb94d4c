//! The rows of the outbox as people see them, and what people may decide about one.
//!
//! Owns listing, retrying and discarding. Must not know how a row is worked off.

use serde::Serialize;

use super::dialect::{Arg, args};
use super::lanes::lock_lanes;
use super::outbox::{Ledger, counter};
use super::{Store, StoreError};

/// A row as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Change {
    pub id: String,
    pub lane: String,
    pub mapping_id: Option<String>,
    pub kind: String,
    pub subject: String,
    pub source: String,
    pub state: String,
    pub attempts: i64,
    pub due_at: i64,
    pub reason: Option<String>,
    pub vendor: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub outcome: Option<String>,
    pub window_start: i64,
    pub created_at: i64,
    pub completed_at: Option<i64>,
}

const CHANGE: &str = "id, lane, mapping_id, kind, subject, source, state, attempts, due_at, reason, vendor, code, message, \
                      outcome, window_start, created_at, completed_at";

/// Which changes are listed.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    pub states: Vec<String>,
    pub mapping_id: Option<String>,
    pub kind: Option<String>,
}

impl ChangeFilter {
    /// Conditions on the columns of `outbox`, and their arguments; numbered from `$1`.
    fn sql(&self) -> (String, Vec<Arg>) {
        let mut args = Vec::new();
        let mut sql = "1 = 1".to_owned();
        let mut add = |column: &str, values: &[String]| {
            if !values.is_empty() {
                let marks: Vec<_> = values
                    .iter()
                    .map(|v| {
                        args.push(Arg::from(v));
                        format!("${}", args.len())
                    })
                    .collect();
                sql += &format!(" AND {column} IN ({})", marks.join(", "));
            }
        };
        add("state", &self.states);
        add("mapping_id", self.mapping_id.as_slice());
        add("kind", self.kind.as_slice());
        (sql, args)
    }
}

/// What a person wants done with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again now.
    Retry,
    /// Never.
    Discard,
}

impl Store {
    /// Changes in the order they came, after the id `after`.
    pub async fn changes(
        &self,
        filter: &ChangeFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        let (condition, mut args) = filter.sql();
        args.push(Arg::from(after.unwrap_or("")));
        args.push(Arg::from(limit));
        let n = args.len();
        let sql = format!("SELECT {CHANGE} FROM outbox WHERE {condition} AND id > ${} ORDER BY id LIMIT ${n}", n - 1);
        self.db.fetch(&sql, args).await
    }

    /// One change.
    pub async fn change(&self, id: &str) -> Result<Option<Change>, StoreError> {
        self.db.fetch_optional(&format!("SELECT {CHANGE} FROM outbox WHERE id = $1"), args![id]).await
    }

    /// How many changes a bulk decision would touch: those that wait, are held or have failed.
    pub async fn count_decidable(&self, filter: &ChangeFilter, decision: Decision) -> Result<i64, StoreError> {
        let (condition, args) = filter.sql();
        let states = decidable(decision);
        let sql = format!("SELECT COUNT(*) FROM outbox WHERE {condition} AND state IN ({states})");
        Ok(self.db.fetch::<(i64,)>(&sql, args).await?.first().map_or(0, |row| row.0))
    }

    /// Retries or discards one change; what it was before, or none when it is not in a state for that.
    pub async fn decide_change(&self, id: &str, decision: Decision) -> Result<Option<Change>, StoreError> {
        let Some(change) = self.change(id).await? else { return Ok(None) };
        let mut tx = self.db.begin().await?;
        // The lane before its rows, as everybody does; what was read without it may have moved on.
        lock_lanes(&mut tx, [change.lane.as_str()]).await?;
        let states = decidable(decision);
        let sql = format!("SELECT {CHANGE} FROM outbox WHERE id = $1 AND state IN ({states})");
        let Some(change) = tx.fetch::<Change>(&sql, args![id]).await?.pop() else { return Ok(None) };
        let now = self.now();
        let sql = "SELECT COUNT(*) FROM outbox WHERE lane = $1 AND subject = $2 AND id <> $3 AND kind = 'hint'
                   AND state IN ('available', 'retryable')";
        let younger: Vec<(i64,)> = tx.fetch(sql, args![&change.lane, &change.subject, id]).await?;
        let waits = change.kind == "hint" && younger.first().is_some_and(|row| row.0 > 0);
        let (state, outcome) = match decision {
            Decision::Discard => ("discarded", None),
            // A younger row about the same subject waits already, and will see to this one's as well.
            Decision::Retry if waits => ("completed", Some("superseded")),
            Decision::Retry => ("available", None),
        };
        let completed = (state != "available").then_some(now);
        tx.execute(
            "UPDATE outbox SET state = $2, outcome = $3, due_at = $4, completed_at = $5, attempts = 0, payload = NULL,
               reason = NULL WHERE id = $1",
            args![id, state, outcome.map(str::to_owned), now, completed],
        )
        .await?;
        if let Some(mapping) = &change.mapping_id {
            let mut ledger = Ledger::default();
            ledger.add(
                mapping,
                change.window_start,
                counter(&change.state, change.outcome.as_deref(), change.reason.as_deref()),
                -1,
            );
            ledger.add(mapping, change.window_start, counter(state, outcome, None), 1);
            ledger.store(&mut tx).await?;
        }
        if state == "available" {
            let sql = "UPDATE lanes SET next_due_at = $2 WHERE id = $1 AND lease_owner IS NULL AND NOT halted
                       AND (next_due_at IS NULL OR next_due_at > $2)";
            tx.execute(sql, args![&change.lane, now]).await?;
        }
        tx.commit().await?;
        self.work.notify_one();
        Ok(Some(change))
    }
}

fn decidable(decision: Decision) -> &'static str {
    match decision {
        Decision::Retry => "'retryable', 'parked', 'discarded'",
        Decision::Discard => "'available', 'retryable', 'parked'",
    }
}
