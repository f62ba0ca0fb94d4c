//! The way of a call from bytes to an answer: sizes, method override, token, limits, path, content type, body, permission.
//!
//! Owns the order of those checks and the HTTP side: everything past it is answered with 200, but for 401 of the identity service,
//! 413 and 414. Must not know what a call does. A call whose client has gone away runs to its end and keeps its place in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Marketo;
use super::call::Call;
use super::envelope::{Answer, Refusal, render, request_id};
use super::file;
use super::routes::{self, Body as Expected, Route};
use super::world::World;

const URI_LIMIT: usize = 8 * 1024;
const ASSET_URI_LIMIT: usize = 65 * 1024;
const BODY_LIMIT: usize = 1024 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// A call as it came over the wire.
struct Incoming {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A place among the calls in flight.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(in_flight: &Arc<AtomicUsize>) -> (Self, usize) {
        let count = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        (Self(in_flight.clone()), count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers any request to this subscription's host.
pub(super) async fn serve(State(marketo): State<Arc<Marketo>>, request: Request) -> Response {
    let (now, carried) = (marketo.clone(), marketo);
    let running = tokio::spawn(async move { answer(&carried, request).await });
    let mut response =
        running.await.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"));
    let date = now.with(|world| world.now()).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = header::HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn answer(marketo: &Marketo, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let asset = head.uri.path().starts_with("/rest/asset/");
    let uri_length = head.uri.path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri_length > if asset { ASSET_URI_LIMIT } else { URI_LIMIT } {
        return plain(StatusCode::URI_TOO_LONG, "Request-URI Too Long");
    }
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let query = head.uri.query().map(pairs).unwrap_or_default();
    // node-marketo-rest writes `/rest/../bulk/v1`, which servers take for `/bulk/v1`.
    let path = head.uri.path().replacen("/rest/../bulk/", "/bulk/", 1);
    let method = head.method.as_str().to_owned();
    let incoming = Incoming { method, path, query, headers: head.headers, body: body.to_vec() };
    if incoming.path == "/identity/oauth/token" {
        return identity(marketo, &incoming);
    }
    let range = incoming.headers.get(header::RANGE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (place, in_flight) = Place::take(&marketo.in_flight);
    let (admitted, latency) = marketo.with(|world| (admit(world, incoming, in_flight), world.options.latency_ms));
    if latency > 0 {
        pause(latency).await;
    }
    let (outcome, body) = marketo.with(|world| {
        let outcome = admitted.and_then(|(route, call)| carry_out(world, route, &call));
        if let Err(refusal) = &outcome {
            world.police.over_limit_calls += u64::from(matches!(refusal.code, 606 | 607 | 615));
            *world.police.errors_by_code.entry(refusal.code).or_default() += 1;
            let now = world.now();
            world.limits.count_error(now, refusal.code);
        }
        let serial = marketo.serial.fetch_add(1, Ordering::Relaxed);
        let body = render(&outcome, asset, request_id(serial, world.now()));
        (outcome, body)
    });
    drop(place);
    match outcome {
        Ok(Answer::File { content_type, bytes }) => file::answer(content_type, &bytes, range.as_deref()),
        Ok(Answer::NoFile) => plain(StatusCode::NOT_FOUND, "File not found"),
        _ => json(StatusCode::OK, &body),
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow vendor is slow in real time")]
async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn identity(marketo: &Marketo, incoming: &Incoming) -> Response {
    if !matches!(incoming.method.as_str(), "GET" | "POST") {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    }
    let outcome = marketo.with(|world| {
        world.police.identity_calls += 1;
        let (seed, seconds, now) = (world.options.seed, world.options.token_seconds, world.now());
        world.identity.token(&incoming.query, seed, seconds, now)
    });
    match outcome {
        Ok(token) => {
            let mut response = json(StatusCode::OK, &token);
            response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            response.headers_mut().insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
            response
        }
        Err(body) => json(StatusCode::UNAUTHORIZED, &body),
    }
}

/// Lets a call in, or says why not. Free codes (601, 602, 605) are decided before anything is counted.
fn admit(world: &mut World, mut incoming: Incoming, in_flight: usize) -> Result<(&'static Route, Call), Refusal> {
    let now = world.now();
    let token = bearer(&incoming.headers).or_else(|| {
        let query = incoming.query.iter().find(|(name, _)| name == "access_token");
        query.filter(|_| world.options.token_in_query).map(|(_, token)| token.clone())
    });
    let misplaced = incoming.query.iter().any(|(name, _)| name == "access_token");
    world.police.token_in_wrong_place += u64::from(misplaced);
    let service = world.identity.authenticate(token.as_deref(), now)?;
    let (user, permissions) = (service.user.clone(), service.permissions.clone());
    let overridden = override_method(&mut incoming);
    let found = routes::find(&incoming.method, &incoming.path);
    if let Err(refusal) = &found
        && refusal.is_free()
    {
        return Err(refusal.clone());
    }
    world.police.most_in_flight = world.police.most_in_flight.max(in_flight);
    world.limits.admit(&world.options, now, &user, in_flight)?;
    let (route, path_key) = found?;
    *world.police.calls_by_endpoint.entry(format!("{} {}", route.method, route.path)).or_default() += 1;
    // A role that may write may read the same.
    let allowed = [route.permission, &route.permission.replace("Read-Only", "Read-Write")];
    if !route.permission.is_empty() && !allowed.iter().any(|permission| permissions.contains(*permission)) {
        return Err(Refusal::new(603, "Access denied"));
    }
    let expected = if overridden && route.body == Expected::None { Expected::Form } else { route.body };
    let body = read_body(world, &mut incoming, expected)?;
    let horizon = world.people.next_id();
    Ok((route, Call { params: incoming.query, body, path_key, user, horizon }))
}

/// `_method=GET` and `_method=DELETE` on a POST, for queries that do not fit in a URI: in the query, or in the form that carries the
/// rest of it. The Asset API stopped taking it in 2020.
fn override_method(incoming: &mut Incoming) -> bool {
    if incoming.method != "POST" || !incoming.path.starts_with("/rest/v1/") {
        return false;
    }
    let form =
        if is_type(&incoming.headers, FORM) { pairs(&String::from_utf8_lossy(&incoming.body)) } else { Vec::new() };
    let mut named = incoming.query.iter().chain(&form).filter(|(name, _)| name == "_method");
    let wanted = named.next().map(|(_, method)| method.to_ascii_uppercase());
    match wanted {
        Some(method) if method == "GET" || method == "DELETE" => {
            incoming.method = method;
            true
        }
        _ => false,
    }
}

fn read_body(world: &mut World, incoming: &mut Incoming, expected: Expected) -> Result<Value, Refusal> {
    let wanted = match expected {
        Expected::None => return Ok(Value::Null),
        // Parameters of a form may all stand in the URI.
        Expected::Form | Expected::MaybeJson if incoming.body.is_empty() => return Ok(Value::Null),
        Expected::Json | Expected::MaybeJson => "application/json",
        Expected::Form => FORM,
    };
    if !is_type(&incoming.headers, wanted) {
        world.police.missing_content_type += 1;
        return Err(Refusal::new(612, "Invalid Content Type"));
    }
    if expected == Expected::Form {
        incoming.query.extend(pairs(&String::from_utf8_lossy(&incoming.body)));
        return Ok(Value::Null);
    }
    serde_json::from_slice(&incoming.body).map_err(|_| Refusal::new(609, "Invalid JSON"))
}

fn carry_out(world: &mut World, route: &Route, call: &Call) -> Result<Answer, Refusal> {
    let outcome = (route.answer)(world, call)?;
    if route.writes() {
        world.police.writes += 1;
        if let Answer::Records(records) = &outcome {
            world.police.count_records(records);
        }
    } else {
        world.police.reads += 1;
    }
    Ok(outcome)
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json;charset=UTF-8")], body.to_string()).into_response()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html")], Body::from(text)).into_response()
}
