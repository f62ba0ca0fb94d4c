//! Mappings of programs to campaigns, and the lane that each campaign becomes by being tracked.
//!
//! Owns one-to-one: a program or a campaign is in one living mapping at most. Must not ask a vendor whether they exist.

use serde::{Deserialize, Serialize};

use super::campaigns::refuse_while_created;
use super::dialect::{Rows, Tx, args};
use super::fan_out::tell;
use super::lanes::lock_lanes;
pub use super::mapping_list::{MappingFilter, MappingOrder};
use super::replays::end_finds_of;
use super::runs::start_run;
use super::{Store, StoreError, read_json, write_json};
use crate::domain::ids::{ProgramId, SalesforceId};
use crate::domain::mapping::{MappingState, Policies};
use crate::domain::notice::Notice;
use crate::domain::one_way::Costs;
use crate::domain::status::{StatusMap, Steps};
use crate::domain::warning::Warning;

/// What a user allowed when making the mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Missing campaign statuses are created.
    pub provision_statuses: bool,
    /// Although Marketo's own sync has the program.
    pub allow_native_sync: bool,
    /// Although membership of the program sends mail.
    pub allow_program_type: bool,
}

/// What was found when program and campaign were last read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Member statuses of the campaign; none until it was read.
    pub campaign_statuses: Option<Vec<String>>,
    pub costs: Costs,
    pub warnings: Vec<Warning>,
}

/// One program, one campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    pub id: String,
    pub program_id: ProgramId,
    pub campaign_id: SalesforceId,
    pub program_name: String,
    pub campaign_name: String,
    pub state: MappingState,
    /// Why it has failed.
    pub reason: Option<String>,
    pub status_map: StatusMap,
    /// The map was given, so statuses of equal name are not added to it by themselves.
    pub custom_map: bool,
    pub steps: Steps,
    pub policies: Policies,
    pub options: Options,
    pub found: Found,
    /// Grows with each change.
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct MappingRow {
    id: String,
    program_id: i64,
    campaign_id: String,
    program_name: String,
    campaign_name: String,
    state: String,
    reason: Option<String>,
    status_map: String,
    custom_map: bool,
    steps: String,
    policies: String,
    options: String,
    found: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

pub(super) const MAPPING: &str = "m.id, m.program_id, m.campaign_id, m.program_name, m.campaign_name, m.state, m.reason, m.status_map, \
    m.custom_map, m.steps, m.policies, m.options, m.found, m.version, m.created_at, m.updated_at";

impl TryFrom<MappingRow> for Mapping {
    type Error = StoreError;

    fn try_from(row: MappingRow) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("mappings.{what} of {}", row.id));
        Ok(Self {
            campaign_id: row.campaign_id.parse().map_err(|_| corrupt("campaign_id"))?,
            state: row.state.parse().map_err(|_| corrupt("state"))?,
            status_map: read_json("mappings.status_map", &row.status_map)?,
            steps: read_json("mappings.steps", &row.steps)?,
            policies: read_json("mappings.policies", &row.policies)?,
            options: read_json("mappings.options", &row.options)?,
            found: read_json("mappings.found", &row.found)?,
            id: row.id,
            program_id: row.program_id,
            program_name: row.program_name,
            campaign_name: row.campaign_name,
            reason: row.reason,
            custom_map: row.custom_map,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(super) fn mappings(rows: Vec<MappingRow>) -> Result<Vec<Mapping>, StoreError> {
    rows.into_iter().map(Mapping::try_from).collect()
}

/// A mapping that cannot be made because of one that is there.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum Created {
    /// Made; with the run of its first sync, unless it starts paused.
    New { mapping: Mapping, run_id: String },
    /// The program or the campaign is in this mapping.
    AlreadyMapped { mapping_id: String },
}

impl Store {
    /// Makes a mapping and starts its first sync, in one transaction. `mapping.version` and times are set here.
    pub async fn create_mapping(&self, mut mapping: Mapping, actor: &str) -> Result<Created, StoreError> {
        let now = self.now();
        (mapping.version, mapping.created_at, mapping.updated_at) = (1, now, now);
        let campaign = mapping.campaign_id.as_str();
        let mut tx = self.db.begin().await?;
        let lane = tx.execute("INSERT INTO lanes (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", args![campaign]);
        lane.await?;
        lock_lanes(&mut tx, [campaign]).await?;
        refuse_while_created(self, &mut tx, &mapping).await?;
        let other = "SELECT id FROM mappings WHERE program_id = $1 AND deleted_at IS NULL
                     UNION SELECT id FROM mappings WHERE campaign_id = $2 AND deleted_at IS NULL ORDER BY id LIMIT 1";
        let other_args = || args![mapping.program_id, campaign];
        if let Some((mapping_id,)) = tx.fetch::<(String,)>(other, other_args()).await?.pop() {
            return Ok(Created::AlreadyMapped { mapping_id });
        }
        // What was recorded while the campaign was tracked before is old; nobody was told of what happened since, and
        // nobody shall be told of it now.
        let sql = "UPDATE members SET marketo = NULL, salesforce = CASE WHEN (SELECT baseline FROM lanes WHERE id = $1) THEN salesforce END,
                     base_marketo = NULL, base_salesforce = NULL, added_to_marketo = FALSE, added_to_salesforce = FALSE,
                     edited_in_marketo = FALSE, edited_in_salesforce = FALSE,
                     frozen = FALSE, resolution = NULL, would = NULL, own_writes = NULL,
                     sync_state = 'pending', reason = 'waiting' WHERE campaign_id = $1";
        tx.execute(sql, args![campaign]).await?;
        let inserted = tx
            .execute(
                "INSERT INTO mappings (id, program_id, campaign_id, program_name, campaign_name, state, reason, status_map, custom_map,
                   steps, policies, options, found, refresh_at, version, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16) ON CONFLICT DO NOTHING",
                args![
                    &mapping.id, mapping.program_id, campaign, &mapping.program_name, &mapping.campaign_name,
                    mapping.state.as_str(), mapping.reason.clone(), write_json("status map", &mapping.status_map)?,
                    mapping.custom_map, write_json("steps", &mapping.steps)?, write_json("policies", &mapping.policies)?,
                    write_json("options", &mapping.options)?, write_json("found", &mapping.found)?,
                    // Its first sync reads both before that.
                    now + super::outbox::WINDOW, 1, now
                ],
            )
            .await?;
        if inserted == 0 {
            // Two requests at once, and the other was faster.
            drop(tx);
            let found: Option<(String,)> = self.db.fetch_optional(other, other_args()).await?;
            let gone = || StoreError::Conflict("another mapping was made and removed at this moment".to_owned());
            return found.map(|(mapping_id,)| Created::AlreadyMapped { mapping_id }).ok_or_else(gone);
        }
        let sql = "DELETE FROM campaign_intents WHERE program_id = $1 AND campaign_id = $2";
        tx.execute(sql, args![mapping.program_id, campaign]).await?;
        let halted = mapping.state != MappingState::Active;
        tx.execute("UPDATE lanes SET halted = $2 WHERE id = $1", args![campaign, halted]).await?;
        let run_id = start_run(self, &mut tx, &mapping.id, campaign, "first_sync").await?;
        audit(self, &mut tx, actor, "mapping.created", &mapping.id, "").await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(Created::New { mapping, run_id })
    }

    /// One mapping that was not removed.
    pub async fn mapping(&self, id: &str) -> Result<Option<Mapping>, StoreError> {
        let sql = format!("SELECT {MAPPING} FROM mappings m WHERE m.id = $1 AND m.deleted_at IS NULL");
        self.db.fetch_optional::<MappingRow>(&sql, args![id]).await?.map(Mapping::try_from).transpose()
    }

    /// The mappings of lanes; an unmapped lane is left out.
    pub async fn mappings_of_lanes(&self, lanes: &[String]) -> Result<Vec<Mapping>, StoreError> {
        let rows: Vec<_> = lanes.iter().map(|lane| (lane,)).collect();
        let sql =
            format!("SELECT {MAPPING} FROM {{rows}} JOIN mappings m ON m.campaign_id = r.id AND m.deleted_at IS NULL");
        mappings(self.db.fetch_rows(&sql, &Rows::new("id text", &rows)?, vec![]).await?)
    }

    /// The mappings of these programs.
    pub async fn mappings_of_programs(&self, programs: &[i64]) -> Result<Vec<Mapping>, StoreError> {
        let rows: Vec<_> = programs.iter().map(|program| (program,)).collect();
        let sql =
            format!("SELECT {MAPPING} FROM {{rows}} JOIN mappings m ON m.program_id = r.id AND m.deleted_at IS NULL");
        mappings(self.db.fetch_rows(&sql, &Rows::new("id int", &rows)?, vec![]).await?)
    }

    /// Stores a changed mapping if it is still at the version that was read; the run that a change of what is decided starts.
    ///
    /// # Errors
    /// `Conflict` when somebody else changed it in between.
    pub async fn update_mapping(
        &self,
        mapping: &Mapping,
        rerun: bool,
        actor: &str,
        detail: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, [mapping.campaign_id.as_str()]).await?;
        let updated = tx
            .execute(
                "UPDATE mappings SET program_name = $3, campaign_name = $4, state = $5, reason = $6, status_map = $7, custom_map = $8,
                   steps = $9, policies = $10, options = $11, found = $12, version = version + 1, updated_at = $13
                 WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
                args![
                    &mapping.id, mapping.version, &mapping.program_name, &mapping.campaign_name, mapping.state.as_str(),
                    mapping.reason.clone(), write_json("status map", &mapping.status_map)?, mapping.custom_map,
                    write_json("steps", &mapping.steps)?, write_json("policies", &mapping.policies)?,
                    write_json("options", &mapping.options)?, write_json("found", &mapping.found)?, self.now()
                ],
            )
            .await?;
        if updated == 0 {
            return Err(StoreError::Conflict("the mapping was changed by somebody else in between".to_owned()));
        }
        let lane = mapping.campaign_id.as_str();
        halt(self, &mut tx, lane, matches!(mapping.state, MappingState::Paused | MappingState::Failed)).await?;
        let run = if rerun { Some(start_run(self, &mut tx, &mapping.id, lane, "reconciliation").await?) } else { None };
        audit(self, &mut tx, actor, "mapping.changed", &mapping.id, detail).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(run)
    }

    /// Stops a mapping whose program or campaign is gone; what waits goes on waiting.
    pub async fn fail_mapping(&self, mapping: &Mapping, reason: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, [mapping.campaign_id.as_str()]).await?;
        let sql = "UPDATE mappings SET state = 'failed', reason = $2, version = version + 1, updated_at = $3
                   WHERE id = $1 AND deleted_at IS NULL AND state <> 'failed'";
        if tx.execute(sql, args![&mapping.id, reason, self.now()]).await? > 0 {
            halt(self, &mut tx, mapping.campaign_id.as_str(), true).await?;
            audit(self, &mut tx, "worker", "mapping.failed", &mapping.id, reason).await?;
            let notice = Notice::MappingFailed {
                mapping_id: mapping.id.clone(),
                campaign_id: mapping.campaign_id.to_string(),
                program_id: mapping.program_id,
                reason: reason.to_owned(),
            };
            tell(self, &mut tx, notice).await?;
        }
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(())
    }

    /// Whether anybody wants to know what happens in a campaign.
    pub async fn is_tracked(&self, campaign_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT l.id FROM lanes l WHERE l.id = $1 AND (l.pinned OR EXISTS
                   (SELECT 1 FROM mappings m WHERE m.campaign_id = l.id AND m.deleted_at IS NULL))";
        Ok(self.db.fetch_optional::<(String,)>(sql, args![campaign_id]).await?.is_some())
    }

    /// Removes a mapping; the members stay on both sides, and what still waits for it is discarded.
    ///
    /// `last` is the run whose end this is.
    pub async fn delete_mapping(&self, mapping: &Mapping, actor: &str, last: Option<&str>) -> Result<(), StoreError> {
        let now = self.now();
        let lane = mapping.campaign_id.as_str();
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, [lane]).await?;
        let sql = "UPDATE mappings SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";
        if tx.execute(sql, args![&mapping.id, now]).await? == 0 {
            return Ok(());
        }
        let sql = "UPDATE runs SET state = 'failed', message = 'the mapping was removed', completed_at = $2
                   WHERE mapping_id = $1 AND state = 'running' AND id <> $3 RETURNING id";
        let ended: Vec<(String,)> = tx.fetch(sql, args![&mapping.id, now, last.unwrap_or_default()]).await?;
        let sql = "UPDATE outbox SET state = 'discarded', reason = NULL, completed_at = $2
                   WHERE mapping_id = $1 AND kind = 'hint'
                   AND state IN ('available', 'retryable') RETURNING window_start";
        let windows: Vec<(i64,)> = tx.fetch(sql, args![&mapping.id, now]).await?;
        let mut ledger = super::outbox::Ledger::default();
        for (window,) in windows {
            ledger.add(&mapping.id, window, "waiting", -1);
            ledger.add(&mapping.id, window, "discarded", 1);
        }
        ledger.store(&mut tx).await?;
        halt(self, &mut tx, lane, false).await?;
        // Untracked from here on: what is recorded grows old, and the next first sync has to be silent.
        tx.execute("UPDATE lanes SET baseline = FALSE WHERE id = $1 AND NOT pinned", args![lane]).await?;
        audit(self, &mut tx, actor, "mapping.removed", &mapping.id, "").await?;
        end_finds_of(self, &mut tx, &ended).await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(())
    }
}

/// Stops or resumes the working off of a lane.
pub(super) async fn halt(store: &Store, tx: &mut Tx, lane: &str, halted: bool) -> Result<(), StoreError> {
    // Due at once when it resumes: its release finds out what for.
    let sql =
        "UPDATE lanes SET halted = $2, next_due_at = CASE WHEN lease_owner IS NOT NULL THEN next_due_at WHEN $2 THEN NULL
           ELSE $3 END WHERE id = $1 AND halted <> $2";
    if tx.execute(sql, args![lane, halted, store.now()]).await? > 0 && !halted {
        // What waited for something that stood in the way is tried at once.
        let sql = "UPDATE outbox SET due_at = $2 WHERE lane = $1 AND kind IN ('hint', 'flow_action')
                   AND state IN ('available', 'retryable', 'running') AND state = 'retryable' AND due_at > $2";
        tx.execute(sql, args![lane, store.now()]).await?;
    }
    Ok(())
}

/// Notes who did what.
pub(super) async fn audit(
    store: &Store,
    tx: &mut Tx,
    actor: &str,
    action: &str,
    target: &str,
    detail: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO audit (at, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5)",
        args![store.now(), actor, action, target, detail],
    )
    .await
    .map(drop)
}
