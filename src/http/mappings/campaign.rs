//! Campaigns and statuses that are made for a mapping.
//!
//! Everything that can be refused is refused before the first write. A campaign is created under a committed intent, so
//! that a request which is repeated after a crash or a lost answer goes on with the campaign of the first attempt. Must not
//! decide which statuses there have to be.

use std::time::Duration;

use super::compatible::refuse_mapped;
use super::pair::Pair;
use crate::connector::provision::provision;
use crate::connector::{Campaign, ConnectorError, NewCampaign as Draft, Program};
use crate::domain::ids::{ProgramId, SalesforceId};
use crate::domain::one_way::{self, CampaignChange, CampaignFields, Costs};
use crate::domain::provision::{Wanted, unsuitable, wanted};
use crate::domain::status::StatusMap;
use crate::http::ApiState;
use crate::http::refusal::{Answer, Refusal};
use crate::store::campaigns::CampaignIntent;

/// Characters of `Campaign.Name`.
const LONGEST_NAME: usize = 80;
/// How often, and how many times, a request asks whether another one has ended that creates the same.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSES: usize = 60;
/// Clocks differ: campaigns from before the intent are looked at as well.
const SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// A campaign to be created, when nothing speaks against it.
pub(super) struct Plan<'a> {
    pub program: &'a Program,
    pub costs: Costs,
    pub name: String,
    pub wanted: Vec<Wanted>,
}

/// The campaign statuses that a program's statuses become; hidden ones are given to nobody any more.
pub(super) fn wanted_statuses(pair: &Pair, map: Option<&StatusMap>, field: &'static str) -> Answer<Vec<Wanted>> {
    let visible = pair.channel.statuses.iter().filter(|s| !s.hidden).map(|s| (s.name.as_str(), s.step, s.success));
    let found = wanted(visible, |name| map.map_or(Some(name), |map| map.to_salesforce(name)));
    match unsuitable(&found) {
        Some(message) => Err(Refusal::field(field, "unsuitable", format!("{message}; give a status_map"))),
        None => Ok(found),
    }
}

/// The name that a new campaign gets: one that was given is refused when it does not fit, the program's is shortened.
pub(super) fn name_of(given: Option<&str>, program: &Program) -> Answer<String> {
    let refused = |code, message: String| Err(Refusal::field("create_campaign.name", code, message));
    match given.map(str::trim) {
        Some("") => refused("invalid", "must not be empty; leave it out to use the program's name".to_owned()),
        Some(name) if name.chars().count() > LONGEST_NAME => {
            refused("too-long", format!("a campaign's name has at most {LONGEST_NAME} characters"))
        }
        Some(name) => Ok(name.to_owned()),
        None if program.name.chars().count() > LONGEST_NAME => {
            let kept: String = program.name.chars().take(LONGEST_NAME - 1).collect();
            Ok(format!("{}…", kept.trim_end()))
        }
        None => Ok(program.name.clone()),
    }
}

/// Takes up the creation for a program, waiting for another request that is at it: that one may map the program.
pub(super) async fn begin(api: &ApiState, program: ProgramId) -> Answer<CampaignIntent> {
    for _ in 0..PAUSES {
        if let Some(intent) = api.store.begin_campaign(program, api.lease * 2).await? {
            if let Err(refusal) = refuse_mapped(api, program, None).await {
                api.store.leave_campaign(&intent).await?;
                return Err(refusal);
            }
            return Ok(intent);
        }
        refuse_mapped(api, program, None).await?;
        let _ = tokio::time::timeout(PAUSE, std::future::pending::<()>()).await;
    }
    Err(busy())
}

fn busy() -> Refusal {
    let detail = "another request is creating a campaign for this program; ask again";
    Refusal::new(409, "conflict", "Conflict", detail).header(axum::http::header::RETRY_AFTER, "5")
}

/// The campaign with its statuses, created unless an earlier attempt has. The intent is left to others when this fails.
pub(super) async fn create(api: &ApiState, intent: &CampaignIntent, plan: &Plan<'_>) -> Answer<Campaign> {
    let outcome = created(api, intent, plan).await;
    if outcome.is_err() {
        api.store.leave_campaign(intent).await?;
    }
    outcome
}

async fn created(api: &ApiState, intent: &CampaignIntent, plan: &Plan<'_>) -> Answer<Campaign> {
    let id = match earlier(api, intent).await? {
        Some(campaign) => {
            let name = (campaign.name != plan.name).then(|| plan.name.clone());
            let change = CampaignChange { name, ..CampaignChange::default() };
            if !change.is_empty() {
                api.salesforce.update_campaign(&campaign.id, &change).await?;
            }
            campaign.id
        }
        None => new_campaign(api, intent, plan).await?,
    };
    if !api.store.keep_campaign(intent, Some(&id)).await? {
        return Err(busy());
    }
    Ok(provision(&*api.salesforce, &id, &plan.wanted, true).await?)
}

/// The campaign of an earlier attempt, where it was created and is still there.
async fn earlier(api: &ApiState, intent: &CampaignIntent) -> Answer<Option<Campaign>> {
    if !intent.again {
        return Ok(None);
    }
    let id = match &intent.campaign_id {
        Some(id) => Some(id.clone()),
        None => {
            let since = jiff::Timestamp::from_millisecond(intent.started_at).unwrap_or_default() - SKEW;
            let created = api.salesforce.campaigns_created(since).await?;
            created.into_iter().find(|(_, description)| description.contains(&intent.marker)).map(|(id, _)| id)
        }
    };
    let Some(id) = id else { return Ok(None) };
    Ok(api.salesforce.campaigns(std::slice::from_ref(&id)).await?.pop())
}

/// A second campaign of a name would be found by nobody.
pub(super) async fn refuse_taken(api: &ApiState, name: &str) -> Answer<()> {
    let Some(same) = api.salesforce.campaigns_named(name).await?.into_iter().next() else { return Ok(()) };
    let message = format!("Salesforce has a campaign {name:?} already: give its campaign_id {same}, or another name");
    Err(Refusal::field("create_campaign.name", "taken", message))
}

async fn new_campaign(api: &ApiState, intent: &CampaignIntent, plan: &Plan<'_>) -> Answer<SalesforceId> {
    refuse_taken(api, &plan.name).await?;
    let fields = api.salesforce.campaign_fields().await?;
    if !fields.createable {
        let detail =
            "Salesforce does not let our user create campaigns: make it a Marketing User, and grant Create on Campaign";
        return Err(Refusal::new(502, "vendor-error", "Vendor error", detail));
    }
    let draft = draft(intent, plan, &fields);
    if !api.store.keep_campaign(intent, None).await? {
        return Err(busy());
    }
    Ok(api.salesforce.create_campaign(&draft).await?)
}

/// What cannot be written is left out here, and warned of by the first read of the mapping.
fn draft(intent: &CampaignIntent, plan: &Plan<'_>, fields: &CampaignFields) -> Draft {
    let program = plan.program;
    let (kind, _) = one_way::campaign_type(&program.channel, None, fields.campaign_type.as_ref());
    let (cost, _) = one_way::actual_cost(plan.costs, Costs::Unknown, None, fields.actual_cost.as_ref());
    let writable = fields.campaign_type.as_ref().is_some_and(|field| field.updateable);
    Draft {
        name: plan.name.clone(),
        description: format!("Made for the Marketo program {} ({}) by campaign-sync.", program.id, intent.marker),
        campaign_type: writable.then_some(kind),
        actual_cost: cost.flatten(),
    }
}

/// Creates the statuses that a campaign lacks.
pub(super) async fn add_statuses(api: &ApiState, campaign: &SalesforceId, wanted: &[Wanted]) -> Answer<Campaign> {
    match provision(&*api.salesforce, campaign, wanted, false).await {
        Err(ConnectorError::Refused { code, message, .. }) => {
            let detail = format!(
                "Salesforce refuses to add the statuses ({code}: {message}); our user has to be a Marketing User with Edit on Campaign"
            );
            Err(Refusal::new(502, "vendor-error", "Vendor error", detail))
        }
        outcome => Ok(outcome?),
    }
}
