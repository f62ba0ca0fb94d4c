//! What the profile of the API user opens and closes, and what a checklist reads of the org.

use serde_json::{Value, json};

use super::super::World;
use super::super::objects::Object;
use super::super::options::{DuplicateRule, Options};
use super::{get, user, world};

fn query(w: &mut World, soql: &str) -> (u16, Value) {
    get(w, &["query"], &[("q", soql)])
}

#[test]
fn hidden_objects_are_not_there_and_read_only_ones_cannot_be_written() {
    let mut w = world(Options {
        hidden_objects: vec!["CampaignMemberStatus".into()],
        read_only_objects: vec!["CampaignMember".into()],
        ..Options::default()
    });
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    let lead = w.add_lead("Ada", "L", "ada@x.example", "X").unwrap();
    let member = w.add_member(campaign, lead, None).unwrap();
    assert_eq!(get(&mut w, &["sobjects", "CampaignMemberStatus", "describe"], &[]).0, 404);
    let (status, body) = query(&mut w, "SELECT Id FROM CampaignMemberStatus");
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_TYPE")));

    let describe = get(&mut w, &["sobjects", "CampaignMember", "describe"], &[]).1;
    for may in ["createable", "updateable", "deletable"] {
        assert_eq!(describe[may], false, "{may}");
    }
    assert_eq!(describe["queryable"], true);
    let actor = user(&w);
    let fields = json!({"Status": "Responded"});
    let refused = w.update(&actor, member, fields.as_object().unwrap()).unwrap_err();
    assert_eq!(refused.code, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY");
    assert_eq!(w.delete(&actor, member).unwrap_err().code, "INSUFFICIENT_ACCESS_OR_READONLY");
    w.set_member_status(member, "Responded").unwrap();
}

#[test]
fn a_read_only_field_is_described_as_one_and_refused() {
    let mut w = world(Options { read_only_fields: vec!["Campaign.Type".into()], ..Options::default() });
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    let describe = get(&mut w, &["sobjects", "Campaign", "describe"], &[]).1;
    let fields = describe["fields"].as_array().unwrap();
    let field = fields.iter().find(|field| field["name"] == "Type").unwrap();
    assert_eq!((&field["updateable"], &field["createable"]), (&json!(false), &json!(false)));
    let actor = user(&w);
    let refused = w.update(&actor, campaign, json!({"Type": "Email"}).as_object().unwrap()).unwrap_err();
    assert_eq!(refused.code, "INVALID_FIELD_FOR_INSERT_UPDATE");
    w.update(&actor, campaign, json!({"ActualCost": 5}).as_object().unwrap()).unwrap();
}

#[test]
fn a_required_field_of_the_customers_own_keeps_leads_out() {
    let mut w = world(Options { required_lead_field: "Region__c".into(), ..Options::default() });
    let actor = user(&w);
    let lead = json!({"LastName": "L", "Company": "X"});
    let refused = w.create(&actor, Object::Lead, lead.as_object().unwrap()).unwrap_err();
    assert_eq!(refused.of_call()["fields"], json!(["Region__c"]));
    let lead = json!({"LastName": "L", "Company": "X", "Region__c": "North"});
    w.create(&actor, Object::Lead, lead.as_object().unwrap()).unwrap();
}

#[test]
fn duplicate_rules_are_rows_that_follow_the_switch() {
    let active = "SELECT DeveloperName, SobjectType FROM DuplicateRule WHERE IsActive = true";
    let mut w = world(Options::default());
    let found = query(&mut w, active).1;
    assert_eq!(found["totalSize"], 2);
    assert_eq!(found["records"][0]["DeveloperName"], "Standard_Lead_Duplicate_Rule");
    w.set_options(Options { duplicate_rule: DuplicateRule::Off, ..Options::default() });
    assert_eq!(query(&mut w, active).1["totalSize"], 0);
    assert_eq!(query(&mut w, "SELECT Id FROM DuplicateRule").1["totalSize"], 2);
}

#[test]
fn lookups_to_several_objects_or_to_absent_ones_are_described_and_read() {
    let mut w = world(Options::default());
    let lead = w.add_lead("A", "L", "a@x.example", "X").unwrap();
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    w.add_member(campaign, lead, None).unwrap();
    for (object, name, to) in [
        ("CampaignMember", "LeadOrContactId", json!(["Contact", "Lead"])),
        ("Campaign", "CampaignMemberRecordTypeId", json!(["RecordType"])),
        ("Lead", "ConvertedOpportunityId", json!(["Opportunity"])),
    ] {
        let describe = get(&mut w, &["sobjects", object, "describe"], &[]).1;
        let field = describe["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
        let shown = (&field["type"], &field["referenceTo"], &field["picklistValues"], &field["soapType"]);
        assert_eq!(shown, (&json!("reference"), &to, &json!([]), &json!("tns:ID")), "{name}");
        assert_eq!(field["polymorphicForeignKey"], to.as_array().unwrap().len() > 1);
        let found = query(&mut w, &format!("SELECT {name} FROM {object}")).1["records"][0][name].clone();
        assert_eq!(found, if name == "LeadOrContactId" { json!(lead) } else { Value::Null }, "{name}");
    }
}
