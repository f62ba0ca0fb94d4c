//! `/composite`: several calls in one, each of which may use the answers of those before it.
//!
//! Owns the references `@{id.path}` and the roll-back of the whole. The parts are answered by `api` like calls of their own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::api::{self, Reply, Request};
use super::error::Fault;
use super::world::{Actor, World};

/// A decoded query string.
type Parameters = Vec<(String, String)>;

/// Answers a composite call.
pub fn answer(world: &mut World, actor: &Actor, request: &Request) -> Result<Reply, Fault> {
    let parts = request.body.get("compositeRequest").and_then(Value::as_array);
    let parts = parts.ok_or_else(|| malformed("compositeRequest must be specified"))?;
    let all_or_none = request.body.get("allOrNone") == Some(&Value::Bool(true));
    check(parts, world.options.composite_parts, world.options.composite_heavy_parts)
        .inspect_err(|fault| world.counters.misuse.oversized_composites += u64::from(fault.code == "LIMIT_EXCEEDED"))?;
    let start = world.savepoint();
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let mut replies: Vec<(String, Reply)> = Vec::new();
    let mut failed = None;
    for (n, part) in parts.iter().enumerate() {
        let reference = part["referenceId"].as_str().unwrap_or_default().to_owned();
        let reply = match resolve(part, &answers) {
            Ok(part) => match sub_request(&part, request, all_or_none) {
                Ok(sub) => api::answer(world, actor, &sub),
                Err(fault) => fault.into(),
            },
            Err(fault) => fault.into(),
        };
        if reply.status < 400 {
            answers.insert(reference.clone(), reply.body.clone().unwrap_or(Value::Null));
        } else if failed.is_none() {
            failed = Some(n);
        }
        replies.push((reference, reply));
        if all_or_none && failed.is_some() {
            break;
        }
    }
    if let (true, Some(failed)) = (all_or_none, failed) {
        world.roll_back(start);
        let halted = Fault::new(
            "PROCESSING_HALTED",
            "The transaction was rolled back since another operation in the same transaction failed.",
        );
        let references = parts.iter().map(|p| p["referenceId"].as_str().unwrap_or_default().to_owned());
        let failure = replies.swap_remove(failed).1;
        replies = references
            .enumerate()
            .map(|(n, r)| (r, if n == failed { failure.clone() } else { halted.clone().into() }))
            .collect();
    }
    let shown: Vec<Value> = replies.into_iter().map(|(reference, reply)| {
        let headers: Map<String, Value> = reply.headers.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
        json!({"body": reply.body, "httpHeaders": headers, "httpStatusCode": reply.status, "referenceId": reference})
    }).collect();
    Ok(Reply::json(200, json!({"compositeResponse": shown})))
}

fn malformed(message: impl Into<String>) -> Fault {
    Fault::new("JSON_PARSER_ERROR", message)
}

fn check(parts: &[Value], most: usize, most_heavy: usize) -> Result<(), Fault> {
    if parts.len() > most {
        return Err(Fault::new("LIMIT_EXCEEDED", format!("The limit of {most} subrequests was exceeded")));
    }
    let heavy =
        |p: &&Value| p["url"].as_str().is_some_and(|u| u.contains("/query") || u.contains("/composite/sobjects"));
    if parts.iter().filter(heavy).count() > most_heavy {
        let message = format!("The limit of {most_heavy} query and collections subrequests was exceeded");
        return Err(Fault::new("LIMIT_EXCEEDED", message));
    }
    let mut seen = Vec::new();
    for part in parts {
        let name = part["referenceId"].as_str().unwrap_or_default();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || !plain || seen.contains(&name) {
            return Err(malformed(format!("referenceId is missing, ill-formed or used twice: '{name}'")));
        }
        seen.push(name);
        let headers = part.get("httpHeaders").and_then(Value::as_object);
        let barred = |k: &&String| ["accept", "authorization", "content-type"].contains(&k.to_lowercase().as_str());
        if let Some(header) = headers.and_then(|h| h.keys().find(barred)) {
            return Err(malformed(format!("The header {header} is not allowed in a subrequest")));
        }
    }
    Ok(())
}

/// The part with every `@{id.path}` of its url and body put in.
fn resolve(part: &Value, answers: &BTreeMap<String, Value>) -> Result<Value, Fault> {
    Ok(match part {
        Value::String(text) => Value::String(fill(text, answers)?),
        Value::Array(list) => list.iter().map(|v| resolve(v, answers)).collect::<Result<_, _>>()?,
        Value::Object(map) => {
            let filled = map.iter().map(|(k, v)| Ok((k.clone(), resolve(v, answers)?)));
            Value::Object(filled.collect::<Result<_, Fault>>()?)
        }
        other => other.clone(),
    })
}

fn fill(text: &str, answers: &BTreeMap<String, Value>) -> Result<String, Fault> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let Some((expression, after)) = after.split_once('}') else { break };
        let (name, path) = expression.split_once('.').unwrap_or((expression, ""));
        let pointer = path.replace(['.', '['], "/").replace(']', "");
        let found = answers.get(name).and_then(|v| v.pointer(&format!("/{pointer}")));
        let found = found.filter(|v| !v.is_object() && !v.is_array() && !v.is_null()).ok_or_else(|| {
            let message = format!("Invalid reference specified. No value for {expression} found in {name} response");
            Fault::new("PROCESSING_HALTED", message)
        })?;
        out.push_str(before);
        out.push_str(&found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn sub_request(part: &Value, outer: &Request, nested: bool) -> Result<Request, Fault> {
    let url = part["url"].as_str().unwrap_or_default();
    let (version, path, query) = split_url(url).ok_or_else(Fault::not_found)?;
    if path.first().is_some_and(|p| p == "composite") && path.len() == 1 {
        return Err(Fault::not_found());
    }
    let method = part["method"].as_str().unwrap_or_default().to_owned();
    let body = part.get("body").cloned().unwrap_or_default();
    Ok(Request { method, version, path, query, body, batch_size: outer.batch_size, nested })
}

/// `/services/data/v60.0/...?..` in version, segments and parameters.
#[must_use]
pub fn split_url(url: &str) -> Option<(String, Vec<String>, Parameters)> {
    let url = url::Url::parse("http://org.invalid/").ok()?.join(url).ok()?;
    let mut segments = url.path_segments()?.filter(|s| !s.is_empty()).map(decode);
    if segments.next()? != "services" || segments.next()? != "data" {
        return None;
    }
    let version = segments.next()?.strip_prefix('v')?.to_owned();
    let query = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned()));
    Some((version, segments.collect(), query.collect()))
}

/// Percent-decoding of a path segment, where `+` is a plus.
fn decode(segment: &str) -> String {
    let plain = segment.replace('+', "%2B");
    url::form_urlencoded::parse(format!("s={}", plain.replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
