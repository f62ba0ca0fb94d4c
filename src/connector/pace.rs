//! How fast a vendor can be asked: what forecasts are made of.
//!
//! Data alone. Must not ask anybody.

use std::time::Duration;

/// How fast a vendor can be asked, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Calls that we allow ourselves in a second.
    pub per_second: Option<f64>,
    /// What calls took lately, in milliseconds.
    pub call_millis: Option<u64>,
    /// Calls that this process has made since it was started.
    pub calls: Option<u64>,
    /// Calls that are left of this day.
    pub left_today: Option<u64>,
    /// Calls that we allow ourselves in a day.
    pub daily: Option<u64>,
    /// Until the vendor's next day.
    pub day_ends_in: Duration,
}
