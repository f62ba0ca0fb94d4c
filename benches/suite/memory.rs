//! Memory of the service while it works off much, and less.

use std::time::{Duration, Instant};

use crate::Figure;
use crate::asked::{databases, number, numbers};
use crate::ground::{TestDatabase, name_of};
use crate::known::is_open;
use crate::peopled::{Peopled, Side, unlimited};
use crate::world::pause;

const MIB: f64 = 1024.0 * 1024.0;

pub async fn run() -> Vec<Figure> {
    let sizes = numbers("MEMORY_MEMBERS", &[100_000, 1_000_000]);
    let mut figures = Vec::new();
    for database in databases().await {
        let mut grown = Vec::new();
        for size in &sizes {
            let (idle, most) = case(&database.fresh().await, *size).await;
            grown.push(most - idle);
            figures.push(Figure {
                workload: "memory",
                what: format!(
                    "{}: MiB beyond {idle:.0} idle, draining {size}, SQLite's page caches included",
                    name_of(&database)
                ),
                value: most - idle,
                goal: Some(("at most", 64.0)),
            });
        }
        figures.push(Figure {
            workload: "memory",
            what: format!("{}: MiB more with the most than with the least", name_of(&database)),
            value: grown[grown.len() - 1] - grown[0],
            goal: None,
        });
    }
    figures
}

/// Resident when idle and at its highest, in MiB.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn case(database: &TestDatabase, members: usize) -> (f64, f64) {
    let time = Duration::from_secs(number("MEMORY_SECONDS", 60));
    let mut peopled = Peopled::new(members, 100.min(members), unlimited()).await;
    let tables = peopled.fill(&database.url).await;
    peopled.change(Side::Marketo);
    peopled.tell(&tables, Side::Marketo).await;
    let service = peopled.launch(&database.url).start().await;
    pause(Duration::from_secs(2)).await;
    let idle = service.resident() as f64 / MIB;
    peopled.release(&tables).await;
    let started = Instant::now();
    while started.elapsed() < time && is_open(&tables).await {
        pause(Duration::from_millis(200)).await;
    }
    let most = service.most_memory().unwrap_or(0) as f64 / MIB;
    println!("memory {}: {members} members: idle {idle:.0} MiB, at most {most:.0} MiB", name_of(database));
    service.terminate().await;
    (idle, most)
}
