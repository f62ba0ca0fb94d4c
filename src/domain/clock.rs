//! The one way in which time enters.
//!
//! Everything that asks for the time is given a `Clock`; tests give one that they move by hand. Must not wait: waiting is the
//! runtime's business, and belongs to whoever owns the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Wall and monotonic time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System(Instant),
    /// Milliseconds since the epoch, moved by hand; wall and monotonic time are the same.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_millisecond())))
    }

    /// Moves a manual clock forward; the machine's clock does not care.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.fetch_add(by.as_millis().try_into().unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Wall time, truncated to the milliseconds that both databases keep.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    pub fn now(&self) -> Timestamp {
        let millis = match self {
            Self::System(_) => Timestamp::now().as_millisecond(),
            Self::Manual(now) => now.load(Ordering::SeqCst),
        };
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Time since some fixed moment, never backwards: for deadlines.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(now) => Duration::from_millis(now.load(Ordering::SeqCst).try_into().unwrap_or(0)),
        }
    }
}
