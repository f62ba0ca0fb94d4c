//! Reading people: by id, by filter, and the description of their fields.
//!
//! Owns what a filter may be and how a person looks on the wire: requested fields come back as null when empty, unknown ones are
//! refused. Must not write.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::envelope::{Answer, Refusal};
use super::paging;
use super::people::{Kind, Person};
use super::world::World;

const DEFAULT_FIELDS: [&str; 6] = ["id", "email", "updatedAt", "createdAt", "firstName", "lastName"];

/// The fields that a call asks for, all of them known.
pub fn fields_of(world: &World, call: &Call) -> Result<Vec<String>, Refusal> {
    let mut fields = call.list("fields");
    if fields.is_empty() {
        return Ok(DEFAULT_FIELDS.map(str::to_owned).into());
    }
    for field in &fields {
        world.people.field(field)?;
    }
    if !fields.iter().any(|field| field == "id") {
        fields.insert(0, "id".into());
    }
    Ok(fields)
}

/// A person with these fields.
#[must_use]
pub fn record(person: &Person, fields: &[String]) -> Map<String, Value> {
    fields.iter().map(|field| (field.clone(), person.get(field))).collect()
}

/// `GET lead/{id}.json`: an unknown id is an empty result.
pub fn by_id(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let fields = fields_of(world, call)?;
    let found = world.people.get(call.id()).map(|person| Value::Object(record(person, &fields)));
    Ok(Answer::Records(found.into_iter().collect()))
}

/// `GET leads.json`
pub fn by_filter(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let filter_type = call.text("filterType")?;
    let searchable = world.people.field(filter_type).is_ok_and(|field| field.searchable);
    if !searchable {
        return Err(Refusal::invalid(format!("Invalid filterType '{filter_type}'")));
    }
    let values = call.filter_values(world)?;
    let fields = fields_of(world, call)?;
    let size = call.batch_size(world)?;
    let list = format!("filter:{filter_type}");
    let after = call.param("nextPageToken").map_or(Ok(0), |token| paging::read(&list, token))?;
    let found: BTreeSet<i64> = values.iter().flat_map(|value| world.people.find(filter_type, value)).collect();
    if found.len() > world.options.lead_match_limit {
        return Err(Refusal::invalid("Too many results match the filter"));
    }
    let mut page: Vec<i64> = found.range(after.saturating_add(1)..).take(size + 1).copied().collect();
    let more = page.len() > size;
    page.truncate(size);
    let records = page.iter().filter_map(|id| world.people.get(*id)).map(|row| Value::Object(record(row, &fields)));
    let records: Vec<Value> = records.collect();
    let next = page.last().filter(|_| more).map(|last| paging::issue(&list, *last));
    Ok(Answer::Page { records, next, more: more.then_some(true) })
}

fn data_type(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Email => "email",
        Kind::Integer => "integer",
        Kind::Boolean => "boolean",
        Kind::Datetime => "datetime",
    }
}

/// `GET leads/describe.json`
pub fn describe(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    let rows = (1..).zip(world.people.schema()).map(|(id, field)| {
        json!({
            "id": id, "displayName": field.display, "dataType": data_type(field.kind), "length": 255,
            "rest": {"name": field.name, "readOnly": field.read_only},
        })
    });
    Ok(Answer::Records(rows.collect()))
}

/// `GET leads/describe2.json`
pub fn describe2(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    let schema = world.people.schema();
    let searchable: Vec<Value> =
        schema.iter().filter(|field| field.searchable).map(|field| json!([field.name])).collect();
    let fields: Vec<Value> = schema
        .iter()
        .map(|field| {
            json!({
                "name": field.name, "displayName": field.display, "dataType": data_type(field.kind), "length": 255,
                "updateable": !field.read_only, "crmManaged": field.name.starts_with("sfdc"),
            })
        })
        .collect();
    Ok(Answer::Records(vec![json!({"name": "API Lead", "searchableFields": searchable, "fields": fields})]))
}
