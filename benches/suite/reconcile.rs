//! A comparison of a program and a campaign of many members each, of whom few differ, with vendors that generate their pages.
//!
//! The vendors answer without a network, and the time that they take is kept apart: what is left is our own work, the store's
//! commits among it. Runs small as a test, too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::mapping::{MappingState, Policies};
use campaign_sync::domain::status::StatusMap;
use campaign_sync::store::Store;
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::store::mappings::{Created, Found, Mapping, Options};
use campaign_sync::store::runs::Run;
use campaign_sync::worker::points::Points;
use campaign_sync::worker::{Settings, Worker};

use super::generated::{CAMPAIGN, Generated, PROGRAM, STATUSES};

/// What one comparison came to.
#[derive(Debug)]
pub struct Compared {
    pub run: Run,
    pub wall: Duration,
    pub vendors: Duration,
    /// Resident memory at its highest, in KiB; 0 where the system does not tell.
    pub peak: u64,
    /// Calls of the vendors' listings.
    pub pages: u64,
    /// Calls that wrote.
    pub writes: u64,
}

impl Compared {
    /// Rows of both listings for each second. The vendors' pages are made within them: what is recorded is read at the same time, so that their
    /// time cannot be taken off.
    pub fn rows_per_second(&self) -> f64 {
        let rows = self.run.counts["salesforce_read"] + self.run.counts["marketo_read"];
        rows as f64 / self.wall.as_secs_f64()
    }
}

/// A store with one mapping, and a worker between it and both generated vendors.
pub struct Comparison {
    pub vendors: Arc<Generated>,
    pub store: Store,
    pub mapping: Mapping,
    worker: Worker,
}

impl Comparison {
    /// How many members each side lists: Marketo, Salesforce.
    pub fn listed(&self) -> (usize, usize) {
        let count = |side: &Side| side.lock().unwrap().iter().flatten().count();
        (count(&self.vendors.marketo), count(&self.vendors.salesforce))
    }

    pub async fn new(url: &str, members: usize) -> Self {
        let store = Store::connect(url, 4, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let vendors = Arc::new(Generated::new(members));
        let settings = Settings {
            lease: Duration::from_secs(30),
            max_attempts: 10,
            retry_base: Duration::from_secs(1),
            retry_cap: Duration::from_secs(60),
            reconcile_interval: Duration::from_secs(86_400),
            pages_in_a_row: 100,
            guard: GuardLimits { members: 50, percent: 10, window: 3_600_000 },
            loop_breaker: (4, 3_600_000),
            lead_last_name: "[unknown]".to_owned(),
            lead_company: "[unknown]".to_owned(),
        };
        let worker = Worker::new(store.clone(), vendors.clone(), vendors.clone(), settings, Points::default());
        let names = STATUSES.map(|(name, _)| name);
        let mapping = Mapping {
            id: store.new_id(),
            program_id: PROGRAM,
            campaign_id: CAMPAIGN.parse().unwrap(),
            program_name: "Many".to_owned(),
            campaign_name: "Many".to_owned(),
            state: MappingState::Active,
            reason: None,
            status_map: StatusMap::exact(&names, &names),
            custom_map: false,
            steps: STATUSES.map(|(name, step)| (name.to_owned(), step)).into_iter().collect(),
            policies: Policies::default(),
            options: Options::default(),
            found: Found::default(),
            version: 1,
            created_at: 0,
            updated_at: 0,
        };
        let Created::New { mapping, .. } = store.create_mapping(mapping, "benchmark").await.unwrap() else {
            panic!("mapped already")
        };
        Self { vendors, store, mapping, worker }
    }

    /// Works until nothing is due; the newest run.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub async fn work(&self) -> Compared {
        forget_peak();
        let (before, start) = (self.vendors.tally(), Instant::now());
        let run = loop {
            while self.worker.step().await.unwrap() > 0 {}
            let run = self.store.runs(&self.mapping.id, None, 1).await.unwrap().remove(0);
            if run.state != "running" {
                break run;
            }
        };
        let (after, wall) = (self.vendors.tally(), start.elapsed());
        Compared {
            run,
            wall,
            vendors: after.time - before.time,
            peak: resident("VmHWM"),
            pages: after.pages - before.pages,
            writes: after.writes - before.writes,
        }
    }

    pub async fn compare(&self) -> Compared {
        let campaign = self.mapping.campaign_id.as_str();
        self.store.start_run(&self.mapping.id, campaign, "reconciliation").await.unwrap();
        self.work().await
    }
}

/// A line of what the kernel says of this process, in KiB.
pub fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// The highest mark begins anew, where that is allowed.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What the vendors did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub time: Duration,
    pub pages: u64,
    pub writes: u64,
}

/// Counts calls and the time within them.
#[derive(Debug, Default)]
pub struct Counted {
    nanos: AtomicU64,
    pages: AtomicU64,
    writes: AtomicU64,
}

impl Counted {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub fn call<T>(&self, apply: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = apply();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        answer
    }

    pub fn page<T>(&self, apply: impl FnOnce() -> T) -> T {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.call(apply)
    }

    pub fn write<T>(&self, apply: impl FnOnce() -> T) -> T {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.call(apply)
    }

    pub fn so_far(&self) -> Calls {
        Calls {
            time: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
            pages: self.pages.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

/// Who holds what: the place in `STATUSES`, by number of the person; none for who is no member.
pub type Side = Mutex<Vec<Option<u8>>>;

/// How many hold each status.
pub fn held(side: &Side) -> BTreeMap<String, u64> {
    let mut held = BTreeMap::new();
    for status in side.lock().unwrap().iter().flatten() {
        *held.entry(STATUSES[usize::from(*status)].0.to_owned()).or_default() += 1;
    }
    held
}
