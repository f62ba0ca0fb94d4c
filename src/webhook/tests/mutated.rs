//! Bodies that no vendor sends: broken by chance, or made to be costly. Each parser answers, and soon; what is read and written anew
//! is read the same.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::domain::hint::{Delivery, Hint, Operation};
use crate::domain::ids::SalesforceId;
use crate::fuzz::fuzz;
use crate::webhook::verify::{Keys, Signed, sign};
use crate::webhook::{marketo, salesforce, soap};

const ORGANIZATION: &str = "00D5w000004qGTOEA2";

#[test]
fn marketo() {
    fuzz("marketo_webhook", &["corpus/fuzz/marketo_webhook"], |bytes| {
        let Ok(delivery) = marketo::parse(bytes) else { return false };
        let [record] = &delivery.records[..] else { panic!("one call, one record: {delivery:?}") };
        let again = match &record.hint {
            Hint::ProgramMember { program_id, marketo_id, removed, status } => {
                let event = if *removed { "program_member.removed" } else { "program_member.changed" };
                json!({"v": 1, "event": event, "leadId": marketo_id, "programId": program_id.to_string(), "newStatus": status})
            }
            Hint::MarketoPerson { marketo_id } => json!({"event": "person.deleted", "leadId": marketo_id}),
            Hint::Program { program_id } => json!({"event": "program.changed", "programId": program_id}),
            other => panic!("not of Marketo: {other:?}"),
        };
        assert_eq!(marketo::parse(again.to_string().as_bytes()).as_ref(), Ok(&delivery), "{again}");
        true
    });
}

/// A delivery of Salesforce as it would be posted.
fn posted(delivery: &Delivery) -> Value {
    let optional = |id: &Option<SalesforceId>| id.as_ref().map(ToString::to_string);
    let record = |hint: &Hint| match hint {
        Hint::CampaignMember { member_id, campaign_id, person_id, operation, status, modified_by, modstamp } => {
            let of = |kind: &str| person_id.as_ref().filter(|id| id.prefix() == kind).map(ToString::to_string);
            let record = json!({"Id": member_id.to_string(), "CampaignId": optional(campaign_id), "LeadId": of("00Q"),
                "ContactId": of("003"), "Status": status, "SystemModstamp": modstamp.map(|at| at.to_string()),
                "LastModifiedById": optional(modified_by)});
            ("CampaignMember", *operation, record)
        }
        Hint::SalesforcePerson { person_id, operation, master_id, converted_contact_id } => {
            let object = if person_id.prefix() == "00Q" { "Lead" } else { "Contact" };
            let record = json!({"Id": person_id.to_string(), "MasterRecordId": optional(master_id),
                "IsConverted": converted_contact_id.is_some(), "ConvertedContactId": optional(converted_contact_id)});
            (object, *operation, record)
        }
        Hint::Campaign { campaign_id, operation } => ("Campaign", *operation, json!({"Id": campaign_id.to_string()})),
        Hint::CampaignMemberStatus { status_id, campaign_id, operation } => (
            "CampaignMemberStatus",
            *operation,
            json!({"Id": status_id.to_string(), "CampaignId": optional(campaign_id)}),
        ),
        other => panic!("not of Salesforce: {other:?}"),
    };
    let records: Vec<_> = delivery.records.iter().map(|delivered| record(&delivered.hint)).collect();
    let (object, operation) = (records[0].0, records[0].1.unwrap_or(Operation::Update));
    assert!(records.iter().all(|record| record.0 == object), "{records:?}");
    let records: Vec<_> = records.into_iter().map(|record| record.2).collect();
    json!({"object": object, "operation": operation, "orgId": ORGANIZATION, "records": records})
}

#[test]
fn salesforce() {
    let organization = ORGANIZATION.parse().unwrap();
    fuzz("salesforce_webhook", &["corpus/fuzz/salesforce_webhook"], |bytes| {
        let Ok(delivery) = salesforce::parse(bytes, "msg", Some(&organization)) else { return false };
        let again = posted(&delivery).to_string();
        assert_eq!(salesforce::parse(again.as_bytes(), "msg", Some(&organization)).as_ref(), Ok(&delivery), "{again}");
        true
    });
}

#[test]
fn outbound_messages() {
    let organization = ORGANIZATION.parse().unwrap();
    fuzz("outbound_message", &["corpus/fuzz/outbound_message"], |bytes| {
        let Ok(delivery) = soap::parse(bytes, Some(&organization)) else { return false };
        assert!(delivery.records.len() <= 100);
        for one in &delivery.records {
            assert!(one.delivery_id.as_ref().is_some_and(|id| !id.is_empty() && !id.contains('\0')), "{one:?}");
            // As signed JSON it would be the same, but for the operation, which a message does not tell.
            let alone = Delivery { records: vec![one.clone()], ..delivery.clone() };
            let json = salesforce::parse(posted(&alone).to_string().as_bytes(), "msg", None).unwrap();
            let told = format!("{:?}", json.records[0].hint).replace("Some(Update)", "None");
            assert_eq!(told, format!("{:?}", one.hint));
        }
        true
    });
}

#[test]
fn signatures() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let keys = Keys::new(&[SecretString::from(SECRET)], std::time::Duration::from_secs(300));
    let now = Timestamp::from_second(1_614_265_330).unwrap();
    fuzz("signature", &["corpus/fuzz/signature"], |bytes| {
        let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
        let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (id, timestamp, signature) = (text(), text(), text());
        let body = parts.next().unwrap_or_default();
        let admitted = keys.admit(Signed { id: &id, timestamp: &timestamp, signature: &signature }, body, now);
        // Nobody is let in but with the signature of just this.
        assert!(!admitted || signature.contains(&sign(SECRET, &id, &timestamp, body)), "{signature}");
        admitted
    });
}

#[test]
fn long_and_nasty_bodies_cost_their_length() {
    for piece in ["\"", "{{", "\" ", "\\", ":", ": ,", "{\"", "[", "\"\"\" "] {
        let body = piece.repeat(300_000 / piece.len());
        assert!(marketo::parse(body.as_bytes()).is_err(), "{piece}");
    }
    let attributes: String = (0..50_000).map(|n| format!(" a{n}='1'")).collect();
    assert!(soap::parse(format!("<a{attributes}/>").as_bytes(), None).is_err());
    let names: String = (0..20_000).map(|n| format!(" xmlns:a{n}='u'")).collect();
    assert!(soap::parse(format!("<a{names}/>").as_bytes(), None).is_err());
    // Deeper than anything that is sent.
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(200), close.repeat(200));
        assert!(marketo::parse(deep.as_bytes()).is_err() && salesforce::parse(deep.as_bytes(), "msg", None).is_err());
    }
}
