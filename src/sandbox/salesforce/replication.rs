//! `/sobjects/{X}/updated` and `/deleted`: ids that changed in a window of time.
//!
//! Owns the windows (30 and 15 days), the truncation to minutes and the lag of `latestDateCovered`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::api::{Reply, Request};
use super::cell::{parse_time, wire_time};
use super::error::Fault;
use super::objects::Object;
use super::world::World;

/// Answers `updated` or `deleted`.
pub fn answer(world: &World, object: Object, which: &str, request: &Request) -> Result<Reply, Fault> {
    let (start, end) = (time(request, "start")?, time(request, "end")?);
    let refused = |message: &str| Err(Fault::new("INVALID_REPLICATION_DATE", message));
    if end.duration_since(start) <= SignedDuration::from_mins(1) {
        return refused("startDate before endDate by more than one minute is required");
    }
    let (now, days) = (world.now(), if which == "updated" { 30 } else { 15 });
    let earliest = minute(now - SignedDuration::from_hours(24 * days));
    if start < earliest {
        return refused(&format!("startDate cannot be more than {days} days ago"));
    }
    let covered = end.min(minute(now - SignedDuration::from_secs(world.options.replication_lag_seconds)));
    let rows = world.changed_since(object, start).take_while(|r| r.stamp < covered);
    if which == "updated" {
        let ids: Vec<Value> = rows.filter(|r| !r.deleted).map(|r| json!(r.id)).collect();
        return Ok(Reply::json(200, json!({"ids": ids, "latestDateCovered": wire_time(covered)})));
    }
    let shown = rows.filter(|r| r.deleted && (r.cascade_of.is_none() || world.options.cascade_in_deleted_log));
    let purged = world.purged.iter().map(|(id, at)| (*id, *at));
    let purged = purged.filter(|(id, at)| id.prefix() == object.prefix() && (start..covered).contains(at));
    let all = shown.map(|r| (r.id, r.stamp)).chain(purged);
    let records: Vec<Value> = all.map(|(id, at)| json!({"id": id, "deletedDate": wire_time(at)})).collect();
    Ok(Reply::json(
        200,
        json!({
            "deletedRecords": records,
            "earliestDateAvailable": wire_time(earliest.max(minute(world.founded))),
            "latestDateCovered": wire_time(covered),
        }),
    ))
}

fn time(request: &Request, name: &str) -> Result<Timestamp, Fault> {
    let text =
        request.parameter(name).ok_or_else(|| Fault::new("MISSING_ARGUMENT", format!("{name} must be specified")))?;
    let time =
        parse_time(text).ok_or_else(|| Fault::new("INVALID_REPLICATION_DATE", format!("invalid date: {text}")))?;
    Ok(minute(time))
}

fn minute(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}
