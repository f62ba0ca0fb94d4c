//! The Lead Database: people, their fields, and the indexes by which they are found.
//!
//! Owns rows and indexes. Must not know programs, the activity log or the API's rules; two people may share an address.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::envelope::{Refusal, lead_date};
use super::visited::Visited;

/// Type of a person field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Email,
    Integer,
    Boolean,
    Datetime,
}

/// One field of the person's schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// REST name.
    pub name: String,
    /// Name that people see, and that tokens use.
    pub display: String,
    /// Type.
    pub kind: Kind,
    /// Whether the API may write it.
    #[serde(default)]
    pub read_only: bool,
    /// Whether it can be a filter type and a lookup field.
    #[serde(default)]
    pub searchable: bool,
}

/// A person ("lead" in the API).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Marketo's id.
    pub id: i64,
    /// When the person came.
    pub created_at: Timestamp,
    /// When a field last changed.
    pub updated_at: Timestamp,
    /// Fields that have a value.
    pub fields: BTreeMap<String, Value>,
}

impl Person {
    /// A field as the API shows it, null when empty. `sfdcId` is a formula that REST never fills.
    #[must_use]
    pub fn get(&self, field: &str) -> Value {
        match field {
            "id" => self.id.into(),
            "createdAt" => lead_date(self.created_at).into(),
            "updatedAt" => lead_date(self.updated_at).into(),
            "sfdcId" => Value::Null,
            other => self.fields.get(other).cloned().unwrap_or(Value::Null),
        }
    }

    /// The e-mail address, empty when there is none.
    #[must_use]
    pub fn email(&self) -> &str {
        self.fields.get("email").and_then(Value::as_str).unwrap_or_default()
    }

    /// First and last name, as activities name a person.
    #[must_use]
    pub fn full_name(&self) -> String {
        let part = |field| self.fields.get(field).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}", part("firstName"), part("lastName")).trim().to_owned()
    }
}

/// All people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct People {
    schema: Vec<Field>,
    rows: BTreeMap<i64, Person>,
    index: BTreeMap<String, BTreeMap<String, BTreeSet<i64>>>,
    next_id: i64,
    #[serde(skip)]
    visited: Visited,
}

impl Default for People {
    fn default() -> Self {
        let field = |name: &str, display: &str, kind, read_only, searchable| Field {
            name: name.into(),
            display: display.into(),
            kind,
            read_only,
            searchable,
        };
        let schema = vec![
            field("id", "Id", Kind::Integer, true, true),
            field("email", "Email Address", Kind::Email, false, true),
            field("firstName", "First Name", Kind::String, false, false),
            field("lastName", "Last Name", Kind::String, false, false),
            field("company", "Company Name", Kind::String, false, false),
            field("title", "Job Title", Kind::String, false, false),
            field("phone", "Phone Number", Kind::String, false, false),
            field("leadSource", "Person Source", Kind::String, false, false),
            field("unsubscribed", "Unsubscribed", Kind::Boolean, false, false),
            field("leadPartitionId", "Person Partition", Kind::Integer, true, true),
            field("sfdcId", "SFDC Id", Kind::String, true, false),
            field("sfdcType", "SFDC Type", Kind::String, true, false),
            field("sfdcLeadId", "SFDC Lead Id", Kind::String, true, true),
            field("sfdcContactId", "SFDC Contact Id", Kind::String, true, true),
            field("sfdcAccountId", "SFDC Account Id", Kind::String, true, true),
            field("sfdcLeadOwnerId", "SFDC Lead Owner Id", Kind::String, true, true),
            field("sfdcOpptyId", "SFDC Opportunity Id", Kind::String, true, true),
            field("createdAt", "Created At", Kind::Datetime, true, false),
            field("updatedAt", "Updated At", Kind::Datetime, true, false),
        ];
        Self { schema, rows: BTreeMap::new(), index: BTreeMap::new(), next_id: 1001, visited: Visited::default() }
    }
}

impl People {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &[Field] {
        &self.schema
    }

    /// A field by its REST name.
    pub fn field(&self, name: &str) -> Result<&Field, Refusal> {
        self.schema.iter().find(|field| field.name == name).ok_or_else(|| Refusal::unknown_field(name))
    }

    /// Adds a custom field; a searchable one is indexed from now on, so add it before there are people.
    pub fn add_field(&mut self, field: Field) {
        self.schema.retain(|known| known.name != field.name);
        self.schema.push(field);
    }

    /// The next id that will be given.
    #[must_use]
    pub fn next_id(&self) -> i64 {
        self.next_id
    }

    /// A person by id.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Person> {
        self.visited.add(1);
        self.rows.get(&id)
    }

    /// All people in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.rows.values().inspect(|_| self.visited.add(1))
    }

    /// How many rows were looked at so far.
    #[must_use]
    pub fn visited(&self) -> u64 {
        self.visited.count()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Ids of the people whose searchable `field` has `value`: e-mail without regard to case, everything else exactly.
    #[must_use]
    pub fn find(&self, field: &str, value: &str) -> Vec<i64> {
        if field == "id" {
            return value.parse().ok().filter(|id| self.rows.contains_key(id)).into_iter().collect();
        }
        let found = self.index.get(field).and_then(|values| values.get(&key(field, value)));
        let ids: Vec<i64> = found.map(|ids| ids.iter().copied().collect()).unwrap_or_default();
        self.visited.add(ids.len());
        ids
    }

    /// Adds a person. A wished-for `id` is taken when it is free.
    pub fn insert(&mut self, id: Option<i64>, now: Timestamp, fields: BTreeMap<String, Value>) -> i64 {
        let id = id.filter(|id| *id > 0 && !self.rows.contains_key(id)).unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id + 1);
        self.rows.insert(id, Person { id, created_at: now, updated_at: now, fields: BTreeMap::new() });
        self.update(id, now, fields);
        id
    }

    /// Writes fields and returns those that changed with their old and new values. Null empties a field.
    pub fn update(&mut self, id: i64, now: Timestamp, fields: BTreeMap<String, Value>) -> Vec<(String, Value, Value)> {
        self.visited.add(1);
        let Some(person) = self.rows.get_mut(&id) else { return Vec::new() };
        let mut changes = Vec::new();
        for (name, new) in fields {
            let old = person.fields.get(&name).cloned().unwrap_or(Value::Null);
            if old == new {
                continue;
            }
            if self.schema.iter().any(|field| field.name == name && field.searchable) {
                let values = self.index.entry(name.clone()).or_default();
                unindex(values, &name, &old, id);
                if let Some(text) = text_of(&new) {
                    values.entry(key(&name, &text)).or_default().insert(id);
                }
            }
            if new.is_null() {
                person.fields.remove(&name);
            } else {
                person.fields.insert(name.clone(), new.clone());
            }
            person.updated_at = now;
            changes.push((name, old, new));
        }
        changes
    }

    /// Takes a person out.
    pub fn remove(&mut self, id: i64) -> Option<Person> {
        self.visited.add(1);
        let person = self.rows.remove(&id)?;
        for (name, value) in &person.fields {
            if let Some(values) = self.index.get_mut(name) {
                unindex(values, name, value, id);
            }
        }
        Some(person)
    }
}

fn unindex(values: &mut BTreeMap<String, BTreeSet<i64>>, field: &str, value: &Value, id: i64) {
    let Some(key) = text_of(value).map(|text| key(field, &text)) else { return };
    if let Some(ids) = values.get_mut(&key) {
        ids.remove(&id);
        if ids.is_empty() {
            values.remove(&key);
        }
    }
}

fn key(field: &str, value: &str) -> String {
    if field == "email" { value.to_ascii_lowercase() } else { value.to_owned() }
}

/// A value as text; nothing for null.
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
