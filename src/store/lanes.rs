//! Lanes and their leases: one tracked campaign is worked off by one worker at a time.
//!
//! A leased lane's `next_due_at` is the end of its lease, so that a claim finds due lanes and abandoned ones by the same
//! index, and costs the same whatever waits elsewhere. The fence grows with each claim; what is recorded under an old
//! one is dropped.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::dialect::{Backend, Rows, Tx, args};
use super::outbox::Subject;
use super::runs::Run;
use super::settings::SYNC_IS_OFF;
use super::{Store, StoreError};

/// Lanes leased by one statement; more are taken until the batch is full.
const LANES: usize = 64;

/// A lane that is ours until the deadline.
#[derive(Clone, Debug)]
pub struct Lease {
    /// A campaign's id, or `router`.
    pub lane: String,
    pub fence: i64,
    /// The campaign was read completely before: who is not recorded was absent.
    pub baseline: bool,
}

/// A row of the outbox that is ours to work off.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub id: String,
    pub lane: String,
    pub mapping_id: Option<String>,
    pub kind: String,
    pub subject: Subject,
    pub source: String,
    pub payload: Option<String>,
    /// This attempt included.
    pub attempts: i64,
    /// When an earlier attempt at a flow action was about to be sent, epoch milliseconds.
    pub announced_at: Option<i64>,
    pub created_at: i64,
}

/// What one claim took.
#[derive(Debug, Default)]
pub struct Claim {
    pub leases: Vec<Lease>,
    /// Oldest first within each lane.
    pub changes: Vec<Claimed>,
    /// Whole reads that go on in these lanes.
    pub runs: Vec<Run>,
    /// When the leases run out, on the monotonic clock.
    pub deadline: Duration,
}

#[derive(sqlx::FromRow)]
struct ClaimedRow {
    id: String,
    lane: String,
    mapping_id: Option<String>,
    kind: String,
    subject: String,
    source: String,
    payload: Option<String>,
    attempts: i64,
    announced_at: Option<i64>,
    created_at: i64,
}

impl Store {
    /// Leases due lanes, longest due first, until `limit` rows are taken or nothing more is due. Each lane gives an equal
    /// share, so a lane with a million rows does not keep one with ten waiting. Nothing is leased while campaign sync is off.
    ///
    /// # Errors
    /// When the database fails; nothing is leased then.
    pub async fn claim(&self, owner: &str, lease: Duration, limit: usize) -> Result<Claim, StoreError> {
        let deadline = self.clock.monotonic() + lease;
        let mut claim = Claim { deadline, ..Claim::default() };
        let mut tx = self.db.begin().await?;
        // A run is a page of work by itself: whoever has one leaves the other lanes to other workers.
        while claim.changes.len() < limit && claim.runs.is_empty() {
            let room = limit - claim.changes.len();
            let leases = self.lease_lanes(&mut tx, owner, lease, room.min(LANES)).await?;
            if leases.is_empty() {
                break;
            }
            // Halted while it was leased, and never released.
            let (halted, leases): (Vec<_>, Vec<_>) = leases.into_iter().partition(|(_, halted)| *halted);
            let [halted, leases] =
                [halted, leases].map(|found| found.into_iter().map(|(lease, _)| lease).collect::<Vec<_>>());
            give_back(self, &mut tx, &halted).await?;
            let share = (room / leases.len().max(1)).max(1);
            claim.changes.extend(self.take(&mut tx, &leases, share).await?);
            claim.runs.extend(self.due_runs(&mut tx, &leases).await?);
            claim.leases.extend(leases);
        }
        tx.commit().await?;
        Ok(claim)
    }

    async fn lease_lanes(
        &self,
        tx: &mut Tx,
        owner: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<(Lease, bool)>, StoreError> {
        let now = self.now();
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let skip = tx.backend().for_update_skip_locked();
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT id FROM lanes WHERE next_due_at <= $1 AND NOT {SYNC_IS_OFF} ORDER BY next_due_at, id LIMIT $2 {skip})
             UPDATE lanes SET lease_owner = $3, lease_until = $4, next_due_at = $4, fence = fence + 1
             WHERE id IN (SELECT id FROM due) RETURNING id, fence, baseline, halted"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let leases: Vec<(String, i64, bool, bool)> = tx.fetch(&sql, args![now, limit, owner, until]).await?;
        Ok(leases
            .into_iter()
            .map(|(lane, fence, baseline, halted)| (Lease { lane, fence, baseline }, halted))
            .collect())
    }

    async fn take(&self, tx: &mut Tx, leases: &[Lease], share: usize) -> Result<Vec<Claimed>, StoreError> {
        let lanes: Vec<_> = leases.iter().map(|l| (&l.lane, l.fence)).collect();
        let lanes = Rows::new("id text, fence int", &lanes)?;
        let most = i64::try_from(share).unwrap_or(i64::MAX);
        let mut picked: Vec<(String, i64)> = Vec::new();
        let mut taken: HashMap<String, usize> = HashMap::new();
        // Commands before hints. Rows left running are of a worker that lost its lease: nobody else could have leased the lane.
        for kind in ["flow_action", "hint"] {
            let pick = format!(
                "WHERE o.lane = r.id AND o.kind = '{kind}' AND o.state IN ('available', 'retryable', 'running') AND o.due_at <= $2
                 ORDER BY o.due_at, o.id LIMIT $3"
            );
            let sql =
                format!("SELECT o.id, o.lane, r.fence FROM {}", tx.backend().first_of_each("outbox", "id", &pick));
            let mut rows: Vec<(String, String, i64)> = tx.fetch_rows(&sql, &lanes, args![self.now(), most]).await?;
            rows.sort();
            for (id, lane, fence) in rows {
                let taken = taken.entry(lane).or_default();
                if *taken < share {
                    *taken += 1;
                    picked.push((id, fence));
                }
            }
        }
        if picked.is_empty() {
            return Ok(Vec::new());
        }
        let taken: Vec<ClaimedRow> = tx
            .fetch_rows(
                "UPDATE outbox SET state = 'running', attempts = attempts + 1, fence = r.fence FROM {rows} WHERE outbox.id = r.id
                 RETURNING outbox.id, lane, mapping_id, kind, subject, source, payload, attempts, announced_at, created_at",
                &Rows::new("id text, fence int", &picked)?,
                vec![],
            )
            .await?;
        let mut claimed = Vec::with_capacity(taken.len());
        for row in taken {
            claimed.push(Claimed {
                subject: Subject::parse(&row.subject)?,
                id: row.id,
                lane: row.lane,
                mapping_id: row.mapping_id,
                kind: row.kind,
                source: row.source,
                payload: row.payload,
                attempts: row.attempts,
                announced_at: row.announced_at,
                created_at: row.created_at,
            });
        }
        claimed.sort_by(|a, b| (&a.lane, &a.id).cmp(&(&b.lane, &b.id)));
        Ok(claimed)
    }

    /// Moves the end of leases; those that are still ours. The deadline counts from before the call.
    pub async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<(Vec<Lease>, Duration), StoreError> {
        let deadline = self.clock.monotonic() + lease;
        let until = self.now() + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        let held = hold(&mut tx, leases).await?;
        let rows: Vec<_> = held.iter().map(|l| (&l.lane,)).collect();
        let sql = "UPDATE lanes SET lease_until = $2, next_due_at = $2 WHERE id IN (SELECT r.id FROM {rows})";
        tx.execute_rows(sql, &Rows::new("id text", &rows)?, args![until]).await?;
        tx.commit().await?;
        Ok((held, deadline))
    }

    /// Gives lanes back without having recorded anything: their rows are due again at once.
    pub async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let held = hold(&mut tx, leases).await?;
        give_back(self, &mut tx, &held).await?;
        tx.commit().await?;
        self.work.notify_one();
        Ok(())
    }

    /// When the next lane is due; none while there is nothing to do, or campaign sync is off.
    pub async fn next_due(&self) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT next_due_at FROM lanes WHERE next_due_at IS NOT NULL AND NOT {SYNC_IS_OFF} ORDER BY next_due_at LIMIT 1"
        );
        Ok(self.db.fetch_optional::<(i64,)>(&sql, vec![]).await?.map(|row| row.0))
    }
}

/// Locks lanes until the transaction ends. Whatever belongs to a lane (its rows of the outbox, members, runs, counters) is
/// written under this lock, and it is taken before any of them and in the order of ids, so that nobody waits in a circle.
///
/// It also keeps a hint from being forgotten: a lane that is released computes its next due time from its rows; rows that
/// are being added are seen by that, or find the lane released.
pub(super) async fn lock_lanes<'a>(tx: &mut Tx, lanes: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
    if tx.backend() == Backend::Sqlite {
        // A writing transaction is alone.
        return Ok(());
    }
    let lanes: BTreeSet<_> = lanes.into_iter().map(|lane| (lane,)).collect();
    let lanes: Vec<_> = lanes.into_iter().collect();
    let lock = tx.backend().for_update();
    let sql = format!("SELECT id FROM lanes WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}");
    tx.fetch_rows::<(String,)>(&sql, &Rows::new("id text", &lanes)?, vec![]).await.map(drop)
}

/// Locks those of the lanes that are still leased under their fence, until the transaction ends.
pub(super) async fn hold(tx: &mut Tx, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
    let rows: Vec<_> = leases.iter().map(|l| (&l.lane, l.fence)).collect();
    let lock = tx.backend().for_update();
    let sql = format!(
        "SELECT id, fence FROM lanes WHERE id IN (SELECT r.id FROM {{rows}}) AND lease_owner IS NOT NULL ORDER BY id {lock}"
    );
    let found: Vec<(String, i64)> = tx.fetch_rows(&sql, &Rows::new("id text, fence int", &rows)?, vec![]).await?;
    Ok(still(leases, &found))
}

/// Those of the leases whose lane is still at their fence.
fn still(leases: &[Lease], lanes: &[(String, i64)]) -> Vec<Lease> {
    let fences: HashMap<&str, i64> = lanes.iter().map(|(lane, fence)| (lane.as_str(), *fence)).collect();
    leases.iter().filter(|lease| fences.get(lease.lane.as_str()) == Some(&lease.fence)).cloned().collect()
}

/// Ends leases that are held in this transaction; the lanes are due when the first of their rows is, but behind those that
/// are due already: a long backlog gives way after each batch.
pub(super) async fn give_back(store: &Store, tx: &mut Tx, held: &[Lease]) -> Result<(), StoreError> {
    if held.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = held.iter().map(|l| (&l.lane,)).collect();
    tx.execute_rows(
        "UPDATE lanes SET lease_owner = NULL, lease_until = NULL, next_due_at = CASE WHEN halted THEN NULL ELSE
           (SELECT CASE WHEN MIN(due_at) < $2 THEN $2 ELSE MIN(due_at) END FROM (
              SELECT MIN(due_at) AS due_at FROM outbox WHERE lane = lanes.id AND kind = 'hint' AND state IN ('available', 'retryable', 'running')
              UNION ALL
              SELECT MIN(due_at) AS due_at FROM outbox WHERE lane = lanes.id AND kind = 'flow_action' AND state IN ('available', 'retryable', 'running')
              UNION ALL
              SELECT MIN(due_at) AS due_at FROM runs WHERE lane = lanes.id AND state = 'running') AS due) END
         FROM {rows} WHERE lanes.id = r.id",
        &Rows::new("id text", &rows)?,
        args![store.now()],
    )
    .await
    .map(drop)
}
