//! All SQL. One concrete `Store` over SQLite and Postgres.

pub mod ingest;
