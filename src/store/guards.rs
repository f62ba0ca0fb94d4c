//! The removal guard: removals beyond what a mapping usually sees wait for a person.
//!
//! Counts per mapping over a sliding window, done plus proposed. Approval holds for the members that were listed; more
//! need a new guard.

use std::collections::HashSet;

use super::dialect::{Rows, Tx, args};
use super::fan_out::tell;
use super::mappings::audit;
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::{Store, StoreError, write_json};
use crate::domain::merge::Side;
use crate::domain::notice::Notice;

/// How long an approval is good for, in milliseconds: long enough for the removals to be carried out and retried.
const APPROVAL: i64 = 24 * 3_600_000;

/// Members shown with their guard; `count` tells of the others.
const SHOWN: i64 = 1000;

/// A guard as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Guard {
    pub id: String,
    pub mapping_id: String,
    pub campaign_id: String,
    /// `waiting`, `approved`, `discarded`.
    pub state: String,
    pub created_at: i64,
    pub decided_at: Option<i64>,
    /// How many removals it holds.
    pub count: i64,
}

/// A removal that a guard holds.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct GuardedRemoval {
    pub member_id: String,
    /// From where the member would be removed.
    pub side: String,
    pub marketo_id: Option<i64>,
    pub salesforce_id: Option<String>,
    pub email: Option<String>,
}

/// What a person says about a waiting guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The listed members are removed.
    Approve,
    /// They stay where they are, and the two sides are kept apart.
    KeepApart,
    /// They are added again where they were removed.
    Restore,
}

const GUARD: &str = "SELECT g.id, g.mapping_id, m.campaign_id, g.state, g.created_at, g.decided_at,
    (SELECT COUNT(*) FROM guard_members l WHERE l.guard_id = g.id) AS count
    FROM guards g JOIN mappings m ON m.id = g.mapping_id";

/// When the guard trips.
#[derive(Clone, Copy, Debug)]
pub struct GuardLimits {
    /// More than this many, and
    pub members: i64,
    /// more than this share of the mapping, in percent;
    pub percent: i64,
    /// within this many milliseconds. More than half of a mapping of five or more trips as well, and so does a side that reads as
    /// empty, unless the share is 100.
    pub window: i64,
}

impl GuardLimits {
    /// Whether `removals` of `total` members are too many to be carried out unasked.
    #[must_use]
    pub fn trips(&self, removals: i64, total: i64) -> bool {
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
        self.guard_against(mapping_id, campaign_id, removals, limits, true).await
    }

    /// The same when a mapping is taken back: nobody is removed because a side was read without them.
    pub async fn guard_undo(
        &self,
        mapping_id: &str,
        campaign_id: &str,
        removals: &[(String, Side)],
        limits: &GuardLimits,
    ) -> Result<HashSet<String>, StoreError> {
        self.guard_against(mapping_id, campaign_id, removals, limits, false).await
    }

    async fn guard_against(
        &self,
        mapping_id: &str,
        campaign_id: &str,
        removals: &[(String, Side)],
        limits: &GuardLimits,
        empty_sides: bool,
    ) -> Result<HashSet<String>, StoreError> {
        let now = self.now();
        let rows: Vec<_> = removals.iter().map(|(member, side)| (member, side.as_str())).collect();
        let rows = Rows::new("member_id text, side text", &rows)?;
        let mut tx = self.db.begin().await?;
        let sql = "SELECT DISTINCT r.member_id FROM {rows} CROSS JOIN guard_members m CROSS JOIN guards g WHERE m.member_id = r.member_id AND m.side = r.side
                   AND g.id = m.guard_id AND g.mapping_id = $2 AND g.state = 'approved' AND g.decided_at > $3";
        let approved: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![mapping_id, now - APPROVAL]).await?;
        let mut allowed: HashSet<String> = approved.into_iter().map(|row| row.0).collect();
        // What waits for a person does so also when fewer are proposed by now.
        let sql = "SELECT DISTINCT r.member_id FROM {rows} CROSS JOIN guard_members m CROSS JOIN guards g WHERE m.member_id = r.member_id AND m.side = r.side
                   AND g.id = m.guard_id AND g.mapping_id = $2 AND g.state = 'waiting'";
        let waiting: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![mapping_id]).await?;
        let waiting: HashSet<String> = waiting.into_iter().map(|row| row.0).collect();
        // One that is tried again was counted when it was allowed first.
        let sql = "SELECT DISTINCT d.member_id FROM removals d WHERE d.mapping_id = $2 AND d.removed_at > $3
                   AND d.member_id IN (SELECT r.member_id FROM {rows})";
        let counted: Vec<(String,)> = tx.fetch_rows(sql, &rows, args![mapping_id, now - limits.window]).await?;
        let counted: HashSet<String> = counted.into_iter().map(|row| row.0).collect();
        let is_fresh = |member: &String| ![&allowed, &waiting, &counted].iter().any(|known| known.contains(member));
        let fresh: Vec<&(String, Side)> = removals.iter().filter(|(member, _)| is_fresh(member)).collect();
        let done = "SELECT COUNT(*) FROM removals WHERE mapping_id = $1 AND removed_at > $2";
        let done: Vec<(i64,)> = tx.fetch(done, args![mapping_id, now - limits.window]).await?;
        let total = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM member_tallies WHERE campaign_id = $1 AND sync_state <> 'closed'";
        let total: Vec<(i64,)> = tx.fetch(total, args![campaign_id]).await?;
        let (done, total) = (done.first().map_or(0, |r| r.0), total.first().map_or(0, |r| r.0));
        let proposed = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        let held = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        let tripped = limits.trips(done + held + proposed, total + done)
            || (empty_sides && total + done > 1 && empties(&mut tx, campaign_id, &fresh, done).await?);
        if proposed > 0 && tripped {
            let sql = "INSERT INTO guards (id, mapping_id, state, created_at) VALUES ($1, $2, 'waiting', $3)
                       ON CONFLICT (mapping_id) WHERE state = 'waiting' DO UPDATE SET state = 'waiting' RETURNING id";
            let new = self.new_id();
            let guard: Vec<(String,)> = tx.fetch(sql, args![&new, mapping_id, now]).await?;
            let listed: Vec<_> = fresh.iter().map(|(m, side)| (&guard[0].0, m, side.as_str())).collect();
            let sql =
                "INSERT INTO guard_members (guard_id, member_id, side) SELECT guard_id, member_id, side FROM {rows}
                       WHERE true ON CONFLICT DO NOTHING";
            tx.execute_rows(sql, &Rows::new("guard_id text, member_id text, side text", &listed)?, vec![]).await?;
            if guard[0].0 == new {
                let program = "SELECT program_id FROM mappings WHERE id = $1";
                let program: Vec<(i64,)> = tx.fetch(program, args![mapping_id]).await?;
                let (mapping_id, campaign_id) = (mapping_id.to_owned(), campaign_id.to_owned());
                let (program_id, count) = (program.first().map_or(0, |row| row.0), listed.len());
                let notice =
                    Notice::RemovalsWaiting { mapping_id, campaign_id, program_id, guard_id: new.clone(), count };
                tell(self, &mut tx, notice).await?;
            }
        } else {
            let listed: Vec<_> = fresh.iter().map(|(m, _)| (m,)).collect();
            let sql = "INSERT INTO removals (mapping_id, member_id, removed_at) SELECT $2, member_id, $3 FROM {rows}
                       WHERE true ON CONFLICT DO NOTHING";
            tx.execute_rows(sql, &Rows::new("member_id text", &listed)?, args![mapping_id, now]).await?;
            allowed.extend(fresh.into_iter().map(|(member, _)| member.clone()));
        }
        allowed.extend(counted);
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(allowed)
    }

    /// Guards of a mapping in the order they tripped, after the id `after`.
    pub async fn guards(&self, mapping_id: &str, after: &str, limit: i64) -> Result<Vec<Guard>, StoreError> {
        let sql = format!("{GUARD} WHERE g.mapping_id = $1 AND g.id > $2 ORDER BY g.id LIMIT $3");
        self.db.fetch(&sql, args![mapping_id, after, limit]).await
    }

    /// Guards of all mappings that are in this state, in the order they tripped, after the id `after`.
    pub async fn guards_in_state(&self, state: &str, after: &str, limit: i64) -> Result<Vec<Guard>, StoreError> {
        let sql = format!("{GUARD} WHERE g.state = $1 AND g.id > $2 AND m.deleted_at IS NULL ORDER BY g.id LIMIT $3");
        self.db.fetch(&sql, args![state, after, limit]).await
    }

    /// One guard.
    pub async fn guard_by_id(&self, id: &str) -> Result<Option<Guard>, StoreError> {
        self.db.fetch_optional(&format!("{GUARD} WHERE g.id = $1"), args![id]).await
    }

    /// The first thousand removals that a guard holds.
    pub async fn guarded_removals(&self, guard_id: &str) -> Result<Vec<GuardedRemoval>, StoreError> {
        let sql = "SELECT l.member_id, l.side, p.marketo_id, p.salesforce_id, p.email FROM guard_members l
                   JOIN members m ON m.id = l.member_id JOIN people p ON p.id = m.person_id
                   WHERE l.guard_id = $1 ORDER BY l.member_id LIMIT $2";
        self.db.fetch(sql, args![guard_id, SHOWN]).await
    }

    /// Decides a guard that waits, and looks at its members again; false when it does not wait any more.
    pub async fn decide_guard(&self, guard: &Guard, verdict: Verdict, actor: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.db.begin().await?;
        // A worker that has these members in hand has read them as they were. With the fence moved it records nothing, as
        // after a lease that ran out, and the next one may begin when this lease is over.
        tx.execute("UPDATE lanes SET fence = fence + 1 WHERE id = $1", args![&guard.campaign_id]).await?;
        let (state, action) = match verdict {
            Verdict::Approve => ("approved", "guard.approved"),
            Verdict::KeepApart => ("discarded", "guard.discarded"),
            Verdict::Restore => ("discarded", "guard.restored"),
        };
        let sql = "UPDATE guards SET state = $2, decided_at = $3 WHERE id = $1 AND state = 'waiting'";
        if tx.execute(sql, args![&guard.id, state, now]).await? == 0 {
            return Ok(false);
        }
        let listed = "SELECT member_id FROM guard_members WHERE guard_id = $1";
        // Rows 16 and 18 of the merge: the side that was removed is absent in the base, the other as it is recorded.
        let kept = [
            ("marketo", "base_marketo = marketo, base_salesforce = ''", "marketo > ''"),
            ("salesforce", "base_marketo = '', base_salesforce = salesforce", "salesforce > ''"),
        ];
        match verdict {
            Verdict::Approve => {}
            Verdict::KeepApart => {
                for (side, base, present) in kept {
                    let sql = format!(
                        "UPDATE members SET {base}, sync_state = 'diverged', reason = 'kept_apart', updated_at = $2
                         WHERE id IN ({listed} AND side = '{side}') AND {present}"
                    );
                    tx.execute(&sql, args![&guard.id, now]).await?;
                }
            }
            Verdict::Restore => {
                let sql = format!(
                    "UPDATE members SET base_marketo = NULL, base_salesforce = NULL, sync_state = 'pending', reason = 'waiting',
                       updated_at = $2 WHERE id IN ({listed})"
                );
                tx.execute(&sql, args![&guard.id, now]).await?;
            }
        }
        let sql = "INSERT INTO history (member_id, at, kind, detail) SELECT member_id, $2, $3, $4 FROM guard_members WHERE guard_id = $1";
        let detail = write_json("guard", &serde_json::json!({"guard_id": guard.id, "by": actor}))?;
        tx.execute(sql, args![&guard.id, now, action, detail]).await?;
        let sql = "SELECT DISTINCT m.person_id FROM guard_members l JOIN members m ON m.id = l.member_id WHERE l.guard_id = $1";
        let people: Vec<(String,)> = tx.fetch(sql, args![&guard.id]).await?;
        let work: Vec<NewWork> = people
            .into_iter()
            .map(|(person,)| NewWork {
                lane: guard.campaign_id.clone(),
                mapping_id: None,
                kind: Kind::Hint,
                subject: Subject::Person(person),
                source: "policy",
                payload: None,
                due_at: now,
            })
            .collect();
        let undo = "UPDATE runs SET due_at = $2 WHERE mapping_id = $1 AND state = 'running' AND kind = 'undo'";
        tx.execute(undo, args![&guard.mapping_id, now]).await?;
        enqueue(self, &mut tx, &work).await?;
        audit(self, &mut tx, actor, action, &guard.id, "").await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(true)
    }
}

/// Whether a side reads as empty that held several: more likely somebody's wrong filter, or ours. That the only member of a
/// mapping leaves is nothing special.
async fn empties(tx: &mut Tx, campaign_id: &str, fresh: &[&(String, Side)], done: i64) -> Result<bool, StoreError> {
    for side in Side::ALL {
        let gone: Vec<_> =
            fresh.iter().filter(|(_, from)| *from == side.other()).map(|(member, _)| (member,)).collect();
        if gone.is_empty() || i64::try_from(gone.len()).unwrap_or(i64::MAX) + done < 2 {
            continue;
        }
        let sql = format!(
            "SELECT m.id FROM members m WHERE m.campaign_id = $2 AND m.{side} > ''
               AND m.id NOT IN (SELECT r.member_id FROM {{rows}}) LIMIT 1"
        );
        let left: Vec<(String,)> =
            tx.fetch_rows(&sql, &Rows::new("member_id text", &gone)?, args![campaign_id]).await?;
        if left.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
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
