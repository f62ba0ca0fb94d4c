//! The removal guard: removals beyond what a mapping usually sees wait for a person.
//!
//! Counts per mapping over a sliding window, done plus proposed. Approval holds for the members that were listed; more
//! need a new guard.

use std::collections::HashSet;

use super::dialect::{Rows, args};
use super::{Store, StoreError};
use crate::domain::merge::Side;

/// How long an approval is good for, in milliseconds: long enough for the removals to be carried out and retried.
const APPROVAL: i64 = 24 * 3_600_000;

/// When the guard trips.
#[derive(Clone, Copy, Debug)]
pub struct GuardLimits {
    /// More than this many, and
    pub members: i64,
    /// more than this share of the mapping, in percent;
    pub percent: i64,
    /// within this many milliseconds. More than half of a mapping of five or more trips as well.
    pub window: i64,
}

impl GuardLimits {
    /// Whether `removals` of `total` members are too many to be carried out unasked.
    fn trips(&self, removals: i64, total: i64) -> bool {
        (removals > self.members && removals * 100 > self.percent * total) || (total >= 5 && removals * 2 > total)
    }
}

impl Store {
    /// Which of the proposed removals may be carried out now. The others are listed in the mapping's waiting guard.
    pub async fn guard(
        &self,
        mapping_id: &str,
        campaign_id: &str,
        removals: &[(String, Side)],
        limits: &GuardLimits,
    ) -> Result<HashSet<String>, StoreError> {
        let now = self.now();
        let rows: Vec<_> = removals.iter().map(|(member, side)| (member, side.as_str())).collect();
        let rows = Rows::new("member_id text, side text", &rows)?;
        let mut tx = self.db.begin().await?;
        let sql = "SELECT DISTINCT r.member_id FROM {rows} JOIN guard_members m ON m.member_id = r.member_id AND m.side = r.side
                   JOIN guards g ON g.id = m.guard_id AND g.mapping_id = $2 AND g.state = 'approved' AND g.decided_at > $3";
        let approved: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![mapping_id, now - APPROVAL]).await?;
        let mut allowed: HashSet<String> = approved.into_iter().map(|row| row.0).collect();
        // One that is tried again was counted when it was allowed first.
        let sql =
            "SELECT DISTINCT r.member_id FROM {rows} JOIN removals d ON d.member_id = r.member_id AND d.mapping_id = $2
                   AND d.removed_at > $3";
        let counted: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![mapping_id, now - limits.window]).await?;
        let counted: HashSet<String> = counted.into_iter().map(|row| row.0).collect();
        let fresh: Vec<&(String, Side)> =
            removals.iter().filter(|(member, _)| !allowed.contains(member) && !counted.contains(member)).collect();
        let done = "SELECT COUNT(*) FROM removals WHERE mapping_id = $1 AND removed_at > $2";
        let done: Vec<(i64,)> = tx.fetch(done, args![mapping_id, now - limits.window]).await?;
        let total = "SELECT COUNT(*) FROM members WHERE campaign_id = $1 AND sync_state <> 'closed'";
        let total: Vec<(i64,)> = tx.fetch(total, args![campaign_id]).await?;
        let (done, total) = (done.first().map_or(0, |r| r.0), total.first().map_or(0, |r| r.0));
        let proposed = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        if proposed > 0 && limits.trips(done + proposed, total + done) {
            let sql = "INSERT INTO guards (id, mapping_id, state, created_at) VALUES ($1, $2, 'waiting', $3)
                       ON CONFLICT (mapping_id) WHERE state = 'waiting' DO UPDATE SET state = 'waiting' RETURNING id";
            let guard: Vec<(String,)> = tx.fetch(sql, args![self.new_id(), mapping_id, now]).await?;
            let listed: Vec<_> = fresh.iter().map(|(m, side)| (&guard[0].0, m, side.as_str())).collect();
            let sql =
                "INSERT INTO guard_members (guard_id, member_id, side) SELECT guard_id, member_id, side FROM {rows}
                       WHERE true ON CONFLICT DO NOTHING";
            tx.execute_rows(sql, &Rows::new("guard_id text, member_id text, side text", &listed)?, vec![]).await?;
        } else {
            let listed: Vec<_> = fresh.iter().map(|(m, _)| (m,)).collect();
            let sql = "INSERT INTO removals (mapping_id, member_id, removed_at) SELECT $2, member_id, $3 FROM {rows}
                       WHERE true ON CONFLICT DO NOTHING";
            tx.execute_rows(sql, &Rows::new("member_id text", &listed)?, args![mapping_id, now]).await?;
            allowed.extend(fresh.into_iter().map(|(member, _)| member.clone()));
        }
        allowed.extend(counted);
        tx.commit().await?;
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trips_on_many_and_on_most() {
        let limits = GuardLimits { members: 50, percent: 10, window: 3_600_000 };
        let cases = [
            (1, 1, false),
            (4, 4, false),
            (2, 5, false),
            (3, 5, true),
            (50, 400, false),
            (51, 400, true),
            (51, 510, false),
            (52, 510, true),
            (51, 100_000, false),
        ];
        for (removals, total, trips) in cases {
            assert_eq!(limits.trips(removals, total), trips, "{removals} of {total}");
        }
    }
}
