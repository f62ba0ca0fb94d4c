//! The REST API in process, over a real store: keys, mappings, and what is shown of members and changes.
//!
//! The vendors are tables, nothing works anything off: what is asked and answered is the subject, not what comes of it.

mod audited;
mod broken;
mod browse;
mod decided;
mod flow_actions;
mod matching;
mod refusals;
mod shown;
mod subscriptions;
mod vendors;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use campaign_sync::config::Config;
use campaign_sync::domain::clock::Clock;
use campaign_sync::http::{ApiState, router};
use campaign_sync::store::Store;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::TestDatabase;
use vendors::{Tables, campaign};

const BOOTSTRAP: &str = "a bootstrap key of some length";

/// The router of one test, its store, and a clock that stands.
struct Service {
    router: Router,
    store: Store,
    clock: Clock,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Status and code of a problem.
    #[track_caller]
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.json()["request_id"], self.header("x-request-id"));
        (self.status.as_u16(), self.json()["code"].as_str().unwrap().to_owned())
    }
}

impl Service {
    async fn new(database: &TestDatabase) -> Self {
        Self::limited(database, &[]).await
    }

    /// The same with more in the environment.
    async fn limited(database: &TestDatabase, more: &[(&str, &str)]) -> Self {
        let clock = Clock::manual("2026-11-23T20:05:01Z".parse::<Timestamp>().unwrap());
        let store = Store::connect(&database.url, 5, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        let environment = [
            ("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY", BOOTSTRAP),
            ("CAMPAIGN_SYNC__LIMITS__MAX_BODY_BYTES", "4096"),
            ("CAMPAIGN_SYNC__SERVER__CORS_ORIGINS", "https://app.example.com"),
        ];
        let environment = environment.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::load(None, environment).unwrap();
        let router = router(ApiState::new(store.clone(), Arc::new(Tables), Arc::new(Tables), &config));
        Self { router, store, clock }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// With the bootstrap key; a path without a slash in front is below the base.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/v1/{path}") };
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {BOOTSTRAP}"));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], &body.to_string()).await
    }

    /// The id of a new mapping of program 1044 to campaign 1.
    async fn mapped(&self) -> String {
        let made = self.post("mappings", json!({"program_id": 1044, "campaign_id": campaign('1')})).await.expect(201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    fn later(&self, by: Duration) {
        self.clock.advance(by);
    }
}
