//! Calls of many records or many parts, and what is refused of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Id, Options};
use super::wire::{Org, open};

fn lead(reference: &str, fields: Value) -> Value {
    let mut record = json!({"attributes": {"type": "Lead", "referenceId": reference}});
    record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    record
}

#[tokio::test]
async fn a_tree_is_made_as_a_whole_or_not_at_all() {
    let org = Org::new(Options::default()).await;
    let good = |name: &str| lead(name, json!({"LastName": name, "Company": "X"}));
    let (status, made) =
        org.send(Method::POST, "/composite/tree/Lead", json!({"records": [good("r1"), good("r2")]})).await;
    assert_eq!((status, &made["hasErrors"], &made["results"][1]["referenceId"]), (201, &json!(false), &json!("r2")));
    let bad = lead("r4", json!({"LastName": "B", "Company": "X", "Email": "123"}));
    let (status, refused) = org.send(Method::POST, "/composite/tree/Lead", json!({"records": [good("r3"), bad]})).await;
    let error = json!({"statusCode": "INVALID_EMAIL_ADDRESS", "message": "Email: invalid email address: 123", "fields": ["Email"]});
    assert_eq!(
        (status, refused),
        (400, json!({"hasErrors": true, "results": [{"referenceId": "r4", "errors": [error]}]}))
    );
    assert_eq!(org.query("SELECT COUNT() FROM Lead").await.1["totalSize"], 2);
}

#[tokio::test]
async fn a_batch_is_calls_of_their_own() {
    let org = Org::new(Options::default()).await;
    let requests = json!({"batchRequests": [
        {"method": "POST", "url": "v60.0/sobjects/Lead", "richInput": {"LastName": "A", "Company": "X"}},
        {"method": "GET", "url": "v60.0/sobjects/Lead/00Q4S0000zzzzzz"},
        {"method": "GET", "url": "/services/data/v60.0/query?q=SELECT+COUNT()+FROM+Lead"}]});
    let (status, body) = org.send(Method::POST, "/composite/batch", requests).await;
    let statuses: Vec<&Value> = body["results"].as_array().unwrap().iter().map(|part| &part["statusCode"]).collect();
    assert_eq!(
        (status, &body["hasErrors"], statuses),
        (200, &json!(true), vec![&json!(201), &json!(404), &json!(200)])
    );
    assert_eq!(body["results"][2]["result"]["totalSize"], 1);
}

#[tokio::test]
async fn composite_calls_are_limited_and_a_lost_reference_halts_who_needs_it() {
    let org = Org::new(Options::default()).await;
    let part = |n: usize, url: &str| json!({"method": "GET", "url": format!("/services/data/v60.0/{url}"), "referenceId": format!("r{n}")});
    let parts =
        |count: usize, url: &str| json!({"compositeRequest": (0..count).map(|n| part(n, url)).collect::<Vec<_>>()});
    for (body, status) in [
        (parts(25, "limits"), 200),
        (parts(26, "limits"), 400),
        (parts(5, "query?q=SELECT+Id+FROM+Lead"), 200),
        (parts(6, "query?q=SELECT+Id+FROM+Lead"), 400),
    ] {
        assert_eq!(org.send(Method::POST, "/composite", body).await.0, status);
    }
    let mut barred = parts(1, "limits");
    barred["compositeRequest"][0]["httpHeaders"] = json!({"Authorization": "x"});
    assert_eq!(org.send(Method::POST, "/composite", barred).await.0, 400);
    let needs = json!({"compositeRequest": [
        {"method": "POST", "url": "/services/data/v60.0/sobjects/Lead", "referenceId": "lead1", "body": {"LastName": "A"}},
        {"method": "GET", "url": "/services/data/v60.0/sobjects/Lead/@{lead1.id}", "referenceId": "read"},
        {"method": "POST", "url": "/services/data/v60.0/sobjects/Lead", "referenceId": "lead2", "body": {"LastName": "A", "Company": "B"}}]});
    let (_, body) = org.send(Method::POST, "/composite", needs).await;
    let parts = body["compositeResponse"].as_array().unwrap();
    assert_eq!(parts[1]["body"][0]["errorCode"], "PROCESSING_HALTED");
    let statuses: Vec<&Value> = parts.iter().map(|part| &part["httpStatusCode"]).collect();
    assert_eq!(statuses, [&json!(400), &json!(400), &json!(201)], "who needs nothing goes on");
    let counters = org.control(Method::GET, "/counters", Value::Null).await;
    assert_eq!(counters["misuse"]["oversized_composites"], 2);
}

#[tokio::test]
async fn collections_take_ten_runs_of_one_type_and_keep_the_order() {
    let org = Org::new(Options::default()).await;
    let account = json!({"attributes": {"type": "Account"}, "Name": "A"});
    let lead = json!({"attributes": {"type": "Lead"}, "LastName": "L", "Company": "C"});
    let runs = |n: usize| (0..n).map(|n| if n % 2 == 0 { &account } else { &lead }).collect::<Vec<_>>();
    let (status, made) = org.send(Method::POST, "/composite/sobjects", json!({"records": runs(10)})).await;
    let prefixes: Vec<String> =
        made.as_array().unwrap().iter().map(|result| result["id"].as_str().unwrap()[..3].to_owned()).collect();
    assert_eq!((status, prefixes), (200, ["001", "00Q"].repeat(5).iter().map(ToString::to_string).collect()));
    assert_eq!(org.send(Method::POST, "/composite/sobjects", json!({"records": runs(11)})).await.0, 400);
    let (_, results) = org.send(Method::PATCH, "/composite/sobjects", json!({"records": [lead]})).await;
    assert_eq!(results[0]["errors"][0]["statusCode"], "MISSING_ARGUMENT", "an update needs the id");
}

#[tokio::test]
async fn all_fields_are_asked_for_at_once_with_a_limit() {
    let org = Org::new(Options { person_external_id_field: "Marketo_Id__c".into(), ..Options::default() }).await;
    org.salesforce.with(|w| w.add_lead("A", "B", "a@x.example", "X").unwrap());
    let (_, all) = org.query("SELECT FIELDS(ALL) FROM Lead LIMIT 200").await;
    assert_eq!((&all["records"][0]["LastName"], &all["records"][0]["Marketo_Id__c"]), (&json!("B"), &Value::Null));
    let (_, custom) = org.query("SELECT Id, FIELDS(CUSTOM) FROM Lead LIMIT 1").await;
    let keys: Vec<&String> = custom["records"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["attributes", "Id", "Marketo_Id__c"]);
    assert!(org.query("SELECT FIELDS(STANDARD) FROM Lead").await.1["records"][0].get("Marketo_Id__c").is_none());
    for bad in [
        "SELECT FIELDS(ALL) FROM Lead",
        "SELECT FIELDS(ALL) FROM Lead LIMIT 201",
        "SELECT FIELDS(SOME) FROM Lead LIMIT 1",
    ] {
        let (status, error) = org.query(bad).await;
        assert_eq!((status, &error[0]["errorCode"]), (400, &json!("MALFORMED_QUERY")), "{bad}");
    }
}

#[tokio::test]
async fn paths_and_schemes_are_taken_as_salesforce_takes_them() {
    let org = Org::new(Options::default()).await;
    let made = org.send(Method::POST, "/sobjects/LEAD/", json!({"lastname": "A", "COMPANY": "B"})).await.1;
    let id = made["id"].as_str().unwrap();
    let url = format!("{}/services/data/v30.0/sobjects/lead/{id}/", org.url);
    let oauth =
        org.client.get(&url).header("authorization", format!("OAuth {}", org.token)).header("X-PrettyPrint", "1");
    let answer = oauth.send().await.unwrap();
    assert_eq!(answer.headers()["last-modified"], "Mon, 23 Nov 2026 20:05:00 GMT");
    assert_eq!(open(answer).await.1["LastName"], "A");
    let overridden =
        org.send(Method::POST, &format!("/sobjects/Lead/{id}?_HttpMethod=PATCH"), json!({"Title": "T"})).await;
    assert_eq!(overridden.0, 204);
    let (status, error) = org.send(Method::PUT, &format!("/sobjects/Lead/{id}"), json!({})).await;
    assert_eq!((status, &error[0]["errorCode"]), (405, &json!("METHOD_NOT_ALLOWED")));
    for unknown in ["/services/data/v29.0/limits", "/services/data/v68.0/limits", "/sobjects/Opportunity", "/nothing"] {
        assert_eq!(org.get(unknown).await.0, 404, "{unknown}");
    }
    assert_eq!(
        org.get("/sobjects/Lead/00Q4S0000000001AAB").await.1[0]["errorCode"],
        "MALFORMED_ID",
        "a wrong checksum"
    );
    let versions = open(org.client.get(format!("{}/services/data", org.url)).send().await.unwrap()).await.1;
    let v59 = versions.as_array().unwrap().iter().find(|version| version["version"] == "59.0").unwrap();
    assert_eq!(*v59, json!({"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"}));
}

#[tokio::test]
async fn switches_of_the_administrator_refuse_what_they_say() {
    let org = Org::new(Options::default()).await;
    let rule = json!({"object": "Lead", "field": "Company", "equals": "Nowhere", "message": "Say where"});
    org.control(Method::PATCH, "/options", json!({"validation_rules": [rule]})).await;
    let (status, error) =
        org.send(Method::POST, "/sobjects/Lead", json!({"LastName": "A", "Company": "Nowhere"})).await;
    let refused = json!([{"message": "Say where", "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": []}]);
    assert_eq!((status, error), (400, refused));
    let (campaign, member) = org.salesforce.with(|w| {
        let campaign = w.add_campaign("C", "Webinar").unwrap();
        let lead = w.add_lead("A", "B", "a@x.example", "X").unwrap();
        (campaign, w.add_member(campaign, lead, None).unwrap())
    });
    org.control(Method::POST, "/locks", json!({"id": campaign, "times": 2})).await;
    let path = format!("/sobjects/CampaignMember/{member}");
    for _ in 0..2 {
        let (status, error) = org.send(Method::PATCH, &path, json!({"Status": "Responded"})).await;
        let message = format!("unable to obtain exclusive access to this record or 1 records: {campaign}");
        assert_eq!(
            (status, &error[0]["errorCode"], &error[0]["message"]),
            (400, &json!("UNABLE_TO_LOCK_ROW"), &json!(message))
        );
    }
    assert_eq!(org.send(Method::PATCH, &path, json!({"Status": "Responded"})).await.0, 204);
    assert_eq!(
        org.send(Method::PATCH, &path, json!({"LeadId": Id::new("00Q", 9)})).await.1[0]["errorCode"],
        "INVALID_FIELD_FOR_INSERT_UPDATE"
    );
}

#[tokio::test]
async fn what_a_real_org_would_make_a_client_pay_for_is_counted() {
    let org = Org::new(Options::default()).await;
    let misuse = async || org.control(Method::GET, "/counters", Value::Null).await["misuse"].clone();
    assert!(misuse().await.as_object().unwrap().values().all(|count| *count == 0));
    org.call(Method::POST, "/sobjects/Lead").body("{}").send().await.unwrap();
    org.get(&format!("/query?q={}", "a".repeat(16_400))).await;
    org.send(Method::DELETE, &format!("/composite/sobjects?ids={}", ["x"; 201].join(",")), Value::Null).await;
    org.control(Method::PUT, "/quota", json!({"left": 0})).await;
    org.get("/limits").await;
    org.control(Method::POST, "/tokens/expire", Value::Null).await;
    org.get("/limits").await;
    let counted: Vec<(String, Value)> =
        misuse().await.as_object().unwrap().clone().into_iter().filter(|(_, n)| *n != 0).collect();
    let names = ["oversized_collections", "calls_over_limit", "oversized_uris", "missing_content_type", "dead_tokens"];
    assert_eq!(counted, names.map(|name| (name.to_owned(), json!(1))));
}
