//! Building and changing a subscription as its people do: administrators, marketing users, and the seed file.
//!
//! Owns the definitions of what can be added. Every change of a member goes through the same step rule as in Marketo's own pages.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::campaigns::{SmartCampaign, Webhook};
use super::envelope::Refusal;
use super::people::Field;
use super::programs::{Channel, Cost, Program, Tag, program_type, progression};
use super::rules::{Move, ProgressionStatus};
use super::world::{Cause, World};

/// A channel to add; "Not in Program" comes by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    #[serde(default)]
    pub id: Option<i64>,
    pub name: String,
    /// `program` unless said otherwise.
    #[serde(default)]
    pub applicable_program_type: Option<String>,
    pub statuses: Vec<ProgressionStatus>,
}

/// A program to add.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewProgram {
    pub id: Option<i64>,
    pub name: String,
    /// Name of its channel.
    pub channel: String,
    /// `Default` unless said otherwise.
    pub kind: Option<String>,
    pub description: String,
    pub costs: Vec<Cost>,
    pub tags: Vec<Tag>,
    pub sfdc_id: Option<String>,
    pub sfdc_name: Option<String>,
    pub my_tokens: BTreeMap<String, Value>,
}

/// A person to add.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NewPerson {
    pub id: Option<i64>,
    /// Fields by REST name; `sfdcLeadId` and its like may be set here.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Value>,
}

/// A member to add: person by id or by e-mail, program by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    pub program: String,
    #[serde(default)]
    pub lead_id: Option<i64>,
    #[serde(default)]
    pub email: Option<String>,
    pub status: String,
}

/// The Marketo part of a seed file; lists are loaded in this order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub fields: Vec<Field>,
    /// Program member custom fields.
    pub member_fields: Vec<Field>,
    pub channels: Vec<NewChannel>,
    pub programs: Vec<NewProgram>,
    pub people: Vec<NewPerson>,
    pub webhooks: Vec<Webhook>,
    pub campaigns: Vec<SmartCampaign>,
    pub members: Vec<NewMember>,
}

impl World {
    /// Loads a seed. Smart campaigns come after the members, so that nothing fires for a world that is only being set up.
    pub fn load(&mut self, seed: Seed) -> Result<(), Refusal> {
        seed.fields.into_iter().for_each(|field| self.people.add_field(field));
        for field in seed.member_fields {
            self.add_member_field(field)?;
        }
        seed.channels.into_iter().for_each(|channel| {
            self.add_channel(channel);
        });
        for program in seed.programs {
            self.add_program(program)?;
        }
        for person in seed.people {
            self.add_person(person);
        }
        for member in seed.members {
            let program = self.program_named(&member.program)?;
            let lead = match (member.lead_id, &member.email) {
                (Some(id), _) => Some(id),
                (None, Some(email)) => self.people.find("email", email).first().copied(),
                (None, None) => None,
            };
            let lead = lead.ok_or_else(|| Refusal::new(1004, format!("Lead not found: {:?}", member.email)))?;
            self.set_status(program, lead, &member.status)?;
        }
        seed.webhooks.into_iter().for_each(|webhook| self.add_webhook(webhook));
        for campaign in seed.campaigns {
            self.add_campaign(campaign);
        }
        Ok(())
    }

    /// Adds a channel and gives its id.
    pub fn add_channel(&mut self, new: NewChannel) -> i64 {
        let (id, now) = (self.asset_id(new.id), self.now());
        let channel = Channel {
            id,
            name: new.name,
            applicable_program_type: new.applicable_program_type.unwrap_or_else(|| "program".into()),
            statuses: progression(new.statuses, id),
            created_at: now,
            updated_at: now,
        };
        self.channels.insert(id, channel);
        id
    }

    /// Gives a channel other statuses. Members keep the names that they have.
    pub fn set_channel_statuses(&mut self, id: i64, statuses: Vec<ProgressionStatus>) -> Result<(), Refusal> {
        let now = self.now();
        let channel = self.channels.get_mut(&id).ok_or_else(|| Refusal::new(702, "Channel not found"))?;
        channel.statuses = progression(statuses, id);
        channel.updated_at = now;
        Ok(())
    }

    /// Renames a status of a channel. Members keep the old name.
    pub fn rename_status(&mut self, channel_id: i64, from: &str, to: &str) -> Result<(), Refusal> {
        let now = self.now();
        let channel = self.channels.get_mut(&channel_id).ok_or_else(|| Refusal::new(702, "Channel not found"))?;
        let status = channel.statuses.iter_mut().find(|status| status.name == from && status.step != 0);
        to.clone_into(&mut status.ok_or_else(|| Refusal::new(1025, "Program status not found"))?.name);
        channel.updated_at = now;
        Ok(())
    }

    /// Adds a program and gives its id.
    pub fn add_program(&mut self, new: NewProgram) -> Result<i64, Refusal> {
        let channel = self.channels.values().find(|channel| channel.name == new.channel);
        let channel_id = channel.map(|channel| channel.id).ok_or_else(|| Refusal::new(709, "Channel not found"))?;
        let kind = program_type(new.kind.as_deref().unwrap_or("Default"))?;
        let (id, now) = (self.asset_id(new.id), self.now());
        let program = Program {
            id,
            name: new.name,
            description: new.description,
            kind: kind.into(),
            channel_id,
            folder_id: 1,
            workspace: "Default".into(),
            costs: new.costs,
            tags: new.tags,
            approved: false,
            sfdc_id: new.sfdc_id,
            sfdc_name: new.sfdc_name,
            my_tokens: new.my_tokens,
            created_at: now,
            updated_at: now,
        };
        self.programs.insert(id, program);
        Ok(id)
    }

    /// The id of a program by its name.
    pub fn program_named(&self, name: &str) -> Result<i64, Refusal> {
        let found = self.programs.values().find(|program| program.name == name);
        found.map(|program| program.id).ok_or_else(|| Refusal::new(702, format!("Program '{name}' not found")))
    }

    /// Adds a period cost.
    pub fn add_cost(&mut self, program_id: i64, cost: Cost) -> Result<(), Refusal> {
        self.program(program_id)?;
        self.put_costs(program_id, vec![cost], false);
        Ok(())
    }

    /// Deletes a program; its members go without an activity, and its smart campaigns with it.
    pub fn delete_program(&mut self, id: i64) {
        self.programs.remove(&id);
        self.memberships.remove_program(id);
        self.campaigns.retain(|_, campaign| campaign.program_id != Some(id));
    }

    /// Adds a person and gives the id.
    pub fn add_person(&mut self, new: NewPerson) -> i64 {
        self.create_person(new.id, new.fields, Cause::User)
    }

    /// A marketing user edits a person.
    pub fn edit_person(&mut self, id: i64, fields: BTreeMap<String, Value>) -> Result<(), Refusal> {
        self.people.get(id).ok_or_else(|| Refusal::new(1004, "Lead not found"))?;
        self.update_person(id, fields, Cause::User);
        Ok(())
    }

    /// A marketing user deletes a person, with the flow that calls a webhook first if there is one.
    pub fn delete_person(&mut self, id: i64) -> Result<(), Refusal> {
        self.people.get(id).ok_or_else(|| Refusal::new(1004, "Lead not found"))?;
        self.fire_person_deleted(id);
        self.remove_person(id)
    }

    /// A marketing user takes a member out ("Not in Program").
    pub fn leave_program(&mut self, program_id: i64, lead_id: i64) -> Result<(), Refusal> {
        self.remove_member(program_id, lead_id, Cause::User)
    }

    /// The name of a member's status.
    #[must_use]
    pub fn status_of(&self, program_id: i64, lead_id: i64) -> Option<&str> {
        self.memberships.get(program_id, lead_id).map(|member| member.status.as_str())
    }

    /// Adds a webhook, or replaces the one of that name.
    pub fn add_webhook(&mut self, webhook: Webhook) {
        self.webhooks.insert(webhook.name.clone(), webhook);
    }

    /// Adds a smart campaign and gives its id; one with a known id is replaced.
    pub fn add_campaign(&mut self, mut campaign: SmartCampaign) -> i64 {
        campaign.id = self.asset_id(Some(campaign.id).filter(|id| *id > 0));
        let id = campaign.id;
        self.campaigns.insert(id, campaign);
        id
    }

    /// Sets a status for many people, and gives how many were created, updated and skipped.
    pub fn set_status_of_all(&mut self, program_id: i64, leads: &[i64], status: &str) -> Result<[usize; 3], Refusal> {
        let mut counts = [0; 3];
        for lead in leads {
            let at = match self.set_status(program_id, *lead, status)? {
                Move::Created => 0,
                Move::Updated => 1,
                Move::Same | Move::Past => 2,
            };
            counts[at] += 1;
        }
        Ok(counts)
    }
}
