//! The records that a person of one side may be on the other: read by the ids they carry, by the external id, by address.
//!
//! Which of them it is, is `domain::person`'s to say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::connector::{ConnectorError, MarketoPerson, PersonKey, SalesforcePerson};
use crate::domain::ids::{MarketoId, PersonType, SalesforceId};
use crate::domain::person::{Candidate, Choice, Followed, MarketoEvidence, Record, SalesforceEvidence, follow};
use crate::worker::Worker;

/// Rounds of following merges and conversions: chains are short, and a circle must end.
const FOLLOW: usize = 4;

impl Worker {
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

    pub(super) async fn salesforce_candidates(
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
    pub(super) async fn claims(
        &self,
        found: &SalesforceCandidates,
    ) -> Result<Vec<(SalesforceId, MarketoId)>, ConnectorError> {
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

    pub(super) async fn marketo_candidates(
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
                found.people.insert(person.id, person);
            }
        }
        Ok(found)
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

/// Salesforce records that may be one of the people asked for.
pub(super) struct SalesforceCandidates {
    pub(super) records: HashMap<SalesforceId, (SalesforcePerson, Record)>,
    external: BTreeMap<String, Vec<SalesforceId>>,
    by_email: BTreeMap<String, Vec<SalesforceId>>,
}

impl SalesforceCandidates {
    /// Who was found by an address, with it in lower case.
    pub(super) fn by_address(&self) -> impl Iterator<Item = (&String, &SalesforcePerson)> {
        let of = |id: &SalesforceId| self.records.get(id).map(|record| &record.0);
        self.by_email.iter().flat_map(move |(email, ids)| ids.iter().filter_map(of).map(move |person| (email, person)))
    }

    /// `claimed` counts against an address alone.
    pub(super) fn evidence(
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

/// Marketo people who may be one of the people asked for.
#[derive(Default)]
pub(super) struct MarketoCandidates {
    people: BTreeMap<MarketoId, MarketoPerson>,
    by_salesforce_id: BTreeMap<SalesforceId, BTreeSet<MarketoId>>,
    by_email: BTreeMap<String, BTreeSet<MarketoId>>,
}

impl MarketoCandidates {
    /// Who was found by an address, with it in lower case.
    pub(super) fn by_address(&self) -> impl Iterator<Item = (&String, &MarketoPerson)> {
        let of = |id: &MarketoId| self.people.get(id);
        self.by_email.iter().flat_map(move |(email, ids)| ids.iter().filter_map(of).map(move |person| (email, person)))
    }

    pub(super) fn ids(&self) -> BTreeSet<MarketoId> {
        self.by_salesforce_id.values().chain(self.by_email.values()).flatten().copied().collect()
    }

    /// Who the candidates are by themselves: those who name one of these records before any other are that one, the others
    /// have to be looked into.
    pub(super) fn sure<'a>(
        &self,
        records: impl Iterator<Item = &'a SalesforceId>,
    ) -> (BTreeMap<MarketoId, Choice<SalesforceId>>, Vec<MarketoPerson>) {
        let records: BTreeSet<&SalesforceId> = records.collect();
        let (mut sure, mut others) = (BTreeMap::new(), Vec::new());
        for person in self.people.values() {
            match person.salesforce_contact_id.as_ref().or(person.salesforce_lead_id.as_ref()) {
                Some(id) if records.contains(id) => drop(sure.insert(person.id, Choice::Link(id.clone()))),
                _ => others.push(person.clone()),
            }
        }
        (sure, others)
    }

    pub(super) fn evidence(&self, person: &SalesforcePerson, taken: impl Fn(MarketoId) -> bool) -> MarketoEvidence {
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
