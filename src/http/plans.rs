//! Plans: what a mapping would do, looked at and applied.
//!
//! Owns the bodies, how long a request waits for one, and when a plan is too old to be applied. Must not decide: the worker
//! computes it.

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
use super::members::PersonBody;
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::table::{Table, wants_csv};
use crate::domain::ids::{PersonType, SalesforceId};
use crate::domain::mapping::MappingState;
use crate::domain::merge::{Reason, Rule, Side};
use crate::store::mappings::{Mapping, MappingFilter};
use crate::store::plan_rows::{PlanCounts, PlanRow};
use crate::store::plans::{Applying, Draft, GOOD_FOR, Plan};
use crate::store::runs::Stage;

/// How long a request waits for a plan, and for the check of one: shorter than what proxies allow.
const WAIT: Duration = Duration::from_secs(20);
/// How often it asks meanwhile, for a plan that another process computes.
const ASK: Duration = Duration::from_millis(200);
/// Drifted rows that are shown when a plan is applied; the others are listed with its rows.
const SHOWN: i64 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(show)).routes(routes!(rows)).routes(routes!(apply))
}

/// What would be done.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(super) struct PlanBody {
    id: String,
    /// Null for a mapping that is not made yet.
    mapping_id: Option<String>,
    /// `computing` while members are still read and decided, `ready`, `failed`; `applied`; `expired` after a day, `superseded`
    /// when the mapping was changed since or a newer plan made. Only one that is ready can be applied.
    #[schema(example = "ready")]
    state: &'static str,
    created_at: Time,
    /// Until when it can be applied.
    expires_at: Time,
    counts: CountsBody,
    /// Calls that applying it takes, the reads included.
    calls: CallsBody,
    /// How long applying it takes, from the pace that the vendors allow and have shown.
    seconds: i64,
    /// Its removals are more than the mapping usually sees: they will wait for approval of a guard.
    removals_wait: bool,
    /// Why it waits or has failed.
    message: Option<String>,
    progress: ProgressBody,
}

/// Rows by what is done: they add up to the rows of the plan, of which `conflicts` and `people_to_create` are some.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanCounts)]
struct CountsBody {
    add_to_salesforce: i64,
    add_to_marketo: i64,
    remove_from_salesforce: i64,
    remove_from_marketo: i64,
    change_in_salesforce: i64,
    change_in_marketo: i64,
    /// Members who differ and of whom neither side has changed alone.
    conflicts: i64,
    /// Of those to be added, the people whom the other side does not know.
    people_to_create: i64,
    /// Members who are left as they are, with the reason in their rows.
    held: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlanCalls)]
struct CallsBody {
    marketo: i64,
    salesforce: i64,
}

/// Members read and decided so far.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanProgress)]
struct ProgressBody {
    stage: &'static str,
    salesforce_read: i64,
    marketo_read: i64,
    decided: i64,
}

impl PlanBody {
    fn of(plan: &Plan, counts: &PlanCounts, state: &'static str) -> Self {
        let far = |what: &str| plan.counts.get(what).copied().unwrap_or(0);
        Self {
            id: plan.id.clone(),
            mapping_id: plan.mapping_id.clone(),
            state,
            created_at: Time::of(plan.created_at),
            expires_at: Time::of(plan.created_at + GOOD_FOR),
            counts: CountsBody {
                add_to_salesforce: counts.of("salesforce", "add"),
                add_to_marketo: counts.of("marketo", "add"),
                remove_from_salesforce: counts.of("salesforce", "remove"),
                remove_from_marketo: counts.of("marketo", "remove"),
                change_in_salesforce: counts.of("salesforce", "change"),
                change_in_marketo: counts.of("marketo", "change"),
                conflicts: counts.conflicts,
                people_to_create: counts.people_to_create,
                held: counts.held(),
            },
            calls: CallsBody { marketo: plan.calls_marketo, salesforce: plan.calls_salesforce },
            seconds: plan.seconds,
            removals_wait: plan.removals_wait,
            message: plan.message.clone(),
            progress: ProgressBody {
                stage: plan.stage.as_str(),
                salesforce_read: far("salesforce_read"),
                marketo_read: far("marketo_read"),
                decided: far("decided"),
            },
        }
    }
}

/// What would be done about one member.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanRow)]
struct RowBody {
    id: String,
    person: PersonBody,
    /// The side that is written to; of one that is held, the side that would have been or that differs.
    #[schema(value_type = Side)]
    side: String,
    /// `add`, `change`, `remove`, `hold`.
    #[schema(example = "add")]
    action: String,
    /// The status there now; null when absent.
    from: Option<String>,
    /// The status written; null for a removal.
    to: Option<String>,
    /// The row of the decision table.
    #[schema(value_type = Rule)]
    rule: String,
    /// Why it is held.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// The person is created for it.
    creates_person: bool,
    conflict: bool,
    /// What it had become when the plan was applied; null while it holds.
    drifted: Option<String>,
}

impl From<PlanRow> for RowBody {
    fn from(row: PlanRow) -> Self {
        let parsed = row.salesforce_id.as_deref().and_then(|id| id.parse::<SalesforceId>().ok());
        let salesforce_type = parsed.as_ref().and_then(PersonType::of).map(PersonType::as_str);
        Self {
            id: row.id,
            person: PersonBody {
                marketo_id: row.marketo_id,
                salesforce_id: row.salesforce_id,
                salesforce_type,
                email: row.email,
            },
            side: row.side,
            action: row.action,
            from: row.from_status,
            to: row.to_status,
            rule: row.rule,
            reason: row.reason,
            creates_person: row.creates.is_some(),
            conflict: row.conflict,
            drifted: row.drifted,
        }
    }
}

/// The same as a line of a table.
#[derive(Serialize)]
struct RowLine {
    person: String,
    side: String,
    action: String,
    from: Option<String>,
    to: Option<String>,
}

impl Table for RowLine {
    const COLUMNS: &'static [&'static str] = &["person", "side", "action", "from", "to"];
}

impl From<RowBody> for RowLine {
    fn from(row: RowBody) -> Self {
        let RowBody { person, side, action, from, to, .. } = row;
        let id = person.marketo_id.map(|id| id.to_string()).or(person.salesforce_id);
        Self { person: person.email.or(id).unwrap_or_default(), side, action, from, to }
    }
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
async fn create(State(api): State<ApiState>, Id(id): Id, given: Parameters) -> Answer<Response> {
    given.end()?;
    let mapping = super::mappings::found(&api, &id).await?;
    super::mappings::refuse_removing(&mapping)?;
    let plan = planned(&api, &draft_of(mapping), Some(&id)).await?;
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
        ("limit" = Option<u32>, Query, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
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
