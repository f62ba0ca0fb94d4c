//! Every row of the table.

use std::time::Duration;

use super::Write::{MarketoCreate, MarketoRemove, MarketoStatus, SalesforceCreate, SalesforceDelete, SalesforceUpdate};
use super::*;

#[test]
fn marketo_codes_of_a_call() {
    let rows: [(&[&str], Verdict); 7] = [
        (&["600", "601", "602"], Verdict::Refresh),
        (&["500", "502", "604", "608", "611", "614", "713"], Verdict::Unavailable),
        (&["719"], Verdict::Locked),
        (&["606"], Verdict::RateLimited(Duration::from_secs(20))),
        (&["615"], Verdict::RateLimited(Duration::from_secs(2))),
        (&["607"], Verdict::Quota(None)),
        (
            &[
                "603", "605", "609", "610", "612", "613", "616", "701", "702", "703", "709", "710", "1001", "1002",
                "1003", "1004", "1006", "1008", "1013", "1025", "1035", "", "nonsense",
            ],
            Verdict::Refused,
        ),
    ];
    for (codes, expected) in rows {
        for code in codes {
            assert_eq!(of_marketo(code), expected, "{code}");
        }
    }
}

#[test]
fn salesforce_codes_of_a_call() {
    let rows = [
        (401, "INVALID_SESSION_ID", Verdict::Refresh),
        (401, "INVALID_AUTH_HEADER", Verdict::Refresh),
        (400, "UNABLE_TO_LOCK_ROW", Verdict::Locked),
        (400, "QUERY_TIMEOUT", Verdict::Unavailable),
        (503, "SERVER_UNAVAILABLE", Verdict::Unavailable),
        (500, "UNKNOWN_EXCEPTION", Verdict::Unavailable),
        (500, "APEX_ERROR", Verdict::Unavailable),
        (420, "", Verdict::Unavailable),
        (403, "API_CURRENTLY_DISABLED", Verdict::Unavailable),
        (403, "API_DISABLED_FOR_ORG", Verdict::Refused),
        (400, "INVALID_FIELD", Verdict::Refused),
        (400, "INVALID_TYPE", Verdict::Refused),
        (400, "INVALID_QUERY_LOCATOR", Verdict::Refused),
        (400, "MALFORMED_ID", Verdict::Refused),
        (404, "NOT_FOUND", Verdict::Refused),
        (403, "INSUFFICIENT_ACCESS", Verdict::Refused),
        (404, "ENTITY_IS_DELETED", Verdict::Refused),
    ];
    for (status, code, expected) in rows {
        assert_eq!(of_salesforce(status, code, "", None), expected, "{status} {code}");
    }
}

#[test]
fn the_daily_limit_is_told_from_the_concurrent_one_by_the_header_first() {
    let code = "REQUEST_LIMIT_EXCEEDED";
    let (day, now) = (Verdict::Quota(Some(Duration::from_mins(15))), Verdict::RateLimited(Duration::from_secs(5)));
    let rows = [
        ("TotalRequests Limit exceeded.", None, day),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", None, now),
        ("ConcurrentPerOrgLongTxn Limit exceeded.", Some(false), now),
        ("Limite quotidienne", Some(true), day),
        ("Zu viele", Some(false), now),
    ];
    for (message, used_up, expected) in rows {
        assert_eq!(of_salesforce(403, code, message, used_up), expected, "{message}");
    }
}

#[test]
fn statuses_without_an_envelope() {
    for (status, expected) in [
        (200, Verdict::Unavailable),
        (302, Verdict::Unavailable),
        (401, Verdict::Refresh),
        (404, Verdict::Unavailable),
        (413, Verdict::Refused),
        (414, Verdict::Refused),
        (420, Verdict::Unavailable),
        (429, Verdict::RateLimited(Duration::from_secs(2))),
        (500, Verdict::Unavailable),
        (503, Verdict::Unavailable),
    ] {
        assert_eq!(of_status(status), expected, "{status}");
    }
}

#[test]
fn token_errors() {
    for (status, error, expected) in [
        (400, "invalid_grant", Verdict::Unauthorized),
        (401, "invalid_client", Verdict::Unauthorized),
        (401, "unauthorized", Verdict::Unauthorized),
        (400, "rate_limit_exceeded", Verdict::RateLimited(Duration::from_secs(5))),
        (503, "unavailable", Verdict::Unavailable),
    ] {
        assert_eq!(of_token(status, error), expected, "{status} {error}");
    }
}

#[test]
fn salesforce_codes_of_a_record() {
    let all = [SalesforceCreate, SalesforceUpdate, SalesforceDelete];
    for write in all {
        for code in ["UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION"] {
            assert_eq!(of_record(write, code), Reaction::Retry, "{code}");
        }
        for code in ["REQUEST_LIMIT_EXCEEDED", "ALL_OR_NONE_OPERATION_ROLLED_BACK", "PROCESSING_HALTED"] {
            assert_eq!(of_record(write, code), Reaction::Retry, "{code}");
        }
        assert_eq!(of_record(write, "DUPLICATE_VALUE"), Reaction::ReadAgain);
        assert_eq!(of_record(write, "CANNOT_UPDATE_CONVERTED_LEAD"), Reaction::PersonChanged);
        for code in [
            "REQUIRED_FIELD_MISSING",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "INVALID_EMAIL_ADDRESS",
            "STRING_TOO_LONG",
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "FIELD_INTEGRITY_EXCEPTION",
            "ENTITY_IS_LOCKED",
            "MALFORMED_ID",
            "1037",
        ] {
            assert_eq!(of_record(write, code), Reaction::Reject, "{code}");
        }
    }
    for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"] {
        assert_eq!(all.map(|w| of_record(w, code)), [Reaction::PersonChanged, Reaction::ReadAgain, Reaction::Gone]);
    }
    assert_eq!(all.map(|w| of_record(w, "NOT_FOUND")), [Reaction::Reject, Reaction::ReadAgain, Reaction::Gone]);
    assert_eq!(of_record(SalesforceCreate, "DUPLICATES_DETECTED"), Reaction::Duplicates(vec![]));
    assert_eq!(of_record(SalesforceUpdate, "DUPLICATES_DETECTED"), Reaction::Reject);
}

#[test]
fn marketo_codes_of_a_record() {
    use Reaction::{Gone, PersonChanged, ReadAgain, Reject, Retry};
    for (code, expected) in [
        ("1037", [ReadAgain, Gone, Reject]),
        ("1004", [PersonChanged, PersonChanged, Reject]),
        ("1005", [Reject, Reject, ReadAgain]),
        ("1007", [Reject, Reject, Reject]),
        ("1013", [Reject, Gone, Reject]),
        ("1025", [Reject, Reject, Reject]),
        ("1008", [Reject, Reject, Reject]),
        ("713", [Retry, Retry, Retry]),
        ("611", [Retry, Retry, Retry]),
        ("DUPLICATE_VALUE", [Reject, Reject, Reject]),
    ] {
        assert_eq!([MarketoStatus, MarketoRemove, MarketoCreate].map(|w| of_record(w, code)), expected, "{code}");
    }
}

#[test]
fn only_a_write_that_was_sent_may_have_been_applied() {
    let sent = |fault: Fault, write| match fault.into_error(Vendor::Marketo, write) {
        ConnectorError::Unavailable { sent, .. } => sent,
        other => panic!("{other}"),
    };
    assert!(sent(Fault::unreadable("cut"), true));
    assert!(!sent(Fault::unreadable("cut"), false));
    assert!(!sent(Fault { sent: false, ..Fault::unreadable("no connection") }, true));
    assert!(!sent(Fault::of(Verdict::Locked, "UNABLE_TO_LOCK_ROW", ""), true));
}
