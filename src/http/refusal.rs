//! What is answered when a request is refused.
//!
//! Owns which error becomes which status and code. A refusal travels as an extension of the response until `finish`
//! writes it out with the id of the request, so that there is one place where problems get their body.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::connector::ConnectorError;
use crate::problem::{self, FieldError, Problem};
use crate::store::StoreError;

/// When a vendor does not say when to come back, in seconds.
const VENDOR_PAUSE: u64 = 5;

/// What a handler gives: an answer, or why there is none.
pub(super) type Answer<T> = Result<T, Refusal>;

/// A problem with what belongs to its kind alone.
#[derive(Clone, Debug)]
pub(super) struct Refusal(Box<Refused>);

#[derive(Clone, Debug, Serialize)]
struct Refused {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    extra: Map<String, Value>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, title: &str, detail: impl Into<String>) -> Self {
        let problem = Problem::new(status, code, title, detail);
        Self(Box::new(Refused { problem, extra: Map::new(), headers: Vec::new() }))
    }

    /// 422, one field is to blame.
    pub(super) fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, code, message)])
    }

    /// 422, with everything that is wrong.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let line = |error: &FieldError| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("{field}: {}", error.message),
        };
        let detail = errors.iter().map(line).collect::<Vec<_>>().join("; ");
        Self::new(422, "invalid-input", "Invalid input", detail).blaming(errors)
    }

    /// With the fields that are to blame.
    pub(super) fn blaming(mut self, errors: Vec<FieldError>) -> Self {
        self.0.problem = self.0.problem.with_errors(errors);
        self
    }

    /// 404
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(404, "not-found", "Not found", format!("there is no such {what}"))
    }

    /// 401; `presented` is whether there was a key at all (RFC 6750, 3.1).
    pub(super) fn unauthorized(presented: bool) -> Self {
        let (detail, challenge) = match presented {
            false => ("an API key is needed, as Authorization: Bearer KEY", "Bearer"),
            true => ("the API key is not known, has expired, or was revoked", "Bearer error=\"invalid_token\""),
        };
        Self::new(401, "unauthorized", "Unauthorized", detail).header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 429
    pub(super) fn too_many(detail: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(429, "too-many-requests", "Too many requests", detail)
            .header(header::RETRY_AFTER, &seconds.max(1).to_string())
    }

    /// A member of the problem that only its kind has.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// The response as it leaves.
    fn render(mut self, request_id: &str) -> Response {
        self.0.problem.request_id = request_id.to_owned();
        let status = StatusCode::from_u16(self.0.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, Body::from(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        response.headers_mut().extend(self.0.headers);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes out a refusal. What the framework refused by itself, in plain text, becomes a problem too.
pub(super) fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let mut finished = refusal.render(request_id);
        // What a layer around the handler added, such as CORS.
        let more = std::mem::take(response.headers_mut());
        finished.headers_mut().extend(more.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(
            |(name, _)| !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH | header::TRANSFER_ENCODING),
        ));
        return finished;
    }
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, title) = match status {
        StatusCode::NOT_FOUND => ("not-found", "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "Method not allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "Body too large"),
        status if status.is_server_error() => ("internal", "Internal error"),
        _ => ("bad-request", "Bad request"),
    };
    let mut refusal = Refusal::new(status.as_u16(), code, title, title);
    if let Some(allow) = response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()) {
        refusal = refusal.header(header::ALLOW, allow);
    }
    refusal.render(request_id)
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(detail) => Self::new(409, "conflict", "Conflict", detail),
            StoreError::Database(error) => {
                tracing::error!(%error, "a request could not be served by the database");
                let detail = "the database does not answer; nothing was changed";
                Self::new(503, "unavailable", "Unavailable", detail).header(header::RETRY_AFTER, "1")
            }
            StoreError::Migration(_) | StoreError::Corrupt(_) | StoreError::LeaseLost(_) => {
                tracing::error!(%error, "a request met a fault of ours");
                Self::new(500, "internal", "Internal error", "a fault of ours; the log has more under this request_id")
            }
        }
    }
}

impl From<ConnectorError> for Refusal {
    fn from(error: ConnectorError) -> Self {
        let detail = error.to_string();
        let later = |seconds: u64| {
            Self::new(503, "vendor-unavailable", "Vendor unavailable", detail.clone())
                .header(header::RETRY_AFTER, &seconds.max(1).to_string())
        };
        match error {
            ConnectorError::Unavailable { retry_after, .. } => later(retry_after.map_or(VENDOR_PAUSE, |d| d.as_secs())),
            ConnectorError::RateLimited { retry_after, .. } | ConnectorError::QuotaExhausted { retry_after, .. } => {
                later(retry_after.as_secs())
            }
            ConnectorError::Unauthorized { .. } | ConnectorError::Refused { .. } => {
                Self::new(502, "vendor-error", "Vendor error", detail)
            }
        }
    }
}
