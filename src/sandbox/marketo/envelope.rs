//! How Marketo's answers look: the two envelopes, error codes as strings, request ids and the two forms of a date.
//!
//! Owns the wire form of an outcome. Must not know what was asked. Lead Database answers leave out what they do not use; Asset
//! answers always carry `errors` and `warnings`, and have no `result` at all when nothing was found.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// A whole call refused: HTTP 200, `success` false, one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Marketo's code, a string on the wire.
    pub code: u16,
    /// Its text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and text.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// 1001: a parameter of the wrong type.
    pub fn invalid_value(value: &str, kind: &str) -> Self {
        Self::new(1001, format!("Invalid value '{value}'. Required of type '{kind}'"))
    }

    /// 1002: a parameter that is not there.
    pub fn missing(parameter: &str) -> Self {
        Self::new(1002, format!("Missing value for the required parameter '{parameter}'"))
    }

    /// 1003: values that make no sense together.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(1003, message)
    }

    /// 1006: a field nobody knows.
    pub fn unknown_field(field: &str) -> Self {
        Self::new(1006, format!("Field '{field}' not found"))
    }

    /// Codes with a star in Marketo's table count against neither the rate nor the quota; 606, 607 and 615 do count.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.code, 601 | 602 | 604 | 605 | 608 | 611)
    }

    fn as_json(&self) -> Value {
        json!({"code": self.code.to_string(), "message": self.message})
    }
}

/// A call that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Lead Database, everything in one answer.
    Records(Vec<Value>),
    /// Lead Database, one page. `more` is left out when `None`.
    Page { records: Vec<Value>, next: Option<String>, more: Option<bool> },
    /// The same of a log, where an empty page has no `result`.
    Nothing { next: Option<String>, more: bool },
    /// Lead Database, nothing but success (merge), or a paging token.
    Bare { next: Option<String> },
    /// Asset API; an empty list has no `result`.
    Assets(Vec<Value>),
    /// A file of the bulk API, as it is.
    File { content_type: &'static str, bytes: Arc<[u8]> },
    /// A file that is not there: HTTP 404 with a text, unlike everything else.
    NoFile,
}

/// One record of a write that was skipped while the call succeeded.
#[must_use]
pub fn skipped(seq: Option<usize>, code: u16, message: &str) -> Value {
    let mut record = Map::new();
    if let Some(seq) = seq {
        record.insert("seq".into(), seq.into());
    }
    record.insert("status".into(), "skipped".into());
    record.insert("reasons".into(), json!([{"code": code.to_string(), "message": message}]));
    Value::Object(record)
}

/// The body of an answer. `asset` chooses the envelope.
#[must_use]
pub fn render(outcome: &Result<Answer, Refusal>, asset: bool, request_id: String) -> Value {
    match outcome {
        Err(refusal) if asset => {
            json!({"success": false, "errors": [refusal.as_json()], "requestId": request_id, "warnings": []})
        }
        Err(refusal) => json!({"requestId": request_id, "success": false, "errors": [refusal.as_json()]}),
        Ok(Answer::Assets(found)) if found.is_empty() => json!({
            "success": true, "errors": [], "requestId": request_id,
            "warnings": ["No assets found for the given search criteria."],
        }),
        Ok(Answer::Assets(found)) => {
            json!({"success": true, "errors": [], "requestId": request_id, "warnings": [], "result": found})
        }
        Ok(Answer::Records(records)) => json!({"requestId": request_id, "result": records, "success": true}),
        Ok(Answer::Bare { next }) => paged(json!({"requestId": request_id, "success": true}), next.as_ref(), None),
        Ok(Answer::Nothing { next, more }) => {
            paged(json!({"requestId": request_id, "success": true}), next.as_ref(), Some(*more))
        }
        // Files are not rendered; the gate sends them as they are.
        Ok(Answer::File { .. } | Answer::NoFile) => Value::Null,
        Ok(Answer::Page { records, next, more }) => {
            paged(json!({"requestId": request_id, "result": records, "success": true}), next.as_ref(), *more)
        }
    }
}

fn paged(mut body: Value, next: Option<&String>, more: Option<bool>) -> Value {
    if let Some(next) = next {
        body["nextPageToken"] = next.as_str().into();
    }
    if let Some(more) = more {
        body["moreResult"] = more.into();
    }
    body
}

/// `<hex>#<hex of the milliseconds since the epoch>`, as in every recorded answer.
#[must_use]
pub fn request_id(serial: u64, now: Timestamp) -> String {
    format!("{:x}#{:x}", 0x1000 + serial % 0xf_ffff, now.as_millisecond())
}

/// A time in the Lead Database: `2015-05-07T11:47:30Z`.
#[must_use]
pub fn lead_date(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// A time in the Asset API, which strict parsers reject: `2015-05-21T22:45:13Z+0000`.
#[must_use]
pub fn asset_date(time: Timestamp) -> String {
    format!("{time:.0}+0000")
}

/// A time in a query: ISO 8601 with an offset and without fractions of a second.
pub fn query_date(text: &str) -> Option<Timestamp> {
    let plain = text.strip_suffix("Z+0000").map(|start| format!("{start}Z"));
    let text = plain.as_deref().unwrap_or(text);
    if text.contains('.') {
        return None;
    }
    text.parse().ok().or_else(|| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_end_in_the_time_as_recorded() {
        let recorded: Timestamp = "2020-08-30T06:27:08.540Z".parse().unwrap();
        assert!(request_id(7, recorded).ends_with("#1743e0c507c"), "{}", request_id(7, recorded));
    }

    #[test]
    fn dates_have_the_forms_of_the_two_families() {
        let time: Timestamp = "2015-05-21T22:45:13Z".parse().unwrap();
        assert_eq!(lead_date("2015-05-21T22:45:13.999Z".parse().unwrap()), "2015-05-21T22:45:13Z");
        assert_eq!(asset_date(time), "2015-05-21T22:45:13Z+0000");
        for (text, good) in [
            ("2015-05-21T22:45:13Z", true),
            ("2015-05-21T15:45:13-07:00", true),
            ("2015-05-21T22:45:13+0000", true),
            ("2015-05-21T22:45:13Z+0000", true),
            ("2015-05-21T22:45:13.000Z", false),
            ("yesterday", false),
        ] {
            assert_eq!(query_date(text), good.then_some(time), "{text}");
        }
    }

    #[test]
    fn the_envelopes_differ_as_recorded() {
        let refused: Result<Answer, Refusal> = Err(Refusal::new(601, "Access token invalid"));
        let check = |outcome: &Result<Answer, Refusal>, asset, expected: Value| {
            assert_eq!(render(outcome, asset, "e42b#14272d07d78".into()), expected);
        };
        check(
            &refused,
            false,
            json!({"requestId":"e42b#14272d07d78","success":false,"errors":[{"code":"601","message":"Access token invalid"}]}),
        );
        check(&Ok(Answer::Records(vec![])), false, json!({"requestId":"e42b#14272d07d78","result":[],"success":true}));
        check(
            &Ok(Answer::Assets(vec![])),
            true,
            json!({"success":true,"errors":[],"requestId":"e42b#14272d07d78",
                   "warnings":["No assets found for the given search criteria."]}),
        );
        check(
            &Ok(Answer::Bare { next: Some("GIYDAO".into()) }),
            false,
            json!({"requestId":"e42b#14272d07d78","success":true,"nextPageToken":"GIYDAO"}),
        );
    }
}
