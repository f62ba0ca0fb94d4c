//! Answers: what is said to a sender, in JSON or SOAP.
//!
//! Owns the bodies, statuses and headers of all answers, among them the exact Ack. Must not know how a delivery was read.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quick_xml::escape::escape;
use serde_json::json;

use crate::domain::hint::Receipt;
use crate::problem::{self, FieldError, Problem};

/// Why a delivery was refused, in the order in which it is checked; `TooMany` goes before all of it. None of them leaves a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 405
    #[error("deliveries are posted")]
    NotPosted,
    /// 429: this address has failed too often.
    #[error("too many attempts from this address without a valid secret")]
    TooMany(Duration),
    /// 413
    #[error("the body is longer than {limit} bytes")]
    TooLarge { limit: usize },
    /// 401
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 400: not JSON, not XML, not the envelope.
    #[error("{0}")]
    Malformed(String),
    /// 422
    #[error("{}", listed(.0))]
    Invalid(Vec<FieldError>),
    /// 503: come back.
    #[error("{0}")]
    Unavailable(String),
}

fn listed(errors: &[FieldError]) -> String {
    let line = |error: &FieldError| match error.field.as_str() {
        "" => format!("the body {}", error.message),
        field => format!("{field}: {}", error.message),
    };
    errors.iter().map(line).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed(detail.into())
    }

    pub(super) fn invalid(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotPosted => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed-body", "Malformed body"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", "Invalid input"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable"),
        }
    }

    /// As a problem.
    pub(super) fn problem(self, request_id: &str) -> Response {
        let (status, code, title) = self.kind();
        let mut problem = Problem::new(status.as_u16(), code, title, self.to_string()).of_request(request_id);
        if let Self::Invalid(errors) = &self {
            problem = problem.with_errors(errors.clone());
        }
        self.headed((status, Json(problem)).into_response(), problem::CONTENT_TYPE)
    }

    /// As a SOAP 1.1 fault: Salesforce shows its text in the list of failed messages, and tries again for 24 hours.
    pub(super) fn fault(self) -> Response {
        let (status, _, _) = self.kind();
        let blame = if status.is_server_error() { "Server" } else { "Client" };
        let text = self.to_string();
        let body = format!(
            "{ENVELOPE}<soapenv:Fault><faultcode>soapenv:{blame}</faultcode><faultstring>{}</faultstring></soapenv:Fault>{END}",
            escape(&text)
        );
        self.headed((status, body).into_response(), XML)
    }

    fn headed(&self, mut response: Response, content_type: &'static str) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        match self {
            Self::Unauthorized(_) => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::TooMany(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)))
            }
            Self::Unavailable(_) => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
            Self::NotPosted => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
            _ => None,
        };
        response
    }
}

const XML: &str = "text/xml; charset=utf-8";
const ENVELOPE: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>"#
);
const END: &str = "</soapenv:Body></soapenv:Envelope>";

/// What Salesforce takes as delivered; any other body, even with 200, is a failure to it.
pub(super) fn ack() -> Response {
    let ack = r#"<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>"#;
    ([(header::CONTENT_TYPE, XML)], format!("{ENVELOPE}{ack}{END}")).into_response()
}

/// Marketo writes error 1001 into its log for an empty body, and shows this one.
pub(super) fn marketo(receipt: Receipt) -> Response {
    match receipt.events {
        0 => Json(json!({"accepted": false, "reason": "unmapped"})).into_response(),
        events => Json(json!({"accepted": true, "events": events})).into_response(),
    }
}

pub(super) fn salesforce(receipt: Receipt) -> Response {
    Json(json!({"accepted": true, "events": receipt.events, "ignored": receipt.ignored})).into_response()
}
