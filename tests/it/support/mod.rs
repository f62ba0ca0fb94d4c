//! What the integration tests stand on: databases, the service as a process, its REST API, and waiting.
//!
//! Knows how to run the service from outside, not what it should answer: that is for the tests.

mod between;
mod database;
mod http;
mod outage;
mod postgres;
mod process;
mod receiver;
pub mod statements;
mod tables;
mod versions;
mod wait;

pub use between::{Between, Mischief, Wire};
pub use database::TestDatabase;
pub(crate) use database::on_both;
pub use http::{Answer, Api};
pub use outage::{OwnServer, SmallDisk};
pub use process::{Launch, Service};
pub use receiver::{Received, Receiver, Reply};
pub use tables::Tables;
pub use versions::SCHEMAS;
pub use wait::eventually;
