//! The state of one Marketo subscription, and what a marketing user does in it.
//!
//! Owns channels, programs, members and the consequences of every change of them: the activity row, the smart campaigns that
//! fire. The API and the control calls both end here, so that an API write has the same echoes as a user's. Must not know HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::campaigns::{SmartCampaign, Webhook};
use super::envelope::Refusal;
use super::exports::Exports;
use super::identity::{Identity, Service};
use super::limits::Limits;
use super::log::{Activity, Log, kind};
use super::memberships::{Member, Memberships};
use super::options::Options;
use super::people::{Field, People};
use super::police::Police;
use super::programs::{Channel, Program};
use super::rules::{self, Move, NOT_IN_PROGRAM, ProgressionStatus};
use super::webhooks::{Delivery, Outgoing};
use crate::sandbox::marketo::Now;

/// Everything that a subscription holds.
pub struct World {
    /// Switches.
    pub options: Options,
    /// Channels by id.
    pub channels: BTreeMap<i64, Channel>,
    /// Programs by id.
    pub programs: BTreeMap<i64, Program>,
    /// The Lead Database.
    pub people: People,
    /// Who is in which program.
    pub memberships: Memberships,
    /// The activity log.
    pub log: Log,
    /// Smart campaigns by id.
    pub campaigns: BTreeMap<i64, SmartCampaign>,
    /// Webhooks by name.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Who may call.
    pub identity: Identity,
    /// What was used of the limits.
    pub limits: Limits,
    /// What clients did.
    pub police: Police,
    /// Webhook calls that wait to be sent.
    pub outgoing: VecDeque<Outgoing>,
    /// Calls that left the line and have not come to an end.
    pub on_the_way: usize,
    /// The last webhook calls and what became of them.
    pub deliveries: VecDeque<Delivery>,
    /// Leads that `trigger.json` sent through a smart campaign, with the tokens that were passed.
    pub requests: Vec<CampaignRequest>,
    /// Batch campaigns that `schedule.json` has put on the calendar.
    pub schedules: Vec<Schedule>,
    /// Export jobs.
    pub exports: Exports,
    /// Program member custom fields, at most 20.
    pub member_fields: Vec<Field>,
    /// When the subscription began.
    pub started: Timestamp,
    /// Rings when `outgoing` grew.
    pub(super) wake: Arc<Notify>,
    /// Base of links to this subscription.
    pub base_url: String,
    now: Now,
    pub(super) next_asset_id: i64,
}

/// One call of `trigger.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CampaignRequest {
    pub campaign_id: i64,
    pub lead_ids: Vec<i64>,
    pub tokens: Vec<(String, String)>,
    pub at: Timestamp,
}

/// One call of `schedule.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    pub campaign_id: i64,
    pub run_at: Timestamp,
    pub tokens: Vec<(String, String)>,
}

/// Who caused a change: decides what the log says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A marketing user or a smart campaign.
    User,
    /// A call of the REST API.
    Api,
}

impl World {
    /// An empty subscription with one custom service.
    pub(super) fn new(options: Options, now: Now) -> Self {
        let mut identity = Identity::default();
        identity.add(Service::new(&options.client_id, &options.client_secret, &options.api_user));
        let started = now();
        Self {
            options,
            channels: BTreeMap::new(),
            programs: BTreeMap::new(),
            people: People::default(),
            memberships: Memberships::default(),
            log: Log::default(),
            campaigns: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            identity,
            limits: Limits::default(),
            police: Police::default(),
            outgoing: VecDeque::new(),
            on_the_way: 0,
            deliveries: VecDeque::new(),
            requests: Vec::new(),
            schedules: Vec::new(),
            exports: Exports::default(),
            member_fields: Vec::new(),
            started,
            wake: Arc::new(Notify::new()),
            base_url: String::new(),
            now,
            next_asset_id: 1001,
        }
    }

    /// The sandbox's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// How many people, memberships and rows of the log were looked at so far.
    #[must_use]
    pub fn visited(&self) -> u64 {
        self.people.visited() + self.memberships.visited() + self.log.visited()
    }

    /// An id for a new asset; a wished-for one is taken as it is.
    pub(super) fn asset_id(&mut self, wish: Option<i64>) -> i64 {
        let id = wish.unwrap_or(self.next_asset_id);
        self.next_asset_id = self.next_asset_id.max(id + 1);
        id
    }

    /// A program, or 1013.
    pub fn program(&self, id: i64) -> Result<&Program, Refusal> {
        self.programs.get(&id).ok_or_else(|| Refusal::new(1013, format!("Program with id {id} not found")))
    }

    /// The statuses of a program's channel, "Not in Program" first.
    pub fn statuses(&self, program_id: i64) -> Result<&[ProgressionStatus], Refusal> {
        let channel = self.program(program_id)?.channel_id;
        Ok(self.channels.get(&channel).map_or(&[], |channel| channel.statuses.as_slice()))
    }

    /// Members of a program in order of lead id.
    pub fn members(&self, program_id: i64) -> Vec<(i64, String)> {
        self.memberships.of_program(program_id, 0).map(|member| (member.lead_id, member.status.clone())).collect()
    }

    /// A marketing user changes a program status: the step rule holds, and "Not in Program" removes.
    pub fn set_status(&mut self, program_id: i64, lead_id: i64, status: &str) -> Result<Move, Refusal> {
        if status == NOT_IN_PROGRAM {
            return self.remove_member(program_id, lead_id, Cause::User).map(|()| Move::Updated);
        }
        self.change_status(program_id, lead_id, status, Cause::User)
    }

    /// Changes a program status, with its activity and its smart campaigns.
    pub(super) fn change_status(
        &mut self,
        program_id: i64,
        lead_id: i64,
        status: &str,
        cause: Cause,
    ) -> Result<Move, Refusal> {
        self.program(program_id)?;
        if self.people.get(lead_id).is_none() {
            return Err(Refusal::new(1004, "Lead not found"));
        }
        let statuses = self.statuses(program_id)?;
        let old = self.memberships.get(program_id, lead_id).cloned();
        let current = old.as_ref().map(|member| (member.status.as_str(), member.step));
        let outcome =
            rules::change(statuses, current, status).ok_or_else(|| Refusal::new(1025, "Program status not found"))?;
        let target = statuses.iter().find(|known| known.name == status).cloned();
        let Some(target) = target else { return Ok(outcome) };
        match outcome {
            Move::Past => {}
            Move::Same => {
                if cause == Cause::User && self.options.no_op_changes_are_logged {
                    self.log_status(program_id, lead_id, old.as_ref(), Some(&target), false);
                }
            }
            Move::Created | Move::Updated => {
                let now = self.now();
                let reached_now = self.memberships.put(program_id, lead_id, &target, now);
                self.log_status(program_id, lead_id, old.as_ref(), Some(&target), reached_now);
                self.fire_status(program_id, lead_id, status);
            }
        }
        Ok(outcome)
    }

    /// Takes a member out: membership date and success are lost for good. Nothing when the person is not a member.
    pub(super) fn remove_member(&mut self, program_id: i64, lead_id: i64, cause: Cause) -> Result<(), Refusal> {
        self.program(program_id)?;
        let Some(old) = self.memberships.remove(program_id, lead_id) else {
            return Err(Refusal::new(1037, "Lead not in program"));
        };
        if cause == Cause::User || self.options.removal_is_logged {
            self.log_status(program_id, lead_id, Some(&old), None, false);
        }
        self.fire_removal(program_id, lead_id);
        Ok(())
    }

    fn log_status(
        &mut self,
        program_id: i64,
        lead_id: i64,
        old: Option<&Member>,
        new: Option<&ProgressionStatus>,
        reached_now: bool,
    ) {
        let Some(program) = self.programs.get(&program_id) else { return };
        let statuses = self.channels.get(&program.channel_id).map_or(&[][..], |channel| &channel.statuses);
        let id_of = |name: &str| {
            statuses.iter().find(|status| status.name == name).map_or(Value::Null, |status| status.id.into())
        };
        let old_name = old.map_or(NOT_IN_PROGRAM, |member| member.status.as_str());
        let new_name = new.map_or(NOT_IN_PROGRAM, |status| status.name.as_str());
        let member = self.memberships.get(program_id, lead_id).or(old);
        let attributes = vec![
            ("Program Member ID", member.map_or(Value::Null, |member| member.member_id.into())),
            ("Acquired By", member.is_some_and(|member| member.acquired_by).into()),
            ("Old Status", old_name.into()),
            ("New Status ID", id_of(new_name)),
            ("Success", reached_now.into()),
            ("New Status", new_name.into()),
            ("Old Status ID", id_of(old_name)),
        ];
        let name = program.name.clone();
        self.record(kind::CHANGE_STATUS_IN_PROGRESSION, lead_id, Some(program_id), name, attributes);
    }

    /// Appends to the activity log.
    pub(super) fn record(
        &mut self,
        kind: i64,
        lead_id: i64,
        primary_id: Option<i64>,
        primary: String,
        attributes: Vec<(&'static str, Value)>,
    ) {
        let date = self.now();
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value)).collect();
        self.log.append(Activity { id: 0, date, kind, lead_id, campaign_id: None, primary_id, primary, attributes });
    }
}
