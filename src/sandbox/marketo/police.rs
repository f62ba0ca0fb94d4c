//! The protocol police: what clients did, counted, so that a test can fail on it.
//!
//! Owns the counters. Must not change an answer; a refused call was refused elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counters since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Police {
    /// Calls by method and path pattern.
    pub calls_by_endpoint: BTreeMap<String, u64>,
    /// Calls that only read, the admitted ones.
    pub reads: u64,
    /// Calls that write, the admitted ones.
    pub writes: u64,
    /// Calls for a token.
    pub identity_calls: u64,
    /// Error codes answered for whole calls.
    pub errors_by_code: BTreeMap<u16, u64>,
    /// Reasons given for single skipped records.
    pub skipped_by_code: BTreeMap<String, u64>,
    /// Records that a write changed.
    pub records_written: u64,
    /// Batches, filters or pages above the documented size.
    pub over_limit_batches: u64,
    /// Writes with a body and no Content-Type, or another one than the call takes.
    pub missing_content_type: u64,
    /// People created though another one has the same e-mail address.
    pub second_person_for_email: u64,
    /// `assetIds` together with several activity types, which Marketo advises against.
    pub asset_ids_with_several_types: u64,
    /// Status upserts for people already in the status.
    pub no_op_status_writes: u64,
    /// Access tokens in the query string, where they are no longer read.
    pub token_in_wrong_place: u64,
    /// Statuses that are right but for case or spaces: the vendor takes names exactly.
    pub coerced_statuses: u64,
    /// Calls beyond a limit: 606, 607 and 615.
    pub over_limit_calls: u64,
    /// Most calls in flight at once.
    pub most_in_flight: usize,
}

impl Police {
    /// What a vendor would make a client pay for, with how often: nothing for a client that is as it should be.
    #[must_use]
    pub fn misuse(&self) -> BTreeMap<&'static str, u64> {
        let all = [
            ("over_limit_batches", self.over_limit_batches),
            ("over_limit_calls", self.over_limit_calls),
            ("missing_content_type", self.missing_content_type),
            ("second_person_for_email", self.second_person_for_email),
            ("token_in_wrong_place", self.token_in_wrong_place),
            ("coerced_statuses", self.coerced_statuses),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Counts the outcome of single records in a write's answer.
    pub fn count_records(&mut self, records: &[serde_json::Value]) {
        for record in records {
            match record["status"].as_str() {
                Some("skipped") => {
                    let code = record["reasons"][0]["code"].as_str().unwrap_or_default();
                    *self.skipped_by_code.entry(code.to_owned()).or_default() += 1;
                }
                Some(_) => self.records_written += 1,
                None => {}
            }
        }
    }
}
