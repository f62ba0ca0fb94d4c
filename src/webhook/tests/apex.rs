//! What the Apex of `integrations/salesforce` sends: the same samples stand in its tests and are verified and read here.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::super::salesforce;
use super::super::verify::{Keys, Signed};
use crate::domain::hint::{Hint, Operation};
use crate::domain::ids::SalesforceId;

const FIXTURE: &str = include_str!("../../../tests/fixtures/salesforce/apex.json");
const SAMPLES: &str =
    include_str!("../../../integrations/salesforce/force-app/main/default/classes/CampaignSyncSamples.cls");

fn id(text: &str) -> SalesforceId {
    text.parse().unwrap()
}

/// A text as Apex writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn hints() -> Vec<Hint> {
    let (member, campaign) = (id("00v4S000001VKQ1QAO"), id("7014S00000097HcQAI"));
    let (lead, contact, winner) = (id("00Q4S000002sSacUAE"), id("0034S000002sSac"), id("0034S000002sSad"));
    let of_member = |person_id, operation, status: &str| Hint::CampaignMember {
        member_id: member.clone(),
        campaign_id: Some(campaign.clone()),
        person_id: Some(person_id),
        operation: Some(operation),
        status: Some(status.to_owned()),
        modified_by: Some(id("0054S000000JFmhQAG")),
        modstamp: Some("2026-11-23T20:05:00Z".parse().unwrap()),
    };
    vec![
        of_member(lead.clone(), Operation::Update, "Attended \"live\""),
        of_member(contact.clone(), Operation::Delete, "Registered"),
        Hint::SalesforcePerson {
            person_id: lead,
            operation: Some(Operation::Update),
            master_id: None,
            converted_contact_id: Some(contact.clone()),
        },
        Hint::SalesforcePerson {
            person_id: contact,
            operation: Some(Operation::Delete),
            master_id: Some(winner),
            converted_contact_id: None,
        },
        Hint::Campaign { campaign_id: campaign.clone(), operation: Some(Operation::Undelete) },
    ]
}

#[test]
fn what_apex_sends_is_admitted_and_read() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let secret = fixture["secret"].as_str().unwrap();
    let keys = Keys::new(&[secret.into()], Duration::from_secs(300));
    let deliveries = fixture["deliveries"].as_array().unwrap();
    assert!(SAMPLES.contains(&literal(secret)), "CampaignSyncSamples.cls has another secret");
    let mut read = Vec::new();
    for delivery in deliveries {
        let text = |name: &str| delivery[name].as_str().unwrap();
        let (delivery_id, timestamp, body) = (text("webhook-id"), text("webhook-timestamp"), text("body"));
        let signed = Signed { id: delivery_id, timestamp, signature: text("webhook-signature") };
        let sent = Timestamp::from_second(timestamp.parse().unwrap()).unwrap();
        assert!(keys.admit(signed, body.as_bytes(), sent), "{body}");
        let delivery = salesforce::parse(body.as_bytes(), delivery_id, Some(&id("00D5w000004qGTOEA2"))).unwrap();
        read.extend(delivery.records.into_iter().map(|record| record.hint));
        for part in [delivery_id, timestamp, signed.signature, body] {
            assert!(SAMPLES.contains(&literal(part)), "CampaignSyncSamples.cls lacks {part}");
        }
    }
    assert_eq!(read, hints());
    assert_eq!(SAMPLES.matches("new Sample(").count(), deliveries.len(), "a sample is not in apex.json");
}
