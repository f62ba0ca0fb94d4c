//! What must not grow with what lies there: a claim with the backlog and with what is done, in turns at each size; and an idle service with
//! the number of its mappings.

use std::time::Duration;

use crate::Figure;
use crate::asked::{databases, number, numbers};
use crate::claims::{Claims, ROWS, fill};
use crate::ground::{Tables, TestDatabase, name_of};
use crate::peopled::{Peopled, unlimited};
use crate::spread::percentile;
use crate::world::pause;

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for database in databases().await {
        figures.extend(claims(&database, "waiting").await);
        figures.extend(claims(&database, "done").await);
        figures.push(idle(&database).await);
    }
    figures
}

async fn claims(of: &TestDatabase, what: &str) -> Vec<Figure> {
    let sizes = numbers("FLAT_SIZES", &[1_000, 10_000, 100_000, 1_000_000]);
    let claims = number("FLAT_CLAIMS", 300);
    let mut kept = Vec::new();
    for size in &sizes {
        let database = of.fresh().await;
        let measured = Claims::over(&database.url).await;
        let tables = Tables::open(&database.url).await;
        match what {
            "waiting" => fill(&tables, *size, 0).await,
            _ => fill(&tables, 10 * ROWS, *size).await,
        }
        kept.push((measured, database));
    }
    // The first few warm what is cold.
    for round in 0..claims + 10 {
        for (measured, _) in &mut kept {
            measured.claim().await;
            if round == 9 {
                measured.millis.clear();
            }
        }
    }
    let medians: Vec<f64> = kept.iter_mut().map(|(measured, _)| percentile(&mut measured.millis, 50)).collect();
    let name = name_of(of);
    for (size, median) in sizes.iter().zip(&medians) {
        println!("flat {name}: {size} {what}: a claim of {ROWS} rows takes {median:.2} ms");
    }
    let figure = |what: String, value, goal| Figure { workload: "flat", what: format!("{name}: {what}"), value, goal };
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let worst = medians.iter().copied().fold(0.0, f64::max);
    vec![
        figure(format!("ms of a claim, p50, {} {what}", sizes[0]), medians[0], None),
        figure(format!("most of the p50s to the least, {what} {sizes:?}"), worst / least, Some(("at most", 1.3))),
    ]
}

async fn idle(of: &TestDatabase) -> Figure {
    let (mappings, seconds) = (number("FLAT_MAPPINGS", 10_000), number("FLAT_IDLE_SECONDS", 60));
    let database = of.fresh().await;
    let peopled = Peopled::new(mappings, mappings, unlimited()).await;
    peopled.fill(&database.url).await;
    let service = peopled.launch(&database.url).start().await;
    // What is done once at the start is not idleness.
    pause(Duration::from_secs(5)).await;
    let before = service.processor_time();
    pause(Duration::from_secs(seconds)).await;
    let used = (service.processor_time() - before).as_secs_f64();
    service.terminate().await;
    Figure {
        workload: "flat",
        what: format!("{}: percent of a core, idle with {mappings} mappings", name_of(of)),
        value: used * 100.0 / seconds as f64,
        goal: Some(("at most", 0.5)),
    }
}
