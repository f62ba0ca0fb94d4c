//! Bulk extract of program members: create, enqueue, status, file, cancel, and the list of jobs.
//!
//! Owns the calls and how a file is written (Marketo, "Bulk Program Member Extract"): a first row of display names, `null` for what is
//! empty. Leads may be asked for fields beside the member's. Must not know the queue's rules; those are `exports`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use super::call::{Call, within};
use super::envelope::{Answer, Refusal, query_date};
use super::exports::{Export, MemberFilter, State};
use super::memberships::Member;
use super::paging;
use super::people::text_of;
use super::webhooks::Random;
use super::world::World;

const MOST_PROGRAMS: usize = 10;
/// Longest span of an `updatedAt` filter.
const SPAN_SECONDS: i64 = 31 * 86_400;
/// Names in the first row that are not those of the API.
const DISPLAY: [(&str, &str); 5] = [
    ("membershipDate", "Member Date"),
    ("program", "Program"),
    ("statusName", "Status"),
    ("leadId", "Lead Id"),
    ("reachedSuccess", "Success"),
];

fn step(world: &World) -> SignedDuration {
    SignedDuration::from_secs(world.options.export_step_seconds)
}

/// Brings the jobs up to date and writes the files of those that began.
fn advance(world: &mut World) {
    let (now, step) = (world.now(), step(world));
    for place in world.exports.advance(now, step) {
        let Some(job) = world.exports.at(place).cloned() else { continue };
        let (text, records) = write(world, &job);
        if let Some(job) = world.exports.at(place) {
            job.records = records;
            job.file = Arc::from(text.into_bytes());
        }
    }
}

/// `POST bulk/v1/program/members/export/create.json`
pub fn create(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    let now = world.now();
    world.exports.within_quota(world.options.export_daily_bytes, now)?;
    let text = |name: &str| call.body.get(name).and_then(Value::as_str);
    let format = text("format").unwrap_or("CSV");
    if !["CSV", "TSV", "SSV"].contains(&format) {
        return Err(Refusal::invalid(format!("Invalid format '{format}'")));
    }
    let fields = names(&call.body, "fields")?.filter(|fields| !fields.is_empty());
    let fields = fields.ok_or_else(|| Refusal::missing("fields"))?;
    for field in &fields {
        if !world.is_member_field(field) {
            world.people.field(field)?;
        }
    }
    let headers = headers_of(&call.body, &fields)?;
    let filter = filter_of(world, call.body.get("filter").ok_or_else(|| Refusal::missing("filter"))?)?;
    let mut random = Random::new(world.options.seed ^ (world.exports.len() as u64 + 1).wrapping_mul(0x9e37_79b9));
    let (a, b) = (random.next(), random.next());
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0xfff,
        b & 0xffff_ffff_ffff
    );
    let job = Export {
        id,
        user: call.user.clone(),
        state: State::Created,
        format: format.into(),
        fields,
        headers,
        filter,
        created_at: now,
        queued_at: None,
        started_at: None,
        finished_at: None,
        records: 0,
        file: Arc::from([]),
    };
    let row = job.as_json();
    world.exports.add(job);
    Ok(Answer::Records(vec![row]))
}

fn names(body: &Value, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(list) = body.get(name).filter(|list| !list.is_null()) else { return Ok(None) };
    let wrong = || Refusal::invalid_value(&list.to_string(), "Array");
    let texts = list.as_array().ok_or_else(wrong)?.iter().map(|text| text.as_str().map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().map(Some).ok_or_else(wrong)
}

fn headers_of(body: &Value, fields: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut headers = BTreeMap::new();
    for (field, header) in body.get("columnHeaderNames").and_then(Value::as_object).into_iter().flatten() {
        if !fields.contains(field) {
            return Err(Refusal::invalid(format!("columnHeaderNames has '{field}', which is not exported")));
        }
        headers.insert(field.clone(), text_of(header).unwrap_or_default());
    }
    Ok(headers)
}

fn filter_of(world: &mut World, filter: &Value) -> Result<MemberFilter, Refusal> {
    let mut programs = Vec::new();
    let several = filter.get("programIds").is_some();
    let one = |value: &Value| value.as_i64().ok_or_else(|| Refusal::invalid_value(&value.to_string(), "Integer"));
    match (filter.get("programId"), filter.get("programIds")) {
        (Some(id), None) => programs.push(one(id)?),
        (None, Some(ids)) => {
            for id in ids.as_array().ok_or_else(|| Refusal::invalid_value(&ids.to_string(), "Array"))? {
                programs.push(one(id)?);
            }
            within(world, programs.len(), MOST_PROGRAMS, "programIds")?;
        }
        _ => return Err(Refusal::invalid("Exactly one of programId and programIds is required")),
    }
    for id in &programs {
        world.program(*id)?;
    }
    let known = ["programId", "programIds", "statusNames", "isExhausted", "nurtureCadence", "updatedAt"];
    if let Some(unknown) = filter.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Refusal::invalid(format!("Unknown filter '{}'", unknown.0)));
    }
    let statuses = names(filter, "statusNames")?;
    for status in statuses.iter().flatten() {
        let mut in_any = programs.iter().filter_map(|id| world.statuses(*id).ok()).flatten();
        if !in_any.any(|known| known.name == *status) {
            return Err(Refusal::invalid(format!("Invalid data: unknown status '{status}'")));
        }
    }
    let cadence = filter.get("nurtureCadence").and_then(Value::as_str).map(str::to_owned);
    if cadence.as_deref().is_some_and(|cadence| !["pause", "norm"].contains(&cadence)) {
        return Err(Refusal::invalid("nurtureCadence must be pause or norm"));
    }
    let updated = filter.get("updatedAt").map(|range| span(world, range)).transpose()?;
    let exhausted = filter.get("isExhausted").and_then(Value::as_bool);
    Ok(MemberFilter { programs, several, statuses, exhausted, cadence, updated })
}

fn span(world: &World, range: &Value) -> Result<(i64, i64), Refusal> {
    if !world.options.export_filters_by_update {
        return Err(Refusal::new(1035, "Unsupported filter type for target subscription"));
    }
    let second = |name: &str| {
        let text = range.get(name).and_then(Value::as_str).ok_or_else(|| Refusal::missing(name))?;
        query_date(text).map(|time| time.as_second()).ok_or_else(|| Refusal::invalid_value(text, "Datetime"))
    };
    let (from, to) = (second("startAt")?, second("endAt")?);
    if to < from || to - from > SPAN_SECONDS {
        return Err(Refusal::invalid("The span from startAt to endAt must be between 0 and 31 days"));
    }
    Ok((from, to))
}

/// `POST .../{exportId}/enqueue.json`
pub fn enqueue(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    let now = world.now();
    if world.exports.find(&call.path_key, &call.user)?.state != State::Created {
        return Err(Refusal::new(1029, "Job already queued"));
    }
    world.exports.within_quota(world.options.export_daily_bytes, now)?;
    world.exports.has_room()?;
    let job = world.exports.find(&call.path_key, &call.user)?;
    job.state = State::Queued;
    job.queued_at = Some(now);
    Ok(Answer::Records(vec![job.as_json()]))
}

/// `GET .../{exportId}/status.json`
pub fn status(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    Ok(Answer::Records(vec![world.exports.find(&call.path_key, &call.user)?.as_json()]))
}

/// `GET .../{exportId}/file.json`: 404 with a text while there is none.
pub fn file(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    let (now, kept) = (world.now(), SignedDuration::from_hours(7 * 24));
    Ok(match world.exports.find(&call.path_key, &call.user) {
        Ok(job) if job.finished_at.is_some_and(|at| at + kept > now) => {
            Answer::File { content_type: "text/csv", bytes: job.file.clone() }
        }
        _ => Answer::NoFile,
    })
}

/// `POST .../{exportId}/cancel.json`
pub fn cancel(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    let job = world.exports.find(&call.path_key, &call.user)?;
    if matches!(job.state, State::Completed | State::Failed) {
        return Err(Refusal::invalid("The job has ended"));
    }
    job.state = State::Cancelled;
    Ok(Answer::Records(vec![job.as_json()]))
}

/// `GET bulk/v1/program/members/export.json`: the caller's jobs of the last seven days.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    advance(world);
    let wanted = call.list("status");
    let size = call.batch_size(world)?;
    let start = call.param("nextPageToken").map_or(Ok(0), |token| paging::read("exports", token))?;
    let skip = usize::try_from(start).unwrap_or(0);
    let jobs = world.exports.of_user(&call.user, world.now());
    let jobs = jobs.filter(|job| {
        let state = format!("{:?}", job.state);
        wanted.is_empty()
            || wanted.iter().any(|wanted| *wanted == state || wanted == "Canceled" && state == "Cancelled")
    });
    let mut rows: Vec<Value> = jobs.skip(skip).take(size + 1).map(Export::as_json).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| paging::issue("exports", start.saturating_add(i64::try_from(size).unwrap_or(0))));
    Ok(Answer::Page { records: rows, next, more: None })
}

/// The file of a job, and how many members are in it.
fn write(world: &World, job: &Export) -> (String, usize) {
    let separator = match job.format.as_str() {
        "TSV" => '\t',
        "SSV" => ';',
        _ => ',',
    };
    let mut columns = job.fields.clone();
    if job.filter.several && !columns.iter().any(|field| field == "programId") {
        columns.insert(0, "programId".into());
    }
    let title = |field: &String| {
        let display = DISPLAY.iter().find(|(name, _)| name == field).map_or(field.as_str(), |(_, display)| display);
        job.headers.get(field).map_or(display, String::as_str).to_owned()
    };
    let mut text = row(columns.iter().map(title), separator);
    let mut count = 0;
    for program_id in &job.filter.programs {
        let Some(program) = world.programs.get(program_id) else { continue };
        for member in world.memberships.of_program(*program_id, 0).filter(|member| wanted(&job.filter, member)) {
            let cell = |field: &String| {
                let value = match field.as_str() {
                    "program" => program.name.as_str().into(),
                    field if world.is_member_field(field) => member.get(field),
                    field => world.people.get(member.lead_id).map_or(Value::Null, |person| person.get(field)),
                };
                text_of(&value).unwrap_or_else(|| "null".into())
            };
            text.push_str(&row(columns.iter().map(cell), separator));
            count += 1;
        }
    }
    (text, count)
}

fn wanted(filter: &MemberFilter, member: &Member) -> bool {
    filter.statuses.as_ref().is_none_or(|names| names.contains(&member.status))
        && filter.exhausted != Some(true)
        && filter.cadence.as_ref().is_none_or(|cadence| member.get("nurtureCadence") == cadence.as_str())
        && filter.updated.is_none_or(|(from, to)| (from..=to).contains(&member.updated_at.as_second()))
}

fn row(cells: impl Iterator<Item = String>, separator: char) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains([separator, '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    let mut line = quoted.collect::<Vec<_>>().join(&separator.to_string());
    line.push('\n');
    line
}
