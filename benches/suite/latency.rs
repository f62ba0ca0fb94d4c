//! Webhook to opposite call at fifty changes a second, open loop, vendors at 0 ms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use campaign_sync::app::Role;

use crate::Figure;
use crate::world::{Bench, TOKEN, pause};

const CHANGES: usize = 1_000;
const PACE: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn run() -> Vec<Figure> {
    let bench = Bench::new(CHANGES, Role::All).await;
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
    vec![
        Figure {
            workload: "latency",
            what: "webhook to opposite call at 50/s, p50 ms".to_owned(),
            value: at(0.5),
            goal: Some(("at most", 50.0)),
        },
        Figure { workload: "latency", what: "the same, p99 ms".to_owned(), value: at(0.99), goal: None },
    ]
}
