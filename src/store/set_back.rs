//! A clock that was set back: what was to happen by the old one happens by the new one.
//!
//! Owns the highest time that any process has seen, in `settings`, and what is moved once the time is far below it: whatever is due, and
//! leases of processes that ended. Until then it would all stand still for as long as the clock was wrong. Earlier than it should be is
//! harmless: a look too many. Must not know what is due.

use super::dialect::{Tx, args};
use super::mappings::audit;
use super::{Store, StoreError};

/// Clocks of several processes may differ by this.
const SKEW: i64 = 30_000;
/// How often the highest time is written down.
const NOTED: i64 = 60_000;
/// No lease is longer.
const LEASE: i64 = 300_000;

/// What is due, with what makes it open; `$1` is now, `$2` by how much it is moved.
const DUE: [(&str, &str, &str); 8] = [
    ("outbox", "due_at", "state IN ('available', 'retryable', 'running')"),
    ("outbox", "announced_at", "state IN ('available', 'retryable', 'running')"),
    ("runs", "due_at", "state = 'running'"),
    ("later_looks", "due_at", "true"),
    ("plans", "due_at", "state = 'computing'"),
    ("polls", "due_at", "true"),
    ("deliveries", "due_at", "state IN ('pending', 'retrying')"),
    ("subscriptions", "not_before", "true"),
];

impl Store {
    /// Looks whether the clock was set back, and moves what was due by the old one; by how many milliseconds, for the one replica that
    /// did so. All mappings are compared then: what was looked for by the old clock may have been passed over.
    pub async fn mind_the_clock(&self) -> Result<Option<i64>, StoreError> {
        let now = self.now();
        let sql = "SELECT value FROM settings WHERE name = 'clock'";
        let Some((noted,)) = self.db.fetch_optional::<(String,)>(sql, vec![]).await? else {
            let sql = "INSERT INTO settings (name, value) VALUES ('clock', $1) ON CONFLICT (name) DO NOTHING";
            self.db.execute_lazily(sql, args![now.to_string()]).await?;
            return Ok(None);
        };
        let seen: i64 = noted.parse().map_err(|e| StoreError::Corrupt(format!("settings.clock: {e}")))?;
        let sql = "UPDATE settings SET value = $1 WHERE name = 'clock' AND value = $2";
        if now > seen - SKEW {
            if now > seen + NOTED {
                self.db.execute_lazily(sql, args![now.to_string(), noted]).await?;
            }
            return Ok(None);
        }
        let mut tx = self.db.begin_patiently().await?;
        if tx.execute(sql, args![now.to_string(), noted]).await? == 0 {
            return Ok(None);
        }
        // It may have been later than what was noted.
        move_due(&mut tx, now, seen - now + NOTED).await?;
        audit(self, &mut tx, "worker", "clock.set_back", "clock", &format!("{} s", (seen - now) / 1000)).await?;
        tx.commit().await?;
        for waiting in [&self.work, &self.events, &self.deliveries, &self.plans] {
            waiting.notify_waiters();
        }
        self.work.notify_one();
        self.deliveries.notify_one();
        Ok(Some(seen - now))
    }
}

async fn move_due(tx: &mut Tx, now: i64, by: i64) -> Result<(), StoreError> {
    // Locked as everybody locks: lanes by id, subscriptions last.
    let lock = tx.backend().for_update();
    tx.fetch::<(String,)>(&format!("SELECT id FROM lanes ORDER BY id {lock}"), vec![]).await?;
    for (table, column, open) in DUE {
        let sql = format!(
            "UPDATE {table} SET {column} = CASE WHEN {column} - $2 > $1 THEN {column} - $2 ELSE $1 END
             WHERE {column} > $1 AND {open}"
        );
        tx.execute(&sql, args![now, by]).await?;
    }
    // Whoever has one that ends later has taken it by the old clock; nobody's is made shorter than it is.
    for table in ["lanes", "polls", "plans", "subscriptions"] {
        let sql = format!("UPDATE {table} SET lease_until = $1 WHERE lease_until > $1");
        tx.execute(&sql, args![now + LEASE]).await?;
    }
    // What was made since then was made by the new clock.
    for table in ["intents", "campaign_intents"] {
        let sql = format!(
            "UPDATE {table} SET started_at = started_at - $2, until = CASE WHEN until > $3 THEN $3 ELSE until END WHERE started_at > $1"
        );
        tx.execute(&sql, args![now, by, now + LEASE]).await?;
    }
    for table in ["lanes", "subscriptions"] {
        let sql = format!(
            "UPDATE {table} SET next_due_at = CASE WHEN lease_owner IS NOT NULL THEN lease_until
               WHEN next_due_at - $2 > $1 THEN next_due_at - $2 ELSE $1 END WHERE next_due_at > $1"
        );
        tx.execute(&sql, args![now, by]).await?;
    }
    tx.execute("UPDATE mappings SET compare_at = 1 WHERE deleted_at IS NULL", vec![]).await.map(drop)
}
