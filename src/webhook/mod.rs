//! Webhooks in: bytes in, hints out.
//!
//! Owns the three endpoints and the order of their checks: 413, 401, 400, 422, 503; an address that keeps failing the second gets
//! 429 before any of them. A delivery is answered after it was stored, and one that is refused leaves no trace. Must not know
//! what becomes of hints.

mod answer;
mod marketo;
mod salesforce;
mod soap;
mod verify;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use answer::Refusal;
use verify::{Keys, Signed, Tokens, bearer};

use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::hint::{Delivery, Receipt};
use crate::domain::ids::SalesforceId;
use crate::door::{Attempts, Client, Fingerprint, Pace, fingerprint, presented};
use crate::problem;
use crate::store::ingest::Ingest;

/// So many bodies of the greatest length are kept at the same time of those that may be strangers': a connection may carry many requests,
/// and whose a signed body is, is known only when all of it is there. Whoever has shown a token is not turned away for them.
const BODIES: usize = 64;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the endpoints need; cheap to clone.
#[derive(Clone)]
pub struct WebhookState(Arc<Shared>);

struct Shared {
    marketo_tokens: Tokens,
    salesforce_keys: Keys,
    salesforce_paths: Tokens,
    /// Of Salesforce's own certificate, in the header that a proxy of ours writes.
    certificates: Option<(HeaderName, Vec<Fingerprint>)>,
    organization: Option<SalesforceId>,
    most_bytes: usize,
    /// Of bodies that may be strangers' and are kept at the same time, in bytes.
    room: Arc<Semaphore>,
    pace: Pace,
    attempts: Arc<Attempts>,
    ingest: Ingest,
    clock: Clock,
}

impl WebhookState {
    /// From the configuration, who has been failing, the door to the store, and the time.
    #[must_use]
    pub fn new(config: &Config, attempts: Arc<Attempts>, ingest: Ingest, clock: Clock) -> Self {
        let webhooks = &config.webhooks;
        let fingerprints: Vec<_> =
            webhooks.salesforce_certificates.iter().filter_map(|text| fingerprint(text)).collect();
        let header = HeaderName::try_from(&webhooks.certificate_header).ok();
        let most_bytes = usize::try_from(config.limits.max_body_bytes).unwrap_or(usize::MAX);
        let room = most_bytes.saturating_mul(BODIES).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            marketo_tokens: Tokens::new(&webhooks.marketo_tokens),
            salesforce_keys: Keys::new(&webhooks.salesforce_secrets, webhooks.tolerance),
            salesforce_paths: Tokens::new(&webhooks.salesforce_path_tokens),
            certificates: header.filter(|_| !fingerprints.is_empty()).map(|header| (header, fingerprints)),
            organization: config.salesforce.organization_id.clone(),
            most_bytes,
            room: Arc::new(Semaphore::new(room)),
            pace: Pace::new(config.limits.inbound_per_second),
            attempts,
            ingest,
            clock,
        }))
    }

    /// Reads a body up to the limit, whatever length it claims to have. One that is nobody's is counted and not kept.
    async fn read(&self, headers: &HeaderMap, body: Body, sender: Sender) -> Result<Kept, Refusal> {
        let limit = self.0.most_bytes;
        let claimed =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if claimed.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge { limit });
        }
        let (mut read, mut kept) = (0, Kept::default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|_| Refusal::Malformed("the body ended too early, or came too slowly".to_owned()))?;
            read += chunk.len();
            if read > limit {
                return Err(Refusal::TooLarge { limit });
            }
            match sender {
                Sender::Known => kept.bytes.extend_from_slice(&chunk),
                Sender::NotYet => kept.add(&self.0.room, &chunk)?,
                Sender::Stranger => {}
            }
        }
        Ok(kept)
    }

    /// Whoever has failed too often is not looked at.
    fn knocks(&self, client: Option<Client>) -> Result<(), Refusal> {
        let now = self.0.clock.monotonic();
        client.map_or(Ok(()), |client| self.0.attempts.admit(client, now)).map_err(Refusal::TooMany)
    }

    /// Lets in who has proved who it is, and counts who has not.
    fn admit(&self, client: Option<Client>, proved: bool, needed: &'static str) -> Result<(), Refusal> {
        let (now, attempts) = (self.0.clock.monotonic(), &self.0.attempts);
        if proved {
            client.inspect(|client| attempts.succeeded(*client, now));
            return Ok(());
        }
        if let Some(client) = client.filter(|client| attempts.failed(*client, now)) {
            tracing::warn!(address = %client.address(), "webhooks without a valid secret keep coming from this address");
        }
        Err(Refusal::Unauthorized(needed))
    }

    /// Whether Salesforce's certificate was shown, where one is asked for.
    fn certified(&self, headers: &HeaderMap) -> bool {
        self.0.certificates.as_ref().is_none_or(|(name, known)| {
            // Where there are two, one is what the client wrote: which one cannot be told.
            let mut lines = headers.get_all(name).into_iter();
            let only = lines.next().filter(|_| lines.next().is_none());
            let shown = only.and_then(|value| presented(value.to_str().ok()?));
            shown.is_some_and(|shown| known.contains(&shown))
        })
    }

    /// Hands a delivery to the store; the last check.
    async fn store(&self, delivery: Delivery) -> Result<Receipt, Refusal> {
        if !self.0.pace.admit(self.0.clock.monotonic()) {
            return Err(Refusal::Unavailable("too many deliveries per second".to_owned()));
        }
        self.0.ingest.accept(delivery).await.map_err(|error| Refusal::Unavailable(error.to_string()))
    }
}

/// Whether it is known whose a body is, before it is read.
#[derive(Clone, Copy)]
enum Sender {
    Known,
    /// When all of it is there.
    NotYet,
    Stranger,
}

impl Sender {
    fn proved(proved: bool) -> Self {
        if proved { Self::Known } else { Self::Stranger }
    }
}

/// A body, and the room that it takes.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Kept {
    fn add(&mut self, room: &Arc<Semaphore>, chunk: &[u8]) -> Result<(), Refusal> {
        let taken = u32::try_from(chunk.len()).ok().and_then(|n| room.clone().try_acquire_many_owned(n).ok());
        let taken = taken.ok_or_else(|| Refusal::Unavailable("too many bodies at the same time".to_owned()))?;
        match &mut self.room {
            Some(held) => held.merge(taken),
            room => *room = Some(taken),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
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

/// The address that a request is counted under, where the listener has found one.
type Caller = Option<Extension<Client>>;

fn from(client: Caller) -> Option<Client> {
    client.map(|Extension(client)| client)
}

async fn from_marketo(
    State(state): State<WebhookState>,
    Extension(RequestId(id)): Extension<RequestId>,
    client: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = async {
        let client = from(client);
        state.knocks(client)?;
        let given = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let presented = [given("authorization").and_then(bearer), given("x-webhook-token")];
        let proved = presented.into_iter().flatten().any(|token| state.0.marketo_tokens.admit(token));
        let body = state.read(&headers, body, Sender::proved(proved)).await?;
        state.admit(client, proved, "a valid token is needed, as Authorization: Bearer or X-Webhook-Token")?;
        state.store(marketo::parse(&body.bytes)?).await
    };
    answered.await.map_or_else(|refusal| refusal.problem(&id), answer::marketo)
}

async fn from_salesforce(
    State(state): State<WebhookState>,
    Extension(RequestId(id)): Extension<RequestId>,
    client: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = async {
        let client = from(client);
        state.knocks(client)?;
        let kept = state.read(&headers, body, Sender::NotYet).await?;
        let body = &kept.bytes;
        let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signed = Signed {
            id: given("webhook-id"),
            timestamp: given("webhook-timestamp"),
            signature: given("webhook-signature"),
        };
        let proved = state.certified(&headers) && state.0.salesforce_keys.admit(signed, body, state.0.clock.now());
        state.admit(client, proved, "a valid signature is needed, and a webhook-timestamp near our time")?;
        state.store(salesforce::parse(body, signed.id, state.0.organization.as_ref())?).await
    };
    answered.await.map_or_else(|refusal| refusal.problem(&id), answer::salesforce)
}

async fn from_outbound_message(
    State(state): State<WebhookState>,
    token: Result<Path<String>, PathRejection>,
    client: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = async {
        let client = from(client);
        state.knocks(client)?;
        // What is not even UTF-8 is an unknown token, and lets nobody in.
        let known = token.is_ok_and(|Path(token)| state.0.salesforce_paths.admit(token.as_bytes()));
        let proved = known && state.certified(&headers);
        let body = state.read(&headers, body, Sender::proved(proved)).await?;
        state.admit(client, proved, "the token in the path is not known")?;
        let delivery = soap::parse(&body.bytes, state.0.organization.as_ref())?;
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
