//! What happens by itself where nobody looks: a source that falls silent, what a long silence has hidden, and rows that grow old.
//!
//! Time is not waited for: what is stored is made older, and the task that looks after it is called.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Receiver, Tables, eventually, on_both};

use super::running::Running;
use super::subscriber::{launch, received, running};
use super::world::{SOON, World};

const DAYS: i64 = 86_400_000;

/// A round of the task that looks after what is old and who is silent.
async fn round(tables: &Tables) {
    let ended = async || {
        tables.texts("SELECT CAST(fence AS TEXT) FROM polls WHERE name = 'maintenance' AND covered_at IS NOT NULL AND due_at > 0").await
    };
    let before =
        eventually("a first round", SOON, async || Some(ended().await).filter(|fence| !fence.is_empty())).await;
    tables.execute("UPDATE polls SET due_at = 0 WHERE name = 'maintenance'").await;
    eventually("another round", SOON, async || {
        let now = ended().await;
        (!now.is_empty() && now != before).then_some(())
    })
    .await;
}

/// Which of the vendors are said to be silent: Marketo, Salesforce.
async fn silent(running: &Running) -> (bool, bool) {
    let vendors = running.api.get("stats").await.expect(200).json()["vendors"].clone();
    let of = |vendor: &str| vendors[vendor]["silent"].as_bool().unwrap();
    (of("marketo"), of("salesforce"))
}

on_both! {
    async fn many_finds_of_one_comparison_wait_for_approval(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(501);
        let launch = launch(&world, &database);
        let running = Running::launch(world, launch).await;
        let receiver = Receiver::good().await;
        let (id, _) = running.subscribe(&receiver, json!({})).await;
        running.world.fall_silent();
        for n in 0..501 {
            running.world.change_in_salesforce(&format!("Bystander{n}"), "Attended");
        }
        running.reconcile().await;
        let waiting = running.api.get("catch-ups?state=waiting").await.expect(200).json();
        assert_eq!((waiting["data"].as_array().unwrap().len(), &waiting["data"][0]["count"]), (1, &json!(501)), "{waiting:#}");
        let found = running.all_events().await;
        assert!(found.len() == 501 && found.iter().all(|event| event["replayed"] == true), "{:#}", found[0]);
        assert_eq!(running.world.in_marketo().values().filter(|statuses| *statuses == &["Attended"]).count(), 501, "what is held is the telling alone");
        // Meanwhile what happens is told as ever; and a few that a comparison finds do not wait.
        running.world.send_webhooks_to(running.service.url());
        running.told_of("Meanwhile", &["Invited"]).await;
        running.world.fall_silent();
        running.world.change_in_salesforce("Meanwhile", "Registered");
        running.reconcile().await;
        let told = received(&receiver, 2).await;
        assert!(told.len() == 2 && told.iter().all(|told| told.json()["replayed"].is_null()), "{told:#?}");
        assert_eq!(running.deliveries(&id).await.len(), 2);
        running.api.post(&format!("catch-ups/{}/approve", waiting["data"][0]["id"].as_str().unwrap()), &Value::Null).await.expect(200);
        let told: Vec<Value> = received(&receiver, 503).await.iter().map(|told| told.json()).collect();
        assert_eq!((told.len(), told.iter().filter(|told| told["replayed"] == true).count()), (503, 501));
        let ids = |events: &[Value]| events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(ids(&told[2..]), ids(&found));
    }

    async fn a_source_that_falls_silent_is_said_once(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        running.subscribe(&receiver, json!({"types": ["sync.source.silent"]})).await;
        let tables = Tables::open(&database.url).await;
        let both_call = async |status: &str| {
            running.world.set_in_marketo("Bystander0", status);
            running.both_have("Bystander0", Some(status)).await;
            running.settle().await;
        };
        both_call("Attended").await;
        running.told_of("Heard", &["Invited"]).await;
        let days_pass = async || tables.execute(&format!("UPDATE sources SET heard_at = heard_at - {} WHERE source = 'salesforce'", 2 * DAYS)).await;
        days_pass().await;
        round(&tables).await;
        assert_eq!(silent(&running).await, (false, false), "a mapping of today has heard little of anybody");
        tables.execute(&format!("UPDATE mappings SET created_at = created_at - {}", 2 * DAYS)).await;
        round(&tables).await;
        assert_eq!(silent(&running).await, (false, true));
        let told = received(&receiver, 1).await;
        assert_eq!((&told[0].json()["type"], &told[0].json()["data"]["vendor"]), (&json!("sync.source.silent"), &json!("salesforce")));
        round(&tables).await;
        assert_eq!(receiver.received().len(), 1, "said again");
        // Heard of again, and silent anew: that is another silence.
        running.told_of("HeardAgain", &["Invited"]).await;
        round(&tables).await;
        assert_eq!(silent(&running).await, (false, false));
        days_pass().await;
        round(&tables).await;
        assert_eq!(received(&receiver, 2).await.len(), 2);
    }

    async fn old_rows_go_and_the_ledger_stays(database: TestDatabase) {
        let running = running(&database).await;
        let world = &running.world;
        let tables = Tables::open(&database.url).await;
        running.told_of("Moves", &["Invited", "Registered"]).await;
        world.emulators.salesforce.with(|org| org.add_status(world.campaign, "Phoned", false).unwrap());
        running.told_of("Held", &["Phoned"]).await;
        running.settle().await;
        let ledger = async || running.api.get("stats").await.expect(200).json()["ledger"].clone();
        let (before, bridge) = (ledger().await, running.api.get(&format!("mappings/{}", running.mapping)).await.expect(200).json()["bridge"].clone());
        let changes = async || running.api.get("changes?limit=500").await.expect(200).json()["data"].as_array().unwrap().clone();
        let done = async || changes().await.iter().filter(|change| change["state"] == "completed").count();
        let kept = async |table: &str| tables.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")).await.remove(0);
        round(&tables).await;
        assert!(done().await > 0 && kept("inbox").await != "0", "nothing is old");
        for (table, time, days) in [("outbox", "completed_at", 8), ("inbox", "received_at", 8), ("history", "at", 401), ("trigger_events", "created_at", 401)] {
            tables.execute(&format!("UPDATE {table} SET {time} = {time} - {}", days * DAYS)).await;
        }
        round(&tables).await;
        // A row that somebody else has in hand is left to the next round.
        eventually("the old rows to go", SOON, async || (done().await == 0 && kept("history").await == "0").then_some(())).await;
        // Whoever is held may still be decided, with what it was made of.
        let left = changes().await;
        assert_eq!((left.len(), &left[0]["state"], &left[0]["reason"]), (1, &json!("parked"), &json!("incompatible_status")));
        assert_eq!((kept("inbox").await.as_str(), kept("history").await.as_str()), ("1", "0"));
        assert!(running.all_events().await.is_empty());
        assert_eq!((ledger().await, running.api.get(&format!("mappings/{}", running.mapping)).await.expect(200).json()["bridge"].clone()), (before, bridge));
        running.ledger_balances().await;
        // What happens from then on is counted on.
        world.change_in_salesforce("Moves", "Attended");
        eventually("the change", SOON, async || (world.in_marketo()["Moves"] == ["Attended"]).then_some(())).await;
        running.settle().await;
        running.ledger_balances().await;
    }
}
