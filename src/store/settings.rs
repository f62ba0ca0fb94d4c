//! The switch for campaign sync as a whole, and the audit log.
//!
//! While the switch is off no lane is leased (`lanes` looks at the same row), so nothing is read or written at the vendors;
//! what arrives is still stored.

use super::dialect::{Tx, args};
use super::mappings::audit;
use super::{Store, StoreError};

/// True while nobody may work: the row is there only after the switch was used.
pub(super) const SYNC_IS_OFF: &str = "EXISTS (SELECT 1 FROM settings WHERE name = 'campaign_sync' AND value = 'off')";

/// Who did what.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AuditEntry {
    pub id: i64,
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub detail: String,
}

impl Store {
    /// Whether changes are applied at all.
    pub async fn sync_enabled(&self) -> Result<bool, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = 'campaign_sync'";
        Ok(self.db.fetch_optional::<(String,)>(sql, vec![]).await?.is_none_or(|(value,)| value != "off"))
    }

    /// Switches campaign sync on or off.
    pub async fn enable_sync(&self, enabled: bool, actor: &str) -> Result<(), StoreError> {
        let value = if enabled { "on" } else { "off" };
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO settings (name, value) VALUES ('campaign_sync', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            args![value],
        )
        .await?;
        audit(self, &mut tx, actor, "campaign_sync.switched", "campaign-sync", value).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(())
    }

    /// The secret of this name: the one that is kept, else `fresh`, which is kept from now on. All processes get the same.
    pub async fn keep_secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let keep = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        let mut tx = self.db.begin().await?;
        tx.execute(keep, args![name, fresh]).await?;
        let kept: Vec<(String,)> = tx.fetch("SELECT value FROM settings WHERE name = $1", args![name]).await?;
        tx.commit().await?;
        Ok(kept.into_iter().next().map_or_else(|| fresh.to_owned(), |(value,)| value))
    }

    /// The same store for what somebody does by hand: it is noted with their name.
    #[must_use]
    pub fn on_behalf_of(&self, actor: &str) -> Self {
        Self { actor: Some(actor.into()), ..self.clone() }
    }

    /// Notes what is done, where somebody does it, in the transaction in which it is done.
    pub(super) async fn note_by_hand(
        &self,
        tx: &mut Tx,
        action: &str,
        target: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        match &self.actor {
            Some(actor) => audit(self, tx, actor, action, target, detail).await,
            None => Ok(()),
        }
    }

    /// The audit log, newest first, before the entry `before`.
    pub async fn audit_log(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT id, at, actor, action, target, detail FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
        self.db.fetch(sql, args![before.unwrap_or(i64::MAX), limit]).await
    }
}
