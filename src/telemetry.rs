//! Logs: one JSON object a line on standard error, filtered by `RUST_LOG`.
//!
//! Must not be given a secret or what a person is called; ids are logged at debug.

pub mod spans;

use tracing_subscriber::EnvFilter;

/// Starts logging; a second call changes nothing. `level` holds unless `RUST_LOG` is set.
pub fn start(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr);
    // A test process may have started them before.
    let _ = logs.try_init();
}
