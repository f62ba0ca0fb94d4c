//! Members that wait for a person: which side is right is said, and done; and those that two writers fight over.

use serde_json::{Value, json};

use crate::support::{Answer, eventually, on_both};

use super::rows::{cast, lines};
use super::running::Running;
use super::world::{SOON, World};

impl Running {
    /// What a person says about somebody's member.
    async fn resolve(&self, name: &str, winner: &str) -> Answer {
        let id = self.member(name).await["id"].as_str().unwrap_or_else(|| panic!("{name} is no member")).to_owned();
        self.api.post(&format!("members/{id}/resolve"), &json!({"winner": winner})).await
    }

    async fn refuses(&self, name: &str, winner: &str, status: u16, code: &str) {
        let refused = self.resolve(name, winner).await.expect(status).json();
        assert_eq!((&refused["code"], refused["status"].as_u64()), (&json!(code), Some(u64::from(status))), "{name}");
    }

    async fn history_of(&self, name: &str) -> Vec<Value> {
        let id = self.member(name).await["id"].as_str().unwrap().to_owned();
        let history = self.api.get(&format!("members/{id}/history?limit=500")).await.expect(200).json();
        history["data"].as_array().unwrap().clone()
    }

    /// Details of the notes of one kind.
    pub async fn noted(&self, name: &str, kind: &str) -> Vec<Value> {
        let history = self.history_of(name).await;
        history.into_iter().filter(|entry| entry["kind"] == kind).map(|entry| entry["detail"].clone()).collect()
    }
}

on_both! {
    async fn what_the_winner_says_is_written_to_the_other_side(database: TestDatabase) {
        let rows = lines("
            10C | ToSales   | Invited    | Registered Attended   | Registered Attended   | conflict_hold | Invited Attended salesforce
            10C | ToMarketo | Invited    | Registered Attended   | Registered Attended   | conflict_hold | Invited Attended salesforce
            8R  | SetBack   | Attended   | Attended Invited      | Attended Invited      | regression    | Attended Invited salesforce
            8R  | Lowered   | Attended   | Attended Invited      | Attended Invited      | regression    | Attended Invited salesforce
            11  | OutOfS    | Registered | - Registered          | - Registered          | kept_apart    |
            11  | BackInM   | Registered | - Registered          | - Registered          | kept_apart    |
            12  | OutOfM    | Registered | Registered -          | Registered -          | kept_apart    | Registered - salesforce
            12  | BackInS   | Registered | Registered -          | Registered -          | kept_apart    | Registered - salesforce
            2   | Gated     | -          | Invited -             | Invited -             | below_gate    |
        ");
        // A guard that lets nothing pass holds back nobody who is named.
        let world = World::new().await;
        world.bystanders(8);
        cast(&world, &rows);
        let launch = world.launch(&database).set("sync.removal_guard_members", "0").set("sync.removal_guard_percent", "0");
        let policies = json!({"policies": {"conflict": "hold", "removal": "keep", "gate": ["Registered", "Attended"]}});
        let running = Running::launch_mapped(world, launch, &policies).await;
        running.play(&rows).await;
        let said = [
            ("ToSales", "marketo", Some("Registered"), vec!["Invited Attended", "Attended Registered"]),
            ("ToMarketo", "salesforce", Some("Attended"), vec!["Invited Attended"]),
            ("SetBack", "marketo", Some("Attended"), vec!["Attended Invited", "Invited Attended"]),
            ("Lowered", "salesforce", Some("Invited"), vec!["Attended Invited"]),
            ("OutOfS", "marketo", None, vec!["Registered -"]),
            ("BackInM", "salesforce", Some("Registered"), vec![]),
            ("OutOfM", "salesforce", None, vec!["Registered -"]),
            ("BackInS", "marketo", Some("Registered"), vec!["Registered -", "- Registered"]),
            ("Gated", "marketo", Some("Invited"), vec!["- Invited"]),
        ];
        let id = running.member("ToSales").await["id"].as_str().unwrap().to_owned();
        for (name, winner, ..) in &said {
            let member = running.resolve(name, winner).await.expect(202).json();
            assert!(["pending", "in_sync"].contains(&member["sync_state"].as_str().unwrap()), "{member:#}");
        }
        for (name, _, status, _) in &said {
            running.both_have(name, *status).await;
        }
        running.at_rest().await;
        for (name, _, _, told) in &said {
            assert_eq!(running.transitions_of(name).await, *told, "{name}");
        }
        assert!(running.events_of("SetBack").await[1].contains("policy write"));
        let settled = running.member("ToSales").await;
        assert_eq!((&settled["sync_state"], &settled["base"]), (&json!("in_sync"), &json!({"marketo": "Registered", "salesforce": "Registered"})));
        let notes = running.noted("ToSales", "resolved").await;
        assert_eq!((notes.len(), &notes[0]["winner"], &notes[0]["reason"]), (1, &json!("marketo"), &json!("conflict_hold")));
        assert!(running.rules_of(&id).await.contains(&"resolved".to_owned()));
        let audit = running.api.get("audit?limit=500").await.expect(200).json();
        let by_us = |entry: &&Value| entry["action"] == "member.resolved" && entry["target"] == id.as_str();
        assert_eq!(audit["data"].as_array().unwrap().iter().filter(by_us).count(), 1);
        running.refuses("ToSales", "salesforce", 409, "nothing-to-resolve").await;
        running.ledger_balances().await;
    }

    async fn what_cannot_be_resolved_is_refused_and_nothing_changes(database: TestDatabase) {
        let torn = lines("10C | Torn | Invited | Registered Attended | Registered Attended | conflict_hold | Invited Attended salesforce");
        let running = Running::cast(World::new().await, &database, &json!({"conflict": "hold"}), &torn).await;
        running.play(&torn).await;
        let nobody = running.api.post("members/01936b2e-0000-7000-8000-000000000000/resolve", &json!({"winner": "marketo"})).await;
        assert_eq!(nobody.expect(404).json()["code"], "not-found");
        assert_eq!(running.resolve("Torn", "nobody").await.expect(422).json()["code"], "invalid-input");
        running.refuses("Bystander0", "marketo", 409, "nothing-to-resolve").await;
        // Nobody is decided anew meanwhile.
        let path = format!("mappings/{}", running.mapping);
        running.api.post(&format!("{path}/pause"), &Value::Null).await.expect(200);
        for (direction, winner, code) in [
            ("observe", "marketo", "mapping-observes"),
            ("marketo_to_salesforce", "salesforce", "one-way-mapping"),
            ("salesforce_to_marketo", "marketo", "one-way-mapping"),
        ] {
            running.api.patch(&path, &json!({"policies": {"direction": direction}})).await.expect(200);
            running.refuses("Torn", winner, 409, code).await;
        }
        running.api.patch(&path, &json!({"policies": {"direction": "both"}})).await.expect(200);
        running.api.post(&format!("{path}/resume"), &Value::Null).await.expect(200);
        running.runs_end().await;
        let status_of = |side: super::world::Side| side["Torn"].join("+");
        assert_eq!([status_of(running.world.in_marketo()), status_of(running.world.in_salesforce())], ["Registered", "Attended"]);

        running.world.emulators.salesforce.with(|org| org.add_status(running.world.campaign, "Phoned", false).unwrap());
        running.program_changed().await;
        running.warns_of(&["status-unmatched"]).await;
        let phoned = running.world.lead("Phoned");
        running.world.add_in_salesforce(phoned, "Phoned");
        let parked = async || (running.member("Phoned").await["reason"] == "incompatible_status").then_some(());
        eventually("the member to be parked", SOON, parked).await;
        running.refuses("Phoned", "salesforce", 422, "no-translation").await;
        // The other side may win: it has no such member.
        running.resolve("Phoned", "marketo").await.expect(202);
        eventually("the removal", SOON, async || (!running.world.in_salesforce().contains_key("Phoned")).then_some(())).await;

        running.world.emulators.salesforce.with(|org| org.atomically(|org| org.delete(&org.as_person(), phoned)).unwrap());
        let gone = running.world.lead_named("Bystander1");
        running.world.emulators.salesforce.with(|org| org.atomically(|org| org.delete(&org.as_person(), gone)).unwrap());
        running.reconcile().await;
        assert_eq!(running.member("Bystander1").await["reason"], "person_deleted");
        running.refuses("Bystander1", "marketo", 409, "person-gone").await;
        running.resolve("Bystander1", "salesforce").await.expect(202);
        eventually("the removal", SOON, async || (!running.world.in_marketo().contains_key("Bystander1")).then_some(())).await;
        running.ledger_balances().await;
    }

    async fn a_member_that_two_writers_fight_over_is_left_alone(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Fought", "Attended")]);
        let running = Running::mapped(world, &database, &json!({"policies": {"regression": "revert"}})).await;
        running.world.change_in_salesforce("Fought", "Invited");
        let mut undone = 0;
        eventually("the loop to be noticed", SOON, async || {
            // Another automation sets it back whenever it finds what we have written.
            if running.world.in_salesforce()["Fought"] == ["Attended"] {
                running.world.change_in_salesforce("Fought", "Invited");
                undone += 1;
            }
            (running.member("Fought").await["reason"] == "loop_detected").then_some(())
        })
        .await;
        assert_eq!(undone, 5, "the first write, and four that set it back");
        assert_eq!(running.member("Fought").await["sync_state"], "parked");
        let writes = running.world.writes();
        running.comes_to_rest().await;
        running.world.change_in_salesforce("Fought", "Registered");
        running.settle().await;
        assert_eq!(running.world.writes(), writes, "a frozen member was written");
        // Both writers are named, and only this member is left alone.
        let explained = running.explained("Fought").await;
        assert_eq!((&explained["rule"], &explained["reason"]), (&json!("P1"), &json!("loop_detected")));
        let (us, them) = (running.noted("Fought", "frozen").await, explained["writes"].as_array().unwrap().clone());
        assert_eq!((us.len(), us[0]["writes"].as_array().unwrap().len(), them.len()), (1, 5, 5), "{explained:#}");
        assert!(them.iter().all(|w| w["side"] == "salesforce" && w["from"] == "Invited" && w["to"] == "Attended"), "{them:#?}");
        assert!(them.iter().all(|w| w["by"].as_str().is_some_and(|user| user.starts_with("005"))), "{them:#?}");
        assert!(explained["to_change"].as_str().unwrap().contains("resolve the member"));
        running.world.set_in_marketo("Bystander0", "Attended");
        eventually("the others to go on", SOON, async || (running.world.in_salesforce()["Bystander0"] == ["Attended"]).then_some(())).await;

        running.resolve("Fought", "marketo").await.expect(202);
        running.both_have("Fought", Some("Attended")).await;
        running.at_rest().await;
        assert_eq!(running.member("Fought").await["sync_state"], "in_sync");
        running.world.change_in_salesforce("Fought", "Invited");
        running.both_have("Fought", Some("Attended")).await;
        running.ledger_balances().await;
    }
}
