//! Plans: what a mapping would do, looked at and applied.
//!
//! Owns how long a request waits for one, and when a plan is too old to be applied. Must not decide: the worker
//! computes it.

mod shown;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json, List, Parameters};
use super::refusal::{Answer, Refusal};
use super::table::wants_csv;
use crate::domain::mapping::MappingState;
use crate::store::mappings::{Mapping, MappingFilter};
use crate::store::plan_rows::PlanCounts;
use crate::store::plans::{Applying, Draft, GOOD_FOR, Plan};
use crate::store::runs::Stage;
pub(super) use shown::PlanBody;
use shown::{RowBody, RowLine};

/// How long a request waits for a plan, and for the check of one: shorter than what proxies allow.
const WAIT: Duration = Duration::from_secs(20);
/// How often it asks meanwhile, for a plan that another process computes.
const ASK: Duration = Duration::from_millis(200);
/// Drifted rows that are shown when a plan is applied; the others are listed with its rows.
const SHOWN: i64 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(show)).routes(routes!(rows)).routes(routes!(apply))
}

/// A plan that is being applied.
#[derive(Serialize, ToSchema)]
struct PlanApplied {
    /// The run that carries it out.
    run_id: String,
    /// Rows that no longer hold, the first 500: about those members what is right now is done instead.
    drifted: Vec<RowBody>,
    /// Whether all rows were looked at by now; else ask for `/plans/{id}/rows?drifted=true` once the run is past stage `check`.
    checked: bool,
}

/// Begins a plan and waits for it a while; what there is of it by then.
pub(super) async fn planned(api: &ApiState, draft: &Draft, mapping_id: Option<&str>) -> Answer<PlanBody> {
    refuse_while_off(api).await?;
    let id = api.store.create_plan(draft, mapping_id).await?;
    let patience = Patience::of(api);
    let plan = loop {
        let changed = api.store.plans.notified();
        let plan = found(api, &id).await?;
        if plan.state != "computing" || patience.is_over() {
            break plan;
        }
        let _ = tokio::time::timeout(ASK, changed).await;
    };
    if plan.state == "failed" {
        let detail = plan.message.unwrap_or_else(|| "the plan could not be made".to_owned());
        return Err(Refusal::new(502, "vendor-error", "Vendor error", detail));
    }
    shown(api, &plan).await
}

async fn refuse_while_off(api: &ApiState) -> Answer<()> {
    if api.store.sync_enabled().await? {
        return Ok(());
    }
    let detail = "campaign sync is switched off, and nothing is asked of the vendors meanwhile; switch it on first";
    Err(Refusal::new(409, "conflict", "Conflict", detail))
}

/// How much longer a request waits: until the time is over, or the service stops.
struct Patience<'a> {
    api: &'a ApiState,
    until: Duration,
}

impl<'a> Patience<'a> {
    fn of(api: &'a ApiState) -> Self {
        Self { api, until: api.store.clock().monotonic() + WAIT }
    }

    fn is_over(&self) -> bool {
        self.api.stop.is_cancelled() || self.api.store.clock().monotonic() >= self.until
    }
}

async fn found(api: &ApiState, id: &str) -> Answer<Plan> {
    api.store.plan(id).await?.ok_or_else(|| Refusal::not_found("plan"))
}

async fn shown(api: &ApiState, plan: &Plan) -> Answer<PlanBody> {
    let counts =
        if plan.state == "computing" { PlanCounts::default() } else { api.store.plan_counts(&plan.id).await? };
    Ok(PlanBody::of(plan, &counts, standing(api, plan).await?))
}

/// How a plan stands today.
async fn standing(api: &ApiState, plan: &Plan) -> Answer<&'static str> {
    Ok(match plan.state.as_str() {
        "computing" => "computing",
        "failed" => "failed",
        "applied" => "applied",
        _ if api.store.clock().now().as_millisecond() - plan.created_at > GOOD_FOR => "expired",
        _ if is_superseded(api, plan).await? => "superseded",
        _ => "ready",
    })
}

async fn is_superseded(api: &ApiState, plan: &Plan) -> Answer<bool> {
    let then = &plan.draft.mapping;
    let Some(mapping_id) = &plan.mapping_id else {
        let filter = MappingFilter { program_id: Some(then.program_id), ..MappingFilter::default() };
        return Ok(!api.store.list_mappings(&filter, "", 1).await?.is_empty());
    };
    let Some(now) = api.store.mapping(mapping_id).await? else { return Ok(true) };
    let decides = |m: &Mapping| (m.status_map.clone(), m.policies.clone(), m.steps.clone());
    Ok(decides(&now) != decides(then) || api.store.has_newer_plan(plan).await?)
}

/// Plan what a mapping would do
///
/// Reads both sides and decides as a run does, and writes nothing. A large mapping takes longer than a request may: the plan is
/// then `computing`, and is to be asked for again.
#[utoipa::path(
    post, path = "/mappings/{id}/plan", operation_id = "create_plan", tag = "plans", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 201, description = "Made, or being computed", body = PlanBody,
            headers(("Location" = String, description = "Path of the plan"))),
        (status = 409, description = "Campaign sync is off, or the mapping is being taken back (`conflict`)"),
        (status = 502, description = "A vendor refuses to answer (`vendor-error`)"),
    )
)]
async fn create(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    given: Parameters,
) -> Answer<Response> {
    given.end()?;
    let mapping = super::mappings::found(&api, &id).await?;
    super::mappings::refuse_removing(&mapping)?;
    let store = api.store.on_behalf_of(&caller.actor);
    let plan = planned(&ApiState { store, ..api }, &draft_of(mapping), Some(&id)).await?;
    let location = [(header::LOCATION, format!("{}/plans/{}", super::BASE, plan.id))];
    Ok((StatusCode::CREATED, location, Json(plan)).into_response())
}

/// What there is to be planned of a mapping that is there.
pub(super) fn draft_of(mapping: Mapping) -> Draft {
    Draft { mapping, new_statuses: Vec::new(), new_campaign: false }
}

/// Show a plan
#[utoipa::path(
    get, path = "/plans/{id}", operation_id = "show_plan", tag = "plans", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The plan", body = PlanBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<PlanBody>> {
    let plan = found(&api, &id).await?;
    Ok(Json(shown(&api, &plan).await?))
}

/// List the rows of a plan
///
/// As `text/csv` when that is accepted; the next page is then in the header `Link`.
#[utoipa::path(
    get, path = "/plans/{id}/rows", operation_id = "list_plan_rows", tag = "plans",
    params(
        ("id" = uuid::Uuid, Path),
        ("drifted" = Option<bool>, Query, description = "Only those that held no more when the plan was applied"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "One for each member who would not stay in sync as it is", content((List<RowBody> = "application/json"), (String = "text/csv"))))
)]
async fn rows(State(api): State<ApiState>, Id(id): Id, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let again = given.without_cursor();
    let drifted = given.one_of("drifted", &["true", "false"])?.is_some_and(|drifted| drifted == "true");
    let page = given.page()?;
    given.end()?;
    found(&api, &id).await?;
    let rows = api.store.plan_rows(&id, drifted, &page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    if wants_csv(&headers) {
        let Json(lines) = page.list(rows, |row| row.id.clone(), |row| RowLine::from(RowBody::from(row)));
        return Ok(lines.into_csv(&format!("/plans/{id}/rows"), &again));
    }
    Ok(page.list(rows, |row| row.id.clone(), RowBody::from).into_response())
}

/// Apply a plan
///
/// Starts a run of its mapping that first looks whether the rows still hold. What holds no more is told, and done as it is right
/// by then. A mapping that is paused is resumed.
#[utoipa::path(
    post, path = "/plans/{id}/apply", operation_id = "apply_plan", tag = "plans", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 202, description = "Started", body = PlanApplied, headers(("Location" = String, description = "Path of the run"))),
        (status = 409, description = "It is not ready, its mapping is not made, has failed or is being taken back, or campaign sync is off (`conflict`)"),
    )
)]
async fn apply(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    given: Parameters,
) -> Answer<Response> {
    given.end()?;
    let plan = found(&api, &id).await?;
    let refused = |detail: String| Err(Refusal::new(409, "conflict", "Conflict", detail));
    let Some(mapping_id) = &plan.mapping_id else {
        return refused(
            "the plan is of a mapping that was not made: make it, and its first sync does what the plan says"
                .to_owned(),
        );
    };
    match standing(&api, &plan).await? {
        "ready" => {}
        "computing" => return refused("the plan is still being computed; ask for it again".to_owned()),
        state => return refused(format!("the plan is {state}: make a new one")),
    }
    refuse_while_off(&api).await?;
    let mapping = super::mappings::found(&api, mapping_id).await?;
    super::mappings::refuse_removing(&mapping)?;
    if mapping.state == MappingState::Failed {
        return refused("the mapping has failed; mend what its reason says, and resume it first".to_owned());
    }
    let run_id = match api.store.apply_plan(&plan, &mapping, &caller.actor).await? {
        Applying::Started(run_id) => run_id,
        Applying::Not(state) => return refused(format!("the plan is {state} by now")),
    };
    let patience = Patience::of(&api);
    let checked = loop {
        let checked = api.store.run(&run_id).await?.is_none_or(|run| run.stage != Stage::Check);
        if checked || patience.is_over() {
            break checked;
        }
        let _ = tokio::time::timeout(ASK, api.store.plans.notified()).await;
    };
    let drifted = api.store.plan_rows(&id, true, "", SHOWN).await?.into_iter().map(RowBody::from).collect();
    let location = [(header::LOCATION, format!("{}/runs/{run_id}", super::BASE))];
    Ok((StatusCode::ACCEPTED, location, Json(PlanApplied { run_id, drifted, checked })).into_response())
}
