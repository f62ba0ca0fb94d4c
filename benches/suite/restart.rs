//! Killed while much waits and thousands of changes are in hand: when the next process takes a webhook, when it calls a vendor, and
//! whether anything is missing in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Figure;
use crate::asked::{databases, number};
use crate::ground::{TestDatabase, eventually, name_of};
use crate::known::{count, is_open};
use crate::peopled::{Peopled, Side, unlimited};
use crate::world::{TOKEN, pause};

/// Changes in the hands of workers when they are killed, at the least.
const LEASED: usize = 2_000;
/// Calls hang while they are killed.
const SLOW: Duration = Duration::from_secs(20);
const LATE: Duration = Duration::from_secs(120);

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for database in databases().await {
        figures.extend(case(&database).await);
    }
    figures
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn case(database: &TestDatabase) -> Vec<Figure> {
    let (members, mappings) = (number("RESTART_MEMBERS", 1_000_000), number("RESTART_MAPPINGS", 1_000));
    let name = name_of(database);
    println!("restart {name}: making {members} members");
    let mut peopled = Peopled::new(members, mappings, unlimited()).await;
    let tables = peopled.fill(&database.url).await;
    peopled.change(Side::Marketo);
    peopled.tell(&tables, Side::Marketo).await;
    peopled.latency(SLOW);
    let service = peopled.launch(&database.url).start().await;
    peopled.release(&tables).await;
    let wanted = LEASED.min(members / 2);
    let running = "outbox WHERE state = 'running' AND state IN ('available', 'retryable', 'running')";
    let leased = eventually("the changes to be in hand", LATE, async || {
        Some(count(&tables, running).await).filter(|count| *count >= wanted)
    });
    let leased = leased.await;
    let launch = service.kill();
    peopled.latency(Duration::ZERO);
    // What was on its way when its sender died is counted when it gets there.
    let on_the_way = SLOW + Duration::from_secs(1);
    pause(on_the_way).await;
    let peopled = Arc::new(peopled);
    let calls = peopled.of_salesforce().all() + peopled.of_marketo().all();
    let started = Instant::now();
    let first_call = tokio::spawn({
        let peopled = Arc::clone(&peopled);
        async move {
            while peopled.of_salesforce().all() + peopled.of_marketo().all() == calls {
                pause(Duration::from_millis(1)).await;
            }
            started.elapsed()
        }
    });
    let service = launch.start().await;
    let one = peopled.people[0];
    let body = format!(
        r#"{{"v":1,"event":"program_member.changed","leadId":{},"programId":{}}}"#,
        one.lead, peopled.pairs[one.pair].program
    );
    let url = format!("{}/webhooks/marketo", service.url());
    let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).body(body).send().await.unwrap();
    let first_answer = started.elapsed();
    assert_eq!(answer.status(), 200);
    let first_call = first_call.await.unwrap();
    println!("restart {name}: {leased} leased; first 200 after {first_answer:?}, first call after {first_call:?}");
    while is_open(&tables).await {
        pause(Duration::from_millis(200)).await;
    }
    println!("restart {name}: worked off after {:?}", started.elapsed());
    let done = count(&tables, "outbox WHERE state = 'completed'").await;
    let lost = members.saturating_sub(done) + usize::from(!peopled.is_equal());
    let events = count(&tables, "trigger_events").await;
    service.terminate().await;
    let figure =
        |what: String, value, goal| Figure { workload: "restart", what: format!("{name}: {what}"), value, goal };
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    vec![
        figure(
            format!("ms to the first 200, {members} waiting, {leased} leased"),
            millis(first_answer),
            Some(("at most", 500.0)),
        ),
        figure("ms to the first call of a vendor".to_owned(), millis(first_call), Some(("at most", 1000.0))),
        figure("changes lost, or sides not equal".to_owned(), lost as f64, Some(("at most", 0.0))),
        figure("events more or fewer than members".to_owned(), events.abs_diff(members) as f64, Some(("at most", 0.0))),
    ]
}
