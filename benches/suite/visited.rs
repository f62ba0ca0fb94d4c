//! The dashboard's pages and the figures, asked for one after the other over a database that was filled.

use std::time::Instant;

use campaign_sync::app::Role;

use super::Tables;
use super::filled::{Size, fill, id_of};
use super::spread::Spread;
use super::world::{Bench, KEY};

const METRICS: [&str; 5] = ["received", "applied_to_salesforce", "latency_p95_ms", "trigger_events", "backlog_depth"];

/// An address, and what came of asking for it.
pub struct Timed {
    pub path: String,
    pub millis: Spread,
    pub text: String,
}

impl Timed {
    pub fn is_page(&self) -> bool {
        !self.path.starts_with("/api") && self.path != "/metrics"
    }
}

/// Each page and each figure, some times over; the first time, which warms what is cold, is not counted.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn measured(database: &str, size: Size, rounds: usize) -> Vec<Timed> {
    let bench = Bench::over(1, Role::Http, database).await;
    let mapping = bench.map(false).await;
    fill(&Tables::open(database).await, &mapping, size, jiff::Timestamp::now().as_millisecond()).await;
    let session = bench.log_in().await;
    let mut timed = Vec::new();
    for path in paths() {
        let (mut millis, mut text) = (Vec::new(), String::new());
        for round in 0..=rounds {
            let started = Instant::now();
            let request = bench.http.get(bench.url(&path)).header("cookie", &session).bearer_auth(KEY);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            text = answer.text().await.unwrap();
            assert_eq!(status, 200, "{path}: {text}");
            if round > 0 {
                millis.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
        timed.push(Timed { path, millis: Spread::of(&millis), text });
    }
    timed
}

fn paths() -> Vec<String> {
    let (large, small) = (format!("/mappings/{}", id_of(1, 1)), format!("/mappings/{}", id_of(1, 7)));
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
        format!("/changes?mapping_id={}", id_of(1, 7)),
        format!("/changes/{}", id_of(6, 1)),
        format!("/members/{}", id_of(3, 7)),
        format!("/subscriptions/{}", id_of(9, 7)),
        "/api/v1/stats".to_owned(),
        "/metrics".to_owned(),
    ]);
    paths.extend(METRICS.map(|metric| format!("/api/v1/stats/timeseries?metric={metric}")));
    paths
}
