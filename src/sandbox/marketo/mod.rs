//! Marketo Engage, emulated: one subscription with its identity service, REST API and Call Webhook sender.
//!
//! Owns the shell around the state. Faithful to the public documentation and strict, so that a wrong client fails here as it would
//! there; shares no code with the connectors. Start reading at `gate` (the way of a call), then `routes` (which calls exist),
//! then `world` (the state). Must not know the other vendor.

mod activities;
mod bulk;
mod call;
mod campaigns;
mod control;
mod envelope;
mod exports;
mod file;
mod gate;
mod identity;
mod lead_writes;
mod leads;
mod lenient;
mod limits;
mod log;
mod member_fields;
mod members;
mod memberships;
mod options;
mod paging;
mod people;
mod police;
mod program_life;
mod programs;
mod push;
mod routes;
mod rules;
mod saved;
mod setup;
mod smart_campaigns;
mod stats;
mod template;
#[cfg(test)]
mod tests;
mod visited;
mod webhooks;
mod world;

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use jiff::Timestamp;
use tokio::task::JoinHandle;

pub use campaigns::{SmartCampaign, Trigger, Webhook};
pub use envelope::Refusal;
pub use identity::{PERMISSIONS, Service};
pub use memberships::Member;
pub use options::{Mishaps, Options};
pub use people::{Field, Kind, Person};
pub use police::Police;
pub use programs::{Channel, Cost, Program, Tag};
pub use rules::{Move, NOT_IN_PROGRAM, ProgressionStatus};
pub use saved::Saved;
pub use setup::{NewChannel, NewMember, NewPerson, NewProgram, Seed};
pub use template::{Encoding, person_template, program_member_template};
pub use webhooks::{Delivery, Outgoing};
pub use world::{CampaignRequest, World};

/// The time that the emulator lives in.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One emulated subscription.
pub struct Marketo {
    world: Mutex<World>,
    in_flight: Arc<AtomicUsize>,
    serial: AtomicU64,
}

impl Marketo {
    /// An empty subscription.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Arc<Self> {
        let world = Mutex::new(World::new(options, now));
        Arc::new(Self { world, in_flight: Arc::default(), serial: AtomicU64::new(1) })
    }

    /// Tells the subscription where it is served, for the links in its answers.
    pub fn set_base_url(&self, url: &str) {
        self.with(|world| url.clone_into(&mut world.base_url));
    }

    /// The vendor's own surface: `/identity` and `/rest`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(gate::serve).with_state(self.clone())
    }

    /// The control API.
    pub fn control(self: &Arc<Self>) -> Router {
        control::router(self.clone())
    }

    /// Starts sending webhooks; stop it by aborting the task.
    pub fn start(self: &Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(webhooks::run(self.clone()))
    }

    /// Looks at or changes the state. Nothing else happens meanwhile, so be quick.
    pub fn with<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        act(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
