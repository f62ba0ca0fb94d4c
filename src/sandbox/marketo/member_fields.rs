//! The fields of a program member: the standard ones and the custom ones that an administrator added.
//!
//! Owns which there are, which the API writes and by which it filters, and their description. Must not know a member's values.

use serde_json::{Value, json};

use super::call::Call;
use super::envelope::{Answer, Refusal};
use super::memberships::FIELDS;
use super::people::{Field, Kind};
use super::world::World;

/// Custom fields in a subscription, shared by all programs.
const MOST_CUSTOM: usize = 20;

fn length(name: &str, kind: &str) -> Option<u64> {
    match name {
        "nurtureCadence" => Some(4),
        "registrationCode" => Some(100),
        "webinarUrl" => Some(2000),
        _ => (kind == "string").then_some(255),
    }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Email => "email",
        Kind::Integer => "integer",
        Kind::Boolean => "boolean",
        Kind::Datetime => "datetime",
    }
}

impl World {
    /// Adds a custom field, at most 20.
    pub fn add_member_field(&mut self, field: Field) -> Result<(), Refusal> {
        self.member_fields.retain(|known| known.name != field.name);
        if self.member_fields.len() >= MOST_CUSTOM {
            return Err(Refusal::new(1028, "Max field limit reached"));
        }
        self.member_fields.push(field);
        Ok(())
    }

    /// Whether members have such a field.
    #[must_use]
    pub fn is_member_field(&self, name: &str) -> bool {
        FIELDS.iter().any(|(known, ..)| *known == name) || self.member_field(name).is_some()
    }

    /// A custom field.
    #[must_use]
    pub fn member_field(&self, name: &str) -> Option<&Field> {
        self.member_fields.iter().find(|field| field.name == name)
    }

    /// 1006 when members have no such field, 1011 when the API does not write it.
    pub fn writable_member_field(&self, name: &str, value: &Value) -> Result<(), Refusal> {
        if let Some(field) = self.member_field(name) {
            let fits = match field.kind {
                Kind::String | Kind::Email | Kind::Datetime => value.is_string(),
                Kind::Integer => value.is_i64(),
                Kind::Boolean => value.is_boolean(),
            };
            let kind = type_name(field.kind);
            return if fits || value.is_null() {
                Ok(())
            } else {
                Err(Refusal::invalid_value(&value.to_string(), kind))
            };
        }
        match FIELDS.iter().find(|(known, ..)| *known == name) {
            None => Err(Refusal::unknown_field(name)),
            Some((_, _, false)) => Err(Refusal::new(1011, format!("Field '{name}' not supported"))),
            Some(_) => Ok(()),
        }
    }
}

/// `GET programs/members/describe.json`
pub fn describe(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    let mut searchable: Vec<Value> = ["leadId", "reachedSuccess", "statusName"].map(|name| json!([name])).into();
    let of_field = |name: &str, display: &str, kind: &str, updateable: bool| {
        let mut row = json!({"name": name, "displayName": display, "dataType": kind});
        if let Some(length) = length(name, kind) {
            row["length"] = length.into();
        }
        row["updateable"] = updateable.into();
        row["crmManaged"] = false.into();
        row
    };
    let mut fields: Vec<Value> =
        FIELDS.iter().map(|(name, kind, updateable)| of_field(name, name, kind, *updateable)).collect();
    for field in &world.member_fields {
        fields.push(of_field(&field.name, &field.display, type_name(field.kind), true));
        if matches!(field.kind, Kind::String | Kind::Integer) {
            searchable.push(json!([field.name]));
        }
    }
    let date = super::envelope::lead_date(world.started);
    Ok(Answer::Records(vec![json!({
        "name": "API Program Membership", "description": "Map for API program membership fields", "createdAt": date,
        "updatedAt": date, "dedupeFields": ["leadId", "programId"], "searchableFields": searchable, "fields": fields,
    })]))
}

/// `GET program/members/describe.json`, the older one: only the fields.
pub fn describe_fields(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let Answer::Records(records) = describe(world, call)? else { return Ok(Answer::Records(Vec::new())) };
    Ok(Answer::Records(vec![json!({"fields": records[0]["fields"]})]))
}

/// `GET programs/members/schema/fields.json`
pub fn schema(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let Answer::Records(records) = describe(world, call)? else { return Ok(Answer::Records(Vec::new())) };
    let mut fields = records[0]["fields"].as_array().cloned().unwrap_or_default();
    for field in &mut fields {
        let custom = field["name"].as_str().is_some_and(|name| world.member_field(name).is_some());
        field["isHidden"] = false.into();
        field["isHtmlEncodingInEmail"] = true.into();
        field["isCustom"] = custom.into();
        field["isApiCreated"] = false.into();
    }
    Ok(Answer::Records(fields))
}
