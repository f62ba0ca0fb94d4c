//! The REST API, asked in this process.
//!
//! Owns how a request is made of a path and a key, and which operations this build has: pages show what the OpenAPI document
//! describes and nothing else. Must not interpret an answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::view::View;
use crate::domain::clock::Clock;
use crate::door::Client;

const BASE: &str = "/api/v1";
/// More than the longest page of a list.
const LONGEST: usize = 32 * 1024 * 1024;

/// The API, over its router.
#[derive(Clone)]
pub(super) struct Api {
    router: Router,
    clock: Clock,
    /// Methods and paths, as `GET /plans/{id}`.
    operations: Arc<BTreeSet<String>>,
    /// Names that `/stats/timeseries` takes as `metric`.
    series: Arc<BTreeSet<String>>,
}

/// What was answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: View,
}

impl Api {
    /// Reads the document to know what there is.
    pub(super) async fn new(router: Router, clock: Clock) -> Self {
        let mut api = Self { router, clock, operations: Arc::default(), series: Arc::default() };
        let request = Request::get("/openapi.json").body(Body::empty());
        if let Ok(request) = request {
            let document = api.answered(request).await.body;
            api.series = Arc::new(series(&document));
            api.operations = Arc::new(operations(&document));
        }
        api
    }

    /// Whether there is an operation, such as `POST /members/{id}/resolve`.
    pub(super) fn offers(&self, operation: &str) -> bool {
        self.operations.contains(operation)
    }

    /// Whether there is a time series.
    pub(super) fn has_series(&self, metric: &str) -> bool {
        self.series.contains(metric)
    }

    /// Asks for `path` under the base.
    pub(super) async fn ask(
        &self,
        key: &SecretString,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(header::HeaderName, String)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{BASE}{path}"));
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        match request {
            Ok(request) => self.answered(request).await,
            Err(_) => self.problem(StatusCode::NOT_FOUND, "There is no such page", "the address is not one of ours"),
        }
    }

    /// Whether the API lets somebody in, who is at that address.
    pub(super) async fn knock(&self, key: &SecretString, client: Option<Client>) -> Answer {
        let request = Request::get(format!("{BASE}/mappings?limit=1"));
        let mut request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
        if let Some(client) = client {
            request = request.extension(client);
        }
        match request.body(Body::empty()) {
            Ok(request) => self.answered(request).await,
            Err(_) => self.problem(StatusCode::UNAUTHORIZED, "Unauthorized", "no key has such characters"),
        }
    }

    /// Asks for `path` as it is written to a file.
    pub(super) async fn text(&self, key: &SecretString, path: &str) -> Result<(String, Option<String>), Answer> {
        let answer = self.ask(key, Method::GET, path, None, &[(header::ACCEPT, "text/csv".to_owned())]).await;
        if !answer.status.is_success() {
            return Err(answer);
        }
        // The next page is named in the header `Link`, between the angle brackets.
        let link = answer.headers.get(header::LINK).and_then(|link| link.to_str().ok());
        let next = link.and_then(|link| link.split_once('<')?.1.split_once('>')).map(|(path, _)| path.to_owned());
        Ok((answer.body.text(""), next))
    }

    async fn answered(&self, request: Request<Body>) -> Answer {
        let broken =
            || self.problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "a fault of ours; see the log");
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, LONGEST).await else { return broken() };
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body: self.view(value) }
    }

    fn problem(&self, status: StatusCode, title: &str, detail: &str) -> Answer {
        let body = json!({"status": status.as_u16(), "code": "internal", "title": title, "detail": detail});
        Answer { status, headers: HeaderMap::new(), body: self.view(body) }
    }

    /// A value as it is seen now.
    pub(super) fn view(&self, value: Value) -> View {
        View::new(value, self.clock.now())
    }
}

fn operations(document: &View) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in document.pairs("paths") {
        for (method, _) in item.pairs("") {
            found.insert(format!("{} {}", method.to_uppercase(), path.trim_start_matches(BASE)));
        }
    }
    found
}

/// The values of the parameter `metric`, which the document has in place or by name.
fn series(document: &View) -> BTreeSet<String> {
    let operation = document.value("paths").get("/api/v1/stats/timeseries").and_then(|path| path.get("get"));
    let parameters = operation.and_then(|operation| operation.get("parameters")).and_then(Value::as_array);
    let schema = parameters.into_iter().flatten().find(|one| one["name"] == "metric").map(|one| &one["schema"]);
    let Some(schema) = schema else { return BTreeSet::new() };
    let named = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next());
    let schema = named.and_then(|name| document.value("components")["schemas"].get(name)).unwrap_or(schema);
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
