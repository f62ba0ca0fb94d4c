//! Webhook to opposite call at fifty changes a second, open loop, vendors at 0 ms; beside it how long job queues take to begin a job that
//! does nothing, at the same pace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use campaign_sync::app::Role;

use crate::Figure;
use crate::asked::{databases, number};
use crate::ground::name_of;
use crate::peers::Peer;
use crate::world::{Bench, TOKEN, pause};

const CHANGES: usize = 1_000;
const PACE: Duration = Duration::from_millis(20);

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for database in databases().await {
        figures.extend(ours(&database.url, name_of(&database)).await);
    }
    for peer in Peer::each().await {
        let late = peer.run("latency", number("LATENCY_JOBS", 500)).await;
        for part in ["p50", "p99"] {
            let what = format!("{}: a job enqueued to its start at 50/s, {part} ms", peer.name);
            figures.push(Figure { workload: "latency", what, value: late[part].as_f64().unwrap(), goal: None });
        }
    }
    figures
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn ours(database: &str, name: &str) -> [Figure; 2] {
    let bench = Bench::over(CHANGES, Role::All, database).await;
    bench.map(true).await;
    let url = bench.url("/webhooks/marketo");
    let sent: Arc<Mutex<HashMap<usize, Instant>>> = Arc::default();
    let mut latencies: Vec<f64> = Vec::new();
    let mut seen = vec![false; CHANGES];
    let emulators = &bench.emulators;
    let rows: Vec<_> =
        emulators.salesforce.with(|world| world.members(bench.campaign).into_iter().map(|m| m.id).collect());
    let start = Instant::now();
    let mut posted = 0;
    while latencies.len() < CHANGES && start.elapsed() < PACE * (CHANGES as u32) * 3 {
        // Open loop: a change is due whether or not the one before has arrived.
        while posted < CHANGES && start.elapsed() >= PACE * (posted as u32) {
            let (lead, program) = (bench.people[posted], bench.program);
            emulators.marketo.with(|world| world.set_status(program, lead, "Attended").unwrap());
            let body = format!(r#"{{"v":1,"event":"program_member.changed","leadId":{lead},"programId":{program}}}"#);
            sent.lock().unwrap().insert(posted, Instant::now());
            let request = bench.http.post(&url).bearer_auth(TOKEN).body(body);
            tokio::spawn(async move { assert_eq!(request.send().await.unwrap().status(), 200) });
            posted += 1;
        }
        // The opposite side is looked at each millisecond, which is how exact the figure is.
        let now = Instant::now();
        let from = (0..posted).find(|n| !seen[*n]).unwrap_or(posted);
        let arrived: Vec<usize> = emulators.salesforce.with(|world| {
            (from..posted)
                .filter(|n| !seen[*n] && world.row(rows[*n]).is_some_and(|row| row.text_of("Status") == "Attended"))
                .collect()
        });
        for n in arrived {
            seen[n] = true;
            latencies.push(now.duration_since(sent.lock().unwrap()[&n]).as_secs_f64() * 1000.0);
        }
        pause(Duration::from_millis(1)).await;
    }
    assert_eq!(latencies.len(), CHANGES, "changes that never arrived");
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    let figure = |what: &str, value, goal| Figure { workload: "latency", what: format!("{name}: {what}"), value, goal };
    [
        figure("webhook to opposite call at 50/s, p50 ms", at(0.5), Some(("at most", 3.0))),
        figure("the same, p99 ms", at(0.99), Some(("at most", 15.0))),
    ]
}
