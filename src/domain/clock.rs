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
    /// Moved by hand.
    Manual(Arc<ByHand>),
}

/// A clock that is moved by hand.
#[derive(Debug)]
pub struct ByHand {
    /// Milliseconds since the epoch, never backwards.
    monotonic: AtomicI64,
    /// By how many of them the wall clock was set back.
    set_back: AtomicI64,
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
        let (monotonic, set_back) = (AtomicI64::new(start.as_millisecond()), AtomicI64::new(0));
        Self::Manual(Arc::new(ByHand { monotonic, set_back }))
    }

    /// Moves a manual clock forward; the machine's clock does not care.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(hands) = self {
            hands.monotonic.fetch_add(by.as_millis().try_into().unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets the wall clock of a manual clock, as somebody does who finds it wrong; what is measured goes on as it was.
    pub fn show(&self, at: Timestamp) {
        if let Self::Manual(hands) = self {
            hands.set_back.store(hands.monotonic.load(Ordering::SeqCst) - at.as_millisecond(), Ordering::SeqCst);
        }
    }

    /// Wall time, truncated to the milliseconds that both databases keep.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    pub fn now(&self) -> Timestamp {
        let millis = match self {
            Self::System(_) => Timestamp::now().as_millisecond(),
            Self::Manual(hands) => hands.monotonic.load(Ordering::SeqCst) - hands.set_back.load(Ordering::SeqCst),
        };
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Time since some fixed moment, never backwards: for deadlines.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(hands) => {
                Duration::from_millis(hands.monotonic.load(Ordering::SeqCst).try_into().unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_measures_on() {
        let clock = Clock::manual("2026-11-23T20:05:01Z".parse().unwrap());
        let (wall, measured) = (clock.now(), clock.monotonic());
        clock.advance(Duration::from_secs(5));
        clock.show(clock.now() - jiff::SignedDuration::from_secs(3600));
        assert_eq!(clock.now(), wall - jiff::SignedDuration::from_secs(3595));
        assert_eq!(clock.monotonic(), measured + Duration::from_secs(5));
    }
}
