//! Versions, resources and limits.
//!
//! Owns which API versions exist and the documents that a client reads before it does anything.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::objects::Object;
use super::world::World;

const OLDEST: u32 = 30;
const NEWEST: u32 = 67;

/// Whether a version such as `60.0` is served.
#[must_use]
pub fn supported(version: &str) -> bool {
    number(version).is_some_and(|n| (OLDEST..=NEWEST).contains(&n))
}

/// `60.0` as 60.
#[must_use]
pub fn number(version: &str) -> Option<u32> {
    version.strip_suffix(".0")?.parse().ok()
}

/// `/services/data`, which needs no token.
#[must_use]
pub fn versions() -> Value {
    let label = |n: u32| {
        // 59.0 was Winter '24; three releases a year.
        let since = n + 180 - 59;
        format!("{} '{:02}", ["Winter", "Spring", "Summer"][since as usize % 3], (24 + since / 3 - 60) % 100)
    };
    let list = (OLDEST..=NEWEST)
        .map(|n| json!({"label": label(n), "url": format!("/services/data/v{n}.0"), "version": format!("{n}.0")}));
    Value::Array(list.collect())
}

/// `/services/data/vNN.0`
#[must_use]
pub fn resources(world: &World, version: &str) -> Value {
    let mut out = Map::new();
    for name in ["sobjects", "query", "queryAll", "limits", "composite"] {
        out.insert(name.into(), format!("/services/data/v{version}/{name}").into());
    }
    out.insert("identity".into(), world.identity_url().into());
    Value::Object(out)
}

/// `/limits`
#[must_use]
pub fn limits(world: &World) -> Value {
    let (max, used) = (world.options.daily_calls, world.counters.used);
    let full = |n: u64| json!({"Max": n, "Remaining": n});
    json!({
        "ConcurrentAsyncGetReportInstances": full(200),
        "DailyApiRequests": {"Max": max, "Remaining": max.saturating_sub(used)},
        "DailyBulkApiBatches": full(15_000),
        "DailyBulkV2QueryJobs": full(10_000),
        "DataStorageMB": full(5),
        "FileStorageMB": full(20),
    })
}

/// Labels of all member statuses: the picklist that describe shows for `CampaignMember.Status`.
#[must_use]
pub fn status_labels(world: &World) -> Vec<String> {
    let rows = world.rows(Object::CampaignMemberStatus).filter(|r| !r.deleted);
    rows.map(|r| r.text_of("Label").to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}
