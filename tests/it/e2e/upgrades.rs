//! Databases of earlier versions and restored copies: the service starts on them, knows what was in them, and goes on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::running::Running;
use super::storm::calm_only;
use super::subscriber::launch;
use super::world::World;
use crate::support::{Receiver, SCHEMAS, Tables, TestDatabase, on_both};

/// Somebody joins on each side, and both arrive.
async fn goes_on(running: &Running, name: &str) {
    let (from_marketo, from_salesforce) = (format!("{name}M"), format!("{name}S"));
    running.world.marketo_person(&from_marketo);
    running.world.set_in_marketo(&from_marketo, "Registered");
    running.world.add_in_salesforce(running.world.lead(&from_salesforce), "Registered");
    running.both_have(&from_marketo, Some("Registered")).await;
    running.both_have(&from_salesforce, Some("Registered")).await;
    running.settle().await;
    for name in [from_marketo, from_salesforce] {
        assert_eq!(running.transitions_of(&name).await, ["- Registered"], "{name}");
        assert_eq!((running.world.leads(&name), running.world.people(&name)), (1, 1), "{name}");
    }
}

/// What is known of each member, by person.
async fn known(database: &TestDatabase) -> Vec<String> {
    let columns =
        ["id", "person_id", "marketo", "salesforce", "base_marketo", "base_salesforce", "sync_state", "sequence"];
    Tables::open(&database.url).await.lines("members", &columns).await
}

on_both! {
    async fn a_database_of_every_earlier_version_is_brought_up_to_date_and_goes_on(database: TestDatabase) {
        calm_only!("compares what is stored");
        let world = World::new().await;
        world.bystanders(6);
        let launch = launch(&world, &database);
        let mut running = Running::launch(world, launch).await;
        let receiver = Receiver::good().await;
        running.subscribe(&receiver, json!({})).await;
        goes_on(&running, "Before").await;
        // Something of everything: changed, removed, commanded, planned, told.
        running.world.change_in_salesforce("Bystander0", "Attended");
        running.world.set_in_marketo("Bystander1", "Not in Program");
        running.both_have("Bystander1", None).await;
        let command = json!({"campaign_id": running.world.campaign, "status": "Attended", "people": [{"marketo_id": running.world.marketo_id("Bystander2")}]});
        running.api.post("flow-actions/change-status", &command).await.expect(202);
        running.api.post(&format!("mappings/{}/plan", running.mapping), &json!({})).await.expect(201);
        running.both_have("Bystander2", Some("Attended")).await;
        running.settle().await;
        let (_, stopped) = running.service.terminate().await;
        let (before, figures) = (known(&database).await, Tables::open(&database.url).await.texts("SELECT CAST(SUM(received) AS TEXT) FROM ledger").await);
        for version in 1..SCHEMAS {
            let old = database.as_of(version).await;
            let service = stopped.clone().set("database.url", &old.url).start().await;
            assert_eq!(known(&old).await, before, "of version {version}");
            running = Running { service, ..running }.again();
            let shown: Value = running.api.get(&format!("mappings/{}", running.mapping)).await.expect(200).json();
            assert_eq!(shown["state"], "active", "{shown:#}");
            let ledger = running.api.get("stats").await.expect(200).json()["ledger"]["received"].clone();
            // A poll that begins anew may have found something by now.
            assert!(ledger.as_i64() >= figures[0].parse().ok(), "{ledger} of {figures:?}, of version {version}");
            running.reconcile().await;
            goes_on(&running, &format!("After{version}")).await;
            // Whoever was subscribed is told, where there were subscriptions.
            let subscribed = running.api.get("subscriptions").await.expect(200).json()["data"].as_array().unwrap().len();
            assert_eq!(subscribed, usize::from(version > 1), "of version {version}");
            running.at_rest().await;
            running.service.terminate().await;
        }
    }

    async fn an_older_version_goes_on_while_a_newer_one_migrates_under_it(database: TestDatabase) {
        calm_only!("changes the schema");
        let running = Running::new(&database).await;
        goes_on(&running, "Before").await;
        let names: Vec<String> = (0..30).map(|n| format!("Meanwhile{n}")).collect();
        names.iter().for_each(|name| _ = running.world.marketo_person(name));
        let load = async {
            for name in &names {
                running.world.set_in_marketo(name, "Invited");
            }
            running.both_hold("everybody", |side| names.iter().all(|name| side.contains_key(name))).await;
        };
        // What migrations do: columns that may be left out, tables and indexes that nobody knows. And they are noted.
        let tables = Tables::open(&database.url).await;
        let migrate = async {
            for sql in ["ALTER TABLE members ADD COLUMN newer BIGINT", "ALTER TABLE outbox ADD COLUMN newer BIGINT NOT NULL DEFAULT 0",
                "ALTER TABLE lanes ADD COLUMN newer TEXT", "ALTER TABLE budget_parts ADD COLUMN newer TEXT", "CREATE TABLE newer (id BIGINT)",
                "CREATE INDEX outbox_newer ON outbox (newer)", "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'newer', TRUE, '\\x00', 0)"]
            {
                tables.execute(sql).await;
            }
        };
        tokio::join!(load, migrate);
        goes_on(&running, "Under").await;
        // Started again it refuses to touch a schema that it does not know, says so, and goes on where it is told to leave it alone.
        let Running { world, service, mapping, api } = running;
        let (_, stopped) = service.terminate().await;
        let refused = stopped.command().output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("9999"), "{refused:?}");
        let service = stopped.flag("--no-migrate").start().await;
        let running = Running { world, service, mapping, api }.again();
        goes_on(&running, "After").await;
        running.at_rest().await;
    }

    async fn a_copy_made_under_load_as_the_guide_says_is_restored_and_goes_on(database: TestDatabase) {
        calm_only!("compares what is stored");
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/back-up.md");
        let guide = fs::read_to_string(guide).unwrap();
        let running = Running::new(&database).await;
        let names: Vec<String> = (0..60).map(|n| format!("Busy{n}")).collect();
        let load = async {
            for (n, name) in names.iter().enumerate() {
                running.world.marketo_person(name);
                running.world.set_in_marketo(name, "Invited");
                if n % 6 == 0 {
                    running.both_have(name, Some("Invited")).await;
                }
            }
        };
        let (copy, ()) = tokio::join!(database.copied_as_written(&guide), load);
        running.settle().await;
        let Running { world, service, mapping, api } = running;
        // What happens from now on the copy knows nothing of, until it compares.
        let (_, stopped) = service.terminate().await;
        world.set_in_marketo("Bystander0", "Attended");
        world.remove_in_salesforce("Bystander1");
        let service = stopped.set("database.url", &copy.url).start().await;
        let running = Running { world, service, mapping, api }.again();
        running.reconcile().await;
        running.both_have("Bystander0", Some("Attended")).await;
        running.both_have("Bystander1", None).await;
        running.both_hold("everybody", |side| names.iter().all(|name| side.contains_key(name))).await;
        goes_on(&running, "Restored").await;
        running.at_rest().await;
        for name in &names {
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
    }
}
