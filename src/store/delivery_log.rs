//! Deliveries as people look at them: listed with their attempts, tried again, and tests.
//!
//! Must not carry anything out: what is to be sent is made due, and whoever delivers finds it.

use super::dialect::{Arg, Tx, args};
use super::fan_out::{NewDelivery, add_deliveries};
use super::subscriptions::wake;
use super::{Store, StoreError};

/// A delivery as it is listed, with every attempt at it: all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    pub subscription_id: String,
    pub event_id: String,
    pub kind: String,
    /// Of a trigger event in its log.
    pub position: Option<i64>,
    /// `pending`, `retrying`, `delivered`, `failed`, `skipped`.
    pub state: String,
    pub reason: Option<String>,
    /// Those made so far, in order.
    pub attempts: Vec<Attempt>,
    pub due_at: i64,
    pub created_at: i64,
    pub completed_at: Option<i64>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub attempt: i64,
    pub at: i64,
    /// HTTP status; none where nothing was answered.
    pub code: Option<i64>,
    pub latency_ms: i64,
    pub error: Option<String>,
    /// The beginning of what was answered.
    pub body: Option<String>,
}

/// A delivery and one of its attempts, or none where none was made.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    subscription_id: String,
    event_id: String,
    #[sqlx(rename = "type")]
    kind: String,
    position: Option<i64>,
    state: String,
    reason: Option<String>,
    due_at: i64,
    created_at: i64,
    completed_at: Option<i64>,
    attempt: Option<i64>,
    at: Option<i64>,
    code: Option<i64>,
    latency_ms: Option<i64>,
    error: Option<String>,
    body: Option<String>,
}

/// Of deliveries `d` with their attempts `a`: one statement, so that no attempt is missing whose outcome is shown.
const DELIVERY: &str =
    "SELECT d.id, d.subscription_id, d.event_id, d.type, d.position, d.state, d.reason, d.due_at, d.created_at,
    d.completed_at, a.attempt, a.at, a.code, a.latency_ms, a.error, a.body";
const ATTEMPTS: &str = "LEFT JOIN delivery_attempts a ON a.delivery_id = d.id";

/// Rows of the same delivery follow each other.
fn gathered(rows: Vec<Row>) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    for row in rows {
        let attempt = row.attempt.zip(row.at).map(|(attempt, at)| Attempt {
            attempt,
            at,
            code: row.code,
            latency_ms: row.latency_ms.unwrap_or(0),
            error: row.error,
            body: row.body,
        });
        match deliveries.last_mut().filter(|last| last.id == row.id) {
            Some(delivery) => delivery.attempts.extend(attempt),
            None => deliveries.push(Delivery {
                id: row.id,
                subscription_id: row.subscription_id,
                event_id: row.event_id,
                kind: row.kind,
                position: row.position,
                state: row.state,
                reason: row.reason,
                attempts: attempt.into_iter().collect(),
                due_at: row.due_at,
                created_at: row.created_at,
                completed_at: row.completed_at,
            }),
        }
    }
    deliveries
}

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
        let sql = format!(
            "{DELIVERY} FROM (SELECT * FROM deliveries WHERE subscription_id = $1 AND id < $2 {of_state} ORDER BY id DESC LIMIT $3) d
             {ATTEMPTS} ORDER BY d.id DESC, a.attempt"
        );
        Ok(gathered(self.db.fetch(&sql, arguments).await?))
    }

    /// One delivery.
    pub async fn delivery(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        let sql = format!("{DELIVERY} FROM deliveries d {ATTEMPTS} WHERE d.id = $1 ORDER BY a.attempt");
        Ok(gathered(self.db.fetch(&sql, args![id]).await?).pop())
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
