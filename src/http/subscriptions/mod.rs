//! Subscriptions: who is told of trigger events, where, and how that went.
//!
//! Owns the operations; `request` checks what is asked, `shown` has the bodies. Must not deliver anything: what is to be sent is
//! stored, and whoever works finds it.

mod deliveries;
mod request;
mod shown;

use aws_lc_rs::rand;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Id, Json, List, Optional, Parameters, Since};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::{ApiState, BASE};
use crate::config::parse_duration;
use crate::domain::subscription::SubscriptionState;
use crate::store::replays::ReplayFrom;
use crate::store::subscriptions::{Subscription, Target};
pub(super) use request::Private;
use request::{Asked, ReplayBody};
use shown::{DeliveryBody, MadeSubscription, Replaying, RotatedSecret, SubscriptionBody};

/// Bytes of a secret: as many as the digest has (Standard Webhooks asks for 24 to 64).
const SECRET: usize = 32;
/// How long an older secret stays good, unless another time is asked for.
const OVERLAP: i64 = 24 * 3_600_000;
/// Type of the event that a test sends.
const TEST: &str = "sync.subscription.test";

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(test))
        .routes(routes!(rotate))
        .routes(routes!(replay))
        .merge(deliveries::routes())
}

async fn found(api: &ApiState, id: &str) -> Answer<Subscription> {
    api.store.subscription(id).await?.ok_or_else(|| Refusal::not_found("subscription"))
}

fn new_secret() -> Answer<String> {
    let mut bytes = [0; SECRET];
    let no_randomness =
        |_| Refusal::new(500, "internal", "Internal error", "there is no randomness to make a secret from");
    rand::fill(&mut bytes).map_err(no_randomness)?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

/// Subscribe
///
/// Events from now on are posted to `url` as CloudEvents, signed after Standard Webhooks with the `secret` of this answer, which is
/// shown this once; or the smart campaign is requested for the people whom they are about. Events before can be replayed.
#[utoipa::path(
    post, path = "/subscriptions", operation_id = "create_subscription", tag = "subscriptions", request_body = Asked,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition within 24 hours give the first answer again; 422 for another operation or body")),
    responses((status = 201, description = "Subscribed", body = MadeSubscription,
        headers(("Location" = String, description = "Path of the subscription"))))
)]
async fn create(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    given: Parameters,
    Json(asked): Json<Asked>,
) -> Answer<Response> {
    given.end()?;
    let mut new = asked.creation(api.private)?;
    new.secret = match new.target {
        Target::Url(_) => Some(new_secret()?),
        Target::SmartCampaign(_) => None,
    };
    let subscription = api.store.create_subscription(&new, &caller.actor).await?;
    let location = [(header::LOCATION, format!("{BASE}/subscriptions/{}", subscription.id))];
    let body = MadeSubscription { subscription: SubscriptionBody::of(subscription), secret: new.secret };
    Ok((StatusCode::CREATED, location, Json(body)).into_response())
}

/// List subscriptions
#[utoipa::path(
    get, path = "/subscriptions", operation_id = "list_subscriptions", tag = "subscriptions",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "In the order they were made", body = List<SubscriptionBody>))
)]
async fn list(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<SubscriptionBody>>> {
    let page = given.page()?;
    given.end()?;
    let rows = api.store.subscriptions(&page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    Ok(page.list(rows, |subscription| subscription.id.clone(), SubscriptionBody::of))
}

/// Show a subscription
#[utoipa::path(
    get, path = "/subscriptions/{id}", operation_id = "show_subscription", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The subscription", body = SubscriptionBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<SubscriptionBody>> {
    Ok(Json(SubscriptionBody::of(found(&api, &id).await?)))
}

/// Change a subscription
///
/// `"enabled": false` pauses: what waits goes on waiting, and events from then on are not delivered, but can be replayed from
/// `stopped_position`. `"enabled": true` starts it again, also after this service has disabled it.
#[utoipa::path(
    patch, path = "/subscriptions/{id}", operation_id = "change_subscription", tag = "subscriptions", request_body = Asked,
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "As it is now", body = SubscriptionBody))
)]
async fn change(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Json(asked): Json<Asked>,
) -> Answer<Json<SubscriptionBody>> {
    let change = asked.change(&found(&api, &id).await?, api.private)?;
    api.store.change_subscription(&id, &change, &caller.actor).await?;
    Ok(Json(SubscriptionBody::of(found(&api, &id).await?)))
}

/// Remove a subscription
///
/// With its deliveries: those that wait are not sent, and those that were are forgotten.
#[utoipa::path(
    delete, path = "/subscriptions/{id}", operation_id = "remove_subscription", tag = "subscriptions", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Removed"))
)]
async fn remove(State(api): State<ApiState>, Extension(caller): Extension<Caller>, Id(id): Id) -> Answer<StatusCode> {
    match api.store.delete_subscription(&id, &caller.actor).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found("subscription")),
    }
}

/// For whom a test is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct TestBody {
    /// The person for whom the smart campaign is requested; of no use to a url.
    #[schema(example = 318592)]
    marketo_id: Option<i64>,
}

/// Send a test event
///
/// Of the type `sync.subscription.test`. It is delivered, retried and listed like any other.
#[utoipa::path(
    post, path = "/subscriptions/{id}/test", operation_id = "test_subscription", tag = "subscriptions", request_body = Option<TestBody>,
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 202, description = "On its way; see how it ends at `/deliveries/{id}`", body = DeliveryBody),
        (status = 409, description = "It is paused or disabled (`conflict`)"),
    )
)]
async fn test(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Optional(body): Optional<TestBody>,
) -> Answer<(StatusCode, Json<DeliveryBody>)> {
    let subscription = found(&api, &id).await?;
    if subscription.state != SubscriptionState::Enabled {
        let detail = format!("the subscription is {}; enable it first", subscription.state);
        return Err(Refusal::new(409, "conflict", "Conflict", detail));
    }
    if matches!(subscription.target, Target::SmartCampaign(_)) && body.marketo_id.is_none() {
        let message = "a smart campaign is requested for somebody; name a person, who will pass its flow";
        return Err(Refusal::field("marketo_id", "required", message));
    }
    let event_id = api.store.new_id();
    let person = body.marketo_id.map(|marketo_id| json!({"marketo_id": marketo_id}));
    let event = json!({
        "specversion": "1.0", "id": event_id, "source": format!("/subscriptions/{id}"), "type": TEST,
        "time": Time::at(api.store.clock().now()), "datacontenttype": "application/json",
        "data": {"message": "a test of this subscription", "subscription_id": id, "person": person},
    });
    let delivery = api.store.on_behalf_of(&caller.actor).deliver_to(&id, &event_id, TEST, event.to_string()).await?;
    let delivery = api.store.delivery(&delivery).await?.ok_or_else(|| Refusal::not_found("delivery"))?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryBody::of(delivery))))
}

/// How a secret is replaced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RotateBody {
    /// How long the older secrets stay good: `24h` unless given; `0s` ends them at once, as after a leak.
    #[schema(example = "24h")]
    overlap: Option<String>,
}

/// Replace the secret
///
/// Until the older ones expire, deliveries carry a signature of each, so that the receiver may change in its own time.
#[utoipa::path(
    post, path = "/subscriptions/{id}/rotate-secret", operation_id = "rotate_secret", tag = "subscriptions", request_body = Option<RotateBody>,
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The new secret", body = RotatedSecret),
        (status = 409, description = "A smart campaign has no secret (`conflict`)"),
    )
)]
async fn rotate(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Optional(body): Optional<RotateBody>,
) -> Answer<Json<RotatedSecret>> {
    let subscription = found(&api, &id).await?;
    if matches!(subscription.target, Target::SmartCampaign(_)) {
        let detail = "a smart campaign is requested with Marketo's own credentials, and has no secret";
        return Err(Refusal::new(409, "conflict", "Conflict", detail));
    }
    let overlap = match body.overlap.as_deref() {
        None => OVERLAP,
        Some("0s" | "0") => 0,
        Some(text) => {
            let overlap =
                parse_duration(text).map_err(|error| Refusal::field("overlap", "invalid", error.to_string()))?;
            i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX)
        }
    };
    let secret = new_secret()?;
    let expires_at = api.store.rotate_secret(&id, &secret, overlap, &caller.actor).await?;
    let expires_at = expires_at.ok_or_else(|| Refusal::not_found("subscription"))?;
    Ok(Json(RotatedSecret { secret, previous_expires_at: Time::of(expires_at) }))
}

/// Tell events again
///
/// Those that the subscription wants, from a time or position up to now, each with the `webhook-id` that it had: a receiver that has
/// worked one off passes over it. Deliveries that wait are not doubled. While the subscription is stopped, they wait with it.
#[utoipa::path(
    post, path = "/subscriptions/{id}/replay", operation_id = "replay_events", tag = "subscriptions", request_body = ReplayBody,
    params(("id" = uuid::Uuid, Path)),
    responses((status = 202, description = "Begun", body = Replaying))
)]
async fn replay(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Json(body): Json<ReplayBody>,
) -> Answer<(StatusCode, Json<Replaying>)> {
    let from = match body.since()? {
        Since::Time(time) => ReplayFrom::Time(time.as_millisecond()),
        Since::Position(position) => ReplayFrom::Position(position),
    };
    let range = api.store.replay(&id, from, &caller.actor).await?;
    let (after_position, until_position) = range.ok_or_else(|| Refusal::not_found("subscription"))?;
    Ok((StatusCode::ACCEPTED, Json(Replaying { after_position, until_position })))
}
