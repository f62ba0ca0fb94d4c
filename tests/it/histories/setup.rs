//! What a history is played with: policies by chance, and what the worker and the poller go by.

use std::time::Duration;

use campaign_sync::domain::mapping::{Conflict, Direction, Policies, Regression, Removal};
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::worker::Settings;
use campaign_sync::worker::poll::PollSettings;

use super::LEASE;
use super::world::Dice;

/// Attempts are not what these histories are about: with fewer, trouble would end in `attempts_exhausted`.
const ATTEMPTS: u32 = 1_000;

pub fn policies(dice: &mut Dice) -> Policies {
    Policies {
        direction: *dice.pick(&[
            Direction::Both,
            Direction::Both,
            Direction::Both,
            Direction::MarketoToSalesforce,
            Direction::Observe,
        ]),
        conflict: *dice.pick(&[
            Conflict::FurthestProgress,
            Conflict::FurthestProgress,
            Conflict::MarketoWins,
            Conflict::SalesforceWins,
        ]),
        regression: *dice.pick(&[Regression::Hold, Regression::Revert, Regression::Readd]),
        removal: *dice.pick(&[Removal::Propagate, Removal::Propagate, Removal::Keep]),
        gate: dice.one_in(5).then(|| vec!["Registered".to_owned(), "Attended".to_owned()]),
        ..Policies::default()
    }
}

pub fn settings(flips: usize, guard: GuardLimits) -> Settings {
    Settings {
        lease: LEASE,
        max_attempts: ATTEMPTS,
        retry_base: Duration::from_secs(1),
        retry_cap: Duration::from_secs(60),
        reconcile_interval: Duration::from_secs(3600),
        pages_in_a_row: 2,
        guard,
        loop_breaker: (flips, 3_600_000),
        lead_last_name: "[unknown]".to_owned(),
        lead_company: "[unknown]".to_owned(),
    }
}

pub fn poll_settings() -> PollSettings {
    PollSettings {
        every: Duration::from_secs(60),
        lease: LEASE,
        retry_base: Duration::from_secs(1),
        retry_cap: Duration::from_secs(60),
    }
}
