//! SIGKILL while events are delivered, at every named point and at any moment: every event arrives, with its own id each time.

use std::collections::BTreeSet;

use campaign_sync::worker::points::Point;
use serde_json::json;

use super::running::Running;
use super::subscriber::launch;
use super::world::{SOON, World};
use crate::support::{Receiver, Reply, eventually, on_both};

/// People who join in one round.
const GUESTS: usize = 6;

fn join(world: &World, round: &str) {
    for n in 0..GUESTS {
        world.add_in_salesforce(world.lead(&format!("{round}{n}")), "Invited");
    }
}

/// Waits until everything that is in the log has arrived.
async fn all_arrive(running: &Running, receiver: &Receiver, count: usize) {
    eventually(&format!("{count} events to be told, and to arrive"), SOON, async || {
        let told = running.all_events().await;
        let told: BTreeSet<String> = told.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        let arrived: BTreeSet<String> = receiver.ids().into_iter().collect();
        assert!(arrived.is_subset(&told), "something arrived that nobody tells of");
        (told.len() == count && arrived == told).then_some(())
    })
    .await;
}

on_both! {
    async fn killed_at_each_point_of_a_delivery(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let launch = launch(&world, &database).set("sync.lease", "1s");
        let mut running = Running::launch(world, launch.clone()).await;
        // One that refuses now and then, so that what is retried is killed as well.
        let receiver = Receiver::that(|before, _| match before % 5 {
            1 => Reply::Answer(503, "retry-after: 1\r\n", ""),
            _ => Reply::Answer(200, "", ""),
        }).await;
        running.subscribe(&receiver, json!({})).await;
        let mut told = 0;
        for point in Point::OF_DELIVERIES {
            for nth in 0..2 {
                let Running { world, service, mapping, api } = running;
                service.terminate().await;
                let plan = format!("{}:{nth}", point.as_str());
                let mut service = launch.clone().env("CAMPAIGN_SYNC_KILL_AT", &plan).start().await;
                world.send_webhooks_to(service.url());
                let round = format!("{}{nth}Guest", point.as_str());
                join(&world, &round);
                eventually(&format!("the death at {plan}"), SOON, async || service.has_ended().then_some(())).await;
                drop(service);
                let service = launch.clone().start().await;
                running = Running { world, service, mapping, api }.again();
                // What was said while nobody listened is found by looking.
                running.reconcile().await;
                told += GUESTS;
                all_arrive(&running, &receiver, told).await;
            }
        }
    }
}
