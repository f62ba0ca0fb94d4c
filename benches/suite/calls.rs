//! What a thousand changes at once cost in calls, against the fewest that the vendors' batch sizes allow.

use std::time::Duration;

use campaign_sync::app::Role;

use crate::Figure;
use crate::world::{Bench, pause};

const MEMBERS: usize = 1_000;

pub async fn run() -> Vec<Figure> {
    let bench = Bench::new(MEMBERS, Role::All).await;
    let mapping = bench.map(true).await;
    // Paused, so that the thousand are there at once, as after an import.
    let post = async |what: &str| {
        let answer = bench
            .http
            .post(bench.url(&format!("/api/v1/mappings/{mapping}/{what}")))
            .bearer_auth(crate::world::KEY)
            .send()
            .await;
        assert!(answer.unwrap().status().is_success(), "{what}");
    };
    post("pause").await;
    bench.webhooks();
    let received = async || bench.get("/api/v1/stats").await["ledger"]["received"].as_u64().unwrap();
    let heard = received().await;
    let (program, people) = (bench.program, bench.people.clone());
    bench.emulators.marketo.with(|world| world.set_status_of_all(program, &people, "Registered").unwrap());
    while received().await != heard + MEMBERS as u64 {
        pause(Duration::from_millis(20)).await;
    }
    let before = bench.emulators.salesforce.with(|world| world.counters.clone());
    post("resume").await;
    let equal = |bench: &Bench| {
        bench.emulators.salesforce.with(|world| world.members(bench.campaign).iter().all(|m| m.status == "Registered"))
    };
    while !equal(&bench) {
        pause(Duration::from_millis(20)).await;
    }
    let after = bench.emulators.salesforce.with(|world| world.counters.clone());
    let figure =
        |what: &str, value: u64, goal| Figure { workload: "calls", what: what.to_owned(), value: value as f64, goal };
    vec![
        figure(
            "Salesforce write calls for 1,000 changes in one program",
            after.writes - before.writes,
            Some(("at most", 5.0)),
        ),
        figure("Salesforce read calls for the same", after.reads - before.reads, Some(("at most", 10.0))),
    ]
}
