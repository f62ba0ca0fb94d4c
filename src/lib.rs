//! campaign-sync: keeps Marketo programs and Salesforce campaigns the same, both ways. See `ARCHITECTURE.md`.

pub mod connector;
pub mod domain;
pub mod store;
#[cfg(feature = "sandbox")]
pub mod sandbox;
