//! Webhooks in: bytes in, hints out.
//!
//! Owns the three endpoints and the order of their checks: 413, 401, 400, 422, 503. A delivery is answered after it was
//! stored, and one that is refused leaves no trace. Must not know what becomes of hints.

mod answer;
mod marketo;
mod pace;
mod salesforce;
mod soap;
mod verify;

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use axum::{Extension, Router};
use futures_util::StreamExt;

pub use answer::Refusal;
use pace::Pace;
use verify::{Keys, Signed, Tokens, bearer};

use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::hint::{Delivery, Receipt};
use crate::domain::ids::SalesforceId;
use crate::problem;
use crate::store::ingest::Ingest;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the endpoints need; cheap to clone.
#[derive(Clone)]
pub struct WebhookState(Arc<Shared>);

struct Shared {
    marketo_tokens: Tokens,
    salesforce_keys: Keys,
    salesforce_paths: Tokens,
    organization: Option<SalesforceId>,
    most_bytes: usize,
    pace: Pace,
    ingest: Ingest,
    clock: Clock,
}

impl WebhookState {
    /// From the configuration, the door to the store, and the time.
    #[must_use]
    pub fn new(config: &Config, ingest: Ingest, clock: Clock) -> Self {
        let webhooks = &config.webhooks;
        Self(Arc::new(Shared {
            marketo_tokens: Tokens::new(&webhooks.marketo_tokens),
            salesforce_keys: Keys::new(&webhooks.salesforce_secrets, webhooks.tolerance),
            salesforce_paths: Tokens::new(&webhooks.salesforce_path_tokens),
            organization: config.salesforce.organization_id.clone(),
            most_bytes: usize::try_from(config.limits.max_body_bytes).unwrap_or(usize::MAX),
            pace: Pace::new(config.limits.inbound_per_second),
            ingest,
            clock,
        }))
    }

    /// Reads a body up to the limit, whatever length it claims to have.
    async fn read(&self, body: Body) -> Result<Vec<u8>, Refusal> {
        let limit = self.0.most_bytes;
        if body.size_hint().lower() > limit as u64 {
            return Err(Refusal::TooLarge { limit });
        }
        let mut read = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::Malformed("the body ended too early".to_owned()))?;
            if read.len() + chunk.len() > limit {
                return Err(Refusal::TooLarge { limit });
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read)
    }

    /// Hands a delivery to the store; the last check.
    async fn store(&self, delivery: Delivery) -> Result<Receipt, Refusal> {
        if !self.0.pace.admit(self.0.clock.monotonic()) {
            return Err(Refusal::Unavailable("too many deliveries per second".to_owned()));
        }
        self.0.ingest.accept(delivery).await.map_err(|error| Refusal::Unavailable(error.to_string()))
    }
}

/// The id of the request at hand.
#[derive(Clone)]
struct RequestId(String);

/// The three endpoints, under `/webhooks`.
pub fn router(state: WebhookState) -> Router {
    let json = |handler: MethodRouter<WebhookState>| {
        handler.fallback(async |Extension(RequestId(id)): Extension<RequestId>| Refusal::NotPosted.problem(&id))
    };
    Router::new()
        .route("/webhooks/marketo", json(post(from_marketo)))
        .route("/webhooks/salesforce", json(post(from_salesforce)))
        .route(
            "/webhooks/salesforce/outbound-message/{token}",
            post(from_outbound_message).fallback(async || Refusal::NotPosted.fault()),
        )
        .layer(middleware::from_fn(with_request_id))
        .with_state(state)
}

async fn with_request_id(mut request: Request, next: Next) -> Response {
    let id = problem::request_id(request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()));
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

async fn from_marketo(
    State(state): State<WebhookState>,
    Extension(RequestId(id)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = async {
        let body = state.read(body).await?;
        let given = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let presented = [given("authorization").and_then(bearer), given("x-webhook-token")];
        if !presented.into_iter().flatten().any(|token| state.0.marketo_tokens.admit(token)) {
            return Err(Refusal::Unauthorized("a valid token is needed, as Authorization: Bearer or X-Webhook-Token"));
        }
        state.store(marketo::parse(&body)?).await
    };
    answered.await.map_or_else(|refusal| refusal.problem(&id), answer::marketo)
}

async fn from_salesforce(
    State(state): State<WebhookState>,
    Extension(RequestId(id)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = async {
        let body = state.read(body).await?;
        let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signed = Signed {
            id: given("webhook-id"),
            timestamp: given("webhook-timestamp"),
            signature: given("webhook-signature"),
        };
        if !state.0.salesforce_keys.admit(signed, &body, state.0.clock.now()) {
            return Err(Refusal::Unauthorized("a valid signature is needed, and a webhook-timestamp near our time"));
        }
        state.store(salesforce::parse(&body, signed.id, state.0.organization.as_ref())?).await
    };
    answered.await.map_or_else(|refusal| refusal.problem(&id), answer::salesforce)
}

async fn from_outbound_message(
    State(state): State<WebhookState>,
    token: Result<Path<String>, PathRejection>,
    body: Body,
) -> Response {
    let answered = async {
        let body = state.read(body).await?;
        // What is not even UTF-8 is an unknown token, and lets nobody in.
        if !token.is_ok_and(|Path(token)| state.0.salesforce_paths.admit(token.as_bytes())) {
            return Err(Refusal::Unauthorized("the token in the path is not known"));
        }
        let delivery = soap::parse(&body, state.0.organization.as_ref())?;
        // A message of objects that we do not handle is taken, and is nothing.
        if !delivery.records.is_empty() {
            state.store(delivery).await?;
        }
        Ok(())
    };
    answered.await.map_or_else(Refusal::fault, |()| answer::ack())
}

#[cfg(test)]
mod tests;
