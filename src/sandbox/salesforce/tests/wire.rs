//! The wire forms of the emulated org over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::super::{Id, Options, Salesforce};
use super::clock;

/// A client of an org served over HTTP.
pub(super) struct Org {
    pub salesforce: Arc<Salesforce>,
    pub url: String,
    pub token: String,
    pub client: Client,
    pub seconds: Arc<AtomicI64>,
}

impl Org {
    pub async fn new(options: Options) -> Self {
        let (seconds, now) = clock();
        let salesforce = Salesforce::new(options, now);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        salesforce.set_base_url(&url);
        let app = salesforce.router().nest("/salesforce", salesforce.control());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut org = Self { salesforce, url, token: String::new(), client: Client::new(), seconds };
        org.token = org.log_in().await.1["access_token"].as_str().unwrap().to_owned();
        org
    }

    pub async fn log_in(&self) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "3MVG9campaignsync"),
            ("client_secret", "sandbox-client-secret"),
        ];
        let answer = self.client.post(format!("{}/services/oauth2/token", self.url)).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("/services") {
            format!("{}{path}", self.url)
        } else {
            format!("{}/services/data/v60.0{path}", self.url)
        };
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        open(self.call(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        open(self.call(method, path).json(&body).send().await.unwrap()).await
    }

    pub async fn query(&self, soql: &str) -> (u16, Value) {
        open(self.call(Method::GET, "/query/").query(&[("q", soql)]).send().await.unwrap()).await
    }

    pub async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}/salesforce{path}", self.url)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }
}

pub(super) async fn open(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn tokens_are_given_used_and_die() {
    let org = Org::new(Options::default()).await;
    let (_, token) = org.log_in().await;
    assert_eq!(token["instance_url"], org.url);
    assert!(token.get("expires_in").is_none() && token["issued_at"] == "1795464300000");
    assert!(token["id"].as_str().unwrap().starts_with(&format!("{}/id/00D4S000000oz4eUAA/005", org.url)));
    let form = [("grant_type", "client_credentials"), ("client_id", "3MVG9campaignsync"), ("client_secret", "wrong")];
    let answer = org.client.post(format!("{}/services/oauth2/token", org.url)).form(&form).send().await.unwrap();
    assert_eq!(
        open(answer).await,
        (400, json!({"error": "invalid_client", "error_description": "invalid client credentials"}))
    );
    let answer = org.call(Method::GET, "/limits").send().await.unwrap();
    assert_eq!(answer.headers()["sforce-limit-info"], "api-usage=1/100000");
    assert_eq!(answer.headers()["content-type"], "application/json;charset=UTF-8");
    org.seconds.fetch_add(7200, Ordering::Relaxed);
    let answer = org.call(Method::GET, "/limits").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Token");
    assert!(answer.headers().get("sforce-limit-info").is_none());
    let expired = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
    assert_eq!(open(answer).await, (401, expired));
}

#[tokio::test]
async fn records_are_made_read_changed_and_removed() {
    let org = Org::new(Options::default()).await;
    let answer =
        org.call(Method::POST, "/sobjects/lead/").json(&json!({"LastName": "A", "Company": "B"})).send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let (status, body) = open(answer).await;
    let id = body["id"].as_str().unwrap();
    assert_eq!((status, &body), (201, &json!({"id": id, "success": true, "errors": []})));
    assert_eq!(location, format!("/services/data/v60.0/sobjects/Lead/{id}"));
    let (_, read) = org.get(&format!("/sobjects/Lead/{}?fields=lastname", &id[..15])).await;
    assert_eq!(read, json!({"attributes": {"type": "Lead", "url": location}, "LastName": "A", "Id": id}));
    let path = format!("/sobjects/Lead/{id}");
    assert_eq!(org.send(Method::PATCH, &path, json!({"Title": "T"})).await, (204, Value::Null));
    assert_eq!(org.send(Method::DELETE, &path, Value::Null).await.0, 204);
    let not_found = json!([{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]);
    assert_eq!(org.get(&path).await, (404, not_found.clone()));
    assert_eq!(org.get("/services/data/v99.0/limits").await, (404, not_found));
    let deleted = json!([{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}]);
    assert_eq!(org.send(Method::PATCH, &path, json!({"Title": "T"})).await, (404, deleted));
    let never =
        json!([{"message": "invalid cross reference id", "errorCode": "INVALID_CROSS_REFERENCE_KEY", "fields": []}]);
    let unknown = format!("/sobjects/Lead/{}", Id::new("00Q", 5));
    assert_eq!(org.send(Method::PATCH, &unknown, json!({"Title": "T"})).await, (404, never));
    let without = org.call(Method::POST, "/sobjects/Lead").body("{}").send().await.unwrap();
    assert_eq!(without.status(), 415);
    let (_, describe) = org.get("/sobjects/Campaign/describe").await;
    let field = |name: &str| describe["fields"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap().clone();
    assert_eq!(field("ActualCost")["updateable"], true);
    assert_eq!(
        (field("Type")["restrictedPicklist"].clone(), field("Type")["length"].clone()),
        (json!(false), json!(40))
    );
    assert_eq!((field("ActualCost")["scale"].clone(), field("Name")["scale"].clone()), (json!(0), json!(0)));
    let options = Options { currency_scale: 2, restricted_type: true, ..Options::default() };
    org.salesforce.with(|w| w.set_options(options));
    let (_, describe) = org.get("/sobjects/Campaign/describe").await;
    let field = |name: &str| describe["fields"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap().clone();
    assert_eq!(
        (field("ActualCost")["scale"].clone(), field("Type")["restrictedPicklist"].clone()),
        (json!(2), json!(true))
    );
}

#[tokio::test]
async fn external_ids_are_created_then_updated() {
    let org = Org::new(Options { person_external_id_field: "Marketo_Id__c".into(), ..Options::default() }).await;
    let (path, fields) = ("/sobjects/Lead/Marketo_Id__c/77", json!({"LastName": "A", "Company": "B"}));
    let (status, body) = org.send(Method::PATCH, path, fields.clone()).await;
    assert_eq!((status, &body["created"]), (201, &json!(true)));
    let (status, again) = org.send(Method::PATCH, path, fields.clone()).await;
    assert_eq!((status, again), (200, json!({"id": body["id"], "success": true, "errors": [], "created": false})));
    assert_eq!(org.get("/sobjects/Lead/marketo_id__c/77").await.1["Marketo_Id__c"], "77");
    let records = json!({"records": [{"attributes": {"type": "Lead"}, "Marketo_Id__c": "77", "Title": "T"}, {"attributes": {"type": "Lead"}, "Marketo_Id__c": "78"}]});
    let (status, results) = org.send(Method::PATCH, "/composite/sobjects/Lead/Marketo_Id__c", records).await;
    assert_eq!(
        (status, &results[0]["created"], &results[1]["errors"][0]["statusCode"]),
        (200, &json!(false), &json!("REQUIRED_FIELD_MISSING"))
    );
    let (status, error) = org.get("/sobjects/Lead/Phone/1").await;
    assert_eq!(
        (status, &error[0]["message"]),
        (404, &json!("Provided external ID field does not exist or is not accessible: Phone"))
    );
}

#[tokio::test]
async fn collections_answer_per_record_or_take_all_back() {
    let org = Org::new(Options::default()).await;
    let (campaign, lead) = org
        .salesforce
        .with(|w| (w.add_campaign("C", "Webinar").unwrap(), w.add_lead("A", "B", "a@x.example", "X").unwrap()));
    let member = json!({"attributes": {"type": "CampaignMember"}, "CampaignId": campaign, "LeadId": lead});
    let both = |all: bool| json!({"allOrNone": all, "records": [member, member]});
    let (status, results) = org.send(Method::POST, "/composite/sobjects", both(true)).await;
    assert_eq!((status, &results[0]["errors"][0]["statusCode"]), (200, &json!("ALL_OR_NONE_OPERATION_ROLLED_BACK")));
    let (_, results) = org.send(Method::POST, "/composite/sobjects", both(false)).await;
    let error = json!({"statusCode": "DUPLICATE_VALUE", "message": "Already a campaign member.", "fields": []});
    assert_eq!(results[1], json!({"success": false, "errors": [error]}));
    let id = results[0]["id"].as_str().unwrap();
    let (_, found) = org
        .send(
            Method::POST,
            "/composite/sobjects/CampaignMember",
            json!({"ids": [id, Id::new("00v", 1)], "fields": ["Status"]}),
        )
        .await;
    assert_eq!((&found[0]["Status"], &found[1]), (&json!("Sent"), &Value::Null));
    let (_, gone) = org.send(Method::DELETE, &format!("/composite/sobjects?ids={id},{id}"), Value::Null).await;
    assert_eq!((&gone[0]["success"], &gone[1]["errors"][0]["statusCode"]), (&json!(true), &json!("ENTITY_IS_DELETED")));
    let many: Vec<&Value> = std::iter::repeat_n(&member, 201).collect();
    assert_eq!(org.send(Method::POST, "/composite/sobjects", json!({"records": many})).await.0, 400);
    let counters = org.control(Method::GET, "/counters", Value::Null).await;
    assert_eq!(
        (&counters["misuse"]["oversized_collections"], &counters["writes"], &counters["reads"]),
        (&json!(1), &json!(4), &json!(1))
    );
}

#[tokio::test]
async fn composite_parts_use_each_other_and_fail_together() {
    let org = Org::new(Options::default()).await;
    let campaign = org.salesforce.with(|w| w.add_campaign("C", "Webinar").unwrap());
    let call = |email: &str, campaign: String| {
        json!({"allOrNone": true, "compositeRequest": [
        {"method": "POST", "url": "/services/data/v60.0/sobjects/Lead", "referenceId": "lead1", "body": {"LastName": "A", "Company": "B", "Email": email}},
        {"method": "POST", "url": "/services/data/v60.0/sobjects/CampaignMember", "referenceId": "cm1", "body": {"LeadId": "@{lead1.id}", "CampaignId": campaign}}]})
    };
    let (status, body) = org.send(Method::POST, "/composite", call("a@x.example", campaign.to_string())).await;
    let parts = &body["compositeResponse"];
    assert_eq!((status, &parts[0]["httpStatusCode"], &parts[1]["httpStatusCode"]), (200, &json!(201), &json!(201)));
    let (_, body) = org.send(Method::POST, "/composite", call("b@x.example", "701".into())).await;
    let parts = &body["compositeResponse"];
    assert_eq!(
        (&parts[0]["body"][0]["errorCode"], &parts[1]["body"][0]["errorCode"]),
        (&json!("PROCESSING_HALTED"), &json!("MALFORMED_ID"))
    );
    assert_eq!(org.query("SELECT COUNT() FROM Lead").await.1, json!({"totalSize": 1, "done": true, "records": []}));
    let missing = json!({"compositeRequest": [{"method": "GET", "url": "/services/data/v60.0/limits"}]});
    assert_eq!(org.send(Method::POST, "/composite", missing).await.0, 400);
}

#[tokio::test]
async fn results_come_in_pages_and_the_bin_only_on_request() {
    let org = Org::new(Options { page_size: Some(2), ..Options::default() }).await;
    let ids: Vec<Id> = org
        .salesforce
        .with(|w| (0..5).map(|n| w.add_lead("A", "B", &format!("p{n}@x.example"), "X").unwrap()).collect());
    let (_, first) = org.query("SELECT Id FROM Lead ORDER BY Email DESC").await;
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["totalSize", "done", "nextRecordsUrl", "records"]);
    let next = first["nextRecordsUrl"].as_str().unwrap();
    assert!(next.starts_with("/services/data/v60.0/query/01g") && next.ends_with("-2"));
    let (_, second) = org.get(next).await;
    let (_, last) = org.get(&second["nextRecordsUrl"].as_str().unwrap().replace("/query/", "/queryAll/")).await;
    assert_eq!(
        (&last["done"], last.get("nextRecordsUrl"), &last["records"][0]["Id"]),
        (&json!(true), None, &json!(ids[0]))
    );
    let stale = json!([{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]);
    assert_eq!(org.get("/query/01g000000000000AAA-2000").await, (400, stale));
    org.control(Method::DELETE, &format!("/record/{}", ids[0]), Value::Null).await;
    assert_eq!(org.query("SELECT COUNT() FROM Lead").await.1["totalSize"], 4);
    let (_, all) = org.get("/queryAll?q=SELECT+Id+FROM+Lead+WHERE+IsDeleted=true").await;
    assert_eq!(all["records"][0]["Id"], json!(ids[0]));
    let long = format!("/query?q={}", "a".repeat(16_400));
    assert_eq!(org.get(&long).await.0, 414);
    let (_, gone) =
        org.get("/sobjects/Lead/deleted/?start=2026-11-23T20%3A05%3A59%2B00%3A00&end=2026-11-23T20:10:00Z").await;
    assert_eq!(gone["deletedRecords"], json!([]), "the clock has not passed the minute");
    org.seconds.fetch_add(300, Ordering::Relaxed);
    let (_, gone) =
        org.get("/sobjects/Lead/deleted/?start=2026-11-23T20%3A05%3A59%2B00%3A00&end=2026-11-23T20:10:00Z").await;
    assert_eq!(gone["deletedRecords"], json!([{"id": ids[0], "deletedDate": "2026-11-23T20:05:00.000+0000"}]));
    let (_, updated) = org.get("/sobjects/Lead/updated?start=2026-11-23T20:05:00Z&end=2026-11-23T20:10:00Z").await;
    assert_eq!(updated["ids"].as_array().unwrap().len(), 4);
    let (status, error) = org.get("/sobjects/Lead/updated?start=2026-11-23T20:05:00Z&end=2026-11-23T20:06:30Z").await;
    assert_eq!((status, &error[0]["errorCode"]), (400, &json!("INVALID_REPLICATION_DATE")));
}

#[tokio::test]
async fn the_allowance_of_a_day_ends() {
    let org = Org::new(Options::default()).await;
    org.control(Method::PUT, "/quota", json!({"left": 1})).await;
    assert_eq!(org.get("/limits").await.1["DailyApiRequests"]["Remaining"], 0);
    let refused = json!([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]);
    assert_eq!(org.get("/limits").await, (403, refused));
}

#[tokio::test]
async fn answers_carry_the_time_of_the_org() {
    let org = Org::new(Options::default()).await;
    let date = async || {
        let answer = org.call(Method::GET, "/limits").send().await.unwrap();
        answer.headers()["date"].to_str().unwrap().to_owned()
    };
    assert_eq!(date().await, "Mon, 23 Nov 2026 20:05:00 GMT");
    org.seconds.fetch_add(90, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(date().await, "Mon, 23 Nov 2026 20:06:30 GMT");
}
