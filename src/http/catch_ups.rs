//! Catch-ups: many events that one reconciliation found, which are told only when a person says so.

use axum::Extension;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json, List, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::store::replays::CatchUp;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(approve)).routes(routes!(discard))
}

/// Events that wait to be told, or waited.
#[derive(Serialize, ToSchema)]
#[schema(as = CatchUp)]
struct CatchUpBody {
    /// Also that of the run which found them.
    id: String,
    mapping_id: Option<String>,
    campaign_id: String,
    /// `waiting`, `approved`, `discarded`.
    state: String,
    count: i64,
    created_at: Time,
    decided_at: Option<Time>,
}

impl From<CatchUp> for CatchUpBody {
    fn from(catch_up: CatchUp) -> Self {
        Self {
            id: catch_up.id,
            mapping_id: catch_up.mapping_id,
            campaign_id: catch_up.campaign_id,
            state: catch_up.state,
            count: catch_up.count,
            created_at: Time::of(catch_up.created_at),
            decided_at: catch_up.decided_at.map(Time::of),
        }
    }
}

/// List catch-ups
///
/// More than 500 events that one reconciliation found, as after webhooks were lost for long. They are in the log, marked
/// `"replayed": true`, and are not delivered before they are approved.
#[utoipa::path(
    get, path = "/catch-ups", operation_id = "list_catch_ups", tag = "subscriptions",
    params(
        ("state" = Option<String>, Query, description = "`waiting`, `approved`, `discarded`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "In the order in which the runs began", body = List<CatchUpBody>))
)]
async fn list(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<CatchUpBody>>> {
    let state = given.one_of("state", &["waiting", "approved", "discarded"])?;
    let page = given.page()?;
    given.end()?;
    let rows = api.store.catch_ups(state.as_deref(), &page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    Ok(page.list(rows, |catch_up| catch_up.id.clone(), CatchUpBody::from))
}

/// Approve a catch-up
///
/// Its events are delivered to every enabled subscription that wants them, each marked `"replayed": true`.
#[utoipa::path(
    post, path = "/catch-ups/{id}/approve", operation_id = "approve_catch_up", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "As it is now", body = CatchUpBody),
        (status = 409, description = "It does not wait any more (`conflict`)"),
    )
)]
async fn approve(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<Json<CatchUpBody>> {
    decide(&api, &caller, &id, true).await
}

/// Discard a catch-up
///
/// Nobody is told. The events stay in the log, and a subscription can still have them replayed.
#[utoipa::path(
    post, path = "/catch-ups/{id}/discard", operation_id = "discard_catch_up", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "As it is now", body = CatchUpBody),
        (status = 409, description = "It does not wait any more (`conflict`)"),
    )
)]
async fn discard(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<Json<CatchUpBody>> {
    decide(&api, &caller, &id, false).await
}

async fn decide(api: &ApiState, caller: &Caller, id: &str, approve: bool) -> Answer<Json<CatchUpBody>> {
    let found = async || api.store.catch_up(id).await?.ok_or_else(|| Refusal::not_found("catch-up"));
    found().await?;
    if !api.store.decide_catch_up(id, approve, &caller.actor).await? {
        let detail = format!("the catch-up is {}, and does not wait any more", found().await?.state);
        return Err(Refusal::new(409, "conflict", "Conflict", detail));
    }
    Ok(Json(found().await?.into()))
}
