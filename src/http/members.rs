//! Members: who they are, how they stand, why, and what happened to them.
//!
//! Shows what is recorded. Must not decide: what `explain` says is what the last decision left.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Id, Json, List, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::table::{Table, wants_csv};
use crate::domain::catalogue::to_change;
use crate::domain::ids::MemberType;
use crate::domain::mapping::MappingState;
use crate::domain::merge::{Base, Proposal, Reason, Rule, Side, SyncState};
use crate::domain::own_writes::OwnWrite;
use crate::domain::trigger::Seen;
use crate::store::mappings::Mapping;
use crate::store::members::{Member, MemberFilter};
use crate::store::people::Person;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(explain))
        .routes(routes!(history))
}

/// One person in one campaign and its program. What is absent is null.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(super) struct MemberBody {
    id: String,
    mapping_id: Option<String>,
    campaign_id: String,
    program_id: Option<i64>,
    person: PersonBody,
    #[schema(example = "Attended")]
    marketo_status: Option<String>,
    #[schema(example = "Attended")]
    salesforce_status: Option<String>,
    /// The pair on which both sides last agreed; null when there is none.
    base: Option<Base>,
    campaign_member_id: Option<String>,
    #[schema(value_type = SyncState)]
    sync_state: String,
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// What would have been written, had the mapping not been observing only.
    would: Option<WouldBody>,
    updated_at: Time,
}

/// A write that was not sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Proposal)]
struct WouldBody {
    #[schema(example = "add_to_salesforce")]
    action: String,
    /// Null for a removal.
    #[schema(example = "Attended")]
    status: Option<String>,
}

impl From<Proposal> for WouldBody {
    fn from(Proposal { action, status }: Proposal) -> Self {
        Self { action, status }
    }
}

/// A person on both sides.
#[derive(Serialize, ToSchema)]
#[schema(as = Person)]
pub(super) struct PersonBody {
    #[schema(example = 318592)]
    pub(super) marketo_id: Option<i64>,
    pub(super) salesforce_id: Option<String>,
    /// `Lead` or `Contact`; `Account` where an account is the member, who is nobody's person.
    pub(super) salesforce_type: Option<&'static str>,
    pub(super) email: Option<String>,
}

impl From<Person> for PersonBody {
    fn from(person: Person) -> Self {
        Self {
            marketo_id: person.marketo_id,
            salesforce_type: person.salesforce_id.as_ref().and_then(MemberType::of).map(MemberType::as_str),
            salesforce_id: person.salesforce_id.map(|id| id.to_string()),
            email: person.email,
        }
    }
}

fn status(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Status(status) => Some(status.clone()),
        Seen::Unknown | Seen::Absent => None,
    }
}

impl MemberBody {
    pub(super) fn of(member: Member, mapping: Option<&Mapping>) -> Self {
        // Absent on both sides is agreement; the store calls it closed to find it by.
        let closed = member.sync_state == "closed";
        let sync_state = if closed { SyncState::InSync.to_string() } else { member.sync_state };
        Self {
            id: member.id,
            mapping_id: mapping.map(|mapping| mapping.id.clone()),
            campaign_id: member.campaign_id,
            program_id: mapping.map(|mapping| mapping.program_id),
            person: member.person.into(),
            marketo_status: status(&member.marketo),
            salesforce_status: status(&member.salesforce),
            base: member.base,
            campaign_member_id: member.campaign_member_id.map(|id| id.to_string()),
            sync_state,
            reason: member.reason,
            would: member.would.map(WouldBody::from),
            updated_at: Time::of(member.updated_at),
        }
    }
}

impl Table for MemberBody {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "mapping_id",
        "campaign_id",
        "program_id",
        "person.marketo_id",
        "person.salesforce_id",
        "person.salesforce_type",
        "person.email",
        "marketo_status",
        "salesforce_status",
        "base.marketo",
        "base.salesforce",
        "campaign_member_id",
        "sync_state",
        "reason",
        "would.action",
        "would.status",
        "updated_at",
    ];
}

/// List the members of a mapping
///
/// As `text/csv` when that is accepted; the next page is then in the header `Link`.
#[utoipa::path(
    get, path = "/mappings/{id}/members", operation_id = "list_members", tag = "members",
    params(
        ("id" = uuid::Uuid, Path),
        ("status" = Option<String>, Query, description = "Only those who hold this status on either side"),
        ("sync_state" = Option<SyncState>, Query, description = "Only those in this state"),
        ("reason" = Option<Reason>, Query, description = "Only those with this reason"),
        ("q" = Option<String>, Query, description = "Part of an address, or an id of either side"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Those who are on a side at least", content((List<MemberBody> = "application/json"), (String = "text/csv"))))
)]
async fn list(State(api): State<ApiState>, Id(id): Id, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let again = given.without_cursor();
    let states: Vec<_> = SyncState::ALL.iter().map(|state| state.as_str()).collect();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let mut filter = MemberFilter {
        campaign_id: String::new(),
        status: given.one("status")?,
        sync_state: given.one_of("sync_state", &states)?,
        reason: given.one_of("reason", &reasons)?,
        q: given.one("q")?,
        halted: None,
    };
    let page = given.page()?;
    given.end()?;
    let mapping = api.store.mapping(&id).await?.ok_or_else(|| Refusal::not_found("mapping"))?;
    filter.campaign_id = mapping.campaign_id.to_string();
    filter.halted = halted(&api, Some(&mapping)).await?;
    let rows = api.store.list_members(&filter, &page.after_id()?.unwrap_or_default(), page.fetch()).await?;
    let list = page.list(rows, |member| member.id.clone(), |member| MemberBody::of(member, Some(&mapping)));
    Ok(match wants_csv(&headers) {
        true => list.0.into_csv(&format!("/mappings/{id}/members"), &again),
        false => list.into_response(),
    })
}

pub(super) async fn found(api: &ApiState, id: &str) -> Answer<(Member, Option<Mapping>)> {
    let member = api.store.member(id).await?.ok_or_else(|| Refusal::not_found("member"))?;
    let mapping = api.store.mappings_of_lanes(std::slice::from_ref(&member.campaign_id)).await?.pop();
    Ok((member, mapping))
}

/// Why nothing of a campaign is worked off at the moment.
async fn halted(api: &ApiState, mapping: Option<&Mapping>) -> Answer<Option<Reason>> {
    if !api.store.sync_enabled().await? {
        return Ok(Some(Reason::SyncOff));
    }
    Ok(mapping.is_some_and(|mapping| mapping.state == MappingState::Paused).then_some(Reason::Paused))
}

/// A member as it stands now, and the change that waits for it: one that waits in vain is pending for the reason of that.
pub(super) async fn standing(api: &ApiState, id: &str) -> Answer<(Member, Option<Mapping>, Option<(String, i64)>)> {
    let (mut member, mapping) = found(api, id).await?;
    let next = api.store.next_for(&member).await?;
    let waits = next.is_some() || matches!(member.reason.as_deref(), Some("waiting" | "retrying"));
    if let Some(reason) = halted(api, mapping.as_ref()).await?.filter(|_| waits && member.sync_state != "closed") {
        (member.sync_state, member.reason) = (reason.state().to_string(), Some(reason.to_string()));
    }
    Ok((member, mapping, next))
}

/// Show a member
#[utoipa::path(
    get, path = "/members/{id}", operation_id = "show_member", tag = "members", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The member", body = MemberBody))
)]
async fn show(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<MemberBody>> {
    let (member, mapping, _) = standing(&api, &id).await?;
    Ok(Json(MemberBody::of(member, mapping.as_ref())))
}

/// Why a member is as it is.
#[derive(Serialize, ToSchema)]
struct Explanation {
    /// Status in the program; null when it is none.
    marketo: Option<String>,
    /// Status in the campaign; null when it is none.
    salesforce: Option<String>,
    base: Option<Base>,
    /// The row of the decision table that decided last.
    #[schema(value_type = Option<Rule>)]
    rule: Option<String>,
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// What happens by itself, in words; null when nothing does.
    #[schema(example = "would add to Salesforce with Attended")]
    next: Option<String>,
    /// Not before.
    next_at: Option<Time>,
    /// What a person can do; null when nothing has to be done.
    to_change: Option<&'static str>,
    /// Of a member that is left alone because two writers kept undoing each other: what this service wrote, and whose value it
    /// found. Else null.
    writes: Option<Vec<WriteBody>>,
}

/// A write of this service.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnWrite)]
struct WriteBody {
    at: Time,
    side: Side,
    /// What it found; null for absent.
    from: Option<String>,
    /// What it wrote; null for a removal.
    to: Option<String>,
    /// The Salesforce user who had set what it found; null where the side does not tell.
    by: Option<String>,
}

impl From<&OwnWrite> for WriteBody {
    fn from(write: &OwnWrite) -> Self {
        let by = write.by.as_ref().map(ToString::to_string);
        Self { at: Time::of(write.at), side: write.side, from: write.from.clone(), to: write.to.clone(), by }
    }
}

/// What happens next: a proposal, or the change that waits.
fn in_words(member: &Member, waits: Option<&str>) -> Option<String> {
    let reason = member.reason.as_deref().and_then(|reason| reason.parse::<Reason>().ok());
    let why = match (waits, reason) {
        (None, _) => return member.would.as_ref().map(|would| format!("would {}", would.in_words())),
        (_, Some(Reason::Paused)) => ", once the mapping is resumed",
        (_, Some(Reason::SyncOff)) => ", once campaign sync is switched on",
        _ => "",
    };
    let what = match (member.resolution, waits) {
        (Some(Side::Marketo), _) => "takes over what Marketo says".to_owned(),
        (Some(Side::Salesforce), _) => "takes over what Salesforce says".to_owned(),
        (None, Some("retryable")) => "tried again".to_owned(),
        (None, _) => "looked at again".to_owned(),
    };
    Some(what + why)
}

/// Explain a member
#[utoipa::path(
    get, path = "/members/{id}/explain", operation_id = "explain_member", tag = "members", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Both values, what decided, what comes next", body = Explanation))
)]
async fn explain(State(api): State<ApiState>, Id(id): Id) -> Answer<Json<Explanation>> {
    let (member, _, next) = standing(&api, &id).await?;
    let to_change = member.reason.as_deref().and_then(to_change);
    let frozen = member.reason.as_deref() == Some(Reason::LoopDetected.as_str());
    Ok(Json(Explanation {
        next: in_words(&member, next.as_ref().map(|(state, _)| state.as_str())),
        writes: frozen.then(|| member.own_writes.all().iter().map(WriteBody::from).collect()),
        marketo: status(&member.marketo),
        salesforce: status(&member.salesforce),
        base: member.base,
        rule: member.rule,
        reason: member.reason,
        next_at: next.map(|(_, due_at)| Time::of(due_at)),
        to_change,
    }))
}

/// Something that happened to a member.
#[derive(Serialize, ToSchema)]
struct HistoryBody {
    at: Time,
    #[schema(example = "decided")]
    kind: String,
    #[schema(value_type = Object)]
    detail: Value,
}

/// Show what happened to a member
#[utoipa::path(
    get, path = "/members/{id}/history", operation_id = "show_history", tag = "members",
    params(
        ("id" = uuid::Uuid, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "Oldest first", body = List<HistoryBody>))
)]
async fn history(State(api): State<ApiState>, Id(id): Id, mut given: Parameters) -> Answer<Json<List<HistoryBody>>> {
    let page = given.page()?;
    given.end()?;
    found(&api, &id).await?;
    let rows = api.store.history(&id, page.after_position()?.unwrap_or(0), page.fetch()).await?;
    Ok(page.list(
        rows,
        |entry| entry.id.to_string(),
        |entry| HistoryBody {
            at: Time::of(entry.at),
            kind: entry.kind,
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::String(entry.detail)),
        },
    ))
}
