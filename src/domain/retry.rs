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
