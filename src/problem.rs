//! What we answer when we refuse: RFC 9457 problems, and the ids by which a request is found in the logs.
//!
//! Owns the one shape of JSON errors. Must not know any framework: whoever serves HTTP turns a problem into a response.

use serde::Serialize;
use uuid::Uuid;

use crate::domain::catalogue::{Subject, find};

/// Content type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One problem. `type` and `code` name its kind; clients tell problems apart by `code` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub code: &'static str,
    pub title: String,
    /// HTTP status.
    pub status: u16,
    pub detail: String,
    pub request_id: String,
    /// What is wrong with which field; empty where no field is to blame.
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Path from the root of the body, such as `records[3].Id`.
    pub field: String,
    pub code: &'static str,
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl Problem {
    /// A problem of the kind `code`, a slug of the error catalogue.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: impl Into<String>, detail: impl Into<String>) -> Self {
        debug_assert!(find(Subject::Request, code).is_some(), "{code} is not in the error catalogue");
        Self {
            kind: format!("https://campaign-sync.dev/problems/{code}"),
            code,
            title: title.into(),
            status,
            detail: detail.into(),
            request_id: String::new(),
            errors: Vec::new(),
        }
    }

    /// With the fields that are to blame.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With the id of the request.
    #[must_use]
    pub fn of_request(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }
}

/// The id of a request: the caller's when it is fit to be echoed and logged, else a new one.
#[must_use]
pub fn request_id(given: Option<&str>) -> String {
    let fit = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:/+=".contains(&c))
    };
    given.filter(fit).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_have_the_fields_of_the_contract() {
        let problem = Problem::new(422, "invalid-input", "Invalid input", "leadId is missing")
            .with_errors(vec![FieldError::new("leadId", "required", "is missing")])
            .of_request("r1");
        let expected = serde_json::json!({
            "type": "https://campaign-sync.dev/problems/invalid-input", "code": "invalid-input", "title": "Invalid input",
            "status": 422, "detail": "leadId is missing", "request_id": "r1",
            "errors": [{"field": "leadId", "code": "required", "message": "is missing"}]
        });
        assert_eq!(serde_json::to_value(problem).unwrap(), expected);
    }

    #[test]
    fn only_fit_ids_are_echoed() {
        assert_eq!(request_id(Some("a-1.b:c")), "a-1.b:c");
        let long = "x".repeat(129);
        for bad in ["", "a b", "a\u{e9}", "<script>", long.as_str()] {
            assert_eq!(Uuid::parse_str(&request_id(Some(bad))).unwrap().get_version_num(), 7, "{bad}");
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
