//! The statuses of a program and a campaign side by side, with what would probably be paired.
//!
//! Owns the comparison that people look at before they map, and what a refused mapping says of each status: how many members
//! hold it and what it probably is. Asks the vendors by reading alone. Must not decide what is compatible.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use futures_util::future::{join, join_all};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::extract::{Json, Parameters};
use super::compatible;
use super::pair::{Pair, pair_of};
use crate::connector::ConnectorError;
use crate::domain::ids::ProgramId;
use crate::domain::matching;
use crate::domain::merge::Side;
use crate::domain::status::{Problem, StatusDifference, StatusMap};
use crate::domain::warning::Warning;
use crate::http::ApiState;
use crate::http::refusal::{Answer, Refusal};

/// Members of one program status that are counted: two calls at the most, since Marketo counts nothing itself and its calls
/// are those of the sync.
const MOST_COUNTED: u64 = 600;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(status_match))
}

/// Two sets of statuses side by side.
#[derive(Serialize, ToSchema)]
struct StatusMatch {
    /// Those of the program's channel, in the order of their steps; `Not in Program` is none of them.
    program_statuses: Vec<ProgramStatusBody>,
    /// In Salesforce's order.
    campaign_statuses: Vec<CampaignStatusBody>,
    /// Proposals, surest first. Only pairs of the same name are applied by themselves; the others are to be looked at, and
    /// given as `status_map`.
    pairs: Vec<PairBody>,
    /// Whether the two can be mapped without a `status_map`.
    compatible: bool,
    /// Of the proposed pairs.
    warnings: Vec<Warning>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProgramStatus)]
struct ProgramStatusBody {
    #[schema(example = "Attended")]
    status: String,
    #[schema(example = 30)]
    step: i64,
    success: bool,
    /// Given to nobody any more.
    hidden: bool,
    /// How many hold it; null when that is not known, above all when they are more than 600.
    members: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignStatus)]
struct CampaignStatusBody {
    #[schema(example = "Attended")]
    status: String,
    sort_order: i64,
    has_responded: bool,
    /// What Salesforce gives to a member whose status it does not know.
    is_default: bool,
    /// How many hold it; null when that is not known.
    members: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatusPair)]
struct PairBody {
    #[schema(example = "No Show")]
    program_status: String,
    #[schema(example = "Did not attend")]
    campaign_status: String,
    /// 1: the same name, and only then. From 0.9: hardly in doubt. From 0.75: probable. From 0.5: a guess; what is below is
    /// not proposed.
    #[schema(example = 0.9, minimum = 0.5, maximum = 1)]
    confidence: f64,
    #[schema(example = "other words for the same: no show")]
    reason: String,
}

/// Compare the statuses of a program and a campaign
///
/// Reads both vendors and changes nothing. Members are counted as far as that is cheap.
#[utoipa::path(
    get, path = "/programs/{id}/status-match", operation_id = "match_statuses", tag = "programs",
    params(
        ("id" = i64, Path, description = "The Marketo program"),
        ("campaign_id" = String, Query, description = "The Salesforce campaign, 15 or 18 characters"),
    ),
    responses(
        (status = 200, description = "Both sides and the proposed pairs", body = StatusMatch),
        (status = 404, description = "Marketo has no such program (`not-found`)"),
        (status = 422, description = "`invalid-input`, or `unknown-campaign`"),
        (status = 502, description = "A vendor refuses to answer (`vendor-error`)"),
        (status = 503, description = "A vendor is down or has no calls left (`vendor-unavailable`), or the database is (`unavailable`)"),
    )
)]
async fn status_match(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    mut given: Parameters,
) -> Answer<Json<StatusMatch>> {
    let campaign_id = given.one("campaign_id")?;
    given.end()?;
    let missing = || Refusal::not_found("program: Marketo has none of this id, or our user does not see it");
    let program_id: ProgramId = id.parse().ok().filter(|id| *id > 0).ok_or_else(missing)?;
    let campaign_id = compatible::campaign_id(campaign_id.as_deref())?;
    let program = api.marketo.program(program_id).await?.ok_or_else(missing)?;
    let pair = pair_of(&api, program, &campaign_id).await?;
    let held = Held::count(&api, &pair, |_, _| true).await;
    Ok(Json(StatusMatch::of(&api, &pair, &held)))
}

impl StatusMatch {
    fn of(api: &ApiState, pair: &Pair, held: &Held) -> Self {
        let proposed = proposals(pair, held);
        let exact = StatusMap::exact(&pair.program_statuses(), &pair.campaign_statuses());
        let hidden = |name: &str| pair.channel.statuses.iter().any(|status| status.name == name && status.hidden);
        let program_statuses = program_side(pair, held).into_iter().map(|status| ProgramStatusBody {
            hidden: hidden(&status.name),
            status: status.name,
            step: status.step,
            success: status.success,
            members: status.members,
        });
        let campaign_statuses = campaign_side(pair, held).into_iter().map(|status| CampaignStatusBody {
            status: status.name,
            sort_order: status.sort_order,
            has_responded: status.has_responded,
            is_default: status.is_default,
            members: status.members,
        });
        let of_pairs = proposed.iter().map(|pair| (pair.program_status.as_str(), pair.campaign_status.as_str()));
        let warnings = pair.warnings(of_pairs);
        let mut program_statuses: Vec<_> = program_statuses.collect();
        program_statuses.sort_by_key(|status| status.step);
        Self {
            program_statuses,
            campaign_statuses: campaign_statuses.collect(),
            compatible: compatible::differences(pair, &exact, &pair.campaign_statuses(), api.policies.direction)
                .is_empty(),
            warnings,
            pairs: proposed.into_iter().map(PairBody::from).collect(),
        }
    }
}

impl From<matching::Pair> for PairBody {
    fn from(pair: matching::Pair) -> Self {
        let matching::Pair { program_status, campaign_status, confidence, reason } = pair;
        Self { program_status, campaign_status, confidence, reason }
    }
}

/// How many members hold a status, of those that were counted.
#[derive(Default)]
struct Held {
    program: BTreeMap<String, u64>,
    campaign: BTreeMap<String, u64>,
}

impl Held {
    /// Counts the statuses that are wanted. What a vendor does not tell is left out: a comparison without numbers is better
    /// than none.
    async fn count(api: &ApiState, pair: &Pair, wanted: impl Fn(Side, &str) -> bool) -> Self {
        let of_program = pair.program_statuses().into_iter().filter(|name| wanted(Side::Marketo, name));
        let of_program = of_program.map(async |name: &str| {
            let count = told(api.marketo.member_count(pair.program.id, name, MOST_COUNTED).await)??;
            Some((name.to_owned(), count))
        });
        let labels: Vec<&str> = pair.campaign_statuses().into_iter().filter(|l| wanted(Side::Salesforce, l)).collect();
        let of_campaign = async {
            let campaign = pair.campaign.as_ref().filter(|_| !labels.is_empty())?;
            told(api.salesforce.member_counts(&campaign.id).await)
        };
        let (program, campaign) = join(join_all(of_program), of_campaign).await;
        let of_label = |held: &BTreeMap<String, u64>, label: &str| held.get(label).copied().unwrap_or(0);
        let campaign = campaign.map(|held| labels.iter().map(|l| ((*l).to_owned(), of_label(&held, l))).collect());
        Self { program: program.into_iter().flatten().collect(), campaign: campaign.unwrap_or_default() }
    }

    fn of(&self, side: Side, status: &str) -> Option<u64> {
        match side {
            Side::Marketo => self.program.get(status).copied(),
            Side::Salesforce => self.campaign.get(status).copied(),
        }
    }
}

fn told<T>(outcome: Result<T, ConnectorError>) -> Option<T> {
    outcome.inspect_err(|error| tracing::info!(%error, "members could not be counted")).ok()
}

fn program_side(pair: &Pair, held: &Held) -> Vec<matching::ProgramStatus> {
    let names = pair.program_statuses();
    let statuses = pair.channel.statuses.iter().filter(|status| names.contains(&status.name.as_str()));
    let read = statuses.map(|status| matching::ProgramStatus {
        name: status.name.clone(),
        step: status.step,
        success: status.success,
        members: held.of(Side::Marketo, &status.name),
    });
    read.collect()
}

fn campaign_side(pair: &Pair, held: &Held) -> Vec<matching::CampaignStatus> {
    let read = pair.statuses().iter().map(|status| matching::CampaignStatus {
        name: status.label.clone(),
        sort_order: status.sort_order,
        has_responded: status.has_responded,
        is_default: status.is_default,
        members: held.of(Side::Salesforce, &status.label),
    });
    read.collect()
}

fn proposals(pair: &Pair, held: &Held) -> Vec<matching::Pair> {
    matching::pairs(&program_side(pair, held), &campaign_side(pair, held))
}

/// Gives each status without a translation the one that it probably is. A name that a side does not have keeps the nearest
/// of that side.
pub(super) fn suggest(pair: &Pair, mut differences: Vec<StatusDifference>) -> Vec<StatusDifference> {
    let proposed = proposals(pair, &Held::default());
    for difference in differences.iter_mut().filter(|difference| difference.problem != Problem::Unknown) {
        let other = |pair: &matching::Pair| match difference.side {
            Side::Marketo => (pair.program_status == difference.status).then(|| pair.campaign_status.clone()),
            Side::Salesforce => (pair.campaign_status == difference.status).then(|| pair.program_status.clone()),
        };
        difference.suggestion = proposed.iter().find_map(other);
    }
    differences
}

/// The differences as they are answered, with how many members hold each status.
pub(super) async fn with_members(api: &ApiState, pair: &Pair, differences: Vec<StatusDifference>) -> Vec<Value> {
    let wanted = |side, name: &str| differences.iter().any(|found| found.side == side && found.status == name);
    let held = Held::count(api, pair, wanted).await;
    let shown = differences.iter().map(|difference| {
        let StatusDifference { side, status, suggestion, .. } = difference;
        json!({"side": side, "status": status, "members": held.of(*side, status), "suggestion": suggestion})
    });
    shown.collect()
}
