//! The wire, over real HTTP on a free port, held against the bodies that Marketo's pages and public recordings show.
//!
//! Must not use the connectors: a client that misreads a field in the same way would hide it.

mod assets;
mod events;
mod exports;
mod fixtures;
mod records;
mod scale;
mod webhooks;

use std::sync::Arc;

use axum::Router;
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
async fn answers_carry_the_time_of_the_vendor() {
    let site = Site::open(Options::default()).await;
    let date = async || {
        let answer = site.http.get(format!("{}/rest/v1/stats/usage.json", site.url)).send().await.unwrap();
        let date = answer.headers()["date"].to_str().unwrap().to_owned();
        jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second()
    };
    let before = date().await;
    site.clock.advance(3600);
    assert!((3600..3660).contains(&(date().await - before)));
}
