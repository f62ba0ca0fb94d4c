//! Deliveries: when one is tried again, what a receiver may ask for, and how events are put into requests of a smart campaign.
//!
//! Owns the schedule and its bounds. Must not know HTTP, nor what is stored.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::ids::MarketoId;
use super::retry;

/// The first retry comes within this time, and not before its half.
const FIRST: Duration = Duration::from_secs(10);
/// The longest pause: some forty attempts in three days.
const LONGEST: Duration = Duration::from_hours(2);
/// What a receiver may ask for: not at once, and not never.
const ASKED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Characters that are kept of what a receiver answers.
const CLIP: usize = 1000;
/// People, and also tokens, in one request of a smart campaign (Adobe, "Smart Campaigns": trigger).
pub const MOST_LEADS: usize = 100;

/// When the next attempt is due after the `attempt`th, counted from 1, has failed at `now`; none when the delivery is `max_age`
/// old by then. The last attempt is made at that age, so that a long pause does not shorten it. Times are epoch milliseconds.
#[must_use]
pub fn next_attempt(
    attempt: u32,
    started: i64,
    now: i64,
    max_age: Duration,
    asked: Option<Duration>,
    seed: u64,
) -> Option<i64> {
    let end = started.saturating_add(millis(max_age));
    if now >= end {
        return None;
    }
    let pause = match asked {
        Some(asked) => retry::retry_after(asked, ASKED.0, ASKED.1),
        None => retry::backoff(attempt, FIRST, LONGEST, seed),
    };
    Some(now.saturating_add(millis(pause)).min(end))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
#[must_use]
pub fn asked_pause(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|c| c.is_ascii_digit()) {
        // Beyond what fits it is long, and clamped.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// The beginning of an answer, as text that both databases keep.
#[must_use]
pub fn clipped(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().filter(|c| *c != '\0').take(CLIP).collect()
}

/// The tokens of a request: names and values.
pub type Tokens = BTreeMap<&'static str, String>;

/// One request of a smart campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignRequest {
    pub tokens: Tokens,
    /// Positions of the events, and whom they are about; nobody twice.
    pub people: Vec<(usize, MarketoId)>,
}

/// Puts events, oldest first, into as few requests as possible: one set of tokens and at most a hundred people each. A person's
/// events stay in their order, and each is a request of its own, since one names a person once.
#[must_use]
pub fn campaign_requests(events: Vec<(MarketoId, Tokens)>) -> Vec<CampaignRequest> {
    let mut requests: Vec<CampaignRequest> = Vec::new();
    let mut last: HashMap<MarketoId, usize> = HashMap::new();
    let mut open: HashMap<Tokens, Vec<usize>> = HashMap::new();
    for (position, (person, tokens)) in events.into_iter().enumerate() {
        let first = last.get(&person).map_or(0, |request| request + 1);
        let of_tokens = open.entry(tokens.clone()).or_default();
        let fits = |at: &&usize| **at >= first && requests[**at].people.len() < MOST_LEADS;
        let at = of_tokens.iter().find(fits).copied().unwrap_or_else(|| {
            requests.push(CampaignRequest { tokens, people: Vec::new() });
            of_tokens.push(requests.len() - 1);
            requests.len() - 1
        });
        requests[at].people.push((position, person));
        last.insert(person, at);
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_hours(72);

    #[test]
    fn retries_begin_within_half_a_minute_grow_and_end_at_the_age() {
        for seed in 0..200 {
            let (mut now, mut attempts, mut pauses) = (1_000, 1, Vec::new());
            while let Some(next) = next_attempt(attempts, 1_000, now, DAYS, None, seed) {
                pauses.push(next - now);
                (now, attempts) = (next, attempts + 1);
            }
            assert!((5_000..=10_000).contains(&pauses[0]), "{pauses:?}");
            assert!(pauses.iter().all(|pause| *pause <= millis(LONGEST)));
            assert_eq!(now, 1_000 + millis(DAYS), "the last attempt is at the age");
            assert!((40..130).contains(&attempts), "{attempts}");
        }
    }

    #[test]
    fn what_is_asked_for_is_kept_within_bounds() {
        let next = |asked| next_attempt(1, 0, 0, DAYS, Some(Duration::from_secs(asked)), 1).unwrap();
        assert_eq!([next(0), next(120), next(86_400)], [1_000, 120_000, 3_600_000]);
        assert_eq!(next_attempt(1, 0, 0, Duration::from_secs(2), Some(Duration::from_secs(60)), 1), Some(2_000));
        assert_eq!(next_attempt(1, 0, 2_000, Duration::from_secs(2), None, 1), None);
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = "2026-11-23T20:05:00Z".parse().unwrap();
        let asked = |header| asked_pause(header, now).map(|pause| pause.as_secs());
        assert_eq!(asked(" 17 "), Some(17));
        assert_eq!(asked("99999999999999999999999"), Some(u64::from(u32::MAX)));
        assert_eq!(asked("Mon, 23 Nov 2026 20:06:00 GMT"), Some(60));
        assert_eq!(asked("Mon, 23 Nov 2026 20:04:00 GMT"), Some(0));
        assert_eq!([asked("soon"), asked("-1"), asked("")], [None; 3]);
    }

    #[test]
    fn an_answer_is_clipped_between_characters() {
        let long = "ä".repeat(CLIP + 1);
        assert_eq!(clipped(long.as_bytes()).chars().count(), CLIP);
        assert_eq!(clipped(b"a\0b\xff"), "ab\u{fffd}");
    }

    fn tokens(status: &str) -> Tokens {
        BTreeMap::from([("status", status.to_owned())])
    }

    #[test]
    fn people_with_the_same_tokens_share_a_request_up_to_a_hundred() {
        let events: Vec<_> = (0..250).map(|person| (person, tokens(if person % 2 == 0 { "A" } else { "B" }))).collect();
        let requests = campaign_requests(events);
        assert_eq!(requests.iter().map(|r| r.people.len()).collect::<Vec<_>>(), [100, 100, 25, 25]);
        let mut positions: Vec<_> = requests.iter().flat_map(|r| r.people.iter().map(|p| p.0)).collect();
        positions.sort_unstable();
        assert_eq!(positions, (0..250).collect::<Vec<_>>());
    }

    #[test]
    fn the_events_of_one_person_stay_in_order_and_apart() {
        let told = [(1, "A"), (2, "A"), (1, "B"), (1, "A"), (2, "B"), (1, "A")];
        let requests = campaign_requests(told.map(|(person, status)| (person, tokens(status))).into());
        for person in [1, 2] {
            let positions = requests.iter().flat_map(|r| r.people.iter().filter(|p| p.1 == person).map(|p| p.0));
            assert!(positions.is_sorted(), "{requests:?}");
        }
        assert!(requests.iter().all(|r| r.people.iter().filter(|p| p.1 == 1).count() <= 1));
        assert_eq!(requests.len(), 4, "{requests:?}");
    }
}
