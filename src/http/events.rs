//! Trigger events, as a list: the same objects that receivers are sent.

use axum::extract::State;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Json, List, Parameters, Since};
use super::members::PersonBody;
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::domain::trigger::{DetectedBy, Origin, TransitionKind};
use crate::store::triggers::EventFilter;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// A trigger event: CloudEvents 1.0 in JSON. The same object is posted to receivers.
#[derive(ToSchema)]
#[schema(as = TriggerEvent)]
#[expect(dead_code, reason = "describes what is serialised elsewhere")]
pub(super) struct TriggerEventBody {
    /// `1.0`
    specversion: String,
    id: String,
    /// `/campaigns/` and the campaign.
    source: String,
    r#type: TransitionKind,
    /// The campaign member; left out where its id is not known.
    #[schema(required = false)]
    subject: String,
    time: Time,
    /// `application/json`
    datacontenttype: String,
    /// Position in the log, in twenty digits.
    #[schema(example = "00000000000000000042")]
    sequence: String,
    data: TriggerDataBody,
}

/// What happened, to whom.
#[derive(ToSchema)]
#[schema(as = TriggerData)]
#[expect(dead_code, reason = "describes what is serialised elsewhere")]
struct TriggerDataBody {
    campaign_id: String,
    campaign_name: Option<String>,
    mapping_id: Option<String>,
    program_id: Option<i64>,
    person: PersonBody,
    /// The new status; of a removed member the last that it held.
    status: Option<String>,
    /// Null when it was added.
    old_status: Option<String>,
    /// Null when it was removed.
    new_status: Option<String>,
    origin: Origin,
    detected_by: DetectedBy,
    /// Counts per member, from 1, without gaps.
    sequence: u64,
}

/// List trigger events
///
/// CloudEvents 1.0. A reader that goes on from the last `sequence` it has seen never misses one.
#[utoipa::path(
    get, path = "/trigger-events", operation_id = "list_trigger_events", tag = "trigger events",
    params(
        ("type" = Option<Vec<String>>, Query, description = "`campaign.member.added`, `.removed`, `.status_changed`; several mean any of them, as below"),
        ("campaign_id" = Option<Vec<String>>, Query, description = "Only of these campaigns"),
        ("program_id" = Option<Vec<i64>>, Query, description = "Only of these programs"),
        ("status" = Option<Vec<String>>, Query, description = "Only with one of these as the status, or the last one held"),
        ("old_status" = Option<Vec<String>>, Query, description = "Only from one of these"),
        ("new_status" = Option<Vec<String>>, Query, description = "Only to one of these"),
        ("since" = Option<String>, Query, description = "A time or a position, exclusive"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Oldest first", body = List<TriggerEventBody>, example = json!({"data": [{
        "specversion": "1.0", "id": "0193a3f0-7b1e-7c40-8a52-3d5f1e2c9b10", "source": "/campaigns/7015g000000XYZABCD",
        "type": "campaign.member.status_changed", "subject": "00v5g000000XYZAAA2", "time": "2026-11-23T20:05:01Z",
        "datacontenttype": "application/json", "sequence": "00000000000000000042",
        "data": {"campaign_id": "7015g000000XYZABCD", "campaign_name": "Webinar", "mapping_id": null, "program_id": 1044,
            "person": {"marketo_id": 318592, "salesforce_id": "00Q5g000000XYZAAA2", "salesforce_type": "Lead", "email": "a@b.c"},
            "status": "Attended", "old_status": "Registered", "new_status": "Attended", "origin": "marketo",
            "detected_by": "write", "sequence": 3}}], "next_cursor": null})))
)]
async fn list(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<Value>>> {
    let mut filter = filter(&mut given)?;
    let since = given.since()?;
    let page = given.page()?;
    given.end()?;
    let mut after = page.after_position()?.unwrap_or(0);
    match since {
        Some(Since::Time(time)) => filter.since = Some(time.as_millisecond()),
        Some(Since::Position(position)) => after = after.max(position),
        None => {}
    }
    let rows = api.store.events(&filter, after, page.fetch()).await?;
    Ok(page.list(
        rows,
        |event| event.position.to_string(),
        |event| {
            let body = event.body();
            serde_json::from_str(&body).unwrap_or(Value::String(body))
        },
    ))
}

/// What the list and the stream are filtered by.
pub(super) fn filter(given: &mut Parameters) -> Answer<EventFilter> {
    let types: Vec<_> = TransitionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let invalid = |_| Refusal::field("program_id", "invalid", "has to be a number");
    let programs = given.all("program_id").into_iter().map(|id| id.parse().map_err(invalid));
    Ok(EventFilter {
        program_ids: programs.collect::<Answer<_>>()?,
        types: given.all_of("type", &types)?,
        campaign_ids: given.salesforce_ids("campaign_id")?,
        statuses: given.all("status"),
        old_statuses: given.all("old_status"),
        new_statuses: given.all("new_status"),
        since: None,
    })
}
