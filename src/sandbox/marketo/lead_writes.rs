//! Writing people: sync (upsert), delete and merge.
//!
//! Owns the rules of those calls and the activities they leave. An upsert does not see people who were created by a call that ran
//! at the same time, so a client that does not serialise per key makes duplicates, as with the vendor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::{Call, record_id, within};
use super::envelope::{Answer, Refusal, lead_date, skipped};
use super::log::kind;
use super::people::{Kind, text_of};
use super::world::{Cause, World};

/// Losers in one merge, since March 2026.
const MERGE_LIMIT: usize = 25;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    CreateOrUpdate,
    CreateOnly,
    UpdateOnly,
    CreateDuplicate,
}

/// `POST leads.json`
pub fn sync(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let input = call.input(world)?;
    let action = match call.body.get("action").and_then(Value::as_str) {
        None | Some("createOrUpdate") => Action::CreateOrUpdate,
        Some("createOnly") => Action::CreateOnly,
        Some("updateOnly") => Action::UpdateOnly,
        Some("createDuplicate") => Action::CreateDuplicate,
        Some(other) => return Err(Refusal::invalid(format!("Invalid action '{other}'"))),
    };
    let lookup = call.body.get("lookupField").and_then(Value::as_str).unwrap_or("email");
    if !world.people.field(lookup)?.searchable {
        return Err(Refusal::new(1011, format!("Field '{lookup}' not supported")));
    }
    // People from the horizon on came while this call was under way; those from here on are its own.
    let own = world.people.next_id();
    let visible = |id: &i64| *id < call.horizon || *id >= own || !world.options.racing_upserts_duplicate;
    let visible: Vec<bool> = (call.horizon..own).map(|id| visible(&id)).collect();
    let mut records = Vec::with_capacity(input.len());
    for record in &input {
        let hidden =
            |id: i64| usize::try_from(id - call.horizon).ok().and_then(|at| visible.get(at)).is_some_and(|seen| !seen);
        records.push(match sync_one(world, action, lookup, record, &hidden) {
            Ok((id, created)) => json!({"id": id, "status": if created { "created" } else { "updated" }}),
            Err(refusal) => skipped(None, refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}

fn sync_one(
    world: &mut World,
    action: Action,
    lookup: &str,
    record: &Value,
    hidden: &dyn Fn(i64) -> bool,
) -> Result<(i64, bool), Refusal> {
    let fields = writable_fields(world, action, lookup, record)?;
    let value = record.get(lookup).and_then(text_of).filter(|value| !value.is_empty());
    let found = match (&value, action) {
        (_, Action::CreateDuplicate) => Vec::new(),
        (Some(value), _) => world.people.find(lookup, value),
        (None, _) => return Err(Refusal::invalid(format!("Value for lookup field '{lookup}' is missing"))),
    };
    let found: Vec<i64> = found.into_iter().filter(|id| !hidden(*id)).collect();
    match (found.as_slice(), action) {
        ([], Action::UpdateOnly) => Err(Refusal::new(1004, "Lead not found")),
        ([], _) => Ok((world.create_person(None, fields, Cause::Api), true)),
        (_, Action::CreateOnly) => Err(Refusal::new(1005, "Lead already exists")),
        ([id], _) => {
            world.update_person(*id, fields, Cause::Api);
            Ok((*id, false))
        }
        _ => Err(Refusal::new(1007, "Multiple leads match the lookup criteria")),
    }
}

fn writable_fields(
    world: &World,
    action: Action,
    lookup: &str,
    record: &Value,
) -> Result<BTreeMap<String, Value>, Refusal> {
    let mut fields = BTreeMap::new();
    for (name, value) in record.as_object().into_iter().flatten() {
        let field = world.people.field(name)?;
        if name == "id" {
            if action != Action::UpdateOnly {
                return Err(Refusal::invalid("Field 'id' is only allowed with the action updateOnly"));
            }
            record_id(record, "id")?;
            continue;
        }
        let linking =
            name.starts_with("sfdc") && field.searchable && (name == lookup || world.options.sfdc_ids_writable);
        if field.read_only && !linking {
            return Err(Refusal::new(1011, format!("Field '{name}' not supported")));
        }
        let (fits, kind) = match field.kind {
            Kind::String => (value.is_string(), "String"),
            Kind::Email => (value.as_str().is_some_and(str::is_ascii), "Email"),
            Kind::Integer => (value.is_i64(), "Integer"),
            Kind::Boolean => (value.is_boolean(), "Boolean"),
            Kind::Datetime => (value.is_string(), "Datetime"),
        };
        if !fits && !value.is_null() {
            return Err(Refusal::invalid_value(&text_of(value).unwrap_or_default(), kind));
        }
        let empty = value.as_str() == Some("");
        fields.insert(name.clone(), if empty { Value::Null } else { value.clone() });
    }
    Ok(fields)
}

/// `POST leads/delete.json` and `DELETE leads.json`
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let input = call.input(world)?;
    let mut records = Vec::with_capacity(input.len());
    for record in &input {
        let removed = record_id(record, "id").and_then(|id| world.remove_person(id).map(|()| id));
        records.push(match removed {
            Ok(id) => json!({"id": id, "status": "deleted"}),
            Err(refusal) => skipped(None, refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}

/// `POST leads/{winner}/merge.json`
pub fn merge(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let mut losers = call.ids("leadIds")?;
    losers.extend(call.ids("leadId")?);
    if losers.is_empty() {
        return Err(Refusal::missing("leadId"));
    }
    if within(world, losers.len(), MERGE_LIMIT, "leadIds").is_err() {
        return Err(Refusal::new(1080, "At most 25 leads can be merged in one call"));
    }
    if call.param("mergeInCRM") == Some("true") {
        return Err(Refusal::new(1076, "Merge in CRM is not possible without a CRM sync"));
    }
    world.merge(call.id(), &losers)?;
    Ok(Answer::Bare { next: None })
}

impl World {
    /// A new person, with activity 12.
    pub(super) fn create_person(&mut self, id: Option<i64>, fields: BTreeMap<String, Value>, cause: Cause) -> i64 {
        let now = self.now();
        if let Some(email) = fields.get("email").and_then(Value::as_str) {
            let taken = cause == Cause::Api && !self.people.find("email", email).is_empty();
            self.police.second_person_for_email += u64::from(taken);
        }
        let id = self.people.insert(id, now, fields);
        let name = self.people.get(id).map(super::people::Person::full_name).unwrap_or_default();
        let source = if cause == Cause::Api { "Web service API" } else { "New person" };
        let date = lead_date(now)[..10].to_owned();
        self.record(
            kind::NEW_LEAD,
            id,
            None,
            name,
            vec![("Created Date", date.into()), ("Source Type", source.into())],
        );
        id
    }

    /// Changes fields of a person, with one activity 13 for each that really changed.
    pub(super) fn update_person(&mut self, id: i64, fields: BTreeMap<String, Value>, cause: Cause) {
        let now = self.now();
        let source = if cause == Cause::Api { "Web service API" } else { "Changed by user" };
        for (name, old, new) in self.people.update(id, now, fields) {
            let attributes = vec![
                ("Attribute Name", name.as_str().into()),
                ("New Value", text_of(&new).into()),
                ("Old Value", text_of(&old).into()),
                ("Source", source.into()),
            ];
            self.record(kind::CHANGE_DATA_VALUE, id, None, name, attributes);
        }
    }

    /// Takes a person and all memberships out, with activity 37 and none for the memberships.
    pub(super) fn remove_person(&mut self, id: i64) -> Result<(), Refusal> {
        let person = self.people.remove(id).ok_or_else(|| Refusal::new(1004, "Lead not found"))?;
        for program_id in self.memberships.programs_of(id) {
            self.memberships.remove(program_id, id);
        }
        self.record(kind::DELETE_LEAD, id, Some(id), person.full_name(), Vec::new());
        Ok(())
    }

    /// Merges people. A Salesforce contact wins over a lead and a lead over a person that Salesforce does not know, whatever
    /// winner was named. Gives the id that stays.
    pub fn merge(&mut self, named: i64, losers: &[i64]) -> Result<i64, Refusal> {
        let mut ids = vec![named];
        ids.extend(losers.iter().copied().filter(|id| *id != named));
        ids.dedup();
        if ids.len() < 2 {
            return Err(Refusal::invalid("A lead cannot be merged with itself"));
        }
        let mut best = (0, named);
        for id in &ids {
            let person = self.people.get(*id).ok_or_else(|| Refusal::new(1004, format!("Lead '{id}' not found")))?;
            let known = |field: &str| person.fields.contains_key(field);
            let rank = if known("sfdcContactId") { 2 } else { u8::from(known("sfdcLeadId")) };
            if rank > best.0 {
                best = (rank, *id);
            }
        }
        let winner = best.1;
        let now = self.now();
        let mut merged_fields = Vec::new();
        ids.retain(|id| *id != winner);
        for loser in &ids {
            let Some(gone) = self.people.remove(*loser) else { continue };
            let kept = self.people.get(winner).map(|person| person.fields.clone()).unwrap_or_default();
            let mut filled = gone.fields.clone();
            filled.retain(|field, _| !kept.contains_key(field));
            merged_fields.extend(filled.keys().cloned());
            self.people.update(winner, now, filled);
            self.memberships.merge(winner, *loser, self.options.merge_keeps_higher_status);
            if self.options.merge_logs_delete {
                self.record(kind::DELETE_LEAD, *loser, Some(*loser), gone.full_name(), Vec::new());
            }
        }
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let name = self.people.get(winner).map(super::people::Person::full_name).unwrap_or_default();
        let attributes = vec![("Merge IDs", list.into()), ("Merge Fields", merged_fields.join(",").into())];
        self.record(kind::MERGE_LEADS, winner, Some(winner), name, attributes);
        Ok(winner)
    }
}
