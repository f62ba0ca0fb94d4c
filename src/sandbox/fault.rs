//! Faults: answers that are late, wrong, cut or lost, for the next calls that match.
//!
//! Owns one list for both vendors and the middleware that obeys it. Must not know what a call means: a vendor's own errors and
//! limits are its emulator's business. Every fault counts down; a fault without a vendor call that matches does nothing.
//!
//! Closing without an answer is done with a body that fails before its first byte under an announced length: hyper then drops the
//! connection with nothing, or at most a head, written. A client sees the connection end before the message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::storm::Storm;

/// Which emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    Marketo,
    Salesforce,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answered in the vendor's place; nothing is carried out.
    Answer {
        status: u16,
        #[serde(default = "html")]
        content_type: String,
        #[serde(default)]
        body: String,
    },
    /// Carried out after a wait.
    Delay { ms: u64 },
    /// Carried out, then the connection is closed without an answer.
    AppliedButLost,
    /// Closed without an answer and not carried out.
    Drop,
    /// Carried out; the connection closes after so many bytes of the body.
    Truncate { bytes: usize },
}

fn html() -> String {
    "text/html".into()
}

/// A fault and the calls it meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub vendor: Vendor,
    /// Any method when left out.
    #[serde(default)]
    pub method: Option<String>,
    /// A part of path and query; any when left out.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// A part of the body, such as an id: the record that spoils every call that it is in.
    #[serde(default)]
    pub body_contains: Option<String>,
    /// Matching calls to let pass first.
    #[serde(default)]
    pub skip: u32,
    /// Matching calls to meet after that.
    #[serde(default = "once")]
    pub times: u32,
    pub action: Action,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// A fault for the next call to a vendor whose path contains `part`.
    #[must_use]
    pub fn next(vendor: Vendor, part: &str, action: Action) -> Self {
        Self { vendor, method: None, path_contains: Some(part.into()), body_contains: None, skip: 0, times: 1, action }
    }

    fn matches(&self, vendor: Vendor, method: &str, path: &str, body: &[u8]) -> bool {
        self.vendor == vendor
            && self.times > 0
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path_contains.as_deref().is_none_or(|part| path.contains(part))
            && self.body_contains.as_deref().is_none_or(|part| has(body, part.as_bytes()))
    }
}

fn has(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

/// The list of faults; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Arc<Mutex<Vec<Fault>>>,
    storm: Arc<Mutex<Option<Storm>>>,
}

impl Faults {
    fn with<R>(&self, act: impl FnOnce(&mut Vec<Fault>) -> R) -> R {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a fault behind those that are there.
    pub fn add(&self, fault: Fault) {
        self.with(|list| list.push(fault));
    }

    /// Takes all faults away, and the storm.
    pub fn clear(&self) {
        self.with(Vec::clear);
        self.set_storm(None);
    }

    /// Lets faults of every kind meet a share of the calls that no listed fault meets; nothing ends it.
    pub fn set_storm(&self, storm: Option<Storm>) {
        *self.storm.lock().unwrap_or_else(PoisonError::into_inner) = storm;
    }

    /// Faults that still wait for a call.
    #[must_use]
    pub fn waiting(&self) -> Vec<Fault> {
        self.with(|list| list.clone())
    }

    /// The action for a call. The first fault that matches counts it; one that is still skipping lets it pass.
    fn meet(&self, vendor: Vendor, method: &str, path: &str, body: &[u8]) -> Option<Action> {
        let listed = self.with(|list| {
            let fault = list.iter_mut().find(|fault| fault.matches(vendor, method, path, body))?;
            if fault.skip > 0 {
                fault.skip -= 1;
                return Some(None);
            }
            fault.times -= 1;
            let action = fault.action.clone();
            list.retain(|fault| fault.times > 0);
            Some(Some(action))
        });
        listed.unwrap_or_else(|| {
            let mut storm = self.storm.lock().unwrap_or_else(PoisonError::into_inner);
            storm.as_mut().and_then(|storm| storm.draw(vendor, path))
        })
    }

    /// Whether bodies of calls to this vendor have to be looked at.
    fn look_inside(&self, vendor: Vendor) -> bool {
        self.with(|list| list.iter().any(|fault| fault.vendor == vendor && fault.body_contains.is_some()))
    }

    /// The router of a vendor with the faults around it.
    pub fn around(&self, vendor: Vendor, router: Router) -> Router {
        router.layer(axum::middleware::from_fn_with_state((self.clone(), vendor), obey))
    }

    /// `GET`, `POST` and `DELETE` of the list.
    pub fn control(&self) -> Router {
        Router::new()
            .route("/", get(list).post(add).delete(clear))
            .route("/storm", axum::routing::put(set_storm))
            .with_state(self.clone())
    }
}

async fn list(State(faults): State<Faults>) -> Json<Value> {
    Json(json!({"faults": faults.waiting()}))
}

async fn add(State(faults): State<Faults>, Json(fault): Json<Fault>) -> Json<Value> {
    faults.add(fault);
    Json(json!({"faults": faults.waiting()}))
}

async fn set_storm(State(faults): State<Faults>, Json(storm): Json<Option<Storm>>) -> Json<Value> {
    faults.set_storm(storm);
    Json(json!({"storm": storm}))
}

async fn clear(State(faults): State<Faults>) -> Json<Value> {
    faults.clear();
    Json(json!({"faults": []}))
}

async fn obey(State((faults, vendor)): State<(Faults, Vendor)>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let mut seen = Bytes::new();
    if faults.look_inside(vendor) {
        let (head, body) = request.into_parts();
        seen = to_bytes(body, usize::MAX).await.unwrap_or_default();
        request = Request::from_parts(head, Body::from(seen.clone()));
    }
    match faults.meet(vendor, request.method().as_str(), &path, &seen) {
        None => next.run(request).await,
        Some(Action::Answer { status, content_type, body }) => answer(status, &content_type, body),
        Some(Action::Delay { ms }) => {
            pause(ms).await;
            next.run(request).await
        }
        Some(Action::AppliedButLost) => {
            next.run(request).await;
            cut(Response::default(), Bytes::new(), 1)
        }
        Some(Action::Drop) => cut(Response::default(), Bytes::new(), 1),
        Some(Action::Truncate { bytes }) => truncate(next.run(request).await, bytes).await,
    }
}

fn answer(status: u16, content_type: &str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

async fn truncate(response: Response, bytes: usize) -> Response {
    let (head, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let length = whole.len();
    cut(Response::from_parts(head, Body::empty()), whole.slice(..bytes.min(length)), length.max(1))
}

/// An answer that promises `length` bytes, gives `start` and fails.
///
/// The failure follows a start only after a pause, in which the connection sends it; without a start it comes at once, before
/// even the head is sent.
fn cut(mut response: Response, start: Bytes, length: usize) -> Response {
    let failed = || std::io::Error::other("connection closed by a fault");
    let body = if start.is_empty() {
        Body::from_stream(stream::iter([Err::<Bytes, _>(failed())]))
    } else {
        let failure = async move {
            pause(20).await;
            Err(failed())
        };
        Body::from_stream(stream::iter([Ok(start)]).chain(stream::once(failure)))
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = body;
    response
}

#[expect(clippy::disallowed_methods, reason = "a slow network is slow in real time")]
async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Serves a call that counts itself, with these faults around it.
    async fn served(faults: &Faults) -> (String, Arc<AtomicUsize>) {
        let carried_out = Arc::new(AtomicUsize::new(0));
        let count = carried_out.clone();
        let call = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { "0123456789".repeat(10) }
        };
        let router = faults.around(Vendor::Marketo, Router::new().route("/call", get(call)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/call", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, carried_out)
    }

    #[tokio::test]
    async fn each_action_does_what_it_says() {
        let faults = Faults::default();
        let (url, carried_out) = served(&faults).await;
        let add = |action| faults.add(Fault::next(Vendor::Marketo, "/call", action));

        add(Action::Answer { status: 502, content_type: html(), body: "<h1>Bad Gateway".into() });
        let answer = reqwest::get(&url).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (502, "<h1>Bad Gateway"));
        assert_eq!(carried_out.load(Ordering::SeqCst), 0);

        add(Action::Drop);
        assert!(reqwest::get(&url).await.is_err(), "no answer at all");
        assert_eq!(carried_out.load(Ordering::SeqCst), 0);

        add(Action::AppliedButLost);
        assert!(reqwest::get(&url).await.is_err());
        assert_eq!(carried_out.load(Ordering::SeqCst), 1);

        add(Action::Truncate { bytes: 7 });
        let mut cut = reqwest::get(&url).await.unwrap();
        assert_eq!(cut.chunk().await.unwrap().unwrap(), "0123456");
        assert!(cut.chunk().await.is_err());

        add(Action::Delay { ms: 1 });
        assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap().len(), 100);
        assert!(faults.waiting().is_empty());
    }

    #[test]
    fn faults_skip_count_and_match() {
        let faults = Faults::default();
        let fault = json!({"vendor": "marketo", "method": "post", "path_contains": "status", "skip": 1, "times": 2, "action": "drop"});
        faults.add(serde_json::from_value(fault).unwrap());
        for (vendor, method, path, met) in [
            (Vendor::Salesforce, "POST", "/status.json", false),
            (Vendor::Marketo, "GET", "/status.json", false),
            (Vendor::Marketo, "POST", "/delete.json", false),
            (Vendor::Marketo, "POST", "/status.json", false),
            (Vendor::Marketo, "POST", "/status.json", true),
            (Vendor::Marketo, "POST", "/status.json", true),
            (Vendor::Marketo, "POST", "/status.json", false),
        ] {
            assert_eq!(faults.meet(vendor, method, path, b"").is_some(), met, "{vendor:?} {method} {path}");
        }
        assert!(!faults.look_inside(Vendor::Marketo));
        let fault = json!({"vendor": "marketo", "body_contains": "1042", "action": "drop"});
        faults.add(serde_json::from_value(fault).unwrap());
        assert!(faults.look_inside(Vendor::Marketo) && !faults.look_inside(Vendor::Salesforce));
        for (body, met) in [("[1041]", false), ("[1041,1042]", true), ("[1042]", false)] {
            assert_eq!(faults.meet(Vendor::Marketo, "POST", "/x", body.as_bytes()).is_some(), met, "{body}");
        }
        let forms = [
            json!({"delay": {"ms": 5}}),
            json!("applied_but_lost"),
            json!({"answer": {"status": 503}}),
            json!({"truncate": {"bytes": 3}}),
        ];
        for form in forms {
            assert!(serde_json::from_value::<Action>(form.clone()).is_ok(), "{form}");
        }
    }
}
