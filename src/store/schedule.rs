//! When mappings are compared by themselves.
//!
//! Owns the schedule: each active mapping once an interval, a few at a time, so that thousands that are due together (after a stop of the
//! service, or when a poll has lost its place) do not take the calls of everybody else. Must not know what a comparison does.

use std::time::Duration;

use super::dialect::{Tx, args};
use super::lanes::lock_lanes;
use super::runs::start_run;
use super::settings::SYNC_IS_OFF;
use super::{Store, StoreError};

/// Comparisons that go on at once, of all replicas; one that cannot reach its vendor, or whose mapping is paused, does not count, or
/// nobody else would have a turn.
const AT_ONCE: i64 = 4;
/// Mappings looked at in one sweep.
const SWEEP: i64 = 100;
/// Not scheduled yet.
const NEVER: i64 = 0;
/// At once, and also where one goes on: it has passed what may have changed unseen.
const LOST: i64 = 1;

impl Store {
    /// Starts the comparisons that are due, as far as there is room, and sets when their mappings are due next.
    pub async fn sweep_comparisons(&self, interval: Duration) -> Result<(), StoreError> {
        let now = self.now();
        let sql = format!(
            "SELECT id, campaign_id, compare_at FROM mappings WHERE compare_at <= $1 AND state = 'active' AND deleted_at IS NULL
             AND NOT {SYNC_IS_OFF} ORDER BY compare_at, id LIMIT $2"
        );
        let due: Vec<(String, String, i64)> = self.db.fetch(&sql, args![now, SWEEP]).await?;
        if due.is_empty() {
            return Ok(());
        }
        let sql = "SELECT COUNT(*) FROM runs r JOIN lanes l ON l.id = r.lane WHERE r.state = 'running' AND r.attempts = 0 AND NOT l.halted";
        let mut room = AT_ONCE - self.db.fetch::<(i64,)>(sql, vec![]).await?.first().map_or(0, |row| row.0);
        for (mapping, lane, compare_at) in due {
            let next = now + spread(&mapping, interval);
            if compare_at != NEVER && room <= 0 {
                continue;
            }
            let mut tx = self.db.begin().await?;
            // Lanes before mappings, as whoever changes one.
            lock_lanes(&mut tx, [lane.as_str()]).await?;
            let sql = "UPDATE mappings SET compare_at = $3 WHERE id = $1 AND compare_at = $2 AND state = 'active' AND deleted_at IS NULL";
            let ours = tx.execute(sql, args![&mapping, compare_at, next]).await? > 0;
            if ours && compare_at != NEVER && (compare_at == LOST || !goes_on(&mut tx, &mapping).await?) {
                start_run(self, &mut tx, &mapping, &lane, "reconciliation").await?;
                room -= 1;
            }
            tx.commit().await?;
            self.work.notify_one();
        }
        Ok(())
    }
}

/// Whether everybody of a mapping is being looked at already.
async fn goes_on(tx: &mut Tx, mapping: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM runs WHERE mapping_id = $1 AND state = 'running' LIMIT 1";
    Ok(!tx.fetch::<(String,)>(sql, args![mapping]).await?.is_empty())
}

/// Up to a tenth earlier than the interval says, by the mapping: those that were made together are not compared together, and none
/// later than it should.
fn spread(mapping: &str, interval: Duration) -> i64 {
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2);
    let digits = mapping.bytes().rev().filter_map(|byte| char::from(byte).to_digit(16)).take(2);
    let part = digits.fold(0, |sum, digit| sum * 16 + i64::from(digit));
    interval - interval / 10 * part / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_compared_later_than_the_interval_and_not_all_at_once() {
        let hour = Duration::from_secs(3600);
        let at: Vec<i64> = ["0193-00", "0193-80", "0193-ff"].map(|id| spread(id, hour)).to_vec();
        assert!(at.iter().all(|at| (3_240_000..=3_600_000).contains(at)), "{at:?}");
        assert!(at[0] != at[1] && at[1] != at[2]);
        assert_eq!(spread("", Duration::ZERO), 0);
    }
}
