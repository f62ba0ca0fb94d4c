//! HTTP around the API: tokens, limits, headers.
//!
//! Owns what a call must carry (`Authorization`, `Content-Type`), the daily allowance, the headers of every answer, and how long
//! a write keeps others out of its campaigns. Knows no resource.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::Value;

use super::api::{self, Reply, Request};
use super::composite::split_url;
use super::discovery;
use super::error::Fault;
use super::world::Actor;
use super::{Salesforce, locked};

/// Bytes of the request line that Salesforce takes.
const LONGEST_URI: usize = 16_384;
const LARGEST_BODY: usize = 50 * 1024 * 1024;

/// Every path; the routing below is done by hand, since Salesforce's is lax about slashes and case.
pub fn router(salesforce: Arc<Salesforce>) -> Router {
    Router::new().fallback(handle).with_state(salesforce)
}

async fn handle(State(salesforce): State<Arc<Salesforce>>, request: HttpRequest) -> Response {
    let mut response = answer(&salesforce, request).await;
    let date = locked(&salesforce.world).now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = header::HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn answer(salesforce: &Salesforce, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.to_string().len() > LONGEST_URI {
        return plain(StatusCode::URI_TOO_LONG, "<h1>414 URI Too Long</h1>");
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "<h1>413 Payload Too Large</h1>");
    };
    match parts.uri.path().trim_end_matches('/') {
        "/services/oauth2/token" if parts.method == Method::POST => token(salesforce, &parts.headers, &body),
        "/services/data" if parts.method == Method::GET => write(Reply::json(200, discovery::versions()), None),
        _ => call(salesforce, &parts.method, &parts.uri, &parts.headers, &body).await,
    }
}

fn token(salesforce: &Salesforce, headers: &HeaderMap, body: &[u8]) -> Response {
    let is_form = text(headers, "content-type").starts_with("application/x-www-form-urlencoded");
    let form: Vec<(String, String)> =
        if is_form { url::form_urlencoded::parse(body).into_owned().collect() } else { Vec::new() };
    let basic = text(headers, "authorization").strip_prefix("Basic ");
    let base_url = salesforce.base_url();
    let (status, body) = salesforce.with(|world| locked(&salesforce.tokens).grant(world, &base_url, &form, basic));
    write(Reply::json(status, body), None)
}

async fn call(salesforce: &Salesforce, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let Some((version, path, query)) = split_url(&uri.to_string()) else {
        return write(Fault::not_found().into(), None);
    };
    let number = salesforce.next_call();
    let (reply, limit, wait) = salesforce.with(|world| {
        let now = world.now();
        if let Err(fault) = authorize(headers, |t| locked(&salesforce.tokens).check(t, &world.options, now)) {
            world.counters.misuse.dead_tokens += 1;
            world.counters.error(&fault.code);
            let mut reply = Reply::from(fault);
            reply.headers.push(("WWW-Authenticate", "Token".into()));
            return (reply, None, 0);
        }
        let allowed = world.options.daily_calls;
        let left = world.counters.take_call(now, allowed);
        let limit = Some(format!("api-usage={}/{allowed}", world.counters.used));
        if !left {
            world.counters.error("REQUEST_LIMIT_EXCEEDED");
            let fault = Fault::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").status(403);
            return (fault.into(), limit, 0);
        }
        let reads = matches!(&path[..], [a, b, _] if a == "composite" && b == "sobjects");
        let writes = *method != Method::GET && !(reads && *method == Method::POST);
        world.counters.call(method.as_str(), &api::endpoint(&path), writes);
        let parsed = match content(headers, body) {
            Ok(parsed) => parsed,
            Err(fault) => {
                world.counters.misuse.missing_content_type += u64::from(fault.status == 415);
                world.counters.error(&fault.code);
                return (fault.into(), limit, 0);
            }
        };
        let request = Request {
            method: method.as_str().to_owned(),
            batch_size: option(headers, "sforce-query-options", "batchSize").and_then(|n| n.parse().ok()),
            body: parsed,
            nested: false,
            version,
            path,
            query,
        };
        // The duplicate rule header came with API 52.0.
        let honoured = discovery::number(&request.version).is_some_and(|n| n >= 52);
        let allow_save = honoured && option(headers, "sforce-duplicate-rule-header", "allowSave") == Some("true");
        let actor = Actor { user: world.api_user, api: true, call: number, allow_save };
        let reply = api::answer(world, &actor, &request);
        let holds = world.holds.values().any(|call| *call == number);
        (reply, limit, if holds { world.options.member_write_millis } else { 0 })
    });
    let release = Release(salesforce, number);
    if wait > 0 {
        #[expect(
            clippy::disallowed_methods,
            reason = "the emulated server takes its time; nothing else depends on it"
        )]
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    drop(release);
    write(reply, limit)
}

/// Frees the campaigns of a call, also when the client has gone away.
struct Release<'a>(&'a Salesforce, u64);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        locked(&self.0.world).holds.retain(|_, call| *call != self.1);
    }
}

fn authorize(headers: &HeaderMap, check: impl FnOnce(&str) -> bool) -> Result<(), Fault> {
    let (scheme, token) = text(headers, "authorization").split_once(' ').unwrap_or_default();
    if !["bearer", "oauth"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(Fault::new("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE").status(401));
    }
    if !check(token.trim()) {
        return Err(Fault::new("INVALID_SESSION_ID", "Session expired or invalid").status(401));
    }
    Ok(())
}

fn content(headers: &HeaderMap, body: &[u8]) -> Result<Value, Fault> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    if !text(headers, "content-type").to_ascii_lowercase().starts_with("application/json") {
        let message = "Content-Type header specified in HTTP request is not supported: ".to_owned();
        return Err(Fault::new("UNSUPPORTED_MEDIA_TYPE", message + text(headers, "content-type")).status(415));
    }
    serde_json::from_slice(body).map_err(|e| Fault::new("JSON_PARSER_ERROR", format!("Unexpected character: {e}")))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// One `name=value` of a Sforce header, which separates them by semicolons or commas.
fn option<'h>(headers: &'h HeaderMap, header: &str, name: &str) -> Option<&'h str> {
    let pairs = text(headers, header).split([';', ',']).filter_map(|p| p.trim().split_once('='));
    pairs.into_iter().find(|(k, _)| k.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
}

fn plain(status: StatusCode, html: &'static str) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html;charset=UTF-8"));
    response
}

fn write(reply: Reply, limit: Option<String>) -> Response {
    let mut builder = Response::builder()
        .status(reply.status)
        .header("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private")
        .header("Vary", "Accept-Encoding");
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    if let Some(limit) = limit.filter(|_| reply.status != 401) {
        builder = builder.header("Sforce-Limit-Info", limit);
    }
    let body = match reply.body {
        Some(body) => {
            builder = builder.header("Content-Type", "application/json;charset=UTF-8");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    builder.body(body).unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "<h1>500</h1>"))
}
