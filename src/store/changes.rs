//! Changes: the rows of the outbox as a person sees them and decides about them.
//!
//! Owns listing, retrying and discarding. A decision moves the ledger with the row, as the worker does. Must not work a
//! row off.

use std::collections::HashSet;

use serde::Serialize;

use super::dialect::{Arg, Rows, args};
use super::outbox::{Kind, Ledger, counter};
use super::{Store, StoreError};

/// Rows decided in one transaction: others wait for it.
const DECIDED_AT_ONCE: i64 = 500;

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
    /// The last that came first.
    pub newest_first: bool,
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
        if !self.states.is_empty() && self.states.iter().all(|state| state != "completed") {
            // Says so that an index of what is open can be used, beside which the completed are many.
            sql += " AND state <> 'completed'";
        }
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
    /// Changes in the order they came, or the other way round, after the id `after`.
    pub async fn changes(
        &self,
        filter: &ChangeFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        let (condition, mut args) = filter.sql();
        // Ids have no letter behind f.
        args.push(Arg::from(after.unwrap_or(if filter.newest_first { "g" } else { "" })));
        args.push(Arg::from(limit));
        let n = args.len();
        let (than, way) = if filter.newest_first { ("<", " DESC") } else { (">", "") };
        let sql = format!(
            "SELECT {CHANGE} FROM outbox WHERE {condition} AND id {than} ${} ORDER BY id{way} LIMIT ${n}",
            n - 1
        );
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
        Ok(self.decide(&[(id,)], decision, id, None).await?.pop())
    }

    /// Retries or discards all changes that a filter finds and that are in a state for that; how many.
    pub async fn decide_changes(&self, filter: &ChangeFilter, decision: Decision) -> Result<i64, StoreError> {
        let (condition, args) = filter.sql();
        let states = decidable(decision);
        let target = filter.mapping_id.as_deref().unwrap_or("changes");
        let which = [filter.states.concat(), filter.kind.clone().unwrap_or_default()].join(" ");
        let mut after = String::new();
        let mut decided = 0;
        loop {
            let mut args = args.clone();
            args.extend([Arg::from(&after), Arg::from(DECIDED_AT_ONCE)]);
            let n = args.len();
            let sql = format!(
                "SELECT id FROM outbox WHERE {condition} AND state IN ({states}) AND id > ${} ORDER BY id LIMIT ${n}",
                n - 1
            );
            let ids: Vec<(String,)> = self.db.fetch(&sql, args).await?;
            let Some((last,)) = ids.last() else { return Ok(decided) };
            after.clone_from(last);
            let rows = self.decide(&ids, decision, target, Some(which.trim())).await?;
            decided += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        }
    }

    /// What was decided is noted with this target, and with how many of which they were where they are many.
    async fn decide<I: Serialize>(
        &self,
        ids: &[(I,)],
        decision: Decision,
        target: &str,
        which: Option<&str>,
    ) -> Result<Vec<Change>, StoreError> {
        let ids = Rows::new("id text", ids)?;
        let states = decidable(decision);
        let mut tx = self.db.begin().await?;
        let lock = tx.backend().for_update();
        // Lanes before rows, as whoever adds work does: two who hold one and want the other would wait forever.
        let sql = format!(
            "SELECT id FROM lanes WHERE id IN (SELECT o.lane FROM {{rows}} JOIN outbox o ON o.id = r.id) ORDER BY id {lock}"
        );
        tx.fetch_rows::<(String,)>(&sql, &ids, vec![]).await?;
        let sql = format!(
            "SELECT {CHANGE} FROM outbox WHERE id IN (SELECT r.id FROM {{rows}}) AND state IN ({states}) ORDER BY id {lock}"
        );
        let changes: Vec<Change> = tx.fetch_rows(&sql, &ids, vec![]).await?;
        if changes.is_empty() {
            return Ok(changes);
        }
        let subjects: Vec<_> = changes.iter().map(|change| (&change.lane, &change.subject)).collect();
        let sql =
            "SELECT o.id, o.lane, o.subject FROM {rows} JOIN outbox o ON o.lane = r.lane AND o.subject = r.subject
                   AND o.kind = 'hint' AND o.state IN ('available', 'retryable')";
        let waiting: Vec<(String, String, String)> =
            tx.fetch_rows(sql, &Rows::new("lane text, subject text", &subjects)?, vec![]).await?;
        let mut waiting: HashSet<(String, String)> = waiting
            .into_iter()
            .filter(|(id, ..)| !changes.iter().any(|change| change.id == *id))
            .map(|(_, lane, subject)| (lane, subject))
            .collect();
        let now = self.now();
        let mut ledger = Ledger::default();
        let mut rows = Vec::with_capacity(changes.len());
        for change in &changes {
            let (state, outcome) = match decision {
                Decision::Discard => ("discarded", None),
                // Another row about the same subject waits already, and will see to this one's as well.
                Decision::Retry
                    if change.kind == Kind::Hint.as_str()
                        && !waiting.insert((change.lane.clone(), change.subject.clone())) =>
                {
                    ("completed", Some("superseded"))
                }
                Decision::Retry => ("available", None),
            };
            if let Some(mapping) = &change.mapping_id {
                let was = counter(&change.state, change.outcome.as_deref(), change.reason.as_deref());
                ledger.add(mapping, change.window_start, was, -1);
                ledger.add(mapping, change.window_start, counter(state, outcome, None), 1);
            }
            rows.push((&change.id, state, outcome, (state != "available").then_some(now)));
        }
        // Those that end come first: until then a second row of their subject may not wait.
        let (ended, opened): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(.., completed_at)| completed_at.is_some());
        for rows in [ended, opened] {
            tx.execute_rows(
                "UPDATE outbox SET state = r.state, outcome = r.outcome, due_at = $2, completed_at = r.completed_at, attempts = 0,
                   payload = CASE WHEN outbox.kind = 'hint' THEN NULL ELSE outbox.payload END, reason = NULL FROM {rows} WHERE outbox.id = r.id",
                &Rows::new("id text, state text, outcome text, completed_at int", &rows)?,
                args![now],
            )
            .await?;
        }
        ledger.store(&mut tx).await?;
        if decision == Decision::Retry {
            let lanes: Vec<_> = changes.iter().map(|change| (&change.lane,)).collect();
            let sql = "UPDATE lanes SET next_due_at = $2 WHERE id IN (SELECT r.id FROM {rows}) AND lease_owner IS NULL
                       AND NOT halted AND (next_due_at IS NULL OR next_due_at > $2)";
            tx.execute_rows(sql, &Rows::new("id text", &lanes)?, args![now]).await?;
        }
        let action = match decision {
            Decision::Retry => "change.retried",
            Decision::Discard => "change.discarded",
        };
        let detail = which.map(|which| format!("{} {which}", changes.len())).unwrap_or_default();
        self.note_by_hand(&mut tx, action, target, detail.trim()).await?;
        tx.commit().await?;
        self.work.notify_one();
        self.commands.notify_waiters();
        Ok(changes)
    }
}

fn decidable(decision: Decision) -> &'static str {
    match decision {
        Decision::Retry => "'retryable', 'parked', 'discarded'",
        Decision::Discard => "'available', 'retryable', 'parked'",
    }
}
