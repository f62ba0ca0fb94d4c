//! A placeholder with the shape of the Salesforce emulator, on this branch only.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// The time that the emulator lives in.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Switches.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub client_id: String,
    pub client_secret: String,
    pub organization_id: String,
    pub seed: u64,
}

/// State.
pub struct World;

/// The emulator.
pub struct Salesforce {
    world: Mutex<World>,
}

impl Salesforce {
    pub fn new(_: Options, _: Now) -> Arc<Self> {
        Arc::new(Self { world: Mutex::new(World) })
    }

    pub fn set_base_url(&self, _: &str) {}

    pub fn router(self: &Arc<Self>) -> axum::Router {
        axum::Router::new()
    }

    pub fn control(self: &Arc<Self>) -> axum::Router {
        axum::Router::new()
    }

    pub fn start(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(std::future::pending())
    }

    pub fn with<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        act(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
