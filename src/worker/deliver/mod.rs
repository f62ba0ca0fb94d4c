//! Deliveries: events out to those who are subscribed.
//!
//! One task finds subscriptions that are due; each is then worked on by a task of its own, so that a receiver that is slow or dead
//! delays nobody else. `hand` is that task, `post` one request, `smart_campaign` the way into Marketo. While nothing is due,
//! nothing happens: whoever stores a delivery in this process wakes it up. Must not know what an event means.

mod hand;
mod post;
mod sign;
mod smart_campaign;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::PassError;
use super::points::Points;
use crate::connector::SmartCampaigns;
use crate::store::Store;
use post::Post;

/// Subscriptions taken by one claim; more follow at once.
const CLAIMED: i64 = 64;
/// How often another process may have left something unsaid.
const LOOK: Duration = Duration::from_secs(5);
/// After the database has failed.
const RECOVER: Duration = Duration::from_secs(1);

/// What deliveries go by.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// The longest that a receiver may take to answer.
    pub timeout: Duration,
    /// How long a delivery is tried, and how long a receiver may fail before it is given up.
    pub max_age: Duration,
    /// Requests to one receiver at the same time.
    pub concurrency: usize,
    /// How long a subscription is ours; renewed while it is worked on.
    pub lease: Duration,
    /// Whether private addresses and plain HTTP are allowed.
    pub allow_private: bool,
}

/// Why no deliveries can be made at all.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made for deliveries: {0}")]
pub struct NoClient(#[from] reqwest::Error);

/// Carries deliveries out; one runs in each process that works.
#[derive(Clone)]
pub struct Deliverer {
    store: Store,
    campaigns: Arc<dyn SmartCampaigns>,
    post: Post,
    settings: DeliverySettings,
    owner: String,
    points: Points,
}

impl Deliverer {
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        store: Store,
        campaigns: Arc<dyn SmartCampaigns>,
        settings: DeliverySettings,
        points: Points,
    ) -> Result<Self, NoClient> {
        let clock = store.clock().clone();
        let post = Post::new(clock, settings.timeout, settings.concurrency, settings.allow_private)?;
        let owner = store.new_id();
        Ok(Self { store, campaigns, post, settings, owner, points })
    }

    /// Works until told to stop; what is on its way is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let mut hands = JoinSet::new();
        while !stop.is_cancelled() {
            let pause = match self.store.claim_deliveries(&self.owner, self.settings.lease, CLAIMED).await {
                Ok(leases) => {
                    for lease in leases {
                        hands.spawn(self.clone().work(lease, stop.clone()));
                    }
                    self.until_due().await
                }
                Err(error) => {
                    tracing::error!(%error, "deliveries that are due could not be found");
                    RECOVER
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.store.deliveries.notified() => {}
                Some(ended) = hands.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "deliveries to a subscription ended by a fault of ours; its lease runs out");
                    }
                }
                _ = tokio::time::timeout(pause, std::future::pending::<()>()) => {}
            }
        }
        while hands.join_next().await.is_some() {}
    }

    /// Whatever is due at this moment, one subscription after the other; how many it was.
    ///
    /// # Errors
    /// When the database fails or a delivery is interrupted; what was leased is due again when the leases run out.
    pub async fn step(&self) -> Result<usize, PassError> {
        let leases = self.store.claim_deliveries(&self.owner, self.settings.lease, CLAIMED).await?;
        let count = leases.len();
        for lease in leases {
            self.work_on(lease, &CancellationToken::new()).await?;
        }
        Ok(count)
    }

    /// Until the next subscription is due, as far as this process can tell.
    async fn until_due(&self) -> Duration {
        let due = self.store.next_delivery().await.ok().flatten();
        let until = |at: i64| Duration::from_millis(u64::try_from(at - self.store.now()).unwrap_or(0));
        due.map_or(LOOK, until).clamp(Duration::from_millis(5), LOOK)
    }
}
