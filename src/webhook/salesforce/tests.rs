//! Signed deliveries as tables.

use serde_json::json;

use super::*;

const MEMBER: &str = "00v4S000001VKQ1QAO";
const CAMPAIGN: &str = "7014S00000097HcQAI";
const LEAD: &str = "00Q4S000002sSacUAE";
const ORG: &str = "00D5w000004qGTOEA2";

fn id(text: &str) -> SalesforceId {
    text.parse().unwrap()
}

fn check(body: &Value, expected: Result<Vec<Hint>, &str>) {
    match (parse(body.to_string().as_bytes(), "msg_1", Some(&id(ORG))), expected) {
        (Ok(delivery), Ok(hints)) => {
            let record = |(position, hint)| DeliveredHint { delivery_id: Some("msg_1".to_owned()), position, hint };
            assert_eq!(delivery.records, (0..).zip(hints).map(record).collect::<Vec<_>>(), "{body}");
        }
        (Err(refusal), Err(part)) => assert!(refusal.to_string().contains(part), "{body}\n{refusal}"),
        (outcome, _) => panic!("{body}\n{outcome:?}"),
    }
}

fn of(object: &str, operation: &str, records: Value) -> Value {
    json!({"object": object, "operation": operation, "orgId": ORG, "records": records})
}

fn member(person: Option<&str>, status: Option<&str>, modstamp: Option<&str>) -> Hint {
    Hint::CampaignMember {
        member_id: id(MEMBER),
        campaign_id: Some(id(CAMPAIGN)),
        person_id: person.map(id),
        operation: Some(Operation::Update),
        status: status.map(str::to_owned),
        modified_by: None,
        modstamp: modstamp.map(|text| text.parse().unwrap()),
    }
}

#[test]
fn campaign_members() {
    let contact = "0034S000002sSacQAE";
    for (fields, hint) in [
        (json!({}), member(None, None, None)),
        (json!({"LeadId": LEAD, "ContactId": null, "Status": "Attended"}), member(Some(LEAD), Some("Attended"), None)),
        (json!({"LeadId": LEAD, "ContactId": contact}), member(Some(contact), None, None)),
        (
            json!({"LeadId": &LEAD[..15], "Status": null, "attributes": {"type": "x"}, "OldStatus": 4}),
            member(Some(LEAD), None, None),
        ),
        (json!({"SystemModstamp": "2026-11-23T20:05:00.000+0000"}), member(None, None, Some("2026-11-23T20:05:00Z"))),
        (json!({"SystemModstamp": "2026-11-23T20:05:00.000Z"}), member(None, None, Some("2026-11-23T20:05:00Z"))),
        (json!({"SystemModstamp": "yesterday"}), member(None, None, None)),
    ] {
        let mut record = json!({"Id": MEMBER, "CampaignId": CAMPAIGN});
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        check(&of("CampaignMember", "update", json!([record])), Ok(vec![hint]));
    }
    let bare =
        json!({"object": "CampaignMember", "operation": "update", "records": [{"Id": MEMBER, "CampaignId": CAMPAIGN}]});
    check(&bare, Ok(vec![member(None, None, None)]));
    let many = Value::Array(vec![json!({"Id": MEMBER, "CampaignId": CAMPAIGN}); 200]);
    check(&of("CampaignMember", "update", many), Ok(vec![member(None, None, None); 200]));
}

#[test]
fn other_objects() {
    let (contact, winner) = (id("0034S000002sSac"), id("00Q4S000002sSad"));
    let person = |person_id, operation, master_id, converted_contact_id| Hint::SalesforcePerson {
        person_id,
        operation: Some(operation),
        master_id,
        converted_contact_id,
    };
    for (object, operation, record, hint) in [
        (
            "Lead",
            "delete",
            json!({"Id": LEAD, "MasterRecordId": winner}),
            person(id(LEAD), Operation::Delete, Some(winner), None),
        ),
        (
            "Lead",
            "update",
            json!({"Id": LEAD, "IsConverted": true, "ConvertedContactId": contact, "MasterRecordId": null}),
            person(id(LEAD), Operation::Update, None, Some(contact.clone())),
        ),
        ("Contact", "undelete", json!({"Id": contact}), person(contact.clone(), Operation::Undelete, None, None)),
        (
            "Campaign",
            "insert",
            json!({"Id": CAMPAIGN}),
            Hint::Campaign { campaign_id: id(CAMPAIGN), operation: Some(Operation::Insert) },
        ),
        (
            "CampaignMemberStatus",
            "delete",
            json!({"Id": "01YPn000007HnTJMA0", "CampaignId": CAMPAIGN}),
            Hint::CampaignMemberStatus {
                status_id: id("01YPn000007HnTJ"),
                campaign_id: Some(id(CAMPAIGN)),
                operation: Some(Operation::Delete),
            },
        ),
    ] {
        check(&of(object, operation, json!([record])), Ok(vec![hint]));
    }
}

#[test]
fn refusals() {
    let good = json!([{"Id": MEMBER}]);
    for (body, part) in [
        (of("Opportunity", "update", good.clone()), "object: must be one of CampaignMember, Lead"),
        (of("campaignmember", "update", good.clone()), "object"),
        (of("CampaignMember", "upsert", good.clone()), "operation: must be one of insert, update"),
        (of("CampaignMember", "update", json!([])), "1 to 200"),
        (of("CampaignMember", "update", json!({"Id": MEMBER})), "1 to 200"),
        (of("CampaignMember", "update", Value::Array(vec![json!({"Id": MEMBER}); 201])), "1 to 200"),
        (of("CampaignMember", "update", json!([7])), "records[0]: must be an object"),
        (of("CampaignMember", "update", json!([{}])), "records[0].Id: is missing"),
        (of("CampaignMember", "update", json!([{"Id": null}])), "records[0].Id: is missing"),
        (
            of("CampaignMember", "update", json!([{"Id": MEMBER}, {"Id": "00v4S0"}])),
            "records[1].Id: a Salesforce id has",
        ),
        (of("CampaignMember", "update", json!([{"Id": 7}])), "a Salesforce id has"),
        (of("CampaignMember", "update", json!([{"Id": "00v4S000001VKQ1QAA"}])), "do not match"),
        (of("CampaignMember", "update", json!([{"Id": LEAD}])), "begins with 00v"),
        (
            of("CampaignMember", "update", json!([{"Id": MEMBER, "LeadId": MEMBER}])),
            "records[0].LeadId: must be an id that begins with 00Q",
        ),
        (of("CampaignMember", "update", json!([{"Id": MEMBER, "CampaignId": "x"}])), "records[0].CampaignId"),
        (of("Contact", "update", json!([{"Id": LEAD}])), "begins with 003"),
        (
            json!({"object": "Campaign", "operation": "update", "orgId": "00D4S000000oz4eUAA", "records": [{"Id": CAMPAIGN}]}),
            "another organisation",
        ),
        (
            json!({"object": "Campaign", "operation": "update", "orgId": LEAD, "records": [{"Id": CAMPAIGN}]}),
            "begins with 00D",
        ),
        (
            json!({"object": "Campaign", "operation": "update", "orgId": "00D", "records": [{"Id": CAMPAIGN}]}),
            "orgId: a Salesforce id",
        ),
        (json!([]), "must be an object"),
    ] {
        check(&body, Err(part));
    }
    let deep = "[".repeat(100_000);
    for body in ["", "{", "<a/>", "\u{feff}x", deep.as_str()] {
        assert!(matches!(parse(body.as_bytes(), "m", None), Err(Refusal::Malformed(_))), "{:.20}", body);
    }
    let Err(Refusal::Invalid(errors)) =
        parse(of("Lead", "update", Value::Array(vec![json!({}); 200])).to_string().as_bytes(), "m", None)
    else {
        panic!("accepted");
    };
    assert_eq!(errors.len(), MOST_ERRORS);
}

#[test]
fn the_organisation_is_compared_on_fifteen_characters_and_only_when_known() {
    let body = |org: &str| {
        json!({"object": "Campaign", "operation": "update", "orgId": org, "records": [{"Id": CAMPAIGN}]}).to_string()
    };
    assert!(parse(body(&ORG[..15]).as_bytes(), "m", Some(&id(ORG))).is_ok());
    assert!(parse(body("00D4S000000oz4e").as_bytes(), "m", None).is_ok());
}
