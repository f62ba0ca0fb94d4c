//! The figures of `/stats` as Prometheus reads them.
//!
//! Owns the names, their units and what they say. Set whenever somebody reads `/metrics`, so that all of them are of one moment. No
//! label names a person, a member or a mapping: their number would grow without end.

use metrics::{Unit, describe_counter, describe_gauge, gauge};

use super::ApiState;
use super::stats::{Stats, VendorBudget};

const MAPPINGS: &str = "campaign_sync_mappings";
const MEMBERS: &str = "campaign_sync_members";
const CHANGES: &str = "campaign_sync_open_changes";
const OLDEST: &str = "campaign_sync_oldest_open_change_age_seconds";
const LATENCY: &str = "campaign_sync_recent_latency_seconds";
const PACE: &str = "campaign_sync_recent_applied_per_second";
const LEDGER: &str = "campaign_sync_records";
const TODAY: &str = "campaign_sync_records_today";
const DRIFT: &str = "campaign_sync_drift_members";
const COMPARED: &str = "campaign_sync_last_comparison_age_seconds";
const DELIVERED: &str = "campaign_sync_last_delivery_age_seconds";
const CALLS: &str = "campaign_sync_vendor_calls_today";
const LIMIT: &str = "campaign_sync_vendor_calls_limit";
const CIRCUIT: &str = "campaign_sync_vendor_circuit_open";
const RESUMES: &str = "campaign_sync_vendor_resumes_in_seconds";
const REPLICAS: &str = "campaign_sync_vendor_replicas";
const ALLOWED: &str = "campaign_sync_vendor_budget_limit";
const HELD: &str = "campaign_sync_vendor_budget_held";
const OWN: &str = "campaign_sync_vendor_budget_own";
const SILENCE: &str = "campaign_sync_source_silence_seconds";

/// What each name means, for whoever reads `/metrics`.
pub fn describe() {
    describe_gauge!(MAPPINGS, Unit::Count, "Mappings by state");
    describe_gauge!(MEMBERS, Unit::Count, "Members of all mappings by state; all but in_sync and gated is drift");
    describe_gauge!(CHANGES, Unit::Count, "Changes that are not done with, by state");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest change that is to be worked off; 0 without any");
    describe_gauge!(
        LATENCY,
        Unit::Seconds,
        "From acceptance to the end of the opposite write, last hour; NaN without any"
    );
    describe_gauge!(PACE, Unit::CountPerSecond, "Changes applied, by the side that was written, last minutes");
    describe_gauge!(LEDGER, Unit::Count, "Accepted records by what became of them");
    describe_gauge!(TODAY, Unit::Count, "Records accepted since midnight (UTC) by what became of them");
    describe_gauge!(DRIFT, Unit::Count, "Members that comparisons found different in the hour up to the last one");
    describe_gauge!(COMPARED, Unit::Seconds, "Since a comparison last ended; NaN before the first");
    describe_gauge!(DELIVERED, Unit::Seconds, "Since a receiver last took an event; NaN before the first");
    describe_gauge!(CALLS, Unit::Count, "Calls made by all processes since the vendor's day began");
    describe_gauge!(LIMIT, Unit::Count, "Calls that all processes may make in a day");
    describe_gauge!(RESUMES, Unit::Seconds, "Until calls are made again; 0 while the day's are not used up");
    describe_gauge!(REPLICAS, Unit::Count, "Processes that call the vendor at the moment");
    describe_gauge!(ALLOWED, Unit::Count, "Calls that all processes may have in flight, or in a window");
    describe_gauge!(HELD, Unit::Count, "Calls that processes hold of that, those that are gone included");
    describe_gauge!(OWN, Unit::Count, "Calls that this process may have of that");
    describe_gauge!(CIRCUIT, Unit::Count, "1 while calls are held back because the vendor is down");
    describe_gauge!(SILENCE, Unit::Seconds, "Since a source was last heard of; NaN when that is long ago");
    describe_counter!(
        "campaign_sync_vendor_calls_total",
        Unit::Count,
        "Calls made by this process, by vendor, endpoint and outcome"
    );
}

impl ApiState {
    /// Sets every gauge to what holds now; leaves them as they are when the database does not answer.
    pub async fn measure(&self) {
        match Stats::collect(self).await {
            Ok(stats) => record(&stats),
            Err(_) => tracing::warn!("the metrics are older than they look: the database does not answer"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn record(stats: &Stats) {
    for (state, count) in &stats.mappings {
        gauge!(MAPPINGS, "state" => *state).set(*count as f64);
    }
    for (state, count) in &stats.members {
        gauge!(MEMBERS, "state" => *state).set(*count as f64);
    }
    for (outcome, count) in &stats.ledger {
        gauge!(LEDGER, "outcome" => *outcome).set(*count as f64);
    }
    for (outcome, count) in &stats.today {
        gauge!(TODAY, "outcome" => *outcome).set(*count as f64);
    }
    let open = &stats.outbox;
    let states = [
        ("available", open.available),
        ("running", open.running),
        ("retryable", open.retryable),
        ("parked", open.parked),
    ];
    for (state, count) in states {
        gauge!(CHANGES, "state" => state).set(count as f64);
    }
    gauge!(OLDEST).set(open.oldest_age_seconds.unwrap_or(0) as f64);
    let latency = &stats.latency_ms;
    for (quantile, millis) in [("0.5", latency.p50), ("0.95", latency.p95), ("0.99", latency.p99)] {
        gauge!(LATENCY, "quantile" => quantile).set(millis.map_or(f64::NAN, |millis| millis as f64 / 1000.0));
    }
    let pace = &stats.throughput;
    for (side, minute) in [("salesforce", pace.to_salesforce_per_minute), ("marketo", pace.to_marketo_per_minute)] {
        gauge!(PACE, "side" => side).set(minute / 60.0);
    }
    let now = stats.generated_at.millis();
    let since = |at: Option<super::schema::Time>| at.map_or(f64::NAN, |at| (now - at.millis()).max(0) as f64 / 1000.0);
    gauge!(DRIFT).set(stats.drift.as_ref().map_or(f64::NAN, |drift| drift.members as f64));
    gauge!(COMPARED).set(since(stats.drift.as_ref().map(|drift| drift.at)));
    gauge!(DELIVERED).set(since(stats.last_delivery_at));
    for (name, vendor) in [("marketo", &stats.vendors.marketo), ("salesforce", &stats.vendors.salesforce)] {
        let or_unknown = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        gauge!(CALLS, "vendor" => name).set(or_unknown(vendor.calls_today));
        gauge!(LIMIT, "vendor" => name).set(or_unknown(vendor.limit));
        gauge!(CIRCUIT, "vendor" => name).set(f64::from(u8::from(vendor.circuit == Some("open"))));
        let resumes = vendor.resumes_at.map_or(0, |at| (at.millis() - now).max(0));
        gauge!(RESUMES, "vendor" => name).set(resumes as f64 / 1000.0);
        record_budget(name, vendor.budget.as_ref());
        gauge!(SILENCE, "source" => name).set(since(vendor.last_event_at));
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn record_budget(vendor: &'static str, budget: Option<&VendorBudget>) {
    let Some(budget) = budget else { return };
    gauge!(REPLICAS, "vendor" => vendor).set(budget.replicas as f64);
    let portions = [("concurrency", Some(&budget.concurrency)), ("window", budget.window.as_ref())];
    for (of, portion) in portions.into_iter().filter_map(|(of, portion)| Some((of, portion?))) {
        gauge!(ALLOWED, "vendor" => vendor, "of" => of).set(portion.limit as f64);
        gauge!(HELD, "vendor" => vendor, "of" => of).set(portion.held as f64);
        gauge!(OWN, "vendor" => vendor, "of" => of).set(portion.own as f64);
    }
}
