//! Deliveries: how each went, and trying again.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::request::RetryBody;
use super::shown::{DeliveryBody, Retried};
use super::{ApiState, found};
use crate::http::auth::Caller;
use crate::http::extract::{Id, Json, List, Optional, Parameters};
use crate::http::refusal::{Answer, Refusal};

const STATES: [&str; 5] = ["pending", "retrying", "delivered", "failed", "skipped"];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(retry_failed))
        .routes(routes!(show))
        .routes(routes!(retry))
}

/// List deliveries
///
/// With every attempt. Kept for `retention.completed` after they are done with.
#[utoipa::path(
    get, path = "/subscriptions/{id}/deliveries", operation_id = "list_deliveries", tag = "subscriptions",
    params(
        ("id" = uuid::Uuid, Path),
        ("state" = Option<String>, Query, description = "`pending`, `retrying`, `delivered`, `failed`, `skipped`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Newest first", body = List<DeliveryBody>))
)]
async fn list(State(api): State<ApiState>, Id(id): Id, mut given: Parameters) -> Answer<Json<List<DeliveryBody>>> {
    let state = given.one_of("state", &STATES)?;
    let page = given.page()?;
    given.end()?;
    found(&api, &id).await?;
    let before = page.after_id()?;
    let rows = api.store.deliveries_of(&id, state.as_deref(), before.as_deref(), page.fetch()).await?;
    Ok(page.list(rows, |delivery| delivery.id.clone(), DeliveryBody::of))
}

async fn one(api: &ApiState, id: &str) -> Answer<DeliveryBody> {
    let found = api.store.delivery(id).await?;
    found.map(DeliveryBody::of).ok_or_else(|| Refusal::not_found("delivery"))
}

/// Show a delivery
#[utoipa::path(
    get, path = "/deliveries/{id}", operation_id = "show_delivery", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "With every attempt", body = DeliveryBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<DeliveryBody>> {
    Ok(Json(one(&api, &id).await?))
}

/// Try a delivery again, now
///
/// Whatever became of it, also one that was delivered. It is retried as long as a new one would be.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", operation_id = "retry_delivery", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses((status = 202, description = "As it is now", body = DeliveryBody))
)]
async fn retry(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<(StatusCode, Json<DeliveryBody>)> {
    if !api.store.on_behalf_of(&caller.actor).retry_delivery(&id).await? {
        return Err(Refusal::not_found("delivery"));
    }
    Ok((StatusCode::ACCEPTED, Json(one(&api, &id).await?)))
}

/// Try all that failed again, now
///
/// Or those of them that were made after a time. To have all since a time again, also what was delivered, replay.
#[utoipa::path(
    post, path = "/subscriptions/{id}/retry", operation_id = "retry_failed_deliveries", tag = "subscriptions",
    params(("id" = uuid::Uuid, Path)), request_body = Option<RetryBody>,
    responses((status = 202, description = "How many", body = Retried))
)]
async fn retry_failed(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Optional(body): Optional<RetryBody>,
) -> Answer<(StatusCode, Json<Retried>)> {
    found(&api, &id).await?;
    let since = body.since.map(|since| since.as_millisecond());
    let count = api.store.on_behalf_of(&caller.actor).retry_failed(&id, since).await?;
    Ok((StatusCode::ACCEPTED, Json(Retried { count })))
}
