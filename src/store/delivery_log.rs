//! Deliveries as people look at them: listed with their attempts, tried again, and tests.
//!
//! Must not carry anything out: what is to be sent is made due, and whoever delivers finds it.

use super::dialect::{Arg, Rows, Tx, args};
use super::fan_out::{NewDelivery, add_deliveries};
use super::subscriptions::wake;
use super::{Store, StoreError};

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Delivery {
    pub id: String,
    pub subscription_id: String,
    pub event_id: String,
    #[sqlx(rename = "type")]
    pub kind: String,
    /// Of a trigger event in its log.
    pub position: Option<i64>,
    /// `pending`, `retrying`, `delivered`, `failed`, `skipped`.
    pub state: String,
    pub reason: Option<String>,
    pub attempts: i64,
    pub due_at: i64,
    pub created_at: i64,
    pub completed_at: Option<i64>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    pub delivery_id: String,
    pub attempt: i64,
    pub at: i64,
    /// HTTP status; none where nothing was answered.
    pub code: Option<i64>,
    pub latency_ms: i64,
    pub error: Option<String>,
    /// The beginning of what was answered.
    pub body: Option<String>,
}

const DELIVERY: &str =
    "SELECT id, subscription_id, event_id, type, position, state, reason, attempts, due_at, created_at, completed_at
    FROM deliveries";

impl Store {
    /// Deliveries of a subscription, newest first, before the id `before`.
    pub async fn deliveries_of(
        &self,
        subscription_id: &str,
        state: Option<&str>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut arguments = args![subscription_id, before.unwrap_or("g"), limit];
        let of_state = match state {
            // Written out, so that the index of those that failed is found.
            Some("failed") => "AND state = 'failed'",
            Some(state) => {
                arguments.push(Arg::from(state));
                "AND state = $4"
            }
            None => "",
        };
        let sql = format!("{DELIVERY} WHERE subscription_id = $1 AND id < $2 {of_state} ORDER BY id DESC LIMIT $3");
        self.db.fetch(&sql, arguments).await
    }

    /// One delivery.
    pub async fn delivery(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        self.db.fetch_optional(&format!("{DELIVERY} WHERE id = $1"), args![id]).await
    }

    /// The attempts at deliveries, in order.
    pub async fn attempts_of(&self, deliveries: &[String]) -> Result<Vec<Attempt>, StoreError> {
        let rows: Vec<_> = deliveries.iter().map(|id| (id,)).collect();
        let sql = "SELECT a.delivery_id, a.attempt, a.at, a.code, a.latency_ms, a.error, a.body FROM {rows}
                   JOIN delivery_attempts a ON a.delivery_id = r.id ORDER BY a.delivery_id, a.attempt";
        self.db.fetch_rows(sql, &Rows::new("id text", &rows)?, vec![]).await
    }

    /// Makes a delivery due, whatever became of it, with its whole time before it; false when it is not there.
    pub async fn retry_delivery(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let subscription: Vec<(String,)> =
            tx.fetch("SELECT subscription_id FROM deliveries WHERE id = $1", args![id]).await?;
        let Some((subscription,)) = subscription.into_iter().next() else { return Ok(false) };
        lock(&mut tx, &subscription).await?;
        let sql =
            "UPDATE deliveries SET state = CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END, reason = NULL,
                     due_at = $2, started_at = $2, completed_at = NULL WHERE id = $1";
        let found = tx.execute(sql, args![id, self.now()]).await? > 0;
        self.note_by_hand(&mut tx, "delivery.retried", id, "").await?;
        self.due_by_hand(tx, subscription).await?;
        Ok(found)
    }

    /// The same for all that have failed, or those of them that were made after `since`, epoch milliseconds; how many.
    pub async fn retry_failed(&self, subscription_id: &str, since: Option<i64>) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        lock(&mut tx, subscription_id).await?;
        let sql =
            "UPDATE deliveries SET state = 'retrying', reason = NULL, due_at = $2, started_at = $2, completed_at = NULL
                   WHERE subscription_id = $1 AND state = 'failed' AND created_at > $3";
        let count = tx.execute(sql, args![subscription_id, self.now(), since.unwrap_or(-1)]).await?;
        self.note_by_hand(&mut tx, "subscription.retried", subscription_id, &count.to_string()).await?;
        self.due_by_hand(tx, subscription_id.to_owned()).await?;
        Ok(count)
    }

    /// A receiver that asked for a pause is asked all the same, since a person wants it.
    async fn due_by_hand(&self, mut tx: Tx, subscription_id: String) -> Result<(), StoreError> {
        tx.execute("UPDATE subscriptions SET not_before = NULL WHERE id = $1", args![&subscription_id]).await?;
        wake(&mut tx, &[(subscription_id,)], self.now()).await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(())
    }

    /// Sends an event of its own to one subscription; the id of the delivery.
    pub async fn deliver_to(
        &self,
        subscription_id: &str,
        event_id: &str,
        kind: &str,
        body: String,
    ) -> Result<String, StoreError> {
        let gone = || StoreError::Conflict("the subscription was removed at this moment".to_owned());
        let mut tx = self.db.begin().await?;
        if !lock(&mut tx, subscription_id).await? {
            return Err(gone());
        }
        let new = NewDelivery {
            subscription_id: subscription_id.to_owned(),
            event_id: event_id.to_owned(),
            kind: kind.to_owned(),
            position: None,
            body: Some(body),
        };
        add_deliveries(self, &mut tx, &[new]).await?;
        let sql = "SELECT id FROM deliveries WHERE subscription_id = $1 AND event_id = $2";
        let id: Vec<(String,)> = tx.fetch(sql, args![subscription_id, event_id]).await?;
        let id = id.into_iter().next().map(|row| row.0).ok_or_else(gone)?;
        self.note_by_hand(&mut tx, "subscription.tested", subscription_id, &id).await?;
        self.due_by_hand(tx, subscription_id.to_owned()).await?;
        Ok(id)
    }
}

/// Locks a subscription until the transaction ends; false when it is not there.
async fn lock(tx: &mut Tx, subscription_id: &str) -> Result<bool, StoreError> {
    let lock = tx.backend().for_update();
    let sql = format!("SELECT id FROM subscriptions WHERE id = $1 {lock}");
    Ok(!tx.fetch::<(String,)>(&sql, args![subscription_id]).await?.is_empty())
}
