//! The filter "Member of SFDC Campaign": who is in which campaign with which status, and who is in none.
//!
//! Answers from what is recorded of tracked campaigns, those that are mapped or that a flow action has named. Must not ask a
//! vendor: a filter is asked often, and about many.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Json, List, Parameters};
use super::members::PersonBody;
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use super::table::{Table, wants_csv};
use crate::domain::trigger::Seen;
use crate::store::filter::{Memberships, TrackedCampaign};
use crate::store::members::Member;
use crate::store::people::{Half, Person};

/// Says of a CSV what `complete` says of JSON.
pub(super) const COMPLETE: HeaderName = HeaderName::from_static("x-complete");

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(of_person))
}

/// One person in one campaign; or one person who is in none, and then what belongs to a campaign is null.
#[derive(Serialize, ToSchema)]
struct CampaignMember {
    /// Of the member, or of the person who is none.
    id: String,
    member: bool,
    campaign_id: Option<String>,
    campaign_member_id: Option<String>,
    #[schema(example = "Attended")]
    status: Option<String>,
    mapping_id: Option<String>,
    program_id: Option<i64>,
    person: PersonBody,
    updated_at: Option<Time>,
}

impl CampaignMember {
    fn of(member: Member, tracked: &[TrackedCampaign]) -> Self {
        let campaign = tracked.iter().find(|campaign| campaign.id == member.campaign_id);
        let status = match member.salesforce {
            Seen::Status(status) => Some(status),
            Seen::Unknown | Seen::Absent => None,
        };
        Self {
            id: member.id,
            member: true,
            campaign_member_id: member.campaign_member_id.map(|id| id.to_string()),
            status,
            mapping_id: campaign.and_then(|campaign| campaign.mapping_id.clone()),
            program_id: campaign.and_then(|campaign| campaign.program_id),
            campaign_id: Some(member.campaign_id),
            person: member.person.into(),
            updated_at: Some(Time::of(member.updated_at)),
        }
    }

    fn none(person: Person) -> Self {
        Self {
            id: person.id.clone(),
            member: false,
            campaign_id: None,
            campaign_member_id: None,
            status: None,
            mapping_id: None,
            program_id: None,
            person: person.into(),
            updated_at: None,
        }
    }
}

impl Table for CampaignMember {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "member",
        "campaign_id",
        "campaign_member_id",
        "status",
        "mapping_id",
        "program_id",
        "person.marketo_id",
        "person.salesforce_id",
        "person.salesforce_type",
        "person.email",
        "updated_at",
    ];
}

/// A page of what a filter finds.
#[derive(Serialize, ToSchema)]
struct Found {
    data: Vec<CampaignMember>,
    /// For the next page; null at the end.
    next_cursor: Option<String>,
    /// False while one of the campaigns is being read for the first time: some of its members are not known yet.
    complete: bool,
}

/// Filter people by the campaigns that they are members of
///
/// Several campaigns, and several statuses, mean any of them; without a campaign all tracked ones are meant. With `member=false`
/// everybody known here who is in none of them (with none of these statuses); an id that was named and that neither side knows is
/// nobody, and so is an account, which is listed where it is a member. As `text/csv` when that is accepted; the next page
/// is then in the header `Link`, and `complete` in `X-Complete`.
#[utoipa::path(
    get, path = "/campaign-members", operation_id = "filter_campaign_members", tag = "filter",
    params(
        ("campaign_id" = Option<Vec<String>>, Query, description = "Members of any of these; 15 or 18 characters"),
        ("status" = Option<Vec<String>>, Query, description = "With any of these statuses in Salesforce"),
        ("member" = Option<bool>, Query, description = "`false` turns the filter round; `true` unless given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "Those who are found", content((Found = "application/json"), (String = "text/csv"))),
        (status = 404, description = "One of the campaigns is not tracked (`not-tracked`, with `campaign_ids`)"),
    )
)]
async fn list(State(api): State<ApiState>, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let again = given.without_cursor();
    let campaign_ids = given.salesforce_ids("campaign_id")?;
    let statuses = given.all("status");
    let member = given.one_of("member", &["true", "false"])?.is_none_or(|member| member == "true");
    let page = given.page()?;
    given.end()?;
    if let Some(id) = campaign_ids.iter().find(|id| !id.starts_with("701")) {
        return Err(Refusal::field("campaign_id", "invalid", format!("{id} is not the id of a campaign")));
    }
    let tracked = api.store.tracked_campaigns((!campaign_ids.is_empty()).then_some(&campaign_ids)).await?;
    refuse_untracked(&campaign_ids, &tracked)?;
    let filter = Memberships { campaign_ids: tracked.iter().map(|campaign| campaign.id.clone()).collect(), statuses };
    let after = page.after_id()?.unwrap_or_default();
    let Json(list) = match member {
        true => {
            let rows = api.store.memberships_page(&filter, &after, page.fetch()).await?;
            page.list(rows, |member| member.id.clone(), |member| CampaignMember::of(member, &tracked))
        }
        false => {
            let rows = api.store.people_without(&filter, &after, page.fetch()).await?;
            page.list(rows, |person| person.id.clone(), CampaignMember::none)
        }
    };
    let complete = tracked.iter().all(|campaign| campaign.complete);
    if wants_csv(&headers) {
        let mut response = list.into_csv("/campaign-members", &again);
        let complete = HeaderValue::from_static(if complete { "true" } else { "false" });
        response.headers_mut().insert(COMPLETE, complete);
        return Ok(response);
    }
    let List { data, next_cursor } = list;
    Ok(Json(Found { data, next_cursor, complete }).into_response())
}

fn refuse_untracked(asked: &[String], tracked: &[TrackedCampaign]) -> Answer<()> {
    let unknown: Vec<&str> =
        asked.iter().filter(|id| !tracked.iter().any(|campaign| campaign.id == **id)).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "nothing is recorded of {}: map it to a program, or name it in a flow action, and its members are followed from then on",
        unknown.join(", ")
    );
    Err(Refusal::new(404, "not-tracked", "Not tracked", detail).with("campaign_ids", unknown))
}

/// List the campaigns of a person
///
/// Those tracked campaigns that the person is a member of in Salesforce.
#[utoipa::path(
    get, path = "/people/{marketo_id}/campaigns", operation_id = "list_campaigns_of_person", tag = "filter",
    params(
        ("marketo_id" = i64, Path, description = "Of the person in Marketo"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, 50 unless given"),
        ("cursor" = Option<String>, Query, min_length = 1, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "One for each campaign", body = Found),
        (status = 404, description = "Nobody with this id has been met yet (`not-found`)"),
    )
)]
async fn of_person(State(api): State<ApiState>, Path(id): Path<String>, mut given: Parameters) -> Answer<Json<Found>> {
    let page = given.page()?;
    given.end()?;
    let after = page.after_id()?.unwrap_or_default();
    let unknown = || Refusal::not_found("person known here");
    let id = id.parse().map_err(|_| unknown())?;
    let person = api.store.people(&[Half::Marketo(id)]).await?.pop().ok_or_else(unknown)?;
    let mut members = api.store.memberships(std::slice::from_ref(&person.id)).await?;
    members.retain(|member| matches!(member.salesforce, Seen::Status(_)));
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let ids: Vec<_> = members.iter().map(|member| member.campaign_id.clone()).collect();
    let tracked = api.store.tracked_campaigns(Some(&ids)).await?;
    members.retain(|member| tracked.iter().any(|campaign| campaign.id == member.campaign_id));
    members.retain(|member| member.id > after);
    let Json(List { data, next_cursor }) =
        page.list(members, |member| member.id.clone(), |member| CampaignMember::of(member, &tracked));
    let complete = api.store.tracked_campaigns(None).await?.iter().all(|campaign| campaign.complete);
    Ok(Json(Found { data, next_cursor, complete }))
}
