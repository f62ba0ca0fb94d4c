//! Flow actions out of the outbox: who each is about, whose turn it is, and the pass that carries them out.
//!
//! Owns the order of commands: one person's are carried out one after the other, in the order in which they came, also when one
//! has to be tried again. What is written and when is the pass's (`sync`). Must not know how a command was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::halves::Halves;
use super::sync::settle;
use super::sync::{Item, Missing, Order};
use super::{PassError, Worker};
use crate::connector::{ConnectorError, MarketoPerson, PersonKey, SalesforcePerson};
use crate::domain::flow_action::Command;
use crate::domain::ids::PersonType;
use crate::domain::merge::Reason;
use crate::domain::person::Choice;
use crate::domain::trigger::DetectedBy;
use crate::store::StoreError;
use crate::store::lanes::{Claim, Claimed};
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::outbox::{Kind, Subject};
use crate::store::people::{Half, Person};
use crate::store::record::{Batch, End, Settled};

use super::points::Point;
use super::sync::Pass;
use super::trace;
use crate::telemetry::spans;

/// Who an address belongs to, or why that cannot be said.
type Found = HashMap<String, Result<Person, End>>;

impl Worker {
    /// The flow actions of a claim. Its hints and runs are left in it, with the lanes that they need.
    pub(super) async fn work_commands(
        &self,
        mut claim: Claim,
        mappings: &HashMap<String, Mapping>,
    ) -> Result<Claim, PassError> {
        let is_command = |change: &Claimed| change.kind == Kind::FlowAction.as_str();
        let (commands, hints): (Vec<_>, Vec<_>) = std::mem::take(&mut claim.changes).into_iter().partition(is_command);
        claim.changes = hints;
        if commands.is_empty() {
            return Ok(claim);
        }
        let claimed = self.store.now();
        let keep: HashSet<String> = claim
            .changes
            .iter()
            .map(|change| &change.lane)
            .chain(claim.runs.iter().map(|run| &run.lane))
            .cloned()
            .collect();
        // Whatever is found beside the command, nobody has told of.
        let mut pass = Pass::new(Vec::new(), claim.leases.clone(), claim.deadline, mappings, DetectedBy::Poll);
        let mut settled = self.gather_commands(&mut pass, &commands, &claim).await?;
        if !pass.items.is_empty() {
            self.process(&mut pass).await?;
        }
        self.fail_mappings(&pass).await?;
        let mut spans = spans::gathered(|| trace::calls(&pass.items, &commands));
        let finished = self.finish(&mut pass, &commands);
        settled.extend(finished.settled);
        spans.extend(spans::gathered(|| trace::ends(&settled, &commands, claimed, self.store.now())));
        self.collect(&settled, &commands, claimed);
        self.points.reach(Point::Unrecorded)?;
        let leases = std::mem::take(&mut claim.leases);
        (claim.leases, claim.deadline) =
            (leases.iter().filter(|lease| keep.contains(&lease.lane)).cloned().collect(), pass.deadline);
        let batch = Batch {
            leases,
            mappings: mappings.clone(),
            members: finished.members,
            settled,
            work: finished.work,
            keep,
            ..Batch::default()
        };
        self.store.record(batch).await?;
        spans::send(spans);
        Ok(claim)
    }

    /// Finds the members that commands are about, and leaves those whose turn has not come for later.
    async fn gather_commands(
        &self,
        pass: &mut Pass,
        commands: &[Claimed],
        claim: &Claim,
    ) -> Result<Vec<Settled>, PassError> {
        let mut settled = Vec::new();
        let people = self.people_of(commands).await?;
        let mut turns: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (n, person) in people.iter().enumerate() {
            match person {
                Ok(person) => turns.entry((&commands[n].lane, &person.id)).or_default().push(n),
                Err(end) => settled.push(settle(&commands[n], end.clone())),
            }
        }
        let firsts: Vec<usize> = turns.values().map(|of_member| of_member[0]).collect();
        let in_front = self.in_front(commands, &people, &firsts, claim).await?;
        let now = self.store.now();
        let pairs: Vec<_> = turns.keys().map(|(lane, person)| ((*lane).to_owned(), (*person).to_owned())).collect();
        let mut stored: HashMap<_, _> = self
            .store
            .members_of(&pairs)
            .await?
            .into_iter()
            .map(|m| ((m.campaign_id.clone(), m.person.id.clone()), m))
            .collect();
        for (pair, of_member) in pairs.into_iter().zip(turns.into_values()) {
            let (first, later) = (of_member[0], &of_member[1..]);
            let due_at = in_front.get(&commands[first].id).copied();
            settled.extend(later.iter().map(|n| settle(&commands[*n], End::Later { due_at: due_at.unwrap_or(now) })));
            let Ok(person) = &people[first] else { continue };
            if let Some(due_at) = due_at {
                settled.push(settle(&commands[first], End::Later { due_at: due_at.max(now) }));
                continue;
            }
            let command = &commands[first];
            let member = stored.remove(&pair);
            let member =
                member.unwrap_or_else(|| Member::new(self.store.new_id(), command.lane.clone(), person.clone()));
            let baseline = pass.leases.iter().any(|l| l.lane == command.lane && l.baseline);
            let mut item = Item::new(member, baseline);
            item.causes.push(first);
            item.order = Some(Order::new(parse(command)?, command));
            if person.marketo_id.is_none() && person.salesforce_id.is_none() {
                let may = pass.mappings.get(&command.lane).is_none_or(|mapping| mapping.policies.create_leads);
                let choice = if may { Choice::Create } else { Choice::CreateRefused };
                item.missing = Some(Missing::Salesforce(choice));
            }
            pass.items.push(item);
        }
        Ok(settled)
    }

    /// Commands that older ones about the same person are still in front of, with the time when that is due.
    async fn in_front(
        &self,
        commands: &[Claimed],
        people: &[Result<Person, End>],
        firsts: &[usize],
        claim: &Claim,
    ) -> Result<HashMap<String, i64>, PassError> {
        let fences: HashMap<&str, i64> = claim.leases.iter().map(|l| (l.lane.as_str(), l.fence)).collect();
        let mut names = BTreeSet::new();
        for n in firsts {
            let (command, Ok(person)) = (&commands[*n], &people[*n]) else { continue };
            let fence = fences.get(command.lane.as_str()).copied().unwrap_or_default();
            let known = [
                Some(command.subject.clone()),
                person.marketo_id.map(Subject::Marketo),
                person.salesforce_id.clone().map(Subject::Salesforce),
                person.email.as_ref().map(|email| Subject::Email(email.to_lowercase())),
            ];
            let under = |name: Subject| (command.lane.clone(), name.to_string(), command.id.clone(), fence);
            names.extend(known.into_iter().flatten().map(under));
        }
        let mut in_front: HashMap<String, i64> = HashMap::new();
        for (id, due_at) in self.store.commands_in_front(&names.into_iter().collect::<Vec<_>>()).await? {
            in_front.entry(id).and_modify(|at| *at = (*at).min(due_at)).or_insert(due_at);
        }
        Ok(in_front)
    }

    /// Who each of the commands is about.
    async fn people_of(&self, commands: &[Claimed]) -> Result<Vec<Result<Person, End>>, PassError> {
        let mut halves = Vec::new();
        let mut emails: BTreeMap<&str, &Claimed> = BTreeMap::new();
        for command in commands {
            match &command.subject {
                Subject::Marketo(id) => halves.push(Half::Marketo(*id)),
                Subject::Salesforce(id) => halves.push(Half::Salesforce(id.clone())),
                Subject::Email(email) => drop(emails.insert(email, command)),
                Subject::Member(_) | Subject::Person(_) | Subject::Mapping => {}
            }
        }
        let by_address = if emails.is_empty() { Found::new() } else { self.people_by_address(&emails).await? };
        let people = if halves.is_empty() { Vec::new() } else { self.store.ensure_people(&halves).await? };
        let mut by_half: HashMap<Half, &Person> = HashMap::new();
        for person in &people {
            by_half.extend(person.marketo_id.map(|id| (Half::Marketo(id), person)));
            by_half.extend(person.salesforce_id.clone().map(|id| (Half::Salesforce(id), person)));
        }
        let found = |command: &Claimed| {
            let person = match &command.subject {
                Subject::Marketo(id) => by_half.get(&Half::Marketo(*id)).copied().cloned(),
                Subject::Salesforce(id) => by_half.get(&Half::Salesforce(id.clone())).copied().cloned(),
                Subject::Email(email) => return by_address.get(email).cloned().unwrap_or(Err(unknown())),
                Subject::Member(_) | Subject::Person(_) | Subject::Mapping => None,
            };
            person.ok_or_else(unknown)
        };
        Ok(commands.iter().map(found).collect())
    }

    /// Everybody in Marketo with one of these addresses, and everybody in Salesforce with one that nobody has there.
    async fn read_by_address(
        &self,
        addresses: &[String],
    ) -> Result<(Vec<MarketoPerson>, Vec<SalesforcePerson>), ConnectorError> {
        let marketo = self.marketo.people_by(PersonKey::Email, addresses).await?;
        let known: BTreeSet<_> = marketo.iter().filter_map(|p| p.email.as_ref()).map(|e| e.to_lowercase()).collect();
        let unknown: Vec<String> = addresses.iter().filter(|email| !known.contains(*email)).cloned().collect();
        let salesforce = match unknown.is_empty() {
            true => Vec::new(),
            false => self.salesforce.people_by_email(&unknown).await?,
        };
        Ok((marketo, salesforce))
    }

    /// Whoever has an address: the one person in Marketo, else the one contact, else the one lead in Salesforce, else somebody
    /// whom neither knows.
    async fn people_by_address(&self, emails: &BTreeMap<&str, &Claimed>) -> Result<Found, PassError> {
        let addresses: Vec<String> = emails.keys().map(|email| (*email).to_owned()).collect();
        let (mut marketo, mut salesforce, mut halves) = (Vec::new(), Vec::new(), Halves::of(&addresses));
        while let Some(part) = halves.next() {
            match self.read_by_address(part).await {
                Ok((people, records)) => {
                    halves.answered();
                    marketo.extend(people);
                    salesforce.extend(records);
                }
                Err(error) => halves.failed(part, &error),
            }
        }
        let failed = halves.end();
        let mut found = Found::new();
        for (email, failure) in &failed {
            let end = emails.get(email.as_str()).map(|command| self.unread(command, failure));
            found.extend(end.map(|end| (email.clone(), Err(end))));
        }
        let mut halves: HashMap<String, Half> = HashMap::new();
        let mut nobody = Vec::new();
        for email in addresses.into_iter().filter(|email| !failed.contains_key(email)) {
            match owner(&email, &marketo, &salesforce) {
                Owner::Nobody => nobody.push(email),
                Owner::One(half) => drop(halves.insert(email, half)),
                Owner::Several => {
                    let end = End::Parked { reason: Reason::AmbiguousPerson.to_string(), error: None };
                    found.insert(email, Err(end));
                }
            }
        }
        let with_email = |person: Person| Some((person.email.clone()?, Ok(person)));
        if !nobody.is_empty() {
            found.extend(self.store.ensure_addressed(&nobody).await?.into_iter().filter_map(with_email));
        }
        if halves.is_empty() {
            return Ok(found);
        }
        // Who was nobody yet at an earlier attempt is somebody now.
        for person in self.store.addressed(&halves.keys().cloned().collect::<Vec<_>>()).await? {
            if let Some(half) = person.email.as_ref().and_then(|email| halves.get(email)) {
                match self.store.follow(&person.id, half).await {
                    Ok(_) | Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let people = self.store.ensure_people(&halves.values().cloned().collect::<Vec<_>>()).await?;
        for (email, half) in halves {
            let is_half = |person: &&Person| match &half {
                Half::Marketo(id) => person.marketo_id == Some(*id),
                Half::Salesforce(id) => person.salesforce_id.as_ref() == Some(id),
            };
            let person = people.iter().find(is_half).cloned().ok_or_else(unknown);
            // By its address too it is found by those who come later.
            found.insert(email.clone(), person.map(|person| Person { email: Some(email), ..person }));
        }
        Ok(found)
    }
}

/// Who has an address.
enum Owner {
    Nobody,
    One(Half),
    Several,
}

fn owner(email: &str, marketo: &[MarketoPerson], salesforce: &[SalesforcePerson]) -> Owner {
    let has = |address: &Option<String>| address.as_ref().is_some_and(|address| address.to_lowercase() == email);
    let one = |mut halves: Vec<Half>| match (halves.pop(), halves.is_empty()) {
        (None, _) => None,
        (Some(half), true) => Some(Owner::One(half)),
        (Some(_), false) => Some(Owner::Several),
    };
    let of_type = |kind: PersonType| {
        let of_kind = salesforce.iter().filter(|p| p.person_type == kind && has(&p.email));
        of_kind.map(|p| Half::Salesforce(p.id.clone())).collect::<Vec<_>>()
    };
    one(marketo.iter().filter(|p| has(&p.email)).map(|p| Half::Marketo(p.id)).collect())
        .or_else(|| one(of_type(PersonType::Contact)))
        .or_else(|| one(of_type(PersonType::Lead)))
        .unwrap_or(Owner::Nobody)
}

fn unknown() -> End {
    End::Parked { reason: Reason::PersonUnknown.to_string(), error: None }
}

fn parse(command: &Claimed) -> Result<Command, StoreError> {
    let payload = command.payload.as_deref().unwrap_or_default();
    serde_json::from_str(payload).map_err(|e| StoreError::Corrupt(format!("outbox.payload of {}: {e}", command.id)))
}
