//! Whether both sides hold the same: each member of the program against each member of the campaign.
//!
//! Looks at the emulators alone. Who is who is told by the ids that Marketo keeps, followed through conversions and merges;
//! then by address and name; then by either, where it points to one only. The service is asked for one thing: its reasons
//! for what it leaves different.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::domain::catalogue::{self, Subject};
use crate::domain::merge::Reason;
use crate::domain::trigger::Seen;
use crate::sandbox::Emulators;
use crate::sandbox::marketo::Person;
use crate::sandbox::salesforce::{Id, World};
use crate::store::members::{Member, MemberFilter};

use super::service::Service;
use super::world::Scene;

/// States in which the service leaves a difference and says why.
const EXPLAINED: [&str; 2] = ["parked", "diverged"];

/// Somebody on one side.
#[derive(Clone, Debug)]
struct Held {
    /// Marketo's id, or Salesforce's id of the lead or contact as it is now.
    id: String,
    /// In Salesforce, as far as that side knows.
    record: Option<Id>,
    email: String,
    name: String,
    status: String,
}

/// What the two do not agree on.
#[derive(Clone, Debug)]
pub struct Difference {
    who: String,
    marketo: Option<Held>,
    salesforce: Option<Held>,
    /// State and reason that the service gives.
    pub reason: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |held: &Option<Held>| {
            held.as_ref().map_or_else(|| "not a member".to_owned(), |held| format!("{} ({})", held.status, held.id))
        };
        write!(f, "{}: Marketo {}, Salesforce {}", self.who, side(&self.marketo), side(&self.salesforce))?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// Both sides side by side.
#[derive(Debug)]
pub struct Comparison {
    pub marketo: usize,
    pub salesforce: usize,
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether all that differs is accounted for.
    pub fn is_equal(&self) -> bool {
        self.differences.iter().all(|difference| difference.reason.is_some())
    }
}

/// Compares the program with the campaign.
pub async fn compare(emulators: &Emulators, scene: &Scene, service: &Service) -> anyhow::Result<Comparison> {
    let campaign = emulators.salesforce.with(|world| members_of_campaign(world, scene.campaign));
    let resolve = |id: Id| emulators.salesforce.with(|world| as_it_is_now(world, id));
    let program: Vec<Held> = emulators.marketo.with(|world| {
        let members = world.members(scene.program).into_iter();
        members.filter_map(|(id, status)| Some(held_in_program(world.people.get(id)?, status, resolve))).collect()
    });
    let (marketo, salesforce) = (program.len(), campaign.len());
    let reasons = reasons(service, scene).await?;
    let mut differences = differences(program, campaign);
    for difference in &mut differences {
        difference.reason = explanation(difference, &reasons);
    }
    Ok(Comparison { marketo, salesforce, differences })
}

/// Follows merges and conversions.
fn as_it_is_now(world: &World, mut id: Id) -> Id {
    // A chain is short; a circle must end.
    for _ in 0..10 {
        let next =
            world.row(id).and_then(|row| row.id_of("MasterRecordId").or_else(|| row.id_of("ConvertedContactId")));
        match next {
            Some(next) => id = next,
            None => break,
        }
    }
    id
}

fn held_in_program(person: &Person, status: String, resolve: impl Fn(Id) -> Id) -> Held {
    let text = |field| person.get(field).as_str().unwrap_or_default().to_owned();
    let known_as = ["sfdcContactId", "sfdcLeadId"].into_iter().find_map(|field| Id::parse(&text(field)));
    Held {
        id: person.id.to_string(),
        record: known_as.map(resolve),
        email: person.email().to_lowercase(),
        name: person.full_name(),
        status,
    }
}

fn members_of_campaign(world: &World, campaign: Id) -> Vec<Held> {
    let held = |member: crate::sandbox::salesforce::Member| {
        let person = as_it_is_now(world, member.contact.or(member.lead)?);
        let row = world.row(person)?;
        Some(Held {
            id: person.to_string(),
            record: Some(person),
            email: row.text_of("Email").to_lowercase(),
            name: format!("{} {}", row.text_of("FirstName"), row.text_of("LastName")),
            status: member.status,
        })
    };
    world.members(campaign).into_iter().filter_map(held).collect()
}

/// Why the service leaves somebody as they are on one side.
#[derive(Clone, Debug)]
struct Why {
    /// What it has read there.
    status: Option<String>,
    state: String,
    reason: String,
}

/// The reason for a difference, if it is one: everybody in it is held by the service, as they are now, for a reason that the
/// error catalogue knows and that goes with the state.
fn explanation(difference: &Difference, reasons: &HashMap<String, Why>) -> Option<String> {
    let mut told = None;
    for held in [&difference.marketo, &difference.salesforce].into_iter().flatten() {
        let why = reasons.get(&held.id).filter(|why| why.status.as_ref() == Some(&held.status))?;
        let reason = why.reason.parse::<Reason>().ok().filter(|reason| reason.state().as_str() == why.state)?;
        catalogue::find(Subject::Member, reason.as_str())?;
        told.get_or_insert_with(|| format!("{}, {reason}", why.state));
    }
    told
}

/// By the id of either side.
async fn reasons(service: &Service, scene: &Scene) -> anyhow::Result<HashMap<String, Why>> {
    let mut reasons = HashMap::new();
    for state in EXPLAINED {
        let (campaign_id, sync_state) = (scene.campaign.to_string(), Some(state.to_owned()));
        let filter = MemberFilter { campaign_id, sync_state, ..MemberFilter::default() };
        let mut after = String::new();
        loop {
            let page = service.store.list_members(&filter, &after, 500).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for Member { person, reason, marketo, salesforce, .. } in page {
                let Some(reason) = reason else { continue };
                let why = |seen: &Seen| Why {
                    status: match seen {
                        Seen::Status(status) => Some(status.clone()),
                        Seen::Absent | Seen::Unknown => None,
                    },
                    state: state.to_owned(),
                    reason: reason.clone(),
                };
                reasons.extend(person.marketo_id.map(|id| (id.to_string(), why(&marketo))));
                reasons.extend(person.salesforce_id.map(|id| (id.to_string(), why(&salesforce))));
            }
        }
    }
    Ok(reasons)
}

fn differences(program: Vec<Held>, campaign: Vec<Held>) -> Vec<Difference> {
    let keys: [fn(&Held) -> Option<String>; 4] = [
        |held| held.record.map(|id| id.to_string()),
        |held| (!held.email.is_empty()).then(|| format!("{} {}", held.email, held.name)),
        |held| (!held.email.is_empty()).then(|| held.email.clone()),
        |held| (held.name.trim() != "").then(|| held.name.clone()),
    ];
    let (mut program, mut campaign, mut found) = (program, campaign, Vec::new());
    for key in keys {
        let (here, there) = (only(&program, key), only(&campaign, key));
        let shared: HashSet<&String> = here.keys().filter(|key| there.contains_key(*key)).collect();
        for key in &shared {
            let (marketo, salesforce) = (&here[*key], &there[*key]);
            if marketo.status != salesforce.status {
                found.push(difference(Some(marketo.clone()), Some(salesforce.clone())));
            }
        }
        let rest = |held: &Held| key(held).is_none_or(|key| !shared.contains(&key));
        program.retain(rest);
        campaign.retain(rest);
    }
    found.extend(program.into_iter().map(|held| difference(Some(held), None)));
    found.extend(campaign.into_iter().map(|held| difference(None, Some(held))));
    found.sort_by(|a, b| a.who.cmp(&b.who));
    found
}

/// By a key, those who have it alone.
fn only(all: &[Held], key: impl Fn(&Held) -> Option<String>) -> HashMap<String, Held> {
    let mut by: HashMap<String, Vec<&Held>> = HashMap::new();
    for held in all {
        if let Some(key) = key(held) {
            by.entry(key).or_default().push(held);
        }
    }
    by.into_iter().filter(|(_, held)| held.len() == 1).map(|(key, held)| (key, held[0].clone())).collect()
}

fn difference(marketo: Option<Held>, salesforce: Option<Held>) -> Difference {
    let who = marketo.as_ref().or(salesforce.as_ref()).map(|held| format!("{} <{}>", held.name, held.email));
    Difference { who: who.unwrap_or_default(), marketo, salesforce, reason: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: &str, record: Option<u64>, email: &str, name: &str, status: &str) -> Held {
        let record = record.map(|serial| Id::new("00Q", serial));
        Held { id: id.into(), record, email: email.into(), name: name.into(), status: status.into() }
    }

    #[test]
    fn people_are_paired_by_what_is_surest() {
        let program = vec![
            held("1", Some(1), "old@b.c", "Ann Abel", "Invited"),
            held("2", None, "two@b.c", "Ben Brandt", "Invited"),
            held("3", None, "two@b.c", "Cyd Brandt", "Attended"),
            held("4", None, "", "Door Guest", "Attended"),
            held("5", None, "five@b.c", "Eve Ek", "Invited"),
        ];
        let campaign = vec![
            held("a", Some(1), "new@b.c", "Ann Castro", "Invited"),
            held("b", Some(2), "two@b.c", "Ben Brandt", "Invited"),
            held("d", Some(4), "", "Door Guest", "Attended"),
            held("e", Some(5), "five@b.c", "Evelyn Ek", "No Show"),
        ];
        let found = differences(program, campaign);
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "Cyd Brandt <two@b.c>: Marketo Attended (3), Salesforce not a member",
                "Eve Ek <five@b.c>: Marketo Invited (5), Salesforce No Show (e)",
            ]
        );
        let all = Comparison { marketo: 5, salesforce: 4, differences: found };
        assert!(!all.is_equal());
    }

    #[test]
    fn a_difference_is_explained_by_a_known_reason_for_what_is_held_now() {
        let here = || Some(held("1", None, "a@b.c", "Ann Abel", "Attended"));
        let there = || Some(held("a", None, "a@b.c", "Ann Abel", "Invited"));
        let why = |status: &str, state: &str, reason: &str| Why {
            status: Some(status.into()),
            state: state.into(),
            reason: reason.into(),
        };
        let explained = |salesforce: Why| {
            let reasons =
                HashMap::from([("1".into(), why("Attended", "diverged", "regression")), ("a".into(), salesforce)]);
            explanation(&difference(here(), there()), &reasons)
        };
        assert_eq!(explained(why("Invited", "diverged", "regression")).as_deref(), Some("diverged, regression"));
        // Not as it was read, not a reason, not a reason for this state.
        assert_eq!(explained(why("Registered", "diverged", "regression")), None);
        assert_eq!(explained(why("Invited", "diverged", "just so")), None);
        assert_eq!(explained(why("Invited", "parked", "regression")), None);
        // Only one of the two is held.
        let one = HashMap::from([("1".into(), why("Attended", "diverged", "regression"))]);
        assert_eq!(explanation(&difference(here(), there()), &one), None);
        assert!(explanation(&difference(here(), None), &one).is_some());
    }
}
