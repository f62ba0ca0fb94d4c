//! Programs and campaigns as the vendors have them, for whoever is about to map one to the other.
//!
//! Owns the two lists that are searched as somebody types, and says of each program and campaign whether it is mapped. Reads the
//! vendors and changes nothing. Must not decide what fits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Json, List, Parameters, cursor};
use super::refusal::{Answer, Refusal};
use crate::connector::{Campaign, CampaignMemberStatus, ListedCampaign, PROGRAM_PAGE, Program, ProgramStatus};
use crate::domain::ids::{ProgramId, SalesforceId};
use crate::store::mappings::Mapping;

/// How long a page of programs is kept: somebody who types asks for the same ones with each letter.
const KEPT: Duration = Duration::from_secs(60);
/// Pages kept; beyond it all are forgotten.
const MOST_KEPT: usize = 200;
/// Pages of Marketo's listing that one request looks through at the most.
const MOST_READ: usize = 5;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(list_programs))
        .routes(routes!(show_program))
        .routes(routes!(list_campaigns))
        .routes(routes!(show_campaign))
}

/// A page of programs, and when it was read, on the monotonic clock.
type KnownPage = (Duration, Arc<Vec<Program>>);

/// Pages of programs as they were read within the last minute; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownPrograms(Arc<Mutex<HashMap<usize, KnownPage>>>);

impl KnownPrograms {
    async fn page(&self, api: &ApiState, page: usize) -> Answer<Arc<Vec<Program>>> {
        let now = api.store.clock().monotonic();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&page).cloned();
        if let Some((_, programs)) = kept.filter(|(read_at, _)| now.saturating_sub(*read_at) < KEPT) {
            return Ok(programs);
        }
        let programs = Arc::new(api.marketo.program_page(page).await?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KEPT {
            all.clear();
        }
        all.insert(page, (now, Arc::clone(&programs)));
        Ok(programs)
    }
}

/// A Marketo program.
#[derive(Serialize, ToSchema)]
#[schema(as = Program)]
struct ProgramBody {
    #[schema(example = 1044)]
    id: i64,
    name: String,
    /// `default`, `event`, `event with webinar`, `engagement` or `email`.
    #[serde(rename = "type")]
    program_type: String,
    channel: String,
    /// The campaign that Marketo's own sync has linked; null without.
    native_campaign_id: Option<String>,
    /// The mapping that it is in; null when it is in none.
    mapping: Option<MappedBody>,
}

/// A Salesforce campaign.
#[derive(Serialize, ToSchema)]
#[schema(as = Campaign)]
struct CampaignBody {
    id: String,
    name: String,
    is_active: bool,
    /// Null where it is empty, or hidden from our user.
    #[serde(rename = "type")]
    campaign_type: Option<String>,
    /// The mapping that it is in; null when it is in none.
    mapping: Option<MappedBody>,
}

/// The mapping that a program or campaign is in.
#[derive(Serialize, ToSchema)]
#[schema(as = Mapped)]
struct MappedBody {
    id: String,
    program_id: i64,
    campaign_id: String,
}

impl MappedBody {
    fn of(mapping: &Mapping) -> Self {
        Self { id: mapping.id.clone(), program_id: mapping.program_id, campaign_id: mapping.campaign_id.to_string() }
    }
}

/// A program with what its channel says.
#[derive(Serialize, ToSchema)]
struct ProgramDetail {
    #[serde(flatten)]
    program: ProgramBody,
    /// Sum of the period costs; null where there are none, or they cannot be asked for.
    cost: Option<f64>,
    /// In the order of their steps; `Not in Program` is none of them. Null where Marketo does not tell the channel.
    statuses: Option<Vec<StepBody>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProgramStep)]
struct StepBody {
    #[schema(example = "Attended")]
    status: String,
    #[schema(example = 30)]
    step: i64,
    success: bool,
    /// Given to nobody any more.
    hidden: bool,
}

impl From<ProgramStatus> for StepBody {
    fn from(ProgramStatus { name, step, success, hidden }: ProgramStatus) -> Self {
        Self { status: name, step, success, hidden }
    }
}

/// A campaign with its member statuses.
#[derive(Serialize, ToSchema)]
struct CampaignDetail {
    #[serde(flatten)]
    campaign: CampaignBody,
    /// Null where it is cleared, or hidden from our user.
    actual_cost: Option<f64>,
    /// In Salesforce's order.
    statuses: Vec<MemberStatusBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignMemberStatus)]
struct MemberStatusBody {
    #[schema(example = "Attended")]
    status: String,
    sort_order: i64,
    has_responded: bool,
    /// What Salesforce gives to a member whose status it does not know.
    is_default: bool,
}

impl From<CampaignMemberStatus> for MemberStatusBody {
    fn from(status: CampaignMemberStatus) -> Self {
        let CampaignMemberStatus { label, sort_order, has_responded, is_default, .. } = status;
        Self { status: label, sort_order, has_responded, is_default }
    }
}

fn program_body(program: &Program, mappings: &[Mapping]) -> ProgramBody {
    ProgramBody {
        id: program.id,
        name: program.name.clone(),
        program_type: program.program_type.clone(),
        channel: program.channel.clone(),
        native_campaign_id: program.sfdc_id.clone(),
        mapping: mappings.iter().find(|mapping| mapping.program_id == program.id).map(MappedBody::of),
    }
}

fn campaign_body(campaign: ListedCampaign, mappings: &[Mapping]) -> CampaignBody {
    let mapping = mappings.iter().find(|mapping| mapping.campaign_id == campaign.id).map(MappedBody::of);
    let ListedCampaign { id, name, is_active, campaign_type } = campaign;
    CampaignBody { id: id.to_string(), name, is_active, campaign_type, mapping }
}

/// List programs
///
/// In Marketo's order. Marketo searches by whole names alone, so that its listing is looked through here, a thousand programs at a
/// time: with `q` a page may be short, even empty, and yet not be the last; follow `next_cursor` until it is null. What was read is
/// kept for a minute.
#[utoipa::path(
    get, path = "/programs", operation_id = "list_programs", tag = "programs",
    params(
        ("q" = Option<String>, Query, description = "Part of the name in any case, or the id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "Programs that our user sees", body = List<ProgramBody>),
        (status = 502, description = "Marketo refuses to answer (`vendor-error`)"),
        (status = 503, description = "Marketo is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn list_programs(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<ProgramBody>>> {
    let q = given.one("q")?.unwrap_or_default().trim().to_lowercase();
    let page = given.page()?;
    given.end()?;
    let matches = |program: &Program| program.name.to_lowercase().contains(&q) || program.id.to_string() == q;
    let mut at = usize::try_from(page.after_position()?.unwrap_or(0)).unwrap_or(0);
    let mut found = Vec::new();
    // Where the next page begins, as long as this is not the end.
    let mut next = None;
    for _ in 0..MOST_READ {
        let programs = api.programs.page(&api, at / PROGRAM_PAGE).await?;
        for program in programs.iter().skip(at % PROGRAM_PAGE) {
            if found.len() >= page.limit() {
                break;
            }
            at += 1;
            if matches(program) {
                found.push(program.clone());
            }
        }
        let is_last = programs.len() < PROGRAM_PAGE;
        let is_through = at % PROGRAM_PAGE == 0 || at % PROGRAM_PAGE >= programs.len();
        next = (!(is_last && is_through)).then_some(at);
        if next.is_none() || found.len() >= page.limit() {
            break;
        }
    }
    let ids: Vec<i64> = found.iter().map(|program| program.id).collect();
    let mappings = api.store.mappings_of_programs(&ids).await?;
    let data = found.iter().map(|program| program_body(program, &mappings)).collect();
    Ok(Json(List { data, next_cursor: next.map(|at| cursor(&at.to_string())) }))
}

/// Show a program
#[utoipa::path(
    get, path = "/programs/{id}", operation_id = "show_program", tag = "programs",
    params(("id" = i64, Path, description = "The Marketo program")),
    responses(
        (status = 200, description = "The program with the statuses of its channel", body = ProgramDetail),
        (status = 404, description = "Marketo has no such program, or our user does not see it (`not-found`)"),
        (status = 502, description = "Marketo refuses to answer (`vendor-error`)"),
        (status = 503, description = "Marketo is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn show_program(State(api): State<ApiState>, Path(id): Path<String>) -> Answer<Json<ProgramDetail>> {
    let missing = || Refusal::not_found("program: Marketo has none of this id, or our user does not see it");
    let id: ProgramId = id.parse().ok().filter(|id| *id > 0).ok_or_else(missing)?;
    let program = api.marketo.program(id).await?.ok_or_else(missing)?;
    let channel = api.marketo.channel(&program.channel).await?;
    let mappings = api.store.mappings_of_programs(&[id]).await?;
    let statuses = channel.map(|mut channel| {
        channel.statuses.sort_by_key(|status| status.step);
        channel.statuses.into_iter().map(StepBody::from).collect()
    });
    Ok(Json(ProgramDetail { program: program_body(&program, &mappings), cost: program.cost, statuses }))
}

/// List campaigns
///
/// Newest first.
#[utoipa::path(
    get, path = "/campaigns", operation_id = "list_campaigns", tag = "campaigns",
    params(
        ("q" = Option<String>, Query, description = "Part of the name in any case"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "Campaigns that our user sees", body = List<CampaignBody>),
        (status = 502, description = "Salesforce refuses to answer (`vendor-error`)"),
        (status = 503, description = "Salesforce is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn list_campaigns(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<List<CampaignBody>>> {
    let q = given.one("q")?.unwrap_or_default().trim().to_lowercase();
    let page = given.page()?;
    given.end()?;
    let invalid = |_| Refusal::field("cursor", "invalid", "is a cursor of another list");
    let before: Option<SalesforceId> = page.after_text().map(str::parse).transpose().map_err(invalid)?;
    let found = api.salesforce.campaigns_like(&q, before.as_ref(), page.limit() + 1).await?;
    let lanes: Vec<String> = found.iter().map(|campaign| campaign.id.to_string()).collect();
    let mappings = api.store.mappings_of_lanes(&lanes).await?;
    Ok(page.list(found, |campaign| campaign.id.to_string(), |campaign| campaign_body(campaign, &mappings)))
}

/// Show a campaign
#[utoipa::path(
    get, path = "/campaigns/{id}", operation_id = "show_campaign", tag = "campaigns",
    params(("id" = String, Path, description = "The Salesforce campaign, 15 or 18 characters")),
    responses(
        (status = 200, description = "The campaign with its member statuses", body = CampaignDetail),
        (status = 404, description = "Salesforce has no such campaign, or our user does not see it (`not-found`)"),
        (status = 502, description = "Salesforce refuses to answer (`vendor-error`)"),
        (status = 503, description = "Salesforce is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn show_campaign(State(api): State<ApiState>, Path(id): Path<String>) -> Answer<Json<CampaignDetail>> {
    let missing = || Refusal::not_found("campaign: Salesforce has none of this id, or our user does not see it");
    let id: SalesforceId = id.parse().map_err(|_| missing())?;
    let found = api.salesforce.campaigns(std::slice::from_ref(&id)).await?.pop().ok_or_else(missing)?;
    let mappings = api.store.mappings_of_lanes(&[id.to_string()]).await?;
    let Campaign { id, name, is_active, campaign_type, actual_cost, statuses } = found;
    let listed = ListedCampaign { id, name, is_active, campaign_type };
    let statuses = statuses.into_iter().map(MemberStatusBody::from).collect();
    Ok(Json(CampaignDetail { campaign: campaign_body(listed, &mappings), actual_cost, statuses }))
}
