//! Who is who: which record of the other side a person is linked to.
//!
//! Owns the order of evidence, what to do when several would do, and following merges and conversions. Must not know how
//! candidates are found, nor create anybody: creating takes a lease and an intent, which are the worker's.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::ids::{MarketoId, SalesforceId};
use super::mapping::AmbiguousPerson;

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
        // Marketo answers a second person of one address with the first, so nobody can be created.
        let claimed = self.by_email.iter().all(|candidate| candidate.taken).then(|| ids(self.by_email.clone()));
        match choose([self.by_salesforce_id, self.external], [self.by_email], policy, may_create) {
            Choice::Create => match claimed.filter(|ids| !ids.is_empty()) {
                Some(ids) => Choice::Ambiguous(ids),
                None => Choice::Create,
            },
            other => other,
        }
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
        let next = record.master_record_id.as_ref().filter(|_| record.is_deleted);
        match next.or(record.converted_contact_id.as_ref()) {
            Some(next) => id = next.clone(),
            None if record.is_deleted => return Followed::Gone,
            None => return Followed::Living(id),
        }
    }
    Followed::Gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: &str = "00Q4S00000000LA";
    const OTHER_LEAD: &str = "00Q4S00000000LB";
    const CONTACT: &str = "0034S00000000CA";
    const OTHER_CONTACT: &str = "0034S00000000CB";

    fn id(text: &str) -> SalesforceId {
        text.parse().unwrap()
    }

    fn at(text: &str, second: i64, taken: bool) -> Candidate<SalesforceId> {
        Candidate { id: id(text), created: Some(Timestamp::from_second(second).unwrap()), taken }
    }

    fn free(text: &str) -> Candidate<SalesforceId> {
        at(text, 0, false)
    }

    fn taken(text: &str) -> Candidate<SalesforceId> {
        at(text, 0, true)
    }

    fn park(evidence: SalesforceEvidence) -> Choice<SalesforceId> {
        evidence.choose(AmbiguousPerson::Park, true)
    }

    #[test]
    fn the_strongest_evidence_decides() {
        let mut all = SalesforceEvidence {
            contact_id: Some(free(CONTACT)),
            lead_id: Some(free(LEAD)),
            external: vec![free(OTHER_LEAD)],
            contacts: vec![free(OTHER_CONTACT)],
            leads: vec![free("00Q4S00000000LC")],
        };
        assert_eq!(park(all.clone()), Choice::Link(id(CONTACT)));
        all.contact_id = None;
        assert_eq!(park(all.clone()), Choice::Link(id(LEAD)));
        all.lead_id = None;
        assert_eq!(park(all.clone()), Choice::Link(id(OTHER_LEAD)));
        all.external.clear();
        assert_eq!(park(all.clone()), Choice::Link(id(OTHER_CONTACT)));
        all.contacts.clear();
        assert_eq!(park(all.clone()), Choice::Link(id("00Q4S00000000LC")));
        all.leads.clear();
        assert_eq!(park(all.clone()), Choice::Create);
        assert_eq!(all.choose(AmbiguousPerson::Park, false), Choice::CreateRefused);
    }

    #[test]
    fn several_equal_candidates_wait_or_the_oldest_is_taken() {
        let several = SalesforceEvidence {
            contacts: vec![at(OTHER_CONTACT, 5, false), at(CONTACT, 9, false)],
            leads: vec![free(LEAD)],
            ..SalesforceEvidence::default()
        };
        assert_eq!(park(several.clone()), Choice::Ambiguous(vec![id(CONTACT), id(OTHER_CONTACT)]));
        assert_eq!(several.choose(AmbiguousPerson::Oldest, false), Choice::Link(id(OTHER_CONTACT)));
        let undated = Candidate { created: None, ..free(LEAD) };
        let leads = SalesforceEvidence { leads: vec![undated, at(OTHER_LEAD, 9, false)], ..Default::default() };
        assert_eq!(leads.choose(AmbiguousPerson::Oldest, true), Choice::Link(id(OTHER_LEAD)));
        let twice = SalesforceEvidence { leads: vec![free(LEAD), free(LEAD)], ..Default::default() };
        assert_eq!(park(twice), Choice::Link(id(LEAD)));
    }

    #[test]
    fn an_address_of_someone_else_is_no_evidence() {
        let evidence = SalesforceEvidence {
            contacts: vec![taken(CONTACT)],
            leads: vec![taken(LEAD), free(OTHER_LEAD)],
            ..SalesforceEvidence::default()
        };
        assert_eq!(park(evidence), Choice::Link(id(OTHER_LEAD)));
        let evidence = SalesforceEvidence { contacts: vec![taken(CONTACT)], ..Default::default() };
        assert_eq!(park(evidence), Choice::Create);
    }

    #[test]
    fn an_id_of_someone_else_is_an_ambiguity_that_no_policy_resolves() {
        for policy in [AmbiguousPerson::Park, AmbiguousPerson::Oldest] {
            let evidence = SalesforceEvidence {
                lead_id: Some(taken(LEAD)),
                leads: vec![free(OTHER_LEAD)],
                ..SalesforceEvidence::default()
            };
            assert_eq!(evidence.choose(policy, true), Choice::Ambiguous(vec![id(LEAD)]));
        }
    }

    #[test]
    fn marketo_persons_are_chosen_alike() {
        let person = |id, taken| Candidate { id, created: None, taken };
        let evidence = MarketoEvidence { by_email: vec![person(2, true), person(7, false)], ..Default::default() };
        assert_eq!(evidence.clone().choose(AmbiguousPerson::Park, true), Choice::Link(7));
        let evidence = MarketoEvidence { by_salesforce_id: vec![person(9, false), person(3, false)], ..evidence };
        assert_eq!(evidence.clone().choose(AmbiguousPerson::Park, true), Choice::Ambiguous(vec![3, 9]));
        assert_eq!(evidence.choose(AmbiguousPerson::Oldest, true), Choice::Link(3));
        let evidence = MarketoEvidence { by_email: vec![person(2, true)], ..Default::default() };
        assert_eq!(evidence.choose(AmbiguousPerson::Park, true), Choice::Ambiguous(vec![2]));
        assert_eq!(MarketoEvidence::default().choose(AmbiguousPerson::Park, true), Choice::Create);
    }

    fn record(text: &str, master: Option<&str>, contact: Option<&str>, is_deleted: bool) -> Record {
        let (master_record_id, converted_contact_id) = (master.map(id), contact.map(id));
        Record { id: id(text), master_record_id, converted_contact_id, is_deleted }
    }

    fn followed(start: &str, records: &[Record]) -> Followed {
        follow(&id(start), |id| records.iter().find(|record| record.id == *id))
    }

    #[test]
    fn merges_and_conversions_lead_to_who_lives() {
        let records = [
            record(LEAD, Some(OTHER_LEAD), None, true),
            record(OTHER_LEAD, None, Some(CONTACT), false),
            record(CONTACT, None, None, false),
            record("00Q4S00000000LD", None, None, true),
        ];
        for start in [LEAD, OTHER_LEAD, CONTACT] {
            assert_eq!(followed(start, &records), Followed::Living(id(CONTACT)), "{start}");
        }
        assert_eq!(followed("00Q4S00000000LD", &records), Followed::Gone);
        assert_eq!(followed(LEAD, &records[..1]), Followed::Unread(id(OTHER_LEAD)));
    }

    #[test]
    fn records_that_lead_to_each_other_lead_nowhere() {
        let records = [record(LEAD, Some(OTHER_LEAD), None, true), record(OTHER_LEAD, Some(LEAD), None, true)];
        assert_eq!(followed(LEAD, &records), Followed::Gone);
    }
}
