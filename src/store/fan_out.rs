//! From an event to its deliveries: one for each subscription that wants it, in the transaction that stores the event.
//!
//! Owns the insertion of deliveries, so that the same rule says who is told when an event happens, when a reconciliation
//! that found it ends, and when it is replayed. One delivery for an event and a subscription, whatever is repeated.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::dialect::{Rows, Tx, args};
use super::subscriptions::{lock_enabled, wake};
use super::{Store, StoreError, read_json, time, write_json};
use crate::domain::notice::{Notice, OperationalEvent};
use crate::domain::subscription::{Happened, Wanted};

/// An event that is to be told.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Telling {
    pub position: i64,
    pub id: String,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub campaign_id: String,
    pub program_id: Option<i64>,
    pub status: Option<String>,
    pub old_status: Option<String>,
    pub new_status: Option<String>,
}

/// The columns of `Telling`, of `trigger_events e`.
pub(super) const TELLING: &str =
    "e.position, e.id, e.type, e.campaign_id, e.program_id, e.status, e.old_status, e.new_status";

impl Telling {
    /// Whether a subscription wants it.
    pub(super) fn is_for(&self, wanted: &Wanted) -> bool {
        wanted.wants(&Happened {
            kind: &self.kind,
            campaign_id: Some(&self.campaign_id),
            program_id: self.program_id,
            status: self.status.as_deref(),
            old_status: self.old_status.as_deref(),
            new_status: self.new_status.as_deref(),
        })
    }
}

/// A delivery to be stored.
pub(super) struct NewDelivery {
    pub subscription_id: String,
    pub event_id: String,
    pub kind: String,
    /// Of a trigger event; any other has its body here.
    pub position: Option<i64>,
    pub body: Option<String>,
}

/// Stores deliveries. One that is there and done with begins anew; one that waits goes on waiting.
pub(super) async fn add_deliveries(store: &Store, tx: &mut Tx, new: &[NewDelivery]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> =
        new.iter().map(|d| (store.new_id(), &d.subscription_id, &d.event_id, &d.kind, d.position, &d.body)).collect();
    let columns = "id text, subscription_id text, event_id text, type text, position int, body text";
    let sql = "INSERT INTO deliveries (id, subscription_id, event_id, type, position, body, state, due_at, started_at, created_at)
               SELECT id, subscription_id, event_id, type, position, body, 'pending', $2, $2, $2 FROM {rows} WHERE true
               ON CONFLICT (subscription_id, event_id) DO UPDATE SET state = 'pending', reason = NULL, due_at = excluded.due_at,
                 started_at = excluded.started_at, completed_at = NULL
               WHERE deliveries.state NOT IN ('pending', 'retrying')";
    tx.execute_rows(sql, &Rows::new(columns, &rows)?, args![store.now()]).await.map(drop)
}

/// Stores the deliveries of trigger events, and makes their subscriptions due. To be called last, under the lock of the event
/// log: subscriptions come after it. Whether there was any.
pub(super) async fn fan_out(store: &Store, tx: &mut Tx, events: &[Telling]) -> Result<bool, StoreError> {
    if events.is_empty() {
        return Ok(false);
    }
    let sql = "SELECT id, wanted, since_position FROM subscriptions WHERE state = 'enabled'";
    let subscriptions: Vec<(String, String, i64)> = tx.fetch(sql, vec![]).await?;
    let mut new = Vec::new();
    for (id, wanted, since) in subscriptions {
        let wanted: Wanted = read_json("subscriptions.wanted", &wanted)?;
        for event in events.iter().filter(|event| event.position > since) {
            if event.is_for(&wanted) {
                new.push(NewDelivery {
                    subscription_id: id.clone(),
                    event_id: event.id.clone(),
                    kind: event.kind.clone(),
                    position: Some(event.position),
                    body: None,
                });
            }
        }
    }
    deliver(store, tx, new).await
}

/// Stores deliveries under the lock of their subscriptions, but for those that were stopped or removed meanwhile.
async fn deliver(store: &Store, tx: &mut Tx, mut new: Vec<NewDelivery>) -> Result<bool, StoreError> {
    let ids: BTreeSet<_> = new.iter().map(|d| (d.subscription_id.clone(),)).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let enabled: BTreeSet<_> = lock_enabled(tx, &ids).await?.into_iter().collect();
    new.retain(|d| enabled.contains(&d.subscription_id));
    add_deliveries(store, tx, &new).await?;
    wake(tx, &ids, store.now()).await?;
    Ok(!new.is_empty())
}

/// Those who want to be told of this.
pub(super) async fn who_wants(tx: &mut Tx, notice: &Notice) -> Result<Vec<(String,)>, StoreError> {
    let sql = "SELECT id, wanted FROM subscriptions WHERE state = 'enabled' AND url IS NOT NULL ORDER BY id";
    let subscriptions: Vec<(String, String)> = tx.fetch(sql, vec![]).await?;
    let mut ids = Vec::new();
    for (id, wanted) in subscriptions {
        if read_json::<Wanted>("subscriptions.wanted", &wanted)?.wants_operational(&notice.happened()) {
            ids.push((id,));
        }
    }
    Ok(ids)
}

/// Tells of what happened to the sync itself, in the transaction in which it happened. Whoever commits wakes `deliveries`.
pub(super) async fn tell(store: &Store, tx: &mut Tx, notice: Notice) -> Result<(), StoreError> {
    let ids = who_wants(tx, &notice).await?;
    let id = Uuid::parse_str(&store.new_id()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let kind = notice.kind();
    let body = write_json("operational event", &OperationalEvent::new(id, time(store.now()), notice))?;
    let delivery = |(subscription_id,): (String,)| NewDelivery {
        subscription_id,
        event_id: id.to_string(),
        kind: kind.to_string(),
        position: None,
        body: Some(body.clone()),
    };
    deliver(store, tx, ids.into_iter().map(delivery).collect()).await.map(drop)
}

impl Store {
    /// Tells of what happened to the sync itself. The same about the same thing is told once in `pause` milliseconds; false
    /// when it was told already.
    pub async fn tell_once(&self, notice: Notice, pause: i64) -> Result<bool, StoreError> {
        let now = self.now();
        let key = format!("{} {}", notice.kind(), notice.source());
        let mut tx = self.db.begin().await?;
        let sql = "INSERT INTO told (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET at = excluded.at
                   WHERE told.at <= $3";
        if tx.execute(sql, args![key, now, now.saturating_sub(pause)]).await? == 0 {
            return Ok(false);
        }
        tell(self, &mut tx, notice).await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(true)
    }

    /// What was told of a thing is over: it is told again when it comes back.
    pub async fn forget_told(&self, notice: &Notice) -> Result<(), StoreError> {
        let key = format!("{} {}", notice.kind(), notice.source());
        let mut tx = self.db.begin().await?;
        tx.execute("DELETE FROM told WHERE key = $1", args![key]).await?;
        tx.commit().await
    }
}
