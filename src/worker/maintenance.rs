//! What one replica at a time does for all: deletes what is old, and notices when a source has fallen silent.
//!
//! Owns when. What is old, and what silence is, the store says. Runs while campaign sync is off as well.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::polls::{MAINTENANCE, Step};
use crate::store::retention::Retention;
use crate::store::silence::{SILENCE, Silence};
use crate::store::{Store, StoreError, time};

/// Between two rounds, when all that is old is gone.
const ROUND: Duration = Duration::from_secs(60);
/// Between two batches, when there is more: others write in between.
const BREATH: Duration = Duration::from_millis(200);
/// Rows of each kind in one batch.
const BATCH: i64 = 1000;
/// The longest that a batch takes, or another replica takes over.
const LEASE: Duration = Duration::from_secs(120);

/// The task.
#[derive(Clone, Debug)]
pub struct Maintenance {
    store: Store,
    retention: Retention,
    owner: String,
}

impl Maintenance {
    /// Under a new name.
    #[must_use]
    pub fn new(store: Store, retention: Retention) -> Self {
        let owner = store.new_id();
        Self { store, retention, owner }
    }

    /// Goes on until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        if let Err(error) = self.store.know_polls(&[MAINTENANCE]).await {
            tracing::error!(%error, "old rows are not deleted before the next start");
            return;
        }
        while !stop.is_cancelled() {
            match self.store.mind_the_clock().await {
                Ok(None) => {}
                Ok(Some(by)) => tracing::warn!(
                    seconds = by / 1000,
                    "the clock was set back: what was due by the old one is due by the new one, and all mappings are compared"
                ),
                Err(error) => tracing::warn!(%error, "it was not looked whether the clock was set back"),
            }
            let pause = match self.step().await {
                Ok(true) => BREATH,
                Ok(false) => ROUND / 4,
                Err(error) => {
                    tracing::warn!(%error, "what is old was not deleted; tried again later");
                    ROUND
                }
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }

    /// One batch, when it is due and nobody else has it; whether there is more to delete.
    ///
    /// # Errors
    /// When the database fails; what was done stays done.
    pub async fn step(&self) -> Result<bool, StoreError> {
        let Some(task) = self.store.claim_poll(&[MAINTENANCE], &self.owner, LEASE).await? else { return Ok(false) };
        let silent = self.store.silent_sources(SILENCE).await?;
        for silence in self.store.note_silence(&silent).await? {
            tell(&silence);
        }
        let more = self.store.prune(&self.retention, BATCH).await?;
        let now = self.store.now();
        let pause = i64::try_from(if more { BREATH } else { ROUND }.as_millis()).unwrap_or(i64::MAX / 2);
        let step = Step { covered_at: Some(now), due_at: now + pause, ..Step::default() };
        self.store.record_poll(&task, &step, None).await?;
        Ok(more)
    }
}

/// A source has fallen silent: said here, once for each silence, whichever replica notices (`sync.source.silent`).
fn tell(silence: &Silence) {
    let last = silence.last_heard.map_or_else(|| "not for days, if ever".to_owned(), |at| time(at).to_string());
    tracing::warn!(
        source = silence.source.as_str(),
        last,
        "no webhook of this source came for a day; changes are found by polling and comparing"
    );
}
