//! The three limits of a subscription: calls in a window (606), calls a day (607), calls in flight (615).
//!
//! Owns the counts behind them and the usage report. Refused calls count too, so a client that hammers keeps itself out; only
//! the starred codes are free, and the gate never brings those here.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::Refusal;
use super::options::Options;

/// The API user of all other integrations.
const OTHERS: &str = "others@acme.example";

/// What was used of the limits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    window: VecDeque<Timestamp>,
    today: String,
    used_today: u64,
    usage: BTreeMap<String, BTreeMap<String, u64>>,
    errors: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Limits {
    /// Counts a call and says whether it may go on. `in_flight` includes the call itself.
    pub fn admit(&mut self, options: &Options, now: Timestamp, user: &str, in_flight: usize) -> Result<(), Refusal> {
        let day = central_day(now);
        if self.today != day {
            self.today.clone_from(&day);
            self.used_today = 0;
        }
        self.used_today += 1;
        *self.usage.entry(day).or_default().entry(user.to_owned()).or_default() += 1;
        while self
            .window
            .front()
            .is_some_and(|first| now.as_millisecond() - first.as_millisecond() >= options.rate_window_seconds * 1000)
        {
            self.window.pop_front();
        }
        self.window.push_back(now);
        if let Some(limit) = options.concurrency_limit.filter(|limit| in_flight > *limit) {
            return Err(Refusal::new(615, format!("Concurrent access limit '{limit}' reached")));
        }
        if options.daily_quota.is_some_and(|quota| self.used_today > quota) {
            return Err(Refusal::new(607, "Daily quota reached"));
        }
        if let Some(limit) = options.rate_limit.filter(|limit| self.window.len() > *limit) {
            let seconds = options.rate_window_seconds;
            return Err(Refusal::new(606, format!("Max rate limit '{limit}' exceeded with in '{seconds}' secs")));
        }
        Ok(())
    }

    /// Calls that counted since midnight US Central.
    #[must_use]
    pub fn used_today(&self, now: Timestamp) -> u64 {
        if self.today == central_day(now) { self.used_today } else { 0 }
    }

    /// Says that so many calls were used today, by other integrations say.
    pub fn set_used_today(&mut self, now: Timestamp, used: u64) {
        self.today = central_day(now);
        self.used_today = used;
        let users = self.usage.entry(self.today.clone()).or_default();
        users.remove(OTHERS);
        let own = users.values().sum::<u64>();
        users.insert(OTHERS.to_owned(), used.saturating_sub(own));
    }

    /// Counts an error for the error report.
    pub fn count_error(&mut self, now: Timestamp, code: u16) {
        *self.errors.entry(central_day(now)).or_default().entry(code.to_string()).or_default() += 1;
    }

    /// `stats/usage.json`: the last `days` days, newest first.
    #[must_use]
    pub fn usage_report(&self, now: Timestamp, days: usize) -> Vec<Value> {
        let from = first_day(now, days);
        let report = self.usage.range(from..).rev().map(|(date, users)| {
            let users_json: Vec<Value> =
                users.iter().map(|(id, count)| json!({"userId": id, "count": count})).collect();
            json!({"date": date, "total": users.values().sum::<u64>(), "users": users_json})
        });
        report.collect()
    }

    /// `stats/errors.json`: the last `days` days, newest first.
    #[must_use]
    pub fn error_report(&self, now: Timestamp, days: usize) -> Vec<Value> {
        let from = first_day(now, days);
        let report = self.errors.range(from..).rev().map(|(date, codes)| {
            let codes_json: Vec<Value> =
                codes.iter().map(|(code, count)| json!({"errorCode": code, "count": count})).collect();
            json!({"date": date, "total": codes.values().sum::<u64>(), "errors": codes_json})
        });
        report.collect()
    }
}

fn first_day(now: Timestamp, days: usize) -> String {
    let back = i64::try_from(days.saturating_sub(1)).unwrap_or(0) * 86_400;
    Timestamp::from_second(now.as_second() - back).map_or_else(|_| central_day(now), central_day)
}

/// The date in US Central time, at whose midnight quotas are reset. Without a time zone database, at UTC-6 all year.
pub fn central_day(now: Timestamp) -> String {
    let zone = TimeZone::get("America/Chicago").unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-6)));
    now.to_zoned_datetime(zone).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn code(outcome: Result<(), Refusal>) -> u16 {
        outcome.map_or_else(|refusal| refusal.code, |()| 0)
    }

    #[test]
    fn the_rate_counts_refused_calls_and_slides() {
        let options = Options { rate_limit: Some(3), ..Options::default() };
        let mut limits = Limits::default();
        for (second, expected) in [(0, 0), (1, 0), (2, 0), (3, 606), (19, 606), (21, 606), (22, 606), (42, 0)] {
            let now = at("2026-03-01T12:00:00Z") + jiff::SignedDuration::from_secs(second);
            assert_eq!(code(limits.admit(&options, now, "a", 1)), expected, "second {second}");
        }
        let full = limits.admit(&Options { rate_limit: Some(0), ..options }, at("2026-03-01T12:01:00Z"), "a", 1);
        assert_eq!(full.unwrap_err().message, "Max rate limit '0' exceeded with in '20' secs");
    }

    #[test]
    fn the_day_ends_at_midnight_in_chicago() {
        let options = Options { daily_quota: Some(1), ..Options::default() };
        let mut limits = Limits::default();
        for (time, expected) in [
            ("2026-01-15T05:00:00Z", 0),
            ("2026-01-15T05:59:59Z", 607),
            ("2026-01-15T06:00:00Z", 0),
            ("2026-01-16T05:59:59Z", 607),
        ] {
            assert_eq!(code(limits.admit(&options, at(time), "a", 1)), expected, "{time}");
        }
        assert_eq!(limits.usage_report(at("2026-01-16T05:59:59Z"), 1)[0]["total"], 2);
        assert_eq!(limits.usage_report(at("2026-01-16T05:59:59Z"), 7).len(), 2);
    }

    #[test]
    fn what_others_used_is_in_the_report() {
        let now = at("2026-03-01T12:00:00Z");
        let mut limits = Limits::default();
        assert_eq!(code(limits.admit(&Options::default(), now, "us", 1)), 0);
        limits.set_used_today(now, 900);
        limits.set_used_today(now, 1000);
        let today = &limits.usage_report(now, 1)[0];
        assert_eq!(today["total"], 1000);
        assert_eq!(today["users"][1], json!({"userId": "us", "count": 1}));
    }

    #[test]
    fn concurrency_and_switches() {
        let options = Options::default();
        let mut limits = Limits::default();
        let now = at("2026-03-01T12:00:00Z");
        assert_eq!(code(limits.admit(&options, now, "a", 10)), 0);
        let refused = limits.admit(&options, now, "a", 11).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (615, "Concurrent access limit '10' reached"));
        let off = Options { rate_limit: None, concurrency_limit: None, daily_quota: None, ..options };
        for _ in 0..200 {
            assert_eq!(code(limits.admit(&off, now, "a", 99)), 0);
        }
    }
}
