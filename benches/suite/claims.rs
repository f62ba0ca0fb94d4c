//! Claims of a worker over a database that holds much or little: what one takes, given back as it was.

use std::time::{Duration, Instant};

use campaign_sync::domain::clock::Clock;
use campaign_sync::store::Store;

use super::Tables;
use super::filled::id_of;

const LEASE: Duration = Duration::from_secs(30);
/// Rows of a claim: half a call to Salesforce.
pub const ROWS: usize = 100;
/// Campaigns over which work is spread.
const LANES: usize = 100;

pub struct Claims {
    store: Store,
    /// What each claim took, with its commit, in milliseconds.
    pub millis: Vec<f64>,
}

impl Claims {
    /// Over a database whose schema is there.
    pub async fn over(url: &str) -> Self {
        let store = Store::connect(url, 2, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, millis: Vec::new() }
    }

    /// One claim, which has to find as many rows as it wants.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub async fn claim(&mut self) {
        let started = Instant::now();
        let claim = self.store.claim("benchmark", LEASE, ROWS).await.unwrap();
        self.millis.push(started.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(claim.changes.len(), ROWS, "a claim is to be full");
        self.store.release(&claim.leases).await.unwrap();
    }
}

/// So many rows that wait and so many that are done, a hundred lanes with both.
pub async fn fill(tables: &Tables, waiting: usize, done: usize) {
    let now = Clock::system().now().as_millisecond();
    let numbers = |count: usize| {
        format!("WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    };
    let id = |kind: u8| {
        let start = id_of(kind, 0);
        let start = &start[..start.len() - 12];
        format!("'{start}' || SUBSTR(CAST(1000000000000 + i AS TEXT), 2)")
    };
    let lane = "'701' || SUBSTR(CAST(1000000000000 + i % 100 AS TEXT), 2) || 'AAA'";
    tables
        .execute(&format!(
            "{} INSERT INTO lanes (id, baseline, next_due_at) SELECT {lane}, TRUE, {now} FROM n",
            numbers(LANES)
        ))
        .await;
    for (kind, count, state, outcome, completed) in
        [(5_u8, done, "completed", "'applied'", now.to_string()), (7, waiting, "available", "NULL", "NULL".to_owned())]
    {
        if count == 0 {
            continue;
        }
        tables
            .execute(&format!(
                "{} INSERT INTO outbox (id, lane, mapping_id, kind, subject, source, state, outcome, due_at, window_start, created_at, completed_at)
                 SELECT {}, {lane}, NULL, 'hint', 'marketo:' || i, 'marketo', '{state}', {outcome}, {now} - 1000, {now}, {now}, {completed} FROM n",
                numbers(count),
                id(kind)
            ))
            .await;
    }
    if matches!(tables, Tables::Server(_)) {
        tables.execute("VACUUM ANALYZE").await;
    }
}
