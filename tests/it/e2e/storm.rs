//! `FAULTS=1` lets every fault of both vendors loose on all cases of this folder; another number is the seed, which each case prints.
//!
//! Owns what that changes in the set-up: the weather of `sandbox::storm`, webhooks that are lost, doubled, late and out of order, and,
//! since lost ones are found by polls alone, polls several times a second. A case that cannot be seen so says why, with `calm_only!`.

use campaign_sync::sandbox::fault::Faults;
use campaign_sync::sandbox::marketo::Mishaps;
use campaign_sync::sandbox::salesforce::Noise;
use campaign_sync::sandbox::storm::Storm;

/// Calls out of 1,000 that something happens to.
const PER_MILLE: u64 = 80;

/// The seed, when faults are asked for.
pub fn seed() -> Option<u64> {
    std::env::var("FAULTS").ok().and_then(|seed| seed.parse().ok()).filter(|seed| *seed > 0)
}

/// Ends a case at its beginning when faults are loose, and says why: what it shows cannot be seen then.
macro_rules! calm_only {
    ($why:literal) => {
        if $crate::e2e::storm::seed().is_some() {
            eprintln!("not with faults: {}", $why);
            return;
        }
    };
}
pub(crate) use calm_only;

/// Lets the faults loose, when they are asked for.
pub fn begin(faults: &Faults) {
    if let Some(seed) = seed() {
        eprintln!("every fault, from the seed {seed}: FAULTS={seed}");
        faults.set_storm(Some(Storm { seed, per_mille: PER_MILLE }));
    }
}

/// What goes wrong with webhooks.
pub fn of_webhooks() -> (Noise, Mishaps) {
    if seed().is_none() {
        return (Noise::default(), Mishaps::default());
    }
    let noise = Noise { drop: 0.05, duplicate: 0.2, delay: 0.2, delay_millis: 300, reorder: 0.2 };
    let mishaps = Mishaps {
        drop_per_mille: 50,
        duplicate_per_mille: 200,
        delay_per_mille: 200,
        delay_ms: 300,
        reorder_per_mille: 200,
    };
    (noise, mishaps)
}
