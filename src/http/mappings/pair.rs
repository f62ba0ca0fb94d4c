//! A program and a campaign as their vendors show them, read to be compared.
//!
//! Asks the vendors by reading alone. Must not decide what fits.

use crate::connector::{Campaign, CampaignMemberStatus, Channel, Program, Vendor};
use crate::domain::ids::SalesforceId;
use crate::domain::mapping::Policies;
use crate::domain::provision::Wanted;
use crate::domain::status::{NOT_IN_PROGRAM, StatusMap, Steps};
use crate::domain::warning::{self, CampaignSide, ProgramSide, Warning};
use crate::http::ApiState;
use crate::http::refusal::{Answer, Refusal};
use crate::store::mappings::Found;

/// What the two vendors say about a pair.
pub(super) struct Pair {
    pub program: Program,
    pub channel: Channel,
    /// None while it is still to be made.
    pub campaign: Option<Campaign>,
}

impl Pair {
    pub fn statuses(&self) -> &[CampaignMemberStatus] {
        self.campaign.as_ref().map_or(&[], |campaign| &campaign.statuses)
    }

    pub fn program_statuses(&self) -> Vec<&str> {
        let names = self.channel.statuses.iter().map(|status| status.name.as_str());
        names.filter(|name| *name != NOT_IN_PROGRAM).collect()
    }

    pub fn campaign_statuses(&self) -> Vec<&str> {
        self.statuses().iter().map(|status| status.label.as_str()).collect()
    }

    pub fn is_hidden(&self, program_status: &str) -> bool {
        self.channel.statuses.iter().any(|status| status.name == program_status && status.hidden)
    }

    pub fn steps(&self) -> Steps {
        self.channel.statuses.iter().map(|status| (status.name.clone(), status.step)).collect()
    }

    /// Of the statuses that there should be, those that the campaign can be given.
    pub fn lacking(&self, wanted: Vec<Wanted>) -> Vec<Wanted> {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        let lacks = |w: &Wanted| !self.campaign_statuses().iter().any(|label| same(label, &w.label));
        wanted.into_iter().filter(lacks).collect()
    }

    /// The statuses of both, as warnings are made of them.
    fn sides(&self) -> (Vec<ProgramSide<'_>>, Vec<CampaignSide<'_>>) {
        let program = self.channel.statuses.iter();
        let program = program.map(|s| ProgramSide { name: &s.name, success: s.success, hidden: s.hidden });
        let campaign = self.statuses().iter();
        let campaign = campaign.map(|s| CampaignSide { label: &s.label, has_responded: s.has_responded });
        (program.collect(), campaign.collect())
    }

    /// The pairs of which only one side counts as a response.
    pub fn warnings<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Warning> {
        let (program, campaign) = self.sides();
        warning::of_pairs(&program, &campaign, pairs)
    }

    /// What is known of both from here on.
    pub fn found(&self, map: &StatusMap, policies: &Policies) -> Found {
        let (program, campaign) = self.sides();
        let warnings = warning::of_statuses(map, &program, &campaign, policies.direction);
        let labels = self.campaign_statuses().into_iter().map(str::to_owned).collect();
        Found { campaign_statuses: Some(labels), warnings, ..Found::default() }
    }
}

/// A program with its channel.
pub(super) async fn read_program(api: &ApiState, program_id: i64) -> Answer<(Program, Channel)> {
    let Some(program) = api.marketo.program(program_id).await? else {
        let detail = format!("Marketo has no program {program_id}, or our user does not see it");
        return Err(Refusal::new(422, "unknown-program", "Unknown program", detail));
    };
    let channel = channel_of(api, &program).await?;
    Ok((program, channel))
}

async fn channel_of(api: &ApiState, program: &Program) -> Answer<Channel> {
    let detail = || format!("{} does not tell the statuses of the channel {:?}", Vendor::Marketo, program.channel);
    let found = api.marketo.channel(&program.channel).await?;
    found.ok_or_else(|| Refusal::new(502, "vendor-error", "Vendor error", detail()))
}

async fn read_campaign(api: &ApiState, id: &SalesforceId) -> Answer<Campaign> {
    let detail = || format!("Salesforce has no campaign {id}, or our user does not see it");
    let found = api.salesforce.campaigns(std::slice::from_ref(id)).await?.pop();
    found.ok_or_else(|| Refusal::new(422, "unknown-campaign", "Unknown campaign", detail()))
}

/// Both, with the campaign once more for whoever goes on with it.
pub(super) async fn read(api: &ApiState, program_id: i64, campaign_id: &SalesforceId) -> Answer<(Pair, Campaign)> {
    let (program, channel) = read_program(api, program_id).await?;
    let campaign = read_campaign(api, campaign_id).await?;
    Ok((Pair { program, channel, campaign: Some(campaign.clone()) }, campaign))
}

/// The campaign and the channel that belong to a program.
pub(super) async fn pair_of(api: &ApiState, program: Program, campaign_id: &SalesforceId) -> Answer<Pair> {
    let campaign = read_campaign(api, campaign_id).await?;
    let channel = channel_of(api, &program).await?;
    Ok(Pair { program, channel, campaign: Some(campaign) })
}
