//! People who are unknown to the side that a member has to be added to: looked for once more, then created.
//!
//! Never two for one person, over lanes, replicas and crashes: whoever creates holds the person's intent, committed
//! before the call. One who takes over an intent does not know how the call of the one before ended, and looks first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::{Missing, Pass};
use crate::connector::deadline::before;
use crate::connector::{
    ConnectorError, MARKETO_BATCH, NewLead, NewPerson, Reaction, RecordError, RecordResults, SALESFORCE_BATCH,
    SalesforcePerson, Vendor,
};
use crate::domain::ids::SalesforceId;
use crate::domain::merge::{Reason, Side};
use crate::domain::person::{Candidate, Choice, choose_duplicate};
use crate::store::intents::{Intent, of_address};
use crate::store::people::Half;
use crate::worker::points::Point;
use crate::worker::{PassError, Worker};

/// Vendors' clocks may be behind ours by this much when it is asked whether a record is younger than an intent.
pub(super) const SKEW_MILLIS: i64 = 60_000;

impl Worker {
    /// Creates whom the decisions need.
    pub(super) async fn create(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.create_leads(pass).await?;
        self.create_in_marketo(pass).await
    }

    async fn create_leads(&self, pass: &mut Pass) -> Result<(), PassError> {
        let wanted = one_of_each(pass, Side::Salesforce, &Missing::Salesforce(Choice::Create));
        // One call's worth at a time: an intent has to outlast the look and the call that follow it.
        for chunk in wanted.chunks(SALESFORCE_BATCH) {
            let intended = self.intend(pass, Side::Salesforce, chunk).await?;
            let intended = self.look_by_address(pass, intended).await?;
            let chunk = self.look_first(pass, intended).await?;
            if chunk.is_empty() {
                continue;
            }
            let leads: Vec<_> = chunk.iter().map(|(n, _)| self.new_lead(pass, *n)).collect();
            self.keep_leases(pass).await?;
            let result = before(pass.deadline, self.salesforce.create_leads(&leads)).await;
            self.points.reach(Point::Created)?;
            let mut created = Vec::new();
            for ((n, intent), result) in each(pass, &chunk, result) {
                match result {
                    Ok(id) => created.push((n, intent, Half::Salesforce(id))),
                    Err(error) => self.lead_not_created(pass, n, intent, &error).await?,
                }
            }
            self.link_all_created(pass, Side::Salesforce, created).await?;
        }
        Ok(())
    }

    fn new_lead(&self, pass: &Pass, n: usize) -> NewLead {
        let person = pass.items[n].marketo_person.as_ref();
        let filled = |text: Option<&String>, default: &str| match text {
            Some(text) if !text.trim().is_empty() => text.clone(),
            _ => default.to_owned(),
        };
        NewLead {
            first_name: person.and_then(|p| p.first_name.clone()),
            last_name: filled(person.and_then(|p| p.last_name.as_ref()), &self.settings.lead_last_name),
            company: filled(person.and_then(|p| p.company.as_ref()), &self.settings.lead_company),
            email: match person {
                Some(person) => person.email.clone(),
                // Known by the address alone.
                None => pass.items[n].member.person.email.clone(),
            },
            external_id: pass.items[n].member.person.marketo_id.map(|id| id.to_string()),
        }
    }

    async fn lead_not_created(
        &self,
        pass: &mut Pass,
        n: usize,
        intent: &Intent,
        error: &RecordError,
    ) -> Result<(), PassError> {
        match &error.reaction {
            Reaction::Duplicates(ids) => {
                let halves: Vec<_> = ids.iter().cloned().map(Half::Salesforce).collect();
                let linked = self.store.people(&halves).await?.into_iter().filter(|p| p.marketo_id.is_some());
                let taken: HashSet<_> = linked.filter_map(|p| p.salesforce_id).collect();
                let found = ids.iter().map(|id| Candidate { id: id.clone(), created: None, taken: taken.contains(id) });
                match choose_duplicate(found.collect()) {
                    Choice::Link(id) => {
                        self.link_created(pass, n, Side::Salesforce, intent, Half::Salesforce(id)).await?;
                        // It may be a member already.
                        pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
                    }
                    _ => {
                        pass.items[n].refuse(Vendor::Salesforce, error);
                        pass.items[n].park(Reason::AmbiguousPerson);
                        self.conclude(Side::Salesforce, intent).await?;
                    }
                }
            }
            Reaction::Retry => pass.items[n].again(Vendor::Salesforce, error),
            _ => {
                pass.items[n].refuse(Vendor::Salesforce, error);
                self.conclude(Side::Salesforce, intent).await?;
            }
        }
        Ok(())
    }

    async fn create_in_marketo(&self, pass: &mut Pass) -> Result<(), PassError> {
        let wanted = one_of_each(pass, Side::Marketo, &Missing::Marketo(Choice::Create));
        for chunk in wanted.chunks(MARKETO_BATCH) {
            let chunk = self.intend(pass, Side::Marketo, chunk).await?;
            if chunk.is_empty() {
                continue;
            }
            let people: Vec<_> = chunk
                .iter()
                .map(|(n, _)| {
                    let item = &pass.items[*n];
                    let person = item.salesforce_person.as_ref();
                    NewPerson {
                        email: person.and_then(|p| p.email.clone()),
                        first_name: person.and_then(|p| p.first_name.clone()),
                        last_name: person.and_then(|p| p.last_name.clone()),
                        company: person.and_then(|p| p.company.clone()),
                        salesforce_id: item.member.person.salesforce_id.clone(),
                    }
                })
                .collect();
            self.keep_leases(pass).await?;
            let result = before(pass.deadline, self.marketo.create_people(&people)).await;
            self.points.reach(Point::Created)?;
            let mut created = Vec::new();
            for ((n, intent), result) in each(pass, &chunk, result) {
                match result {
                    Ok(id) => created.push((n, intent, Half::Marketo(id))),
                    Err(error) => {
                        match error.reaction {
                            Reaction::Retry => pass.items[n].again(Vendor::Marketo, &error),
                            // The address is somebody else's, who was found to be linked to another: not this person.
                            Reaction::ReadAgain => pass.items[n].park(Reason::AmbiguousPerson),
                            _ => pass.items[n].refuse(Vendor::Marketo, &error),
                        }
                        if error.reaction != Reaction::Retry {
                            self.conclude(Side::Marketo, intent).await?;
                        }
                    }
                }
            }
            self.link_all_created(pass, Side::Marketo, created).await?;
        }
        Ok(())
    }

    /// Takes the intents; a person whom somebody else is creating just now has to wait.
    async fn intend(
        &self,
        pass: &mut Pass,
        side: Side,
        wanted: &[(usize, String)],
    ) -> Result<Vec<(usize, Intent)>, PassError> {
        let people: Vec<_> = wanted.iter().map(|(n, _)| pass.items[*n].member.person.id.clone()).collect();
        let pairs: Vec<_> = wanted.iter().map(|(_, key)| key.clone()).zip(people.iter().cloned()).collect();
        let held = self.store.intend(&self.owner, side, &pairs, self.settings.lease * 2).await?;
        self.points.reach(Point::Intended)?;
        self.forget_what_made_nothing(side, &held).await?;
        let mut held: HashMap<String, Intent> = held.into_iter().map(|intent| (intent.key.clone(), intent)).collect();
        let unknown = self.store.unknown_to(side, &people).await?;
        let mut ours = Vec::new();
        for ((n, key), person) in wanted.iter().zip(people) {
            match held.remove(key) {
                Some(intent) if unknown.contains(&person) => ours.push((*n, intent)),
                // Created by somebody else after it was looked for here: to be looked for again.
                Some(intent) => {
                    self.conclude(side, &intent).await?;
                    pass.items[*n].retry(Reason::Waiting, Some(Duration::ZERO));
                }
                None => pass.items[*n].retry(Reason::Waiting, Some(Duration::from_secs(1))),
            }
        }
        Ok(ours)
    }

    /// For people known by an address alone: nothing stored says that somebody else has created them since they were looked for.
    async fn look_by_address(
        &self,
        pass: &mut Pass,
        wanted: Vec<(usize, Intent)>,
    ) -> Result<Vec<(usize, Intent)>, PassError> {
        let address = |pass: &Pass, n: usize| {
            let person = &pass.items[n].member.person;
            person.email.as_ref().filter(|_| person.marketo_id.is_none()).map(|email| email.to_lowercase())
        };
        let emails: Vec<_> = wanted.iter().filter_map(|(n, _)| address(pass, *n)).collect();
        if emails.is_empty() {
            return Ok(wanted);
        }
        let found = match self.salesforce.people_by_email(&emails).await {
            Ok(found) => found.into_iter().filter_map(|p| p.email).map(|e| e.to_lowercase()).collect::<HashSet<_>>(),
            Err(error) => {
                wanted.iter().for_each(|(n, _)| pass.items[*n].fail(&error));
                return Ok(Vec::new());
            }
        };
        let mut left = Vec::new();
        for (n, intent) in wanted {
            if address(pass, n).is_some_and(|email| found.contains(&email)) {
                self.conclude(Side::Salesforce, &intent).await?;
                pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
            } else {
                left.push((n, intent));
            }
        }
        Ok(left)
    }

    /// For intents that were taken over: the lead that the attempt before may have made.
    async fn look_first(
        &self,
        pass: &mut Pass,
        wanted: Vec<(usize, Intent)>,
    ) -> Result<Vec<(usize, Intent)>, PassError> {
        let Some(since) = wanted.iter().filter(|(_, i)| i.taken_over).map(|(_, i)| i.started_at).min() else {
            return Ok(wanted);
        };
        let ours = match self.salesforce.leads_created(crate::store::time(since - SKEW_MILLIS)).await {
            Ok(leads) => leads,
            Err(error) => {
                wanted.iter().for_each(|(n, _)| pass.items[*n].fail(&error));
                return Ok(Vec::new());
            }
        };
        let ids: Vec<SalesforceId> = ours.iter().map(|lead| lead.id.clone()).collect();
        let linked = self.store.linked_at(&ids).await?;
        let mut taken = BTreeSet::new();
        let mut left = Vec::new();
        for (n, intent) in wanted {
            let new = self.new_lead(pass, n);
            // One that was somebody's before this person was first tried was made for them, who share no more than an address.
            let may_be = |lead: &&SalesforcePerson| {
                let before = linked.get(&lead.id).is_some_and(|at| *at < intent.started_at);
                intent.taken_over && !before && is_of(lead, &new)
            };
            let same: Vec<_> = ours.iter().filter(may_be).collect();
            match same.iter().find(|lead| !linked.contains_key(&lead.id) && !taken.contains(&lead.id)) {
                Some(lead) => {
                    taken.insert(lead.id.clone());
                    self.link_created(pass, n, Side::Salesforce, &intent, Half::Salesforce(lead.id.clone())).await?;
                    pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
                }
                // Somebody else was merged into what we may have made for this person: to make another would be a second
                // lead. The intent stands, so that the next look finds the same.
                None if !same.is_empty() => pass.items[n].park(Reason::SecondRecord),
                None => left.push((n, intent)),
            }
        }
        Ok(left)
    }

    pub(super) async fn conclude(&self, side: Side, intent: &Intent) -> Result<(), PassError> {
        Ok(self.store.conclude(&self.owner, side, std::slice::from_ref(intent)).await?)
    }
}

/// Whether a lead is what was to be made: by its address, or by its name where there is none.
fn is_of(lead: &SalesforcePerson, new: &NewLead) -> bool {
    match (&new.email, &lead.email) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (None, None) => lead.first_name == new.first_name && lead.last_name.as_ref() == Some(&new.last_name),
        _ => false,
    }
}

/// An item and its intent.
type Wanted<'a> = (usize, &'a Intent);

/// Items whose decision adds somebody to a side where nobody is that person, with the keys of their intents. The second of two
/// who share one waits: by then it is known who the first has become.
fn one_of_each(pass: &mut Pass, side: Side, missing: &Missing) -> Vec<(usize, String)> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (n, key) in keyed(pass, side, missing) {
        if *first.entry(key).or_insert(n) != n {
            pass.items[n].retry(Reason::Waiting, Some(Duration::from_secs(1)));
        }
    }
    first.into_iter().map(|(key, n)| (n, key)).collect()
}

/// Everybody who would have to be created on a side, with the keys of their intents; the oldest first of those who share one, so that a
/// plan and the run that follows it mean the same one.
pub(super) fn keyed(pass: &Pass, side: Side, missing: &Missing) -> Vec<(usize, String)> {
    let needs = |n: &usize| {
        let item = &pass.items[*n];
        let adds = item.action().is_some_and(|a| a.needs_person() && a.side() == Some(side));
        adds && item.missing.as_ref() == Some(missing)
    };
    let key = |n: usize| {
        let person = &pass.items[n].member.person;
        match (&person.email, side) {
            (Some(email), _) => of_address(email),
            (None, Side::Salesforce) => format!("marketo:{}", person.marketo_id.unwrap_or_default()),
            (None, Side::Marketo) => {
                format!("salesforce:{}", person.salesforce_id.as_ref().map_or("", SalesforceId::as_str))
            }
        }
    };
    let mut keyed: Vec<_> = pass.open().into_iter().filter(needs).map(|n| (n, key(n))).collect();
    let age = |n: usize| (pass.items[n].member.person.marketo_id, pass.items[n].member.person.salesforce_id.as_ref());
    keyed.sort_by(|(a, _), (b, _)| age(*a).cmp(&age(*b)));
    keyed
}

/// The result for each of a chunk; a call that failed as a whole is each one's failure, and leaves the intents standing.
fn each<'a, T>(
    pass: &mut Pass,
    chunk: &'a [(usize, Intent)],
    result: Result<RecordResults<T>, ConnectorError>,
) -> Vec<(Wanted<'a>, Result<T, RecordError>)> {
    match result {
        Ok(results) => chunk.iter().map(|(n, intent)| (*n, intent)).zip(results).collect(),
        Err(error) => {
            chunk.iter().for_each(|(n, _)| pass.items[*n].fail(&error));
            Vec::new()
        }
    }
}
