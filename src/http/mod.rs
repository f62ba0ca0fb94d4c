//! REST: what users, dashboards and scripts see of the service.
//!
//! Owns the paths, bodies and errors under `/api/v1`, the document that describes them, and the health of the process. Asks
//! the store and, where a mapping is made, the vendors; must not know the worker or the webhooks.

mod administration;
pub mod auth;
mod browse;
mod catch_ups;
mod changes;
mod diagnostics;
mod document;
mod erase;
mod error_series;
mod events;
mod extract;
mod filter;
mod flow_actions;
mod guards;
mod health;
mod held;
mod idempotency;
mod mappings;
mod members;
mod metrics;
mod plans;
mod refusal;
mod resolve;
mod runs;
mod schema;
mod stats;
mod stream;
mod subscriptions;
mod table;
mod timeseries;

use std::any::Any;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Config;
use crate::connector::budget::BudgetUse;
use crate::connector::{Marketo, Salesforce};
use crate::diagnosis::Diagnosis;
use crate::domain::mapping::Policies;
use crate::door::{Attempts, Paces};
use crate::problem;
use crate::store::Store;
use auth::BootstrapKey;
pub use auth::{Scope, create_key};
use browse::KnownPrograms;
pub use document::{openapi, openapi_json};
use flow_actions::KnownCampaigns;
pub use metrics::describe as describe_metrics;
use refusal::Refusal;
use subscriptions::Private;

const BASE: &str = "/api/v1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How a vendor's calls stand, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorHealth {
    /// Calls made since the vendor's day began.
    pub calls_today: Option<u64>,
    /// Calls that the vendor allows in a day.
    pub limit: Option<u64>,
    /// Whether calls are held back because the vendor is down.
    pub circuit_open: bool,
    /// How the calls that are allowed are used; none where nobody counts them.
    pub budget: Option<BudgetUse>,
}

/// Asked for both vendors whenever somebody looks: Marketo first.
pub type VendorGauge = Arc<dyn Fn() -> (VendorHealth, VendorHealth) + Send + Sync>;

/// What the operations need; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    store: Store,
    marketo: Arc<dyn Marketo>,
    salesforce: Arc<dyn Salesforce>,
    vendors: Option<VendorGauge>,
    diagnosis: Option<Arc<Diagnosis>>,
    known: KnownCampaigns,
    programs: KnownPrograms,
    /// Whoever waits for something need not wait any longer.
    stop: CancellationToken,
    bootstrap_key: BootstrapKey,
    /// Of a mapping that says nothing else.
    policies: Policies,
    cors_origins: Arc<[String]>,
    most_bytes: usize,
    /// The longest call of a vendor is shorter than this.
    lease: std::time::Duration,
    private: Private,
    /// A permit for each stream of events.
    streams: Arc<Semaphore>,
    /// Who has been failing, by address.
    attempts: Arc<Attempts>,
    /// Requests of each key.
    paces: Arc<Paces>,
}

impl ApiState {
    /// From the configuration, the store and the vendors.
    #[must_use]
    pub fn new(store: Store, marketo: Arc<dyn Marketo>, salesforce: Arc<dyn Salesforce>, config: &Config) -> Self {
        Self {
            store,
            marketo,
            salesforce,
            vendors: None,
            diagnosis: None,
            known: KnownCampaigns::default(),
            programs: KnownPrograms::default(),
            stop: CancellationToken::new(),
            bootstrap_key: BootstrapKey::new(&config.auth.bootstrap_key),
            policies: policies(config),
            cors_origins: config.server.cors_origins.clone().into(),
            most_bytes: usize::try_from(config.limits.max_body_bytes).unwrap_or(usize::MAX),
            lease: config.sync.lease,
            private: Private(config.limits.allow_private_targets),
            streams: Arc::new(Semaphore::new(stream::STREAMS)),
            attempts: Arc::new(Attempts::new(config.limits.failed_attempts_per_minute)),
            paces: Arc::new(Paces::new(config.limits.requests_per_second)),
        }
    }

    /// With the count of failures that the webhooks have too.
    #[must_use]
    pub fn counting(self, attempts: Arc<Attempts>) -> Self {
        Self { attempts, ..self }
    }

    /// With figures of the vendors' calls for `/stats`.
    #[must_use]
    pub fn with_vendors(self, vendors: VendorGauge) -> Self {
        Self { vendors: Some(vendors), ..self }
    }

    /// With what makes the checklist of `/diagnostics`.
    #[must_use]
    pub fn with_diagnosis(self, diagnosis: Diagnosis) -> Self {
        Self { diagnosis: Some(Arc::new(diagnosis)), ..self }
    }

    /// With the word on which waiting requests are answered as they stand.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }
}

/// The configured defaults; the configuration has checked that each is of its list.
fn policies(config: &Config) -> Policies {
    let defaults = &config.sync.defaults;
    let built_in = Policies::default();
    Policies {
        direction: defaults.direction.parse().unwrap_or(built_in.direction),
        conflict: defaults.conflict.parse().unwrap_or(built_in.conflict),
        regression: defaults.regression.parse().unwrap_or(built_in.regression),
        removal: defaults.removal.parse().unwrap_or(built_in.removal),
        create_leads: defaults.create_leads,
        ambiguous_person: defaults.ambiguous_person.parse().unwrap_or(built_in.ambiguous_person),
        gate: None,
    }
}

/// The operations with their description. Whatever is here needs a key; `administration` needs one of an administrator.
fn operations() -> (OpenApiRouter<ApiState>, OpenApiRouter<ApiState>) {
    let operations = OpenApiRouter::default()
        .merge(mappings::routes())
        .merge(browse::routes())
        .merge(guards::routes())
        .merge(plans::routes())
        .merge(runs::routes())
        .merge(members::routes())
        .merge(held::routes())
        .merge(resolve::routes())
        .merge(changes::routes())
        .merge(events::routes())
        .merge(stream::routes())
        .merge(subscriptions::routes())
        .merge(catch_ups::routes())
        .merge(flow_actions::routes())
        .merge(filter::routes())
        .merge(stats::routes())
        .merge(timeseries::routes())
        .merge(error_series::routes())
        .merge(diagnostics::routes());
    (operations, administration::routes().merge(erase::routes()))
}

/// Everything that this module serves.
pub fn router(state: ApiState) -> Router {
    let (operations, administration) = operations();
    let administration = Router::from(administration).route_layer(middleware::from_fn(auth::administrators));
    let api = Router::from(operations)
        .route_layer(middleware::from_fn_with_state(state.clone(), idempotency::once))
        .merge(administration)
        .fallback(async || Refusal::not_found("operation"))
        .method_not_allowed_fallback(async || {
            Refusal::new(405, "method-not-allowed", "Method not allowed", "the path has other methods")
        })
        .layer(middleware::from_fn_with_state(state.clone(), auth::authorize));
    let limit = state.most_bytes;
    let cors = cors(&state.cors_origins);
    let served = Router::new()
        .nest(BASE, api)
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(document::serve))
        .route("/docs", get(document::page))
        .with_state(state)
        .fallback(async || Refusal::not_found("path"));
    answered(served.layer(DefaultBodyLimit::max(limit)), cors)
}

/// With what holds of every answer, also of one that a panic cut off.
fn answered(router: Router, cors: CorsLayer) -> Router {
    router.layer(CatchPanicLayer::custom(panicked)).layer(cors).layer(middleware::from_fn(with_request_id))
}

/// Only the health of the process: for one that works and does not answer.
pub fn health_router(state: ApiState) -> Router {
    let routes = Router::new().route("/healthz", get(health::live)).route("/readyz", get(health::ready));
    routes.with_state(state).layer(middleware::from_fn(with_request_id))
}

/// Gives a request its id, and writes out what was refused.
async fn with_request_id(request: Request, next: Next) -> Response {
    let id = problem::request_id(request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if response.status().is_server_error() {
        tracing::warn!(request_id = %id, %method, path, status = response.status().as_u16(), "a request failed");
    }
    let mut response = refusal::finish(response, &id);
    if let Ok(header) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> http::Response<axum::body::Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of no text"), "a request met a fault of ours");
    let detail = "a fault of ours; the log has more under this request_id";
    Refusal::new(500, "internal", "Internal error", detail).into_response()
}

fn cors(origins: &[String]) -> CorsLayer {
    let origin = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            REQUEST_ID,
            IDEMPOTENCY_KEY,
            auth::API_KEY,
            stream::LAST_EVENT_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::LINK,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            REQUEST_ID,
            idempotency::REPLAYED,
            filter::COMPLETE,
        ])
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tower::ServiceExt;

    use super::*;

    async fn none() {
        panic!("a fault that is tried on purpose");
    }

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_and_tells_nothing_of_itself() {
        let router = answered(Router::new().route("/", get(none)), cors(&[]));
        let request = http::Request::get("/").header("x-request-id", "r1").body(axum::body::Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[&REQUEST_ID]),
            (500, &HeaderValue::from_static("r1"))
        );
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&"internal".into(), &"r1".into()));
        assert!(!problem.to_string().contains("on purpose"));
    }
}
