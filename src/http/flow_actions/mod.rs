//! Flow actions: add to, change status in, remove from a Salesforce campaign, asked for over REST or from a step in Marketo.
//!
//! Owns the operations and their answers; `request` reads what comes in. Checks campaign and status before anything is stored,
//! since Salesforce would turn a status that it does not know into another. Must not carry anything out.

mod known;
mod request;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Id, Json, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::{ApiState, BASE};
use crate::domain::flow_action::FlowAction;
use crate::domain::mapping::Direction;
use crate::store::flow_actions::{FlowActionResult, NewFlowAction, StoredFlowAction};
pub(super) use known::KnownCampaigns;
use request::{Asked, FlowActionRequest, Rendered};

/// A "Call Webhook" step waits for 30 s; an answer has to be on its way before.
const WAIT: Duration = Duration::from_secs(25);
/// Another process may do the work, and tells this one nothing.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Results in one answer to `GET`.
const PAGE: i64 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(add)).routes(routes!(change)).routes(routes!(remove)).routes(routes!(show))
}

/// A flow action, and how the people whom it names stand.
#[derive(Serialize, ToSchema)]
#[schema(as = FlowAction)]
struct FlowActionBody {
    id: String,
    /// `add_to_campaign`, `change_status`, `remove_from_campaign`.
    #[schema(example = "add_to_campaign")]
    action: String,
    campaign_id: String,
    status: Option<String>,
    program_id: Option<i64>,
    created_at: Time,
    /// Of the one person, where one was named: for a response mapping in Marketo.
    outcome: Option<&'static str>,
    /// Of the one person, where one was named.
    reason: Option<String>,
    counts: Counts,
    results: Vec<ResultBody>,
    /// For the next results; null at the end.
    next_cursor: Option<String>,
}

/// How many people stand how.
#[derive(Default, Serialize, ToSchema)]
struct Counts {
    queued: i64,
    applied: i64,
    skipped: i64,
    failed: i64,
    rejected: i64,
}

/// How one person stands.
#[derive(Serialize, ToSchema)]
#[schema(as = FlowActionResult)]
struct ResultBody {
    /// As it was named.
    #[schema(value_type = Object, example = json!({"marketo_id": 318592}))]
    person: Value,
    /// `queued`, `applied`, `skipped`, `failed`, `rejected`.
    outcome: &'static str,
    /// Why it was skipped (`already_member`, `same_status`, `not_member`, `left_to_mapping`), has failed, waits or was rejected.
    reason: Option<String>,
    /// Its change, to be retried or discarded; null for one who was rejected.
    change_id: Option<String>,
}

/// How a person stands whose change is in this state; without a change it was rejected.
fn outcome(state: Option<&str>, outcome: Option<&str>) -> &'static str {
    match (state, outcome) {
        (None, _) => "rejected",
        (Some("completed"), Some("applied")) => "applied",
        (Some("completed"), _) => "skipped",
        (Some("parked" | "discarded"), _) => "failed",
        _ => "queued",
    }
}

impl From<FlowActionResult> for ResultBody {
    fn from(result: FlowActionResult) -> Self {
        // Without a reason it was given up by a person.
        let given_up = (result.state.as_deref() == Some("discarded")).then(|| "discarded".to_owned());
        Self {
            outcome: outcome(result.state.as_deref(), result.outcome.as_deref()),
            person: serde_json::from_str(&result.person).unwrap_or(Value::Null),
            reason: result.reason.or(given_up),
            change_id: result.change_id,
        }
    }
}

/// Add people to a campaign
///
/// Whoever is a member already is skipped, and keeps the status. People whom Salesforce does not know become leads. Callable from
/// a "Call Webhook" step: any content type, `leadId` in place of `people`, quotes doubled by Marketo are mended; `outcome` and
/// `reason` can be mapped.
#[utoipa::path(
    post, path = "/flow-actions/add-to-campaign", operation_id = "add_to_campaign", tag = "flow actions", request_body = FlowActionRequest,
    params(
        ("wait" = Option<bool>, Query, description = "Answer when all are final, within 25 seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition within 24 hours give the first answer again; 422 for another operation or body"),
    ),
    responses(
        (status = 200, description = "With `wait`: all are final", body = FlowActionBody),
        (status = 202, description = "Stored; it goes on by itself", body = FlowActionBody, headers(("Location" = String, description = "Path of the flow action"))),
        (status = 409, description = "The campaign's mapping only observes (`mapping-observes`, with `mapping_id`)"),
        (status = 422, description = "`invalid-input`, `unknown-campaign`, or `unknown-status` (with `statuses`)"),
        (status = 502, description = "Salesforce refuses to answer (`vendor-error`)"),
        (status = 503, description = "Salesforce is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn add(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    given: Parameters,
    Rendered(request): Rendered,
) -> Answer<Response> {
    act(api, caller, FlowAction::Add, given, request).await
}

/// Change the status of people in a campaign
///
/// Whoever is in that status already is skipped; whoever is no member is added. Otherwise as `add-to-campaign`.
#[utoipa::path(
    post, path = "/flow-actions/change-status", operation_id = "change_status", tag = "flow actions", request_body = FlowActionRequest,
    params(
        ("wait" = Option<bool>, Query, description = "Answer when all are final, within 25 seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition within 24 hours give the first answer again; 422 for another operation or body"),
    ),
    responses(
        (status = 200, description = "With `wait`: all are final", body = FlowActionBody),
        (status = 202, description = "Stored; it goes on by itself", body = FlowActionBody, headers(("Location" = String, description = "Path of the flow action"))),
        (status = 409, description = "The campaign's mapping only observes (`mapping-observes`, with `mapping_id`)"),
        (status = 422, description = "`invalid-input`, `unknown-campaign`, or `unknown-status` (with `statuses`)"),
        (status = 502, description = "Salesforce refuses to answer (`vendor-error`)"),
        (status = 503, description = "Salesforce is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn change(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    given: Parameters,
    Rendered(request): Rendered,
) -> Answer<Response> {
    act(api, caller, FlowAction::Change, given, request).await
}

/// Remove people from a campaign
///
/// Whoever is no member is skipped. Nobody is created. Otherwise as `add-to-campaign`; a status is not heeded.
#[utoipa::path(
    post, path = "/flow-actions/remove-from-campaign", operation_id = "remove_from_campaign", tag = "flow actions", request_body = FlowActionRequest,
    params(
        ("wait" = Option<bool>, Query, description = "Answer when all are final, within 25 seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition within 24 hours give the first answer again; 422 for another operation or body"),
    ),
    responses(
        (status = 200, description = "With `wait`: all are final", body = FlowActionBody),
        (status = 202, description = "Stored; it goes on by itself", body = FlowActionBody, headers(("Location" = String, description = "Path of the flow action"))),
        (status = 409, description = "The campaign's mapping only observes (`mapping-observes`, with `mapping_id`)"),
        (status = 422, description = "`invalid-input` or `unknown-campaign`"),
        (status = 502, description = "Salesforce refuses to answer (`vendor-error`)"),
        (status = 503, description = "Salesforce is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn remove(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    given: Parameters,
    Rendered(request): Rendered,
) -> Answer<Response> {
    act(api, caller, FlowAction::Remove, given, request).await
}

async fn act(
    api: ApiState,
    caller: Caller,
    action: FlowAction,
    mut given: Parameters,
    request: FlowActionRequest,
) -> Answer<Response> {
    let wait = given.one_of("wait", &["true", "false"])?.is_some_and(|wait| wait == "true");
    given.end()?;
    let Asked { campaign_id, status, program_id, people } = request.checked(action)?;
    let campaign = api.known.campaign(&api, &campaign_id, status.as_deref()).await?;
    refuse_observed(&api, campaign_id.as_str()).await?;
    if let Some(status) = status.as_ref().filter(|status| !campaign.statuses.contains(status)) {
        let detail = format!(
            "the campaign {:?} has no status {status:?}; it has {}. Use one of them, or add it in Salesforce",
            campaign.name,
            campaign.statuses.join(", ")
        );
        return Err(Refusal::new(422, "unknown-status", "Unknown status", detail).with("statuses", campaign.statuses));
    }
    let campaign_name = campaign.name;
    let new = NewFlowAction { action, campaign_id, campaign_name, status, program_id, people, actor: caller.actor };
    let id = api.store.create_flow_action(&new).await?;
    let is_final = wait && is_final_soon(&api, &id).await?;
    let stored = found(&api, &id).await?;
    let most = i64::try_from(new.people.len()).unwrap_or(i64::MAX);
    let counts = counts(&api, &id).await?;
    let results = api.store.flow_action_results(&id, -1, most).await?;
    let body = body(stored, counts, results.into_iter().map(ResultBody::from).collect(), None);
    let status = if is_final { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, [(header::LOCATION, format!("{BASE}/flow-actions/{id}"))], Json(body)).into_response())
}

/// What an observing mapping would never carry over is not begun.
async fn refuse_observed(api: &ApiState, campaign_id: &str) -> Answer<()> {
    let mappings = api.store.mappings_of_lanes(&[campaign_id.to_owned()]).await?;
    match mappings.into_iter().find(|mapping| mapping.policies.direction == Direction::Observe) {
        None => Ok(()),
        Some(mapping) => {
            let detail =
                "the mapping of this campaign only observes; give it another direction, or use another campaign";
            let refusal = Refusal::new(409, "mapping-observes", "Mapping observes", detail);
            Err(refusal.with("mapping_id", mapping.id))
        }
    }
}

/// Waits until nothing is left to be done: told by whoever does it, as long as that is this process.
async fn is_final_soon(api: &ApiState, id: &str) -> Answer<bool> {
    let ended = async {
        loop {
            let told = api.store.commands.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if !api.store.is_flow_action_open(id).await? {
                return Ok::<_, Refusal>(true);
            }
            tokio::select! {
                _ = tokio::time::timeout(ASK_AGAIN, told) => {}
                () = api.stop.cancelled() => return Ok(false),
            }
        }
    };
    tokio::time::timeout(WAIT, ended).await.unwrap_or(Ok(false))
}

async fn found(api: &ApiState, id: &str) -> Answer<StoredFlowAction> {
    api.store.flow_action(id).await?.ok_or_else(|| Refusal::not_found("flow action"))
}

/// To be asked for before the results: whoever reads that nothing is queued shall find it so in them.
async fn counts(api: &ApiState, id: &str) -> Answer<Counts> {
    let mut counts = Counts::default();
    for (state, ended, n) in api.store.flow_action_counts(id).await? {
        *match outcome(state.as_deref(), ended.as_deref()) {
            "applied" => &mut counts.applied,
            "skipped" => &mut counts.skipped,
            "failed" => &mut counts.failed,
            "rejected" => &mut counts.rejected,
            _ => &mut counts.queued,
        } += n;
    }
    Ok(counts)
}

fn body(
    stored: StoredFlowAction,
    counts: Counts,
    results: Vec<ResultBody>,
    next_cursor: Option<String>,
) -> FlowActionBody {
    let all = counts.queued + counts.applied + counts.skipped + counts.failed + counts.rejected;
    let only = results.first().filter(|_| all == 1);
    FlowActionBody {
        id: stored.id,
        action: stored.action,
        campaign_id: stored.campaign_id,
        status: stored.status,
        program_id: stored.program_id,
        created_at: Time::of(stored.created_at),
        outcome: only.map(|result| result.outcome),
        reason: only.and_then(|result| result.reason.clone()),
        counts,
        results,
        next_cursor,
    }
}

/// Show a flow action
#[utoipa::path(
    get, path = "/flow-actions/{id}", operation_id = "show_flow_action", tag = "flow actions",
    params(
        ("id" = uuid::Uuid, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Results in one answer: 1 to 500, 500 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the answer before"),
    ),
    responses((status = 200, description = "How everybody stands, in the order in which they were named", body = FlowActionBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id, mut given: Parameters) -> Answer<Json<FlowActionBody>> {
    let page = given.page_of(PAGE)?;
    given.end()?;
    let stored = found(&api, &id).await?;
    let counts = counts(&api, &id).await?;
    let results = api.store.flow_action_results(&id, page.after_position()?.unwrap_or(-1), page.fetch()).await?;
    let Json(list) = page.list(results, |result| result.position.to_string(), ResultBody::from);
    Ok(Json(body(stored, counts, list.data, list.next_cursor)))
}
