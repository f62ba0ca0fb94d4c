//! `ingest.open`: webhooks at half of what the service takes, whether or not those before are answered. How late is the slowest in a hundred,
//! beside what the disk alone takes at that time.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::http::StatusCode;
use campaign_sync::app::Role;

use crate::Figure;
use crate::asked::{databases, number, rounds};
use crate::ground::name_of;
use crate::ingest::webhook;
use crate::load::Load;
use crate::spread::{Spread, percentile};
use crate::sync_probe::syncs;
use crate::world::{Bench, TOKEN};

const CONNECTIONS: usize = 64;
/// For finding out what it takes.
const FULL: Duration = Duration::from_secs(3);

pub async fn run() -> Vec<Figure> {
    let (rounds, seconds) = (rounds(5), number("OPEN_SECONDS", 60.0));
    let mut figures = Vec::new();
    for database in databases().await {
        let name = name_of(&database);
        let bench = Bench::over(1, Role::Http, &database.url).await;
        bench.map(false).await;
        let (url, next) = (bench.url("/webhooks/marketo"), Arc::new(AtomicUsize::new(1)));
        let dir = tempfile::tempdir().unwrap();
        let full = Load { connections: CONNECTIONS, time: FULL, rate: None };
        let full = full.post(&url, StatusCode::OK, webhook(bench.program, TOKEN, &next)).await.good;
        let rate = full as f64 / FULL.as_secs_f64() / 2.0;
        let (mut p50, mut p99, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
        let mut answered = full;
        for round in 0..rounds {
            let mut sync = syncs(dir.path(), 500);
            let time = Duration::from_secs_f64(seconds / rounds as f64);
            let load = Load { connections: CONNECTIONS, time, rate: Some(rate) };
            let mut loaded = load.post(&url, StatusCode::OK, webhook(bench.program, TOKEN, &next)).await;
            assert_eq!(loaded.good, loaded.millis.len(), "some were refused");
            answered += loaded.good;
            sync.extend(syncs(dir.path(), 500));
            let disk = percentile(&mut sync, 99);
            p50.push(percentile(&mut loaded.millis, 50));
            p99.push(percentile(&mut loaded.millis, 99));
            allowed.push(p99[round] / (3.0 * disk + 2.0));
            println!(
                "ingest.open {name} round {round}: {} of {:.0} at {rate:.0}/s; p50 {:.2} ms, p99 {:.2} ms; a sync {:.2}, p99 {disk:.2} ms",
                loaded.good,
                rate * time.as_secs_f64(),
                p50[round],
                p99[round],
                percentile(&mut sync, 50)
            );
        }
        let stats = bench.get("/api/v1/stats").await;
        assert_eq!(stats["ledger"]["received"].as_u64().unwrap(), answered as u64, "answered and stored differ");
        let figure = |what: &str, values: &[f64], goal| {
            let spread = Spread::of(values);
            let what = format!("{name}, {rate:.0}/s: {what}{}", spread.told(rounds));
            Figure { workload: "ingest.open", what, value: spread.median, goal }
        };
        figures.extend([
            figure("p50 ms", &p50, None),
            figure("p99 ms", &p99, None),
            figure("p99 to 3 of the disk's p99 and 2 ms", &allowed, Some(("at most", 1.0))),
        ]);
    }
    figures
}
