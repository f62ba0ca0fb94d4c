//! The figures at the end of `demo --once`.
//!
//! Where each comes from: received, no-op and superseded from the mapping's ledger; vendor calls and what was written from
//! the emulators' own counters; latency from the changes that the store holds as applied, acceptance of the webhook to the
//! record of the opposite write; members from the emulators.

use serde::Serialize;
use serde_json::Value;

use super::compare::Comparison;
use super::service::Service;
use crate::sandbox::Emulators;
use crate::store::changes::ChangeFilter;
use crate::store::triggers::EventFilter;

/// Of Marketo's activities: New Person.
const NEW_PERSON: i64 = 12;
const PAGE: i64 = 500;

/// The last lines of the output, in their order.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Records in webhooks that were accepted.
    changes_received: i64,
    /// Campaign members that the service added, changed or removed, the first sync included: trigger events that its writes
    /// gave.
    applied_to_salesforce: i64,
    /// Program members that the service added, changed or removed, the first sync included: records that the emulator took.
    applied_to_marketo: u64,
    no_op: i64,
    superseded: i64,
    trigger_events: i64,
    vendor_calls_marketo: u64,
    vendor_calls_salesforce: u64,
    latency_p50_ms: i64,
    latency_p99_ms: i64,
    members_marketo: usize,
    members_salesforce: usize,
    equal: bool,
}

impl Figures {
    pub async fn collect(
        emulators: &Emulators,
        service: &Service,
        mapping: &str,
        compared: &Comparison,
    ) -> anyhow::Result<Self> {
        let ledger = service.store.ledger(mapping).await?;
        let latencies = latencies(service).await?;
        let (marketo, created) = emulators.marketo.with(|world| (world.police.clone(), created(&world.as_json())));
        let salesforce = emulators.salesforce.with(|world| world.counters.clone());
        Ok(Self {
            changes_received: ledger.iter().map(|window| window.received).sum(),
            applied_to_salesforce: written_to_salesforce(service).await?,
            applied_to_marketo: marketo.records_written.saturating_sub(created),
            no_op: ledger.iter().map(|window| window.no_op).sum(),
            superseded: ledger.iter().map(|window| window.superseded).sum(),
            trigger_events: service.store.last_position().await?,
            vendor_calls_marketo: marketo.reads + marketo.writes + marketo.identity_calls,
            vendor_calls_salesforce: salesforce.reads + salesforce.writes + salesforce.tokens,
            latency_p50_ms: percentile(&latencies, 50),
            latency_p99_ms: percentile(&latencies, 99),
            members_marketo: compared.marketo,
            members_salesforce: compared.salesforce,
            equal: compared.is_equal(),
        })
    }

    /// `name: value`, a line each.
    pub fn lines(&self) -> String {
        let named: [(&str, &dyn std::fmt::Display); 13] = [
            ("changes received", &self.changes_received),
            ("applied to salesforce", &self.applied_to_salesforce),
            ("applied to marketo", &self.applied_to_marketo),
            ("no-op", &self.no_op),
            ("superseded", &self.superseded),
            ("trigger events", &self.trigger_events),
            ("vendor calls marketo", &self.vendor_calls_marketo),
            ("vendor calls salesforce", &self.vendor_calls_salesforce),
            ("latency p50 ms", &self.latency_p50_ms),
            ("latency p99 ms", &self.latency_p99_ms),
            ("members marketo", &self.members_marketo),
            ("members salesforce", &self.members_salesforce),
            ("equal", &self.equal),
        ];
        named.map(|(name, value)| format!("{name}: {value}\n")).concat()
    }
}

/// People that were created over Marketo's API, who are records written as well.
fn created(state: &Value) -> u64 {
    let activities = state["activities"].as_array().map(Vec::as_slice).unwrap_or_default();
    let over_api = |activity: &&Value| {
        let attributes = activity["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
        activity["activityTypeId"] == NEW_PERSON
            && attributes.iter().any(|a| a["name"] == "Source Type" && a["value"] == "Web service API")
    };
    u64::try_from(activities.iter().filter(over_api).count()).unwrap_or(u64::MAX)
}

async fn written_to_salesforce(service: &Service) -> anyhow::Result<i64> {
    let (mut after, mut written) = (0, 0);
    loop {
        let page = service.store.events(&EventFilter::default(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(written) };
        after = last.position;
        for event in &page {
            let body: Value = serde_json::from_str(&event.body())?;
            written += i64::from(body["data"]["detected_by"] == "write");
        }
    }
}

/// Milliseconds of each change that was applied, the shortest first.
async fn latencies(service: &Service) -> anyhow::Result<Vec<i64>> {
    let filter = ChangeFilter { states: vec!["completed".to_owned()], ..ChangeFilter::default() };
    let (mut after, mut took) = (None, Vec::new());
    loop {
        let page = service.store.changes(&filter, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let applied = page.iter().filter(|change| change.outcome.as_deref() == Some("applied"));
        took.extend(applied.filter_map(|change| Some(change.completed_at? - change.created_at)));
    }
    took.sort_unstable();
    Ok(took)
}

/// Nearest rank; 0 of nothing.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile(&[], 50), 0);
        assert_eq!(percentile(&[7], 99), 7);
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 99].map(|p| percentile(&hundred, p)), [50, 99]);
    }
}
