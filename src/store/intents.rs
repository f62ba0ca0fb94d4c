//! Intents: who is creating a person on a side at this moment, so that nobody else does.
//!
//! Committed before the call and ended when it is known how that went; whoever takes one over does not know, and has to look. Must
//! not create anybody.

use std::collections::HashSet;
use std::time::Duration;

use super::dialect::{Rows, args};
use super::{Store, StoreError};
use crate::domain::merge::Side;

/// A person who is being created on one side; held until that has ended one way or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What a second record would share with the first: the address, else the id on the other side.
    pub key: String,
    /// Since when somebody has been trying: a record of ours that is younger may be the one.
    pub started_at: i64,
    /// An earlier attempt has ended nobody knows how: look before creating.
    pub taken_over: bool,
}

impl Store {
    /// Announces that people are about to be created on a side. Those whose intent another worker holds are left out: they
    /// have to wait until it is given up or runs out.
    pub async fn intend(
        &self,
        owner: &str,
        side: Side,
        keys: &[String],
        lease: Duration,
    ) -> Result<Vec<Intent>, StoreError> {
        let now = self.now();
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let mut keys: Vec<_> = keys.iter().map(|key| (key,)).collect();
        keys.sort();
        keys.dedup();
        let mut tx = self.db.begin().await?;
        let held: Vec<(String, i64, i64)> = tx
            .fetch_rows(
                "INSERT INTO intents (key, side, owner, until, started_at) SELECT key, $2, $3, $4, $5 FROM {rows} WHERE true
                 ON CONFLICT (key, side) DO UPDATE SET owner = excluded.owner, until = excluded.until, attempts = intents.attempts + 1
                   WHERE intents.until <= $5 OR intents.owner = excluded.owner
                 RETURNING key, started_at, attempts",
                &Rows::new("key text", &keys)?,
                args![side.as_str(), owner, until, now],
            )
            .await?;
        tx.commit().await?;
        let intent = |(key, started_at, attempts)| Intent { key, started_at, taken_over: attempts > 1 };
        Ok(held.into_iter().map(intent).collect())
    }

    /// Ends intents: it is known what became of them.
    pub async fn conclude(&self, owner: &str, side: Side, keys: &[String]) -> Result<(), StoreError> {
        let keys: Vec<_> = keys.iter().map(|key| (key,)).collect();
        let rows = Rows::new("key text", &keys)?;
        let ours = "side = $2 AND owner = $3 AND key IN (SELECT r.key FROM {rows})";
        let mut tx = self.db.begin().await?;
        // In the order in which others announce theirs.
        let lock = tx.backend().for_update();
        let sql = format!("SELECT key FROM intents WHERE {ours} ORDER BY key {lock}");
        tx.fetch_rows::<(String,)>(&sql, &rows, args![side.as_str(), owner]).await?;
        tx.execute_rows(&format!("DELETE FROM intents WHERE {ours}"), &rows, args![side.as_str(), owner]).await?;
        tx.commit().await
    }

    /// Which of these people exist and have no id on a side yet: to be asked under their intents, since somebody else may have
    /// created them after they were looked for, and ended that before the intent was taken.
    pub async fn unknown_to(&self, side: Side, people: &[String]) -> Result<HashSet<String>, StoreError> {
        let rows: Vec<_> = people.iter().map(|id| (id,)).collect();
        let column = match side {
            Side::Marketo => "marketo_id",
            Side::Salesforce => "salesforce_id",
        };
        let sql = format!("SELECT p.id FROM {{rows}} JOIN people p ON p.id = r.id AND p.{column} IS NULL");
        let found: Vec<(String,)> = self.db.fetch_rows(&sql, &Rows::new("id text", &rows)?, vec![]).await?;
        Ok(found.into_iter().map(|row| row.0).collect())
    }
}
