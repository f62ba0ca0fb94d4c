//! Deliveries in the hands of whoever carries them out: leases of subscriptions, what is due, and what came of it.
//!
//! A subscription is leased as a lane is: its `next_due_at` is the end of the lease, so that a claim finds those that are due and
//! those that were abandoned by one index, and costs the same whatever waits elsewhere. A delivery is not marked while it is sent:
//! after a crash it is due as it was, and is sent again. What is recorded under an old fence is dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dialect::{Rows, Tx, args};
use super::fan_out::{tell, who_wants};
use super::subscriptions::{Target, hold_log, lock_enabled, stop, target};
use super::{Store, StoreError, time};
use crate::domain::notice::Notice;
use crate::domain::subscription::{DisabledReason, SubscriptionState};

/// A subscription that is ours until the deadline.
#[derive(Clone, Debug)]
pub struct DeliveryLease {
    pub subscription_id: String,
    pub fence: i64,
    /// When it runs out, on the monotonic clock.
    pub deadline: Duration,
}

/// Where the deliveries of a subscription go at this moment.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub target: Target,
    /// The newest first.
    pub secrets: Vec<String>,
    /// When the failures began that no success has followed.
    pub failing_since: Option<i64>,
    /// The receiver asked to be left alone until then.
    pub not_before: Option<i64>,
}

/// A delivery that is due.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DueDelivery {
    pub id: String,
    pub event_id: String,
    /// Made so far.
    pub attempts: i64,
    /// From when its age is counted.
    pub started_at: i64,
    /// The change that the event came of.
    pub change_id: Option<String>,
    /// None when the event is no longer kept.
    body: Option<String>,
    replayed: bool,
}

impl DueDelivery {
    /// The event as it is sent.
    #[must_use]
    pub fn body(&self) -> Option<String> {
        self.body.clone().map(|body| shown(body, self.replayed))
    }
}

/// A body, marked where it was found long after it happened, and by a reconciliation.
pub(super) fn shown(body: String, replayed: bool) -> String {
    match body.strip_prefix('{') {
        Some(rest) if replayed => format!("{{\"replayed\":true,{rest}"),
        _ => body,
    }
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// To be tried again at this time, epoch milliseconds.
    Retry {
        due_at: i64,
    },
    Failed {
        reason: &'static str,
    },
    /// Nobody could be told, and nobody will be.
    Skipped {
        reason: &'static str,
    },
}

/// One attempt, made or not worth making.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub delivery_id: String,
    /// As it was when this attempt began: a person who asked for another one since has moved it.
    pub started_at: i64,
    /// Of this attempt, counted from 1; none where nothing was sent.
    pub attempt: Option<i64>,
    pub at: i64,
    pub code: Option<u16>,
    pub latency_ms: i64,
    pub error: Option<String>,
    /// The beginning of what was answered.
    pub body: Option<String>,
    pub outcome: Outcome,
}

/// What some attempts say about the receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    /// It took something.
    pub taken: bool,
    /// It refused something, or was not there.
    pub refused: bool,
    /// It asked to be left alone until then.
    pub not_before: Option<i64>,
    /// It is given up.
    pub disable: Option<DisabledReason>,
}

/// Locks a subscription that is still leased under this fence, until the transaction ends.
pub(super) async fn hold(tx: &mut Tx, lease: &DeliveryLease) -> Result<bool, StoreError> {
    let lock = tx.backend().for_update();
    let sql = format!("SELECT id FROM subscriptions WHERE id = $1 AND fence = $2 AND lease_owner IS NOT NULL {lock}");
    Ok(!tx.fetch::<(String,)>(&sql, args![&lease.subscription_id, lease.fence]).await?.is_empty())
}

impl Store {
    /// Leases subscriptions with deliveries that are due, longest due first.
    pub async fn claim_deliveries(
        &self,
        owner: &str,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<DeliveryLease>, StoreError> {
        let deadline = self.clock.monotonic() + lease;
        let now = self.now();
        let until = now.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        // Nothing is due most of the time, and to find that out takes no transaction.
        if self.next_delivery().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin().await?;
        let skip = tx.backend().for_update_skip_locked();
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT id FROM subscriptions WHERE next_due_at <= $1 ORDER BY next_due_at, id LIMIT $2 {skip})
             UPDATE subscriptions SET lease_owner = $3, lease_until = $4, next_due_at = $4, fence = fence + 1
             WHERE id IN (SELECT id FROM due) RETURNING id, fence"
        );
        let leases: Vec<(String, i64)> = tx.fetch(&sql, args![now, limit, owner, until]).await?;
        tx.commit().await?;
        let lease = |(subscription_id, fence)| DeliveryLease { subscription_id, fence, deadline };
        Ok(leases.into_iter().map(lease).collect())
    }

    /// When the next subscription is due.
    pub async fn next_delivery(&self) -> Result<Option<i64>, StoreError> {
        let sql =
            "SELECT next_due_at FROM subscriptions WHERE next_due_at IS NOT NULL ORDER BY next_due_at, id LIMIT 1";
        Ok(self.db.fetch_optional::<(i64,)>(sql, vec![]).await?.map(|row| row.0))
    }

    /// Where deliveries go; none when the subscription was stopped or removed, or the lease was lost.
    pub async fn endpoint(&self, lease: &DeliveryLease) -> Result<Option<Endpoint>, StoreError> {
        let sql = "SELECT url, smart_campaign_id, failing_since, not_before FROM subscriptions
                   WHERE id = $1 AND fence = $2 AND state = 'enabled'";
        let id = &lease.subscription_id;
        let found = self
            .db
            .fetch_optional::<(Option<String>, Option<i64>, Option<i64>, Option<i64>)>(sql, args![id, lease.fence]);
        let Some((url, smart_campaign_id, failing_since, not_before)) = found.await? else { return Ok(None) };
        let target = target(id, url, smart_campaign_id)?;
        let secrets = match target {
            Target::Url(_) => self.active_secrets(id).await?,
            Target::SmartCampaign(_) => Vec::new(),
        };
        Ok(Some(Endpoint { target, secrets, failing_since, not_before }))
    }

    /// Deliveries of a subscription that are due, longest due first.
    pub async fn due_deliveries(&self, subscription_id: &str, limit: i64) -> Result<Vec<DueDelivery>, StoreError> {
        let sql = "SELECT d.id, d.event_id, d.attempts, d.started_at, e.change_id, COALESCE(d.body, e.body) AS body, c.id IS NOT NULL AS replayed
                   FROM deliveries d LEFT JOIN trigger_events e ON e.position = d.position LEFT JOIN catch_ups c ON c.id = e.run_id
                   WHERE d.subscription_id = $1 AND d.state IN ('pending', 'retrying') AND d.due_at <= $2
                   ORDER BY d.due_at, d.id LIMIT $3";
        self.db.fetch(sql, args![subscription_id, self.now(), limit]).await
    }

    /// Stores attempts and what they say about the receiver; false when the lease was lost, and nothing was stored.
    pub async fn record_attempts(
        &self,
        lease: &DeliveryLease,
        attempts: &[Attempted],
        health: &Health,
    ) -> Result<bool, StoreError> {
        let id = &lease.subscription_id;
        let mut tx = self.db.begin().await?;
        let disabled = match health.disable {
            None => None,
            Some(reason) => Some(self.lock_to_disable(&mut tx, id, reason).await?),
        };
        if !hold(&mut tx, lease).await? {
            return Ok(false);
        }
        self.store_attempts(&mut tx, attempts).await?;
        let now = self.now();
        if health.taken {
            let sql = "UPDATE subscriptions SET last_success_at = $2, failing_since = NULL WHERE id = $1";
            tx.execute(sql, args![id, now]).await?;
        } else if health.refused {
            let sql = "UPDATE subscriptions SET failing_since = $2 WHERE id = $1 AND failing_since IS NULL";
            tx.execute(sql, args![id, now]).await?;
        }
        if let Some(not_before) = health.not_before {
            tx.execute("UPDATE subscriptions SET not_before = $2 WHERE id = $1", args![id, not_before]).await?;
        }
        if let (Some((position, notice)), Some(reason)) = (disabled, health.disable) {
            stop(&mut tx, id, SubscriptionState::Disabled, Some(reason.as_str()), Some(position)).await?;
            super::mappings::audit(self, &mut tx, "worker", "subscription.disabled", id, reason.as_str()).await?;
            tell(self, &mut tx, notice).await?;
        }
        tx.commit().await?;
        if health.disable.is_some() {
            self.deliveries.notify_one();
        }
        Ok(true)
    }

    /// Takes the locks for disabling a subscription and telling others of it, in the order in which all take them.
    async fn lock_to_disable(
        &self,
        tx: &mut Tx,
        id: &str,
        reason: DisabledReason,
    ) -> Result<(i64, Notice), StoreError> {
        let position = hold_log(tx).await?;
        let sql = "SELECT failing_since FROM subscriptions WHERE id = $1";
        let since: Vec<(Option<i64>,)> = tx.fetch(sql, args![id]).await?;
        let failing_since = since.first().and_then(|row| row.0).map(time);
        let notice = Notice::SubscriptionDisabled { subscription_id: id.to_owned(), reason, failing_since };
        let mut all: BTreeSet<(String,)> = who_wants(tx, &notice).await?.into_iter().collect();
        all.insert((id.to_owned(),));
        lock_enabled(tx, &all.into_iter().collect::<Vec<_>>()).await?;
        Ok((position, notice))
    }

    async fn store_attempts(&self, tx: &mut Tx, attempts: &[Attempted]) -> Result<(), StoreError> {
        let now = self.now();
        let row = |a: &Attempted| {
            let (state, due_at, reason, completed_at) = match &a.outcome {
                Outcome::Delivered => ("delivered", None, None, Some(now)),
                Outcome::Retry { due_at } => ("retrying", Some(*due_at), None, None),
                Outcome::Failed { reason } => ("failed", None, Some(*reason), Some(now)),
                Outcome::Skipped { reason } => ("skipped", None, Some(*reason), Some(now)),
            };
            (a.delivery_id.clone(), a.started_at, state, due_at, reason, completed_at, a.attempt)
        };
        let rows: Vec<_> = attempts.iter().map(row).collect();
        let columns = "id text, started_at int, state text, due_at int, reason text, completed_at int, attempt int";
        tx.execute_rows(
            "UPDATE deliveries SET state = r.state, due_at = COALESCE(r.due_at, deliveries.due_at), reason = r.reason,
               completed_at = r.completed_at, attempts = COALESCE(r.attempt, deliveries.attempts)
             FROM {rows} WHERE deliveries.id = r.id AND deliveries.started_at = r.started_at
               AND deliveries.state IN ('pending', 'retrying')",
            &Rows::new(columns, &rows)?,
            vec![],
        )
        .await?;
        // One that was asked for anew stays due, but this attempt was made.
        let anew = "UPDATE deliveries SET attempts = r.attempt FROM {rows} WHERE deliveries.id = r.id
                    AND deliveries.started_at <> r.started_at AND deliveries.attempts < r.attempt";
        tx.execute_rows(anew, &Rows::new(columns, &rows)?, vec![]).await?;
        let made = attempts.iter().filter_map(|a| {
            Some((
                &a.delivery_id,
                a.attempt?,
                a.at,
                a.code,
                a.latency_ms,
                &a.error,
                a.body.as_ref().filter(|b| !b.is_empty()),
            ))
        });
        let made: Vec<_> = made.collect();
        if made.is_empty() {
            return Ok(());
        }
        let columns = "delivery_id text, attempt int, at int, code int, latency_ms int, error text, body text";
        // A delivery that is gone, removed with its subscription or swept, has no attempts.
        let sql = "INSERT INTO delivery_attempts (delivery_id, attempt, at, code, latency_ms, error, body)
                   SELECT delivery_id, attempt, at, code, latency_ms, error, body FROM {rows}
                   WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = r.delivery_id) ON CONFLICT DO NOTHING";
        tx.execute_rows(sql, &Rows::new(columns, &made)?, vec![]).await.map(drop)
    }

    /// Moves the end of a lease; none when it was lost. The deadline counts from before the call.
    pub async fn renew_delivery(
        &self,
        lease: &DeliveryLease,
        length: Duration,
    ) -> Result<Option<DeliveryLease>, StoreError> {
        let deadline = self.clock.monotonic() + length;
        let until = self.now().saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE subscriptions SET lease_until = $3, next_due_at = $3 WHERE id = $1 AND fence = $2
                   AND lease_owner IS NOT NULL";
        let held = tx.execute(sql, args![&lease.subscription_id, lease.fence, until]).await? > 0;
        tx.commit().await?;
        Ok(held.then(|| DeliveryLease { deadline, ..lease.clone() }))
    }

    /// Ends a lease: the subscription is due when the first of its deliveries is, though not before the receiver wants it.
    pub async fn release_delivery(&self, lease: &DeliveryLease) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        if hold(&mut tx, lease).await? {
            tx.execute(
                "UPDATE subscriptions SET lease_owner = NULL, lease_until = NULL, next_due_at = CASE WHEN state <> 'enabled' THEN NULL ELSE
                   (SELECT CASE WHEN MIN(due_at) < COALESCE(subscriptions.not_before, 0) THEN subscriptions.not_before ELSE MIN(due_at) END FROM (
                      SELECT MIN(due_at) AS due_at FROM deliveries WHERE subscription_id = subscriptions.id AND state IN ('pending', 'retrying')
                      UNION ALL
                      SELECT MIN(created_at) AS due_at FROM replays WHERE subscription_id = subscriptions.id) AS due) END
                 WHERE id = $1",
                args![&lease.subscription_id],
            )
            .await?;
        }
        tx.commit().await
    }

    /// Removes at most `most` deliveries that were done with before `done`, and answers of attempts before `answered`; whether
    /// there may be more.
    pub async fn prune_deliveries(&self, done: i64, answered: i64, most: i64) -> Result<bool, StoreError> {
        let old = "SELECT id FROM deliveries WHERE completed_at <= $1 ORDER BY completed_at LIMIT $2";
        let mut tx = self.db.begin_patiently().await?;
        let old: Vec<(String,)> = tx.fetch(old, args![done, most]).await?;
        let rows = Rows::new("id text", &old)?;
        if !old.is_empty() {
            let sql = "DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT r.id FROM {rows})";
            tx.execute_rows(sql, &rows, vec![]).await?;
            let sql = "DELETE FROM deliveries WHERE id IN (SELECT r.id FROM {rows})";
            tx.execute_rows(sql, &rows, vec![]).await?;
        }
        let sql = "UPDATE delivery_attempts SET body = NULL WHERE (delivery_id, attempt) IN
                     (SELECT delivery_id, attempt FROM delivery_attempts WHERE body IS NOT NULL AND at <= $1 ORDER BY at LIMIT $2)";
        let cleared = tx.execute(sql, args![answered, most]).await?;
        tx.commit().await?;
        let most = u64::try_from(most).unwrap_or(0);
        Ok(cleared >= most || old.len() as u64 >= most)
    }
}
