//! `/sobjects/{X}`: single records, by id and by external id.
//!
//! Owns the statuses, headers and bodies of these calls. What may be written is decided in `rules`.

use serde_json::{Map, Value, json};

use super::api::{Reply, Request, not_allowed};
use super::cell::Cell;
use super::discovery;
use super::error::Fault;
use super::ids::Id;
use super::objects::{Object, Table};
use super::row::Row;
use super::rules::Fields;
use super::world::{Actor, World};

/// Answers a call to a record or its object.
pub fn answer(
    world: &mut World,
    actor: &Actor,
    table: &Table,
    method: &str,
    rest: &[&str],
    request: &Request,
) -> Result<Reply, Fault> {
    match (method, rest) {
        ("POST", []) => {
            let id = world.create(actor, table.object, object(&request.body)?)?;
            Ok(created(&request.version, table.object, id, json!({"id": id, "success": true, "errors": []})))
        }
        ("GET", [id]) => {
            let id = record_id(table.object, id)?;
            let row = world.live(id).ok_or_else(Fault::not_found)?;
            read(world, table, row, request)
        }
        ("PATCH", [id]) => {
            let id = record_id(table.object, id)?;
            let fields = object(&request.body)?;
            if fields.keys().any(|k| k.eq_ignore_ascii_case("id")) {
                let message = "The Id field should not be specified in the sobject data.";
                return Err(Fault::new("INVALID_FIELD", message).fields(&["Id"]));
            }
            world.update(actor, id, fields)?;
            Ok(Reply::empty())
        }
        ("DELETE", [id]) => {
            let id = record_id(table.object, id)?;
            world.delete(actor, id)?;
            Ok(Reply::empty())
        }
        ("GET" | "PATCH" | "DELETE", [field, value]) => {
            external_field(table, field)?;
            by_external(world, actor, table, method, (field, value), request)
        }
        (_, [] | [_] | [_, _]) => Err(not_allowed(method)),
        _ => Err(Fault::not_found()),
    }
}

fn by_external(
    world: &mut World,
    actor: &Actor,
    table: &Table,
    method: &str,
    (field, value): (&str, &str),
    request: &Request,
) -> Result<Reply, Fault> {
    if method != "PATCH" {
        let row = world.by_external(value).ok_or_else(Fault::not_found)?;
        if method == "GET" {
            return read(world, table, row, request);
        }
        let id = row.id;
        return world.delete(actor, id).map(|()| Reply::empty());
    }
    let fields = object(&request.body)?;
    let update_only = request.parameter("updateOnly") == Some("true");
    let (id, is_new) = upsert(world, actor, table, (field, value), fields, update_only)?;
    let body = json!({"id": id, "success": true, "errors": [], "created": is_new});
    Ok(match discovery::number(&request.version) {
        _ if is_new => created(&request.version, table.object, id, body),
        // The object REST guide: an update answers with a body from version 46.
        Some(..=45) => Reply::empty(),
        _ => Reply::json(200, body),
    })
}

/// Creates or changes the record with this external id; whether it is new.
pub fn upsert(
    world: &mut World,
    actor: &Actor,
    table: &Table,
    (field, value): (&str, &str),
    fields: &Fields,
    update_only: bool,
) -> Result<(Id, bool), Fault> {
    if fields.keys().any(|k| k.eq_ignore_ascii_case(field)) {
        let message = format!("The {field} field should not be specified in the sobject data.");
        return Err(Fault::new("INVALID_FIELD", message).fields(&[field]));
    }
    if let Some(id) = world.by_external(value).map(|r| r.id) {
        return world.update(actor, id, fields).map(|()| (id, false));
    }
    if update_only {
        return Err(Fault::not_found());
    }
    let mut fields = fields.clone();
    fields.insert(field.to_owned(), value.into());
    world.create(actor, table.object, &fields).map(|id| (id, true))
}

/// That a name is an external-id field of this object.
pub fn external_field(table: &Table, name: &str) -> Result<(), Fault> {
    if table.field(name).is_some_and(|f| f.external) {
        return Ok(());
    }
    let message = format!("Provided external ID field does not exist or is not accessible: {name}");
    Err(Fault::new("NOT_FOUND", message).status(404))
}

fn created(version: &str, object: Object, id: Id, body: Value) -> Reply {
    let location = format!("/services/data/v{version}/sobjects/{}/{id}", object.name());
    Reply { status: 201, headers: vec![("Location", location)], body: Some(body) }
}

fn read(world: &World, table: &Table, row: &Row, request: &Request) -> Result<Reply, Fault> {
    let names: Vec<&str> =
        request.parameter("fields").map(|f| f.split(',').map(str::trim).collect()).unwrap_or_default();
    let mut reply = Reply::json(200, record(world, table, row, &names, &request.version)?);
    let modified = row.stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    reply.headers.push(("Last-Modified", modified));
    Ok(reply)
}

/// A record with these fields, or with all.
pub fn record(world: &World, table: &Table, row: &Row, names: &[&str], version: &str) -> Result<Value, Fault> {
    let object = table.object.name();
    let mut out = Map::new();
    let url = format!("/services/data/v{version}/sobjects/{object}/{}", row.id);
    out.insert("attributes".into(), json!({"type": object, "url": url}));
    let visible = |name: &str| table.field(name).filter(|f| !f.hidden);
    if names.is_empty() {
        let fields = table.fields.iter().filter(|f| !f.hidden);
        out.extend(fields.map(|f| (f.name.to_string(), world.read(row, &f.name).to_json())));
        return Ok(out.into());
    }
    for name in names {
        let field = visible(name)
            .ok_or_else(|| Fault::new("INVALID_FIELD", format!("No such column '{name}' on entity '{object}'")))?;
        out.insert(field.name.to_string(), world.read(row, &field.name).to_json());
    }
    // The id comes with every record that is asked for by fields.
    out.insert("Id".into(), Cell::Id(row.id).to_json());
    Ok(out.into())
}

/// An id in a path: of the right shape, checksum and object.
pub fn record_id(object: Object, text: &str) -> Result<Id, Fault> {
    let id = Id::parse(text).filter(|id| id.prefix() == object.prefix());
    id.ok_or_else(|| Fault::malformed_id("Record ID", text, "Id"))
}

/// A body that must be one record.
pub fn object(body: &Value) -> Result<&Fields, Fault> {
    body.as_object().ok_or_else(|| {
        Fault::new("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
    })
}
