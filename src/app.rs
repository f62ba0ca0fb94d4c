//! Puts the rooms together: one process that receives, works and answers.
//!
//! Owns start and stop. Everything that runs is started here and ended here, in an order in which nothing accepted is
//! lost: first no new work is claimed, then requests end, then what was accepted is stored.

mod budgets;
mod comparison;
mod listener;
mod settings;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Router, middleware};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::Config;
use crate::connector::budget::{Limits, Priority};
use crate::connector::marketo::{MarketoClient, MarketoSettings};
use crate::connector::salesforce::{SalesforceClient, SalesforceSettings};
use crate::connector::{CircuitState, Usage};
use crate::dashboard::{self, Dashboard, SECRET_BYTES};
use crate::diagnosis::{Diagnosis, Item};
use crate::domain::clock::Clock;
use crate::domain::hint::Source;
use crate::door::Attempts;
use crate::http::{ApiState, VendorHealth};
use crate::store::Store;
use crate::store::ingest::Ingest;
use crate::webhook::WebhookState;
use crate::worker::deliver::Deliverer;
use crate::worker::maintenance::Maintenance;
use crate::worker::points::Points;
use crate::worker::poll::{Allowance, PollSettings, Poller};
use crate::worker::{Vendors, Worker};
use crate::{http, webhook};

use budgets::Shared;
pub use comparison::reconcile;
use listener::Gate;
use settings::{delivery_settings, retention, settings};

/// Lanes that one process works at the same time: enough to keep the vendors' concurrency busy.
const WORKERS: usize = 4;
/// How long the batch in hand may take once the process is told to stop.
const GRACE: Duration = Duration::from_secs(25);

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Receives, answers and works.
    #[default]
    All,
    /// Receives and answers.
    Http,
    /// Works; answers only for its health.
    Worker,
}

/// How a process is run.
#[derive(Clone, Debug)]
pub struct Options {
    pub role: Role,
    /// Bring the schema up to date first.
    pub migrate: bool,
    /// Told once the listener accepts, on standard output.
    pub announce: bool,
    pub points: Points,
}

/// A service that accepts requests.
#[derive(Debug)]
pub struct Service {
    pub address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    budgets: Shared,
}

impl Service {
    /// Runs until told to stop, then ends what is in hand; false when a part of it ended by itself before that.
    pub async fn run_until(mut self, told: impl Future<Output = ()>) -> bool {
        let whole = tokio::select! {
            () = told => true,
            _ = self.tasks.join_next() => false,
            () = self.budgets.broken() => false,
        };
        match whole {
            true => tracing::info!("stopping"),
            false => tracing::error!("a part of the service ended by itself"),
        }
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("what was in hand did not end in time; its leases run out");
        }
        self.budgets.end().await;
        whole
    }
}

/// Connects to the database.
///
/// # Errors
/// When it is not there.
pub async fn connect(config: &Config, clock: Clock) -> anyhow::Result<Store> {
    let own = &config.database;
    let store = Store::connect_within(own.url.expose_secret(), own.max_connections, own.statement_timeout, clock).await;
    store.context("the database of database.url cannot be used")
}

/// Starts the service.
///
/// # Errors
/// When the database, the schema or the address does not let it.
pub async fn start(config: &Config, options: Options) -> anyhow::Result<Service> {
    let clock = Clock::system();
    let store = connect(config, clock.clone()).await?;
    if options.migrate {
        store.migrate().await.context("the schema cannot be brought up to date")?;
    }
    let marketo = Arc::new(marketo(config, clock.clone())?);
    let salesforce = Arc::new(salesforce(config, clock.clone())?);
    let budgets = Shared::begin(config, &store, &marketo, &salesforce);
    if !config.auth.bootstrap_key.expose_secret().is_empty() {
        tracing::warn!(
            "auth.bootstrap_key is set: an administrator's key that never expires; make keys with `campaign-sync keys create`, and take it out"
        );
    }
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let mut router = Router::new();
    let diagnosis = Diagnosis::new(store.clone(), &marketo, &salesforce, config);
    // Somebody waits for the answer.
    let (first_marketo, first_salesforce) =
        (marketo.prioritised(Priority::FlowAction), salesforce.prioritised(Priority::FlowAction));
    let api = ApiState::new(store.clone(), Arc::new(first_marketo), Arc::new(first_salesforce), config)
        .with_diagnosis(diagnosis);
    let api = api.with_vendors({
        let (marketo, salesforce) = (marketo.clone(), salesforce.clone());
        Arc::new(move || (health(&marketo.usage()), health(&salesforce.usage())))
    });
    let attempts = Arc::new(Attempts::new(config.limits.failed_attempts_per_minute));
    let api = api.until(stop.clone()).counting(attempts.clone());
    let measured = api.clone();
    match options.role {
        Role::Worker => router = router.merge(http::health_router(api)),
        Role::All | Role::Http => {
            let (ingest, waiting) = Ingest::channel(config.database.statement_timeout);
            let writer = store.clone();
            tasks.spawn(async move { writer.write_deliveries(waiting).await });
            let pages = dashboard(config, &store, http::router(api.clone()), clock.clone(), stop.clone()).await?;
            let webhooks = WebhookState::new(config, attempts, ingest, clock);
            router = router.merge(http::router(api)).merge(webhook::router(webhooks)).merge(pages);
            router = router.layer(middleware::from_fn(dashboard::lost));
        }
    }
    router = router.route(
        "/metrics",
        get({
            let metrics = metrics()?;
            async move || {
                measured.measure().await;
                metrics.render()
            }
        }),
    );
    let listener = TcpListener::bind(config.server.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on server.listen {}", config.server.listen))?;
    let address = listener.local_addr()?;
    tasks.spawn(listener::serve(listener, router, Gate::new(config), stop.clone()));
    // Before anybody is at work: what waits may be worked off, and end, faster than whoever started this is told.
    if options.announce {
        announce(address)?;
    }
    tracing::info!(%address, role = ?options.role, "listening");

    if options.role != Role::Http {
        let at = |priority: Priority| -> Vendors {
            (Arc::new(marketo.prioritised(priority)), Arc::new(salesforce.prioritised(priority)))
        };
        let (commands, runs) = (at(Priority::FlowAction), at(Priority::Reconcile));
        let deliverer =
            Deliverer::new(store.clone(), marketo.clone(), delivery_settings(config), options.points.clone())?;
        tasks.spawn(deliverer.run(stop.clone()));
        let poller = poller(config, store.clone(), &marketo, &salesforce, options.points.clone());
        tasks.spawn(poller.run(stop.clone()));
        tasks.spawn(Maintenance::new(store.clone(), retention(config)).run(stop.clone()));
        let worker = Worker::new(store, marketo, salesforce, settings(config), options.points);
        let worker = worker.with_priorities(commands, runs);
        for _ in 0..WORKERS {
            tasks.spawn(worker.another().run(stop.clone()));
        }
    }
    Ok(Service { address, stop, tasks, budgets })
}

/// The checklist, without a running service.
///
/// # Errors
/// When a setting cannot be used, or the database.
pub async fn check(config: &Config) -> anyhow::Result<Vec<Item>> {
    let clock = Clock::system();
    let store = connect(config, clock.clone()).await?;
    store.migrate().await.context("the schema cannot be brought up to date")?;
    let (marketo, salesforce) = (marketo(config, clock.clone())?, salesforce(config, clock)?);
    // A few calls, past what the processes share: whether a vendor answers again, only it can say.
    let items = Diagnosis::new(store, &marketo, &salesforce, config).checklist().await;
    items.context("the database of database.url cannot be read")
}

/// The pages over the API, with sessions that every process of this database opens.
async fn dashboard(
    config: &Config,
    store: &Store,
    api: Router,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<Router> {
    let mut fresh = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut fresh).ok().context("there is no randomness for the sessions")?;
    let kept = store.keep_secret("dashboard_sessions", &BASE64_STANDARD.encode(fresh)).await?;
    let secret = BASE64_STANDARD.decode(kept).context("the secret of the sessions in the database is damaged")?;
    Ok(Dashboard::new(api, &secret, config.server.public_url.as_ref(), clock, stop).await?.router())
}

fn health(usage: &Usage) -> VendorHealth {
    VendorHealth {
        calls_today: Some(usage.calls_today),
        limit: usage.daily_limit,
        circuit_open: usage.circuit != CircuitState::Closed,
        budget: Some(usage.budget.clone()),
    }
}

fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let line = serde_json::json!({"event": "listening", "url": format!("http://{address}")});
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The one recorder of this process.
fn metrics() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().context("the metrics cannot be recorded")?;
    http::describe_metrics();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// The client of the configured Marketo instance.
///
/// # Errors
/// When a setting cannot be used.
pub fn marketo(config: &Config, clock: Clock) -> anyhow::Result<MarketoClient> {
    let (own, limits) = (&config.marketo, &config.limits.marketo);
    if own.base_url.is_none() {
        tracing::warn!("marketo.base_url is not set: nothing can be read from or written to Marketo");
    }
    let identity = own.identity_url().map(|url| Url::parse(&url)).transpose()?;
    let settings = MarketoSettings {
        base_url: own.base_url.clone().map_or_else(|| not_set("marketo"), Ok)?,
        identity_url: identity.map_or_else(|| not_set("marketo"), Ok)?,
        client_id: own.client_id.clone(),
        client_secret: own.client_secret.clone(),
        salesforce_lead_field: own.salesforce_lead_field.clone(),
        salesforce_contact_field: own.salesforce_contact_field.clone(),
        limits: Limits {
            concurrency: usize::try_from(limits.concurrency)?,
            window: (limits.calls_per_window > 0).then_some((limits.calls_per_window, limits.window)),
            daily_calls: Some(u64::from(limits.daily_calls)),
            daily_share: None,
            timeout: timeout(config),
        },
    };
    Ok(MarketoClient::new(settings, clock)?)
}

/// The client of the configured Salesforce organisation.
///
/// # Errors
/// When a setting cannot be used.
pub fn salesforce(config: &Config, clock: Clock) -> anyhow::Result<SalesforceClient> {
    let (own, limits) = (&config.salesforce, &config.limits.salesforce);
    let configured = own.login_url.is_some();
    if !configured {
        tracing::warn!("salesforce.login_url is not set: nothing can be read from or written to Salesforce");
    }
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let secret = |secret: &SecretString| (!secret.expose_secret().is_empty()).then(|| secret.clone());
    let settings = SalesforceSettings {
        login_url: own.login_url.clone().map_or_else(|| not_set("salesforce"), Ok)?,
        instance_url: own.instance_url.clone(),
        client_id: own.client_id.clone(),
        client_secret: secret(&own.client_secret).or_else(|| (!configured).then(|| SecretString::from("not set"))),
        username: some(&own.username),
        private_key: secret(&own.private_key),
        api_version: own.api_version.clone(),
        organization_id: own.organization_id.clone(),
        person_external_id_field: some(&own.person_external_id_field),
        auto_assign: config.sync.lead_assignment_rules,
        limits: Limits {
            concurrency: usize::try_from(limits.concurrency)?,
            window: None,
            daily_calls: None,
            daily_share: Some(limits.daily_share),
            timeout: timeout(config),
        },
    };
    Ok(SalesforceClient::new(settings, clock)?)
}

/// A name that resolves nowhere and says why, so that the service can be looked at before it is connected.
fn not_set(vendor: &str) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("https://{vendor}-is-not-configured.invalid"))?)
}

/// The longest call: it has ended before a lease that was renewed for it runs out.
fn timeout(config: &Config) -> Duration {
    config.sync.lease * 4 / 5
}

/// What looks for changes that nobody told of, behind webhooks and before whole reads.
fn poller(
    config: &Config,
    store: Store,
    marketo: &MarketoClient,
    salesforce: &SalesforceClient,
    points: Points,
) -> Poller {
    let sync = &config.sync;
    let settings = PollSettings {
        every: sync.poll_interval,
        lease: sync.lease,
        retry_base: sync.retry_base,
        retry_cap: sync.retry_cap,
    };
    let at = |priority| (marketo.prioritised(priority), salesforce.prioritised(priority));
    let (marketo, salesforce) = at(Priority::Poll);
    let (of_marketo, of_salesforce) = (marketo.clone(), salesforce.clone());
    let left = move |source: Source| match source {
        Source::Marketo => allowance(&of_marketo.usage()),
        Source::Salesforce => allowance(&of_salesforce.usage()),
    };
    Poller::new(store, Arc::new(marketo), Arc::new(salesforce), settings, points).with_gauge(Arc::new(left))
}

/// Calls that are left, of what we allow ourselves and of what the vendor grants everybody; none while neither is known.
fn allowance(usage: &Usage) -> Option<Allowance> {
    let ours = usage.daily_limit.map(|limit| limit.saturating_sub(usage.calls_today));
    let calls = [ours, usage.remaining].into_iter().flatten().min()?;
    Some(Allowance { calls, time: usage.day_left })
}
