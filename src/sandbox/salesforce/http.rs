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
use serde_json::{Value, json};

use super::api::{self, Reply, Request};
use super::composite::split_url;
use super::error::Fault;
use super::soap::{self, SoapFault};
use super::world::{Actor, World};
use super::{Salesforce, discovery, identity, locked, soap_calls};

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
        locked(&salesforce.world).counters.misuse.oversized_uris += 1;
        return plain(StatusCode::URI_TOO_LONG, "<h1>414 URI Too Long</h1>");
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "<h1>413 Payload Too Large</h1>");
    };
    match parts.uri.path().trim_end_matches('/') {
        "/services/oauth2/token" if parts.method == Method::POST => token(salesforce, &parts.headers, &body),
        "/services/oauth2/revoke" if parts.method == Method::POST => revoke(salesforce, &body),
        "/services/oauth2/introspect" if parts.method == Method::POST => introspect(salesforce, &body),
        "/services/oauth2/userinfo" => who(salesforce, &parts.headers, &parts.uri, identity::userinfo),
        path if path.starts_with("/id/") => who(salesforce, &parts.headers, &parts.uri, identity::identity),
        path if path.starts_with("/services/Soap/u/") && parts.method == Method::POST => {
            envelope(salesforce, path, &parts.headers, &body)
        }
        "/services/data" if parts.method == Method::GET => write(Reply::json(200, discovery::versions()), None),
        _ => call(salesforce, &parts.method, &parts.uri, &parts.headers, &body).await,
    }
}

fn token(salesforce: &Salesforce, headers: &HeaderMap, body: &[u8]) -> Response {
    let is_form = text(headers, "content-type").starts_with("application/x-www-form-urlencoded");
    let form = if is_form { form(body) } else { Vec::new() };
    let basic = text(headers, "authorization").strip_prefix("Basic ");
    let (status, body) = salesforce.with(|world| locked(&salesforce.tokens).grant(world, &form, basic));
    write(Reply::json(status, body), None)
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn field(form: &[(String, String)], name: &str) -> String {
    form.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()).unwrap_or_default()
}

/// 200 without a body; the error is a form, unlike everything else.
fn revoke(salesforce: &Salesforce, body: &[u8]) -> Response {
    if locked(&salesforce.tokens).revoke(&field(&form(body), "token")) {
        return write(Reply { status: 200, headers: Vec::new(), body: None }, None);
    }
    const REFUSED: &str = "error=unsupported_token_type&error_description=this+token+type+is+not+supported";
    typed(StatusCode::BAD_REQUEST, "application/x-www-form-urlencoded;charset=UTF-8", REFUSED.into())
}

fn introspect(salesforce: &Salesforce, body: &[u8]) -> Response {
    let form = form(body);
    let (id, secret) = (field(&form, "client_id"), field(&form, "client_secret"));
    write(
        salesforce.with(|world| {
            if (id, secret) != (world.options.client_id.clone(), world.options.client_secret.clone()) {
                return Reply::json(
                    401,
                    json!({"error": "invalid_client", "error_description": "invalid client credentials"}),
                );
            }
            Reply::json(200, identity::introspect(&mut locked(&salesforce.tokens), world, &field(&form, "token")))
        }),
        None,
    )
}

/// Documents about the user of a token, which may also be a parameter.
fn who(salesforce: &Salesforce, headers: &HeaderMap, uri: &Uri, document: fn(&World) -> Value) -> Response {
    let given = field(&form(uri.query().unwrap_or_default().as_bytes()), "oauth_token");
    let check = |token: &str, world: &World| locked(&salesforce.tokens).check(token, &world.options, world.now());
    write(
        salesforce.with(|world| {
            let good = check(&given, world) || authorize(headers, |token| check(token, world)).is_ok();
            if good {
                return Reply::json(200, document(world));
            }
            // Not an array: these are not resources of the REST API.
            Reply::json(403, json!({"error": "invalid_token", "error_description": "Bad_OAuth_Token"}))
        }),
        None,
    )
}

fn envelope(salesforce: &Salesforce, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let version = path.split('/').nth(4).unwrap_or_default();
    let number = salesforce.next_call();
    let answer = salesforce.with(|world| {
        let is_xml = text(headers, "content-type").starts_with("text/xml");
        if !is_xml || !headers.contains_key("soapaction") {
            world.counters.misuse.missing_content_type += u64::from(!is_xml);
            return Err(SoapFault::new("CLIENT_ERROR", "Content-Type text/xml and the header SOAPAction are needed"));
        }
        if !discovery::supported(version) {
            return Err(SoapFault::new(
                "UNSUPPORTED_API_VERSION",
                format!("Invalid Api version specified on URL: {version}"),
            ));
        }
        let answer = soap_calls::answer(world, &mut locked(&salesforce.tokens), version, number, body);
        world.holds.retain(|_, call| *call != number);
        if let Err(fault) = &answer {
            world.counters.error(&fault.code);
        }
        answer
    });
    let (status, envelope) = soap::write(&answer);
    typed(StatusCode::from_u16(status).unwrap_or_default(), "text/xml; charset=utf-8", envelope)
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
    typed(status, "text/html;charset=UTF-8", html.into())
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
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
