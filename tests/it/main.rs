//! The integration tests: one binary, so that it is linked once and its tests share one database server.
//!
//! Each module is one subject. `support` is what they stand on; `tidy` reads the sources instead of running them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod api;
mod catalogue;
#[cfg(feature = "sandbox")]
mod clients;
#[cfg(feature = "sandbox")]
mod demo;
#[cfg(feature = "sandbox")]
mod drains;
#[cfg(feature = "sandbox")]
mod e2e;
mod harness;
mod histories;
mod kafka;
mod openapi;
#[cfg(feature = "sandbox")]
mod pages;
mod reference;
mod scale;
mod store;
mod tidy;
