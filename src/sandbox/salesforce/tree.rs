//! `/composite/tree/{X}` and `/composite/batch`: records in one all-or-nothing call, and independent calls in one.
//!
//! Owns their limits and shapes. Trees here are flat: child records inside a record are refused, which is said in the message.

use serde_json::{Value, json};

use super::api::{self, Reply, Request};
use super::composite::split_url;
use super::error::Fault;
use super::objects::Table;
use super::world::{Actor, World};

const MOST_RECORDS: usize = 200;
const MOST_CALLS: usize = 25;

/// Answers a tree.
pub fn answer(world: &mut World, actor: &Actor, table: &Table, request: &Request) -> Result<Reply, Fault> {
    let malformed = |message: &str| Fault::new("JSON_PARSER_ERROR", message);
    let records =
        request.body.get("records").and_then(Value::as_array).ok_or_else(|| malformed("records must be specified"))?;
    if records.len() > MOST_RECORDS {
        world.counters.misuse.oversized_collections += 1;
        return Err(Fault::new(
            "LIMIT_EXCEEDED",
            format!("record limit reached. cannot submit more than {MOST_RECORDS} records"),
        ));
    }
    let start = world.savepoint();
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for record in records {
        let attributes = &record["attributes"];
        let reference = attributes["referenceId"].as_str().ok_or_else(|| malformed("referenceId must be specified"))?;
        let fields = record.as_object().ok_or_else(|| malformed("a record must be an object"))?;
        let result = match attributes["type"].as_str() {
            Some(name) if name.eq_ignore_ascii_case(table.object.name()) => {
                match fields.iter().find(|(k, v)| *k != "attributes" && v.is_object()) {
                    Some((child, _)) => Err(Fault::new(
                        "INVALID_FIELD",
                        format!("the emulated org takes no children ({child}) in a tree"),
                    )),
                    None => world.create(actor, table.object, fields),
                }
            }
            _ => Err(Fault::new("INVALID_TYPE", "attributes.type must be the type of the call")),
        };
        match result {
            Ok(id) => made.push(json!({"referenceId": reference, "id": id})),
            Err(fault) => {
                world.counters.error(&fault.code);
                refused.push(json!({"referenceId": reference, "errors": fault.of_record()["errors"]}));
            }
        }
    }
    if refused.is_empty() {
        return Ok(Reply::json(201, json!({"hasErrors": false, "results": made})));
    }
    world.roll_back(start);
    Ok(Reply::json(400, json!({"hasErrors": true, "results": refused})))
}

/// Answers a batch: each call for itself, none sees another.
pub fn batch(world: &mut World, actor: &Actor, request: &Request) -> Result<Reply, Fault> {
    let calls = request.body.get("batchRequests").and_then(Value::as_array);
    let calls = calls.ok_or_else(|| Fault::new("JSON_PARSER_ERROR", "batchRequests must be specified"))?;
    if calls.len() > MOST_CALLS {
        world.counters.misuse.oversized_composites += 1;
        return Err(Fault::new("LIMIT_EXCEEDED", format!("The limit of {MOST_CALLS} subrequests was exceeded")));
    }
    let replies: Vec<Reply> = calls
        .iter()
        .map(|call| {
            // Written from the version on, or from the root.
            let url = call["url"].as_str().unwrap_or_default();
            let url = if url.starts_with("/services/") {
                url.to_owned()
            } else {
                format!("/services/data/{}", url.trim_start_matches('/'))
            };
            let Some((version, path, query)) = split_url(&url) else { return Fault::not_found().into() };
            let (method, body) = (
                call["method"].as_str().unwrap_or_default().to_owned(),
                call.get("richInput").cloned().unwrap_or_default(),
            );
            api::answer(
                world,
                actor,
                &Request { method, version, path, query, body, batch_size: request.batch_size, nested: false },
            )
        })
        .collect();
    let failed = replies.iter().any(|reply| reply.status >= 400);
    let results: Vec<Value> =
        replies.into_iter().map(|reply| json!({"statusCode": reply.status, "result": reply.body})).collect();
    Ok(Reply::json(200, json!({"hasErrors": failed, "results": results})))
}
