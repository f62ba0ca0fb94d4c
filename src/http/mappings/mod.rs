//! Mappings: making, showing, changing, pausing and removing them.
//!
//! Owns the operations; `compatible` has the questions that are asked of the vendors before a mapping is made or its map is
//! changed, `status_match` what helps to answer them, `shown` the bodies. One-to-one is the store's to enforce.

mod campaign;
mod compatible;
mod pair;
mod shown;
mod status_match;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Id, Json, List, Parameters};
use super::plans::{draft_of, planned};
use super::refusal::{Answer, Refusal};
use crate::domain::mapping::MappingState;
use crate::store::mappings::{Created, Mapping, MappingFilter, MappingOrder};
use shown::{MappingAnswer, MappingBody, MappingDetail, MappingListed, MappingPatch, NewMapping, Planned, RunStarted};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(reconcile))
        .merge(status_match::routes())
}

/// The version of a mapping, as `ETag`.
fn etag(mapping: &Mapping) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{}\"", mapping.version))]
}

pub(super) async fn found(api: &ApiState, id: &str) -> Answer<Mapping> {
    api.store.mapping(id).await?.ok_or_else(|| Refusal::not_found("mapping"))
}

/// Refuses when the caller has seen another version (RFC 9110, 13.1.1).
fn check_version(headers: &HeaderMap, mapping: &Mapping) -> Answer<()> {
    let current = format!("\"{}\"", mapping.version);
    let given: Vec<&str> = headers.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok()).collect();
    let matches =
        given.iter().flat_map(|line| line.split(',')).any(|tag| matches!(tag.trim(), "*") || tag.trim() == current);
    if given.is_empty() || matches {
        return Ok(());
    }
    let detail = format!("the mapping is at version {current} by now; read it again");
    Err(Refusal::new(412, "precondition-failed", "Precondition failed", detail))
}

pub(super) fn refuse_removing(mapping: &Mapping) -> Answer<()> {
    if mapping.state != MappingState::Removing {
        return Ok(());
    }
    let detail = "the mapping is being taken back and will be gone; delete it without undo to stop that";
    Err(Refusal::new(409, "conflict", "Conflict", detail))
}

/// Map a program to a campaign
///
/// Asks both vendors whether program, campaign and statuses fit, then makes the mapping and starts its first sync. Members
/// who were in the campaign before give no trigger events.
///
/// With `create_campaign` the campaign is made: active, its type the channel, its cost the period costs, its statuses those of
/// the program. When a request is cut off half-way, repeat it: it goes on with the campaign that it has made. With
/// `provision_statuses` the statuses that the campaign lacks are created, now and whenever the channel gains one.
///
/// With `dry_run=true` nothing is made or written on either side: the answer has the plan of the first sync.
#[utoipa::path(
    post, path = "/mappings", operation_id = "create_mapping", tag = "mappings", request_body = NewMapping,
    params(
        ("dry_run" = Option<bool>, Query, description = "Only say what would be done"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition within 24 hours give the first answer again; 422 for another operation or body"),
    ),
    responses(
        (status = 200, description = "What would be done, with `dry_run`", body = Planned),
        (status = 201, description = "Made; the first sync has started", body = MappingAnswer,
            headers(("Location" = String, description = "Path of the mapping"), ("ETag" = String, description = "Its version"))),
        (status = 409, description = "`already-mapped` (with `mapping_id`), or `native-sync-active`"),
        (status = 422, description = "`invalid-input`, `unknown-program`, `unknown-campaign`, `unsupported-program-type`, or `incompatible-statuses` (with `differences`)"),
        (status = 502, description = "A vendor refuses to answer (`vendor-error`)"),
        (status = 503, description = "A vendor is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn create(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    mut given: Parameters,
    Json(new): Json<NewMapping>,
) -> Answer<Response> {
    let dry_run = is_dry_run(&mut given)?;
    given.end()?;
    if dry_run {
        let draft = compatible::draft(&api, new, true).await?;
        return Ok(Json(Planned { plan: planned(&api, &draft, None).await? }).into_response());
    }
    let mapping = compatible::draft(&api, new, false).await?.mapping;
    match api.store.create_mapping(mapping, &caller.actor).await? {
        Created::New { mapping, run_id } => {
            let location = [(header::LOCATION, format!("{}/mappings/{}", super::BASE, mapping.id))];
            let tag = etag(&mapping);
            let body = MappingAnswer { mapping: MappingBody::of(mapping), run_id: Some(run_id) };
            Ok((StatusCode::CREATED, location, tag, Json(body)).into_response())
        }
        Created::AlreadyMapped { mapping_id } => Err(compatible::already_mapped(mapping_id)),
    }
}

/// List mappings
#[utoipa::path(
    get, path = "/mappings", operation_id = "list_mappings", tag = "mappings",
    params(
        ("state" = Option<MappingState>, Query, description = "Only those in this state"),
        ("program_id" = Option<i64>, Query, description = "Only the mapping of this program"),
        ("campaign_id" = Option<String>, Query, description = "Only the mapping of this campaign"),
        ("q" = Option<String>, Query, description = "Part of the program's or the campaign's name"),
        ("id" = Option<Vec<uuid::Uuid>>, Query, description = "Only these, at most 500"),
        ("sort" = Option<MappingOrder>, Query, description = "In this order, `-` from the end; in the order they were made unless given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of them", body = List<MappingListed>))
)]
async fn list(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<MappingListed>>> {
    let states: Vec<_> = MappingState::ALL.iter().map(|state| state.as_str()).collect();
    let orders: Vec<_> = MappingOrder::ALL.iter().map(|order| order.as_str()).collect();
    let filter = MappingFilter {
        order: given.one_of("sort", &orders)?.and_then(|order| order.parse().ok()),
        state: given.one_of("state", &states)?,
        program_id: given.parsed("program_id", "a number")?,
        campaign_id: given.salesforce_id("campaign_id")?,
        q: given.one("q")?,
        ids: given.uuids("id")?,
    };
    let page = given.page()?;
    given.end()?;
    let rows = api.store.list_mappings(&filter, &page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    let campaigns: Vec<String> = rows.iter().map(|mapping| mapping.campaign_id.to_string()).collect();
    let agreement = api.store.agreement(&campaigns).await?;
    let listed = |mapping: Mapping| {
        let (members, in_agreement) = agreement.get(mapping.campaign_id.as_str()).copied().unwrap_or_default();
        MappingListed { mapping: MappingBody::of(mapping), members, in_agreement }
    };
    Ok(page.list(rows, |mapping| mapping.id.clone(), listed))
}

/// Show a mapping
///
/// With the bridge from one side's members to the other's: what agrees, what is on one side only, what differs, and why.
#[utoipa::path(
    get, path = "/mappings/{id}", operation_id = "show_mapping", tag = "mappings", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The mapping", body = MappingDetail, headers(("ETag" = String, description = "Its version"))))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Response> {
    let mapping = found(&api, &id).await?;
    let bridge = api.store.bridge(mapping.campaign_id.as_str()).await?;
    let tag = etag(&mapping);
    Ok((tag, Json(MappingDetail { mapping: MappingBody::of(mapping), bridge: bridge.into() })).into_response())
}

/// Change a mapping
///
/// `policies` is laid over what is there, `status_map` replaces the whole map (null goes back to the automatic one). When
/// either changes, everybody is decided anew in the run that `run_id` names. Both vendors are asked again whether all fits when
/// the map, the direction, `provision_statuses` or one of what is allowed changes.
#[utoipa::path(
    patch, path = "/mappings/{id}", operation_id = "change_mapping", tag = "mappings", request_body = MappingPatch,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that was seen, as in `ETag`")),
    responses(
        (status = 200, description = "The mapping as it is now", body = MappingAnswer, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "Somebody else changed it at this moment (`conflict`), or `native-sync-active`"),
        (status = 412, description = "It is at another version (`precondition-failed`)"),
        (status = 422, description = "`invalid-input`, `unsupported-program-type`, or `incompatible-statuses` (with `differences`)"),
        (status = 502, description = "A vendor refuses to answer (`vendor-error`)"),
        (status = 503, description = "A vendor is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn change(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    Json(patch): Json<MappingPatch>,
) -> Answer<Response> {
    let mapping = found(&api, &id).await?;
    check_version(&headers, &mapping)?;
    refuse_removing(&mapping)?;
    let changed = compatible::changed_mapping(&api, &mapping, patch).await?;
    if changed == mapping {
        let tag = etag(&mapping);
        return Ok((tag, Json(MappingAnswer { mapping: MappingBody::of(mapping), run_id: None })).into_response());
    }
    let rerun = changed.policies != mapping.policies || changed.status_map != mapping.status_map;
    let run_id =
        api.store.update_mapping(&changed, rerun, &caller.actor, &compatible::what_changed(&mapping, &changed)).await?;
    let mapping = found(&api, &id).await?;
    let tag = etag(&mapping);
    Ok((tag, Json(MappingAnswer { mapping: MappingBody::of(mapping), run_id })).into_response())
}

/// Remove a mapping
///
/// The members stay on both sides. With `undo=true` those whom this service has added are removed again, but for those whom
/// somebody has changed since, who are listed with the run; people who were created stay. The mapping is gone when the run has
/// ended; meanwhile its state is `removing` and nothing else is applied. Many removals wait for approval of a guard.
#[utoipa::path(
    delete, path = "/mappings/{id}", operation_id = "remove_mapping", tag = "mappings",
    params(
        ("id" = uuid::Uuid, Path), ("undo" = Option<bool>, Query, description = "Take back what this service has added"),
        ("If-Match" = Option<String>, Header, description = "The version that was seen, as in `ETag`"),
    ),
    responses(
        (status = 202, description = "Being taken back", body = RunStarted,
            headers(("Location" = String, description = "Path of the run"))),
        (status = 204, description = "Removed"),
        (status = 409, description = "Somebody else changed it at this moment (`conflict`)"),
        (status = 412, description = "It is at another version (`precondition-failed`)"),
    )
)]
async fn remove(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    mut given: Parameters,
) -> Answer<Response> {
    let undo = given.one_of("undo", &["true", "false"])?.is_some_and(|undo| undo == "true");
    given.end()?;
    let mapping = found(&api, &id).await?;
    check_version(&headers, &mapping)?;
    if undo {
        let run_id = api.store.undo_mapping(&mapping, &caller.actor).await?;
        let location = [(header::LOCATION, format!("{}/runs/{run_id}", super::BASE))];
        return Ok((StatusCode::ACCEPTED, location, Json(RunStarted { run_id })).into_response());
    }
    api.store.delete_mapping(&mapping, &caller.actor, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Pause a mapping
///
/// Changes are still received, and applied when it is resumed.
#[utoipa::path(
    post, path = "/mappings/{id}/pause", operation_id = "pause_mapping", tag = "mappings",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that was seen, as in `ETag`")),
    responses(
        (status = 200, description = "Paused", body = MappingBody, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "Somebody else changed it at this moment (`conflict`)"),
        (status = 412, description = "It is at another version (`precondition-failed`)"),
    )
)]
async fn pause(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
) -> Answer<Response> {
    set_state(&api, &caller, &id, &headers, MappingState::Paused).await
}

/// Resume a mapping
///
/// Also one that has failed: everybody is then decided anew.
#[utoipa::path(
    post, path = "/mappings/{id}/resume", operation_id = "resume_mapping", tag = "mappings",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that was seen, as in `ETag`")),
    responses(
        (status = 200, description = "Active", body = MappingBody, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "Somebody else changed it at this moment (`conflict`)"),
        (status = 412, description = "It is at another version (`precondition-failed`)"),
    )
)]
async fn resume(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
) -> Answer<Response> {
    set_state(&api, &caller, &id, &headers, MappingState::Active).await
}

async fn set_state(
    api: &ApiState,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    state: MappingState,
) -> Answer<Response> {
    let mut mapping = found(api, id).await?;
    check_version(headers, &mapping)?;
    refuse_removing(&mapping)?;
    if mapping.state != state {
        // What happened while it had failed is not known to the last hint.
        let rerun = mapping.state == MappingState::Failed && state == MappingState::Active;
        let changed = Mapping { state, reason: None, ..mapping };
        api.store.update_mapping(&changed, rerun, &caller.actor, state.as_str()).await?;
        mapping = found(api, id).await?;
    }
    Ok((etag(&mapping), Json(MappingBody::of(mapping))).into_response())
}

fn is_dry_run(given: &mut Parameters) -> Answer<bool> {
    Ok(given.one_of("dry_run", &["true", "false"])?.is_some_and(|dry_run| dry_run == "true"))
}

/// Compare both sides and mend
///
/// A run that goes on already is begun anew. With `dry_run=true` nothing is written: the answer has the plan.
#[utoipa::path(
    post, path = "/mappings/{id}/reconcile", operation_id = "reconcile_mapping", tag = "mappings",
    params(("id" = uuid::Uuid, Path), ("dry_run" = Option<bool>, Query, description = "Only say what would be done")),
    responses(
        (status = 200, description = "What would be done, with `dry_run`", body = Planned),
        (status = 202, description = "Started", body = RunStarted),
        (status = 409, description = "The mapping is being taken back, or campaign sync is off (`conflict`)"),
        (status = 502, description = "A vendor refuses to answer (`vendor-error`)"),
    )
)]
async fn reconcile(
    State(api): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    mut given: Parameters,
) -> Answer<Response> {
    let dry_run = is_dry_run(&mut given)?;
    given.end()?;
    let mapping = found(&api, &id).await?;
    refuse_removing(&mapping)?;
    if dry_run {
        let plan = planned(&api, &draft_of(mapping), Some(&id)).await?;
        return Ok(Json(Planned { plan }).into_response());
    }
    let store = api.store.on_behalf_of(&caller.actor);
    let run_id = store.start_run(&mapping.id, mapping.campaign_id.as_str(), "reconciliation").await?;
    Ok((StatusCode::ACCEPTED, Json(RunStarted { run_id })).into_response())
}
