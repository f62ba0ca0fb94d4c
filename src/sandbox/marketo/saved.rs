//! The whole subscription as one JSON value, to be kept and loaded again.
//!
//! Owns what belongs to it: everything that a later call can tell apart, down to tokens, cursors and what was used of the limits. Not
//! the misuse counted, and not webhook calls on their way: those are of the process, not of the subscription.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::campaigns::{SmartCampaign, Webhook};
use super::envelope::Refusal;
use super::exports::Exports;
use super::identity::Identity;
use super::limits::Limits;
use super::log::Log;
use super::memberships::Memberships;
use super::options::Options;
use super::people::{Field, People};
use super::programs::{Channel, Program};
use super::world::{CampaignRequest, Schedule, World};

/// Everything, in the order in which it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    options: Options,
    channels: BTreeMap<i64, Channel>,
    programs: BTreeMap<i64, Program>,
    people: People,
    memberships: Memberships,
    log: Log,
    campaigns: BTreeMap<i64, SmartCampaign>,
    webhooks: BTreeMap<String, Webhook>,
    identity: Identity,
    limits: Limits,
    requests: Vec<CampaignRequest>,
    schedules: Vec<Schedule>,
    exports: Exports,
    member_fields: Vec<Field>,
    started: Timestamp,
    next_asset_id: i64,
}

impl World {
    /// The subscription as it is now.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            options: self.options.clone(),
            channels: self.channels.clone(),
            programs: self.programs.clone(),
            people: self.people.clone(),
            memberships: self.memberships.clone(),
            log: self.log.clone(),
            campaigns: self.campaigns.clone(),
            webhooks: self.webhooks.clone(),
            identity: self.identity.clone(),
            limits: self.limits.clone(),
            requests: self.requests.clone(),
            schedules: self.schedules.clone(),
            exports: self.exports.clone(),
            member_fields: self.member_fields.clone(),
            started: self.started,
            next_asset_id: self.next_asset_id,
        }
    }

    /// Puts a saved subscription in the place of this one. Calls to webhooks that wait are given up.
    pub fn restore(&mut self, saved: Saved) {
        self.outgoing.clear();
        self.options = saved.options;
        self.channels = saved.channels;
        self.programs = saved.programs;
        self.people = saved.people;
        self.memberships = saved.memberships;
        self.log = saved.log;
        self.campaigns = saved.campaigns;
        self.webhooks = saved.webhooks;
        self.identity = saved.identity;
        self.limits = saved.limits;
        self.requests = saved.requests;
        self.schedules = saved.schedules;
        self.exports = saved.exports;
        self.member_fields = saved.member_fields;
        self.started = saved.started;
        self.next_asset_id = saved.next_asset_id;
    }

    /// The same from JSON, or 1003 with what is wrong with it.
    pub fn restore_json(&mut self, saved: Value) -> Result<(), Refusal> {
        let saved = serde_json::from_value(saved).map_err(|error| Refusal::invalid(error.to_string()))?;
        self.restore(saved);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::*;
    use crate::sandbox::clock::Clock;

    #[test]
    fn what_was_saved_is_what_is_loaded() {
        let clock = Clock::default();
        let seed: Seed = serde_json::from_value(json!({
            "fields": [{"name": "erpId", "display": "ERP Id", "kind": "string", "searchable": true}],
            "channels": [{"name": "C", "statuses": [{"name": "Invited", "step": 10}, {"name": "Attended", "step": 20, "success": true}]}],
            "programs": [{"name": "P", "channel": "C", "costs": [{"startDate": "2015-01-01", "cost": 7}]}],
            "people": [{"id": 1, "email": "A@b.c", "erpId": "E1"}, {"id": 2}],
            "members": [{"program": "P", "lead_id": 1, "status": "Attended"}],
            "campaigns": [{"name": "requested", "trigger": {"on": "requested"}}],
        }))
        .unwrap();
        let one = Marketo::new(Options::default(), clock.reader());
        let (text, state) = one.with(|world| {
            world.load(seed).unwrap();
            (serde_json::to_string(&world.save()).unwrap(), world.as_json())
        });
        let other = Marketo::new(Options { seed: 9, ..Options::default() }, clock.reader());
        other.with(|world| {
            world.restore_json(serde_json::from_str(&text).unwrap()).unwrap();
            let without_time = |mut state: serde_json::Value| {
                state["now"] = serde_json::Value::Null;
                state
            };
            assert_eq!(without_time(world.as_json()), without_time(state));
            assert_eq!(serde_json::to_string(&world.save()).unwrap(), text);
            // What is found by an index is found again, and numbers go on.
            assert_eq!((world.people.find("erpId", "E1"), world.people.find("email", "a@B.c")), (vec![1], vec![1]));
            assert_eq!(world.add_person(NewPerson::default()), 3.max(one.with(|world| world.people.next_id())));
            let wrong = world.restore_json(json!({"options": {}})).unwrap_err();
            assert!(wrong.message.contains("missing field"), "{}", wrong.message);
        });
    }
}
