//! Figures for whoever looks at the whole.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Json;
use super::refusal::Answer;
use super::schema::Time;
use super::{ApiState, VendorHealth};
use crate::connector::budget::BudgetUse;
use crate::domain::budget::Part;
use crate::domain::mapping::MappingState;
use crate::domain::merge::SyncState;
use crate::store::budgets::SharedUse;
use crate::store::reports::LATE;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    pub(super) generated_at: Time,
    /// By state.
    #[schema(example = json!({"active": 12, "paused": 1, "failed": 0}))]
    pub(super) mappings: BTreeMap<&'static str, i64>,
    /// By state.
    #[schema(example = json!({"in_sync": 118, "pending": 2, "diverged": 1, "gated": 0, "parked": 0, "failed": 0}))]
    pub(super) members: BTreeMap<&'static str, i64>,
    pub(super) outbox: Outbox,
    pub(super) latency_ms: Latency,
    pub(super) throughput: Throughput,
    /// Accepted records; `received` is the sum of the others.
    #[schema(example = json!({"received": 10, "applied": 6, "no_op": 2, "superseded": 1, "waiting": 1, "held": 0, "failed": 0, "discarded": 0}))]
    pub(super) ledger: BTreeMap<&'static str, i64>,
    /// The same of records accepted since midnight (UTC).
    #[schema(example = json!({"received": 4, "applied": 3, "no_op": 1, "superseded": 0, "waiting": 0, "held": 0, "failed": 0, "discarded": 0}))]
    pub(super) today: BTreeMap<&'static str, i64>,
    /// Null before the first comparison has ended.
    pub(super) drift: Option<Drift>,
    /// When a receiver last took an event; null before the first.
    pub(super) last_delivery_at: Option<Time>,
    pub(super) vendors: Vendors,
}

/// What comparing has found of late.
#[derive(Serialize, ToSchema)]
pub(super) struct Drift {
    /// Found different, or held, by the first syncs and comparisons that ended within the hour up to then.
    pub(super) members: i64,
    /// When the last one ended.
    pub(super) at: Time,
}

/// Changes that are not done with.
#[derive(Serialize, ToSchema)]
pub(super) struct Outbox {
    pub(super) available: i64,
    pub(super) running: i64,
    pub(super) retryable: i64,
    pub(super) parked: i64,
    /// Of the oldest that is to be worked off; null when there is none.
    pub(super) oldest_age_seconds: Option<i64>,
}

/// From acceptance to the end of the opposite write, of the newest 4,000 in the window; null without any.
#[derive(Serialize, ToSchema)]
pub(super) struct Latency {
    pub(super) p50: Option<i64>,
    pub(super) p95: Option<i64>,
    pub(super) p99: Option<i64>,
    #[schema(example = "60m")]
    pub(super) window: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Throughput {
    pub(super) to_salesforce_per_minute: f64,
    pub(super) to_marketo_per_minute: f64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Vendors {
    pub(super) marketo: Vendor,
    pub(super) salesforce: Vendor,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Vendor {
    /// Calls of all processes since the vendor's day began; null when it is not known.
    pub(super) calls_today: Option<u64>,
    /// Calls that all may make in a day; null when it is not known.
    pub(super) limit: Option<u64>,
    /// When calls are made again; null while the day's are not used up.
    pub(super) resumes_at: Option<Time>,
    /// `closed` while calls are made, `open` while the vendor is down; null when it is not known.
    pub(super) circuit: Option<&'static str>,
    /// When its last webhook came; null when that is long ago.
    pub(super) last_event_at: Option<Time>,
    /// No webhook of it came for a day, while a mapping was active: changes are found by polling and comparing.
    pub(super) silent: bool,
    /// How the calls are shared; null when it is not known.
    pub(super) budget: Option<VendorBudget>,
}

/// How processes on this database share what a vendor may be asked.
#[derive(Serialize, ToSchema)]
pub(super) struct VendorBudget {
    /// Those that call it at the moment.
    pub(super) replicas: u64,
    /// Calls of the process that answers, since the vendor's day began.
    pub(super) own_calls_today: u64,
    /// Calls in flight.
    pub(super) concurrency: Portion,
    /// Calls in a window; null without a limit.
    pub(super) window: Option<Portion>,
    pub(super) window_seconds: Option<f64>,
}

/// Who may use how much.
#[derive(Serialize, ToSchema)]
pub(super) struct Portion {
    /// All together.
    pub(super) limit: u64,
    /// What processes hold or have in use, those included that are gone.
    pub(super) held: u64,
    /// What the process that answers may use.
    pub(super) own: u64,
}

impl Vendor {
    fn of(health: Option<VendorHealth>, shared: &SharedUse, now: Timestamp, last: Option<i64>, silent: bool) -> Self {
        let circuit = health.as_ref().map(|health| if health.circuit_open { "open" } else { "closed" });
        let health = health.unwrap_or_default();
        let last_event_at = last.map(Time::of);
        let here = health.budget.as_ref();
        // The others' calls are known here as of the last settlement, our own are known there as of it.
        let of_today = here.filter(|used| used.day == shared.day).map(|_| shared.calls_today);
        let calls_today = health.calls_today.max(of_today);
        // Others may have used up what this process has not called for.
        let used_up = calls_today.zip(health.limit).is_some_and(|(calls, limit)| calls >= limit);
        let exhausted = here.and_then(|used| used.exhausted.or(used_up.then_some(used.day_left)));
        let exhausted = exhausted.and_then(|time| now.checked_add(time).ok());
        let resumes_at = exhausted.map(Timestamp::as_millisecond).max(shared.exhausted_until);
        Self {
            calls_today,
            limit: health.limit,
            resumes_at: resumes_at.map(Time::of),
            circuit,
            last_event_at,
            silent,
            budget: here.map(|used| VendorBudget::of(used, shared)),
        }
    }
}

impl VendorBudget {
    fn of(used: &BudgetUse, shared: &SharedUse) -> Self {
        let portion =
            |of: fn(&Part) -> u64| Portion { limit: of(&used.most), held: of(&shared.held), own: of(&used.part) };
        Self {
            replicas: shared.replicas,
            own_calls_today: used.own_today,
            concurrency: portion(|part| part.concurrency),
            window: used.window.map(|_| portion(|part| part.calls)),
            window_seconds: used.window.map(|span| span.as_secs_f64()),
        }
    }
}

/// Show how everything stands
#[utoipa::path(
    get, path = "/stats", operation_id = "show_stats", tag = "stats",
    responses((status = 200, description = "Figures of this moment", body = Stats))
)]
async fn show(State(api): State<ApiState>) -> Answer<Json<Stats>> {
    Ok(Json(Stats::collect(&api).await?))
}

impl Stats {
    /// As of now.
    pub(super) async fn collect(api: &ApiState) -> Answer<Self> {
        let mappings = api.store.mappings_by_state().await?;
        let members = api.store.members_by_state().await?;
        let open = api.store.open_changes().await?;
        let pace = api.store.pace().await?;
        let heard = api.store.last_heard().await?;
        let silent = api.store.silences().await?;
        let of_marketo = api.store.shared_use("marketo").await?;
        let of_salesforce = api.store.shared_use("salesforce").await?;
        let (marketo, salesforce) = api.vendors.as_ref().map(|gauge| gauge()).unzip();
        let now = api.store.clock().now();
        let last = |vendor: &str| heard.get(vendor).copied();
        let count = |state: &str| open.count.get(state).copied().unwrap_or(0);
        Ok(Self {
            generated_at: Time::at(now),
            mappings: every(MappingState::ALL.iter().map(|state| state.as_str()), &mappings),
            members: every(SyncState::ALL.iter().map(|state| state.as_str()), &members),
            outbox: Outbox {
                available: count("available"),
                running: count("running"),
                retryable: count("retryable"),
                parked: count("parked"),
                oldest_age_seconds: open.oldest.map(|oldest| (now.as_millisecond() - oldest).max(0) / 1000),
            },
            latency_ms: Latency { p50: pace.p50, p95: pace.p95, p99: pace.p99, window: format!("{}m", LATE / 60_000) },
            throughput: Throughput {
                to_salesforce_per_minute: pace.to_salesforce_per_minute,
                to_marketo_per_minute: pace.to_marketo_per_minute,
            },
            ledger: api.store.ledger_totals(0).await?,
            today: api.store.ledger_totals(now.as_millisecond()).await?,
            drift: api.store.drift().await?.map(|(at, members)| Drift { members, at: Time::of(at) }),
            last_delivery_at: api.store.last_delivery().await?.map(Time::of),
            vendors: Vendors {
                marketo: Vendor::of(marketo, &of_marketo, now, last("marketo"), silent.contains_key("marketo")),
                salesforce: Vendor::of(
                    salesforce,
                    &of_salesforce,
                    now,
                    last("salesforce"),
                    silent.contains_key("salesforce"),
                ),
            },
        })
    }
}

/// Every name with its count, those that were not counted with 0.
fn every(names: impl Iterator<Item = &'static str>, counts: &BTreeMap<String, i64>) -> BTreeMap<&'static str, i64> {
    names.map(|name| (name, counts.get(name).copied().unwrap_or(0))).collect()
}
