//! The program member calls: query, status upsert, data, delete, and the two ways round by person and by program.
//!
//! Owns their rules as documented (Marketo, "Program Members"): a query needs a filter and does not give the status unless asked,
//! an upsert takes one status for at most 300 people, skipped records often carry nothing but `seq`.

use serde_json::{Map, Value, json};

use super::call::{Call, record_id};
use super::envelope::{Answer, Refusal, query_date, skipped};
use super::memberships::Member;
use super::paging;
use super::people::{Kind, text_of};
use super::rules::{Move, NOT_IN_PROGRAM};
use super::world::{Cause, World};

const DEFAULT_FIELDS: [&str; 5] = ["acquiredBy", "leadId", "membershipDate", "programId", "reachedSuccess"];
/// Longest span of an `updatedAt` filter.
const SPAN_SECONDS: i64 = 7 * 86_400;

/// `GET programs/{id}/members.json`
pub fn query(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    world.program(program_id)?;
    let filter_type = call.text("filterType")?.to_owned();
    let fields = call.list("fields");
    let fields: Vec<String> = if fields.is_empty() { DEFAULT_FIELDS.map(str::to_owned).into() } else { fields };
    if let Some(unknown) = fields.iter().find(|field| !world.is_member_field(field)) {
        return Err(Refusal::unknown_field(unknown));
    }
    let size = call.batch_size(world)?;
    let list = format!("members:{program_id}");
    let after = call.param("nextPageToken").map_or(Ok(0), |token| paging::read(&list, token))?;
    let (total, limit) = (world.memberships.count(program_id), world.options.member_query_limit);
    if filter_type != "leadId" && total > limit {
        let (total, limit) = (thousands(total), thousands(limit));
        let text = format!("Total membership size: {total} exceeds the limit allowed {limit} for the filter");
        return Err(Refusal::invalid(text));
    }
    let filter = filter(world, call, &filter_type)?;
    if world.options.empty_pages > 0 {
        world.options.empty_pages -= 1;
        let next = Some(paging::issue(&list, after));
        return Ok(Answer::Page { records: Vec::new(), next, more: Some(true) });
    }
    let mut rows: Vec<&Member> = match &filter {
        Filter::Leads(ids) => {
            let ids = ids.iter().filter(|id| **id > after);
            ids.filter_map(|id| world.memberships.get(program_id, *id)).take(size + 1).collect()
        }
        other => {
            world.memberships.of_program(program_id, after).filter(|row| other.matches(row)).take(size + 1).collect()
        }
    };
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| paging::issue(&list, last.lead_id));
    let records = rows.iter().enumerate().map(|(seq, member)| {
        let mut record = Map::new();
        record.insert("seq".into(), seq.into());
        for field in &fields {
            let value =
                if field == "program" { world.programs[&program_id].name.as_str().into() } else { member.get(field) };
            record.insert(field.clone(), value);
        }
        Value::Object(record)
    });
    Ok(Answer::Page { records: records.collect(), next, more: Some(more) })
}

enum Filter {
    Leads(Vec<i64>),
    Statuses(Vec<String>),
    Success(bool),
    /// A custom field and its values as text.
    Custom(String, Vec<String>),
    Updated(i64, i64),
}

impl Filter {
    fn matches(&self, member: &Member) -> bool {
        match self {
            Self::Leads(ids) => ids.contains(&member.lead_id),
            Self::Statuses(names) => names.contains(&member.status),
            Self::Success(wanted) => member.reached_success.is_some() == *wanted,
            Self::Custom(field, values) => text_of(&member.get(field)).is_some_and(|value| values.contains(&value)),
            Self::Updated(from, to) => (*from..=*to).contains(&member.updated_at.as_second()),
        }
    }
}

fn filter(world: &mut World, call: &Call, kind: &str) -> Result<Filter, Refusal> {
    Ok(match kind {
        "leadId" => {
            call.filter_values(world)?;
            let mut ids = call.ids("filterValues")?;
            ids.sort_unstable();
            ids.dedup();
            Filter::Leads(ids)
        }
        "statusName" => Filter::Statuses(call.filter_values(world)?),
        "reachedSuccess" => match call.text("filterValues")? {
            "true" => Filter::Success(true),
            "false" => Filter::Success(false),
            other => return Err(Refusal::invalid_value(other, "Boolean")),
        },
        "updatedAt" => {
            let second = |name: &str| {
                let text = call.text(name)?;
                query_date(text).map(|time| time.as_second()).ok_or_else(|| Refusal::invalid_value(text, "Datetime"))
            };
            let (from, to) = (second("startAt")?, second("endAt")?);
            if to < from || to - from > SPAN_SECONDS {
                return Err(Refusal::invalid("The span from startAt to endAt must be between 0 and 7 days"));
            }
            Filter::Updated(from, to)
        }
        other => {
            let kind = world.member_field(other).map(|field| field.kind);
            if !matches!(kind, Some(Kind::String | Kind::Integer)) {
                return Err(Refusal::invalid(format!("Invalid filterType '{other}'")));
            }
            Filter::Custom(other.to_owned(), call.filter_values(world)?)
        }
    })
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The answer to a write for a program that is not there: 1013, for the whole call or for each of its records.
fn without_program(world: &mut World, call: &Call) -> Result<Option<Answer>, Refusal> {
    let Err(refusal) = world.program(call.id()).map(|_| ()) else { return Ok(None) };
    if !world.options.member_errors_per_record {
        return Err(refusal);
    }
    let records = (0..call.input(world)?.len()).map(|seq| skipped(Some(seq), refusal.code, &refusal.message));
    Ok(Some(Answer::Records(records.collect())))
}

/// `POST programs/{id}/members/status.json`
pub fn set_status(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    if let Some(refused) = without_program(world, call)? {
        return Ok(refused);
    }
    let input = call.input(world)?;
    let status = call.body.get("statusName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let status = status.ok_or_else(|| Refusal::missing("statusName"))?;
    let known = world.statuses(program_id)?.iter().any(|known| known.name == status);
    if status == NOT_IN_PROGRAM || !known {
        let folded = status.trim().to_lowercase();
        let coerced = !known && world.statuses(program_id)?.iter().any(|known| known.name.to_lowercase() == folded);
        world.police.coerced_statuses += u64::from(coerced);
        let code = if status == NOT_IN_PROGRAM { world.options.not_in_program_code } else { 1025 };
        if !world.options.member_errors_per_record {
            return Err(Refusal::new(code, "Program status not found"));
        }
        let records = (0..input.len()).map(|seq| skipped(Some(seq), code, "Program status not found"));
        return Ok(Answer::Records(records.collect()));
    }
    let mut records = Vec::with_capacity(input.len());
    for (seq, record) in input.iter().enumerate() {
        let moved = record_id(record, "leadId")
            .and_then(|id| world.change_status(program_id, id, status, Cause::Api).map(|outcome| (id, outcome)));
        records.push(match moved {
            Ok((id, Move::Created)) => json!({"seq": seq, "status": "created", "leadId": id}),
            Ok((id, Move::Updated)) => json!({"seq": seq, "status": "updated", "leadId": id}),
            Ok((_, outcome)) => {
                world.police.no_op_status_writes += u64::from(outcome == Move::Same);
                skipped(Some(seq), 1037, "Lead skipped because it is already in or past this status")
            }
            Err(refusal) => skipped(Some(seq), refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}

/// `POST programs/{id}/members.json`: data of members, never their status.
pub fn update(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    if let Some(refused) = without_program(world, call)? {
        return Ok(refused);
    }
    let name = world.program(program_id)?.name.clone();
    let input = call.input(world)?;
    let mut records = Vec::with_capacity(input.len());
    for (seq, record) in input.iter().enumerate() {
        let outcome = update_one(world, program_id, &name, record);
        records.push(match outcome {
            Ok(id) => json!({"seq": seq, "status": "updated", "leadId": id}),
            Err(refusal) => skipped(Some(seq), refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}

fn update_one(world: &mut World, program_id: i64, program: &str, record: &Value) -> Result<i64, Refusal> {
    let lead_id = record_id(record, "leadId")?;
    let changes = record.as_object().into_iter().flatten().filter(|(name, _)| *name != "leadId");
    let changes: Vec<(String, Value)> = changes.map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in &changes {
        world.writable_member_field(name, value)?;
    }
    let now = world.now();
    let member = world.memberships.get_mut(program_id, lead_id);
    let member = member.ok_or_else(|| Refusal::new(1013, "Membership not found"))?;
    let mut rows = Vec::new();
    for (name, new) in changes {
        let old = member.get(&name);
        if old == new {
            continue;
        }
        if name == "acquiredBy" {
            member.acquired_by = new.as_bool().ok_or_else(|| Refusal::invalid_value(&new.to_string(), "Boolean"))?;
        } else {
            member.custom.insert(name.clone(), new.clone());
        }
        member.updated_at = now;
        rows.push(vec![
            ("Attribute Name", name.into()),
            ("New Value", text_of(&new).into()),
            ("Old Value", text_of(&old).into()),
            ("Source", "Web service API".into()),
        ]);
    }
    for attributes in rows {
        world.record(
            super::log::kind::CHANGE_PROGRAM_MEMBER_DATA,
            lead_id,
            Some(program_id),
            program.into(),
            attributes,
        );
    }
    Ok(lead_id)
}

/// `POST programs/{id}/members/delete.json`
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    if let Some(refused) = without_program(world, call)? {
        return Ok(refused);
    }
    let input = call.input(world)?;
    let mut records = Vec::with_capacity(input.len());
    for (seq, record) in input.iter().enumerate() {
        let removed =
            record_id(record, "leadId").and_then(|id| world.remove_member(program_id, id, Cause::Api).map(|()| id));
        records.push(match removed {
            Ok(id) => json!({"seq": seq, "status": "deleted", "leadId": id}),
            Err(refusal) => skipped(Some(seq), refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}

/// `GET leads/programs/{id}.json`: people with a `membership` child. No `moreResult`: page until there is no token.
pub fn by_program(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    world.program(program_id)?;
    let fields = super::leads::fields_of(world, call)?;
    let size = call.batch_size(world)?;
    let list = format!("leads:{program_id}");
    let after = call.param("nextPageToken").map_or(Ok(0), |token| paging::read(&list, token))?;
    if world.options.empty_pages > 0 {
        world.options.empty_pages -= 1;
        return Ok(Answer::Page { records: Vec::new(), next: Some(paging::issue(&list, after)), more: None });
    }
    let mut rows: Vec<&Member> = world.memberships.of_program(program_id, after).take(size + 1).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| paging::issue(&list, last.lead_id));
    let records = rows.iter().filter_map(|member| {
        let mut record = super::leads::record(world.people.get(member.lead_id)?, &fields);
        record.insert("membership".into(), Value::Object(member.as_child()));
        Some(Value::Object(record))
    });
    Ok(Answer::Page { records: records.collect(), next, more: None })
}

/// `GET leads/{id}/programMembership.json`
pub fn by_lead(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let lead_id = call.id();
    if world.people.get(lead_id).is_none() {
        return Err(Refusal::new(1004, format!("Lead '{lead_id}' not found")));
    }
    let size = call.batch_size(world)?;
    let only = match call.param("filterType") {
        None => None,
        Some("programId") => {
            call.filter_values(world)?;
            Some(call.ids("filterValues")?)
        }
        Some(other) => return Err(Refusal::invalid(format!("Invalid filterType '{other}'"))),
    };
    let date = |name: &str| match call.param(name) {
        Some(text) => query_date(text).map(Some).ok_or_else(|| Refusal::invalid_value(text, "Datetime")),
        None => Ok(None),
    };
    let (earliest, latest) = (date("earliestUpdatedAt")?, date("latestUpdatedAt")?);
    let list = format!("programs:{lead_id}");
    let after = call.param("nextPageToken").map_or(Ok(0), |token| paging::read(&list, token))?;
    let programs = world.memberships.programs_of(lead_id).into_iter().filter(|id| *id > after);
    let programs = programs.filter(|id| only.as_ref().is_none_or(|only| only.contains(id)));
    let rows = programs.filter_map(|id| world.memberships.get(id, lead_id)).filter(|row| {
        earliest.is_none_or(|time| row.updated_at >= time) && latest.is_none_or(|time| row.updated_at <= time)
    });
    let mut rows: Vec<&Member> = rows.take(size + 1).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| paging::issue(&list, last.program_id));
    let records = rows.iter().map(|member| {
        let mut child = member.as_child();
        child.shift_remove("progressionStatusType");
        Value::Object(child)
    });
    Ok(Answer::Page { records: records.collect(), next, more: None })
}
