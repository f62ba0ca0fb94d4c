//! What may be written into any object.
//!
//! Owns the checks that follow from the schema: known and writable fields, types, lengths, e-mail form, picklists, lookups,
//! required fields, unique external ids. The rules of single objects are in `persons`, `members` and `statuses`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::cell::{Cell, parse_time};
use super::error::Fault;
use super::ids::Id;
use super::objects::{Field, Kind, Object, Table};
use super::row::Row;
use super::world::{Actor, Change, World};

/// Fields of a record as a client sends them.
pub type Fields = Map<String, Value>;

impl World {
    /// Creates a record.
    ///
    /// # Errors
    /// As the REST API answers; nothing is written then.
    pub fn create(&mut self, actor: &Actor, object: Object, fields: &Fields) -> Result<Id, Fault> {
        self.atomically(|world| {
            let schema = world.schema(actor.api);
            let table = schema.table(object).ok_or_else(Fault::not_found)?;
            if !table.create {
                return Err(barred("inserted", object));
            }
            if fields.keys().any(|k| k.eq_ignore_ascii_case("id")) {
                let message = "cannot specify Id in an insert call";
                return Err(Fault::new("INVALID_FIELD_FOR_INSERT_UPDATE", message).fields(&["Id"]));
            }
            let time = world.stamp();
            let mut row = Row::new(world.next_id(object), object, time, actor.user);
            for field in &table.fields {
                match field.kind {
                    Kind::Boolean => row.set(field.name.clone(), Cell::Bool(false)),
                    _ if &*field.name == "OwnerId" => row.set(field.name.clone(), Cell::Id(actor.user)),
                    _ if field.defaulted && !field.values.is_empty() => {
                        row.set(field.name.clone(), Cell::text(field.values[0]));
                    }
                    _ => {}
                }
            }
            for (name, cell) in world.check_fields(table, fields, |f| f.create)? {
                row.set(name, cell);
            }
            world.check_row(table, &row)?;
            match object {
                Object::CampaignMember => world.admit_member(actor, &mut row, fields)?,
                Object::CampaignMemberStatus => world.admit_status(actor, &mut row)?,
                Object::Lead => world.check_duplicates(actor, &row)?,
                _ => {}
            }
            let id = row.id;
            world.put(row.clone());
            if object == Object::Campaign {
                world.add_default_statuses(actor, id);
            }
            world.changes.push(Change { operation: "insert", row, before: None, actor: *actor });
            Ok(id)
        })
    }

    /// Changes a record.
    ///
    /// # Errors
    /// As the REST API answers; nothing is written then.
    pub fn update(&mut self, actor: &Actor, id: Id, fields: &Fields) -> Result<(), Fault> {
        self.atomically(|world| {
            let before = world.writable(id)?;
            world.grasp(actor, id)?;
            let schema = world.schema(actor.api);
            let table = schema.table(before.object).ok_or_else(Fault::not_found)?;
            if !table.update {
                return Err(barred("updated", before.object));
            }
            if before.get("IsConverted").is_true() {
                return Err(Fault::new("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead").fields(&[]));
            }
            let mut row = before.clone();
            for (name, cell) in world.check_fields(table, fields, |f| f.update)? {
                row.set(name, cell);
            }
            world.check_row(table, &row)?;
            match row.object {
                Object::CampaignMember => world.change_member(actor, &mut row)?,
                Object::CampaignMemberStatus => world.change_status(actor, &before, &mut row)?,
                _ => {}
            }
            let row = world.touch(row, actor.user);
            world.changes.push(Change { operation: "update", row, before: Some(before), actor: *actor });
            Ok(())
        })
    }

    /// A row that can be written: neither gone nor in the recycle bin.
    ///
    /// # Errors
    /// `ENTITY_IS_DELETED` and `INVALID_CROSS_REFERENCE_KEY`, both 404.
    pub fn writable(&self, id: Id) -> Result<Row, Fault> {
        match self.row(id) {
            Some(row) if row.deleted => Err(Fault::is_deleted()),
            Some(row) => Ok(row.clone()),
            None => Err(Fault::never_existed()),
        }
    }

    fn check_fields(
        &self,
        table: &Table,
        fields: &Fields,
        may: impl Fn(&Field) -> bool,
    ) -> Result<Vec<(Arc<str>, Cell)>, Fault> {
        let mut cells = Vec::new();
        let mut refused = Vec::new();
        for (name, value) in fields.iter().filter(|(name, _)| *name != "attributes") {
            let Some(field) = table.field(name) else {
                let message = format!("No such column '{name}' on sobject of type {}", table.object.name());
                return Err(Fault::new("INVALID_FIELD", message));
            };
            if field.hidden || !may(field) {
                refused.push(&*field.name);
                continue;
            }
            let cell = self.check_value(field, value)?;
            cells.push((field.name.clone(), cell));
        }
        if refused.is_empty() { Ok(cells) } else { Err(Fault::not_writable(&refused)) }
    }

    fn check_value(&self, field: &Field, value: &Value) -> Result<Cell, Fault> {
        let (name, label) = (&*field.name, &field.label);
        let cell = match (field.kind, value) {
            (_, Value::Null) => Cell::Null,
            (Kind::Boolean, Value::Bool(b)) => Cell::Bool(*b),
            (Kind::Int, Value::Number(n)) => {
                n.as_i64().map_or_else(|| Err(unreadable("int", value)), |n| Ok(Cell::Int(n)))?
            }
            (Kind::Number(kind), Value::Number(n)) => {
                let scale = if kind == "currency" { 10_f64.powi(i32::from(self.options.currency_scale)) } else { 1e6 };
                Cell::Number((n.as_f64().unwrap_or_default() * scale).round() / scale)
            }
            (Kind::Date, Value::String(text)) => text.parse().map(Cell::Date).map_err(|_| unreadable("date", value))?,
            (Kind::Time, Value::String(text)) => {
                parse_time(text).map(Cell::Time).ok_or_else(|| unreadable("datetime", value))?
            }
            (Kind::Reference(to), Value::String(text)) => {
                if text.is_empty() {
                    return Ok(Cell::Null);
                }
                let id = Id::parse(text).filter(|id| id.prefix() == to.prefix());
                let id = id.ok_or_else(|| Fault::malformed_id(label, text, name))?;
                self.check_reference(id, name)?;
                Cell::Id(id)
            }
            (Kind::Text(_), Value::String(text)) => Cell::text(text),
            (Kind::Id, _) => return Err(Fault::not_writable(&[name])),
            (kind, _) => return Err(unreadable(type_name(kind), value)),
        };
        if let (Kind::Text(kind), Cell::Text(text)) = (field.kind, &cell) {
            check_text(field, kind, text)?;
        }
        Ok(cell)
    }

    fn check_reference(&self, id: Id, field: &str) -> Result<(), Fault> {
        match self.row(id) {
            Some(row) if !row.deleted => Ok(()),
            Some(_) => Err(Fault::new(&self.options.deleted_reference_code, "entity is deleted").fields(&[field])),
            None => Err(Fault::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").fields(&[field])),
        }
    }

    fn check_row(&self, table: &Table, row: &Row) -> Result<(), Fault> {
        let required = |f: &&Field| f.create && !f.nillable && !f.defaulted && f.kind != Kind::Boolean;
        let empty = |f: &&Field| *row.get(&f.name) == Cell::Null;
        let missing: Vec<&str> = table.fields.iter().filter(required).filter(empty).map(|f| &*f.name).collect();
        if !missing.is_empty() {
            return Err(Fault::required(&missing));
        }
        for rule in self.options.validation_rules.iter().filter(|rule| rule.object == table.object.name()) {
            if self.read(row, &rule.field).to_json() == rule.equals {
                return Err(Fault::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", &rule.message).fields(&[]));
            }
        }
        for field in table.fields.iter().filter(|f| f.external) {
            let Some(value) = row.get(&field.name).as_text() else { continue };
            if let Some(other) = self.by_external(value).filter(|other| other.id != row.id) {
                let (name, id) = (&field.name, other.id);
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {}", id.short());
                return Err(Fault::new("DUPLICATE_VALUE", message).fields(&[name]));
            }
        }
        Ok(())
    }
}

fn check_text(field: &Field, kind: &str, text: &str) -> Result<(), Fault> {
    let (name, label) = (&*field.name, &field.label);
    if text.chars().count() > field.length {
        let message = format!("{label}: data value too large: {text} (max length={})", field.length);
        return Err(Fault::new("STRING_TOO_LONG", message).fields(&[name]));
    }
    if kind == "email" && !is_email(text) {
        let message = format!("{label}: invalid email address: {text}");
        return Err(Fault::new("INVALID_EMAIL_ADDRESS", message).fields(&[name]));
    }
    if field.restricted && !field.values.contains(&text) {
        let message = format!("{label}: bad value for restricted picklist field: {text}");
        return Err(Fault::new("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message).fields(&[name]));
    }
    Ok(())
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels: Vec<&str> = domain.split('.').collect();
    let plain = |c: char| c.is_ascii_graphic() && !"@,;<>()[]\"\\:".contains(c);
    let valid = |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    !local.is_empty() && local.chars().all(plain) && labels.len() > 1 && labels.iter().all(valid)
}

/// A type as the parser of the REST API names it.
fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        Kind::Number(kind) => kind,
        Kind::Date => "date",
        Kind::Time => "datetime",
        Kind::Id | Kind::Reference(_) => "reference",
        Kind::Text(_) => "string",
    }
}

fn unreadable(kind: &str, value: &Value) -> Fault {
    let token = match value {
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(n) if n.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        _ => "START_OBJECT",
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Fault::new("JSON_PARSER_ERROR", format!("Cannot deserialize instance of {kind} from {token} value {text}"))
}

fn barred(verb: &str, object: Object) -> Fault {
    let message = format!("entity type cannot be {verb}: {}", object.label());
    Fault::new("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message).fields(&[])
}
