//! Databases to measure on: those of the tests, a file and a durable server of this run's own.
#![expect(dead_code, unused_imports, unused_macros, reason = "the tests use more of it")]

#[path = "../../tests/it/support/database.rs"]
mod database;
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[path = "../../tests/it/support/process.rs"]
mod process;
#[path = "../../tests/it/support/tables.rs"]
mod tables;
#[path = "../../tests/it/support/wait.rs"]
mod wait;

pub use database::TestDatabase;
pub use process::Launch;
pub use tables::Tables;
pub use wait::eventually;

/// What to call a database in a figure.
pub fn name_of(database: &TestDatabase) -> &'static str {
    if database.url.starts_with("postgres") { "Postgres" } else { "SQLite" }
}
