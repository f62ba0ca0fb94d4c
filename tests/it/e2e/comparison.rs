//! `campaign-sync reconcile`, and what can be read afterwards: figures over time, the history of a member, the ledger.

use serde_json::{Value, json};

use crate::support::{Launch, Tables, TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World, address};

/// Exit code, standard output and standard error.
pub(super) async fn reconcile(world: &World, database: &TestDatabase, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = ["reconcile"].into_iter().chain(args.iter().copied()).collect();
    let launch = world.configured(Launch::campaign_sync(&args)).set("database.url", &database.url);
    let output = tokio::task::spawn_blocking(move || launch.command().output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

on_both! {
    async fn the_command_compares_mends_and_says_what_differs(database: TestDatabase) {
        let running = Running::new(&database).await;
        let Running { world, service, mapping, api: _ } = running;
        service.terminate().await;
        world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        world.marketo_person("Missed");
        world.set_in_marketo("Missed", "Registered");
        world.set_in_marketo("Bystander0", "Attended");
        let writes = world.writes();

        let (code, out, err) = reconcile(&world, &database, &["--dry-run", &mapping]).await;
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains("missed@people.example salesforce add - -> \"Registered\""), "{out}");
        assert!(out.contains("bystander0@people.example salesforce change \"Registered\" -> \"Attended\""), "{out}");
        assert!(out.contains("2 differ"), "{out}");
        assert!(err.lines().all(|line| line.contains("reading") || line.contains("deciding")), "{err}");
        assert_eq!(world.writes(), writes);

        let (code, out, err) = reconcile(&world, &database, &[]).await;
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains("salesforce missing 1") && out.contains("salesforce different 1"), "{out}");
        assert!(out.contains("9 in sync, 2 changed, 0 still differ"), "{out}");
        assert_eq!(world.in_salesforce(), world.in_marketo());
        let (code, out, _) = reconcile(&world, &database, &["--dry-run", &mapping]).await;
        assert_eq!(code, 0, "{out}");

        // What cannot be mended remains.
        world.change_in_salesforce("Bystander0", "Invited");
        let (code, out, _) = reconcile(&world, &database, &[&mapping]).await;
        assert_eq!(code, 1, "{out}");
        assert!(out.contains("both regression 1") && out.contains("1 still differ (regression 1)"), "{out}");
        let (code, _, err) = reconcile(&world, &database, &["not-an-id"]).await;
        assert_eq!(code, 2, "{err}");
        let (code, _, err) = reconcile(&world, &database, &["01a21c0d-3741-736e-ae4c-e9b74af8d774"]).await;
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("no mapping has the id"), "{err}");
    }

    async fn what_the_policies_want_different_is_counted_and_does_not_fail_the_command(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.marketo_person("BelowGate");
        world.set_in_marketo("BelowGate", "Invited");
        let policies = json!({"policies": {"gate": ["Registered", "Attended"], "removal": "keep"}});
        let running = Running::mapped(world, &database, &policies).await;
        let Running { world, service, mapping, api: _ } = running;
        service.terminate().await;
        world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        world.set_in_marketo("Bystander0", "Not in Program");
        for args in [&["--dry-run", mapping.as_str()][..], &[mapping.as_str()], &["--dry-run", mapping.as_str()]] {
            let (code, out, err) = reconcile(&world, &database, args).await;
            assert_eq!(code, 0, "{out}{err}");
            if args.len() == 1 {
                let counted = "0 still differ, 2 differ as the policies want (below_gate 1, kept_apart 1)";
                assert!(out.contains(counted), "{out}");
            } else {
                assert!(out.contains("(below_gate)") && out.contains("(kept_apart)"), "{out}");
            }
        }
        assert_eq!((world.in_marketo().len(), world.in_salesforce().len()), (8, 8), "{:?}", world.in_marketo());
        // One that somebody has to see to is another thing.
        world.change_in_salesforce("Bystander1", "Invited");
        for args in [&["--dry-run", mapping.as_str()][..], &[mapping.as_str()]] {
            let (code, out, err) = reconcile(&world, &database, args).await;
            assert_eq!(code, 1, "{out}{err}");
        }
    }

    async fn what_happened_is_counted_by_the_minute_and_told_of_each_member(database: TestDatabase) {
        calm_only!("counts hints");
        let running = Running::new(&database).await;
        // Three hints become one change while the mapping is paused.
        running.api.post(&format!("mappings/{}/pause", running.mapping), &json!({})).await.expect(200);
        let heard = running.api.get("stats").await.expect(200).json()["ledger"]["received"].as_i64().unwrap();
        running.world.marketo_person("Heard");
        for status in ["Invited", "Registered", "Attended"] {
            running.world.set_in_marketo("Heard", status);
        }
        eventually("three hints", SOON, async || {
            let now = running.api.get("stats").await.expect(200).json()["ledger"]["received"].as_i64().unwrap();
            (now == heard + 3).then_some(())
        })
        .await;
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.both_have("Heard", Some("Attended")).await;
        running.settle().await;

        let members = running.members().await;
        let member = members["data"].as_array().unwrap().iter().find(|m| m["person"]["email"] == address("Heard")).unwrap();
        let path = format!("members/{}/history?limit=500", member["id"].as_str().unwrap());
        let history = running.api.get(&path).await.expect(200).json();
        let of = |kind: &str| -> Vec<Value> {
            history["data"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).map(|e| e["detail"].clone()).collect()
        };
        let hints = of("hint");
        assert_eq!(hints.iter().filter(|hint| hint["source"] == "marketo").count(), 3, "{history:#}");
        assert!(hints.iter().any(|hint| hint["source"] == "salesforce"), "the echo of our write: {history:#}");
        let written = of("written");
        let expected = json!({"side": "salesforce", "action": "add_to_salesforce", "status": "Attended", "answer": "accepted", "held": "Attended"});
        assert_eq!(written, [expected], "{history:#}");
        // The echo may be heard before what was written is recorded.
        let entries = history["data"].as_array().unwrap().iter().filter(|entry| entry["detail"]["source"] != "salesforce");
        let kinds: Vec<_> = entries.take(5).map(|e| e["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["hint", "hint", "hint", "decided", "written"], "{history:#}");

        running.reconcile().await;
        let series = async |metric: &str| -> Vec<i64> {
            let series = running.api.get(&format!("stats/timeseries?metric={metric}&step=1m")).await.expect(200).json();
            assert_eq!((&series["metric"], &series["step"]), (&json!(metric), &json!("1m")));
            let points = series["points"].as_array().unwrap();
            assert!(points.len() >= 60, "a point for each minute of the hour: {}", points.len());
            points.iter().map(|point| point[1].as_i64().unwrap_or(0)).collect()
        };
        // An echo may be received between the two looks.
        eventually("both to count the same", SOON, async || {
            let ledger = running.api.get("stats").await.expect(200).json()["ledger"].clone();
            (json!(series("received").await.iter().sum::<i64>()) == ledger["received"]).then_some(())
        })
        .await;
        assert_eq!(series("applied_to_salesforce").await.iter().sum::<i64>(), 1);
        assert_eq!(series("applied_to_marketo").await.iter().sum::<i64>(), 0);
        assert_eq!(series("trigger_events").await.iter().sum::<i64>(), 1);
        assert!(series("latency_p95_ms").await.into_iter().max() > Some(0));
        eventually("the calls to be counted", SOON, async || {
            let calls = [series("marketo_calls").await, series("salesforce_calls").await];
            calls.iter().all(|calls| calls.iter().sum::<i64>() > 0).then_some(())
        })
        .await;
        for wrong in ["", "?metric=none", "?metric=received&step=90s", "?metric=received&from=x", "?metric=received&from=2001-01-01T00:00:00Z"] {
            running.api.get(&format!("stats/timeseries{wrong}")).await.expect(422);
        }
    }

    async fn the_ledger_is_what_a_recount_of_records_and_changes_gives(database: TestDatabase) {
        let running = Running::new(&database).await;
        for n in 0..6 {
            let name = format!("Counted{n}");
            running.world.marketo_person(&name);
            for status in ["Invited", "Registered", "Attended"] {
                running.world.set_in_marketo(&name, status);
            }
            running.world.set_in_marketo(&format!("Bystander{n}"), "Attended");
        }
        running.world.change_in_salesforce("Bystander7", "Invited");
        running.settle().await;
        running.at_rest_but(&["Bystander7"]).await;
        let received = running.ledger_is_recounted(&Tables::open(&database.url).await, false).await;
        assert!(received >= 24, "{received}");
    }
}

impl Running {
    /// At rest, with both sides the same but for these.
    async fn at_rest_but(&self, names: &[&str]) {
        self.reconcile().await;
        let (mut marketo, mut salesforce) = (self.world.in_marketo(), self.world.in_salesforce());
        for name in names {
            marketo.remove(*name);
            salesforce.remove(*name);
        }
        assert_eq!(marketo, salesforce);
    }

    /// The ledger says what a recount of the stored records and changes gives, all of which have come to rest; how many were received.
    /// Records about people are `routed`: they are received where they turn out to belong, and no stored record is of one mapping; then
    /// it is the ends that are recounted.
    pub async fn ledger_is_recounted(&self, tables: &Tables, routed: bool) -> i64 {
        let records = "SELECT CAST(COUNT(*) AS TEXT) FROM inbox i JOIN outbox o ON o.id = i.change_id WHERE o.mapping_id IS NOT NULL";
        // A record that made its change is counted as that ended; one that was merged into it as superseded.
        let ended = "SELECT s || '=' || CAST(COUNT(*) AS TEXT) FROM (SELECT CASE WHEN state = 'completed' THEN outcome WHEN state = 'parked' THEN 'held'
            WHEN state = 'discarded' AND reason IS NOT NULL THEN 'failed' ELSE state END AS s FROM outbox WHERE mapping_id IS NOT NULL) AS ends GROUP BY s";
        let stored: i64 = tables.texts(records).await[0].parse().unwrap();
        let ledger = self.api.get("stats").await.expect(200).json()["ledger"].clone();
        let received = if routed { ledger["received"].as_i64().unwrap() } else { stored };
        let mut counted = std::collections::BTreeMap::new();
        for line in tables.texts(ended).await {
            let (name, n) = line.split_once('=').unwrap();
            counted.insert(name.to_owned(), n.parse::<i64>().unwrap());
        }
        let merged = received - counted.values().sum::<i64>();
        *counted.entry("superseded".to_owned()).or_default() += merged;
        assert_eq!(ledger["received"], received);
        assert!(stored <= received, "{stored} are stored: {ledger}");
        for name in ["applied", "no_op", "superseded", "waiting", "held", "failed", "discarded"] {
            assert_eq!(ledger[name], counted.get(name).copied().unwrap_or(0), "{name} of {ledger} and {counted:?}");
        }
        received
    }
}
