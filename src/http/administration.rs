//! What is for administrators alone: keys, the switch for everything, the audit log.
//!
//! The scope is checked by the router, once for all of these paths.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{self, Caller, KeyError, Scope};
use super::extract::{Id, Json, List, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::store::keys::ApiKey;

const LONGEST_NAME: usize = 200;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list_keys, create_key))
        .routes(routes!(revoke_key))
        .routes(routes!(show_sync, switch_sync))
        .routes(routes!(show_access))
        .routes(routes!(audit_log))
}

/// A key, without the key itself.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
struct KeyBody {
    id: String,
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<String>,
    created_at: Time,
    /// From then on it opens nothing; null for never.
    expires_at: Option<Time>,
    /// To the minute.
    last_used_at: Option<Time>,
}

impl From<ApiKey> for KeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            created_at: Time::of(key.created_at),
            expires_at: key.expires_at.map(Time::of),
            last_used_at: key.last_used_at.map(Time::of),
        }
    }
}

/// List keys
#[utoipa::path(
    get, path = "/keys", operation_id = "list_keys", tag = "administration",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Those that were not revoked", body = List<KeyBody>))
)]
async fn list_keys(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<KeyBody>>> {
    let page = given.page()?;
    given.end()?;
    let rows = api.store.keys(&page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    Ok(page.list(rows, |key| key.id.clone(), KeyBody::from))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "dashboard", "scopes": ["read"], "expires_at": "2027-11-23T00:00:00Z"}))]
struct NewKey {
    name: String,
    /// `admin` includes `write`, `write` includes `read`.
    scopes: Vec<Scope>,
    /// When it stops being a key; never unless given.
    #[schema(value_type = Option<Time>, required = false)]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct MadeKey {
    /// Shown this once.
    #[schema(example = "cs_0123456789abcdefghijABCDEFGHIJ0123456789")]
    key: String,
    #[serde(flatten)]
    made: KeyBody,
}

/// Make a key
#[utoipa::path(
    post, path = "/keys", operation_id = "create_key", tag = "administration", request_body = NewKey,
    responses((status = 201, description = "Made", body = MadeKey))
)]
async fn create_key(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Json(new): Json<NewKey>,
) -> Answer<(StatusCode, Json<MadeKey>)> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return Err(Refusal::field("name", "invalid", "has to be 1 to 200 characters"));
    }
    if new.scopes.is_empty() {
        return Err(Refusal::field("scopes", "required", "has to name a scope"));
    }
    let expires_at = new.expires_at.map(Timestamp::as_millisecond);
    if expires_at.is_some_and(|at| at <= api.store.now()) {
        return Err(Refusal::field("expires_at", "invalid", "has to be in the future"));
    }
    let made = auth::create_key(&api.store, name, &new.scopes, expires_at, &caller.actor).await;
    let (made, key) = made.map_err(|error| match error {
        KeyError::Store(error) => Refusal::from(error),
        KeyError::Randomness => Refusal::new(500, "internal", "Internal error", error.to_string()),
    })?;
    Ok((StatusCode::CREATED, Json(MadeKey { key: key.expose_secret().to_owned(), made: made.into() })))
}

/// Revoke a key
#[utoipa::path(
    delete, path = "/keys/{id}", operation_id = "revoke_key", tag = "administration", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Revoked"))
)]
async fn revoke_key(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<StatusCode> {
    match api.store.revoke_key(&id, &caller.actor).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found("key")),
    }
}

#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CampaignSync {
    enabled: bool,
}

/// Show whether campaign sync is on
#[utoipa::path(
    get, path = "/settings/campaign-sync", operation_id = "show_campaign_sync", tag = "administration",
    responses((status = 200, description = "The switch", body = CampaignSync))
)]
async fn show_sync(State(api): State<ApiState>) -> Answer<Json<CampaignSync>> {
    Ok(Json(CampaignSync { enabled: api.store.sync_enabled().await? }))
}

/// Switch campaign sync on or off
///
/// While it is off nothing is read or written at the vendors; webhooks are still stored.
#[utoipa::path(
    put, path = "/settings/campaign-sync", operation_id = "switch_campaign_sync", tag = "administration", request_body = CampaignSync,
    responses((status = 200, description = "The switch as it is now", body = CampaignSync))
)]
async fn switch_sync(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Json(switch): Json<CampaignSync>,
) -> Answer<Json<CampaignSync>> {
    api.store.enable_sync(switch.enabled, &caller.actor).await?;
    Ok(Json(switch))
}

/// What the configuration lets in besides the keys.
#[derive(Serialize, ToSchema)]
struct Access {
    /// Whether `auth.bootstrap_key` is set: a key of an administrator that cannot be revoked here and never expires.
    bootstrap_key: bool,
}

/// Show what the configuration lets in
#[utoipa::path(
    get, path = "/settings/access", operation_id = "show_access", tag = "administration",
    responses((status = 200, description = "As this process was started", body = Access))
)]
async fn show_access(State(api): State<ApiState>) -> Answer<Json<Access>> {
    Ok(Json(Access { bootstrap_key: api.bootstrap_key.is_set() }))
}

/// Something that somebody did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct AuditBody {
    id: i64,
    at: Time,
    #[schema(example = "bootstrap")]
    actor: String,
    #[schema(example = "mapping.changed")]
    action: String,
    target: String,
    detail: String,
}

/// Show who did what
#[utoipa::path(
    get, path = "/audit", operation_id = "list_audit", tag = "administration",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Newest first", body = List<AuditBody>))
)]
async fn audit_log(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<AuditBody>>> {
    let page = given.page()?;
    given.end()?;
    let rows = api.store.audit_log(page.after_position()?, page.fetch()).await?;
    Ok(page.list(
        rows,
        |entry| entry.id.to_string(),
        |entry| AuditBody {
            id: entry.id,
            at: Time::of(entry.at),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            detail: entry.detail,
        },
    ))
}
