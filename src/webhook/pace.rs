//! How many deliveries per second are let through to the store.
//!
//! Owns one moment, after the generic cell rate algorithm: no timer, no bucket to fill. Must not know what is counted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A burst of one second's worth is let through at once.
const BURST: Duration = Duration::from_secs(1);

/// A limit per second.
#[derive(Debug)]
pub struct Pace {
    /// Between two; zero for no limit.
    interval: Duration,
    /// When all that was let through would have been, one per interval.
    paid_until: Mutex<Duration>,
}

impl Pace {
    /// `per_second` at most; 0 for no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let interval = BURST.checked_div(per_second).unwrap_or_default();
        Self { interval, paid_until: Mutex::new(Duration::ZERO) }
    }

    /// Whether one more may pass at `now`, a monotonic time.
    #[must_use]
    pub fn admit(&self, now: Duration) -> bool {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid_until).max(now) + self.interval;
        let admitted = next <= now + BURST;
        if admitted {
            *paid_until = next;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let pace = Pace::new(10);
        let at = |millis: u64| Duration::from_millis(5_000 + millis);
        assert_eq!((0..30).filter(|_| pace.admit(at(0))).count(), 10);
        assert!(!pace.admit(at(99)));
        assert!(pace.admit(at(100)));
        assert!(!pace.admit(at(100)));
        assert_eq!((0..30).filter(|_| pace.admit(at(60_000))).count(), 10);
        let unlimited = Pace::new(0);
        assert_eq!((0..30).filter(|_| unlimited.admit(at(0))).count(), 30);
    }
}
