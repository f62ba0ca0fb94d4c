//! Figures: how members, changes and records stand.
//!
//! Reads only. Members and records are counted by the triggers of migration 0008, so that no figure costs more with more of them;
//! what is open is counted in an index, and what is recent in a window. Must not interpret a status or a reason.

use std::collections::BTreeMap;

use super::dialect::{Rows, args};
use super::figures::Metric;
use super::members::Member;
use super::outbox::{COUNTERS, Subject};
use super::{Store, StoreError};
use crate::domain::hint::Source;

/// Members of a campaign by where they are and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// On both sides and agreeing.
    pub in_sync: i64,
    /// On one side only, by reason.
    pub only_marketo: BTreeMap<String, i64>,
    pub only_salesforce: BTreeMap<String, i64>,
    /// On both sides and not agreeing, by reason.
    pub different: BTreeMap<String, i64>,
}

/// How far back throughput and latency look, in milliseconds, and the most changes that they look at.
const RECENT: i64 = 5 * 60_000;
pub const LATE: i64 = 60 * 60_000;
const RECENT_ROWS: i64 = 4_000;
/// Length of a day of the ledger.
const DAY: i64 = 24 * 60 * 60_000;

/// How long changes took in the last hour, and how many there were in the last minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Milliseconds from acceptance to the end of the opposite write, of the newest; none without any.
    pub p50: Option<i64>,
    pub p95: Option<i64>,
    pub p99: Option<i64>,
    pub to_salesforce_per_minute: f64,
    pub to_marketo_per_minute: f64,
}

/// Changes that are not done with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenChanges {
    /// By state.
    pub count: BTreeMap<String, i64>,
    /// When the oldest of those that are to be worked off was accepted.
    pub oldest: Option<i64>,
}

/// One note about a member.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct HistoryEntry {
    pub id: i64,
    pub at: i64,
    pub kind: String,
    /// JSON.
    pub detail: String,
}

/// The ledger's counters, by name, over all mappings and windows.
pub type LedgerTotals = BTreeMap<&'static str, i64>;

impl Store {
    /// The bridge from one side's members to the other's; who is on neither is not in it.
    pub async fn bridge(&self, campaign_id: &str) -> Result<Bridge, StoreError> {
        // NULL is unknown and '' absent, and both count as not being there.
        let sql = "SELECT in_marketo, in_salesforce, sync_state, reason, CAST(SUM(count) AS BIGINT) FROM member_tallies
                   WHERE campaign_id = $1 GROUP BY 1, 2, 3, 4 HAVING SUM(count) > 0";
        let rows: Vec<(bool, bool, String, String, i64)> = self.db.fetch(sql, args![campaign_id]).await?;
        let mut bridge = Bridge::default();
        for (marketo, salesforce, state, reason, count) in rows {
            let place = match (marketo, salesforce) {
                (true, true) if state == "in_sync" => {
                    bridge.in_sync += count;
                    continue;
                }
                (true, true) => &mut bridge.different,
                (true, false) => &mut bridge.only_marketo,
                (false, true) => &mut bridge.only_salesforce,
                (false, false) => continue,
            };
            *place.entry(if reason.is_empty() { state } else { reason }).or_default() += count;
        }
        Ok(bridge)
    }

    /// Members of each of these campaigns, and how many of them agree or wait below a gate.
    pub async fn agreement(&self, campaigns: &[String]) -> Result<BTreeMap<String, (i64, i64)>, StoreError> {
        let rows: Vec<_> = campaigns.iter().map(|campaign| (campaign,)).collect();
        let sql = "SELECT t.campaign_id, CAST(SUM(t.count) AS BIGINT),
                     CAST(SUM(CASE WHEN t.sync_state IN ('in_sync', 'gated') THEN t.count ELSE 0 END) AS BIGINT)
                   FROM {rows} CROSS JOIN member_tallies t WHERE t.campaign_id = r.id AND t.sync_state <> 'closed' GROUP BY t.campaign_id";
        let found: Vec<(String, i64, i64)> = self.db.fetch_rows(sql, &Rows::new("id text", &rows)?, vec![]).await?;
        Ok(found.into_iter().map(|(campaign, all, agree)| (campaign, (all, agree))).collect())
    }

    /// Mappings by state.
    pub async fn mappings_by_state(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let sql = "SELECT state, COUNT(*) FROM mappings WHERE deleted_at IS NULL GROUP BY state";
        Ok(self.db.fetch::<(String, i64)>(sql, vec![]).await?.into_iter().collect())
    }

    /// Members by state, of all campaigns.
    pub async fn members_by_state(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let sql = "SELECT sync_state, CAST(SUM(count) AS BIGINT) FROM member_tallies WHERE sync_state <> 'closed' GROUP BY sync_state";
        Ok(self.db.fetch::<(String, i64)>(sql, vec![]).await?.into_iter().collect())
    }

    /// Changes that are not done with.
    pub async fn open_changes(&self) -> Result<OpenChanges, StoreError> {
        // Ids are in the order in which changes were accepted, so that the index knows the oldest as well.
        let sql = "SELECT state, COUNT(*), MIN(id) FROM outbox
                   WHERE state IN ('available', 'running', 'retryable', 'parked') AND state <> 'completed' GROUP BY state";
        let rows: Vec<(String, i64, String)> = self.db.fetch(sql, vec![]).await?;
        let oldest = rows.iter().filter(|(state, ..)| state != "parked").map(|row| row.2.as_str()).min();
        let oldest = match oldest {
            Some(id) => {
                let sql = "SELECT created_at FROM outbox WHERE id = $1";
                self.db.fetch_optional::<(i64,)>(sql, args![id]).await?.map(|row| row.0)
            }
            None => None,
        };
        Ok(OpenChanges { oldest, count: rows.into_iter().map(|(state, count, _)| (state, count)).collect() })
    }

    /// How fast changes that were applied of late travelled.
    pub async fn pace(&self) -> Result<Pace, StoreError> {
        let now = self.now();
        let sql = "SELECT source, created_at, completed_at FROM outbox WHERE completed_at > $1 AND state = 'completed'
                   AND outcome = 'applied' ORDER BY completed_at DESC LIMIT $2";
        let rows: Vec<(String, i64, i64)> = self.db.fetch(sql, args![now - LATE, RECENT_ROWS]).await?;
        let mut took: Vec<i64> = rows.iter().map(|(_, created, completed)| completed - created).collect();
        took.sort_unstable();
        // When there are more rows than are looked at, those that were seen reach less far back.
        let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= RECENT_ROWS;
        let seen = rows.last().filter(|_| full).map_or(LATE, |(.., oldest)| (now - oldest).max(1));
        let span = seen.min(RECENT);
        let per_minute = |source: Source| {
            let of = |row: &&(String, i64, i64)| {
                row.2 > now - span && (row.0 == source.as_str() || row.0 == source.polled())
            };
            let count = u32::try_from(rows.iter().filter(of).count()).unwrap_or(u32::MAX);
            let minutes = f64::from(u32::try_from(span).unwrap_or(u32::MAX)) / 60_000.0;
            (f64::from(count) / minutes * 10.0).round() / 10.0
        };
        Ok(Pace {
            p50: percentile(&took, 50),
            p95: percentile(&took, 95),
            p99: percentile(&took, 99),
            to_salesforce_per_minute: per_minute(Source::Marketo),
            to_marketo_per_minute: per_minute(Source::Salesforce),
        })
    }

    /// When a comparison last ended, and how many members those of the hour up to then have found different; none before the first.
    pub async fn drift(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let sql = "SELECT completed_at FROM runs WHERE completed_at IS NOT NULL AND state = 'completed'
                   ORDER BY completed_at DESC LIMIT 1";
        let Some((at,)) = self.db.fetch_optional::<(i64,)>(sql, vec![]).await? else { return Ok(None) };
        let by_minute = self.figures(Metric::Drift, at - LATE, at + 1).await?;
        Ok(Some((at, by_minute.values().sum())))
    }

    /// When a receiver last took an event; none before the first.
    pub async fn last_delivery(&self) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MAX(last_success_at) FROM subscriptions";
        Ok(self.db.fetch_optional::<(Option<i64>,)>(sql, vec![]).await?.and_then(|row| row.0))
    }

    /// The ledger over all mappings, of records received since the beginning of the day of `since`.
    pub async fn ledger_totals(&self, since: i64) -> Result<LedgerTotals, StoreError> {
        let sum = |c| {
            format!(
                "SELECT '{c}' AS name, CAST(COALESCE(SUM({c}), 0) AS BIGINT) AS total FROM ledger_days WHERE day >= $1"
            )
        };
        let sums = COUNTERS.map(sum);
        let day = since - since.rem_euclid(DAY);
        let rows: Vec<(String, i64)> = self.db.fetch(&sums.join(" UNION ALL "), args![day]).await?;
        let total = |name: &str| rows.iter().find(|row| row.0 == name).map_or(0, |row| row.1);
        Ok(COUNTERS.map(|name| (name, total(name))).into_iter().collect())
    }

    /// When the last webhook of each source came; what a poll found is none.
    pub async fn last_heard(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let sql = "SELECT source, heard_at FROM sources";
        Ok(self.db.fetch::<(String, i64)>(sql, vec![]).await?.into_iter().collect())
    }

    /// State and due time of the change that will next look at a member; none when none waits.
    pub async fn next_for(&self, member: &Member) -> Result<Option<(String, i64)>, StoreError> {
        let person = &member.person;
        let subjects = [
            Some(Subject::Person(person.id.clone())),
            person.marketo_id.map(Subject::Marketo),
            person.salesforce_id.clone().map(Subject::Salesforce),
            member.campaign_member_id.clone().map(Subject::Member),
        ];
        let rows: Vec<_> =
            subjects.iter().flatten().map(|subject| (&member.campaign_id, subject.to_string())).collect();
        let sql = "SELECT o.state, o.due_at FROM {rows} JOIN outbox o ON o.lane = r.lane AND o.subject = r.subject
                   AND o.kind = 'hint' AND o.state IN ('available', 'retryable') ORDER BY o.due_at LIMIT 1";
        Ok(self.db.fetch_rows(sql, &Rows::new("lane text, subject text", &rows)?, vec![]).await?.pop())
    }

    /// What happened to a member, oldest first, after the entry `after`.
    pub async fn history(&self, member_id: &str, after: i64, limit: i64) -> Result<Vec<HistoryEntry>, StoreError> {
        let sql = "SELECT id, at, kind, detail FROM history WHERE member_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        self.db.fetch(sql, args![member_id, after, limit]).await
    }
}

/// Nearest rank.
pub(super) fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 99), Some(7));
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 95, 99].map(|p| percentile(&hundred, p)), [Some(50), Some(95), Some(99)]);
    }
}
