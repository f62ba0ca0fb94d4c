//! What changes cost in calls, against the fewest that the vendors' batch sizes allow: many in one mapping, in ten, one in each of a
//! thousand, both ways; members that go back and forth; echoes of our own writes.

use crate::Figure;
use crate::asked::{databases, number};
use crate::costs::{Cost, of_changes, of_echoes, of_flapping};
use crate::ground::{Launch, Tables, TestDatabase, name_of};
use crate::peopled::{Peopled, Side, unlimited};

pub async fn run() -> Vec<Figure> {
    let members = number("CALLS_MEMBERS", 1_000);
    let mut figures = Vec::new();
    for database in databases().await {
        let name = name_of(&database);
        for pairs in [1, 10, members] {
            let what = format!("{name}: {members} changes in {pairs} mappings");
            let (mut peopled, tables, launch, _kept) = world(&database, members, pairs).await;
            let service = launch.start().await;
            // Who we are is asked once.
            of_changes(&mut peopled, &tables, Side::Marketo).await;
            let per_program = pairs * (members / pairs).div_ceil(300);
            let cost = of_changes(&mut peopled, &tables, Side::Marketo).await;
            figures.extend(told(
                &what,
                "of Marketo",
                &cost,
                [2 * members.div_ceil(200), members.div_ceil(200), per_program, 0],
            ));
            let cost = of_changes(&mut peopled, &tables, Side::Salesforce).await;
            figures.extend(told(
                &what,
                "of Salesforce",
                &cost,
                [2 * members.div_ceil(200), 0, per_program, per_program],
            ));
            if pairs == 1 {
                let cost = of_echoes(&mut peopled, &tables).await;
                figures.extend(told(&format!("{name}: {members} echoes"), "of Salesforce", &cost, [0; 4]));
            }
            service.terminate().await;
        }
        let flapping = members / 10;
        let (mut peopled, tables, launch, _kept) = world(&database, flapping, 1).await;
        let service = launch.start().await;
        of_changes(&mut peopled, &tables, Side::Marketo).await;
        let webhooks = format!("{}/webhooks/marketo", service.url());
        let cost = of_flapping(&mut peopled, &tables, &webhooks, 10).await;
        let calls = flapping.div_ceil(300);
        let bound = [2 * flapping.div_ceil(200), 0, calls, calls];
        figures.extend(told(&format!("{name}: {flapping} members flapping 10 times"), "in Salesforce", &cost, bound));
        service.terminate().await;
    }
    figures
}

async fn world(database: &TestDatabase, members: usize, pairs: usize) -> (Peopled, Tables, Launch, TestDatabase) {
    let database = database.fresh().await;
    let peopled = Peopled::new(members, pairs, unlimited()).await;
    let tables = peopled.fill(&database.url).await;
    let launch = peopled.launch(&database.url);
    (peopled, tables, launch, database)
}

/// Reads and writes of Salesforce, then of Marketo, each at most 1.1 times its bound.
fn told(what: &str, side: &str, cost: &Cost, bounds: [usize; 4]) -> Vec<Figure> {
    let counts = [cost.salesforce.reads, cost.salesforce.writes, cost.marketo.reads, cost.marketo.writes];
    let names = ["Salesforce reads", "Salesforce writes", "Marketo reads", "Marketo writes"];
    println!("calls {what} {side}: {counts:?}, at the least {bounds:?}");
    let figure = |((name, count), bound): ((&str, u64), usize)| Figure {
        workload: "calls",
        what: format!("{what} {side}: {name}"),
        value: count as f64,
        goal: Some(("at most", (bound as f64 * 1.1).floor())),
    };
    names.into_iter().zip(counts).zip(bounds).map(figure).collect()
}
