//! Plans: what a run would do, computed a page at a time beside the lanes.
//!
//! Owns how a plan is begun, taken up, brought on and found to be out of date; `plan_rows` has whom it has seen and what it
//! says. Must not decide anything, and writes nothing that is recorded of members.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dialect::{Tx, args};
use super::lanes::lock_lanes;
use super::mappings::{Mapping, audit, halt};
use super::plan_rows::{PlanPage, store_page};
use super::runs::{Counts, Stage, start_run};
use super::settings::SYNC_IS_OFF;
use super::{Store, StoreError, read_json, write_json};
use crate::domain::mapping::MappingState;

/// How long a plan may be applied, in milliseconds: after a day nobody remembers what was looked at.
pub const GOOD_FOR: i64 = 24 * 3_600_000;
/// How long a plan is kept, in milliseconds.
const KEPT: i64 = 7 * 24 * 3_600_000;
/// Old plans that are dropped whenever a new one is made.
const DROPPED: i64 = 10;

/// What a plan is about: a mapping as it is, or as it would be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub mapping: Mapping,
    /// Campaign statuses that the mapping would be given.
    pub new_statuses: Vec<String>,
    /// The campaign is still to be made: its id stands for none.
    pub new_campaign: bool,
}

/// One plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub id: String,
    /// None for a mapping that is not made yet.
    pub mapping_id: Option<String>,
    pub draft: Draft,
    /// `computing`, `ready`, `failed`, `applied`.
    pub state: String,
    pub stage: Stage,
    pub cursor: Option<String>,
    /// How far it is: as of a run.
    pub counts: Counts,
    pub calls_marketo: i64,
    pub calls_salesforce: i64,
    pub seconds: i64,
    pub removals_wait: bool,
    pub attempts: i64,
    pub due_at: i64,
    pub fence: i64,
    pub message: Option<String>,
    pub created_at: i64,
    pub completed_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct PlanRecord {
    id: String,
    mapping_id: Option<String>,
    draft: String,
    state: String,
    stage: String,
    cursor: Option<String>,
    counts: String,
    calls_marketo: i64,
    calls_salesforce: i64,
    seconds: i64,
    removals_wait: bool,
    attempts: i64,
    due_at: i64,
    fence: i64,
    message: Option<String>,
    created_at: i64,
    completed_at: Option<i64>,
}

const PLAN: &str = "id, mapping_id, draft, state, stage, cursor, counts, calls_marketo, calls_salesforce, seconds, removals_wait, \
    attempts, due_at, fence, message, created_at, completed_at";

impl TryFrom<PlanRecord> for Plan {
    type Error = StoreError;

    fn try_from(row: PlanRecord) -> Result<Self, StoreError> {
        Ok(Self {
            draft: read_json("plans.draft", &row.draft)?,
            stage: Stage::parse(&row.stage)?,
            counts: read_json("plans.counts", &row.counts)?,
            id: row.id,
            mapping_id: row.mapping_id,
            state: row.state,
            cursor: row.cursor,
            calls_marketo: row.calls_marketo,
            calls_salesforce: row.calls_salesforce,
            seconds: row.seconds,
            removals_wait: row.removals_wait,
            attempts: row.attempts,
            due_at: row.due_at,
            fence: row.fence,
            message: row.message,
            created_at: row.created_at,
            completed_at: row.completed_at,
        })
    }
}

/// What becomes of a plan that is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applying {
    /// The run that checks it and carries it out.
    Started(String),
    /// It is in this state by now.
    Not(String),
}

/// How long hints wait for the rows of a plan that is applied to be checked, in milliseconds.
const CHECK: i64 = 30_000;

impl Store {
    /// Begins a plan; its id. Plans that are long past are dropped.
    pub async fn create_plan(&self, draft: &Draft, mapping_id: Option<&str>) -> Result<String, StoreError> {
        let (id, now) = (self.new_id(), self.now());
        let mut tx = self.db.begin().await?;
        let old =
            "DELETE FROM plans WHERE id IN (SELECT id FROM plans WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
        tx.execute(old, args![now - KEPT, DROPPED]).await?;
        tx.execute(
            "INSERT INTO plans (id, mapping_id, campaign_id, draft, state, stage, counts, due_at, created_at)
             VALUES ($1, $2, $3, $4, 'computing', $5, '{}', $6, $6)",
            args![
                &id,
                mapping_id.map(str::to_owned),
                draft.mapping.campaign_id.as_str(),
                write_json("draft", draft)?,
                // Nobody is in a campaign that is not there.
                if draft.new_campaign { Stage::Marketo.as_str() } else { Stage::Salesforce.as_str() },
                now
            ],
        )
        .await?;
        self.note_by_hand(&mut tx, "plan.created", &id, mapping_id.unwrap_or_default()).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(id)
    }

    /// One plan.
    pub async fn plan(&self, id: &str) -> Result<Option<Plan>, StoreError> {
        let sql = format!("SELECT {PLAN} FROM plans WHERE id = $1");
        self.db.fetch_optional::<PlanRecord>(&sql, args![id]).await?.map(Plan::try_from).transpose()
    }

    /// Whether a plan of the same mapping was begun after this one.
    pub async fn has_newer_plan(&self, plan: &Plan) -> Result<bool, StoreError> {
        let Some(mapping_id) = &plan.mapping_id else { return Ok(false) };
        let sql = "SELECT id FROM plans WHERE mapping_id = $1 AND id > $2 AND state <> 'failed' LIMIT 1";
        Ok(self.db.fetch_optional::<(String,)>(sql, args![mapping_id, &plan.id]).await?.is_some())
    }

    /// Takes up the plan that has waited longest, for one page of it. Asks before it takes: mostly there is none.
    pub async fn claim_plan(&self, lease: Duration) -> Result<Option<Plan>, StoreError> {
        let now = self.now();
        let due = format!(
            "state = 'computing' AND due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) AND NOT {SYNC_IS_OFF}"
        );
        let any = format!("SELECT id FROM plans WHERE {due} LIMIT 1");
        if self.db.fetch_optional::<(String,)>(&any, args![now]).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let skip = tx.backend().for_update_skip_locked();
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT id FROM plans WHERE {due} ORDER BY due_at, id LIMIT 1 {skip})
             UPDATE plans SET lease_until = $2, fence = fence + 1 WHERE id IN (SELECT id FROM due) RETURNING {PLAN}"
        );
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let taken: Vec<PlanRecord> = tx.fetch(&sql, args![now, until]).await?;
        tx.commit().await?;
        taken.into_iter().next().map(Plan::try_from).transpose()
    }

    /// Stores where a plan stands with what its page brought, and gives it back. Nothing, when somebody else has taken it up.
    pub async fn save_plan(&self, plan: &Plan, page: PlanPage) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE plans SET state = $3, stage = $4, cursor = $5, counts = $6, calls_marketo = $7, calls_salesforce = $8,
                     seconds = $9, removals_wait = $10, attempts = $11, due_at = $12, message = $13, completed_at = $14,
                     lease_until = NULL WHERE id = $1 AND fence = $2 AND state = 'computing'";
        let saved = tx
            .execute(
                sql,
                args![
                    &plan.id,
                    plan.fence,
                    &plan.state,
                    plan.stage.as_str(),
                    plan.cursor.clone(),
                    write_json("plans.counts", &plan.counts)?,
                    plan.calls_marketo,
                    plan.calls_salesforce,
                    plan.seconds,
                    plan.removals_wait,
                    plan.attempts,
                    plan.due_at,
                    plan.message.clone(),
                    plan.completed_at
                ],
            )
            .await?;
        if saved > 0 {
            store_page(&mut tx, &plan.id, page).await?;
            if plan.state != "computing" {
                // Whom it has seen was needed to decide only.
                tx.execute("DELETE FROM plan_people WHERE plan_id = $1", args![&plan.id]).await?;
            }
        }
        tx.commit().await?;
        self.plans.notify_waiters();
        if plan.state == "computing" {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Applies a plan that is ready: a run of its mapping that first looks whether its rows still hold. A mapping that is
    /// paused is resumed by that.
    ///
    /// # Errors
    /// `Conflict` when the mapping was changed since it was read.
    pub async fn apply_plan(&self, plan: &Plan, mapping: &Mapping, actor: &str) -> Result<Applying, StoreError> {
        let now = self.now();
        let lane = mapping.campaign_id.as_str();
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, [lane]).await?;
        let sql = "UPDATE plans SET state = 'applied' WHERE id = $1 AND state = 'ready'";
        if tx.execute(sql, args![&plan.id]).await? == 0 {
            let state: Vec<(String,)> = tx.fetch("SELECT state FROM plans WHERE id = $1", args![&plan.id]).await?;
            return Ok(Applying::Not(state.into_iter().next().map_or_else(|| "gone".to_owned(), |row| row.0)));
        }
        if mapping.state == MappingState::Paused {
            let sql = "UPDATE mappings SET state = 'active', version = version + 1, updated_at = $3
                       WHERE id = $1 AND version = $2 AND deleted_at IS NULL";
            if tx.execute(sql, args![&mapping.id, mapping.version, now]).await? == 0 {
                return Err(StoreError::Conflict("the mapping was changed by somebody else in between".to_owned()));
            }
            halt(self, &mut tx, lane, false).await?;
        }
        // What waits is about members that the run reads anyway: it comes after the rows were checked, or they would all have drifted.
        let sql = "UPDATE outbox SET due_at = $2 WHERE lane = $1 AND kind = 'hint' AND state IN ('available', 'retryable') AND due_at < $2";
        tx.execute(sql, args![lane, now + CHECK]).await?;
        let run = start_run(self, &mut tx, &mapping.id, lane, "reconciliation").await?;
        check_first(&mut tx, &run, &plan.id).await?;
        audit(self, &mut tx, actor, "plan.applied", &plan.id, &mapping.id).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(Applying::Started(run))
    }
}

async fn check_first(tx: &mut Tx, run: &str, plan: &str) -> Result<(), StoreError> {
    let sql = "UPDATE runs SET stage = $2, plan_id = $3 WHERE id = $1";
    tx.execute(sql, args![run, Stage::Check.as_str(), plan]).await.map(drop)
}
