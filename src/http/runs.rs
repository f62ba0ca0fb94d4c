//! Runs: first syncs and reconciliations, and how far they are.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Id, Json, List, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::store::runs::Run;
use crate::store::undo::KeptMember;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(show))
}

/// One run.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
struct RunBody {
    id: String,
    /// Null for a campaign that is tracked without a mapping.
    mapping_id: Option<String>,
    campaign_id: String,
    /// `first_sync`, `reconciliation`, `undo` of a mapping that is taken back, or `first_read` of a campaign without a mapping.
    kind: String,
    /// `running`, `completed`, `failed`.
    state: String,
    /// What it is doing: `salesforce` and `marketo` are read, then everybody is decided (`decide`); before that the rows of the plan
    /// that it applies are looked at (`check`); `undo`.
    #[schema(example = "decide")]
    stage: &'static str,
    /// By name: members read on each side, decided, changed, to be tried again.
    #[schema(example = json!({"salesforce_read": 120, "marketo_read": 118, "decided": 121, "changed": 4}))]
    counts: BTreeMap<String, i64>,
    progress: ProgressBody,
    /// What was found different, by the side that was to follow (`missing`, `different`, `surplus` there) and, under `both`, by the
    /// reason for which members are held.
    #[schema(example = json!({"salesforce": {"missing": 3, "different": 1}, "both": {"regression": 1}}))]
    differences: BTreeMap<String, BTreeMap<String, i64>>,
    /// The plan that it applies.
    plan_id: Option<String>,
    /// Why it waits or has failed.
    message: Option<String>,
    /// Members that an undo has left where they are, the first thousand; shown of one run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptBody>,
    created_at: Time,
    completed_at: Option<Time>,
}

/// How far a run is.
#[derive(Serialize, ToSchema)]
#[schema(as = RunProgress)]
struct ProgressBody {
    /// Rows of the plan that it applies, looked at again before it begins.
    checked: i64,
    salesforce_read: i64,
    /// How many there are, where the vendor tells; null when it does not.
    salesforce_expected: Option<i64>,
    marketo_read: i64,
    marketo_expected: Option<i64>,
    decided: i64,
    changed: i64,
    held: i64,
    /// Still to be decided; null until both sides are read.
    remaining: Option<i64>,
}

impl ProgressBody {
    fn of(counts: &BTreeMap<String, i64>) -> Self {
        let far = |what: &str| counts.get(what).copied();
        let so_far = |what: &str| far(what).unwrap_or(0);
        Self {
            checked: so_far("checked"),
            salesforce_read: so_far("salesforce_read"),
            salesforce_expected: far("salesforce_expected"),
            marketo_read: so_far("marketo_read"),
            marketo_expected: far("marketo_expected"),
            decided: so_far("decided"),
            changed: so_far("changed"),
            held: so_far("held"),
            remaining: far("members").map(|members| (members - so_far("decided")).max(0)),
        }
    }
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        Self {
            progress: ProgressBody::of(&run.counts),
            differences: run.differences,
            plan_id: run.plan_id,
            id: run.id,
            mapping_id: run.mapping_id,
            campaign_id: run.lane,
            kind: run.kind,
            state: run.state,
            stage: run.stage.as_str(),
            counts: run.counts,
            message: run.message,
            kept: Vec::new(),
            created_at: Time::of(run.created_at),
            completed_at: run.completed_at.map(Time::of),
        }
    }
}

/// A member that an undo has left.
#[derive(Serialize, ToSchema)]
#[schema(as = KeptMember)]
struct KeptBody {
    member_id: String,
    /// Where it stays.
    side: String,
    /// `changed_since` by somebody else, `removal_discarded` by a person, or why the vendor refused to remove it.
    reason: String,
    marketo_id: Option<i64>,
    salesforce_id: Option<String>,
    email: Option<String>,
}

impl From<KeptMember> for KeptBody {
    fn from(kept: KeptMember) -> Self {
        let KeptMember { member_id, side, reason, marketo_id, salesforce_id, email } = kept;
        Self { member_id, side, reason, marketo_id, salesforce_id, email }
    }
}

/// List the runs of a mapping
#[utoipa::path(
    get, path = "/mappings/{id}/runs", operation_id = "list_runs", tag = "runs",
    params(
        ("id" = uuid::Uuid, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Newest first", body = List<RunBody>))
)]
async fn list(State(api): State<ApiState>, Id(id): Id, mut given: Parameters) -> Answer<Json<List<RunBody>>> {
    let page = given.page()?;
    given.end()?;
    api.store.mapping(&id).await?.ok_or_else(|| Refusal::not_found("mapping"))?;
    let rows = api.store.runs(&id, page.after_id()?.as_deref(), page.fetch()).await?;
    Ok(page.list(rows, |run| run.id.clone(), RunBody::from))
}

/// Show a run
#[utoipa::path(
    get, path = "/runs/{id}", operation_id = "show_run", tag = "runs", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The run", body = RunBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<RunBody>> {
    let run = api.store.run(&id).await?.ok_or_else(|| Refusal::not_found("run"))?;
    let kept = api.store.kept_members(&id).await?;
    Ok(Json(RunBody { kept: kept.into_iter().map(KeptBody::from).collect(), ..run.into() }))
}
