//! campaign-sync: keeps Marketo programs and Salesforce campaigns the same, both ways. See `ARCHITECTURE.md`.

pub mod app;
pub mod config;
pub mod connector;
pub mod dashboard;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod diagnosis;
pub mod domain;
pub mod door;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod init;
pub mod problem;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod worker;
