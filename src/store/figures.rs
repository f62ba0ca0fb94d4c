//! Figures over time: what happened in each minute, summed once it is over.
//!
//! Whoever looks after the service sums the minutes that are over, each once, from what indexes find of that minute; a
//! request reads sums, and of minutes that nobody has summed yet a few. Must not count what is not of the minute.

use std::collections::BTreeMap;

use super::dialect::{Rows, args};
use super::spent::Part;
use super::{Store, StoreError};
use crate::domain::closed_list::closed_list;

/// Length of a sum, in milliseconds.
pub const MINUTE: i64 = 60_000;
/// Minutes that are summed at once, and that a request sums itself.
const AT_ONCE: i64 = 120;
/// How long sums are kept, in milliseconds.
const KEPT: i64 = 31 * 24 * 60 * MINUTE;
/// Changes of a minute whose latency is looked at.
const LATENCIES: i64 = 10_000;

closed_list! {
    /// What is counted by the minute.
    pub enum Metric {
        /// Records accepted: by webhook, and by a poll that found news.
        Received = "received",
        /// Changes that came from Marketo and were applied.
        AppliedToSalesforce = "applied_to_salesforce",
        /// Changes that came from Salesforce and were applied.
        AppliedToMarketo = "applied_to_marketo",
        /// Changes that needed nothing.
        NoOp = "no_op",
        /// Changes that a younger one saw to.
        Superseded = "superseded",
        /// Changes that were parked.
        Held = "held",
        /// Changes given up on.
        Failed = "failed",
        /// Trigger events.
        TriggerEvents = "trigger_events",
        /// Events that a receiver has taken.
        Delivered = "deliveries",
        /// Events that a receiver was not brought to take in all the time that they are tried.
        DeliveriesFailed = "deliveries_failed",
        /// Members that runs have found different or held.
        Drift = "drift",
        /// Calls to Marketo.
        MarketoCalls = "marketo_calls",
        /// Calls to Salesforce.
        SalesforceCalls = "salesforce_calls",
        /// Median milliseconds from acceptance to the end of the opposite write.
        LatencyP50 = "latency_p50_ms",
        /// The same for 95 of 100.
        LatencyP95 = "latency_p95_ms",
        /// Milliseconds until a delivery was stored, on average.
        ReceiveTime = "receive_avg_ms",
        /// Milliseconds from there until somebody took the change up, on average of those that were applied.
        QueueTime = "queue_avg_ms",
        /// Milliseconds of reading, writing and recording, on average of the same.
        CallTime = "call_avg_ms",
        /// Changes that waited at the end of the minute.
        BacklogDepth = "backlog_depth",
        /// Age of the oldest of them in seconds.
        BacklogAge = "backlog_age_seconds",
    }
}

impl Metric {
    /// Whether values of several minutes are added; of the others the greatest counts, and a minute without one has none.
    #[must_use]
    pub fn adds_up(self) -> bool {
        !matches!(self, Self::LatencyP50 | Self::LatencyP95 | Self::BacklogDepth | Self::BacklogAge)
            && self.part().is_none()
    }

    /// The part of the latency that it is.
    fn part(self) -> Option<Part> {
        match self {
            Self::ReceiveTime => Some(Part::Receive),
            Self::QueueTime => Some(Part::Queue),
            Self::CallTime => Some(Part::Call),
            _ => None,
        }
    }
}

/// Values of one minute.
type Sums = BTreeMap<Metric, i64>;

impl Store {
    /// Sums the minutes that are over and that nobody has summed; how many. One process does, whichever asks first.
    pub async fn sum_minutes(&self) -> Result<i64, StoreError> {
        let now = self.now();
        let over = now - now % MINUTE;
        let stored = self.summed_until().await?;
        // What is older than this after a pause of the service is left without figures.
        let from = stored.unwrap_or(over - MINUTE).max(over - AT_ONCE * MINUTE);
        if from >= over {
            return Ok(0);
        }
        if !self.take_minutes(stored.unwrap_or(from), over).await? {
            return Ok(0);
        }
        let mut rows = Vec::new();
        for minute in (from..over).step_by(usize::try_from(MINUTE).unwrap_or(1)) {
            rows.extend(
                self.sums_of(minute, None).await?.into_iter().map(|(metric, value)| (minute, metric.as_str(), value)),
            );
        }
        let open = self.open_changes().await?;
        let depth: i64 = ["available", "running", "retryable"].iter().filter_map(|state| open.count.get(*state)).sum();
        rows.push((over - MINUTE, Metric::BacklogDepth.as_str(), depth));
        rows.push((
            over - MINUTE,
            Metric::BacklogAge.as_str(),
            open.oldest.map_or(0, |oldest| (now - oldest).max(0) / 1000),
        ));
        let mut tx = self.db.begin().await?;
        add(&mut tx, &rows).await?;
        tx.execute("DELETE FROM figures WHERE minute < $1", args![over - KEPT]).await?;
        tx.commit().await?;
        self.compact_tallies().await?;
        Ok((over - from) / MINUTE)
    }

    /// Whoever moves the mark from where it was found has the minutes; the others need not sum them. A process that dies before it has
    /// stored them leaves those without figures.
    async fn take_minutes(&self, from: i64, over: i64) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "INSERT INTO settings (name, value) VALUES ('summed_until', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value
                   WHERE CAST(settings.value AS BIGINT) = $2";
        let moved = tx.execute(sql, args![over.to_string(), from]).await?;
        tx.commit().await?;
        Ok(moved > 0)
    }

    /// Adds calls that this process has made in the minute that goes on.
    pub async fn count_calls(&self, marketo: i64, salesforce: i64) -> Result<(), StoreError> {
        let now = self.now();
        let minute = now - now % MINUTE;
        let calls = [(Metric::MarketoCalls, marketo), (Metric::SalesforceCalls, salesforce)];
        let rows: Vec<_> =
            calls.into_iter().filter(|(_, n)| *n > 0).map(|(metric, n)| (minute, metric.as_str(), n)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        add(&mut tx, &rows).await?;
        tx.commit().await
    }

    async fn summed_until(&self) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = 'summed_until'";
        Ok(self.db.fetch_optional::<(String,)>(sql, vec![]).await?.and_then(|(value,)| value.parse().ok()))
    }

    /// Values of a metric by the minute, from `from` up to `to`; minutes without one are left out.
    pub async fn figures(&self, metric: Metric, from: i64, to: i64) -> Result<BTreeMap<i64, i64>, StoreError> {
        if let Some(part) = metric.part() {
            return self.averages(part, from, to).await;
        }
        let sql = "SELECT minute, value FROM figures WHERE metric = $1 AND minute >= $2 AND minute < $3";
        let stored: Vec<(i64, i64)> = self.db.fetch(sql, args![metric.as_str(), from, to]).await?;
        let mut values: BTreeMap<i64, i64> = stored.into_iter().collect();
        // What nobody has summed yet; calls and the backlog are known as they are counted, or not at all.
        if matches!(metric, Metric::MarketoCalls | Metric::SalesforceCalls | Metric::BacklogDepth | Metric::BacklogAge)
        {
            return Ok(values);
        }
        let until = to.min(self.now() + 1);
        let summed = self.summed_until().await?.unwrap_or(until - until % MINUTE - MINUTE);
        let open = from.max(summed).max(until - AT_ONCE * MINUTE);
        let open = open - open % MINUTE;
        for minute in (open..until).step_by(usize::try_from(MINUTE).unwrap_or(1)) {
            values.extend(self.sums_of(minute, Some(metric)).await?.get(&metric).map(|value| (minute, *value)));
        }
        Ok(values)
    }

    /// What happened in one minute: all of it, or what one metric is found with.
    async fn sums_of(&self, minute: i64, only: Option<Metric>) -> Result<Sums, StoreError> {
        let mut sums = Sums::new();
        let wanted = |metrics: &[Metric]| only.is_none_or(|metric| metrics.contains(&metric));
        if wanted(&[Metric::Received]) {
            self.sum_received(minute, &mut sums).await?;
        }
        let ends = [Metric::AppliedToMarketo, Metric::AppliedToSalesforce, Metric::Superseded, Metric::NoOp];
        if wanted(&ends) || wanted(&[Metric::Held, Metric::Failed]) {
            self.sum_ended(minute, &mut sums).await?;
        }
        if wanted(&[Metric::TriggerEvents]) {
            let events = "SELECT COUNT(*) FROM trigger_events WHERE created_at >= $1 AND created_at < $2";
            let events: Vec<(i64,)> = self.db.fetch(events, args![minute, minute + MINUTE]).await?;
            sums.insert(Metric::TriggerEvents, events.first().map_or(0, |row| row.0));
        }
        if wanted(&[Metric::Delivered, Metric::DeliveriesFailed]) {
            self.sum_deliveries(minute, &mut sums).await?;
        }
        if wanted(&[Metric::LatencyP50, Metric::LatencyP95]) {
            self.sum_latency(minute, &mut sums).await?;
        }
        if wanted(&[Metric::Drift]) {
            self.sum_drift(minute, &mut sums).await?;
        }
        Ok(sums)
    }

    async fn sum_received(&self, minute: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let ids = args![self.inbox_before(minute).await?, self.inbox_before(minute + MINUTE).await?];
        let count = "SELECT COUNT(*) FROM inbox WHERE id >= $1 AND id < $2 AND change_id IS NOT NULL";
        let received: Vec<(i64,)> = self.db.fetch(count, ids).await?;
        sums.insert(Metric::Received, received.first().map_or(0, |row| row.0));
        Ok(())
    }

    async fn sum_ended(&self, minute: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let ended = "SELECT state, outcome, source, CASE WHEN reason IS NULL THEN 0 ELSE 1 END, COUNT(*) FROM outbox
                     WHERE completed_at >= $1 AND completed_at < $2 GROUP BY 1, 2, 3, 4";
        let ended: Vec<(String, Option<String>, String, i32, i64)> =
            self.db.fetch(ended, args![minute, minute + MINUTE]).await?;
        for (state, outcome, source, reason, n) in ended {
            let metric = match (state.as_str(), outcome.as_deref(), source.as_str()) {
                ("completed", Some("applied"), source) if source.starts_with("salesforce") => Metric::AppliedToMarketo,
                ("completed", Some("applied"), _) => Metric::AppliedToSalesforce,
                ("completed", Some("superseded"), _) => Metric::Superseded,
                ("completed", ..) => Metric::NoOp,
                ("parked", ..) => Metric::Held,
                ("discarded", ..) if reason > 0 => Metric::Failed,
                _ => continue,
            };
            *sums.entry(metric).or_default() += n;
        }
        Ok(())
    }

    async fn sum_latency(&self, minute: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let took = "SELECT completed_at - created_at FROM outbox WHERE completed_at >= $1 AND completed_at < $2
                    AND state = 'completed' AND outcome = 'applied' ORDER BY completed_at DESC LIMIT $3";
        let range = args![minute, minute + MINUTE, LATENCIES];
        let mut took: Vec<i64> = self.db.fetch::<(i64,)>(took, range).await?.into_iter().map(|row| row.0).collect();
        took.sort_unstable();
        for (metric, percent) in [(Metric::LatencyP50, 50), (Metric::LatencyP95, 95)] {
            sums.extend(super::reports::percentile(&took, percent).map(|value| (metric, value)));
        }
        Ok(())
    }

    async fn sum_deliveries(&self, minute: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let done =
            "SELECT state, COUNT(*) FROM deliveries WHERE completed_at >= $1 AND completed_at < $2 GROUP BY state";
        for (state, n) in self.db.fetch::<(String, i64)>(done, args![minute, minute + MINUTE]).await? {
            let metric = match state.as_str() {
                "delivered" => Metric::Delivered,
                "failed" => Metric::DeliveriesFailed,
                _ => continue,
            };
            sums.insert(metric, n);
        }
        Ok(())
    }

    async fn sum_drift(&self, minute: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let runs =
            "SELECT differences FROM runs WHERE completed_at >= $1 AND completed_at < $2 AND differences <> '{}'";
        let mut drift = 0;
        for (differences,) in self.db.fetch::<(String,)>(runs, args![minute, minute + MINUTE]).await? {
            let differences: super::runs::Differences = super::read_json("runs.differences", &differences)?;
            drift += differences.values().flat_map(BTreeMap::values).sum::<i64>();
        }
        sums.insert(Metric::Drift, drift);
        Ok(())
    }
}

/// Adds to what is there.
pub(super) const ADD: &str =
    "INSERT INTO figures (minute, metric, value) SELECT minute, metric, value FROM {rows} WHERE true
                              ON CONFLICT (metric, minute) DO UPDATE SET value = figures.value + excluded.value";

async fn add(tx: &mut super::dialect::Tx, rows: &[(i64, &str, i64)]) -> Result<(), StoreError> {
    tx.execute_rows(ADD, &Rows::new("minute int, metric text, value int", rows)?, vec![]).await.map(drop)
}
