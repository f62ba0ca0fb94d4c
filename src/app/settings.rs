//! What the configuration says, in the words of each part.
//!
//! Owns nothing but the translation; the configuration has checked each value.

use crate::config::Config;
use crate::store::guards::GuardLimits;
use crate::store::retention::Retention;
use crate::worker::Settings;
use crate::worker::deliver::DeliverySettings;

pub(super) fn delivery_settings(config: &Config) -> DeliverySettings {
    let delivery = &config.delivery;
    DeliverySettings {
        timeout: delivery.timeout,
        max_age: delivery.max_age,
        concurrency: usize::try_from(delivery.concurrency).unwrap_or(usize::MAX),
        lease: config.sync.lease,
        allow_private: config.limits.allow_private_targets,
    }
}

pub(super) fn retention(config: &Config) -> Retention {
    let crate::config::Retention { bodies, history, completed } = config.retention;
    Retention { bodies, history, completed }
}

pub(super) fn settings(config: &Config) -> Settings {
    let sync = &config.sync;
    Settings {
        lease: sync.lease,
        max_attempts: sync.max_attempts,
        retry_base: sync.retry_base,
        retry_cap: sync.retry_cap,
        guard: GuardLimits {
            members: i64::from(sync.removal_guard_members),
            percent: i64::from(sync.removal_guard_percent),
            window: i64::try_from(sync.removal_guard_window.as_millis()).unwrap_or(i64::MAX),
        },
        loop_breaker: (
            usize::try_from(sync.loop_breaker_flips).unwrap_or(usize::MAX),
            i64::try_from(sync.loop_breaker_window.as_millis()).unwrap_or(i64::MAX),
        ),
        reconcile_interval: sync.reconcile_interval,
        pages_in_a_row: 100,
        lead_last_name: sync.lead_last_name.clone(),
        lead_company: sync.lead_company.clone(),
    }
}
