//! Members that wait for a person, over all mappings.
//!
//! Shows what is recorded, as the list of a mapping does. Must not list who waits for nobody: that is a table of millions.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{List, Parameters};
use super::members::MemberBody;
use super::refusal::Answer;
use crate::domain::merge::{Reason, SyncState};

/// The states in which nothing more happens by itself.
const HELD: [SyncState; 3] = [SyncState::Diverged, SyncState::Parked, SyncState::Failed];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// List the members that wait for a person
///
/// Of all mappings. As `text/csv` when that is accepted; the next page is then in the header `Link`.
#[utoipa::path(
    get, path = "/members", operation_id = "list_held_members", tag = "members",
    params(
        ("sync_state" = Option<String>, Query, description = "`diverged` unless given, `parked`, `failed`"),
        ("reason" = Option<Reason>, Query, description = "Only those with this reason"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Those of mappings that were not removed",
        content((List<MemberBody> = "application/json"), (String = "text/csv"))))
)]
async fn list(State(api): State<ApiState>, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let again = given.without_cursor();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let state = given.one_of("sync_state", &HELD.map(SyncState::as_str))?;
    let state = state.unwrap_or_else(|| SyncState::Diverged.to_string());
    let reason = given.one_of("reason", &reasons)?;
    let page = given.page()?;
    given.end()?;
    let after = page.after_id()?.unwrap_or_default();
    let rows = api.store.held_members(&state, reason.as_deref(), &after, page.fetch()).await?;
    let lanes: BTreeSet<String> = rows.iter().map(|member| member.campaign_id.clone()).collect();
    let mappings = api.store.mappings_of_lanes(&lanes.into_iter().collect::<Vec<_>>()).await?;
    let mappings: HashMap<_, _> =
        mappings.into_iter().map(|mapping| (mapping.campaign_id.to_string(), mapping)).collect();
    let body = |member: crate::store::members::Member| {
        let mapping = mappings.get(&member.campaign_id);
        MemberBody::of(member, mapping)
    };
    let list = page.list(rows, |member| member.id.clone(), body);
    Ok(match super::table::wants_csv(&headers) {
        true => list.0.into_csv("/members", &again),
        false => list.into_response(),
    })
}
