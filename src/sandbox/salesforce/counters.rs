//! What the clients did: calls by kind, and misuse that a real org would make them pay for later.
//!
//! Owns the numbers and the allowance of calls in 24 hours. Judges nothing; the endpoints report to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

const DAY_SECONDS: i64 = 86_400;

/// Counts since they were last reset.
#[derive(Clone, Debug, Serialize)]
pub struct Counters {
    /// Calls that read.
    pub reads: u64,
    /// Calls that write.
    pub writes: u64,
    /// Tokens given out.
    pub tokens: u64,
    /// Calls by method and endpoint, `GET query`.
    pub endpoints: BTreeMap<String, u64>,
    /// Errors of calls and of records by code.
    pub errors: BTreeMap<String, u64>,
    pub misuse: Misuse,
    /// Calls used of the daily allowance; not reset with the rest.
    pub used: u64,
    #[serde(skip)]
    day: Timestamp,
}

/// Things that a good client does not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Misuse {
    /// Collections calls with more than 200 records.
    pub oversized_collections: u64,
    /// Composite calls with more parts than are allowed.
    pub oversized_composites: u64,
    /// Calls after the daily allowance was used up.
    pub calls_over_limit: u64,
    /// Request lines longer than Salesforce takes.
    pub oversized_uris: u64,
    /// Calls with a body and without `Content-Type: application/json`.
    pub missing_content_type: u64,
    /// Leads created by the API user with an e-mail that a living lead has already.
    pub duplicate_leads: u64,
    /// Member statuses that the campaign does not have and that became its default.
    pub coerced_statuses: u64,
    /// Writes to members of a campaign while another call was writing there.
    pub parallel_campaign_writes: u64,
    /// Members that were added again.
    pub duplicate_members: u64,
    /// Calls with a token that is dead.
    pub dead_tokens: u64,
}

impl Counters {
    /// All zero.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let (endpoints, errors) = (BTreeMap::new(), BTreeMap::new());
        Self { reads: 0, writes: 0, tokens: 0, endpoints, errors, misuse: Misuse::default(), used: 0, day: now }
    }

    /// Back to zero, but for the daily allowance.
    pub fn reset(&mut self) {
        *self = Self { used: self.used, ..Self::new(self.day) };
    }

    /// Takes one call of the allowance; false when it is used up.
    pub fn take_call(&mut self, now: Timestamp, allowed: u64) -> bool {
        if now.as_second() - self.day.as_second() >= DAY_SECONDS {
            (self.used, self.day) = (0, now);
        }
        let left = self.used < allowed;
        self.used += u64::from(left);
        self.misuse.calls_over_limit += u64::from(!left);
        left
    }

    /// Counts a call.
    pub fn call(&mut self, method: &str, endpoint: &str, writes: bool) {
        *if writes { &mut self.writes } else { &mut self.reads } += 1;
        *self.endpoints.entry(format!("{method} {endpoint}")).or_default() += 1;
    }

    /// Counts an error.
    pub fn error(&mut self, code: &str) {
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }
}
