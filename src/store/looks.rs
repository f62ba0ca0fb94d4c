//! Members to be looked at later, whatever is heard of them until then.
//!
//! Owns the looks that are due after an announcement: Marketo tells of a deletion before it happens, and of some that never do.
//! A member has two at the most, so that announcements that are repeated cost nothing. Must not know what a look finds.

use super::dialect::{Rows, args};
use super::lanes::lock_lanes;
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::{Store, StoreError};

/// When it is looked again after an announcement, in milliseconds: soon after it is usually done, and once more.
pub const AFTER: [i64; 2] = [60_000, 600_000];
/// Looks that become work in one transaction.
const AT_ONCE: i64 = 500;

impl Store {
    /// Has members, by lane and person, looked at again a minute from now, and ten minutes from now.
    pub async fn look_later(&self, members: &[(String, String)]) -> Result<(), StoreError> {
        let now = self.now();
        let rows: Vec<_> = members
            .iter()
            .flat_map(|(lane, person)| (1_i64..).zip(AFTER).map(move |(nth, after)| (lane, person, nth, now + after)))
            .collect();
        let mut tx = self.db.begin().await?;
        lock_lanes(&mut tx, members.iter().map(|(lane, _)| lane.as_str())).await?;
        let sql =
            "INSERT INTO later_looks (lane, person_id, nth, due_at) SELECT lane, person_id, nth, due_at FROM {rows}
                   WHERE true ON CONFLICT (lane, person_id, nth) DO UPDATE SET due_at = excluded.due_at";
        tx.execute_rows(sql, &Rows::new("lane text, person_id text, nth int, due_at int", &rows)?, vec![]).await?;
        tx.commit().await
    }

    /// Makes work of the looks that are due, where the campaign is still tracked; how many there were.
    pub async fn due_looks(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let due = "SELECT d.lane, d.person_id, d.nth, (l.pinned OR EXISTS (SELECT 1 FROM mappings m WHERE m.campaign_id = l.id
                     AND m.deleted_at IS NULL)) FROM later_looks d JOIN lanes l ON l.id = d.lane
                   WHERE d.due_at <= $1 ORDER BY d.due_at, d.lane, d.person_id, d.nth LIMIT $2";
        let due: Vec<(String, String, i64, bool)> = self.db.fetch(due, args![now, AT_ONCE]).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let work: Vec<_> = due
            .iter()
            .filter(|(.., tracked)| *tracked)
            .map(|(lane, person, ..)| NewWork {
                lane: lane.clone(),
                // Nobody sent it, so the ledger does not count it as received.
                mapping_id: None,
                kind: Kind::Hint,
                subject: Subject::Person(person.clone()),
                source: "policy",
                payload: None,
                due_at: now,
            })
            .collect();
        let done: Vec<_> = due.iter().map(|(lane, person, nth, _)| (lane, person, nth)).collect();
        let mut tx = self.db.begin().await?;
        enqueue(self, &mut tx, &work).await?;
        // One that was moved meanwhile stays.
        let sql = "DELETE FROM later_looks WHERE due_at <= $2 AND EXISTS (SELECT 1 FROM {rows} WHERE r.lane = later_looks.lane
                   AND r.person_id = later_looks.person_id AND r.nth = later_looks.nth)";
        tx.execute_rows(sql, &Rows::new("lane text, person_id text, nth int", &done)?, args![now]).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(due.len())
    }
}
