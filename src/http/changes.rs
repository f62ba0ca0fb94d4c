//! Changes: what waits, what was done, what needs a person, and what that person says.
//!
//! Shows rows of the outbox and passes decisions on. Must not work anything off.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json, List, Parameters, or_default};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::table::{Table, wants_csv};
use crate::store::changes::{Change, ChangeFilter, Decision};
use crate::store::outbox::ROUTER;

const STATES: [&str; 6] = ["available", "running", "retryable", "completed", "parked", "discarded"];
const ORDERS: [&str; 2] = ["created_at", "-created_at"];
const KINDS: [&str; 2] = ["hint", "flow_action"];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(discard))
        .routes(routes!(bulk))
}

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeBody {
    id: String,
    /// `hint` (something may have changed) or `flow_action`.
    kind: String,
    /// `available`, `running`, `retryable`, `completed`, `parked`, `discarded`.
    state: String,
    mapping_id: Option<String>,
    /// Null while it is not known which campaign it is about.
    campaign_id: Option<String>,
    #[schema(example = "marketo:318592")]
    subject: String,
    /// Where it came from: `marketo` or `salesforce` by webhook, `marketo_poll` or `salesforce_poll` where we looked ourselves,
    /// `flow_action`, or `policy` for a second look of our own.
    source: String,
    attempts: i64,
    /// When it is worked off; null when it is running or done with.
    next_attempt_at: Option<Time>,
    reason: Option<String>,
    error: Option<VendorErrorBody>,
    /// `applied`, `no_op`, `superseded`; null while it is open.
    outcome: Option<String>,
    created_at: Time,
    completed_at: Option<Time>,
}

/// What a vendor said.
#[derive(Serialize, ToSchema)]
#[schema(as = VendorError)]
struct VendorErrorBody {
    vendor: String,
    code: Option<String>,
    message: Option<String>,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        let waits = matches!(change.state.as_str(), "available" | "retryable");
        let (code, message) = (change.code, change.message);
        Self {
            id: change.id,
            kind: change.kind,
            state: change.state,
            mapping_id: change.mapping_id,
            campaign_id: (change.lane != ROUTER).then_some(change.lane),
            subject: change.subject,
            source: change.source,
            attempts: change.attempts,
            next_attempt_at: waits.then(|| Time::of(change.due_at)),
            reason: change.reason,
            error: change.vendor.map(|vendor| VendorErrorBody { vendor, code, message }),
            outcome: change.outcome,
            created_at: Time::of(change.created_at),
            completed_at: change.completed_at.map(Time::of),
        }
    }
}

impl Table for ChangeBody {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "kind",
        "state",
        "mapping_id",
        "campaign_id",
        "subject",
        "source",
        "attempts",
        "next_attempt_at",
        "reason",
        "error.vendor",
        "error.code",
        "error.message",
        "outcome",
        "created_at",
        "completed_at",
    ];
}

/// List changes
///
/// As `text/csv` when that is accepted; the next page is then in the header `Link`.
#[utoipa::path(
    get, path = "/changes", operation_id = "list_changes", tag = "changes",
    params(
        ("state" = Option<Vec<String>>, Query, description = "Only those in one of these states"),
        ("mapping_id" = Option<uuid::Uuid>, Query, description = "Only those of this mapping"),
        ("kind" = Option<String>, Query, description = "`hint` or `flow_action`"),
        ("sort" = Option<String>, Query, description = "`created_at`, in the order they came, which it is unless given; `-created_at`, the last first"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", content((List<ChangeBody> = "application/json"), (String = "text/csv"))))
)]
async fn list(State(api): State<ApiState>, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let again = given.without_cursor();
    let filter = ChangeFilter {
        states: given.all_of("state", &STATES)?,
        mapping_id: given.uuid("mapping_id")?,
        kind: given.one_of("kind", &KINDS)?,
        newest_first: given.one_of("sort", &ORDERS)?.is_some_and(|order| order == ORDERS[1]),
    };
    let page = given.page()?;
    given.end()?;
    let rows = api.store.changes(&filter, page.after_id()?.as_deref(), page.fetch()).await?;
    let list = page.list(rows, |change| change.id.clone(), ChangeBody::from);
    Ok(if wants_csv(&headers) { list.0.into_csv("/changes", &again) } else { list.into_response() })
}

async fn found(api: &ApiState, id: &str) -> Answer<Change> {
    api.store.change(id).await?.ok_or_else(|| Refusal::not_found("change"))
}

/// Show a change
#[utoipa::path(
    get, path = "/changes/{id}", operation_id = "show_change", tag = "changes", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The change", body = ChangeBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<ChangeBody>> {
    Ok(Json(found(&api, &id).await?.into()))
}

/// Try a change again, now
#[utoipa::path(
    post, path = "/changes/{id}/retry", operation_id = "retry_change", tag = "changes", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "As it is now", body = ChangeBody),
        (status = 409, description = "It is running, waits already, or is completed (`conflict`)"),
    )
)]
async fn retry(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<Json<ChangeBody>> {
    decide(&api, &caller, &id, Decision::Retry).await
}

/// Give a change up
#[utoipa::path(
    post, path = "/changes/{id}/discard", operation_id = "discard_change", tag = "changes", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "As it is now", body = ChangeBody),
        (status = 409, description = "It is running or done with (`conflict`)"),
    )
)]
async fn discard(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<Json<ChangeBody>> {
    decide(&api, &caller, &id, Decision::Discard).await
}

async fn decide(api: &ApiState, caller: &Caller, id: &str, decision: Decision) -> Answer<Json<ChangeBody>> {
    if api.store.on_behalf_of(&caller.actor).decide_change(id, decision).await?.is_none() {
        let change = found(api, id).await?;
        let detail = format!("the change is {}, and cannot be decided in that state", change.state);
        return Err(Refusal::new(409, "conflict", "Conflict", detail));
    }
    Ok(Json(found(api, id).await?.into()))
}

/// Which changes, and what is to be done with them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filter": {"state": "parked", "mapping_id": "0193a3f0-7b1e-7c40-8a52-3d5f1e2c9b10"}, "action": "retry", "dry_run": true}))]
struct BulkDecision {
    filter: BulkFilter,
    action: BulkAction,
    /// Only count.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    dry_run: bool,
}

/// The same filters as of the list; an empty one finds everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkFilter {
    state: Option<String>,
    mapping_id: Option<uuid::Uuid>,
    kind: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BulkAction {
    Retry,
    Discard,
}

#[derive(Serialize, ToSchema)]
struct BulkCount {
    /// How many were decided, or would be.
    count: i64,
}

/// Decide many changes at once
///
/// Those that are not in a state for the action are passed over.
#[utoipa::path(
    post, path = "/changes/bulk", operation_id = "decide_changes", tag = "changes", request_body = BulkDecision,
    responses((status = 200, description = "How many", body = BulkCount))
)]
async fn bulk(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Json(bulk): Json<BulkDecision>,
) -> Answer<Json<BulkCount>> {
    let known = |field: &'static str, value: Option<String>, known: &[&str]| match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(Refusal::field(field, "unknown", format!("has to be one of {}", known.join(", "))))
        }
        value => Ok(value),
    };
    let filter = ChangeFilter {
        states: known("filter.state", bulk.filter.state, &STATES)?.into_iter().collect(),
        mapping_id: bulk.filter.mapping_id.map(|id| id.to_string()),
        kind: known("filter.kind", bulk.filter.kind, &KINDS)?,
        newest_first: false,
    };
    let decision = match bulk.action {
        BulkAction::Retry => Decision::Retry,
        BulkAction::Discard => Decision::Discard,
    };
    let count = match bulk.dry_run {
        true => api.store.count_decidable(&filter, decision).await?,
        false => api.store.on_behalf_of(&caller.actor).decide_changes(&filter, decision).await?,
    };
    Ok(Json(BulkCount { count }))
}
