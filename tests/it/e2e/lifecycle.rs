//! Pausing and removing a mapping, stopping and sharing the work, and what a thousand changes cost.

use campaign_sync::domain::clock::Clock;
use serde_json::json;

use crate::support::{eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World};

on_both! {
    async fn while_paused_changes_are_received_and_nothing_is_written(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.api.post(&format!("mappings/{}/pause", running.mapping), &json!({})).await.expect(200);
        let (writes, heard) = (running.world.writes(), running.received().await);
        running.world.marketo_person("Waiting");
        running.world.set_in_marketo("Waiting", "Registered");
        running.world.add_in_salesforce(running.world.lead("Queued"), "Registered");
        running.world.change_in_salesforce("Bystander0", "Attended");
        eventually("the changes to be received", SOON, async || {
            (running.received().await == heard + 3).then_some(())
        })
        .await;
        assert_eq!(running.api.get("stats").await.expect(200).json()["outbox"]["available"], 3);
        assert_eq!(running.world.writes(), writes, "written while paused");
        assert!(!running.world.in_salesforce().contains_key("Waiting"));
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.both_have("Waiting", Some("Registered")).await;
        running.both_have("Queued", Some("Registered")).await;
        running.both_have("Bystander0", Some("Attended")).await;
        running.at_rest().await;
        // Salesforce's own side was watched all the time.
        assert_eq!(running.transitions_of("Queued").await, ["- Registered"]);
        assert_eq!(running.transitions_of("Bystander0").await, ["Registered Attended"]);
        assert_eq!(running.events_of("Waiting").await, ["- Registered marketo write"]);
    }

    async fn a_removed_mapping_leaves_everybody_where_they_are(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.world.marketo_person("Staying");
        running.world.set_in_marketo("Staying", "Registered");
        running.both_have("Staying", Some("Registered")).await;
        running.settle().await;
        let before = (running.world.in_marketo(), running.world.in_salesforce(), running.world.writes());
        running.api.delete(&format!("mappings/{}", running.mapping)).await.expect(204);
        assert_eq!((running.world.in_marketo(), running.world.in_salesforce(), running.world.writes()), before);
        // Nobody follows any more.
        running.world.set_in_marketo("Staying", "Attended");
        running.world.remove_in_salesforce("Bystander0");
        eventually("the webhooks to be sent", SOON, async || {
            let sent = running.world.emulators.marketo.with(|world| world.deliveries.back().cloned());
            sent.is_some_and(|delivery| format!("{delivery:?}").contains("unmapped")).then_some(())
        })
        .await;
        running.settle().await;
        assert_eq!(running.world.writes(), before.2);
        assert_eq!(running.world.in_salesforce()["Staying"], ["Registered"]);
        assert!(running.world.in_marketo().contains_key("Bystander0"));
    }

    async fn told_to_stop_under_traffic_it_ends_what_is_in_hand(database: TestDatabase) {
        let running = Running::new(&database).await;
        let names: Vec<String> = (0..40).map(|n| format!("Busy{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            if n % 2 == 0 {
                running.world.marketo_person(name);
                running.world.set_in_marketo(name, "Registered");
            } else {
                running.world.add_in_salesforce(running.world.lead(name), "Registered");
            }
        }
        eventually("some to arrive", SOON, async || {
            names.iter().any(|name| running.world.in_salesforce().contains_key(name)).then_some(())
        })
        .await;
        let Running { world, service, mapping, api } = running;
        let clock = Clock::system();
        let (status, launch) = service.terminate().await;
        assert!(status.success() && clock.monotonic().as_secs() < 30, "{status:?} after {:?}", clock.monotonic());
        let service = launch.start().await;
        let running = Running { world, service, mapping, api }.again();
        // What was sent while nobody listened is found by looking.
        running.reconcile().await;
        running.at_rest().await;
        let side = running.world.in_marketo();
        for name in &names {
            assert_eq!(side[name], ["Registered"]);
            assert_eq!(running.transitions_of(name).await, ["- Registered"], "{name}");
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
    }

    async fn as_many_processes_as_the_database_allows_share_the_work(database: TestDatabase) {
        let running = Running::new(&database).await;
        let mut others = Vec::new();
        for _ in 1..database.processes() {
            others.push(running.world.launch(&database).start().await);
        }
        let names: Vec<String> = (0..30).map(|n| format!("Shared{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            if n % 2 == 0 {
                running.world.marketo_person(name);
                running.world.set_in_marketo(name, "Invited");
            } else {
                running.world.add_in_salesforce(running.world.lead(name), "Invited");
            }
        }
        running.both_hold("everybody", |side| names.iter().all(|name| side.contains_key(name))).await;
        for name in &names {
            running.world.set_in_marketo(name, "Attended");
        }
        running.both_hold("everybody attended", |side| names.iter().all(|name| side[name] == ["Attended"])).await;
        running.at_rest().await;
        for name in &names {
            assert_eq!(running.transitions_of(name).await, ["- Invited", "Invited Attended"], "{name}");
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
        let misuse = running.world.emulators.salesforce.with(|org| org.counters.misuse);
        assert_eq!((misuse.parallel_campaign_writes, misuse.duplicate_leads, misuse.duplicate_members), (0, 0, 0));
    }

    async fn a_thousand_changes_cost_five_calls(database: TestDatabase) {
        calm_only!("counts calls");
        let world = World::new().await;
        let names: Vec<String> = (0..1000).map(|n| format!("Many{n}")).collect();
        let mut ids = Vec::new();
        for name in &names {
            ids.push(world.marketo_person(name));
            world.add_in_salesforce(world.lead(name), "Invited");
        }
        let all_in = |status: &str| world.emulators.marketo.with(|m| m.set_status_of_all(world.program, &ids, status).unwrap());
        all_in("Invited");
        let running = Running::start(world, &database).await;
        // All at once for the worker too: received while it may not write.
        running.api.post(&format!("mappings/{}/pause", running.mapping), &json!({})).await.expect(200);
        let (heard, writes) = (running.received().await, running.world.writes());
        running.world.emulators.marketo.with(|m| m.set_status_of_all(running.world.program, &ids, "Attended").unwrap());
        eventually("the changes to be received", SOON, async || {
            (running.received().await == heard + ids.len() as i64).then_some(())
        })
        .await;
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.both_hold("everybody attended", |side| side.values().all(|statuses| statuses == &["Attended"])).await;
        running.settle().await;
        let now = running.world.writes();
        assert_eq!(now.0, writes.0, "Marketo was written to");
        assert!(now.1 - writes.1 <= 5, "{} calls", now.1 - writes.1);
    }
}

impl Running {
    /// Hints received so far, in accepted records.
    pub async fn received(&self) -> i64 {
        self.api.get("stats").await.expect(200).json()["ledger"]["received"].as_i64().unwrap()
    }
}
