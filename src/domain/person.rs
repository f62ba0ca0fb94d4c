//! Who is who: which record of the other side a person is linked to.
//!
//! Owns the order of evidence, what to do when several would do, and following merges and conversions. Must not know how
//! candidates are found, nor create anybody: creating takes a lease and an intent, which are the worker's.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::ids::{MarketoId, PersonType, SalesforceId};
use super::mapping::AmbiguousPerson;
use super::merge::Side;

/// A record of the other side that may be the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<Id> {
    pub id: Id,
    /// When the record was created; unknown counts as youngest.
    pub created: Option<Timestamp>,
    /// It is linked to another living person already.
    pub taken: bool,
}

/// Who a person turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice<Id> {
    /// This one, from now on by its id.
    Link(Id),
    /// Any of these; a person has to say.
    Ambiguous(Vec<Id>),
    /// Nobody: to be created.
    Create,
    /// Nobody, and the policy is not to create.
    CreateRefused,
}

impl<Id: PartialEq> Choice<Id> {
    /// Whether there is better evidence for another record than for this one. One of several equal ones is not excluded: who
    /// has a hint of its own has that much more for it.
    #[must_use]
    pub fn excludes(&self, id: &Id) -> bool {
        match self {
            Self::Link(other) => other != id,
            Self::Ambiguous(others) => !others.contains(id),
            Self::Create | Self::CreateRefused => false,
        }
    }
}

/// Salesforce records that a Marketo person may be. Deleted and converted ones were followed before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalesforceEvidence {
    /// The contact id on the Marketo person.
    pub contact_id: Option<Candidate<SalesforceId>>,
    /// The lead id on the Marketo person.
    pub lead_id: Option<Candidate<SalesforceId>>,
    /// Those that the configured external-id field names.
    pub external: Vec<Candidate<SalesforceId>>,
    /// Contacts with the same e-mail address.
    pub contacts: Vec<Candidate<SalesforceId>>,
    /// Unconverted leads with the same e-mail address.
    pub leads: Vec<Candidate<SalesforceId>>,
}

impl SalesforceEvidence {
    /// Who the Marketo person is in Salesforce, when no link is stored.
    #[must_use]
    pub fn choose(self, policy: AmbiguousPerson, may_create: bool) -> Choice<SalesforceId> {
        let named = [self.contact_id, self.lead_id].map(Vec::from_iter).into_iter().chain([self.external]);
        choose(named, [self.contacts, self.leads], policy, may_create)
    }
}

/// Marketo persons that a Salesforce person may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketoEvidence {
    /// Those that carry the Salesforce id.
    pub by_salesforce_id: Vec<Candidate<MarketoId>>,
    /// The one that the configured external-id field of the Salesforce record names.
    pub external: Vec<Candidate<MarketoId>>,
    /// Those with the same e-mail address.
    pub by_email: Vec<Candidate<MarketoId>>,
}

impl MarketoEvidence {
    /// Who the Salesforce person is in Marketo, when no link is stored.
    #[must_use]
    pub fn choose(self, policy: AmbiguousPerson, may_create: bool) -> Choice<MarketoId> {
        choose_in_marketo([self.by_salesforce_id, self.external], self.by_email, policy, may_create)
    }
}

fn choose_in_marketo<Id: Ord + Clone>(
    named: [Vec<Candidate<Id>>; 2],
    by_email: Vec<Candidate<Id>>,
    policy: AmbiguousPerson,
    may_create: bool,
) -> Choice<Id> {
    // Marketo answers a second person of one address with the first, so nobody can be created.
    let claimed = by_email.iter().all(|candidate| candidate.taken).then(|| ids(by_email.clone()));
    match choose(named, [by_email], policy, may_create) {
        Choice::Create => match claimed.filter(|ids| !ids.is_empty()) {
            Some(ids) => Choice::Ambiguous(ids),
            None => Choice::Create,
        },
        other => other,
    }
}

/// Who the second of two who share an address is on a side where the first has just been created, and so is linked; `guarded` when
/// Salesforce has a rule against duplicate leads.
#[must_use]
pub fn choose_second(side: Side, guarded: bool) -> Choice<()> {
    let first = vec![Candidate { id: (), created: None, taken: true }];
    match side {
        Side::Marketo => choose_in_marketo([Vec::new(), Vec::new()], first, AmbiguousPerson::Park, true),
        Side::Salesforce => match choose([], [first], AmbiguousPerson::Park, true) {
            // What the rule finds is somebody else: `choose_duplicate` takes nobody.
            Choice::Create if guarded => Choice::Ambiguous(Vec::new()),
            choice => choice,
        },
    }
}

/// The first evidence that has a candidate decides.
///
/// An id names a person, so one that is taken is an ambiguity: to go on and create would make the second record of one
/// person. An e-mail address is no key, so candidates that it brings and that are taken do not count.
fn choose<Id: Ord + Clone>(
    named: impl IntoIterator<Item = Vec<Candidate<Id>>>,
    by_email: impl IntoIterator<Item = Vec<Candidate<Id>>>,
    policy: AmbiguousPerson,
    may_create: bool,
) -> Choice<Id> {
    for candidates in named {
        let (taken, free): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.taken);
        match pick(free, policy) {
            None if taken.is_empty() => {}
            None => return Choice::Ambiguous(ids(taken)),
            Some(choice) => return choice,
        }
    }
    for mut candidates in by_email {
        candidates.retain(|candidate| !candidate.taken);
        if let Some(choice) = pick(candidates, policy) {
            return choice;
        }
    }
    if may_create { Choice::Create } else { Choice::CreateRefused }
}

/// Which of the records that a duplicate rule found is the person who was to be created: a contact before a lead, and nobody who is
/// linked to another.
#[must_use]
pub fn choose_duplicate(found: Vec<Candidate<SalesforceId>>) -> Choice<SalesforceId> {
    let all = ids(found.clone());
    let free = found.into_iter().filter(|candidate| !candidate.taken);
    let (contacts, leads): (Vec<_>, Vec<_>) =
        free.partition(|candidate| PersonType::of(&candidate.id) == Some(PersonType::Contact));
    let equals = if contacts.is_empty() { leads } else { contacts };
    pick(equals, AmbiguousPerson::Park).unwrap_or(Choice::Ambiguous(all))
}

/// One of equal candidates; none when there are none.
fn pick<Id: Ord + Clone>(free: Vec<Candidate<Id>>, policy: AmbiguousPerson) -> Option<Choice<Id>> {
    let oldest =
        free.iter().min_by_key(|candidate| (candidate.created.is_none(), candidate.created, &candidate.id))?.id.clone();
    let ids = ids(free);
    Some(match (ids.len(), policy) {
        (1, _) | (_, AmbiguousPerson::Oldest) => Choice::Link(oldest),
        (_, AmbiguousPerson::Park) => Choice::Ambiguous(ids),
    })
}

fn ids<Id: Ord>(candidates: Vec<Candidate<Id>>) -> Vec<Id> {
    let distinct: BTreeSet<Id> = candidates.into_iter().map(|candidate| candidate.id).collect();
    distinct.into_iter().collect()
}

/// What a Salesforce lead or contact says about where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: SalesforceId,
    /// The winner, when this one lost a merge.
    pub master_record_id: Option<SalesforceId>,
    /// The contact, when this lead was converted.
    pub converted_contact_id: Option<SalesforceId>,
    pub is_deleted: bool,
}

impl Record {
    fn leads_to(&self) -> Option<&SalesforceId> {
        self.master_record_id.as_ref().filter(|_| self.is_deleted).or(self.converted_contact_id.as_ref())
    }
}

/// Where a person is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// In this record.
    Living(SalesforceId),
    /// Deleted, for all that is known.
    Gone,
    /// In this record, which was not among those given: read it and follow again.
    Unread(SalesforceId),
}

/// Follows merges and conversions from `start` to the record that lives now.
///
/// A record that leads back to one visited before is nowhere: that is `Gone`, which writes nothing by itself.
pub fn follow<'a>(start: &SalesforceId, read: impl Fn(&SalesforceId) -> Option<&'a Record>) -> Followed {
    let mut visited = BTreeSet::new();
    let mut id = start.clone();
    while visited.insert(id.clone()) {
        let Some(record) = read(&id) else { return Followed::Unread(id) };
        match record.leads_to() {
            Some(next) => id = next.clone(),
            None if record.is_deleted => return Followed::Gone,
            None => return Followed::Living(id),
        }
    }
    Followed::Gone
}

/// The records that merges and conversions lead through from `start` to `end`, which is where they lead; both are left out.
pub fn between<'a>(
    start: &SalesforceId,
    end: &SalesforceId,
    read: impl Fn(&SalesforceId) -> Option<&'a Record>,
) -> Vec<SalesforceId> {
    let next = |id: &SalesforceId| read(id).and_then(Record::leads_to).cloned();
    let mut way = BTreeSet::new();
    std::iter::successors(next(start), next).take_while(|id| id != end && way.insert(id.clone())).collect()
}

#[cfg(test)]
mod tests;
