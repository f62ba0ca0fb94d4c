//! The emulated org against recorded answers: the same files that the connector's parser is held to.
//!
//! An answer fits a recording when it has each of its keys with the same type; null fits everything. Errors are compared whole.
//! Queries are those of the recording: its keys are asked for.

use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{DuplicateRule, FieldAccess, Id, Options, soap};
use super::wire::{Org, open};

fn fixture(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/salesforce/");
    std::fs::read_to_string(format!("{path}{name}")).unwrap()
}

fn recorded(name: &str) -> Value {
    serde_json::from_str(&fixture(&format!("{name}.json"))).unwrap()
}

/// Where an answer lacks something of a recording.
fn lacks(recorded: &Value, ours: &Value, path: &str) -> Vec<String> {
    match (recorded, ours) {
        (Value::Null, _) | (_, Value::Null) => vec![],
        (Value::Object(recorded), Value::Object(ours)) => recorded
            .iter()
            .flat_map(|(key, value)| match ours.get(key) {
                Some(ours) => lacks(value, ours, &format!("{path}.{key}")),
                None => vec![format!("{path} has no {key}")],
            })
            .collect(),
        (Value::Array(recorded), Value::Array(ours)) => match (recorded.first(), ours.first()) {
            (Some(recorded), Some(ours)) => lacks(recorded, ours, &format!("{path}[]")),
            (Some(_), None) => vec![format!("{path} is empty")],
            (None, _) => vec![],
        },
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => vec![],
        _ => vec![format!("{path}: {recorded} was recorded, this is {ours}")],
    }
}

fn fits(name: &str, ours: &Value) {
    assert_eq!(lacks(&recorded(name), ours, name), [""; 0], "{ours}");
}

#[test]
fn what_a_recording_has_and_an_answer_lacks_is_found() {
    let recorded = json!({"a": [{"b": 1, "c": null}], "d": "x"});
    assert_eq!(lacks(&recorded, &json!({"a": [{"b": 2, "c": true}], "d": "y"}), ""), [""; 0]);
    assert_eq!(lacks(&recorded, &json!({"a": [{"c": 1}], "d": 5}), "").len(), 2);
    assert_eq!(lacks(&recorded, &json!({"a": [], "d": "x"}), ""), [".a is empty"]);
}

/// An org with one of everything, and its campaign, lead and member.
async fn org() -> (Org, Id, Id, Id) {
    let org = Org::new(Options::default()).await;
    let (campaign, lead, member) = org.salesforce.with(|w| {
        let campaign = w.add_campaign("Spring Webinar", "Webinar").unwrap();
        w.update(&w.as_person(), campaign, json!({"ActualCost": 2500}).as_object().unwrap()).unwrap();
        let lead = w.add_lead("Ada", "L", "ada@acme.test", "Acme").unwrap();
        (campaign, lead, w.add_member(campaign, lead, None).unwrap())
    });
    (org, campaign, lead, member)
}

/// The fields of a recorded record, those of parents behind a dot; of a parent that is not there the address was asked for.
fn select(record: &Value, parent: &str) -> Vec<String> {
    let fields = record.as_object().unwrap().iter().filter(|(key, _)| *key != "attributes");
    fields
        .flat_map(|(key, value)| match value {
            Value::Object(_) => select(value, &format!("{key}.")),
            Value::Null if key == "Contact" => vec!["Contact.Email".to_owned()],
            _ => vec![format!("{parent}{key}")],
        })
        .collect()
}

#[tokio::test]
async fn queries_bring_what_was_recorded() {
    let (org, ..) = org().await;
    for (name, object, call) in [
        ("campaigns", "Campaign", "query"),
        ("statuses", "CampaignMemberStatus", "query"),
        ("members", "CampaignMember", "query"),
        ("leads", "Lead", "query"),
        ("user", "User", "query"),
        ("duplicate_rules", "DuplicateRule", "query"),
        ("changed_campaigns", "Campaign", "queryAll"),
        ("changed_members", "CampaignMember", "queryAll"),
        ("departed_leads", "Lead", "queryAll"),
    ] {
        let fields = select(&recorded(name)["records"][0], "").join(", ");
        let request =
            org.call(Method::GET, &format!("/{call}")).query(&[("q", format!("SELECT {fields} FROM {object}"))]);
        let (status, ours) = open(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{name}: {ours}");
        fits(name, &ours);
        let keys = |answer: &Value| answer["records"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&ours), keys(&recorded(name)), "{name}: the order is that of the query");
    }
    fits("member_counts", &org.query("SELECT Status, COUNT(Id) held FROM CampaignMember GROUP BY Status").await.1);
}

#[tokio::test]
async fn logins_and_the_surroundings_are_as_recorded() {
    let (mut org, _, lead, _) = org().await;
    fits("token", &org.log_in().await.1);
    fits("userinfo", &org.get("/services/oauth2/userinfo").await.1);
    fits("versions", &open(org.client.get(format!("{}/services/data", org.url)).send().await.unwrap()).await.1);
    fits("limits", &org.get("/limits").await.1);
    let describe = org.get("/sobjects/Campaign/describe").await.1;
    fits("describe_campaign", &describe);
    let wrong = [("grant_type", "client_credentials"), ("client_id", "3MVG9campaignsync"), ("client_secret", "wrong")];
    let refused = org.client.post(format!("{}/services/oauth2/token", org.url)).form(&wrong).send().await.unwrap();
    assert_eq!(open(refused).await.1, recorded("token_refused"));
    let login = "<login><username>campaign-sync@acme.example</username><password>sandbox-passwordsandboxtoken</password></login>";
    let convert = format!(
        "<convertLead><leadConverts><leadId>{lead}</leadId><convertedStatus>Closed - Converted</convertedStatus>\
         <doNotCreateOpportunity>true</doNotCreateOpportunity></leadConverts></convertLead>"
    );
    for (name, call) in [("soap_login", login.to_owned()), ("soap_converted", convert)] {
        let ours = org.soap(&call).await.1;
        let same = soap::read(fixture(&format!("{name}.xml")).as_bytes())
            .unwrap()
            .1
            .lacking_in(&soap::read(ours.as_bytes()).unwrap().1);
        assert_eq!(same, [""; 0], "{name}: {ours}");
    }
    org.token = "dead".into();
    assert_eq!(org.get("/limits").await.1, recorded("session_expired"));
}

impl soap::Element {
    /// Elements that this one has and another lacks.
    fn lacking_in(&self, other: &Self) -> Vec<String> {
        let find = |child: &Self| {
            other.child(&child.name).map_or_else(|| vec![child.name.clone()], |other| child.lacking_in(other))
        };
        self.children.iter().flat_map(find).collect()
    }
}

#[tokio::test]
async fn refusals_are_word_for_word_as_recorded() {
    let (org, campaign, lead, member) = org().await;
    let twin = json!({"LastName": "L", "Company": "Acme", "Email": "ada@acme.test"});
    let (_, found) = org.send(Method::POST, "/sobjects/Lead", twin.clone()).await;
    fits("duplicates_detected", &found);
    assert_eq!(found[0]["message"], recorded("duplicates_detected")[0]["message"]);
    let mut record = twin;
    record["attributes"] = json!({"type": "Lead"});
    assert_eq!(
        org.send(Method::POST, "/composite/sobjects", json!({"records": [record]})).await.1,
        recorded("collection_duplicate")
    );
    let again = json!({"attributes": {"type": "CampaignMember"}, "CampaignId": campaign, "LeadId": lead});
    org.send(Method::DELETE, &format!("/sobjects/CampaignMember/{member}"), Value::Null).await;
    let both = org.send(Method::POST, "/composite/sobjects", json!({"records": [again, again]})).await.1;
    fits("collection_created", &both);
    assert_eq!(both[1], recorded("collection_created")[1]);
    let id = both[0]["id"].as_str().unwrap();
    let gone = org.send(Method::DELETE, &format!("/composite/sobjects?ids={id},{id}"), Value::Null).await.1;
    fits("collection_deleted", &gone);
    assert_eq!(gone[1], recorded("collection_deleted")[1]);
    assert_eq!(
        org.send(Method::DELETE, &format!("/sobjects/CampaignMember/{id}"), Value::Null).await.1,
        recorded("entity_deleted")
    );
    assert_eq!(org.get(&format!("/sobjects/CampaignMember/{id}")).await.1, recorded("not_found"));
    assert_eq!(
        org.send(Method::POST, "/sobjects/Lead", json!({"LastName": "X"})).await.1,
        recorded("required_missing")
    );

    org.salesforce.with(|w| w.locks.insert(lead, 1));
    let locked = org.send(Method::PATCH, &format!("/sobjects/Lead/{lead}"), json!({"Title": "T"})).await.1;
    let wanted = recorded("row_locked").to_string().replace("0013000000ABCDeAAF", &lead.to_string());
    assert_eq!(locked, serde_json::from_str::<Value>(&wanted).unwrap());
    org.salesforce.with(|w| {
        w.set_options(Options {
            actual_cost: FieldAccess::Hidden,
            duplicate_rule: DuplicateRule::Off,
            ..Options::default()
        })
    });
    assert_eq!(
        org.query("SELECT Id, Name, IsActive, Type, ActualCost FROM Campaign").await.1,
        recorded("invalid_field")
    );
    assert_eq!(org.query("SELECT Bacon__c FROM Account LIMIT 2").await.1, recorded("unknown_column"));
    org.seconds.fetch_add(300, Ordering::Relaxed);
    let window = |start: &str| format!("/sobjects/CampaignMember/deleted/?start={start}&end=2026-11-23T20:09:00Z");
    fits("deleted_members", &org.get(&window("2026-11-23T20:05:00Z")).await.1);
    assert_eq!(org.get(&window("2026-11-01T00:00:00Z")).await.1, recorded("replication_date"));
    let path = "/services/data/v60.0/sobjects/Lead";
    let parts = json!({"compositeRequest": [
        {"method": "POST", "url": path, "referenceId": "lead1", "body": {"LastName": "A", "Company": "B"}},
        {"method": "PATCH", "url": format!("{path}/@{{lead1.id}}"), "referenceId": "lead2", "body": {"Title": "T"}}]});
    let composite = org.send(Method::POST, "/composite", parts).await.1;
    fits("composite", &composite);
    assert_eq!(composite["compositeResponse"][1], recorded("composite")["compositeResponse"][1]);
    org.control(Method::PUT, "/quota", json!({"left": 0})).await;
    assert_eq!(org.get("/limits").await.1, recorded("limit_exceeded"));
}
