//! campaign-sync: keeps Marketo programs and Salesforce campaigns the same, both ways. See `ARCHITECTURE.md`.

pub mod connector;
pub mod domain;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
