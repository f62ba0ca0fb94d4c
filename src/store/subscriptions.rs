//! Subscriptions and what they are signed with.
//!
//! Owns their state, and from which position on each event has a delivery: creating, stopping and starting one waits for the
//! row of the event log, so that no event falls between. Must not know how anybody is told.

use super::dialect::{Rows, Tx, args};
use super::mappings::audit;
use super::{Store, StoreError, read_json, write_json};
use crate::domain::subscription::{SubscriptionState, Wanted};

/// Secrets of one subscription that are good at the same time; each makes the signature of a delivery longer.
const MOST_SECRETS: i64 = 5;

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They are posted there.
    Url(String),
    /// This smart campaign in Marketo is requested for whom they are about.
    SmartCampaign(i64),
}

/// A subscription as it is shown; without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub target: Target,
    pub description: String,
    pub wanted: Wanted,
    pub state: SubscriptionState,
    /// Why this service has disabled it.
    pub reason: Option<String>,
    /// Of each wanted event after this position there is a delivery, while it is enabled.
    pub since_position: i64,
    /// Where that ended when it was last stopped.
    pub stopped_position: Option<i64>,
    pub failing_since: Option<i64>,
    pub last_success_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A subscription to be made.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    pub target: Target,
    pub description: String,
    pub wanted: Wanted,
    pub enabled: bool,
    /// None where nothing is signed.
    pub secret: Option<String>,
}

/// What is to be different; none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionChange {
    pub target: Option<Target>,
    pub description: Option<String>,
    pub wanted: Option<Wanted>,
    pub enabled: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct SubscriptionRow {
    id: String,
    url: Option<String>,
    smart_campaign_id: Option<i64>,
    description: String,
    wanted: String,
    state: String,
    reason: Option<String>,
    since_position: i64,
    stopped_position: Option<i64>,
    failing_since: Option<i64>,
    last_success_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

const SUBSCRIPTION: &str =
    "SELECT id, url, smart_campaign_id, description, wanted, state, reason, since_position, stopped_position,
    failing_since, last_success_at, created_at, updated_at FROM subscriptions";

/// Where a row says that events go.
pub(super) fn target(id: &str, url: Option<String>, smart_campaign_id: Option<i64>) -> Result<Target, StoreError> {
    let target = url.map(Target::Url).or(smart_campaign_id.map(Target::SmartCampaign));
    target.ok_or_else(|| StoreError::Corrupt(format!("subscriptions.url of {id}")))
}

impl TryFrom<SubscriptionRow> for Subscription {
    type Error = StoreError;

    fn try_from(row: SubscriptionRow) -> Result<Self, StoreError> {
        Ok(Self {
            target: target(&row.id, row.url, row.smart_campaign_id)?,
            wanted: read_json("subscriptions.wanted", &row.wanted)?,
            state: row.state.parse().map_err(|_| StoreError::Corrupt(format!("subscriptions.state of {}", row.id)))?,
            id: row.id,
            description: row.description,
            reason: row.reason,
            since_position: row.since_position,
            stopped_position: row.stopped_position,
            failing_since: row.failing_since,
            last_success_at: row.last_success_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn columns(target: &Target) -> (Option<String>, Option<i64>) {
    match target {
        Target::Url(url) => (Some(url.clone()), None),
        Target::SmartCampaign(id) => (None, Some(*id)),
    }
}

/// Position of the newest event, held until the transaction ends: no event is stored meanwhile. Taken before any subscription.
pub(super) async fn hold_log(tx: &mut Tx) -> Result<i64, StoreError> {
    let lock = tx.backend().for_update();
    let rows: Vec<(i64,)> =
        tx.fetch(&format!("SELECT last_position FROM event_log WHERE id = 1 {lock}"), vec![]).await?;
    Ok(rows.first().map_or(0, |row| row.0))
}

/// Locks subscriptions until the transaction ends, in the order of their ids; those that are enabled.
pub(super) async fn lock_enabled(tx: &mut Tx, ids: &[(String,)]) -> Result<Vec<String>, StoreError> {
    let lock = tx.backend().for_update();
    let sql = format!("SELECT id, state FROM subscriptions WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}");
    let found: Vec<(String, String)> = tx.fetch_rows(&sql, &Rows::new("id text", ids)?, vec![]).await?;
    let enabled = SubscriptionState::Enabled.as_str();
    Ok(found.into_iter().filter(|(_, state)| state == enabled).map(|(id, _)| id).collect())
}

/// Makes subscriptions due that nobody works on; whoever does looks for itself when it is done.
pub(super) async fn wake(tx: &mut Tx, ids: &[(String,)], now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE subscriptions SET next_due_at = CASE WHEN not_before > $2 THEN not_before ELSE $2 END
               FROM {rows} WHERE subscriptions.id = r.id AND subscriptions.lease_owner IS NULL
               AND subscriptions.state = 'enabled' AND (subscriptions.next_due_at IS NULL OR subscriptions.next_due_at > $2)";
    tx.execute_rows(sql, &Rows::new("id text", ids)?, args![now]).await.map(drop)
}

impl Store {
    /// Makes a subscription; it is told of events from now on.
    pub async fn create_subscription(&self, new: &NewSubscription, actor: &str) -> Result<Subscription, StoreError> {
        let (id, now) = (self.new_id(), self.now());
        let (url, smart_campaign_id) = columns(&new.target);
        let state = if new.enabled { SubscriptionState::Enabled } else { SubscriptionState::Paused };
        let mut tx = self.db.begin().await?;
        let position = hold_log(&mut tx).await?;
        tx.execute(
            "INSERT INTO subscriptions (id, url, smart_campaign_id, description, wanted, state, since_position, stopped_position,
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
            args![
                &id,
                url,
                smart_campaign_id,
                &new.description,
                write_json("subscriptions.wanted", &new.wanted)?,
                state.as_str(),
                position,
                (!new.enabled).then_some(position),
                now
            ],
        )
        .await?;
        if let Some(secret) = &new.secret {
            self.add_secret(&mut tx, &id, secret).await?;
        }
        audit(self, &mut tx, actor, "subscription.created", &id, &new.description).await?;
        tx.commit().await?;
        self.subscription(&id).await?.ok_or_else(|| StoreError::Conflict("it was removed at this moment".to_owned()))
    }

    async fn add_secret(&self, tx: &mut Tx, id: &str, secret: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO subscription_secrets (id, subscription_id, secret, created_at) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, args![self.new_id(), id, secret, self.now()]).await.map(drop)
    }

    /// One subscription.
    pub async fn subscription(&self, id: &str) -> Result<Option<Subscription>, StoreError> {
        let sql = format!("{SUBSCRIPTION} WHERE id = $1");
        self.db.fetch_optional::<SubscriptionRow>(&sql, args![id]).await?.map(Subscription::try_from).transpose()
    }

    /// Subscriptions in the order they were made, after the id `after`.
    pub async fn subscriptions(&self, after: &str, limit: i64) -> Result<Vec<Subscription>, StoreError> {
        let sql = format!("{SUBSCRIPTION} WHERE id > $1 ORDER BY id LIMIT $2");
        let rows: Vec<SubscriptionRow> = self.db.fetch(&sql, args![after, limit]).await?;
        rows.into_iter().map(Subscription::try_from).collect()
    }

    /// Changes a subscription; false when it is not there.
    ///
    /// What waits for one that is enabled again is tried at once, and has its whole time before it. Events of the time in which
    /// it was stopped are not among that: they are in the log, and replayed on request.
    pub async fn change_subscription(
        &self,
        id: &str,
        change: &SubscriptionChange,
        actor: &str,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.db.begin().await?;
        let position = hold_log(&mut tx).await?;
        let lock = tx.backend().for_update();
        let found: Vec<(String,)> =
            tx.fetch(&format!("SELECT state FROM subscriptions WHERE id = $1 {lock}"), args![id]).await?;
        let Some((state,)) = found.into_iter().next() else { return Ok(false) };
        if let Some(target) = &change.target {
            let (url, smart_campaign_id) = columns(target);
            // What is known of the old receiver says nothing about the new one.
            let sql = "UPDATE subscriptions SET url = $2, smart_campaign_id = $3, failing_since = NULL, not_before = NULL WHERE id = $1";
            tx.execute(sql, args![id, url, smart_campaign_id]).await?;
        }
        if let Some(description) = &change.description {
            tx.execute("UPDATE subscriptions SET description = $2 WHERE id = $1", args![id, description]).await?;
        }
        if let Some(wanted) = &change.wanted {
            let wanted = write_json("subscriptions.wanted", wanted)?;
            tx.execute("UPDATE subscriptions SET wanted = $2 WHERE id = $1", args![id, wanted]).await?;
        }
        let was_enabled = state == SubscriptionState::Enabled.as_str();
        match change.enabled {
            Some(true) if !was_enabled => {
                let sql = "UPDATE subscriptions SET state = 'enabled', reason = NULL, since_position = $2, failing_since = NULL,
                             not_before = NULL, next_due_at = CASE WHEN lease_owner IS NULL THEN $3 ELSE next_due_at END
                           WHERE id = $1";
                tx.execute(sql, args![id, position, now]).await?;
                let sql = "UPDATE deliveries SET due_at = $2, started_at = $2 WHERE subscription_id = $1
                           AND state IN ('pending', 'retrying')";
                tx.execute(sql, args![id, now]).await?;
            }
            Some(false) if state != SubscriptionState::Paused.as_str() => {
                stop(&mut tx, id, SubscriptionState::Paused, None, was_enabled.then_some(position)).await?;
            }
            _ => {}
        }
        tx.execute("UPDATE subscriptions SET updated_at = $2 WHERE id = $1", args![id, now]).await?;
        audit(self, &mut tx, actor, "subscription.changed", id, &detail(change)).await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(true)
    }

    /// Removes a subscription with everything that waits for it; false when it is not there.
    pub async fn delete_subscription(&self, id: &str, actor: &str) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let lock = tx.backend().for_update();
        let found: Vec<(String,)> =
            tx.fetch(&format!("SELECT id FROM subscriptions WHERE id = $1 {lock}"), args![id]).await?;
        if found.is_empty() {
            return Ok(false);
        }
        let of_deliveries =
            "DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE subscription_id = $1)";
        tx.execute(of_deliveries, args![id]).await?;
        for table in ["deliveries", "replays", "subscription_secrets"] {
            tx.execute(&format!("DELETE FROM {table} WHERE subscription_id = $1"), args![id]).await?;
        }
        tx.execute("DELETE FROM subscriptions WHERE id = $1", args![id]).await?;
        audit(self, &mut tx, actor, "subscription.removed", id, "").await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Adds a secret; those there are stay good for `overlap` milliseconds, and the oldest beyond five go.
    pub async fn rotate_secret(
        &self,
        id: &str,
        secret: &str,
        overlap: i64,
        actor: &str,
    ) -> Result<Option<i64>, StoreError> {
        let now = self.now();
        let expires_at = now.saturating_add(overlap);
        let mut tx = self.db.begin().await?;
        let lock = tx.backend().for_update();
        let sql = format!("SELECT id FROM subscriptions WHERE id = $1 AND url IS NOT NULL {lock}");
        if tx.fetch::<(String,)>(&sql, args![id]).await?.is_empty() {
            return Ok(None);
        }
        let sql = "UPDATE subscription_secrets SET expires_at = $2 WHERE subscription_id = $1
                   AND (expires_at IS NULL OR expires_at > $2)";
        tx.execute(sql, args![id, expires_at]).await?;
        self.add_secret(&mut tx, id, secret).await?;
        let sql = "DELETE FROM subscription_secrets WHERE subscription_id = $1 AND (expires_at <= $2 OR id NOT IN
                     (SELECT id FROM subscription_secrets WHERE subscription_id = $1 ORDER BY id DESC LIMIT $3))";
        tx.execute(sql, args![id, now, MOST_SECRETS]).await?;
        audit(self, &mut tx, actor, "subscription.secret_rotated", id, "").await?;
        tx.commit().await?;
        Ok(Some(expires_at))
    }

    /// The secrets that are good now, the newest first.
    pub async fn active_secrets(&self, id: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT secret FROM subscription_secrets WHERE subscription_id = $1
                   AND (expires_at IS NULL OR expires_at > $2) ORDER BY id DESC";
        let rows: Vec<(String,)> = self.db.fetch(sql, args![id, self.now()]).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }
}

/// Ends the deliveries of a subscription for now; what waits goes on waiting.
pub(super) async fn stop(
    tx: &mut Tx,
    id: &str,
    state: SubscriptionState,
    reason: Option<&str>,
    position: Option<i64>,
) -> Result<(), StoreError> {
    let sql = "UPDATE subscriptions SET state = $2, reason = $3, stopped_position = COALESCE($4, stopped_position),
                 next_due_at = CASE WHEN lease_owner IS NULL THEN NULL ELSE next_due_at END WHERE id = $1";
    tx.execute(sql, args![id, state.as_str(), reason.map(str::to_owned), position]).await.map(drop)
}

fn detail(change: &SubscriptionChange) -> String {
    let parts = [
        (change.target.is_some(), "target"),
        (change.description.is_some(), "description"),
        (change.wanted.is_some(), "events"),
        (change.enabled == Some(true), "enabled"),
        (change.enabled == Some(false), "paused"),
    ];
    parts.into_iter().filter(|(changed, _)| *changed).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}
