//! Processes that share one Postgres: how much more they do together before the vendors are the limit, and that together they stay within
//! what one vendor allows.

use std::time::Duration;

use crate::Figure;
use crate::asked::{number, numbers, rounds};
use crate::ground::TestDatabase;
use crate::known::drained;
use crate::peopled::{Peopled, STATUSES, Side, unlimited};
use crate::spread::Spread;
use crate::world::pause;

pub async fn run() -> Vec<Figure> {
    let Some(database) = TestDatabase::postgres().await else { return Vec::new() };
    let mut figures = together(&database).await;
    figures.extend(shared(&database.fresh().await).await);
    figures
}

async fn together(database: &TestDatabase) -> Vec<Figure> {
    let members = number("REPLICAS_MEMBERS", 60_000);
    let latency = Duration::from_millis(number("REPLICAS_LATENCY", 100));
    let counts = numbers("REPLICAS", &[1, 2, 3]);
    let rounds = rounds(2).min((STATUSES.len() - 1) / counts.len());
    let mut peopled = Peopled::new(members, number("REPLICAS_MAPPINGS", 100), unlimited()).await;
    let tables = peopled.fill(&database.url).await;
    peopled.latency(latency);
    let mut rates = vec![Vec::new(); counts.len()];
    for round in 0..rounds {
        for (n, count) in counts.iter().enumerate() {
            peopled.change(Side::Marketo);
            peopled.tell(&tables, Side::Marketo).await;
            let mut services = Vec::new();
            for _ in 0..*count {
                services.push(peopled.launch(&database.url).start().await);
            }
            let rate = members as f64 / drained(&peopled, &tables).await.as_secs_f64();
            assert!(peopled.is_equal(), "both sides are to be the same");
            for service in services {
                service.terminate().await;
            }
            println!("replicas round {round}: {count} processes: {rate:.0} members/s");
            rates[n].push(rate);
        }
    }
    let mut figures = Vec::new();
    for (count, of) in counts.iter().zip(&rates) {
        let spread = Spread::of(of);
        let what = format!("members/s, {count} processes, {} ms{}", latency.as_millis(), spread.told(rounds));
        figures.push(Figure { workload: "replicas", what, value: spread.median, goal: None });
        let times: Vec<f64> = of.iter().zip(&rates[0]).map(|(many, one)| many / one).collect();
        let spread = Spread::of(&times);
        let what = format!("{count} processes to {}{}", counts[0], spread.told(rounds));
        figures.push(Figure { workload: "replicas", what, value: spread.median, goal: None });
    }
    figures
}

/// With Marketo's limiter on, and told all of its calls.
async fn shared(database: &TestDatabase) -> Vec<Figure> {
    let seconds = number("REPLICAS_SECONDS", 60);
    let processes = number("REPLICAS_PROCESSES", 3_usize);
    let members = 5 * 300 * seconds * 13 / 10 + 5_000;
    let mut options = unlimited();
    options.marketo.rate_limit = Some(100);
    options.marketo.concurrency_limit = Some(10);
    let mut peopled = Peopled::new(members, 20, options).await;
    let tables = peopled.fill(&database.url).await;
    peopled.change(Side::Marketo);
    peopled.tell(&tables, Side::Marketo).await;
    let mut services = Vec::new();
    for _ in 0..processes {
        let launch = peopled.launch(&database.url);
        let launch = launch.set("limits.marketo.calls_per_window", "100").set("limits.marketo.window", "20s");
        services.push(launch.start().await);
    }
    peopled.release(&tables).await;
    let calls = || peopled.emulators.marketo.with(|world| world.police.calls_by_endpoint.values().sum::<u64>());
    let before = calls();
    pause(Duration::from_secs(u64::try_from(seconds).unwrap())).await;
    let used = (calls() - before) as f64 / (5.0 * seconds as f64);
    let refused = peopled.emulators.marketo.with(|world| world.police.over_limit_calls);
    drop(services);
    let figure = |what: &str, value, goal| Figure {
        workload: "replicas",
        what: format!("{processes} processes, one budget: {what}"),
        value,
        goal,
    };
    vec![
        figure("Marketo's calls refused as too many", refused as f64, Some(("at most", 0.0))),
        figure("of the allowed calls used", used, Some(("at least", 0.97))),
    ]
}
