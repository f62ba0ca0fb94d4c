//! Events told later: replayed on request, and what a reconciliation found.
//!
//! A reconciliation's finds are held until it ends. Few are told then; many wait for approval, since after a long silence they
//! are old news to most receivers, and each may send mail. A replay is stored as a range of the log and becomes deliveries a page
//! at a time, in the hands of whoever works on the subscription: asking for a million events costs one row.

use super::dialect::{Arg, Tx, args};
use super::fan_out::{NewDelivery, TELLING, Telling, add_deliveries, fan_out};
use super::mappings::audit;
use super::subscriptions::{hold_log, lock_enabled, wake};
use super::{Store, StoreError, read_json};
use crate::domain::subscription::Wanted;

/// More events than this, found by one reconciliation, wait for approval.
pub const MANY: i64 = 500;
/// The finds of a run that goes on, and of one that waits, are nobody's yet.
const MAY_BE_TOLD: &str =
    "(e.run_id IS NULL OR EXISTS (SELECT 1 FROM catch_ups c WHERE c.id = e.run_id AND c.state <> 'waiting'))";

/// Much that one reconciliation found.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CatchUp {
    /// Of the run.
    pub id: String,
    pub mapping_id: Option<String>,
    pub campaign_id: String,
    /// `waiting`, `approved`, `discarded`.
    pub state: String,
    pub count: i64,
    pub created_at: i64,
    pub decided_at: Option<i64>,
}

const CATCH_UP: &str = "SELECT id, mapping_id, campaign_id, state, count, created_at, decided_at FROM catch_ups";

/// From where events are replayed, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    Position(i64),
    /// Epoch milliseconds.
    Time(i64),
}

/// Tells what a run has found, now that it has ended, or sets it aside for approval. Whether deliveries were stored.
pub(super) async fn end_finds(store: &Store, tx: &mut Tx, run_id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM trigger_events WHERE run_id = $1";
    let count = tx.fetch::<(i64,)>(sql, args![run_id]).await?.first().map_or(0, |row| row.0);
    if count == 0 {
        return Ok(false);
    }
    hold_log(tx).await?;
    if count > MANY {
        let sql = "INSERT INTO catch_ups (id, mapping_id, campaign_id, state, count, created_at)
                   SELECT id, mapping_id, lane, 'waiting', $2, $3 FROM runs WHERE id = $1 ON CONFLICT (id) DO NOTHING";
        tx.execute(sql, args![run_id, count, store.now()]).await?;
        return Ok(false);
    }
    let sql = format!("SELECT {TELLING} FROM trigger_events e WHERE e.run_id = $1 ORDER BY e.position");
    let events: Vec<Telling> = tx.fetch(&sql, args![run_id]).await?;
    tx.execute("UPDATE trigger_events SET run_id = NULL WHERE run_id = $1", args![run_id]).await?;
    fan_out(store, tx, &events).await
}

/// The same for runs that were ended by ending their mapping.
pub(super) async fn end_finds_of(store: &Store, tx: &mut Tx, ended: &[(String,)]) -> Result<(), StoreError> {
    for (run_id,) in ended {
        end_finds(store, tx, run_id).await?;
    }
    Ok(())
}

/// Adds a range of the log to what becomes deliveries of a subscription.
async fn add_replay(
    store: &Store,
    tx: &mut Tx,
    subscription_id: &str,
    (after, until): (i64, i64),
    run_id: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO replays (id, subscription_id, after_position, until_position, run_id, created_at)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let run_id = run_id.map(str::to_owned);
    tx.execute(sql, args![store.new_id(), subscription_id, after, until, run_id, store.now()]).await.map(drop)
}

impl Store {
    /// Replays events to one subscription, up to now; the range of positions, exclusive and inclusive. None when it is not
    /// there. While it is stopped they wait with it.
    pub async fn replay(
        &self,
        subscription_id: &str,
        from: ReplayFrom,
        actor: &str,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let after = match from {
            ReplayFrom::Position(position) => Some(position),
            ReplayFrom::Time(time) => {
                let sql = "SELECT MIN(position) - 1 FROM trigger_events WHERE created_at > $1";
                self.db.fetch_optional::<(Option<i64>,)>(sql, args![time]).await?.and_then(|row| row.0)
            }
        };
        let mut tx = self.db.begin().await?;
        let until = hold_log(&mut tx).await?;
        let after = after.map_or(until, |after| after.min(until));
        let lock = tx.backend().for_update();
        let sql = format!("SELECT id FROM subscriptions WHERE id = $1 {lock}");
        if tx.fetch::<(String,)>(&sql, args![subscription_id]).await?.is_empty() {
            return Ok(None);
        }
        add_replay(self, &mut tx, subscription_id, (after, until), None).await?;
        let sql = "UPDATE subscriptions SET stopped_position = NULL WHERE id = $1 AND stopped_position >= $2";
        tx.execute(sql, args![subscription_id, after]).await?;
        wake(&mut tx, &[(subscription_id.to_owned(),)], self.now()).await?;
        audit(self, &mut tx, actor, "subscription.replayed", subscription_id, &format!("{after} to {until}")).await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(Some((after, until)))
    }

    /// Makes deliveries of the next `limit` events that are replayed to a subscription, under its lease; false when there is
    /// nothing to replay.
    pub async fn feed_replay(&self, lease: &super::deliveries::DeliveryLease, limit: i64) -> Result<bool, StoreError> {
        let id = &lease.subscription_id;
        let sql = "SELECT p.id, p.after_position, p.until_position, p.run_id, s.wanted FROM replays p
                   JOIN subscriptions s ON s.id = p.subscription_id WHERE p.subscription_id = $1 ORDER BY p.id LIMIT 1";
        let found = self.db.fetch_optional::<(String, i64, i64, Option<String>, String)>(sql, args![id]).await?;
        let Some((replay, after, until, run_id, wanted)) = found else { return Ok(false) };
        let wanted: Wanted = read_json("subscriptions.wanted", &wanted)?;
        let mut arguments = args![after, until, limit];
        let only = match run_id {
            Some(run_id) => {
                arguments.push(Arg::from(run_id));
                "e.run_id = $4"
            }
            None => MAY_BE_TOLD,
        };
        let sql = format!(
            "SELECT {TELLING} FROM trigger_events e WHERE e.position > $1 AND e.position <= $2 AND {only} ORDER BY e.position LIMIT $3"
        );
        let events: Vec<Telling> = self.db.fetch(&sql, arguments).await?;
        let mut new = Vec::new();
        for event in &events {
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
        let mut tx = self.db.begin().await?;
        if !super::deliveries::hold(&mut tx, lease).await? {
            return Ok(false);
        }
        add_deliveries(self, &mut tx, &new).await?;
        match events.last().filter(|_| i64::try_from(events.len()).unwrap_or(i64::MAX) >= limit) {
            Some(last) => {
                tx.execute("UPDATE replays SET after_position = $2 WHERE id = $1", args![replay, last.position]).await?
            }
            None => tx.execute("DELETE FROM replays WHERE id = $1", args![replay]).await?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// What reconciliations found in plenty, in the order in which they began, after the id `after`.
    pub async fn catch_ups(&self, state: Option<&str>, after: &str, limit: i64) -> Result<Vec<CatchUp>, StoreError> {
        let mut arguments = args![after, limit];
        let of_state = match state {
            Some(state) => {
                arguments.push(Arg::from(state));
                "AND state = $3"
            }
            None => "",
        };
        self.db.fetch(&format!("{CATCH_UP} WHERE id > $1 {of_state} ORDER BY id LIMIT $2"), arguments).await
    }

    /// One of them.
    pub async fn catch_up(&self, id: &str) -> Result<Option<CatchUp>, StoreError> {
        self.db.fetch_optional(&format!("{CATCH_UP} WHERE id = $1"), args![id]).await
    }

    /// Decides what becomes of many finds: they are told to all who are subscribed, or to nobody; false when they do not wait
    /// any more. What was discarded can still be replayed to one subscription.
    pub async fn decide_catch_up(&self, id: &str, approve: bool, actor: &str) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        hold_log(&mut tx).await?;
        let (state, action) =
            if approve { ("approved", "catch_up.approved") } else { ("discarded", "catch_up.discarded") };
        let sql = "UPDATE catch_ups SET state = $2, decided_at = $3 WHERE id = $1 AND state = 'waiting'";
        if tx.execute(sql, args![id, state, self.now()]).await? == 0 {
            return Ok(false);
        }
        if approve {
            let sql = "SELECT MIN(position) - 1, MAX(position) FROM trigger_events WHERE run_id = $1";
            let range = tx.fetch::<(Option<i64>, Option<i64>)>(sql, args![id]).await?.into_iter().next();
            let all: Vec<(String,)> = tx.fetch("SELECT id FROM subscriptions ORDER BY id", vec![]).await?;
            let enabled: Vec<_> = lock_enabled(&mut tx, &all).await?.into_iter().map(|id| (id,)).collect();
            if let Some((Some(after), Some(until))) = range {
                for (subscription,) in &enabled {
                    add_replay(self, &mut tx, subscription, (after, until), Some(id)).await?;
                }
                wake(&mut tx, &enabled, self.now()).await?;
            }
        }
        audit(self, &mut tx, actor, action, id, "").await?;
        tx.commit().await?;
        self.deliveries.notify_one();
        Ok(true)
    }
}
