//! One call of the REST API, from path to answer, without HTTP around it.
//!
//! Owns the routing below `/services/data/vNN.0` and what is the same for every resource. Composite calls it again for each
//! of its parts, which is why it is free of HTTP.

use serde_json::{Value, json};

use super::error::Fault;
use super::world::{Actor, World};
use super::{collections, composite, describe, discovery, query, replication, rows, tree};

/// A call, or a part of a composite one.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Version without `v`, `60.0`.
    pub version: String,
    /// Segments below the version, decoded, without the empty one of a trailing slash.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Value,
    /// `Sforce-Query-Options: batchSize=`
    pub batch_size: Option<usize>,
    /// A part of a composite call that is rolled back as a whole.
    pub nested: bool,
}

impl Request {
    /// A parameter of the query string.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl Reply {
    /// With a JSON body.
    #[must_use]
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    /// 204.
    #[must_use]
    pub fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: None }
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        Self::json(fault.status, json!([fault.of_call()]))
    }
}

/// Answers a call. What a failed one wrote is taken back.
pub fn answer(world: &mut World, actor: &Actor, request: &Request) -> Reply {
    match world.atomically(|world| route(world, actor, request)) {
        Ok(reply) => reply,
        Err(fault) => {
            world.counters.error(&fault.code);
            fault.into()
        }
    }
}

fn route(world: &mut World, actor: &Actor, request: &Request) -> Result<Reply, Fault> {
    if !discovery::supported(&request.version) {
        return Err(Fault::not_found());
    }
    let segments: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let method = match request.parameter("_HttpMethod") {
        Some(method) if request.method == "POST" => method,
        _ => request.method.as_str(),
    };
    let schema = world.schema(true);
    let table = |name: &str| schema.named(name).ok_or_else(Fault::not_found);
    let version = &request.version;
    match (method, &segments[..]) {
        ("GET", []) => Ok(Reply::json(200, discovery::resources(world, version))),
        ("GET", ["limits"]) => Ok(Reply::json(200, discovery::limits(world))),
        ("GET", ["sobjects"]) => Ok(Reply::json(200, describe::global(schema.tables(), version))),
        ("GET", ["sobjects", name]) => Ok(Reply::json(200, describe::basic(table(name)?, version))),
        ("GET", ["sobjects", name, "describe"]) => {
            let labels = discovery::status_labels(world);
            Ok(Reply::json(200, describe::full(table(name)?, version, &labels)))
        }
        ("GET", ["sobjects", name, which @ ("updated" | "deleted")]) => {
            replication::answer(world, table(name)?.object, which, request)
        }
        (_, ["sobjects", name, rest @ ..]) => rows::answer(world, actor, table(name)?, method, rest, request),
        ("GET", [which @ ("query" | "queryAll")]) => query::first(world, request, *which == "queryAll"),
        ("GET", ["query" | "queryAll", locator]) => query::next(world, request, locator),
        ("POST", ["composite"]) => composite::answer(world, actor, request),
        ("POST", ["composite", "batch"]) => tree::batch(world, actor, request),
        ("POST", ["composite", "tree", name]) => tree::answer(world, actor, table(name)?, request),
        (_, ["composite", "sobjects", rest @ ..]) => collections::answer(world, actor, method, rest, request),
        (_, [] | ["limits" | "sobjects" | "query" | "queryAll" | "composite"]) => Err(not_allowed(method)),
        _ => Err(Fault::not_found()),
    }
}

/// A method that a resource does not have.
#[must_use]
pub fn not_allowed(method: &str) -> Fault {
    let message = format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE");
    Fault::new("METHOD_NOT_ALLOWED", message).status(405)
}

/// The endpoint of a path, as it is counted.
#[must_use]
pub fn endpoint(path: &[String]) -> String {
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    match &segments[..] {
        ["sobjects", object, rest @ ("describe" | "updated" | "deleted")] => format!("sobjects/{object}/{rest}"),
        ["sobjects", object, _] => format!("sobjects/{object}/id"),
        ["sobjects", object, _, _] => format!("sobjects/{object}/external"),
        ["query" | "queryAll", _] => "query/locator".into(),
        ["composite", "tree", _] => "composite/tree".into(),
        ["composite", "sobjects", object, ..] => format!("composite/sobjects/{object}"),
        rest => rest.join("/"),
    }
}
