//! Smart campaigns: what fires them, the Call Webhook step in their flow, and `trigger.json`.
//!
//! Owns their definitions and which change sets off which. A trigger fires whoever caused the change, the API included. A call to
//! a webhook is rendered at the moment of the change and put in line; sending is the webhook sender's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Call, record_id, within};
use super::envelope::{Answer, Refusal, query_date};
use super::log::kind;
use super::template::{Encoding, Scope, render};
use super::webhooks::Outgoing;
use super::world::{CampaignRequest, Schedule, World};

/// Leads and tokens in one call of `trigger.json`.
const MOST_LEADS: usize = 100;

/// What sets a trigger campaign off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum Trigger {
    /// "Program Status is Changed", to any status or to one.
    StatusChanged {
        #[serde(default)]
        new_status: Option<String>,
    },
    /// The same with the new status "Not in Program". UNVERIFIED that it can be chosen.
    Removed,
    /// A flow that calls the webhook and then deletes the person. Marketo has no such trigger, so deletions and merges through
    /// the API stay unheard.
    PersonDeleted,
    /// "Campaign is Requested", source Web Service API.
    Requested,
}

/// A smart campaign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmartCampaign {
    #[serde(default)]
    pub id: i64,
    pub name: String,
    /// The program it lives in: the only one that it listens to, and the source of `{{program.id}}`.
    #[serde(default)]
    pub program_id: Option<i64>,
    /// None for a batch campaign.
    #[serde(default)]
    pub trigger: Option<Trigger>,
    #[serde(default = "yes")]
    pub active: bool,
    /// Name of the webhook that its flow calls.
    #[serde(default)]
    pub webhook: Option<String>,
}

fn yes() -> bool {
    true
}

/// A webhook as Admin defines it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Webhook {
    pub name: String,
    /// May contain tokens.
    pub url: String,
    #[serde(default = "post")]
    pub method: String,
    #[serde(default)]
    pub template: String,
    /// How token values are encoded in the template.
    #[serde(default)]
    pub encoding: Encoding,
    /// Custom headers; values may contain tokens.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn post() -> String {
    "POST".into()
}

impl World {
    /// Fires "Program Status is Changed".
    pub(super) fn fire_status(&mut self, program_id: i64, lead_id: i64, status: &str) {
        let hit = |trigger: &Trigger| match trigger {
            Trigger::StatusChanged { new_status } => new_status.as_deref().is_none_or(|wanted| wanted == status),
            _ => false,
        };
        self.fire(Some(program_id), lead_id, &hit);
    }

    /// Fires what listens to removals.
    pub(super) fn fire_removal(&mut self, program_id: i64, lead_id: i64) {
        let any = self.options.any_status_includes_removal;
        let hit = |trigger: &Trigger| match trigger {
            Trigger::Removed => true,
            Trigger::StatusChanged { new_status: None } => any,
            _ => false,
        };
        self.fire(Some(program_id), lead_id, &hit);
    }

    /// Runs the flows that end in Delete Person, before the person goes.
    pub(super) fn fire_person_deleted(&mut self, lead_id: i64) {
        self.fire(None, lead_id, &|trigger| *trigger == Trigger::PersonDeleted);
    }

    fn fire(&mut self, program_id: Option<i64>, lead_id: i64, hit: &dyn Fn(&Trigger) -> bool) {
        let listens = |campaign: &&SmartCampaign| {
            campaign.active
                && campaign.trigger.as_ref().is_some_and(hit)
                && (program_id.is_none() || campaign.program_id.is_none() || campaign.program_id == program_id)
        };
        let ids: Vec<i64> = self.campaigns.values().filter(listens).map(|campaign| campaign.id).collect();
        for id in ids {
            self.call_webhook(id, lead_id, &[]);
        }
    }

    /// One Call Webhook step for one person.
    fn call_webhook(&mut self, campaign_id: i64, lead_id: i64, passed: &[(String, String)]) {
        let Some(campaign) = self.campaigns.get(&campaign_id) else { return };
        let Some(webhook) = campaign.webhook.as_ref().and_then(|name| self.webhooks.get(name)) else { return };
        if campaign.trigger.is_none() {
            let name = webhook.name.clone();
            let attributes = vec![("Error Type", "1000".into()), ("Response", "Webhook in a batch campaign".into())];
            return self.record(kind::CALL_WEBHOOK, lead_id, None, name, attributes);
        }
        let program = campaign.program_id.and_then(|id| self.programs.get(&id));
        let scope = Scope {
            people: &self.people,
            lead_id,
            program,
            member: program.and_then(|program| self.memberships.get(program.id, lead_id)),
            member_fields: &self.member_fields,
            campaign,
            passed,
            now: self.now(),
            time_zone: &self.options.time_zone,
        };
        let outgoing = Outgoing {
            webhook: webhook.name.clone(),
            campaign_id,
            lead_id,
            method: webhook.method.clone(),
            url: render(&webhook.url, Encoding::None, &scope),
            headers: webhook
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), render(value, Encoding::None, &scope)))
                .collect(),
            body: render(&webhook.template, webhook.encoding, &scope),
        };
        self.outgoing.push_back(outgoing);
        self.wake.notify_one();
    }

    /// Runs a batch campaign over people, where Call Webhook fails with error 1000.
    pub fn run_batch(&mut self, campaign_id: i64, lead_ids: &[i64]) {
        for lead_id in lead_ids {
            self.call_webhook(campaign_id, *lead_id, &[]);
        }
    }
}

/// `POST campaigns/{id}/trigger.json`
pub fn trigger(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let campaign_id = call.id();
    let campaign = world.campaigns.get(&campaign_id).ok_or_else(|| Refusal::new(1013, "Campaign not found"))?;
    if campaign.trigger != Some(Trigger::Requested) {
        return Err(Refusal::invalid("Trigger campaign with the trigger 'Campaign is Requested' is required"));
    }
    if !campaign.active {
        return Err(Refusal::invalid("The campaign is not active"));
    }
    let input = call.body.get("input").ok_or_else(|| Refusal::missing("input"))?;
    let leads = input.get("leads").and_then(Value::as_array).ok_or_else(|| Refusal::missing("leads"))?;
    within(world, leads.len(), MOST_LEADS, "leads")?;
    let lead_ids: Vec<i64> = leads.iter().map(|lead| record_id(lead, "id")).collect::<Result<_, _>>()?;
    if lead_ids.is_empty() {
        return Err(Refusal::missing("leads"));
    }
    if let Some(unknown) = lead_ids.iter().find(|id| world.people.get(**id).is_none()) {
        return Err(Refusal::new(1004, format!("Lead '{unknown}' not found")));
    }
    let tokens = tokens_of(world, input)?;
    let at = world.now();
    for lead_id in &lead_ids {
        let attributes = vec![("Source", "Web service API".into())];
        world.record(kind::REQUEST_CAMPAIGN, *lead_id, Some(campaign_id), String::new(), attributes);
        world.call_webhook(campaign_id, *lead_id, &tokens);
    }
    world.requests.push(CampaignRequest { campaign_id, lead_ids, tokens, at });
    Ok(Answer::Records(vec![json!({"id": campaign_id})]))
}

/// `POST campaigns/{id}/schedule.json`: a batch campaign, at once or later. Its people are those of a smart list, which is not
/// emulated: a schedule is kept, and nobody runs through it. `cloneToProgramName` is not emulated either.
pub fn schedule(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let campaign_id = call.id();
    let campaign = world.campaigns.get(&campaign_id).ok_or_else(|| Refusal::new(1013, "Campaign not found"))?;
    if campaign.trigger.is_some() {
        return Err(Refusal::invalid("Only batch campaigns can be scheduled"));
    }
    let input = call.body.get("input").cloned().unwrap_or_default();
    let now = world.now();
    let run_at = match input.get("runAt").and_then(Value::as_str) {
        None => now,
        Some(text) => query_date(text).ok_or_else(|| Refusal::invalid_value(text, "Datetime"))?,
    };
    if run_at < now {
        return Err(Refusal::new(1042, "Invalid runAt date"));
    }
    if input.get("cloneToProgramName").is_some() {
        return Err(Refusal::invalid("cloneToProgramName is not emulated"));
    }
    let tokens = tokens_of(world, &input)?;
    world.schedules.push(Schedule { campaign_id, run_at, tokens });
    Ok(Answer::Records(vec![json!({"id": campaign_id})]))
}

fn tokens_of(world: &mut World, input: &Value) -> Result<Vec<(String, String)>, Refusal> {
    let tokens = input.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    within(world, tokens.len(), MOST_LEADS, "tokens")?;
    tokens
        .iter()
        .map(|token| match (token["name"].as_str(), token["value"].as_str()) {
            (Some(name), Some(value)) if name.starts_with("{{my.") && name.ends_with("}}") => {
                Ok((name.into(), value.into()))
            }
            _ => Err(Refusal::invalid("A token needs a name like {{my.name}} and a value")),
        })
        .collect()
}
