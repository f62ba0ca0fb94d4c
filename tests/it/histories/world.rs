//! Two model vendors in memory, behind the traits that the worker talks through.
//!
//! They keep the rules that matter to a merge (steps do not go down, unknown statuses are coerced, one row for a person)
//! and count what must never happen. Answers fail, or are lost after the call was applied, as the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use campaign_sync::connector::changes::MarketoChange;
use campaign_sync::connector::{CampaignMember, ConnectorError, Vendor};
use campaign_sync::domain::hint::{DeliveredHint, Delivery, Hint, Operation, Source};
use campaign_sync::domain::ids::SalesforceId;
use tokio::sync::Notify;

use super::logs::Logs;
use super::tally::Tally;
use super::telling::Told;

/// The channel: `Registered` and `Waitlisted` share a step.
pub const STATUSES: [(&str, i64); 4] = [("Invited", 10), ("Registered", 20), ("Waitlisted", 20), ("Attended", 30)];
/// A status that only the campaign has.
pub const FOREIGN: &str = "Walked in";
/// What the campaign calls its last status for some of the time.
pub const RENAMED: &str = "Was there";
/// Our own user in Salesforce.
pub const US: &str = "005000000000001AAA";
const SOMEBODY: &str = "005000000000002AAA";

/// The step of a status.
pub fn step(status: &str) -> i64 {
    STATUSES.iter().find(|(name, _)| *name == status).map_or(-1, |(_, step)| *step)
}

/// A repeatable source of chance.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next()).unwrap() % n.max(1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

#[derive(Clone, Debug, Default)]
pub struct MarketoPerson {
    pub email: Option<String>,
    pub lead: Option<SalesforceId>,
}

#[derive(Clone, Debug, Default)]
pub struct SalesforcePerson {
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub name: Option<String>,
    pub deleted: bool,
    pub master: Option<SalesforceId>,
    pub contact: Option<SalesforceId>,
    pub created_by_us: bool,
    pub created_at: i64,
}

/// Both vendors' state for one program and one campaign.
#[derive(Debug)]
pub struct World {
    pub dice: Dice,
    pub now: i64,
    pub program: i64,
    pub campaign: SalesforceId,
    next: u64,
    pub people_m: BTreeMap<i64, MarketoPerson>,
    pub merged_m: BTreeMap<i64, i64>,
    pub members_m: BTreeMap<i64, String>,
    pub people_s: BTreeMap<SalesforceId, SalesforcePerson>,
    pub members_s: BTreeMap<SalesforceId, CampaignMember>,
    /// Hints of changes, not delivered yet.
    pub hints: Vec<Delivery>,
    /// One in so many calls fails; 0 for none.
    pub trouble: usize,
    /// Before one in so many writes a person edits what is written to; 0 for never.
    pub haste: usize,
    /// The write that is held up: after so many others.
    pub slow: Option<usize>,
    /// Calls that wrote.
    pub writes: usize,
    pub tally: Tally,
    /// What must never happen.
    pub offences: Vec<String>,
    /// Statuses that a person has set, by Marketo person or by Salesforce person: nothing else may be found anywhere.
    pub set_by_people: BTreeSet<String>,
    /// A person removed somebody, on either side.
    pub removed_by_people: bool,
    /// Memberships that we have removed.
    pub removed_by_us: usize,
    /// What the campaign calls `Attended`.
    pub label: &'static str,
    pub logs: Logs,
    pub told: Told,
    pub log: Vec<String>,
}

/// The world, shared by both vendors and the driver.
#[derive(Clone, Debug)]
pub struct Worlds(Arc<Mutex<World>>, Arc<Hold>);

/// Where a write of a membership is held up until the driver lets it go on.
#[derive(Debug, Default)]
pub struct Hold {
    pub reached: Notify,
    pub go_on: Notify,
}

impl Worlds {
    pub fn new(seed: u64, number: u64) -> Self {
        let program = i64::try_from(1_000 + number).unwrap();
        let mut world = World {
            dice: Dice::new(seed),
            now: 0,
            program,
            campaign: id("701", number),
            next: number * 1_000,
            people_m: BTreeMap::new(),
            merged_m: BTreeMap::new(),
            members_m: BTreeMap::new(),
            people_s: BTreeMap::new(),
            members_s: BTreeMap::new(),
            hints: Vec::new(),
            trouble: 0,
            haste: 0,
            slow: None,
            writes: 0,
            tally: Tally::default(),
            offences: Vec::new(),
            set_by_people: BTreeSet::new(),
            removed_by_people: false,
            removed_by_us: 0,
            label: STATUSES[3].0,
            logs: Logs::default(),
            told: Told::default(),
            log: Vec::new(),
        };
        world.people();
        Self(Arc::new(Mutex::new(world)), Arc::default())
    }

    pub fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.1)
    }

    /// Waits, when the driver has said that this write is to be slow. Only those of memberships: whose creation of a person
    /// arrives after its intent ran out has made a second one, and no read can repair that.
    pub async fn perhaps_wait(&self) {
        let slow = {
            let mut world = self.get();
            let slow = world.slow == Some(0);
            world.slow = world.slow.and_then(|left| left.checked_sub(1));
            slow
        };
        if slow {
            self.1.reached.notify_one();
            self.1.go_on.notified().await;
        }
    }

    pub fn get(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Runs a call as the dice say: it may fail before it is applied, or its answer be lost after.
    pub fn call<T>(
        &self,
        vendor: Vendor,
        write: bool,
        apply: impl FnOnce(&mut World) -> T,
    ) -> Result<T, ConnectorError> {
        let mut world = self.get();
        let fails = world.trouble > 0 && {
            let n = world.trouble;
            world.dice.one_in(n)
        };
        let lost = fails && write && world.dice.one_in(2);
        let unavailable =
            |sent| ConnectorError::Unavailable { vendor, detail: "model".to_owned(), retry_after: None, sent };
        if fails && !lost {
            return Err(unavailable(false));
        }
        if write {
            world.writes += 1;
            let n = world.haste;
            if n > 0 && world.dice.one_in(n) {
                world.meddle(vendor);
            }
        }
        world.tally.lost += usize::from(lost);
        let answer = apply(&mut world);
        if lost { Err(unavailable(true)) } else { Ok(answer) }
    }
}

/// A Salesforce id with its checksum.
pub fn id(prefix: &str, number: u64) -> SalesforceId {
    format!("{prefix}{number:012}").parse().unwrap()
}

/// Rows and whose they are.
pub type Owners = BTreeMap<SalesforceId, SalesforceId>;

impl World {
    /// The rows as they stand.
    pub fn owners(&self) -> Owners {
        self.members_s.values().filter_map(|row| Some((row.id.clone(), row.person()?.clone()))).collect()
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Somebody in both systems, in one, two with one address, one without any.
    fn people(&mut self) {
        let both = |world: &mut Self, email: Option<&str>, known: bool| {
            let marketo = i64::try_from(world.fresh()).unwrap();
            let lead = world.add_lead(email, false);
            let person = MarketoPerson { email: email.map(str::to_owned), lead: known.then(|| lead.clone()) };
            world.people_m.insert(marketo, person);
        };
        let unique = self.next;
        both(self, Some(&format!("a{unique}@example.com")), true);
        both(self, Some(&format!("b{unique}@example.com")), false);
        for email in [Some(format!("c{unique}@example.com")), Some(format!("d{unique}@example.com")), None] {
            let marketo = i64::try_from(self.fresh()).unwrap();
            self.people_m.insert(marketo, MarketoPerson { email, lead: None });
        }
        self.add_lead(Some(&format!("e{unique}@example.com")), false);
    }

    /// A lead; an address in another case is the same address.
    pub fn add_lead(&mut self, email: Option<&str>, by_us: bool) -> SalesforceId {
        let id = id("00Q", self.fresh());
        let person = SalesforcePerson {
            email: email.map(str::to_owned),
            created_by_us: by_us,
            created_at: self.now,
            ..SalesforcePerson::default()
        };
        self.people_s.insert(id.clone(), person);
        id
    }

    pub fn hint(&mut self, source: Source, hint: Hint) {
        self.hints.push(Delivery { source, records: vec![DeliveredHint { delivery_id: None, position: 0, hint }] });
    }

    fn hint_marketo(&mut self, marketo_id: i64, removed: bool, status: Option<String>) {
        // Marketo cannot send a status; a template may hard-code one.
        let status = status.filter(|_| self.dice.one_in(3));
        self.hint(Source::Marketo, Hint::ProgramMember { program_id: self.program, marketo_id, removed, status });
    }

    /// Sets a status in Marketo under its rule; whether it was taken.
    pub fn set_marketo(&mut self, person: i64, status: &str) -> bool {
        let taken = self.members_m.get(&person).is_none_or(|now| step(now) <= step(status) && now != status);
        if taken {
            let old = self.members_m.insert(person, status.to_owned());
            self.log_member(person, old, Some(status.to_owned()));
            self.hint_marketo(person, false, Some(status.to_owned()));
        }
        taken
    }

    pub fn remove_marketo(&mut self, person: i64) -> bool {
        let old = self.members_m.remove(&person);
        let was = old.is_some();
        if was {
            self.log_member(person, old, None);
            self.hint_marketo(person, true, None);
        }
        was
    }

    fn log_member(&mut self, person: i64, old: Option<String>, new: Option<String>) {
        self.log_marketo(MarketoChange::Member { program: self.program, person, old, new });
    }

    fn hint_member(&mut self, row: &CampaignMember, operation: Operation) {
        let bare = self.dice.one_in(4);
        let hint = Hint::CampaignMember {
            member_id: row.id.clone(),
            campaign_id: (!bare).then(|| row.campaign_id.clone()),
            person_id: row.person().cloned().filter(|_| !bare),
            operation: (!bare).then_some(operation),
            status: (!bare).then(|| row.status.clone()),
            modified_by: (!bare).then(|| row.last_modified_by.clone()).flatten(),
            modstamp: (!bare).then_some(row.system_modstamp).flatten(),
        };
        self.hint(Source::Salesforce, hint);
    }

    /// A member's row by person.
    pub fn row_of(&self, person: &SalesforceId) -> Option<&CampaignMember> {
        self.members_s
            .values()
            .find(|row| row.lead_id.as_ref() == Some(person) || row.contact_id.as_ref() == Some(person))
    }

    /// Sets a status in Salesforce, which knows no steps; adds the member when it is none.
    pub fn set_salesforce(&mut self, person: &SalesforceId, status: &str, by_us: bool) -> SalesforceId {
        let existing = self.row_of(person).map(|row| row.id.clone());
        let operation = if existing.is_some() { Operation::Update } else { Operation::Insert };
        let id = existing.unwrap_or_else(|| id("00v", self.fresh()));
        // Salesforce takes a status it does not know for the default, and says that all is well.
        let meant = if !by_us && status == STATUSES[3].0 { self.label } else { status };
        let status = if self.labels().iter().any(|(label, _)| *label == meant) { meant } else { STATUSES[0].0 };
        if !by_us {
            self.set_by_people.insert(status.to_owned());
        }
        let contact = person.prefix() == "003";
        let fresh = CampaignMember {
            id: id.clone(),
            campaign_id: self.campaign.clone(),
            lead_id: (!contact).then(|| person.clone()),
            contact_id: contact.then(|| person.clone()),
            account_id: None,
            status: String::new(),
            is_deleted: false,
            last_modified_by: None,
            system_modstamp: None,
            email: None,
        };
        let row = self.members_s.entry(id.clone()).or_insert(fresh);
        row.status = status.to_owned();
        row.last_modified_by = Some(if by_us { US } else { SOMEBODY }.parse().unwrap());
        // One second is the resolution.
        row.system_modstamp = jiff::Timestamp::from_second(self.now / 1000).ok();
        let row = row.clone();
        self.hint_member(&row, operation);
        id
    }

    pub fn remove_salesforce(&mut self, member: &SalesforceId) -> bool {
        let Some(row) = self.members_s.remove(member) else { return false };
        self.hint_member(&row, Operation::Delete);
        self.bury(row);
        true
    }

    /// People of Salesforce who can be edited.
    pub fn living_s(&self) -> Vec<SalesforceId> {
        self.people_s.iter().filter(|(_, p)| !p.deleted && p.contact.is_none()).map(|(id, _)| id.clone()).collect()
    }
}

impl World {
    pub fn must_know(&mut self, status: &str) {
        if self.labels().iter().all(|(label, _)| *label != status) {
            self.offences.push(format!("wrote the unknown status {status:?}"));
        }
    }
}
