//! How many may pass per unit of time: deliveries together, requests by their key.
//!
//! Owns one moment for each that is counted, after the generic cell rate algorithm: no timer, no bucket to fill. Must not know
//! what is counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A burst of one second's worth is let through at once.
const BURST: Duration = Duration::from_secs(1);

/// When all that was let through would have been, had it come one per `interval`, with one more; or how long that one has to
/// wait. `burst` is how far that may be ahead of `now`.
pub(super) fn next(
    paid_until: Duration,
    now: Duration,
    interval: Duration,
    burst: Duration,
) -> Result<Duration, Duration> {
    let next = paid_until.max(now) + interval;
    if next <= now + burst { Ok(next) } else { Err(next - (now + burst)) }
}

/// A limit per second.
#[derive(Debug)]
pub struct Pace {
    /// Between two; zero for no limit.
    interval: Duration,
    paid_until: Mutex<Duration>,
}

impl Pace {
    /// `per_second` at most; 0 for no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { interval: BURST.checked_div(per_second).unwrap_or_default(), paid_until: Mutex::default() }
    }

    /// Whether one more may pass at `now`, a monotonic time.
    #[must_use]
    pub fn admit(&self, now: Duration) -> bool {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = next(*paid_until, now, self.interval, BURST);
        if let Ok(next) = admitted {
            *paid_until = next;
        }
        admitted.is_ok()
    }
}

/// A limit per second for each of some names, which are as many as there are keys.
#[derive(Debug)]
pub struct Paces {
    interval: Duration,
    paid_until: Mutex<HashMap<String, Duration>>,
}

impl Paces {
    /// `per_second` at most for each; 0 for no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { interval: BURST.checked_div(per_second).unwrap_or_default(), paid_until: Mutex::default() }
    }

    /// Lets one more of `name` pass at `now`.
    ///
    /// # Errors
    /// With how long it has to wait.
    pub fn admit(&self, name: &str, now: Duration) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let mut all = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(all.get(name).copied().unwrap_or_default(), now, self.interval, BURST)?;
        match all.get_mut(name) {
            Some(paid_until) => *paid_until = next,
            None => drop(all.insert(name.to_owned(), next)),
        }
        Ok(())
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

    #[test]
    fn each_name_has_its_own_pace_and_is_told_how_long_to_wait() {
        let paces = Paces::new(4);
        let now = Duration::from_secs(9);
        assert_eq!((0..9).filter(|_| paces.admit("one", now).is_ok()).count(), 4);
        assert_eq!(paces.admit("one", now), Err(Duration::from_millis(250)));
        assert_eq!((0..9).filter(|_| paces.admit("other", now).is_ok()).count(), 4);
        assert_eq!(paces.admit("one", now + Duration::from_millis(250)), Ok(()));
        let unlimited = Paces::new(0);
        assert_eq!((0..30).filter(|_| unlimited.admit("one", now).is_ok()).count(), 30);
    }
}
