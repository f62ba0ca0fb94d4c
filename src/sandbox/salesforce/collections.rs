//! `/composite/sobjects`: up to 200 records in a call.
//!
//! Owns the results per record, in the order of the request, and all-or-none. A well-formed call is answered with 200,
//! whatever becomes of its records.

use serde_json::{Value, json};

use super::api::{Reply, Request, not_allowed};
use super::error::Fault;
use super::ids::Id;
use super::objects::{Schema, Table};
use super::rows;
use super::rules::Fields;
use super::world::{Actor, World};

const MOST: usize = 200;
/// Runs of one type in a call.
const MOST_CHUNKS: usize = 10;

/// Answers a Collections call.
pub fn answer(
    world: &mut World,
    actor: &Actor,
    method: &str,
    rest: &[&str],
    request: &Request,
) -> Result<Reply, Fault> {
    let schema = world.schema(true);
    let named = |name: &str| schema.named(name).ok_or_else(Fault::not_found);
    match (method, rest) {
        ("POST" | "PATCH", []) => {
            let records = records(world, &request.body)?;
            check_chunks(&records)?;
            let update = method == "PATCH";
            each(world, request, &records, |world, record| {
                let table = typed(&schema, record)?;
                if update { update_one(world, actor, table, record) } else { create_one(world, actor, table, record) }
            })
        }
        ("PATCH", [name, field]) => {
            let table = named(name)?;
            rows::external_field(table, field)?;
            let records = records(world, &request.body)?;
            each(world, request, &records, |world, record| upsert_one(world, actor, table, field, record))
        }
        ("DELETE", []) => {
            let ids = listed(request);
            within(world, ids.len())?;
            each(world, request, &ids, |world, id| {
                let id = Id::parse(id).ok_or_else(|| Fault::malformed_id("Record ID", id, "Id"))?;
                world.delete(actor, id)?;
                Ok(json!({"id": id, "success": true, "errors": []}))
            })
        }
        ("GET", [name]) => retrieve(world, named(name)?, &listed(request), &fields_parameter(request), request),
        ("POST", [name]) => {
            let strings = |key: &str| -> Result<Vec<String>, Fault> {
                let list = request.body.get(key).and_then(Value::as_array);
                let list = list.ok_or_else(|| Fault::new("JSON_PARSER_ERROR", format!("{key} must be specified")))?;
                Ok(list.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect())
            };
            retrieve(world, named(name)?, &strings("ids")?, &strings("fields")?, request)
        }
        (_, [] | [_] | [_, _]) => Err(not_allowed(method)),
        _ => Err(Fault::not_found()),
    }
}

fn records(world: &mut World, body: &Value) -> Result<Vec<Fields>, Fault> {
    let list = body.get("records").and_then(Value::as_array);
    let list = list.ok_or_else(|| Fault::new("JSON_PARSER_ERROR", "records must be specified"))?;
    within(world, list.len())?;
    let records = list.iter().map(|r| r.as_object().cloned());
    let records = records.collect::<Option<Vec<_>>>();
    records.ok_or_else(|| Fault::new("JSON_PARSER_ERROR", "Cannot deserialize instance of SObject"))
}

fn within(world: &mut World, count: usize) -> Result<(), Fault> {
    if count <= MOST {
        return Ok(());
    }
    world.counters.misuse.oversized_collections += 1;
    let message = format!("record limit reached. cannot submit more than {MOST} records into this call");
    Err(Fault::new("LIMIT_EXCEEDED", message))
}

fn type_of(record: &Fields) -> &str {
    record.get("attributes").and_then(|a| a.get("type")).and_then(Value::as_str).unwrap_or_default()
}

fn check_chunks(records: &[Fields]) -> Result<(), Fault> {
    let runs = records.chunk_by(|a, b| type_of(a).eq_ignore_ascii_case(type_of(b))).count();
    if runs > MOST_CHUNKS {
        let message = format!("cannot submit more than {MOST_CHUNKS} chunks of one object type in this call");
        return Err(Fault::new("LIMIT_EXCEEDED", message));
    }
    Ok(())
}

fn typed<'s>(schema: &'s Schema, record: &Fields) -> Result<&'s Table, Fault> {
    let name = type_of(record);
    schema.named(name).ok_or_else(|| Fault::new("INVALID_TYPE", format!("sObject type '{name}' is not supported.")))
}

/// The record without its id, and the id.
fn with_id(table: &Table, record: &Fields) -> Result<(Id, Fields), Fault> {
    let mut fields = record.clone();
    let key = record.keys().find(|k| k.eq_ignore_ascii_case("id")).cloned();
    let id = key.and_then(|k| fields.shift_remove(&k));
    let missing = || Fault::new("MISSING_ARGUMENT", "Id not specified in an update call").fields(&["Id"]);
    let id = id.as_ref().and_then(Value::as_str).ok_or_else(missing)?;
    Ok((rows::record_id(table.object, id)?, fields))
}

fn create_one(world: &mut World, actor: &Actor, table: &Table, record: &Fields) -> Result<Value, Fault> {
    let id = world.create(actor, table.object, record)?;
    Ok(json!({"id": id, "success": true, "errors": []}))
}

fn update_one(world: &mut World, actor: &Actor, table: &Table, record: &Fields) -> Result<Value, Fault> {
    let (id, fields) = with_id(table, record)?;
    world.update(actor, id, &fields)?;
    Ok(json!({"id": id, "success": true, "errors": []}))
}

fn upsert_one(world: &mut World, actor: &Actor, table: &Table, field: &str, record: &Fields) -> Result<Value, Fault> {
    if !type_of(record).eq_ignore_ascii_case(table.object.name()) {
        return Err(Fault::new("INVALID_TYPE", "attributes.type must be the type of the call"));
    }
    let mut fields = record.clone();
    let key = record.keys().find(|k| k.eq_ignore_ascii_case(field)).cloned();
    let value = key.and_then(|k| fields.shift_remove(&k));
    let missing = || Fault::new("MISSING_ARGUMENT", format!("{field} not specified")).fields(&[]);
    let value = value.as_ref().and_then(Value::as_str).filter(|v| !v.is_empty()).ok_or_else(missing)?;
    let (id, created) = rows::upsert(world, actor, table, (field, value), &fields, false)?;
    Ok(json!({"id": id, "success": true, "errors": [], "created": created}))
}

fn all_or_none(request: &Request) -> bool {
    request.parameter("allOrNone") == Some("true") || request.body.get("allOrNone") == Some(&Value::Bool(true))
}

/// Runs `work` for every record, and takes all back when one fails and the call says so.
fn each<R>(
    world: &mut World,
    request: &Request,
    records: &[R],
    mut work: impl FnMut(&mut World, &R) -> Result<Value, Fault>,
) -> Result<Reply, Fault> {
    let start = world.savepoint();
    let mut failed = 0;
    let mut results = Vec::with_capacity(records.len());
    for record in records {
        let result = world.atomically(|world| work(world, record));
        if let Err(fault) = &result {
            world.counters.error(&fault.code);
            failed += 1;
        }
        results.push(result);
    }
    let rolled_back = failed > 0 && all_or_none(request) && !request.nested;
    if rolled_back {
        world.roll_back(start);
    }
    let message = "Record rolled back because not all records were valid and the request was using AllOrNone header";
    let undone = Fault::new("ALL_OR_NONE_OPERATION_ROLLED_BACK", message);
    let shown = results.into_iter().map(|result| match result {
        Ok(_) if rolled_back => undone.of_record(),
        Ok(done) => done,
        Err(fault) => fault.of_record(),
    });
    Ok(Reply::json(200, shown.collect()))
}

fn listed(request: &Request) -> Vec<String> {
    let ids = request.parameter("ids").unwrap_or_default();
    ids.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

fn fields_parameter(request: &Request) -> Vec<String> {
    let fields = request.parameter("fields").unwrap_or_default();
    fields.split(',').map(str::trim).filter(|f| !f.is_empty()).map(str::to_owned).collect()
}

/// Records by id; null for one that is not there.
fn retrieve(
    world: &World,
    table: &Table,
    ids: &[String],
    fields: &[String],
    request: &Request,
) -> Result<Reply, Fault> {
    // The guide allows 2,000 ids here, and as many as fit the URI with GET.
    if ids.len() > 2000 {
        return Err(Fault::new("LIMIT_EXCEEDED", "record limit reached. cannot retrieve more than 2000 records"));
    }
    if fields.is_empty() {
        return Err(Fault::new("MISSING_ARGUMENT", "fields must be specified"));
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let found = ids.iter().map(|text| {
        let id = rows::record_id(table.object, text)?;
        match world.live(id) {
            Some(row) => rows::record(world, table, row, &names, &request.version),
            None => Ok(Value::Null),
        }
    });
    Ok(Reply::json(200, found.collect::<Result<Value, Fault>>()?))
}
