//! Salesforce, emulated: an org with campaigns, members, leads and contacts behind the REST API, and its webhooks out.
//!
//! Strict on purpose: a client that is wrong against the real org must fail here. Every fact about Salesforce that nobody has
//! verified is a field of [`Options`], with the default that is worst for a careless client. Owns the wiring of the parts.

mod api;
mod cell;
mod collections;
mod composite;
mod control;
mod counters;
mod cursors;
mod derived;
mod describe;
mod discovery;
mod envelope;
mod error;
mod fields;
mod http;
mod identity;
mod ids;
mod lifecycle;
mod members;
mod oauth;
mod objects;
mod options;
mod outbound;
mod outbox;
mod people;
mod query;
mod replication;
mod row;
mod rows;
mod rules;
mod saved;
mod soap;
mod soap_calls;
mod soql;
mod tree;
mod world;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

pub use cell::Cell;
pub use counters::{Counters, Misuse};
pub use error::Fault;
pub use ids::Id;
pub use objects::Object;
pub use options::{DuplicateRule, FieldAccess, Options, ValidationRule};
pub use outbox::{JsonHook, Noise, OutboundMessageHook, Webhooks};
pub use people::Member;
pub use row::Row;
pub use saved::Saved;
pub use world::{Actor, World};

use oauth::Tokens;
use outbox::Outbox;

/// The emulator's clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// An emulated org and its doors.
pub struct Salesforce {
    world: Mutex<World>,
    tokens: Mutex<Tokens>,
    outbox: Mutex<Outbox>,
    calls: AtomicU64,
    json_ready: Notify,
    message_ready: Notify,
}

impl Salesforce {
    /// An empty org.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Arc<Self> {
        let outbox = Outbox::new(options.seed);
        Arc::new(Self {
            world: Mutex::new(World::new(options, now)),
            tokens: Mutex::default(),
            outbox: Mutex::new(outbox),
            calls: AtomicU64::new(0),
            json_ready: Notify::new(),
            message_ready: Notify::new(),
        })
    }

    /// Where the org is reached, without a slash at the end: `instance_url` of tokens.
    pub fn set_base_url(&self, url: &str) {
        locked(&self.world).base_url = url.trim_end_matches('/').to_owned();
    }

    /// Where the org is reached.
    #[must_use]
    pub fn base_url(&self) -> String {
        locked(&self.world).base_url.clone()
    }

    /// The REST API and the token endpoint.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        http::router(self.clone())
    }

    /// The control API, for tests and demos.
    pub fn control(self: &Arc<Self>) -> axum::Router {
        control::router(self.clone())
    }

    /// The sender of webhooks; ends when it is aborted.
    pub fn start(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(outbound::run(self.clone()))
    }

    /// Where webhooks go from now on. What waits is forgotten.
    pub fn set_webhooks(&self, webhooks: Webhooks) {
        locked(&self.outbox).configure(webhooks);
    }

    /// Webhooks of the Apex kind that wait or are under way.
    #[must_use]
    pub fn on_the_way(&self) -> usize {
        locked(&self.outbox).on_the_way()
    }

    /// Acts in the org, as one transaction whose changes go out as webhooks.
    pub fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let mut world = locked(&self.world);
        let result = f(&mut world);
        let changes = world.commit();
        if !changes.is_empty() {
            locked(&self.outbox).enqueue(&world, changes);
            self.json_ready.notify_one();
            self.message_ready.notify_one();
        }
        result
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A lock that survives a panic of another holder: the org stays usable for the test that looks into it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
