//! Who is chosen of which evidence, and where merges and conversions lead.

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
fn better_evidence_for_another_record_excludes_this_one() {
    let contact_before_lead =
        SalesforceEvidence { contacts: vec![free(CONTACT)], leads: vec![free(LEAD)], ..Default::default() };
    let choice = park(contact_before_lead.clone());
    assert!(choice.excludes(&id(LEAD)) && !choice.excludes(&id(CONTACT)));
    let several = SalesforceEvidence {
        contacts: vec![free(CONTACT), free(OTHER_CONTACT)],
        leads: vec![free(LEAD)],
        ..contact_before_lead
    };
    let choice = park(several);
    assert!(choice.excludes(&id(LEAD)) && !choice.excludes(&id(CONTACT)) && !choice.excludes(&id(OTHER_CONTACT)));
    let somebodys = SalesforceEvidence {
        contacts: vec![taken(CONTACT)],
        leads: vec![free(LEAD), free(OTHER_LEAD)],
        ..Default::default()
    };
    let choice = park(somebodys);
    assert!(!choice.excludes(&id(LEAD)) && !choice.excludes(&id(OTHER_LEAD)) && choice.excludes(&id(CONTACT)));
    let named = SalesforceEvidence { lead_id: Some(taken(OTHER_LEAD)), leads: vec![free(LEAD)], ..Default::default() };
    assert!(park(named).excludes(&id(LEAD)));
    assert!(!Choice::Create.excludes(&id(LEAD)) && !Choice::CreateRefused.excludes(&id(LEAD)));
}

#[test]
fn of_what_a_duplicate_rule_found_the_one_that_is_free_is_taken() {
    let link = |text| Choice::Link(id(text));
    assert_eq!(choose_duplicate(vec![free(LEAD), free(CONTACT), free(OTHER_LEAD)]), link(CONTACT));
    assert_eq!(choose_duplicate(vec![free(LEAD), taken(CONTACT)]), link(LEAD));
    let ambiguous = |ids: &[&str]| Choice::Ambiguous(ids.iter().map(|text| id(text)).collect());
    assert_eq!(choose_duplicate(vec![free(LEAD), free(OTHER_LEAD)]), ambiguous(&[LEAD, OTHER_LEAD]));
    assert_eq!(choose_duplicate(vec![taken(LEAD)]), ambiguous(&[LEAD]));
    assert_eq!(choose_duplicate(Vec::new()), ambiguous(&[]));
}

#[test]
fn the_second_of_an_address_is_another_lead_and_nobody_else_in_marketo() {
    assert_eq!(choose_second(Side::Salesforce, false), Choice::Create);
    assert_eq!(choose_second(Side::Salesforce, true), Choice::Ambiguous(Vec::new()));
    for guarded in [false, true] {
        assert_eq!(choose_second(Side::Marketo, guarded), Choice::Ambiguous(vec![()]));
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
fn the_way_to_who_lives_leaves_out_both_ends() {
    let records = [
        record("00Q000000000001", Some("00Q000000000002"), None, true),
        record("00Q000000000002", None, Some("003000000000003"), false),
        record("003000000000003", None, None, false),
    ];
    let way = |start: &str, end: &str| between(&id(start), &id(end), |id| records.iter().find(|r| r.id == *id));
    assert_eq!(way("00Q000000000001", "003000000000003"), [id("00Q000000000002")]);
    assert!(way("00Q000000000002", "003000000000003").is_empty());
    assert!(way("003000000000003", "003000000000003").is_empty());
}

#[test]
fn records_that_lead_to_each_other_lead_nowhere() {
    let records = [record(LEAD, Some(OTHER_LEAD), None, true), record(OTHER_LEAD, Some(LEAD), None, true)];
    assert_eq!(followed(LEAD, &records), Followed::Gone);
}
