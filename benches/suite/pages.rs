//! What the dashboard's pages and the figures cost with ten thousand mappings and a million members, and with hardly any.

use std::time::Instant;

use campaign_sync::app::Role;

use crate::Figure;
use crate::filled::{LARGE, SMALL, Size, fill};
use crate::ground::{Tables, TestDatabase, name_of};
use crate::spread::{Spread, percentile};
use crate::world::{Bench, KEY};

const ROUNDS: usize = 11;
const METRICS: [&str; 5] = ["received", "applied_to_salesforce", "latency_p95_ms", "trigger_events", "backlog_depth"];

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (small, large) in TestDatabase::each().await.into_iter().zip(TestDatabase::each().await) {
        let (name, few) = (name_of(&small), measured(&small, SMALL).await);
        let many = measured(&large, LARGE).await;
        let is_page = |one: &&Timed| !one.path.starts_with("/api");
        let worst = many.iter().filter(is_page).max_by(|a, b| a.millis.median.total_cmp(&b.millis.median)).unwrap();
        let figure = |what: String, value: f64, goal| Figure { workload: "pages", what, value, goal };
        figures.push(figure(
            format!("{name}: ms of the slowest page, median, {} (up to {:.0} ms)", worst.path, worst.millis.most),
            worst.millis.median,
            Some(("at most", 100.0)),
        ));
        for (path, most) in [("/api/v1/stats", 1.5), ("/api/v1/stats/timeseries", 1.5)] {
            let of = |all: &[Timed]| {
                let of_path: Vec<_> = all
                    .iter()
                    .filter(|one| one.path.split('?').next() == Some(path))
                    .map(|one| one.millis.median)
                    .collect();
                of_path.into_iter().fold(0.0, f64::max)
            };
            figures.push(figure(format!("{name}: ms of {path}, median"), of(&many), Some(("at most", 100.0))));
            figures.push(figure(
                format!("{name}: ms more than with 1,000 members, {path}"),
                of(&many) - of(&few),
                Some(("at most", most * 10.0)),
            ));
        }
        let bytes = many.iter().filter(is_page).map(|one| one.bytes).max().unwrap();
        figures.push(figure(
            format!("{name}: KB of the largest page, before compression"),
            bytes as f64 / 1000.0,
            None,
        ));
    }
    figures
}

struct Timed {
    path: String,
    millis: Spread,
    bytes: usize,
}

/// Each page and each figure, some times over, one after the other.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn measured(database: &TestDatabase, size: Size) -> Vec<Timed> {
    let bench = Bench::over(1, Role::Http, &database.url).await;
    let mapping = bench.map(false).await;
    let tables = Tables::open(&database.url).await;
    let started = Instant::now();
    fill(&tables, &mapping, size, jiff::Timestamp::now().as_millisecond()).await;
    println!("pages {}: {size:?} written in {:.0} s", name_of(database), started.elapsed().as_secs_f64());
    let session = bench.log_in().await;
    let mut timed = Vec::new();
    for path in paths() {
        let mut millis = Vec::new();
        let mut bytes = 0;
        for round in 0..=ROUNDS {
            let started = Instant::now();
            let request = bench.http.get(bench.url(&path)).header("cookie", &session).bearer_auth(KEY);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            bytes = answer.bytes().await.unwrap().len();
            // The first one warms what is cold.
            if round > 0 {
                millis.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
        let spread = Spread::of(&millis);
        println!(
            "pages {} {} members: {:7.1} ms, p95 {:7.1} ms, {:6.1} KB  {path}",
            name_of(database),
            size.members,
            spread.median,
            percentile(&mut millis, 95),
            bytes as f64 / 1000.0
        );
        timed.push(Timed { path, millis: spread, bytes });
    }
    timed
}

fn paths() -> Vec<String> {
    let of = |kind: u8, n: usize| format!("01900000-00{kind:02}-7000-8000-{n:012}");
    let (large, small) = (format!("/mappings/{}", of(1, 1)), format!("/mappings/{}", of(1, 7)));
    let mut paths: Vec<String> = [
        "/",
        "/mappings",
        "/mappings?q=program+9",
        "/mappings?q=nothing",
        "/mappings?state=failed",
        "/changes",
        "/changes?state=parked",
        "/changes?state=completed",
        "/changes?state=discarded",
        "/changes/bulk?action=retry&state=parked",
        "/approvals",
        "/subscriptions",
        "/vendors",
        "/audit",
        "/settings",
        "/mappings/new",
        "/checklist",
    ]
    .map(str::to_owned)
    .into();
    for mapping in [&large, &small] {
        paths.extend(
            [
                "",
                "/edit",
                "/remove",
                "/members",
                "/members?sync_state=diverged",
                "/members?reason=below_gate",
                "/members?status=Invited",
                "/members?q=person99",
                "/members?q=nobody",
            ]
            .map(|rest| format!("{mapping}{rest}")),
        );
    }
    paths.extend([
        format!("/changes?mapping_id={}", of(1, 7)),
        format!("/changes/{}", of(6, 1)),
        format!("/members/{}", of(3, 7)),
        format!("/subscriptions/{}", of(9, 7)),
        "/api/v1/stats".to_owned(),
        "/metrics".to_owned(),
    ]);
    paths.extend(METRICS.map(|metric| format!("/api/v1/stats/timeseries?metric={metric}")));
    paths
}
