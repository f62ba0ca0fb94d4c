//! All SQL. One concrete `Store` over SQLite and Postgres.
//!
//! Owns the schema, the transactions and what may happen together in one of them. Must not call a vendor, nor decide
//! anything that `domain` decides: it keeps what it is told.

pub mod addresses;
pub mod budgets;
pub mod campaigns;
pub mod changes;
pub mod deliveries;
pub mod delivery_log;
mod dialect;
pub mod erase;
mod fan_out;
pub mod figures;
pub mod filter;
pub mod flow_actions;
pub mod guards;
mod held;
pub mod ingest;
pub mod intents;
pub mod keys;
pub mod lanes;
pub mod links;
pub mod listings;
pub mod looks;
mod mapping_list;
pub mod mappings;
pub mod members;
pub mod outbox;
pub mod people;
pub mod plan_rows;
pub mod plans;
mod polled;
pub mod polls;
mod pool;
pub mod record;
pub mod replays;
pub mod reports;
pub mod resolutions;
pub mod retention;
mod rows;
pub mod runs;
pub mod schedule;
mod script;
mod set_back;
pub mod settings;
mod settle;
pub mod silence;
pub mod spent;
pub mod subscriptions;
mod tallies;
pub mod triggers;
pub mod undo;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::{ContextV7, Uuid};

use crate::domain::clock::Clock;
use dialect::Db;

/// The longest that a statement may take where nobody says otherwise.
const STATEMENT: Duration = Duration::from_secs(30);

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full or busy; nothing was changed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored value is not what this version wrote.
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
    /// The lease was lost to another worker; nothing was changed.
    #[error("the lease on {0} was lost")]
    LeaseLost(String),
    /// Somebody else changed it first, or it exists already; nothing was changed.
    #[error("conflict: {0}")]
    Conflict(String),
}

impl StoreError {
    /// Whether it is about what is stored or was to be stored, and would be the same at the next attempt.
    #[must_use]
    pub fn is_of_the_content(&self) -> bool {
        match self {
            Self::Corrupt(_) => true,
            Self::Database(error) => dialect::is_of_the_content(error),
            Self::Migration(_) | Self::LeaseLost(_) | Self::Conflict(_) => false,
        }
    }
}

/// The database, and who is to be told that there is work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    clock: Clock,
    /// For whom; none for what this program does by itself.
    actor: Option<Arc<str>>,
    ids: Arc<Mutex<ContextV7>>,
    /// Woken after each commit that made work due.
    pub work: Arc<Notify>,
    /// Woken after each commit that stored trigger events.
    pub events: Arc<Notify>,
    /// Woken after each commit that ended flow actions.
    pub commands: Arc<Notify>,
    /// Woken after each commit that brought a plan on.
    pub plans: Arc<Notify>,
    /// Woken after each commit that made deliveries due.
    pub deliveries: Arc<Notify>,
}

impl Store {
    /// Connects without touching the schema.
    ///
    /// # Errors
    /// When the URL names no database that is there (SQLite creates its file).
    pub async fn connect(url: &str, max_connections: u32, clock: Clock) -> Result<Self, StoreError> {
        Self::connect_within(url, max_connections, STATEMENT, clock).await
    }

    /// The same with the longest that one statement may take on a server.
    ///
    /// # Errors
    /// When the URL names no database that is there (SQLite creates its file).
    pub async fn connect_within(
        url: &str,
        max_connections: u32,
        limit: Duration,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let db = Db::connect(url, max_connections, limit).await?;
        let ids = Arc::new(Mutex::new(ContextV7::new()));
        let [work, events, commands, plans, deliveries] = std::array::from_fn(|_| Arc::default());
        Ok(Self { db, clock, actor: None, ids, work, events, commands, plans, deliveries })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When a migration fails, or the schema is newer than this version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.db.migrate().await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.fetch::<(i64,)>("SELECT CAST(1 AS BIGINT)", vec![]).await.map(drop)
    }

    /// The clock that times are taken from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Now, in the milliseconds that are stored.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// A new UUIDv7; those of one process sort in the order they were made.
    #[must_use]
    pub fn new_id(&self) -> String {
        let now = self.clock.now();
        let context = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.as_second().try_into().unwrap_or(0);
        let nanos = now.subsec_nanosecond().try_into().unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos)).to_string()
    }
}

/// A stored time.
#[must_use]
pub fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn read_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("{what}: {e}")))
}

fn write_json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(format!("{what}: {e}")))
}
