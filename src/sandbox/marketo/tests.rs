//! The wire, over real HTTP on a free port, held against the bodies that Marketo's pages and public recordings show.
//!
//! Must not use the connectors: a client that misreads a field in the same way would hide it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::sandbox::clock::Clock;

struct Site {
    marketo: Arc<Marketo>,
    clock: Clock,
    url: String,
    token: String,
    http: reqwest::Client,
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn seed() -> Seed {
    serde_json::from_value(json!({
        "channels": [{"id": 4, "name": "Online Advertising", "statuses": [
            {"name": "Invited", "step": 10}, {"name": "No Show", "step": 30},
            {"name": "Attended", "step": 30, "success": true}, {"name": "Hidden", "step": 40, "hidden": true}]}],
        "programs": [{"id": 1044, "name": "Webinar", "channel": "Online Advertising",
            "costs": [{"startDate": "2015-01-01", "cost": 2000, "note": "Google Adwords"}]}],
        "people": [{"id": 1, "email": "a@b.c", "firstName": "Ada", "sfdcLeadId": "00Q000000000001AAA"},
            {"id": 2, "email": "b@b.c"}, {"id": 3, "email": "B@b.c"}, {"id": 4}],
        "members": [{"program": "Webinar", "lead_id": 1, "status": "Invited"}],
    }))
    .unwrap()
}

impl Site {
    async fn open(options: Options) -> Self {
        let clock = Clock::default();
        let marketo = Marketo::new(options, clock.reader());
        marketo.with(|world| world.load(seed())).unwrap();
        let url = listen(marketo.router()).await;
        let mut site = Self { marketo, clock, url, token: String::new(), http: reqwest::Client::new() };
        site.token = site.login("sandbox-marketo-secret").await.1["access_token"].as_str().unwrap().to_owned();
        site
    }

    async fn login(&self, secret: &str) -> (u16, Value) {
        let query = format!("grant_type=client_credentials&client_id=sandbox-marketo-client&client_secret={secret}");
        let answer = self.http.post(format!("{}/identity/oauth/token?{query}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body: Value = answer.json().await.unwrap();
        let id = body.as_object_mut().unwrap().shift_remove("requestId").unwrap();
        let (serial, millis) = id.as_str().unwrap().split_once('#').unwrap();
        assert!(u64::from_str_radix(serial, 16).is_ok() && i64::from_str_radix(millis, 16).is_ok(), "{id}");
        body
    }

    async fn get(&self, path: &str) -> Value {
        self.send(self.http.get(format!("{}/rest{path}", self.url))).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(self.http.post(format!("{}/rest{path}", self.url)).json(&body)).await
    }

    async fn form(&self, path: &str, form: &[(&str, &str)]) -> Value {
        self.send(self.http.post(format!("{}/rest{path}", self.url)).form(form)).await
    }

    async fn code(&self, path: &str) -> String {
        code(&self.get(path).await)
    }
}

fn code(body: &Value) -> String {
    assert!(body["success"] == true || body["errors"][0]["code"].is_string(), "{body}");
    body["errors"][0]["code"].as_str().unwrap_or("ok").to_owned()
}

#[tokio::test]
async fn identity_and_tokens() {
    let mut site = Site::open(Options::default()).await;
    let (status, body) = site.login("wrong").await;
    assert_eq!((status, body), (401, json!({"error": "unauthorized", "error_description": "Bad client credentials"})));
    let again = site.login("sandbox-marketo-secret").await.1;
    assert_eq!((&again["access_token"], &again["token_type"]), (&json!(site.token), &json!("bearer")));
    site.clock.advance(3601);
    assert_eq!(
        site.get("/v1/leads.json").await,
        json!({"success": false, "errors": [{"code": "602", "message": "Access token expired"}]})
    );
    site.token = "made-up".into();
    assert_eq!(
        site.get("/asset/v1/channels.json").await,
        json!({"success": false, "errors": [{"code": "601", "message": "Access token invalid"}], "warnings": []})
    );
    let bare = site.http.get(format!("{}/rest/v1/leads.json", site.url)).send().await.unwrap();
    assert_eq!(code(&bare.json().await.unwrap()), "600");
    let police = site.marketo.with(|world| (world.police.errors_by_code.clone(), world.limits.used_today(world.now())));
    assert_eq!(police, ([(600, 1), (601, 1), (602, 1)].into(), 0), "starred codes are free");
}

#[tokio::test]
async fn the_gate_refuses_what_the_vendor_refuses() {
    let site = Site::open(Options::default()).await;
    assert_eq!(site.code("/v1/nothing.json").await, "610");
    assert_eq!(site.code("/v1//leads.json").await, "610");
    let url = |path: &str| format!("{}/rest{path}", site.url);
    assert_eq!(code(&site.send(site.http.put(url("/v1/leads.json"))).await), "605");
    let broken = site.http.post(url("/v1/leads.json")).header("content-type", "application/json").body("{");
    assert_eq!(code(&site.send(broken).await), "609");
    let untyped = site.http.post(url("/v1/leads.json")).body("{}");
    assert_eq!(code(&site.send(untyped).await), "612");
    let json_for_form = site.http.post(url("/asset/v1/program/1044.json")).json(&json!({"name": "x"}));
    assert_eq!(code(&site.send(json_for_form).await), "612");
    for (request, status) in [
        (site.http.get(url(&format!("/v1/leads.json?filterValues={}", "x".repeat(9000)))), 414),
        (site.http.post(url("/v1/leads.json")).json(&json!({"input": "x".repeat(1024 * 1024)})), 413),
    ] {
        assert_eq!(request.bearer_auth(&site.token).send().await.unwrap().status(), status);
    }
    let long = site.http.post(url("/v1/leads.json?_method=GET")).form(&[("filterType", "id"), ("filterValues", "1,4")]);
    assert_eq!(site.send(long).await["result"].as_array().unwrap().len(), 2);
    let asset = site.http.post(url("/asset/v1/channels.json?_method=GET"));
    assert_eq!(code(&site.send(asset).await), "605");
    let service = Service {
        permissions: ["Read-Only Lead".to_owned()].into(),
        ..Service::new("sandbox-marketo-client", "s", "u")
    };
    site.marketo.with(|world| world.identity.add(service));
    assert_eq!(site.code("/asset/v1/channels.json").await, "603");
    assert_eq!(site.marketo.with(|world| world.police.missing_content_type), 2);
}

#[tokio::test]
async fn limits_are_told_in_the_body() {
    let site = Site::open(Options { rate_limit: Some(2), ..Options::default() }).await;
    let call = "/v1/stats/usage.json";
    assert_eq!((site.code(call).await, site.code(call).await), ("ok".into(), "ok".into()));
    assert_eq!(
        site.get(call).await["errors"][0],
        json!({"code": "606", "message": "Max rate limit '2' exceeded with in '20' secs"})
    );
    site.clock.advance(20);
    assert_eq!(site.code(call).await, "ok");
    site.marketo.with(|world| {
        world.options.daily_quota = Some(3);
        world.options.rate_limit = None;
    });
    assert_eq!(site.code(call).await, "607");
    site.marketo.with(|world| {
        world.options.daily_quota = None;
        world.options.concurrency_limit = Some(1);
        world.options.latency_ms = 300;
    });
    let (one, two) = tokio::join!(site.code(call), site.code(call));
    let mut both = [one, two];
    both.sort();
    assert_eq!(both, ["615".to_owned(), "ok".to_owned()]);
}

#[tokio::test]
async fn programs_channels_and_costs() {
    let site = Site::open(Options::default()).await;
    let channel = &site.get("/asset/v1/channel/byName.json?name=Online%20Advertising").await["result"][0];
    let first = &channel["progressionStatuses"][0];
    assert_eq!(*first, json!({"name":"Not in Program","step":0,"description":null,"hidden":false,"success":false}));
    assert!(channel["createdAt"].as_str().unwrap().ends_with("Z+0000"));
    let missing =
        json!({"success": false, "errors": [{"code": "702", "message": "Program[id = 42] not found"}], "warnings": []});
    assert_eq!(site.get("/asset/v1/program/42.json").await, missing);
    let none = json!({"success": true, "errors": [], "warnings": ["No assets found for the given search criteria."]});
    assert_eq!(site.get("/asset/v1/program/byName.json?name=Nope").await, none);
    assert_eq!(site.get("/asset/v1/program/1044.json").await["result"][0]["costs"], Value::Null);
    let costs = async || {
        site.get("/asset/v1/program/byName.json?name=Webinar&includeCosts=true").await["result"][0]["costs"].clone()
    };
    assert_eq!(costs().await, json!([{"startDate": "2015-01-01", "cost": 2000, "note": "Google Adwords"}]));
    let more = r#"[{"startDate":"2015-02-01","cost":5}]"#;
    site.form("/asset/v1/program/1044.json", &[("costs", more)]).await;
    assert_eq!(costs().await.as_array().unwrap().len(), 2, "costs append");
    site.form("/asset/v1/program/1044.json", &[("costs", more), ("costsDestructiveUpdate", "true")]).await;
    assert_eq!(costs().await, json!([{"startDate": "2015-02-01", "cost": 5}]));
    site.form("/asset/v1/program/1044.json", &[("costsDestructiveUpdate", "true")]).await;
    assert_eq!(costs().await, Value::Null);
    let new = [
        ("name", "New"),
        ("type", "default"),
        ("channel", "Online Advertising"),
        ("folder", r#"{"id":7,"type":"Folder"}"#),
    ];
    let made = site.form("/asset/v1/programs.json", &new).await["result"][0].clone();
    assert_eq!(
        (&made["type"], &made["folder"]["value"], &made["sfdcId"]),
        (&json!("Default"), &json!(7), &Value::Null)
    );
    assert_eq!(site.get("/asset/v1/programs.json?maxReturn=1&offset=1").await["result"][0]["name"], "New");
    for bad in ["maxReturn=201", "offset=-1", "filterType=name&filterValues=x"] {
        assert_eq!(site.code(&format!("/asset/v1/programs.json?{bad}")).await, "709", "{bad}");
    }
    assert_eq!(site.code("/asset/v1/programs.json?earliestUpdatedAt=yesterday").await, "704");
}

#[tokio::test]
async fn members_follow_the_step_rule() {
    let site = Site::open(Options::default()).await;
    let set = async |status: &str, leads: Value| {
        site.post("/v1/programs/1044/members/status.json", json!({"statusName": status, "input": leads})).await
    };
    assert_eq!(
        set("Invited", json!([{"leadId": 1}, {"leadId": 2}, {"leadId": 99}])).await,
        json!({"result": [
            {"seq": 0, "status": "skipped", "reasons": [{"code": "1037", "message": "Lead skipped because it is already in or past this status"}]},
            {"seq": 1, "status": "created", "leadId": 2},
            {"seq": 2, "status": "skipped", "reasons": [{"code": "1004", "message": "Lead not found"}]}], "success": true})
    );
    assert_eq!(set("Attended", json!([{"leadId": 2}])).await["result"][0]["status"], "updated");
    assert_eq!(set("No Show", json!([{"leadId": 2}])).await["result"][0]["status"], "updated");
    assert_eq!(set("Invited", json!([{"leadId": 2}])).await["result"][0]["reasons"][0]["code"], "1037");
    for (status, leads, expected) in [
        ("Nowhere", json!([{"leadId": 1}]), "1025"),
        ("Not in Program", json!([{"leadId": 1}]), "1025"),
        ("", json!([{"leadId": 1}]), "1002"),
        ("Invited", json!([]), "1002"),
        ("Invited", json!(vec![json!({"leadId": 1}); 301]), "1003"),
    ] {
        assert_eq!(code(&set(status, leads).await), expected, "{status}");
    }
    let elsewhere =
        site.post("/v1/programs/7/members/status.json", json!({"statusName": "Invited", "input": [{"leadId": 1}]}));
    assert_eq!(code(&elsewhere.await), "1013");
    assert_eq!(set("Invited", json!([{"leadId": "1"}])).await["result"][0]["reasons"][0]["code"], "1001");

    let row = &site.get("/v1/programs/1044/members.json?filterType=leadId&filterValues=2").await;
    assert_eq!(row["moreResult"], false);
    let keys: Vec<&String> = row["result"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["seq", "acquiredBy", "leadId", "membershipDate", "programId", "reachedSuccess"]);
    assert_eq!(row["result"][0]["reachedSuccess"], true, "success stays reached");
    let query = "/v1/programs/1044/members.json?filterType=statusName&filterValues=Invited,No%20Show&fields=leadId,statusName&batchSize=1";
    let page = site.get(query).await;
    assert_eq!(
        (&page["result"], &page["moreResult"]),
        (&json!([{"seq": 0, "leadId": 1, "statusName": "Invited"}]), &json!(true))
    );
    let token: String =
        url::form_urlencoded::byte_serialize(page["nextPageToken"].as_str().unwrap().as_bytes()).collect();
    let page = site.get(&format!("{query}&nextPageToken={token}")).await;
    assert_eq!((&page["result"][0]["leadId"], &page["moreResult"]), (&json!(2), &json!(false)));
    for (bad, expected) in [
        ("", "1002"),
        ("?filterType=leadId", "1002"),
        ("?filterType=email&filterValues=x", "1003"),
        ("?filterType=leadId&filterValues=1&fields=email", "1006"),
        ("?filterType=updatedAt&startAt=2026-01-01T00:00:00Z&endAt=2026-01-09T00:00:00Z", "1003"),
        ("?filterType=updatedAt&startAt=2026-01-01T00:00:00.000Z&endAt=2026-01-02T00:00:00Z", "1001"),
        ("?filterType=leadId&filterValues=1&nextPageToken=ABC", "1003"),
    ] {
        assert_eq!(site.code(&format!("/v1/programs/1044/members.json{bad}")).await, expected, "{bad}");
    }
    site.marketo.with(|world| world.options.member_query_limit = 1);
    let full = site.get("/v1/programs/1044/members.json?filterType=reachedSuccess&filterValues=true").await;
    assert_eq!(full["errors"][0]["message"], "Total membership size: 2 exceeds the limit allowed 1 for the filter");

    let child = site.get("/v1/leads/programs/1044.json?fields=email,sfdcId,sfdcLeadId").await["result"][0].clone();
    assert_eq!((&child["sfdcLeadId"], &child["sfdcId"]), (&json!("00Q000000000001AAA"), &Value::Null));
    assert_eq!(child["membership"]["progressionStatus"], "Invited");
    assert_eq!(site.get("/v1/leads/2/programMembership.json").await["result"][0]["progressionStatus"], "No Show");
    let gone =
        site.post("/v1/programs/1044/members/delete.json", json!({"input": [{"leadId": 2}, {"leadId": 2}]})).await;
    assert_eq!(
        gone["result"],
        json!([{"seq": 0, "status": "deleted", "leadId": 2},
               {"seq": 1, "status": "skipped", "reasons": [{"code": "1037", "message": "Lead not in program"}]}])
    );
    let data = json!({"input": [{"leadId": 1, "registrationCode": "x"}, {"leadId": 2, "statusReason": "x"}, {"leadId": 1, "statusName": "Attended"}]});
    let codes = site.post("/v1/programs/1044/members.json", data).await["result"].clone();
    assert_eq!(codes[0]["status"], "updated");
    assert_eq!(codes[1]["reasons"], json!([{"code": "1013", "message": "Membership not found"}]));
    assert_eq!(codes[2]["reasons"][0]["code"], "1011");
}

#[tokio::test]
async fn leads_are_found_written_merged_and_deleted() {
    let site = Site::open(Options::default()).await;
    let found = site.get("/v1/leads.json?filterType=email&filterValues=b@b.c&fields=email,sfdcId").await;
    assert_eq!(
        found,
        json!({"result": [{"id": 2, "email": "b@b.c", "sfdcId": null}, {"id": 3, "email": "B@b.c", "sfdcId": null}], "success": true})
    );
    assert_eq!(
        site.get("/v1/leads.json?filterType=sfdcLeadId&filterValues=00Q000000000001AAA").await["result"][0]["id"],
        1
    );
    assert_eq!(site.code("/v1/leads.json?filterType=id&filterValues=1&fields=shoeSize").await, "1006");
    assert_eq!(site.code("/v1/leads.json?filterType=firstName&filterValues=Ada").await, "1003");
    let many: Vec<String> = (0..301).map(|id: i64| id.to_string()).collect();
    assert_eq!(site.code(&format!("/v1/leads.json?filterType=id&filterValues={}", many.join(","))).await, "1003");
    site.marketo.with(|world| world.options.lead_match_limit = 1);
    let crowd = site.get("/v1/leads.json?filterType=email&filterValues=b@b.c").await;
    assert_eq!(crowd["errors"][0], json!({"code": "1003", "message": "Too many results match the filter"}));

    let sync = async |action: &str, lookup: &str, lead: Value| {
        let body = json!({"action": action, "lookupField": lookup, "input": [lead]});
        let row = site.post("/v1/leads.json", body).await["result"][0].clone();
        row["reasons"][0]["code"].as_str().or(row["status"].as_str()).unwrap_or_default().to_owned()
    };
    for (action, lookup, lead, expected) in [
        ("createOrUpdate", "email", json!({"email": "new@b.c"}), "created"),
        ("createOrUpdate", "email", json!({"email": "NEW@b.c", "firstName": "New"}), "updated"),
        ("createOnly", "email", json!({"email": "new@b.c"}), "1005"),
        ("updateOnly", "email", json!({"email": "nobody@b.c"}), "1004"),
        ("createOrUpdate", "email", json!({"email": "b@b.c"}), "1007"),
        ("createOrUpdate", "email", json!({"id": 1, "email": "a@b.c"}), "1003"),
        ("updateOnly", "id", json!({"id": 1, "lastName": "Lovelace"}), "updated"),
        ("createOrUpdate", "email", json!({"email": "c@b.c", "shoeSize": 7}), "1006"),
        ("createOrUpdate", "email", json!({"email": "c@b.c", "sfdcContactId": "003"}), "1011"),
        ("createOrUpdate", "sfdcLeadId", json!({"sfdcLeadId": "00Q000000000009AAA"}), "created"),
        ("createOrUpdate", "email", json!({"email": "é@b.c"}), "1001"),
        ("createOrUpdate", "email", json!({"firstName": "No address"}), "1003"),
        ("createDuplicate", "email", json!({"email": "a@b.c"}), "created"),
    ] {
        assert_eq!(sync(action, lookup, lead.clone()).await, expected, "{action} {lookup} {lead}");
    }
    assert_eq!(site.marketo.with(|world| world.police.second_person_for_email), 1);

    site.marketo.with(|world| world.set_status(1044, 2, "Attended")).unwrap();
    let url = format!("{}/rest/v1/leads/2/merge.json?leadId=1", site.url);
    assert_eq!(site.send(site.http.post(url)).await, json!({"success": true}));
    site.marketo.with(|world| {
        assert!(world.people.get(2).is_none(), "the Salesforce lead won");
        assert_eq!(world.members(1044), [(1, "Attended".to_owned())]);
    });
    let deleted = site.post("/v1/leads/delete.json", json!({"input": [{"id": 1}, {"id": 1}]})).await;
    assert_eq!(
        (&deleted["result"][0]["status"], &deleted["result"][1]["reasons"][0]["code"]),
        (&json!("deleted"), &json!("1004"))
    );
    assert!(site.marketo.with(|world| world.members(1044)).is_empty());
}

#[tokio::test]
async fn upserts_at_the_same_time_make_duplicates() {
    let site = Site::open(Options { latency_ms: 200, ..Options::default() }).await;
    let body = json!({"input": [{"email": "twice@b.c"}]});
    let (one, two) = tokio::join!(site.post("/v1/leads.json", body.clone()), site.post("/v1/leads.json", body));
    assert_eq!((&one["result"][0]["status"], &two["result"][0]["status"]), (&json!("created"), &json!("created")));
    assert_eq!(
        site.marketo
            .with(|world| (world.people.find("email", "twice@b.c").len(), world.police.second_person_for_email)),
        (2, 1)
    );
}

#[tokio::test]
async fn the_activity_log_is_walked_by_token() {
    let site = Site::open(Options::default()).await;
    let since = site.get("/v1/activities/pagingtoken.json?sinceDatetime=2016-09-15T10:53:00Z").await;
    let escape = |body: &Value| -> String {
        url::form_urlencoded::byte_serialize(body["nextPageToken"].as_str().unwrap().as_bytes()).collect()
    };
    site.marketo.with(|world| {
        world.set_status(1044, 1, "Attended").unwrap();
        world.set_status(1044, 1, "Attended").unwrap();
        world.leave_program(1044, 1).unwrap();
        world.delete_person(4).unwrap();
    });
    let page = site
        .get(&format!("/v1/activities.json?activityTypeIds=104&assetIds=1044&nextPageToken={}", escape(&since)))
        .await;
    let changes: Vec<(Value, Value, Value)> = page["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let attribute = |name: &str| {
                let all = row["attributes"].as_array().unwrap();
                all.iter().find(|attribute| attribute["name"] == name).unwrap()["value"].clone()
            };
            assert_eq!(
                (&row["primaryAttributeValueId"], &row["primaryAttributeValue"]),
                (&json!(1044), &json!("Webinar"))
            );
            (attribute("Old Status"), attribute("New Status"), attribute("Success"))
        })
        .collect();
    let change = |old: &str, new: &str, success: bool| (json!(old), json!(new), json!(success));
    assert_eq!(
        changes,
        [
            change("Not in Program", "Invited", false),
            change("Invited", "Attended", true),
            change("Attended", "Attended", false),
            change("Attended", "Not in Program", false),
        ]
    );
    assert_eq!(page["moreResult"], false);
    let rest = site.get(&format!("/v1/activities.json?activityTypeIds=12,104&nextPageToken={}", escape(&page))).await;
    assert_eq!((&rest["result"], rest["nextPageToken"].is_string()), (&json!([]), true));
    let gone = site.get(&format!("/v1/activities/deletedleads.json?nextPageToken={}", escape(&since))).await;
    assert_eq!((&gone["result"][0]["leadId"], &gone["result"][0]["activityTypeId"]), (&json!(4), &json!(37)));
    let silent = site.get(&format!("/v1/activities.json?activityTypeIds=37&nextPageToken={}", escape(&since))).await;
    assert_eq!(silent["result"], json!([]));
    site.marketo.with(|world| world.options.empty_pages = 1);
    let empty = site.get(&format!("/v1/activities.json?activityTypeIds=104&nextPageToken={}", escape(&since))).await;
    assert_eq!((&empty["result"], &empty["moreResult"]), (&json!([]), &json!(true)));
    let again = site.get(&format!("/v1/activities.json?activityTypeIds=104&nextPageToken={}", escape(&empty))).await;
    assert_eq!(again["result"].as_array().unwrap().len(), 4);
    assert_eq!(site.code("/v1/activities.json?activityTypeIds=104").await, "1002");
    let token = escape(&since);
    assert_eq!(
        site.code(&format!("/v1/activities.json?nextPageToken={token}&activityTypeIds=1,2,3,4,5,6,7,8,9,10,11")).await,
        "1003"
    );
}

#[tokio::test]
async fn smart_campaigns_call_webhooks_and_are_requested() {
    let site = Site::open(Options::default()).await;
    let (heard, mut calls) = tokio::sync::mpsc::unbounded_channel::<(String, String)>();
    let receive = async |State(heard): State<tokio::sync::mpsc::UnboundedSender<(String, String)>>,
                         headers: axum::http::HeaderMap,
                         body: String| {
        let secret = headers["x-webhook-token"].to_str().unwrap().to_owned();
        heard.send((secret, body)).ok();
        ""
    };
    let url = listen(Router::new().route("/hook", post(receive)).with_state(heard)).await;
    let sender = site.marketo.start();
    site.marketo.with(|world| {
        world.add_webhook(Webhook {
            name: "Changed".into(),
            url: format!("{url}/hook"),
            method: "POST".into(),
            template: program_member_template("program_member.changed", Encoding::JsonQuoted),
            encoding: Encoding::JsonQuoted,
            headers: [("X-Webhook-Token".to_owned(), "{{my.Secret}}".to_owned())].into(),
        });
        world.programs.get_mut(&1044).unwrap().my_tokens.insert("Secret".into(), "s3cret".into());
        let campaign = |name: &str, trigger| SmartCampaign {
            id: 0,
            name: name.into(),
            program_id: Some(1044),
            trigger,
            active: true,
            webhook: Some("Changed".into()),
        };
        world.add_campaign(campaign("changed", Some(Trigger::StatusChanged { new_status: Some("Attended".into()) })));
        world.add_campaign(SmartCampaign { id: 3712, ..campaign("requested", Some(Trigger::Requested)) });
        world.add_campaign(SmartCampaign { id: 3713, ..campaign("batch", None) });
    });
    // An echo: the change comes by the API.
    site.post("/v1/programs/1044/members/status.json", json!({"statusName": "Attended", "input": [{"leadId": 1}]}))
        .await;
    let (secret, body) = calls.recv().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (secret.as_str(), &body["leadId"], &body["programId"], &body["email"]),
        ("s3cret", &json!(1), &json!(1044), &json!("a@b.c"))
    );

    let requested = json!({"input": {"leads": [{"id": 1}], "tokens": [{"name": "{{my.Secret}}", "value": "passed"}]}});
    assert_eq!(
        site.post("/v1/campaigns/3712/trigger.json", requested.clone()).await,
        json!({"result": [{"id": 3712}], "success": true})
    );
    assert_eq!(calls.recv().await.unwrap().0, "passed");
    assert_eq!(code(&site.post("/v1/campaigns/3713/trigger.json", requested.clone()).await), "1003");
    assert_eq!(code(&site.post("/v1/campaigns/9/trigger.json", requested).await), "1013");
    let crowd = json!({"input": {"leads": vec![json!({"id": 1}); 101]}});
    assert_eq!(code(&site.post("/v1/campaigns/3712/trigger.json", crowd).await), "1003");
    site.marketo.with(|world| world.run_batch(3713, &[1]));
    while site.marketo.with(|world| world.deliveries.len()) < 2 {
        tokio::task::yield_now().await;
    }
    site.marketo.with(|world| {
        assert!(world.deliveries.iter().all(|delivery| delivery.error.as_deref() == Some("1001")), "empty bodies");
        let calls = world.log.from(0).iter().filter(|row| row.kind == log::kind::CALL_WEBHOOK);
        let mut errors: Vec<String> = calls.map(|row| row.attributes[0].1.as_str().unwrap().to_owned()).collect();
        errors.sort();
        assert_eq!(errors, ["1000", "1001", "1001"]);
    });
    sender.abort();
}
