//! The vendors' budgets, shared with the other processes on the database.
//!
//! Owns who keeps the account: the connectors hand in what they used, and the store does not know for what.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::connector::Vendor;
use crate::connector::budget::{Pool, PoolError, Sharing};
use crate::connector::marketo::MarketoClient;
use crate::connector::salesforce::SalesforceClient;
use crate::domain::budget::{Grant, Report};
use crate::store::Store;

/// How long a part is held without hearing from the others: what a process that dies keeps from them.
const LEASE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How long giving back may take in the end.
const GRACE: Duration = Duration::from_secs(2);

/// The account of one vendor.
struct Account {
    store: Store,
    vendor: String,
}

#[async_trait]
impl Pool for Account {
    async fn settle(&self, report: &Report) -> Result<Grant, PoolError> {
        self.store.settle_budget(&self.vendor, report).await.map_err(|error| PoolError(error.to_string()))
    }
}

/// What settles with the other processes, for as long as calls are made.
#[derive(Debug)]
pub(super) struct Shared {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Shared {
    /// Shares both budgets from now on.
    pub fn begin(config: &Config, store: &Store, marketo: &MarketoClient, salesforce: &SalesforceClient) -> Self {
        let (stop, replica) = (CancellationToken::new(), store.new_id());
        let with = |vendor: Vendor| Sharing {
            pool: Arc::new(Account { store: store.clone(), vendor: vendor.to_string() }),
            replica: replica.clone(),
            lease: (config.sync.lease / 3).clamp(LEASE.0, LEASE.1),
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(marketo.share_budget(with(Vendor::Marketo)));
        tasks.spawn(salesforce.share_budget(with(Vendor::Salesforce)));
        Self { tasks, stop }
    }

    /// Until a part of it ends by itself, which it never should.
    pub async fn broken(&mut self) {
        self.tasks.join_next().await;
    }

    /// Gives back what is held, once nobody calls any more.
    pub async fn end(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("the parts of the budgets were not given back in time; their leases run out");
        }
    }
}
