//! Guards: removals that wait for a person, and what that person says.

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json, List, Optional, Page, Parameters, or_default};
use super::members::PersonBody;
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::domain::ids::{MemberType, SalesforceId};
use crate::domain::merge::Side;
use crate::store::guards::{Guard, GuardedRemoval, Verdict};

const STATES: [&str; 3] = ["waiting", "approved", "discarded"];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list_all))
        .routes(routes!(list))
        .routes(routes!(approve))
        .routes(routes!(discard))
}

/// Removals that wait, or waited.
#[derive(Serialize, ToSchema)]
#[schema(as = Guard)]
struct GuardBody {
    id: String,
    mapping_id: String,
    /// `waiting`, `approved`, `discarded`.
    state: String,
    count: i64,
    /// The first thousand.
    members: Vec<GuardedMember>,
    created_at: Time,
    decided_at: Option<Time>,
}

/// A member who would be removed.
#[derive(Serialize, ToSchema)]
struct GuardedMember {
    id: String,
    /// From where.
    #[schema(value_type = Side)]
    side: String,
    person: PersonBody,
}

impl From<GuardedRemoval> for GuardedMember {
    fn from(removal: GuardedRemoval) -> Self {
        let parsed = removal.salesforce_id.as_deref().and_then(|id| id.parse::<SalesforceId>().ok());
        let salesforce_type = parsed.as_ref().and_then(MemberType::of).map(MemberType::as_str);
        let (marketo_id, salesforce_id, email) = (removal.marketo_id, removal.salesforce_id, removal.email);
        let person = PersonBody { marketo_id, salesforce_id, salesforce_type, email };
        Self { id: removal.member_id, side: removal.side, person }
    }
}

async fn shown(api: &ApiState, guard: Guard) -> Answer<GuardBody> {
    let members = api.store.guarded_removals(&guard.id).await?;
    Ok(GuardBody {
        id: guard.id,
        mapping_id: guard.mapping_id,
        state: guard.state,
        count: guard.count,
        members: members.into_iter().map(GuardedMember::from).collect(),
        created_at: Time::of(guard.created_at),
        decided_at: guard.decided_at.map(Time::of),
    })
}

/// List the guards of all mappings
#[utoipa::path(
    get, path = "/guards", operation_id = "list_all_guards", tag = "guards",
    params(
        ("state" = Option<String>, Query, description = "`waiting` unless given, `approved`, `discarded`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "In the order they tripped", body = List<GuardBody>))
)]
async fn list_all(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<GuardBody>>> {
    let state = given.one_of("state", &STATES)?;
    let page = given.page()?;
    given.end()?;
    let (state, after) = (state.as_deref().unwrap_or(STATES[0]), page.after_id()?.unwrap_or_default());
    let rows = api.store.guards_in_state(state, &after, page.fetch()).await?;
    listed(&api, &page, rows).await
}

/// A page of guards with their members.
async fn listed(api: &ApiState, page: &Page, rows: Vec<Guard>) -> Answer<Json<List<GuardBody>>> {
    let Json(guards) = page.list(rows, |guard| guard.id.clone(), |guard| guard);
    let mut data = Vec::with_capacity(guards.data.len());
    for guard in guards.data {
        data.push(shown(api, guard).await?);
    }
    Ok(Json(List { data, next_cursor: guards.next_cursor }))
}

/// List the guards of a mapping
///
/// A guard trips when more removals are due than a mapping usually sees; the members that it lists are left alone meanwhile.
#[utoipa::path(
    get, path = "/mappings/{id}/guards", operation_id = "list_guards", tag = "guards",
    params(
        ("id" = uuid::Uuid, Path),
        ("state" = Option<String>, Query, description = "Only those in this state: `waiting`, `approved`, `discarded`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "In the order they tripped", body = List<GuardBody>))
)]
async fn list(State(api): State<ApiState>, Id(id): Id, mut given: Parameters) -> Answer<Json<List<GuardBody>>> {
    let state = given.one_of("state", &STATES)?;
    let page = given.page()?;
    given.end()?;
    api.store.mapping(&id).await?.ok_or_else(|| Refusal::not_found("mapping"))?;
    let rows = guards_of(&api, &id, state.as_deref(), &page).await?;
    listed(&api, &page, rows).await
}

/// The guards of a mapping on a page; those of one state are picked out here, since a mapping has few.
async fn guards_of(api: &ApiState, id: &str, state: Option<&str>, page: &Page) -> Answer<Vec<Guard>> {
    let mut after = page.after_id()?.unwrap_or_default();
    let mut found = Vec::new();
    loop {
        let rows = api.store.guards(id, &after, page.fetch()).await?;
        let more = rows.len() > page.limit();
        if let Some(last) = rows.last() {
            after.clone_from(&last.id);
        }
        found.extend(rows.into_iter().filter(|guard| state.is_none_or(|state| guard.state == state)));
        if !more || found.len() > page.limit() {
            return Ok(found);
        }
    }
}

/// Approve removals
///
/// Holds for the members that are listed; more need a new guard.
#[utoipa::path(
    post, path = "/guards/{id}/approve", operation_id = "approve_guard", tag = "guards", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "As it is now", body = GuardBody),
        (status = 409, description = "It does not wait any more (`conflict`)"),
    )
)]
async fn approve(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answer<Json<GuardBody>> {
    decide(&api, &caller, &id, Verdict::Approve).await
}

/// What becomes of the members.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Discard {
    /// They are added again where they were removed; else the two sides are kept apart.
    #[serde(deserialize_with = "or_default")]
    #[schema(nullable)]
    restore: bool,
}

/// Discard removals
#[utoipa::path(
    post, path = "/guards/{id}/discard", operation_id = "discard_guard", tag = "guards", params(("id" = uuid::Uuid, Path)), request_body = Option<Discard>,
    responses(
        (status = 200, description = "As it is now", body = GuardBody),
        (status = 409, description = "It does not wait any more (`conflict`)"),
    )
)]
async fn discard(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Optional(body): Optional<Discard>,
) -> Answer<Json<GuardBody>> {
    decide(&api, &caller, &id, if body.restore { Verdict::Restore } else { Verdict::KeepApart }).await
}

async fn decide(api: &ApiState, caller: &Caller, id: &str, verdict: Verdict) -> Answer<Json<GuardBody>> {
    let found = async || api.store.guard_by_id(id).await?.ok_or_else(|| Refusal::not_found("guard"));
    let guard = found().await?;
    if !api.store.decide_guard(&guard, verdict, &caller.actor).await? {
        let state = found().await?.state;
        return Err(Refusal::new(
            409,
            "conflict",
            "Conflict",
            format!("the guard is {state}, and does not wait any more"),
        ));
    }
    Ok(Json(shown(api, found().await?).await?))
}
