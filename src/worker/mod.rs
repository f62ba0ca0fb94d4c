//! Commands out: claims lanes, takes their members through a pass, records what came of it.
//!
//! Owns the order of a pass and the waiting between passes. Must not know HTTP, nor how a hint arrived. Several workers
//! may run in one process and in several; a lane is one worker's at a time.

mod apply;
mod commands;
pub mod deliver;
mod figures;
mod forecast;
mod gather;
mod halves;
mod listing;
pub mod maintenance;
mod narrow;
mod plan;
pub mod points;
pub mod poll;
mod reconcile;
mod refresh;
mod route;
mod scan;
mod stretch;
mod sweep;
mod sync;
mod trace;
mod undo;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::connector::{Marketo, Salesforce};
use crate::domain::ids::SalesforceId;
use crate::domain::trigger::DetectedBy;
use crate::store::guards::GuardLimits;
use crate::store::lanes::Claim;
use crate::store::mappings::Mapping;
use crate::store::record::Batch;
use crate::store::{Store, StoreError};
use crate::telemetry::spans;
use narrow::{Narrow, Taken};
use points::{Interrupted, Point, Points};
use sync::{Pass, Suspects};

/// Rows in one pass: five full Salesforce calls.
const BATCH: usize = 1000;
/// The longest that a worker sleeps, so that work of another replica, and a clock that was moved, are noticed.
const NAP: Duration = Duration::from_millis(500);

/// Turns of which one is a plan's, whatever else is due.
const PLAN_TURNS: u32 = 16;

/// What a worker goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a lane is ours; renewed before each write unless it is fresh.
    pub lease: Duration,
    pub max_attempts: u32,
    pub retry_base: Duration,
    pub retry_cap: Duration,
    pub guard: GuardLimits,
    /// Writes that set a member back, within so many milliseconds, after which it is left alone.
    pub loop_breaker: (usize, i64),
    /// How often a mapping is compared by itself, its program and campaign read again.
    pub reconcile_interval: Duration,
    /// Pages that a run reads in a row while nothing else is due.
    pub pages_in_a_row: usize,
    /// For leads of people without a last name.
    pub lead_last_name: String,
    /// For leads of people without a company.
    pub lead_company: String,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Works off lanes. Cheap to clone; each clone that runs on its own is given a name of its own.
#[derive(Clone)]
pub struct Worker {
    pub(crate) store: Store,
    pub(crate) marketo: Arc<dyn Marketo>,
    pub(crate) salesforce: Arc<dyn Salesforce>,
    pub(crate) settings: Settings,
    /// The same vendors for flow actions, and for whole reads, where their calls have a priority of their own.
    others: Option<[Vendors; 2]>,
    owner: String,
    points: Points,
    user: Arc<OnceLock<SalesforceId>>,
    fields: refresh::KnownFields,
    told: Arc<figures::Told>,
    spent: Arc<figures::Collected>,
    suspects: Arc<Suspects>,
    narrow: Arc<Narrow>,
}

/// Both vendors, at one priority.
pub type Vendors = (Arc<dyn Marketo>, Arc<dyn Salesforce>);

/// Whose calls go before those of webhooks, or behind them.
#[derive(Clone, Copy)]
enum Priority {
    Command,
    Run,
}

impl Worker {
    /// A worker under a new name.
    #[must_use]
    pub fn new(
        store: Store,
        marketo: Arc<dyn Marketo>,
        salesforce: Arc<dyn Salesforce>,
        settings: Settings,
        points: Points,
    ) -> Self {
        let owner = store.new_id();
        let (user, fields, told, spent, suspects, narrow) = Default::default();
        let others = None;
        Self {
            store,
            marketo,
            salesforce,
            settings,
            others,
            owner,
            points,
            user,
            fields,
            told,
            spent,
            suspects,
            narrow,
        }
    }

    /// With the vendors as flow actions call them, before all others, and as whole reads do, behind all others.
    #[must_use]
    pub fn with_priorities(self, commands: Vendors, runs: Vendors) -> Self {
        Self { others: Some([commands, runs]), ..self }
    }

    fn prioritised(&self, priority: Priority) -> Self {
        let Some([commands, runs]) = &self.others else { return self.clone() };
        let (marketo, salesforce) = match priority {
            Priority::Command => commands.clone(),
            Priority::Run => runs.clone(),
        };
        Self { marketo, salesforce, ..self.clone() }
    }

    /// The same under another name.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { owner: self.store.new_id(), ..self.clone() }
    }

    /// Works until told to stop; the batch in hand is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let (mut swept, mut turns) = (None, 0);
        while !stop.is_cancelled() {
            self.sweep(&mut swept).await;
            match self.turn(&mut turns).await {
                Ok(0) => {
                    failures = 0;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.store.work.notified() => {}
                        () = self.nap() => {}
                    }
                }
                Ok(_) => failures = 0,
                Err(PassError::Interrupted(at)) => {
                    tracing::warn!(%at, "the worker was interrupted");
                    return;
                }
                Err(PassError::Store(error)) => {
                    tracing::error!(%error, "a pass was not recorded; its leases run out");
                    failures = failures.saturating_add(1);
                    let pause = crate::domain::retry::backoff(
                        failures,
                        Duration::from_millis(100),
                        Duration::from_secs(5),
                        self.seed(),
                    );
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                }
            }
        }
    }

    /// A claim, or a page of a plan where nothing is due; of many turns one is a plan's in any case.
    async fn turn(&self, turns: &mut u32) -> Result<usize, PassError> {
        *turns = turns.wrapping_add(1);
        let planned = if turns.is_multiple_of(PLAN_TURNS) { self.plan().await? } else { 0 };
        match self.step().await? {
            0 if planned == 0 => self.plan().await,
            done => Ok(done + planned),
        }
    }

    /// Until something is due, as far as this process can tell.
    async fn nap(&self) {
        let due = self.store.next_due().await.ok().flatten();
        let until = due.map_or(NAP, |at| Duration::from_millis(u64::try_from(at - self.store.now()).unwrap_or(0)));
        let pause = until.clamp(Duration::from_millis(5), NAP);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
    }

    /// One claim, worked off and recorded; how many rows and runs it took.
    ///
    /// # Errors
    /// When the database fails or the pass is interrupted; what was claimed is claimed again when the leases run out.
    pub async fn step(&self) -> Result<usize, PassError> {
        let claim = self.store.claim(&self.owner, self.settings.lease, self.narrow.limit()).await?;
        if claim.leases.is_empty() {
            return Ok(0);
        }
        let taken = Taken::of(&claim);
        match self.work(claim).await {
            Err(PassError::Store(error)) if error.is_of_the_content() => self.narrow_down(taken, &error).await,
            outcome => outcome,
        }
    }

    async fn work(&self, claim: Claim) -> Result<usize, PassError> {
        self.points.reach(Point::Claimed)?;
        self.learn_identity().await;
        let lanes: Vec<String> = claim.leases.iter().map(|l| l.lane.clone()).collect();
        let mappings: HashMap<String, Mapping> =
            self.store.mappings_of_lanes(&lanes).await?.into_iter().map(|m| (m.campaign_id.to_string(), m)).collect();
        let size = claim.changes.len() + claim.runs.len();
        let claim = self.prioritised(Priority::Command).work_commands(claim, &mappings).await?;
        let mut claim = self.work_changes(claim, &mappings).await?;
        let runs = std::mem::take(&mut claim.runs);
        let pages = if runs.len() == 1 { self.settings.pages_in_a_row } else { 1 };
        for run in runs {
            self.keep_claim(&mut claim).await?;
            // A lane that was lost goes on with the worker that has it now.
            if claim.leases.iter().any(|lease| lease.lane == run.lane) {
                self.prioritised(Priority::Run).work_run(&mut claim, run, &mappings, pages).await?;
            }
        }
        self.points.reach(Point::Recorded)?;
        Ok(size.max(1))
    }

    /// The runs of a claim follow each other: those at the end must not find their leases over.
    pub(super) async fn keep_claim(&self, claim: &mut Claim) -> Result<(), PassError> {
        let left = claim.deadline.saturating_sub(self.store.clock().monotonic());
        if left <= self.settings.lease / 2 {
            (claim.leases, claim.deadline) = self.store.renew(&claim.leases, self.settings.lease).await?;
        }
        Ok(())
    }

    /// The rows of a claim; lanes that have a run as well are kept for it.
    async fn work_changes(&self, mut claim: Claim, mappings: &HashMap<String, Mapping>) -> Result<Claim, PassError> {
        let claimed = self.store.now();
        let keep: HashSet<String> = claim.runs.iter().map(|run| run.lane.clone()).collect();
        let mut settled = self.route(&claim.changes).await?;
        let mut pass = Pass::new(Vec::new(), claim.leases.clone(), claim.deadline, mappings, DetectedBy::Webhook);
        settled.extend(self.gather(&mut pass, &claim.changes).await?);
        self.hear_of_edits(&mut pass, &claim.changes).await?;
        if !pass.items.is_empty() {
            self.process(&mut pass).await?;
        }
        self.fail_mappings(&pass).await?;
        let mut spans = spans::gathered(|| trace::calls(&pass.items, &claim.changes));
        let free = self.set_free(&pass).await?;
        let mut finished = self.finish(&mut pass, &claim.changes);
        finished.work.extend(free);
        finished.work.extend(std::mem::take(&mut pass.stale).into_iter().map(|lane| self.store.read_again(lane)));
        settled.extend(finished.settled);
        let heard = std::mem::take(&mut pass.heard).into_iter().chain(finished.heard).collect();
        spans.extend(spans::gathered(|| trace::ends(&settled, &claim.changes, claimed, self.store.now())));
        self.collect(&settled, &claim.changes, claimed);
        self.points.reach(Point::Unrecorded)?;
        // What the pass renewed, and the lanes that go on with a run.
        let leases = std::mem::take(&mut claim.leases);
        (claim.leases, claim.deadline) =
            (leases.iter().filter(|lease| keep.contains(&lease.lane)).cloned().collect(), pass.deadline);
        self.store
            .record(Batch {
                leases,
                mappings: mappings.clone(),
                members: finished.members,
                settled,
                heard,
                work: finished.work,
                keep,
                ..Batch::default()
            })
            .await?;
        spans::send(spans);
        Ok(claim)
    }

    async fn learn_identity(&self) {
        if self.user.get().is_none()
            && let Ok(identity) = self.salesforce.identity().await
        {
            // Another worker of this process may have been faster; it learnt the same.
            let _ = self.user.set(identity.user_id);
        }
    }

    /// Our own user, once known.
    pub(crate) fn user_id(&self) -> Option<SalesforceId> {
        self.user.get().cloned()
    }

    /// For jitter: no two workers wait in step.
    fn seed(&self) -> u64 {
        let digits = self.owner.bytes().rev().filter(u8::is_ascii_hexdigit).take(8);
        let name = digits.fold(0_u64, |n, c| n * 16 + u64::from(c & 0xf));
        name ^ self.store.clock().monotonic().subsec_nanos() as u64
    }

    /// Mappings whose program or campaign is gone stop, and say so.
    async fn fail_mappings(&self, pass: &Pass) -> Result<(), PassError> {
        for (lane, reason) in &pass.failed {
            if let Some(mapping) = pass.mappings.get(lane) {
                self.store.fail_mapping(mapping, reason).await?;
            }
        }
        Ok(())
    }
}
