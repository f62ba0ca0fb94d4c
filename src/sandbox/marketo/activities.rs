//! The activity calls: paging tokens, the log by type, deleted people, the list of types.
//!
//! Owns how a client walks the log. A page stops after so many rows looked at, so it may be short or empty with more to come;
//! a token always comes back and is the cursor to keep. Must not write.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::Call;
use super::envelope::{Answer, Refusal, query_date};
use super::log::{Activity, TYPES, kind};
use super::paging;
use super::world::World;

const LIST: &str = "activities";
const MOST_TYPES: usize = 10;
const MOST_LEADS: usize = 30;

/// `GET activities/pagingtoken.json`
pub fn paging_token(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let text = call.text("sinceDatetime")?;
    let since = query_date(text).ok_or_else(|| Refusal::invalid_value(text, "Datetime"))?;
    Ok(Answer::Bare { next: Some(paging::issue(LIST, world.log.position_at(since))) })
}

/// `GET activities.json`; deletions are never among them.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let start = paging::read(LIST, call.text("nextPageToken")?)?;
    call.text("activityTypeIds")?;
    let (types, leads, assets) = (call.ids("activityTypeIds")?, call.ids("leadIds")?, call.ids("assetIds")?);
    super::call::within(world, types.len(), MOST_TYPES, "activityTypeIds")?;
    super::call::within(world, leads.len(), MOST_LEADS, "leadIds")?;
    if call.param("listId").is_some() {
        return Err(Refusal::new(1013, "List not found"));
    }
    world.police.asset_ids_with_several_types += u64::from(!assets.is_empty() && types.len() > 1);
    let wanted = |row: &Activity| {
        row.kind != kind::DELETE_LEAD
            && types.contains(&row.kind)
            && (leads.is_empty() || leads.contains(&row.lead_id))
            && (assets.is_empty() || row.primary_id.is_some_and(|id| assets.contains(&id)))
    };
    page(world, call, start, wanted)
}

/// `GET activities/deletedleads.json`
pub fn deleted_leads(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let start = paging::read(LIST, call.text("nextPageToken")?)?;
    let kept = world.now() - SignedDuration::from_secs(world.options.deleted_leads_days * 86_400);
    page(world, call, start, |row| row.kind == kind::DELETE_LEAD && row.date >= kept)
}

fn page(world: &mut World, call: &Call, start: i64, wanted: impl Fn(&Activity) -> bool) -> Result<Answer, Refusal> {
    let size = call.batch_size(world)?;
    if world.options.empty_pages > 0 {
        world.options.empty_pages -= 1;
        return Ok(found(world, Vec::new(), Some(paging::issue(LIST, start)), true));
    }
    let newest: Timestamp = world.now() - SignedDuration::from_secs(world.options.activity_lag_seconds);
    let rows = world.log.from(start);
    let shown = rows.partition_point(|row| row.date <= newest);
    let (mut looked, mut records) = (0, Vec::new());
    for row in rows[..shown].iter().take(world.options.activity_scan_rows.max(1)) {
        if records.len() == size {
            break;
        }
        looked += 1;
        if wanted(row) {
            records.push(row.as_json(!world.options.activities_without_id));
        }
    }
    let next = start.saturating_add(i64::try_from(looked).unwrap_or(i64::MAX));
    let more = looked < shown;
    world.log.visit(looked);
    Ok(found(world, records, Some(paging::issue(LIST, next)), more))
}

fn found(world: &World, records: Vec<Value>, next: Option<String>, more: bool) -> Answer {
    if records.is_empty() && !world.options.empty_activity_pages_have_result {
        return Answer::Nothing { next, more };
    }
    Answer::Page { records, next, more: Some(more) }
}

/// `GET activities/leadchanges.json`: changed fields (13) of those asked for, and new people (12).
pub fn lead_changes(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let start = paging::read(LIST, call.text("nextPageToken")?)?;
    call.text("fields")?;
    let fields = call.list("fields");
    for field in &fields {
        world.people.field(field)?;
    }
    let leads = call.ids("leadIds")?;
    super::call::within(world, leads.len(), MOST_LEADS, "leadIds")?;
    let wanted = |row: &Activity| {
        let changed = row.kind == kind::CHANGE_DATA_VALUE && fields.contains(&row.primary);
        (changed || row.kind == kind::NEW_LEAD) && (leads.is_empty() || leads.contains(&row.lead_id))
    };
    let (mut records, next, more) = match page(world, call, start, wanted)? {
        Answer::Page { records, next, more } => (records, next, more),
        other => return Ok(other),
    };
    for record in &mut records {
        let attribute = |name: &str| {
            let mut all = record["attributes"].as_array().into_iter().flatten();
            all.find(|attribute| attribute["name"] == name).map_or(Value::Null, |attribute| attribute["value"].clone())
        };
        let mut changes = Vec::new();
        if record["activityTypeId"] == kind::CHANGE_DATA_VALUE {
            let name = record["primaryAttributeValue"].clone();
            let place = world.people.schema().iter().position(|field| name == field.name.as_str());
            changes.push(json!({
                "id": place.map(|place| place + 1), "name": name, "newValue": attribute("New Value"),
                "oldValue": attribute("Old Value"),
            }));
        }
        let source = json!([{"name": "Source", "value": attribute("Source")}]);
        if let Some(row) = record.as_object_mut() {
            row.shift_remove("primaryAttributeValue");
            row.insert("fields".into(), changes.into());
            if row["activityTypeId"] == kind::CHANGE_DATA_VALUE {
                row.insert("attributes".into(), source);
            }
        }
    }
    Ok(Answer::Page { records, next, more })
}

/// `GET activities/types.json`
pub fn types(_: &mut World, _: &Call) -> Result<Answer, Refusal> {
    let rows = TYPES.iter().map(|(id, name, primary, others)| {
        let kind = |name: &str| if name.ends_with(" ID") { "integer" } else { "string" };
        let others: Vec<Value> = others.iter().map(|name| json!({"name": name, "dataType": kind(name)})).collect();
        let mut row = json!({"id": id, "name": name, "description": name, "attributes": others});
        if !primary.is_empty() {
            row["primaryAttribute"] = json!({"name": primary, "dataType": kind(primary)});
        }
        row
    });
    Ok(Answer::Records(rows.collect::<Vec<Value>>()))
}
