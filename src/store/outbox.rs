//! The work that waits: hints, at most one for each subject of a lane, and commands, one row each.
//!
//! Owns the rows of `outbox` and the ledger that counts them: each counter moves in the transaction of the row that it
//! counts, and stays in the window in which the row was received, so that every window balances by itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::dialect::{Rows, Tx, args};
use super::lanes::lock_lanes;
use super::script::Script;
use super::{Store, StoreError};
use crate::domain::ids::{MarketoId, SalesforceId};

pub use super::changes::{Change, ChangeFilter, Decision};

/// Lane for what cannot be placed without a read: merges, conversions, members of unknown campaigns.
pub const ROUTER: &str = "router";
/// When a lane with a new command is due: before every lane that only has hints.
const FIRST: i64 = 0;
/// Length of a ledger window, in milliseconds.
pub const WINDOW: i64 = 3_600_000;

/// Whether rows about the same subject are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something may have changed: the newest replaces those that wait.
    Hint,
    /// A command: each is carried out, in order.
    FlowAction,
}

impl Kind {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::FlowAction => "flow_action",
        }
    }
}

/// Who or what a row is about, within its lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A Marketo person.
    Marketo(MarketoId),
    /// A lead or contact.
    Salesforce(SalesforceId),
    /// A campaign member.
    Member(SalesforceId),
    /// Whoever has this address, in lower case.
    Email(String),
    /// A person of ours, by its id.
    Person(String),
    /// The mapping: program, campaign and statuses.
    Mapping,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marketo(id) => write!(f, "marketo:{id}"),
            Self::Salesforce(id) => write!(f, "salesforce:{id}"),
            Self::Member(id) => write!(f, "member:{id}"),
            Self::Email(email) => write!(f, "email:{email}"),
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Mapping => f.write_str("mapping"),
        }
    }
}

impl Subject {
    /// From its stored form.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("outbox.subject is of no known kind".to_owned());
        let id = |id: &str| id.parse().map_err(|_| corrupt());
        Ok(match text.split_once(':') {
            Some(("marketo", id)) => Self::Marketo(id.parse().map_err(|_| corrupt())?),
            Some(("salesforce", text)) => Self::Salesforce(id(text)?),
            Some(("member", text)) => Self::Member(id(text)?),
            Some(("email", email)) => Self::Email(email.to_owned()),
            Some(("person", id)) => Self::Person(id.to_owned()),
            None if text == "mapping" => Self::Mapping,
            _ => return Err(corrupt()),
        })
    }
}

/// A row to be.
#[derive(Clone, Debug)]
pub struct NewWork {
    /// A campaign's id, or `router`.
    pub lane: String,
    /// The mapping whose ledger counts it.
    pub mapping_id: Option<String>,
    pub kind: Kind,
    pub subject: Subject,
    /// `marketo`, `salesforce`, `flow_action`, `policy`.
    pub source: &'static str,
    /// What the hint carries, as JSON; it may save a read. Of a flow action the command.
    pub payload: Option<String>,
    /// Not before this, epoch milliseconds.
    pub due_at: i64,
}

/// Adds work in an open transaction; the id of the row that each becomes, unless it is merged into one that waits.
pub(super) async fn enqueue(store: &Store, tx: &mut Tx, work: &[NewWork]) -> Result<Vec<String>, StoreError> {
    let (ids, script) = add(store, tx, work).await?;
    script.fetch::<(i64,)>(tx).await?;
    Ok(ids)
}

/// The same as statements, which whoever calls has to run in the same transaction.
pub(super) async fn add(store: &Store, tx: &mut Tx, work: &[NewWork]) -> Result<(Vec<String>, Script), StoreError> {
    if work.is_empty() {
        return Ok((Vec::new(), Script::default()));
    }
    let now = store.now();
    let window = now - now % WINDOW;
    // Nobody else adds rows to these lanes meanwhile.
    lock_lanes(tx, work.iter().map(|w| w.lane.as_str())).await?;

    // One row for each subject: a statement may not touch a row twice.
    let mut merged: BTreeMap<(String, String), (NewWork, String, i64)> = BTreeMap::new();
    let mut slots = Vec::with_capacity(work.len());
    for item in work {
        let id = store.new_id();
        let subject = match item.kind {
            Kind::Hint => item.subject.to_string(),
            // Commands are never merged, so each has a key of its own here.
            Kind::FlowAction => format!("{}#{id}", item.subject),
        };
        let slot = (item.lane.clone(), subject);
        slots.push(slot.clone());
        merged
            .entry(slot)
            .and_modify(|(kept, _, records)| {
                if kept.payload != item.payload {
                    kept.payload = None;
                }
                kept.due_at = kept.due_at.min(item.due_at);
                *records += 1;
            })
            .or_insert_with(|| (item.clone(), id, 1));
    }
    let rows: Vec<_> = merged
        .values()
        .map(|(w, id, _)| {
            let subject = w.subject.to_string();
            (id, &w.lane, &w.mapping_id, w.kind.as_str(), subject, w.source, &w.payload, w.due_at)
        })
        .collect();
    let rows = Rows::new(
        "id text, lane text, mapping_id text, kind text, subject text, source text, payload text, due_at int",
        &rows,
    )?;
    let script = Script::default().over(
        tx,
        "INSERT INTO outbox (id, lane, mapping_id, kind, subject, source, payload, state, due_at, window_start, created_at)
         SELECT id, lane, mapping_id, kind, subject, source, payload, 'available', due_at, $2, $3 FROM {rows} WHERE true
         ON CONFLICT (lane, subject) WHERE kind = 'hint' AND state IN ('available', 'retryable') DO UPDATE SET
           payload = CASE WHEN outbox.payload = excluded.payload THEN outbox.payload END,
           due_at = CASE WHEN outbox.state = 'available' AND excluded.due_at < outbox.due_at THEN excluded.due_at
                    ELSE outbox.due_at END",
        &rows,
        args![window, now],
    );
    let counted: Vec<_> = merged.values().map(|(w, id, records)| (id, &w.mapping_id, records)).collect();
    let script = wake_lanes(count(script, tx, window, &counted)?, tx, work)?;
    Ok((slots.iter().map(|slot| merged[slot].1.clone()).collect(), script))
}

/// Counts what came in: a row that is there under its own id waits, any other was merged into one that waited, as were further
/// records of the same. Asked of the database in the same text, since to be told beforehand costs SQLite a turn of two threads.
fn count(
    script: Script,
    tx: &Tx,
    window: i64,
    rows: &[(&String, &Option<String>, &i64)],
) -> Result<Script, StoreError> {
    let counted: Vec<_> = rows.iter().filter(|(_, mapping, _)| mapping.is_some()).collect();
    if counted.is_empty() {
        return Ok(script);
    }
    let sql = "INSERT INTO ledger (mapping_id, window_start, received, waiting, superseded)
         SELECT mapping_id, $2, CAST(SUM(records) AS BIGINT), CAST(SUM(fresh) AS BIGINT), CAST(SUM(records - fresh) AS BIGINT)
         FROM (SELECT r.mapping_id, r.records,
                 CASE WHEN EXISTS (SELECT 1 FROM outbox o WHERE o.id = r.id) THEN 1 ELSE 0 END AS fresh FROM {rows}) AS counted
         GROUP BY mapping_id
         ON CONFLICT (mapping_id, window_start) DO UPDATE SET received = ledger.received + excluded.received,
           waiting = ledger.waiting + excluded.waiting, superseded = ledger.superseded + excluded.superseded";
    Ok(script.over(tx, sql, &Rows::new("id text, mapping_id text, records int", &counted)?, args![window]))
}

/// Makes lanes due, but for those that are leased: their release looks for itself.
fn wake_lanes(script: Script, tx: &Tx, work: &[NewWork]) -> Result<Script, StoreError> {
    let mut due: BTreeMap<&str, i64> = BTreeMap::new();
    for item in work {
        let due_at = if item.kind == Kind::FlowAction { FIRST } else { item.due_at };
        due.entry(&item.lane).and_modify(|at| *at = (*at).min(due_at)).or_insert(due_at);
    }
    let due: Vec<_> = due.into_iter().collect();
    let sql = "UPDATE lanes SET next_due_at = r.due_at FROM {rows} WHERE lanes.id = r.id AND lanes.lease_owner IS NULL
         AND NOT lanes.halted AND (lanes.next_due_at IS NULL OR lanes.next_due_at > r.due_at)";
    Ok(script.over(tx, sql, &Rows::new("id text, due_at int", &due)?, vec![]))
}

/// Changes of ledger counters, gathered to one statement.
#[derive(Default)]
pub(super) struct Ledger {
    changes: BTreeMap<(String, i64), BTreeMap<&'static str, i64>>,
}

/// The counters; `received` is the sum of the others.
pub(super) const COUNTERS: [&str; 8] =
    ["received", "applied", "no_op", "superseded", "waiting", "held", "failed", "discarded"];

impl Ledger {
    pub(super) fn add(&mut self, mapping: &str, window: i64, counter: &'static str, by: i64) {
        *self.changes.entry((mapping.to_owned(), window)).or_default().entry(counter).or_default() += by;
    }

    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self
            .changes
            .into_iter()
            .map(|((mapping, window), by)| {
                let [a, b, c, d, e, f, g, h] = COUNTERS.map(|counter| by.get(counter).copied().unwrap_or(0));
                (mapping, window, a, b, c, d, e, f, g, h)
            })
            .collect();
        let rows = Rows::new(
            "mapping_id text, window_start int, received int, applied int, no_op int, superseded int, waiting int, held int, \
             failed int, discarded int",
            &rows,
        )?;
        let list = COUNTERS.join(", ");
        let sums = COUNTERS.map(|c| format!("{c} = ledger.{c} + excluded.{c}")).join(", ");
        let sql = format!(
            "INSERT INTO ledger (mapping_id, window_start, {list}) SELECT mapping_id, window_start, {list} FROM {{rows}}
             WHERE true ON CONFLICT (mapping_id, window_start) DO UPDATE SET {sums}"
        );
        tx.execute_rows(&sql, &rows, vec![]).await.map(drop)
    }
}

/// Which counter a row in this state is counted by.
pub(super) fn counter(state: &str, outcome: Option<&str>, reason: Option<&str>) -> &'static str {
    match (state, outcome) {
        ("completed", Some("applied")) => "applied",
        ("completed", Some("superseded")) => "superseded",
        ("completed", _) => "no_op",
        ("parked", _) => "held",
        // Given up on by us, not by a person.
        ("discarded", _) if reason.is_some() => "failed",
        ("discarded", _) => "discarded",
        _ => "waiting",
    }
}

/// A window of a mapping's ledger, in accepted records.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct LedgerWindow {
    /// Epoch milliseconds.
    pub window_start: i64,
    /// The sum of the others.
    pub received: i64,
    pub applied: i64,
    pub no_op: i64,
    pub superseded: i64,
    pub waiting: i64,
    pub held: i64,
    pub failed: i64,
    pub discarded: i64,
}

impl Store {
    /// The ledger of a mapping, oldest window first.
    pub async fn ledger(&self, mapping_id: &str) -> Result<Vec<LedgerWindow>, StoreError> {
        let sql =
            "SELECT window_start, received, applied, no_op, superseded, waiting, held, failed, discarded FROM ledger
                   WHERE mapping_id = $1 ORDER BY window_start";
        self.db.fetch(sql, args![mapping_id]).await
    }
}
