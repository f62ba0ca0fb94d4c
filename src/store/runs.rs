//! Whole reads of a campaign and its program: first sync and reconciliation.
//!
//! A run is worked off in the lane of its campaign, a page at a time, under the lane's lease; the cursor is stored with
//! what the page brought, so that a crash costs one page again.

use std::collections::BTreeMap;

use super::dialect::{Arg, Rows, Tx, args};
use super::lanes::{Lease, lock_lanes};
use super::listings::{Doubted, doubt};
use super::record::Batch;
use super::settings::SYNC_IS_OFF;
use super::{Store, StoreError, read_json, write_json};

/// What a run has done so far, by name: `salesforce_read`, `marketo_read`, `decided`, `changed`.
pub type Counts = BTreeMap<String, i64>;

/// By side (`marketo`, `salesforce`, or `both` for what is held), then by reason.
pub type Differences = BTreeMap<String, BTreeMap<String, i64>>;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: String,
    pub lane: String,
    /// None where a campaign is tracked without one.
    pub mapping_id: Option<String>,
    /// `first_sync`, `reconciliation`, `undo`, or `first_read` of a campaign without a mapping.
    pub kind: String,
    /// `running`, `completed`, `failed`.
    pub state: String,
    pub stage: Stage,
    /// Where the stage goes on; none at its beginning.
    pub cursor: Option<String>,
    /// The id that the last page of the stage ended with, where it lists members in the order of their ids.
    pub last_shown: Option<String>,
    pub counts: Counts,
    /// What it has found different: side, reason, how many.
    pub differences: Differences,
    /// Whom its pages doubt, and who are not put down to be decided yet.
    pub doubted: Doubted,
    /// The plan that it applies.
    pub plan_id: Option<String>,
    /// Grows when the run is begun anew.
    pub generation: i64,
    pub attempts: i64,
    pub due_at: i64,
    /// Why it waits or failed.
    pub message: Option<String>,
    pub created_at: i64,
    pub completed_at: Option<i64>,
}

/// What a run does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reads all campaign members.
    Salesforce,
    /// Reads all program members.
    Marketo,
    /// Decides every member.
    Decide,
    /// Takes back what this service has added; an undo has no other stage.
    Undo,
    /// Looks whether the rows of the plan that it applies still hold, before it reads.
    Check,
}

/// A member that an undo has left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub run_id: String,
    pub member_id: String,
    pub side: String,
    /// `changed_since`, `removal_discarded`, or why the vendor refused.
    pub reason: String,
}

impl Stage {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Salesforce => "salesforce",
            Self::Marketo => "marketo",
            Self::Decide => "decide",
            Self::Undo => "undo",
            Self::Check => "check",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        [Self::Salesforce, Self::Marketo, Self::Decide, Self::Undo, Self::Check]
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt(format!("runs.stage {text:?}")))
    }
}

#[derive(sqlx::FromRow)]
struct RunRow {
    id: String,
    lane: String,
    mapping_id: Option<String>,
    kind: String,
    state: String,
    stage: String,
    cursor: Option<String>,
    last_shown: Option<String>,
    counts: String,
    differences: String,
    doubted: String,
    plan_id: Option<String>,
    generation: i64,
    attempts: i64,
    due_at: i64,
    message: Option<String>,
    created_at: i64,
    completed_at: Option<i64>,
}

const RUN: &str = "id, lane, mapping_id, kind, state, stage, cursor, last_shown, counts, differences, doubted, plan_id, generation, attempts, due_at, message, created_at, completed_at";

impl TryFrom<RunRow> for Run {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        Ok(Self {
            stage: Stage::parse(&row.stage)?,
            counts: read_json("runs.counts", &row.counts)?,
            differences: read_json("runs.differences", &row.differences)?,
            doubted: read_json("runs.doubted", &row.doubted)?,
            plan_id: row.plan_id,
            id: row.id,
            lane: row.lane,
            mapping_id: row.mapping_id,
            kind: row.kind,
            state: row.state,
            cursor: row.cursor,
            last_shown: row.last_shown,
            generation: row.generation,
            attempts: row.attempts,
            due_at: row.due_at,
            message: row.message,
            created_at: row.created_at,
            completed_at: row.completed_at,
        })
    }
}

impl Store {
    /// Starts a run of a mapping, or finds the one that goes on; its id.
    pub async fn start_run(&self, mapping_id: &str, lane: &str, kind: &str) -> Result<String, StoreError> {
        let mut tx = self.db.begin().await?;
        let id = start_run(self, &mut tx, mapping_id, lane, kind).await?;
        self.note_by_hand(&mut tx, "mapping.reconciled", mapping_id, "").await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(id)
    }

    /// Runs of a mapping, newest first.
    pub async fn runs(&self, mapping_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Run>, StoreError> {
        let sql = format!("SELECT {RUN} FROM runs WHERE mapping_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
        let rows: Vec<RunRow> = self.db.fetch(&sql, args![mapping_id, before.unwrap_or("g"), limit]).await?;
        rows.into_iter().map(Run::try_from).collect()
    }

    /// One run.
    pub async fn run(&self, id: &str) -> Result<Option<Run>, StoreError> {
        let sql = format!("SELECT {RUN} FROM runs WHERE id = $1");
        self.db.fetch_optional::<RunRow>(&sql, args![id]).await?.map(Run::try_from).transpose()
    }

    /// Whether a run is the only thing to be done: it was not begun anew, its lane was not halted, and nothing waits, here or elsewhere.
    pub async fn nothing_but(&self, run: &Run) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT l.id FROM lanes l WHERE l.id = $1 AND NOT l.halted AND NOT {SYNC_IS_OFF}
               AND EXISTS (SELECT 1 FROM runs WHERE id = $2 AND generation = $3 AND state = 'running')
               AND NOT EXISTS (SELECT 1 FROM lanes WHERE next_due_at <= $4)
               AND NOT EXISTS (SELECT 1 FROM outbox WHERE lane = $1 AND kind = 'hint' AND state IN ('available', 'retryable', 'running') AND due_at <= $4)
               AND NOT EXISTS (SELECT 1 FROM outbox WHERE lane = $1 AND kind = 'flow_action' AND state IN ('available', 'retryable', 'running') AND due_at <= $4)"
        );
        let args = args![&run.lane, &run.id, run.generation, self.now()];
        Ok(self.db.fetch_optional::<(String,)>(&sql, args).await?.is_some())
    }

    /// Keeps the place that a run goes on from and whom its page doubts, unless the lease is no longer ours or the run was begun anew. A
    /// machine that loses its power may lose both, never one of them: the run reads a page again.
    pub(super) async fn keep_place(&self, Place { lease, run, doubted }: Place<'_>) -> Result<bool, StoreError> {
        let mut args = saved(run)?;
        args.extend(args![&lease.lane, lease.fence]);
        let lock = self.db.backend().for_update();
        let ours = format!("SELECT 1 FROM lanes WHERE id = $14 AND fence = $15 AND lease_owner IS NOT NULL {lock}");
        let sql = format!("{SAVE} AND EXISTS ({ours})");
        if doubted.is_none_or(Doubted::is_empty) {
            return Ok(self.db.execute_lazily(&sql, args).await? > 0);
        }
        let mut tx = self.db.begin_lazily().await?;
        let kept = !tx.fetch::<(String,)>(&format!("{sql} RETURNING id"), args).await?.is_empty();
        match doubted.filter(|_| kept) {
            Some(doubted) => doubt(self, &tx, &lease.lane, doubted)?.commit(tx).await?,
            None => tx.commit().await?,
        }
        Ok(kept)
    }

    pub(super) async fn due_runs(&self, tx: &mut Tx, leases: &[Lease]) -> Result<Vec<Run>, StoreError> {
        let lanes: Vec<_> = leases.iter().map(|l| (&l.lane,)).collect();
        let columns = RUN.split(", ").map(|c| format!("o.{c}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT {columns} FROM {{rows}} JOIN runs o ON o.lane = r.id AND o.state = 'running' AND o.due_at <= $2"
        );
        let rows: Vec<RunRow> = tx.fetch_rows(&sql, &Rows::new("id text", &lanes)?, args![self.now()]).await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

/// Where a run goes on, under its lease, and whom the page before it doubts.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    lease: &'a Lease,
    run: &'a Run,
    doubted: Option<&'a Doubted>,
}

impl Batch {
    /// What is kept of a page of a listing that shows nobody who has to be recorded.
    #[must_use]
    pub fn place(&self) -> Option<Place<'_>> {
        let ([lease], [run]) = (&*self.leases, &*self.runs) else { return None };
        let doubted = match &*self.doubted {
            [] => None,
            [(lane, doubted)] if *lane == lease.lane => Some(doubted),
            _ => return None,
        };
        let nothing_else = self.members.is_empty()
            && self.settled.is_empty()
            && self.heard.is_empty()
            && self.work.is_empty()
            && self.kept.is_empty()
            && self.baselines.is_empty();
        let goes_on = run.state == "running" && self.keep.contains(&lease.lane);
        (nothing_else && goes_on).then_some(Place { lease, run, doubted })
    }
}

/// Starts a run in an open transaction, unless one of the mapping goes on already: that is begun anew, since what has
/// changed may concern what it has passed.
pub(super) async fn start_run(
    store: &Store,
    tx: &mut Tx,
    mapping_id: &str,
    lane: &str,
    kind: &str,
) -> Result<String, StoreError> {
    let now = store.now();
    lock_lanes(tx, [lane]).await?;
    let sql =
        "UPDATE runs SET stage = 'salesforce', cursor = NULL, last_shown = NULL, counts = '{}', differences = '{}', doubted = '{}', message = NULL, due_at = $2, attempts = 0, generation = generation + 1
               WHERE mapping_id = $1 AND state = 'running' AND kind <> 'undo' RETURNING id";
    let going_on: Vec<(String,)> = tx.fetch(sql, args![mapping_id, now]).await?;
    let id = match going_on.into_iter().next() {
        Some((id,)) => id,
        None => {
            let id = store.new_id();
            tx.execute(
                "INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at)
                 VALUES ($1, $2, $3, $4, 'running', 'salesforce', '{}', $5, $5)",
                args![&id, lane, mapping_id, kind, now],
            )
            .await?;
            id
        }
    };
    let sql = "UPDATE lanes SET next_due_at = $2 WHERE id = $1 AND lease_owner IS NULL AND NOT halted
               AND (next_due_at IS NULL OR next_due_at > $2)";
    tx.execute(sql, args![lane, now]).await?;
    Ok(id)
}

/// Starts the first complete read of a campaign that is tracked without a mapping, in an open transaction and under the lock of
/// its lane.
pub(super) async fn start_first_read(store: &Store, tx: &mut Tx, lane: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at)
         VALUES ($1, $2, NULL, 'first_read', 'running', 'salesforce', '{}', $3, $3)",
        args![store.new_id(), lane, store.now()],
    )
    .await
    .map(drop)
}

/// Stores where a run stands, in the transaction of what the page brought; false when it was begun anew meanwhile.
pub(super) async fn save_run(tx: &mut Tx, run: &Run) -> Result<bool, StoreError> {
    Ok(tx.execute(SAVE, saved(run)?).await? > 0)
}

const SAVE: &str =
    "UPDATE runs SET state = $2, stage = $3, cursor = $4, counts = $5, attempts = $6, due_at = $7, message = $8,
       completed_at = $9, differences = $11, last_shown = $12, doubted = $13 WHERE id = $1 AND generation = $10";

fn saved(run: &Run) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &run.id,
        &run.state,
        run.stage.as_str(),
        run.cursor.clone(),
        write_json("runs.counts", &run.counts)?,
        run.attempts,
        run.due_at,
        run.message.clone(),
        run.completed_at,
        run.generation,
        write_json("runs.differences", &run.differences)?,
        run.last_shown.clone(),
        write_json("runs.doubted", &run.doubted)?
    ])
}
