//! Logs: one JSON object a line on standard error, filtered by `RUST_LOG` (`info` unless set).
//!
//! Must not be given a secret or what a person is called; ids are logged at debug.

use tracing_subscriber::EnvFilter;

/// Starts logging; a second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr);
    // A test process may have started them before.
    let _ = logs.try_init();
}
