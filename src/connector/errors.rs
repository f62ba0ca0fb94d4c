//! The one table from status and vendor code to what to do.
//!
//! Owns the meaning of every code of both vendors, for a call as a whole and for one record of a write. Texts are never
//! matched, since Salesforce translates them, but for one that no header may tell apart. Must not know how a call is made.
//!
//! Sources: Adobe, "Error Codes" of the Marketo REST API; Salesforce, "Status Codes and Error Responses" and "Core Data
//! Types: StatusCode", with answers recorded from live orgs.

use std::time::Duration;

use super::{ConnectorError, Reaction, RecordError, Vendor};
use crate::domain::redaction::without_addresses;

/// Marketo's rate is counted over this span; a call that comes sooner is refused and counts against the rate.
pub const MARKETO_WINDOW: Duration = Duration::from_secs(20);
/// Slots of Marketo's concurrency limit come free as other calls end, which take seconds at the most.
const MARKETO_SLOT: Duration = Duration::from_secs(2);
/// Salesforce counts only requests of 20 s and more as concurrent.
const SALESFORCE_SLOT: Duration = Duration::from_secs(5);
/// Salesforce's day is a rolling one, so calls come back bit by bit.
const SALESFORCE_QUOTA: Duration = Duration::from_mins(15);
/// A row lock is held for one transaction.
const ROW_LOCK: Duration = Duration::from_secs(1);

/// What a call as a whole came to, when it brought no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The token is not (any more) good: fetch another, ask once more.
    Refresh,
    /// Down or overloaded, or not the vendor's answer at all.
    Unavailable,
    /// The vendor is well, but a lock was in the way; nothing was applied.
    Locked,
    /// Too fast; nothing before this time.
    RateLimited(Duration),
    /// The day is used up; nothing before this time, or before the vendor's midnight.
    Quota(Option<Duration>),
    /// The credentials are not good.
    Unauthorized,
    /// This call will be refused each time.
    Refused,
}

/// A verdict with what the vendor said.
#[derive(Clone, Debug)]
pub struct Fault {
    pub verdict: Verdict,
    pub code: String,
    pub message: String,
    /// When the vendor, or our own circuit, says when to come back.
    pub retry_after: Option<Duration>,
    /// The request may have reached the vendor.
    pub sent: bool,
}

impl Fault {
    /// The vendor's own refusal. Vendors repeat what they were asked for: what is told of a call as a whole, in logs and answers, has
    /// no address in it.
    pub fn of(verdict: Verdict, code: impl Into<String>, message: impl Into<String>) -> Self {
        let message = without_addresses(&message.into());
        Self { verdict, code: code.into(), message, retry_after: None, sent: true }
    }

    /// An answer that is not the vendor's, or is cut.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::of(Verdict::Unavailable, "", detail)
    }

    /// As the rest of the crate sees it. `write`: whether the call could have changed something.
    #[must_use]
    pub fn into_error(self, vendor: Vendor, write: bool) -> ConnectorError {
        let detail =
            if self.code.is_empty() { self.message.clone() } else { format!("{}: {}", self.code, self.message) };
        match self.verdict {
            Verdict::Unavailable => {
                let sent = write && self.sent;
                ConnectorError::Unavailable { vendor, detail, retry_after: self.retry_after, sent }
            }
            Verdict::Locked => {
                let retry_after = self.retry_after.or(Some(ROW_LOCK));
                ConnectorError::Unavailable { vendor, detail, retry_after, sent: false }
            }
            Verdict::RateLimited(after) => {
                let retry_after = self.retry_after.unwrap_or(after);
                ConnectorError::RateLimited { vendor, detail, retry_after }
            }
            Verdict::Quota(after) => {
                let retry_after = self.retry_after.or(after).unwrap_or(SALESFORCE_QUOTA);
                ConnectorError::QuotaExhausted { vendor, retry_after }
            }
            Verdict::Refresh | Verdict::Unauthorized => ConnectorError::Unauthorized { vendor, detail },
            Verdict::Refused => {
                // Refused before the vendor itself was asked: by its status alone.
                let code = if self.code.is_empty() { "refused".to_owned() } else { self.code };
                ConnectorError::Refused { vendor, code, message: self.message }
            }
        }
    }
}

/// An HTTP status without the vendor's envelope.
#[must_use]
pub fn of_status(status: u16) -> Verdict {
    match status {
        401 => Verdict::Refresh,
        413 | 414 | 431 => Verdict::Refused,
        429 => Verdict::RateLimited(MARKETO_SLOT),
        _ => Verdict::Unavailable,
    }
}

/// A code in `errors` of Marketo's envelope; the HTTP status says nothing, it is 200.
#[must_use]
pub fn of_marketo(code: &str) -> Verdict {
    match code {
        "600" | "601" | "602" => Verdict::Refresh,
        "500" | "502" | "604" | "608" | "611" | "614" | "713" => Verdict::Unavailable,
        "719" => Verdict::Locked,
        "606" => Verdict::RateLimited(MARKETO_WINDOW),
        "615" => Verdict::RateLimited(MARKETO_SLOT),
        "607" => Verdict::Quota(None),
        _ => Verdict::Refused,
    }
}

/// An `errorCode` of Salesforce with the status it came with. `used_up`: whether the limit header of the answer says that
/// the day's calls are used; none where it was missing.
#[must_use]
pub fn of_salesforce(status: u16, code: &str, message: &str, used_up: Option<bool>) -> Verdict {
    match code {
        // One code for two limits. The word is a limit's name and is not translated, but it is the second choice.
        "REQUEST_LIMIT_EXCEEDED" if used_up.unwrap_or_else(|| message.starts_with("TotalRequests")) => {
            Verdict::Quota(Some(SALESFORCE_QUOTA))
        }
        "REQUEST_LIMIT_EXCEEDED" => Verdict::RateLimited(SALESFORCE_SLOT),
        // HTTP 400, and yet nothing is wrong with the call.
        "UNABLE_TO_LOCK_ROW" => Verdict::Locked,
        "QUERY_TIMEOUT" | "SERVER_UNAVAILABLE" | "UNKNOWN_EXCEPTION" | "API_CURRENTLY_DISABLED" => Verdict::Unavailable,
        "INVALID_SESSION_ID" => Verdict::Refresh,
        _ => match status {
            401 => Verdict::Refresh,
            429 => Verdict::RateLimited(SALESFORCE_SLOT),
            420 | 500.. => Verdict::Unavailable,
            _ => Verdict::Refused,
        },
    }
}

/// An `error` of either vendor's token endpoint.
#[must_use]
pub fn of_token(status: u16, error: &str) -> Verdict {
    match (status, error) {
        (_, "rate_limit_exceeded") | (429, _) => Verdict::RateLimited(SALESFORCE_SLOT),
        (500.., _) => Verdict::Unavailable,
        _ => Verdict::Unauthorized,
    }
}

/// Whether a refusal is of the call as such, whatever records are in it: a permission, an object or field that is not there, the API.
#[must_use]
pub fn is_of_the_call(code: &str) -> bool {
    matches!(
        code,
        "603"
            | "610"
            | "612"
            | "API_DISABLED_FOR_ORG"
            | "FUNCTIONALITY_NOT_ENABLED"
            | "INSUFFICIENT_ACCESS"
            | "INVALID_FIELD"
            | "INVALID_TYPE"
            | "INVALID_QUERY_LOCATOR"
            | "METHOD_NOT_ALLOWED"
            | "UNSUPPORTED_API_VERSION"
    )
}

/// What kind of write a record was part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    SalesforceCreate,
    SalesforceUpdate,
    SalesforceDelete,
    MarketoStatus,
    MarketoRemove,
    MarketoCreate,
}

/// What to do about a record that was refused with this code.
#[must_use]
pub fn of_record(write: Write, code: &str) -> Reaction {
    use Write::{MarketoCreate, MarketoRemove, MarketoStatus, SalesforceCreate, SalesforceDelete, SalesforceUpdate};
    match (write, code) {
        (SalesforceCreate | SalesforceUpdate | SalesforceDelete, code) => match (write, code) {
            (
                _,
                "UNABLE_TO_LOCK_ROW"
                | "QUERY_TIMEOUT"
                | "SERVER_UNAVAILABLE"
                | "UNKNOWN_EXCEPTION"
                | "REQUEST_LIMIT_EXCEEDED"
                | "ALL_OR_NONE_OPERATION_ROLLED_BACK"
                | "PROCESSING_HALTED",
            ) => Reaction::Retry,
            (_, "DUPLICATE_VALUE") => Reaction::ReadAgain,
            (_, "CANNOT_UPDATE_CONVERTED_LEAD") => Reaction::PersonChanged,
            (SalesforceCreate, "DUPLICATES_DETECTED") => Reaction::Duplicates(Vec::new()),
            (SalesforceDelete, "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY" | "NOT_FOUND") => Reaction::Gone,
            (SalesforceUpdate, "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY" | "NOT_FOUND") => {
                Reaction::ReadAgain
            }
            // A member's lookup points at nothing living: the person was deleted or merged since it was read.
            (SalesforceCreate, "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY") => Reaction::PersonChanged,
            _ => Reaction::Reject,
        },
        (_, "502" | "604" | "606" | "608" | "611" | "615" | "713" | "719") => Reaction::Retry,
        // One code, two meanings: "already in or past this status", and "not in program".
        (MarketoStatus, "1037") | (MarketoCreate, "1005") => Reaction::ReadAgain,
        (MarketoRemove, "1037" | "1013") => Reaction::Gone,
        (MarketoStatus | MarketoRemove, "1004") => Reaction::PersonChanged,
        _ => Reaction::Reject,
    }
}

/// The error of one record.
#[must_use]
pub fn record_error(write: Write, code: &str, message: &str) -> RecordError {
    RecordError { reaction: of_record(write, code), code: code.to_owned(), message: message.to_owned() }
}

/// What a failed call means for the records that were in it, where other records of the same write are done.
#[must_use]
pub fn as_record_error(error: &ConnectorError) -> RecordError {
    let (reaction, code) = match error {
        ConnectorError::Unavailable { sent: true, .. } => (Reaction::ReadAgain, "UNAVAILABLE"),
        ConnectorError::Refused { code, .. } => (Reaction::Reject, code.as_str()),
        _ => (Reaction::Retry, "UNAVAILABLE"),
    };
    RecordError { reaction, code: code.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests;
