//! When to try again.
//!
//! Owns backoff and the bounds of what a vendor may ask for. Chance comes in as a seed, so that a retry time can be
//! computed twice and tested. Must not know what is retried.

use std::time::Duration;

/// Time to wait after the `attempt`th attempt, counted from 1, failed: up to `base` doubled with each attempt, at most
/// `cap`.
///
/// Full jitter (AWS, "Exponential Backoff and Jitter") spreads those that failed together, but not down to nothing: half
/// of `base` is waited at least, and never less than a millisecond.
#[must_use]
pub fn backoff(attempt: u32, base: Duration, cap: Duration, seed: u64) -> Duration {
    let doubled = base.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let ceiling = doubled.min(cap).max(Duration::from_millis(1));
    let floor = (base / 2).clamp(Duration::from_millis(1), ceiling);
    floor + (ceiling - floor).mul_f64(chance(seed ^ u64::from(attempt)))
}

/// Time to wait when the vendor said how long: what it says, but within bounds, since a wrong header must neither make
/// us knock at once nor sleep for a year.
#[must_use]
pub fn retry_after(asked: Duration, floor: Duration, cap: Duration) -> Duration {
    asked.min(cap).max(floor)
}

/// Whether attempt number `attempt`, counted from 1, was the last one.
#[must_use]
pub fn exhausted(attempt: u32, max: u32) -> bool {
    attempt >= max
}

/// A number from 0 up to, but not including, 1. Source: Steele et al., SplitMix64.
pub(super) fn chance(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_mins(15);

    #[test]
    fn waits_grow_with_the_attempt_and_stay_within_their_bounds() {
        for attempt in 0..70_u32 {
            let ceiling = BASE.saturating_mul(1 << (attempt.clamp(1, 20) - 1)).min(CAP);
            let waits: Vec<Duration> = (0..500).map(|seed| backoff(attempt, BASE, CAP, seed)).collect();
            assert!(waits.iter().all(|wait| (BASE / 2..=ceiling).contains(wait)), "{attempt}: {waits:?}");
            let mean = waits.iter().sum::<Duration>() / 500;
            let middle = (BASE / 2 + ceiling) / 2;
            assert!(mean > middle.mul_f64(0.9) && mean < middle.mul_f64(1.1), "{attempt}: spread around {mean:?}");
        }
    }

    #[test]
    fn the_same_seed_waits_the_same_and_no_wait_is_nothing() {
        assert_eq!(backoff(3, BASE, CAP, 7), backoff(3, BASE, CAP, 7));
        assert_ne!(backoff(3, BASE, CAP, 7), backoff(3, BASE, CAP, 8));
        assert_eq!(backoff(1, Duration::ZERO, Duration::ZERO, 1), Duration::from_millis(1));
        assert!(backoff(5, BASE, Duration::from_millis(100), 1) <= Duration::from_millis(100));
        assert!(backoff(u32::MAX, Duration::MAX, Duration::MAX, 1) >= Duration::MAX / 2);
    }

    #[test]
    fn what_a_vendor_asks_for_is_kept_within_bounds() {
        let asked = |seconds| retry_after(Duration::from_secs(seconds), BASE, CAP).as_secs();
        assert_eq!([asked(0), asked(20), asked(31_536_000)], [1, 20, 900]);
    }

    #[test]
    fn the_last_attempt_exhausts() {
        assert_eq!([9, 10, 11].map(|attempt| exhausted(attempt, 10)), [false, true, true]);
    }
}
