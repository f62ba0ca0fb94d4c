//! Who is who, for members of whom only one half is known: look the other up, link it, join rows that turn out to be one.
//!
//! The order of evidence is `domain::person`'s. Creates nobody: that comes after the decision, and only if it needs to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Fate, Item, Missing, Pass};
use crate::connector::{ConnectorError, MarketoPerson, PersonKey, SalesforcePerson};
use crate::domain::ids::{MarketoId, PersonType, SalesforceId};
use crate::domain::mapping::AmbiguousPerson;
use crate::domain::merge::{Reading, Reason};
use crate::domain::person::{Candidate, Choice, Followed, MarketoEvidence, Record, SalesforceEvidence, follow};
use crate::store::StoreError;
use crate::store::people::Half;
use crate::worker::{PassError, Worker};

/// Rounds of following merges and conversions: chains are short, and a circle must end.
const FOLLOW: usize = 4;

impl Worker {
    /// Links the halves that can be linked.
    pub(super) async fn identify(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.identify_in_salesforce(pass).await?;
        self.identify_in_marketo(pass).await?;
        self.reload(pass).await
    }

    /// For those known to Marketo only.
    async fn identify_in_salesforce(&self, pass: &mut Pass) -> Result<(), PassError> {
        let unknown = unlinked(pass, |item| item.member.person.salesforce_id.is_none());
        let ids: Vec<MarketoId> = unknown.iter().filter_map(|n| pass.items[*n].member.person.marketo_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let people = match self.marketo.people(&ids).await {
            Ok(people) => people.into_iter().map(|p| (p.id, p)).collect::<HashMap<_, _>>(),
            Err(error) => return Ok(fail(pass, &unknown, &error)),
        };
        for n in &unknown {
            let item = &mut pass.items[*n];
            item.marketo_person = item.member.person.marketo_id.and_then(|id| people.get(&id).cloned());
            if item.marketo_person.is_none() {
                // Unknown to Salesforce, and not in Marketo: the read will say whether merged or gone.
                item.missing = Some(Missing::Salesforce(Choice::CreateRefused));
            } else if let Some(email) = item.marketo_person.as_ref().and_then(|p| p.email.clone()) {
                item.member.person.email = Some(email);
            }
        }
        let found = match self.salesforce_candidates(people.values()).await {
            Ok(found) => found,
            Err(error) => return Ok(fail(pass, &unknown, &error)),
        };
        let claims = match self.claims(&found).await {
            Ok(claims) => claims,
            Err(error) => return Ok(fail(pass, &unknown, &error)),
        };
        let halves: Vec<_> = found.records.keys().cloned().map(Half::Salesforce).collect();
        let holders = self.store.people(&halves).await?;
        let holder = |id: &SalesforceId| {
            holders.iter().find(|p| p.salesforce_id.as_ref() == Some(id)).and_then(|p| p.marketo_id)
        };
        for n in unknown {
            let policies = pass.mappings.get(&pass.items[n].member.campaign_id).map(|m| m.policies.clone());
            let (Some(marketo_id), Some(person)) =
                (pass.items[n].member.person.marketo_id, pass.items[n].marketo_person.clone())
            else {
                continue;
            };
            let taken = |id: &SalesforceId| holder(id).is_some_and(|other| other != marketo_id);
            let policy = policies.as_ref().map_or(AmbiguousPerson::Park, |p| p.ambiguous_person);
            let may_create = policies.as_ref().is_none_or(|p| p.create_leads);
            let claimed = |id: &SalesforceId| claims.iter().any(|(record, by)| record == id && *by != marketo_id);
            match found.evidence(&person, taken, claimed).choose(policy, may_create) {
                Choice::Link(id) => self.link(pass, n, marketo_id, &id).await?,
                other => pass.items[n].missing = Some(Missing::Salesforce(other)),
            }
        }
        Ok(())
    }

    /// For those known to Salesforce only.
    async fn identify_in_marketo(&self, pass: &mut Pass) -> Result<(), PassError> {
        let unknown = unlinked(pass, |item| item.member.person.marketo_id.is_none());
        let ids: Vec<SalesforceId> =
            unknown.iter().filter_map(|n| pass.items[*n].member.person.salesforce_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let people = match self.read_salesforce_people(ids).await {
            Ok(people) => people,
            Err(error) => return Ok(fail(pass, &unknown, &error)),
        };
        let mut living = Vec::new();
        for n in unknown {
            let Some(id) = pass.items[n].member.person.salesforce_id.clone() else { continue };
            let Followed::Living(now) = follow(&id, |id| people.get(id).map(|p| &p.1)) else {
                pass.items[n].missing = Some(Missing::Marketo(Choice::CreateRefused));
                continue;
            };
            if now != id {
                if !self.move_to(pass, n, Half::Salesforce(now.clone())).await? {
                    continue;
                }
                if pass.items[n].member.person.marketo_id.is_some() {
                    continue;
                }
            }
            let person = people[&now].0.clone();
            if person.email.is_some() {
                pass.items[n].member.person.email.clone_from(&person.email);
            }
            pass.items[n].salesforce_person = Some(person.clone());
            living.push((n, person));
        }
        let found = match self.marketo_candidates(living.iter().map(|(_, person)| person)).await {
            Ok(found) => found,
            Err(error) => return Ok(fail(pass, &living.iter().map(|(n, _)| *n).collect::<Vec<_>>(), &error)),
        };
        let halves: Vec<_> = found.ids().into_iter().map(Half::Marketo).collect();
        let holders = self.store.people(&halves).await?;
        let holder =
            |id: MarketoId| holders.iter().find(|p| p.marketo_id == Some(id)).and_then(|p| p.salesforce_id.clone());
        for (n, person) in living {
            let policy = pass
                .mappings
                .get(&pass.items[n].member.campaign_id)
                .map_or(AmbiguousPerson::Park, |m| m.policies.ambiguous_person);
            let taken = |id: MarketoId| holder(id).is_some_and(|other| other != person.id);
            match found.evidence(&person, taken).choose(policy, true) {
                Choice::Link(id) => self.link(pass, n, id, &person.id).await?,
                other => pass.items[n].missing = Some(Missing::Marketo(other)),
            }
        }
        Ok(())
    }

    async fn link(
        &self,
        pass: &mut Pass,
        n: usize,
        marketo: MarketoId,
        salesforce: &SalesforceId,
    ) -> Result<(), PassError> {
        let person_id = pass.items[n].member.person.id.clone();
        match self.store.link(&person_id, marketo, salesforce).await {
            Ok(person) => {
                pass.items[n].member.person = person;
                pass.moved = true;
            }
            // Another lane was faster, with another answer or the same: the next attempt sees which.
            Err(StoreError::Conflict(_)) => {
                pass.items[n].retry(Reason::Waiting, None);
                pass.moved = true;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Linking may have joined rows: takes the members as they are now, one item each.
    pub(super) async fn reload(&self, pass: &mut Pass) -> Result<(), PassError> {
        let pairs: Vec<_> =
            pass.items.iter().map(|item| (item.member.campaign_id.clone(), item.member.person.id.clone())).collect();
        let mut stored: HashMap<_, _> = self
            .store
            .members_of(&pairs)
            .await?
            .into_iter()
            .map(|member| ((member.campaign_id.clone(), member.person.id.clone()), member))
            .collect();
        let living = self.store.living_people(&pairs.iter().map(|pair| pair.1.clone()).collect::<Vec<_>>()).await?;
        let mut at: HashMap<(String, String), usize> = HashMap::new();
        let mut items: Vec<Item> = Vec::with_capacity(pass.items.len());
        for (mut item, pair) in std::mem::take(&mut pass.items).into_iter().zip(pairs) {
            if let Some(first) = at.get(&pair) {
                items[*first].causes.append(&mut item.causes);
                continue;
            }
            if let Some(mut member) = stored.remove(&pair) {
                let baseline = pass.leases.iter().any(|l| l.lane == member.campaign_id && l.baseline);
                if item.member.person.email.is_some() {
                    member.person.email = item.member.person.email.take();
                }
                let fresh = Item::new(member, baseline);
                (item.member, item.seen) = (fresh.member, fresh.seen);
            }
            if !living.contains(&pair.1) {
                item.fate = Fate::Joined;
            }
            at.insert(pair, items.len());
            items.push(item);
        }
        pass.items = items;
        Ok(())
    }

    /// Salesforce people by id, with those that merges and conversions lead to.
    pub(super) async fn read_salesforce_people(
        &self,
        mut ids: Vec<SalesforceId>,
    ) -> Result<HashMap<SalesforceId, (SalesforcePerson, Record)>, ConnectorError> {
        let mut people = HashMap::new();
        for _ in 0..FOLLOW {
            if ids.is_empty() {
                break;
            }
            for person in self.salesforce.people(&ids).await? {
                people.insert(person.id.clone(), (person.clone(), record_of(&person)));
            }
            ids = people
                .values()
                .flat_map(|(p, _)| p.master_record_id.iter().chain(&p.converted_contact_id))
                .filter(|id| !people.contains_key(*id))
                .cloned()
                .collect();
        }
        Ok(people)
    }

    async fn salesforce_candidates(
        &self,
        people: impl Iterator<Item = &MarketoPerson> + Clone,
    ) -> Result<SalesforceCandidates, ConnectorError> {
        let named = people.clone().flat_map(|p| p.salesforce_contact_id.iter().chain(&p.salesforce_lead_id));
        let named: BTreeSet<_> = named.cloned().collect();
        let mut records = self.read_salesforce_people(named.into_iter().collect()).await?;
        let external = self
            .salesforce
            .people_by_external_id(&people.clone().map(|p| p.id.to_string()).collect::<Vec<_>>())
            .await?;
        let emails: BTreeSet<String> = people.filter_map(|p| p.email.as_ref()).map(|e| e.to_lowercase()).collect();
        let by_email = match emails.is_empty() {
            true => Vec::new(),
            false => self.salesforce.people_by_email(&emails.into_iter().collect::<Vec<_>>()).await?,
        };
        let mut found =
            SalesforceCandidates { records: HashMap::new(), external: BTreeMap::new(), by_email: BTreeMap::new() };
        for (value, person) in external {
            found.external.entry(value).or_default().push(person.id.clone());
            records.insert(person.id.clone(), (person.clone(), record_of(&person)));
        }
        for person in by_email {
            if let Some(email) = &person.email {
                found.by_email.entry(email.to_lowercase()).or_default().push(person.id.clone());
            }
            records.insert(person.id.clone(), (person.clone(), record_of(&person)));
        }
        found.records = records;
        Ok(found)
    }

    /// Which Marketo persons name the records that were found by an address: who comes first with nothing but the address
    /// must not take the record of somebody whom Marketo knows by its id.
    async fn claims(&self, found: &SalesforceCandidates) -> Result<Vec<(SalesforceId, MarketoId)>, ConnectorError> {
        let by_address: BTreeSet<&SalesforceId> = found.by_email.values().flatten().collect();
        let mut claims = Vec::new();
        for (key, kind) in
            [(PersonKey::SalesforceLead, PersonType::Lead), (PersonKey::SalesforceContact, PersonType::Contact)]
        {
            let of_kind = by_address.iter().filter(|id| PersonType::of(id) == Some(kind));
            let values: Vec<_> = of_kind.map(ToString::to_string).collect();
            if values.is_empty() {
                continue;
            }
            for person in self.marketo.people_by(key, &values).await? {
                // A contact before a lead, as everywhere.
                let named = person.salesforce_contact_id.or(person.salesforce_lead_id);
                claims.extend(named.map(|id| (id, person.id)));
            }
        }
        Ok(claims)
    }

    async fn marketo_candidates(
        &self,
        people: impl Iterator<Item = &SalesforcePerson> + Clone,
    ) -> Result<MarketoCandidates, ConnectorError> {
        let of_type =
            |kind: PersonType| people.clone().filter(move |p| p.person_type == kind).map(|p| p.id.to_string());
        let leads: Vec<_> = of_type(PersonType::Lead).collect();
        let contacts: Vec<_> = of_type(PersonType::Contact).collect();
        let emails: BTreeSet<String> =
            people.clone().filter_map(|p| p.email.as_ref()).map(|e| e.to_lowercase()).collect();
        let emails: Vec<_> = emails.into_iter().collect();
        let mut found = MarketoCandidates::default();
        for (key, values) in
            [(PersonKey::SalesforceLead, leads), (PersonKey::SalesforceContact, contacts), (PersonKey::Email, emails)]
        {
            if values.is_empty() {
                continue;
            }
            for person in self.marketo.people_by(key, &values).await? {
                match key {
                    PersonKey::Email => {
                        let email = person.email.as_ref().map(|e| e.to_lowercase()).unwrap_or_default();
                        found.by_email.entry(email).or_default().insert(person.id);
                    }
                    PersonKey::SalesforceLead | PersonKey::SalesforceContact => {
                        for id in person.salesforce_lead_id.iter().chain(&person.salesforce_contact_id) {
                            found.by_salesforce_id.entry(id.clone()).or_default().insert(person.id);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

fn unlinked(pass: &Pass, missing: impl Fn(&Item) -> bool) -> Vec<usize> {
    let mapped = |item: &Item| pass.mappings.contains_key(&item.member.campaign_id);
    pass.open().into_iter().filter(|n| missing(&pass.items[*n]) && mapped(&pass.items[*n])).collect()
}

fn fail(pass: &mut Pass, items: &[usize], error: &ConnectorError) {
    for n in items {
        pass.items[*n].marketo = Reading::Unreadable;
        pass.items[*n].fail(error);
    }
}

fn record_of(person: &SalesforcePerson) -> Record {
    Record {
        id: person.id.clone(),
        master_record_id: person.master_record_id.clone(),
        converted_contact_id: person.converted_contact_id.clone(),
        is_deleted: person.is_deleted,
    }
}

struct SalesforceCandidates {
    records: HashMap<SalesforceId, (SalesforcePerson, Record)>,
    external: BTreeMap<String, Vec<SalesforceId>>,
    by_email: BTreeMap<String, Vec<SalesforceId>>,
}

impl SalesforceCandidates {
    /// `claimed` counts against an address alone.
    fn evidence(
        &self,
        person: &MarketoPerson,
        taken: impl Fn(&SalesforceId) -> bool,
        claimed: impl Fn(&SalesforceId) -> bool,
    ) -> SalesforceEvidence {
        let living = |id: &SalesforceId| match follow(id, |id| self.records.get(id).map(|p| &p.1)) {
            Followed::Living(id) => Some(id),
            Followed::Gone | Followed::Unread(_) => None,
        };
        let candidate = |id: SalesforceId| Candidate { created: self.records[&id].0.created_at, taken: taken(&id), id };
        let of = |ids: Option<&Vec<SalesforceId>>| {
            let ids: BTreeSet<_> = ids.into_iter().flatten().filter_map(living).collect();
            ids.into_iter().map(candidate).collect::<Vec<_>>()
        };
        let mut by_email = of(person.email.as_ref().and_then(|email| self.by_email.get(&email.to_lowercase())));
        by_email.iter_mut().for_each(|candidate| candidate.taken |= claimed(&candidate.id));
        let (contacts, leads) = by_email.into_iter().partition(|c| PersonType::of(&c.id) == Some(PersonType::Contact));
        SalesforceEvidence {
            contact_id: person.salesforce_contact_id.as_ref().and_then(living).map(candidate),
            lead_id: person.salesforce_lead_id.as_ref().and_then(living).map(candidate),
            external: of(self.external.get(&person.id.to_string())),
            contacts,
            leads,
        }
    }
}

#[derive(Default)]
struct MarketoCandidates {
    by_salesforce_id: BTreeMap<SalesforceId, BTreeSet<MarketoId>>,
    by_email: BTreeMap<String, BTreeSet<MarketoId>>,
}

impl MarketoCandidates {
    fn ids(&self) -> BTreeSet<MarketoId> {
        self.by_salesforce_id.values().chain(self.by_email.values()).flatten().copied().collect()
    }

    fn evidence(&self, person: &SalesforcePerson, taken: impl Fn(MarketoId) -> bool) -> MarketoEvidence {
        // Marketo numbers people in the order they came: the lower id is the older one.
        let candidates = |ids: Option<&BTreeSet<MarketoId>>| {
            let candidate = |id: &MarketoId| Candidate { id: *id, created: None, taken: taken(*id) };
            ids.into_iter().flatten().map(candidate).collect()
        };
        MarketoEvidence {
            by_salesforce_id: candidates(self.by_salesforce_id.get(&person.id)),
            external: Vec::new(),
            by_email: candidates(person.email.as_ref().and_then(|email| self.by_email.get(&email.to_lowercase()))),
        }
    }
}
