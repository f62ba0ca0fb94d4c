//! The state rules of the emulated org, one by one.

use serde_json::{Value, json};

use super::super::objects::Object;
use super::super::options::{DuplicateRule, FieldAccess, Options};
use super::super::world::Actor;
use super::super::{Fault, Id, World};
use super::world;

fn api(w: &World) -> Actor {
    Actor { user: w.api_user, api: true, call: 1, allow_save: false }
}

fn create(w: &mut World, object: Object, fields: Value) -> Result<Id, Fault> {
    w.create(&api(w), object, fields.as_object().unwrap())
}

fn update(w: &mut World, id: Id, fields: Value) -> Result<(), Fault> {
    w.update(&api(w), id, fields.as_object().unwrap())
}

fn value(w: &World, id: Id, name: &str) -> Value {
    w.read(w.row(id).unwrap(), name).to_json()
}

/// A campaign, a lead in it and the member.
fn seeded() -> (World, Id, Id, Id) {
    let mut w = world(Options::default());
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    let lead = w.add_lead("Ada", "L", "ada@x.example", "X").unwrap();
    let member = w.add_member(campaign, lead, None).unwrap();
    (w, campaign, lead, member)
}

#[test]
fn a_person_is_a_member_once() {
    let (mut w, campaign, lead, _) = seeded();
    let fault = create(&mut w, Object::CampaignMember, json!({"CampaignId": campaign, "LeadId": lead})).unwrap_err();
    assert_eq!(
        fault.of_call(),
        json!({"message": "Already a campaign member.", "errorCode": "DUPLICATE_VALUE", "fields": []})
    );
    assert_eq!(w.members(campaign).len(), 1);
}

#[test]
fn an_unknown_status_becomes_the_default_in_silence() {
    let (mut w, campaign, _, member) = seeded();
    update(&mut w, member, json!({"Status": "Responded"})).unwrap();
    assert_eq!(value(&w, member, "HasResponded"), true);
    assert_eq!(value(&w, member, "FirstRespondedDate"), "2026-11-23");
    for wrong in ["Attended", "responded"] {
        update(&mut w, member, json!({"Status": wrong})).unwrap();
        assert_eq!((value(&w, member, "Status"), value(&w, member, "HasResponded")), (json!("Sent"), json!(false)));
    }
    assert_eq!(value(&w, member, "FirstRespondedDate"), "2026-11-23");
    assert_eq!(w.counters.misuse.coerced_statuses, 2);
    w.add_status(campaign, "Attended", true).unwrap();
    update(&mut w, member, json!({"Status": "Attended"})).unwrap();
    assert_eq!(value(&w, member, "Status"), "Attended");
    assert_eq!(w.counters.misuse.coerced_statuses, 2);
}

#[test]
fn status_rows_keep_one_default_and_one_response() {
    let (mut w, campaign, _, _) = seeded();
    let ids: Vec<Id> = w.statuses(campaign).iter().map(|s| s.id).collect();
    let labels: Vec<&str> = w.statuses(campaign).iter().map(|s| s.text_of("Label")).collect();
    assert_eq!(labels, ["Sent", "Responded"]);
    let new = |label: &str, order: i64| json!({"CampaignId": campaign, "Label": label, "SortOrder": order});
    for refused in [new("Sent", 9), new("New", 2)] {
        assert_eq!(create(&mut w, Object::CampaignMemberStatus, refused).unwrap_err().code, "DUPLICATE_VALUE");
    }
    assert_eq!(update(&mut w, ids[0], json!({"IsDefault": false})).unwrap_err().code, "FIELD_INTEGRITY_EXCEPTION");
    assert_eq!(update(&mut w, ids[1], json!({"HasResponded": false})).unwrap_err().code, "FIELD_INTEGRITY_EXCEPTION");
    assert_eq!(w.delete(&api(&w), ids[0]).unwrap_err().code, "DELETE_FAILED");
    let third = w.add_status(campaign, "New", false).unwrap();
    assert_eq!(value(&w, third, "SortOrder"), 3);
    update(&mut w, third, json!({"IsDefault": true})).unwrap();
    assert_eq!(value(&w, ids[0], "IsDefault"), false);
    assert_eq!(update(&mut w, third, json!({"Label": "x"})).unwrap_err().code, "INVALID_FIELD_FOR_INSERT_UPDATE");
    assert_eq!(w.delete(&api(&w), ids[0]).unwrap_err().code, "DELETE_FAILED", "in use");
}

#[test]
fn a_renamed_or_redefined_status_takes_its_members_along_unseen() {
    let (mut w, campaign, _, member) = seeded();
    let sent = w.statuses(campaign)[0].id;
    w.commit();
    w.rename_status(sent, "Invited").unwrap();
    assert_eq!(value(&w, member, "Status"), "Invited");
    update(&mut w, sent, json!({"HasResponded": true})).unwrap();
    assert_eq!(value(&w, member, "HasResponded"), true);
    assert!(w.commit().iter().all(|c| c.row.object != Object::CampaignMember));
}

#[test]
fn conversion_keeps_the_row_and_freezes_the_lead() {
    let (mut w, campaign, lead, member) = seeded();
    let contact = w.convert_lead(lead).unwrap();
    let found = &w.members(campaign)[0];
    assert_eq!((found.id, found.lead, found.contact), (member, Some(lead), Some(contact)));
    assert_eq!(value(&w, member, "Type"), "Contact");
    assert_eq!(value(&w, lead, "ConvertedContactId"), json!(contact));
    assert_eq!(update(&mut w, lead, json!({"Title": "x"})).unwrap_err().code, "CANNOT_UPDATE_CONVERTED_LEAD");
    let other = w.add_campaign("D", "Webinar").unwrap();
    let fault = create(&mut w, Object::CampaignMember, json!({"CampaignId": other, "LeadId": lead})).unwrap_err();
    assert_eq!(fault.code, "CANNOT_UPDATE_CONVERTED_LEAD");
    let again = create(&mut w, Object::CampaignMember, json!({"CampaignId": campaign, "ContactId": contact}));
    assert_eq!(again.unwrap_err().code, "DUPLICATE_VALUE");
    assert_eq!(w.tally(campaign), [0, 1, 1, 0]);
}

#[test]
fn deletes_cascade_and_come_back_together() {
    let (mut w, campaign, lead, member) = seeded();
    w.commit();
    w.delete(&api(&w), lead).unwrap();
    assert!(w.live(member).is_none() && w.row(member).is_some());
    assert_eq!(w.tally(campaign), [0; 4]);
    let changes: Vec<_> = w.commit().iter().map(|c| (c.row.object, c.operation)).collect();
    assert_eq!(changes, [(Object::Lead, "delete")]);
    assert_eq!(update(&mut w, member, json!({"Status": "Sent"})).unwrap_err(), Fault::is_deleted());
    w.undelete(&w.as_person(), lead).unwrap();
    assert_eq!(w.members(campaign)[0].id, member);
    w.delete(&api(&w), campaign).unwrap();
    w.purge(campaign).unwrap();
    assert!(w.row(member).is_none());
    assert_eq!(update(&mut w, member, json!({"Status": "Sent"})).unwrap_err(), Fault::never_existed());
}

#[test]
fn a_removed_member_comes_back_under_a_new_id() {
    let (mut w, campaign, lead, member) = seeded();
    w.delete_member(member).unwrap();
    let second = w.add_member(campaign, lead, None).unwrap();
    assert_ne!(second, member);
    assert_eq!(w.undelete(&w.as_person(), member).unwrap_err().code, "DUPLICATE_VALUE");
}

#[test]
fn a_merge_hands_members_over_and_drops_doubles() {
    let (mut w, campaign, winner, kept) = seeded();
    let loser = w.add_lead("A", "L", "a@x.example", "X").unwrap();
    let other = w.add_campaign("D", "Webinar").unwrap();
    let double = w.add_member(campaign, loser, Some("Responded")).unwrap();
    let moved = w.add_member(other, loser, None).unwrap();
    w.commit();
    w.merge(&w.as_person(), winner, loser).unwrap();
    assert_eq!(value(&w, moved, "LeadId"), json!(winner));
    assert_eq!((value(&w, kept, "Status"), value(&w, double, "IsDeleted")), (json!("Sent"), json!(true)));
    assert_eq!(value(&w, loser, "MasterRecordId"), json!(winner));
    let seen: Vec<_> = w.commit().iter().map(|c| (c.row.id, c.operation)).collect();
    assert_eq!(seen, [(loser, "delete")]);
}

#[test]
fn fields_are_checked_with_the_words_of_salesforce() {
    let (mut w, campaign, lead, member) = seeded();
    let long = "x".repeat(256);
    for (object, fields, code, message) in [
        (
            Object::Lead,
            json!({}),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName, Company]".to_owned(),
        ),
        (
            Object::Lead,
            json!({"LastName": " ", "Company": "X"}),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName]".into(),
        ),
        (Object::Lead, json!({"Nope": 1}), "INVALID_FIELD", "No such column 'Nope' on sobject of type Lead".into()),
        (
            Object::Lead,
            json!({"Email": "badone"}),
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: badone".into(),
        ),
        (
            Object::Lead,
            json!({"Company": long}),
            "STRING_TOO_LONG",
            format!("Company: data value too large: {long} (max length=255)"),
        ),
        (
            Object::Lead,
            json!({"NumberOfEmployees": "forty"}),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of int from VALUE_STRING value forty".into(),
        ),
        (
            Object::Lead,
            json!({"LastName": 5}),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5".into(),
        ),
        (
            Object::CampaignMember,
            json!({"CampaignId": "701"}),
            "MALFORMED_ID",
            "Campaign ID: id value of incorrect type: 701".into(),
        ),
        (
            Object::CampaignMember,
            json!({"CampaignId": lead}),
            "MALFORMED_ID",
            format!("Campaign ID: id value of incorrect type: {lead}"),
        ),
        (
            Object::CampaignMember,
            json!({"CampaignId": Id::new("701", 5)}),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id".into(),
        ),
        (
            Object::CampaignMember,
            json!({"CampaignId": campaign}),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LeadId, ContactId]".into(),
        ),
    ] {
        let fault = create(&mut w, object, fields.clone()).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.message), (code, message), "{fields}");
    }
    for name in ["LeadId", "HasResponded", "FirstRespondedDate", "CampaignId"] {
        let fault = update(&mut w, member, json!({name: null})).unwrap_err();
        assert_eq!(
            (fault.code.as_str(), fault.fields),
            ("INVALID_FIELD_FOR_INSERT_UPDATE", Some(vec![name.to_owned()]))
        );
    }
}

#[test]
fn of_both_ids_only_the_contact_is_stored() {
    let (mut w, campaign, lead, _) = seeded();
    let contact = w.add_contact("C", "D", "c@x.example").unwrap();
    let fields = json!({"CampaignId": campaign, "LeadId": lead, "ContactId": contact});
    let id = create(&mut w, Object::CampaignMember, fields).unwrap();
    assert_eq!((value(&w, id, "LeadId"), value(&w, id, "ContactId")), (Value::Null, json!(contact)));
}

#[test]
fn duplicates_are_refused_unless_the_call_may_save_them() {
    let (mut w, ..) = seeded();
    let fields = json!({"LastName": "L", "Company": "X", "Email": "ADA@x.example"});
    let fault = create(&mut w, Object::Lead, fields.clone()).unwrap_err();
    assert_eq!(fault.of_call()["duplicateResut"]["matchResults"][0]["size"], 1);
    assert_eq!(
        fault.of_record()["errors"][0],
        json!({"statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": []})
    );
    let saving = Actor { allow_save: true, ..api(&w) };
    w.create(&saving, Object::Lead, fields.as_object().unwrap()).unwrap();
    assert_eq!(w.counters.misuse.duplicate_leads, 1);
    w.options.duplicate_rule = DuplicateRule::Block;
    assert_eq!(w.create(&saving, Object::Lead, fields.as_object().unwrap()).unwrap_err().code, "DUPLICATES_DETECTED");
}

#[test]
fn rights_of_the_api_user_are_those_of_the_options() {
    let mut w = world(Options { marketing_user: false, ..Options::default() });
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    let fault = create(&mut w, Object::Campaign, json!({"Name": "x"})).unwrap_err();
    assert_eq!(
        (fault.code.as_str(), fault.message.as_str()),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted: Campaign")
    );
    assert!(w.schema(true).named("CampaignMemberStatus").is_none());
    for access in [FieldAccess::Hidden, FieldAccess::ReadOnly] {
        w.set_options(Options { actual_cost: access, restricted_type: true, ..Options::default() });
        assert_eq!(
            update(&mut w, campaign, json!({"ActualCost": 1})).unwrap_err().code,
            "INVALID_FIELD_FOR_INSERT_UPDATE"
        );
    }
    assert_eq!(
        update(&mut w, campaign, json!({"Type": "Bogus"})).unwrap_err().code,
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    );
    w.set_options(Options::default());
    update(&mut w, campaign, json!({"Type": "Bogus", "ActualCost": 2500.5})).unwrap();
    assert_eq!(value(&w, campaign, "ActualCost"), 2501.0);
}

#[test]
fn writers_of_one_campaign_lock_each_other_out() {
    let (mut w, _, _, member) = seeded();
    update(&mut w, member, json!({"Status": "Responded"})).unwrap();
    let second = Actor { call: 2, ..api(&w) };
    let fields = json!({"Status": "Sent"});
    let fault = w.update(&second, member, fields.as_object().unwrap()).unwrap_err();
    assert_eq!((fault.status, fault.code.as_str()), (400, "UNABLE_TO_LOCK_ROW"));
    w.options.lock_campaigns = false;
    w.update(&second, member, fields.as_object().unwrap()).unwrap();
    assert_eq!(w.counters.misuse.parallel_campaign_writes, 2);
}

#[test]
fn a_failed_transaction_leaves_nothing_behind() {
    let (mut w, campaign, lead, member) = seeded();
    let start = w.savepoint();
    let new = w.add_lead("B", "B", "b@x.example", "X").unwrap();
    w.add_member(campaign, new, None).unwrap();
    w.delete(&api(&w), lead).unwrap();
    w.roll_back(start);
    assert!(w.row(new).is_none() && w.live(member).is_some());
    assert_eq!(w.tally(campaign), [1, 0, 0, 0]);
    assert_eq!(w.members(campaign).len(), 1);
}
