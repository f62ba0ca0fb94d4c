//! Flow actions and the filter as they are asked for: what is refused, who is rejected, what is answered before anything is done.

use serde_json::{Value, json};

use super::vendors::campaign;
use super::{BOOTSTRAP, Service};
use crate::support::on_both;

const LEAD: &str = "00Q5g0000000001EAA";

fn with(more: &Value) -> Value {
    let mut body = json!({"campaign_id": campaign('1'), "status": "Attended", "people": [{"marketo_id": 1}]});
    let fields = body.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(fields.remove(name)),
            value => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    body
}

on_both! {
    async fn what_cannot_be_asked_for_is_refused_and_nothing_is_stored(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mistyped = campaign('1').replace("7015g", "7015G");
        let many: Vec<Value> = vec![json!({}); 10_001];
        for (action, more, status, code, field) in [
            ("add-to-campaign", json!({"campaign_id": mistyped}), 422, "invalid-input", "campaign_id"),
            ("add-to-campaign", json!({"campaign_id": LEAD}), 422, "invalid-input", "campaign_id"),
            ("add-to-campaign", json!({"campaign_id": campaign('0')}), 422, "unknown-campaign", ""),
            ("add-to-campaign", json!({"campaign_id": null}), 422, "invalid-input", "campaign_id"),
            ("add-to-campaign", json!({"status": null}), 422, "invalid-input", "status"),
            ("add-to-campaign", json!({"status": ""}), 422, "invalid-input", "status"),
            ("add-to-campaign", json!({"status": "attended"}), 422, "unknown-status", ""),
            ("change-status", json!({"status": "Attended "}), 422, "unknown-status", ""),
            ("change-status", json!({"status": 7}), 422, "invalid-input", "status"),
            ("add-to-campaign", json!({"people": []}), 422, "invalid-input", "people"),
            ("add-to-campaign", json!({"people": null}), 422, "invalid-input", "people"),
            ("add-to-campaign", json!({"people": null, "leadId": ""}), 422, "invalid-input", "people"),
            ("add-to-campaign", json!({"people": null, "leadId": "{{lead.Id}}"}), 422, "invalid-input", "people"),
            ("add-to-campaign", json!({"people": ["a@b.c"]}), 422, "invalid-input", "people[0]"),
            ("add-to-campaign", json!({"people": [{"name": "Ada"}]}), 422, "invalid-input", "people[0].name"),
            ("add-to-campaign", json!({"leadId": 7}), 422, "invalid-input", "leadId"),
            ("add-to-campaign", json!({"program_id": "seven"}), 422, "invalid-input", "program_id"),
            ("add-to-campaign", json!({"program_id": -7}), 422, "invalid-input", "program_id"),
            ("add-to-campaign", json!({"colour": "red"}), 422, "invalid-input", "colour"),
            ("add-to-campaign", json!({"people": many}), 413, "body-too-large", ""),
        ] {
            let answer = service.post(&format!("flow-actions/{action}"), with(&more)).await;
            assert_eq!(answer.problem(), (status, code.to_owned()), "{action} {}: {}", more, answer.text);
            if !field.is_empty() {
                assert_eq!(answer.json()["errors"][0]["field"], field, "{more}: {}", answer.text);
            }
        }
        let refused = service.post("flow-actions/change-status", with(&json!({"status": "x"}))).await.expect(422).json();
        assert_eq!(refused["statuses"], json!(["Invited", "Registered", "Attended"]));
        for (path, body, status) in [("add-to-campaign", "{", 400), ("add-to-campaign", "", 400), ("add-to-campaign?wait=maybe", "{}", 422), ("add-to-campaign?tail=1", "{}", 422)] {
            assert_eq!(service.ask("POST", &format!("flow-actions/{path}"), &[], body).await.status.as_u16(), status, "{path} {body}");
        }
        assert_eq!(service.get("flow-actions/0193a3f0-7b1e-7c40-8a52-3d5f1e2c9b10").await.problem(), (404, "not-found".to_owned()));
        assert!(service.store.tracked_campaigns(None).await.unwrap().is_empty(), "a refused campaign is tracked");
        assert_eq!(service.get("changes").await.json()["data"], json!([]));
    }

    async fn each_person_is_queued_or_rejected_with_the_reason(database: TestDatabase) {
        let service = Service::new(&database).await;
        let people = json!([
            {"marketo_id": 318_592}, {"marketo_id": "318593"}, {"email": "Ada@People.Example"}, {"salesforce_id": &LEAD[..15]},
            {"marketo_id": 318_592}, {"email": "ada@people.example"}, {"salesforce_id": LEAD},
            {"marketo_id": 0}, {"marketo_id": "12x"}, {"email": "ada"}, {"email": "a b@c.d"}, {"salesforce_id": "00Q5g0000000001EAB"},
            {"salesforce_id": campaign('1')}, {}, {"email": ""}, {"marketo_id": 7, "email": "a@b.c"},
        ]);
        let answer = service.post("flow-actions/add-to-campaign", with(&json!({ "people": people, "program_id": "1044" }))).await.expect(202);
        let body = answer.json();
        let told: Vec<_> = body["results"].as_array().unwrap().iter().map(|result| {
            assert_eq!(result["change_id"].is_null(), result["outcome"] == "rejected", "{result}");
            (result["outcome"].as_str().unwrap(), result["reason"].as_str().unwrap_or_default())
        }).collect();
        let rejected = [
            "duplicate", "duplicate", "duplicate", "invalid_marketo_id", "invalid_marketo_id", "invalid_email", "invalid_email",
            "invalid_salesforce_id", "not_a_person", "no_id", "no_id", "several_ids",
        ].map(|reason| ("rejected", reason));
        assert_eq!(told, [[("queued", ""); 4].as_slice(), &rejected].concat());
        assert_eq!(body["results"][3]["person"], json!({ "salesforce_id": LEAD }));
        assert_eq!(body["counts"], json!({"queued": 4, "applied": 0, "skipped": 0, "failed": 0, "rejected": 12}));
        assert_eq!((&body["action"], &body["program_id"], &body["outcome"]), (&json!("add_to_campaign"), &json!(1044), &Value::Null));

        let path = format!("flow-actions/{}", body["id"].as_str().unwrap());
        assert_eq!(answer.header("location"), format!("/api/v1/{path}"));
        let first = service.get(&format!("{path}?limit=5")).await.expect(200).json();
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = service.get(&format!("{path}?cursor={cursor}")).await.expect(200).json();
        let both = [&first, &rest].map(|page| page["results"].as_array().unwrap().clone()).concat();
        assert_eq!((json!(both), &rest["next_cursor"]), (body["results"].clone(), &Value::Null));

        let changes = service.get("changes?kind=flow_action").await.expect(200).json();
        let subjects: Vec<_> = changes["data"].as_array().unwrap().iter().map(|change| change["subject"].clone()).collect();
        let expected = ["marketo:318592".to_owned(), "marketo:318593".to_owned(), "email:ada@people.example".to_owned(), format!("salesforce:{LEAD}")];
        assert_eq!(subjects, expected.map(Value::from));
        let first = changes["data"][0]["id"].as_str().unwrap();
        service.post(&format!("changes/{first}/discard"), json!({})).await.expect(200);
        let shown = service.get(&path).await.expect(200).json();
        assert_eq!((&shown["results"][0]["outcome"], &shown["results"][0]["reason"]), (&json!("failed"), &json!("discarded")));
    }

    async fn a_removal_takes_the_body_of_the_others_and_heeds_no_status(database: TestDatabase) {
        let service = Service::new(&database).await;
        for status in [json!("Attended"), json!("never heard of"), json!(""), Value::Null] {
            let asked = service.post("flow-actions/remove-from-campaign", with(&json!({ "status": status }))).await.expect(202).json();
            assert_eq!((&asked["action"], &asked["status"]), (&json!("remove_from_campaign"), &Value::Null), "{status}");
        }
    }

    async fn all_rejected_is_final_at_once(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = with(&json!({"people": [{"email": "nobody"}]}));
        let answer = service.post("flow-actions/add-to-campaign?wait=true", body).await.expect(200).json();
        assert_eq!((&answer["outcome"], &answer["reason"]), (&json!("rejected"), &json!("invalid_email")));
    }

    async fn a_key_may_come_in_a_header_of_its_own(database: TestDatabase) {
        let service = Service::new(&database).await;
        let ask = async |key: &str| service.ask("GET", "mappings", &[("authorization", ""), ("x-api-key", key)], "").await.status.as_u16();
        assert_eq!((ask(BOOTSTRAP).await, ask("another key altogether").await, ask("").await), (200, 401, 401));
    }

    async fn the_filter_refuses_what_it_cannot_answer(database: TestDatabase) {
        let service = Service::new(&database).await;
        for (query, status, code) in [
            (format!("campaign_id={}", campaign('1')), 404, "not-tracked"),
            (format!("campaign_id={LEAD}"), 422, "invalid-input"),
            ("campaign_id=7".to_owned(), 422, "invalid-input"),
            ("member=perhaps".to_owned(), 422, "invalid-input"),
            ("statuses=Sent".to_owned(), 422, "invalid-input"),
            ("limit=0".to_owned(), 422, "invalid-input"),
        ] {
            assert_eq!(service.get(&format!("campaign-members?{query}")).await.problem(), (status, code.to_owned()), "{query}");
        }
        let none = service.get("campaign-members").await.expect(200).json();
        assert_eq!(none, json!({"data": [], "next_cursor": null, "complete": true}));
        assert_eq!(service.get("people/7/campaigns").await.problem(), (404, "not-found".to_owned()));
        service.post("flow-actions/add-to-campaign", with(&json!({}))).await.expect(202);
        let named = service.get(&format!("campaign-members?campaign_id={}", &campaign('1')[..15])).await.expect(200).json();
        assert_eq!(named, json!({"data": [], "next_cursor": null, "complete": false}));
    }
}
