//! How attempts end: what a row of the outbox becomes, and the counter that it moves to.
//!
//! Runs within the transaction of `record`, under the locks of the lanes. Must not know members.

use std::collections::BTreeMap;

use super::dialect::{Rows, Tx, args};
use super::outbox::{Kind, Ledger, Subject, counter};
use super::record::flatten;
use super::{Store, StoreError};

/// What became of one row of the outbox.
#[derive(Clone, Debug)]
pub struct Settled {
    pub id: String,
    pub lane: String,
    pub subject: Subject,
    pub kind: Kind,
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Something was written, or had been already.
    Applied,
    /// Nothing was to be done.
    NoOp,
    /// There was nothing to be done about a flow action, for this reason.
    Skipped { reason: String },
    /// A younger row sees to it.
    Superseded,
    /// The turn of a flow action has not come, before `due_at` (epoch milliseconds): this was no attempt.
    Later { due_at: i64 },
    /// Another attempt, not before `due_at` (epoch milliseconds). One for which no call was left (`quota`) was none.
    Retry { due_at: i64, reason: String, error: Option<VendorError> },
    /// Waits for a person, the mapping, or the vendor's configuration.
    Parked { reason: String, error: Option<VendorError> },
    /// Every allowed attempt was made.
    GivenUp { reason: String, error: Option<VendorError> },
}

/// What a vendor said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorError {
    pub vendor: String,
    pub code: String,
    pub message: String,
}

/// Mapping, window, state, outcome and reason of a row.
type Moved = (Option<String>, i64, String, Option<String>, Option<String>);

/// Ends attempts, and moves what the ledger counts.
pub(super) async fn settle(store: &Store, tx: &mut Tx, settled: &[Settled]) -> Result<(), StoreError> {
    if settled.is_empty() {
        return Ok(());
    }
    let now = store.now();
    let mut newest: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for s in settled.iter().filter(|s| s.kind == Kind::Hint && matches!(s.end, End::Retry { .. })) {
        let id = newest.entry((&s.lane, s.subject.to_string())).or_insert(&s.id);
        *id = (*id).max(&s.id);
    }
    let mut ledger = Ledger::default();
    let mut rows = Vec::new();
    let mut over = Vec::new();
    for s in settled {
        let overtaken = newest.get(&(s.lane.as_str(), s.subject.to_string())).is_some_and(|id| *id != s.id);
        let end = if overtaken && matches!(s.end, End::Retry { .. }) { &End::Superseded } else { &s.end };
        let (state, outcome, due_at, reason, error) = match end {
            End::Applied => ("completed", Some("applied"), now, None, None),
            End::NoOp => ("completed", Some("no_op"), now, None, None),
            End::Skipped { reason } => ("completed", Some("no_op"), now, Some(reason.as_str()), None),
            End::Later { due_at } => ("available", None, *due_at, Some("waiting"), None),
            End::Superseded => ("completed", Some("superseded"), now, None, None),
            End::Retry { due_at, reason, error } => ("retryable", None, *due_at, Some(reason.as_str()), error.as_ref()),
            End::Parked { reason, error } => ("parked", None, now, Some(reason.as_str()), error.as_ref()),
            End::GivenUp { reason, error } => ("discarded", None, now, Some(reason.as_str()), error.as_ref()),
        };
        if state == "completed" && s.kind == Kind::Hint {
            over.push((&s.lane, s.subject.to_string(), &s.id));
        }
        let completed_at = (!matches!(state, "retryable" | "available")).then_some(now);
        let error = (error.map(|e| &e.vendor), error.map(|e| &e.code), error.map(|e| &e.message));
        rows.push(((&s.id, state, outcome, due_at, reason, completed_at), error));
    }
    let rows: Vec<_> = rows.iter().map(flatten).collect::<Result<_, _>>()?;
    let columns = "id text, state text, outcome text, due_at int, reason text, completed_at int, vendor text, code text, message text";
    // A row that has to be tried again while a younger one about the same subject waits leaves it to that one.
    let moved: Vec<Moved> = tx
        .fetch_rows(
            "UPDATE outbox SET
               state = CASE WHEN r.state = 'retryable' AND y.id IS NOT NULL THEN 'completed' ELSE r.state END,
               outcome = CASE WHEN r.state = 'retryable' AND y.id IS NOT NULL THEN 'superseded' ELSE r.outcome END,
               completed_at = CASE WHEN r.state = 'retryable' AND y.id IS NOT NULL THEN $2 ELSE r.completed_at END,
               due_at = r.due_at, reason = r.reason, vendor = r.vendor, code = r.code, message = r.message,
               attempts = CASE WHEN r.state = 'available' OR r.reason = 'quota' THEN outbox.attempts - 1 ELSE outbox.attempts END,
               payload = CASE WHEN r.state = 'retryable' AND outbox.kind = 'hint' THEN NULL ELSE outbox.payload END
             FROM {rows} JOIN outbox o ON o.id = r.id
             LEFT JOIN outbox y ON y.lane = o.lane AND y.subject = o.subject AND y.kind = 'hint' AND o.kind = 'hint'
               AND y.state IN ('available', 'retryable') AND y.id <> o.id
             WHERE outbox.id = r.id AND outbox.state = 'running'
             RETURNING outbox.mapping_id, outbox.window_start, outbox.state, outbox.outcome, outbox.reason",
            &Rows::new(columns, &rows)?,
            args![now],
        )
        .await?;
    for (mapping, window, state, outcome, reason) in moved {
        let to = counter(&state, outcome.as_deref(), reason.as_deref());
        if let Some(mapping) = mapping.filter(|_| to != "waiting") {
            ledger.add(&mapping, window, "waiting", -1);
            ledger.add(&mapping, window, to, 1);
        }
    }
    supersede(tx, &mut ledger, &over, now).await?;
    ledger.store(tx).await
}

/// What was parked or given up earlier about the same subject, by lane, subject and id, is settled with this.
pub(super) async fn supersede<T: serde::Serialize>(
    tx: &mut Tx,
    ledger: &mut Ledger,
    over: &[T],
    now: i64,
) -> Result<(), StoreError> {
    if over.is_empty() {
        return Ok(());
    }
    let rows = Rows::new("lane text, subject text, id text", over)?;
    // The list of states is that of the partial index, which is not used without it.
    for (state, counted) in [("parked", "held"), ("discarded", "failed")] {
        let sql = "UPDATE outbox SET state = 'completed', outcome = 'superseded', completed_at = $2
                   FROM {rows} WHERE outbox.lane = r.lane AND outbox.subject = r.subject AND outbox.id < r.id
                     AND outbox.kind = 'hint' AND outbox.state IN ('parked', 'discarded') AND outbox.state = $3
                     AND outbox.reason IS NOT NULL
                   RETURNING outbox.mapping_id, outbox.window_start";
        let earlier: Vec<(Option<String>, i64)> = tx.fetch_rows(sql, &rows, args![now, state]).await?;
        for (mapping, window) in earlier {
            if let Some(mapping) = mapping {
                ledger.add(&mapping, window, counted, -1);
                ledger.add(&mapping, window, "superseded", 1);
            }
        }
    }
    Ok(())
}
