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
        return Ok(Answer::Page { records: Vec::new(), next: Some(paging::issue(LIST, start)), more: Some(true) });
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
    Ok(Answer::Page { records, next: Some(paging::issue(LIST, next)), more: Some(looked < shown) })
}

/// `GET activities/types.json`
pub fn types(_: &mut World, _: &Call) -> Result<Answer, Refusal> {
    let rows = TYPES.iter().map(|(id, name, primary)| {
        let mut row = json!({"id": id, "name": name, "description": name});
        if !primary.is_empty() {
            row["primaryAttribute"] = json!({"name": primary, "dataType": "integer"});
        }
        row
    });
    Ok(Answer::Records(rows.collect::<Vec<Value>>()))
}
