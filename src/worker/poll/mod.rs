//! Looks for changes that nobody told of: both vendors' logs, a page at a time, each from a place that is kept.
//!
//! Owns the step: take a log that is due, read a page from its place, store what it shows as hints together with the new place. What the
//! hints come to is the ordinary pass. Nothing is called while campaign sync is off, nor while nobody tracks anything: a log that was not read
//! for longer than it reaches back is begun anew, and all mappings are compared. Must not decide anything about a member.

mod marketo;
mod salesforce;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::PassError;
use super::points::{Point, Points};
use crate::connector::ConnectorError;
use crate::connector::changes::{MarketoLog, SalesforceLog};
use crate::domain::hint::{DeliveredHint, Source};
use crate::domain::retry;
use crate::store::polls::{Poll, Step};
use crate::store::{Store, StoreError};

pub use stream::Allowance;
use stream::{STREAMS, Stream, flowing};

/// The longest that a poller sleeps, so that a clock that was moved, and a replica that died, are noticed.
const NAP: Duration = Duration::from_secs(1);
/// How far before its place a log is read again: transactions that were open, and clocks that differ.
const OVERLAP: Duration = Duration::from_secs(300);

/// How often at the least it is found out whether anybody wants to know; much shorter than the overlap.
const IDLE: Duration = Duration::from_secs(60);

/// What a poller goes by.
#[derive(Clone, Copy, Debug)]
pub struct PollSettings {
    pub every: Duration,
    /// How long a log is ours; longer than a call takes.
    pub lease: Duration,
    pub retry_base: Duration,
    pub retry_cap: Duration,
}

/// What is left of a vendor's day, where that is known.
pub type Gauge = Arc<dyn Fn(Source) -> Option<Allowance> + Send + Sync>;

/// Reads the logs of both vendors. Cheap to clone.
#[derive(Clone)]
pub struct Poller {
    store: Store,
    marketo: Arc<dyn MarketoLog>,
    salesforce: Arc<dyn SalesforceLog>,
    settings: PollSettings,
    left: Gauge,
    owner: String,
    points: Points,
    known: Arc<AtomicBool>,
}

/// What a look at a log came to.
enum Look {
    /// Nobody wants to know.
    Idle,
    Page(Page),
    /// What happened since the place cannot be told any more.
    Lost(String),
    Failed {
        error: ConnectorError,
        /// Where to go on, where that is not the place that was asked from.
        place: Option<String>,
    },
}

/// A page of a log.
struct Page {
    found: Vec<DeliveredHint>,
    /// Where it goes on.
    place: String,
    state: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is more.
    More,
    /// There is said to be more, but nothing came.
    Stuck,
    /// This was the end for now.
    End,
}

impl Poller {
    /// A poller under a new name.
    #[must_use]
    pub fn new(
        store: Store,
        marketo: Arc<dyn MarketoLog>,
        salesforce: Arc<dyn SalesforceLog>,
        settings: PollSettings,
        points: Points,
    ) -> Self {
        let owner = store.new_id();
        Self { store, marketo, salesforce, settings, left: Arc::new(|_| None), owner, points, known: Arc::default() }
    }

    /// With what is left of the vendors' days, by which the pace goes.
    #[must_use]
    pub fn with_gauge(self, left: Gauge) -> Self {
        Self { left, ..self }
    }

    /// The same under another name.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { owner: self.store.new_id(), ..self.clone() }
    }

    /// Polls until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.step().await {
                Ok(true) => continue,
                Ok(false) => self.until_due().await,
                Err(PassError::Interrupted(at)) => {
                    tracing::warn!(%at, "the poller was interrupted");
                    return;
                }
                Err(PassError::Store(StoreError::LeaseLost(log))) => {
                    tracing::info!(%log, "another replica reads this log now");
                    Duration::ZERO
                }
                Err(PassError::Store(error)) => {
                    tracing::error!(%error, "a poll was not recorded; its lease runs out");
                    NAP
                }
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }

    async fn until_due(&self) -> Duration {
        let due = self.store.next_poll(&names()).await.ok().flatten();
        let until = due.map_or(NAP, |at| Duration::from_millis(u64::try_from(at - self.store.now()).unwrap_or(0)));
        until.clamp(Duration::from_millis(20), NAP)
    }

    /// One page of the log that is due longest; false when none is.
    ///
    /// # Errors
    /// When the database fails or the poll is interrupted: the page is read again when the lease has run out.
    pub async fn step(&self) -> Result<bool, PassError> {
        if !self.known.load(Ordering::Relaxed) {
            self.store.know_polls(&names()).await?;
            self.known.store(true, Ordering::Relaxed);
        }
        let Some(poll) = self.store.claim_poll(&names(), &self.owner, self.settings.lease).await? else {
            return Ok(false);
        };
        let Some(stream) = Stream::named(&poll.name) else { return Ok(false) };
        let began = self.store.now();
        let look = self.look(stream, &poll).await?;
        self.points.reach(Point::Polled)?;
        match look {
            Look::Idle => {
                // Whoever is mapped next has a first sync.
                let step = Step { due_at: began + millis(self.settings.every.min(IDLE)), ..Step::default() };
                self.store.record_poll(&poll, &step, None).await?;
            }
            Look::Page(page) => {
                let (covered_at, pause) = match page.state {
                    Progress::More => (poll.covered_at, Duration::ZERO),
                    Progress::Stuck => (poll.covered_at, self.settings.retry_base),
                    Progress::End => (Some(began), self.pace(stream).await?),
                };
                let place = Some(page.place);
                let due_at = self.store.now() + millis(pause);
                let step = Step { place, covered_at, due_at, failures: 0, message: None };
                let accepted = self.store.record_poll(&poll, &step, Some((stream.source(), &page.found))).await?;
                metrics::counter!("campaign_sync_polled_records_total", "log" => poll.name.clone())
                    .increment(u64::try_from(accepted).unwrap_or(0));
                tracing::debug!(log = poll.name, found = page.found.len(), accepted, "polled");
            }
            Look::Lost(reason) => {
                tracing::warn!(log = poll.name, reason, "changes may have been missed: all mappings are compared");
                self.store.lose_place(&poll, &reason).await?;
            }
            Look::Failed { error, place } => {
                tracing::warn!(log = poll.name, %error, "a log could not be read");
                let step = self.after_failure(&poll, &error, place);
                self.store.record_poll(&poll, &step, None).await?;
            }
        }
        Ok(true)
    }

    async fn look(&self, stream: Stream, poll: &Poll) -> Result<Look, StoreError> {
        if let Some(covered_at) = poll.covered_at.filter(|at| self.store.now() - at > millis(stream.window())) {
            let ago = (self.store.now() - covered_at) / 86_400_000;
            return Ok(Look::Lost(format!("it was last read {ago} days ago, and does not reach back as far")));
        }
        let place = poll.place.as_deref();
        Ok(match stream {
            Stream::MarketoActivities | Stream::MarketoDeletions => self.look_at_marketo(stream, poll).await?,
            Stream::SalesforceMembers => self.look_at_members(place).await?,
            Stream::SalesforceCampaigns => self.look_at_campaigns(place).await?,
            Stream::SalesforcePeople(person) => self.look_at_people(person, place).await?,
            Stream::SalesforceDeletions(of) => self.look_at_deletions(of, poll).await?,
        })
    }

    /// Where a log without a place is begun: before the first sync of whoever was just mapped has read anything, since a log that
    /// nobody wanted is looked at once in [`IDLE`] at the least.
    fn first_place(&self) -> Timestamp {
        let now = self.store.clock().now();
        now - SignedDuration::try_from(OVERLAP).unwrap_or_default()
    }

    /// When the end of a log is read again.
    async fn pace(&self, stream: Stream) -> Result<Duration, StoreError> {
        let interval = self.settings.every;
        let since = self.store.now() - millis(flowing(interval));
        let webhooks = self.store.heard_since(stream.source(), since).await?;
        Ok(stream.pace(interval, webhooks, (self.left)(stream.source())))
    }

    fn after_failure(&self, poll: &Poll, error: &ConnectorError, place: Option<String>) -> Step {
        let failures = poll.failures + 1;
        let attempt = u32::try_from(failures).unwrap_or(u32::MAX);
        let seed = u64::try_from(self.store.now()).unwrap_or(0);
        let backoff = retry::backoff(attempt, self.settings.retry_base, self.settings.retry_cap, seed);
        let asked = match error {
            ConnectorError::Unavailable { retry_after, .. } => *retry_after,
            ConnectorError::RateLimited { retry_after, .. } | ConnectorError::QuotaExhausted { retry_after, .. } => {
                Some(*retry_after)
            }
            ConnectorError::Unauthorized { .. } | ConnectorError::Refused { .. } => None,
        };
        Step {
            place: place.or_else(|| poll.place.clone()),
            covered_at: poll.covered_at,
            due_at: self.store.now() + millis(asked.unwrap_or(backoff).max(backoff)),
            failures,
            message: Some(error.to_string()),
        }
    }
}

fn names() -> [&'static str; STREAMS.len()] {
    STREAMS.map(|(name, _)| name)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

/// A place as it was written.
fn read_place<T: serde::de::DeserializeOwned>(place: Option<&str>) -> Result<Option<T>, StoreError> {
    place.map(serde_json::from_str).transpose().map_err(|error| StoreError::Corrupt(format!("polls.place: {error}")))
}

fn write_place<T: serde::Serialize>(place: &T) -> Result<String, StoreError> {
    serde_json::to_string(place).map_err(|error| StoreError::Corrupt(format!("polls.place: {error}")))
}
