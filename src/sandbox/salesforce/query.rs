//! `/query` and `/queryAll`: the first page of a result and those after it.
//!
//! Owns page sizes and locators on the wire. What a query means is in `soql`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::api::{Reply, Request};
use super::error::Fault;
use super::ids::Id;
use super::soql::{self, Plan};
use super::world::World;

const PAGE: usize = 2000;
const SMALLEST_PAGE: usize = 200;

/// Runs a query and answers its first page.
pub fn first(world: &mut World, request: &Request, all: bool) -> Result<Reply, Fault> {
    let text =
        request.parameter("q").ok_or_else(|| Fault::new("MALFORMED_QUERY", "A query string has to be specified"))?;
    let query = soql::parse(text)?;
    let plan = Plan::new(world, &world.schema(true), &query, all)?;
    let ids = plan.run(world);
    if plan.counts {
        return Ok(Reply::json(200, json!({"totalSize": ids.len(), "done": true, "records": []})));
    }
    if let Some(groups) = &plan.groups {
        let records = groups.records(world, ids.iter().filter_map(|id| world.row(*id)))?;
        return Ok(Reply::json(200, json!({"totalSize": records.len(), "done": true, "records": records})));
    }
    let asked = request.batch_size.map_or(PAGE, |n| n.clamp(SMALLEST_PAGE, PAGE));
    let page = world.options.page_size.unwrap_or(asked).max(1);
    let (plan, ids) = (Arc::new(plan), Arc::new(ids));
    let more = ids.len() > page;
    let now = world.now();
    let locator = more.then(|| world.cursors.open(plan.clone(), ids.clone(), page, now));
    Ok(Reply::json(200, show(world, &plan, &ids, 0, page, locator, &request.version)))
}

/// A page after the first.
pub fn next(world: &World, request: &Request, locator: &str) -> Result<Reply, Fault> {
    let found = world.cursors.find(locator, world.now());
    let (id, cursor, from) = found.ok_or_else(|| Fault::new("INVALID_QUERY_LOCATOR", "invalid query locator"))?;
    Ok(Reply::json(200, show(world, &cursor.plan, &cursor.ids, from, cursor.page, Some(id), &request.version)))
}

fn show(world: &World, plan: &Plan, ids: &[Id], from: usize, page: usize, locator: Option<Id>, version: &str) -> Value {
    let until = ids.len().min(from + page);
    let rows = ids[from..until].iter().filter_map(|id| world.row(*id));
    let records: Vec<Value> = rows.map(|r| soql::render(world, plan, r, version)).collect();
    let mut out = Map::new();
    out.insert("totalSize".into(), ids.len().into());
    out.insert("done".into(), (until == ids.len()).into());
    if let Some(locator) = locator.filter(|_| until < ids.len()) {
        out.insert("nextRecordsUrl".into(), format!("/services/data/v{version}/query/{locator}-{until}").into());
    }
    out.insert("records".into(), records.into());
    out.into()
}

impl World {
    /// How many rows a query finds.
    pub fn finds(&self, soql: &str) -> Result<usize, Fault> {
        let query = soql::parse(soql)?;
        Ok(Plan::new(self, &self.schema(true), &query, false)?.run(self).len())
    }
}
