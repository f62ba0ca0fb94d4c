//! A mapping that is taken back: what the service has added goes, what people did stays.

use serde_json::{Value, json};

use crate::support::{eventually, on_both, patience};

use super::running::Running;
use super::world::{SOON, World, address};

impl Running {
    /// Takes the mapping back; the run of it.
    async fn undo(&self) -> String {
        let answer = self.api.delete(&format!("mappings/{}?undo=true", self.mapping)).await.expect(202);
        let run = answer.json()["run_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/runs/{run}"));
        run
    }

    async fn run(&self, run: &str) -> Value {
        self.api.get(&format!("runs/{run}")).await.expect(200).json()
    }

    async fn run_ends(&self, run: &str) -> Value {
        let mut shown = Value::Null;
        let ends = eventually("the run to end", SOON * 2, async || {
            shown = self.run(run).await;
            (shown["state"] != "running").then_some(())
        });
        let within = tokio::time::timeout(patience(SOON), ends).await;
        assert!(within.is_ok(), "{shown:#} and {:#}", self.outbox_left().await);
        shown
    }
}

on_both! {
    async fn undo_takes_back_what_was_added_and_leaves_what_people_changed(database: TestDatabase) {
        let running = Running::new(&database).await;
        for name in ["Added", "Moved", "Edited", "Touched"] {
            running.joins_from_marketo(name, "Invited").await;
        }
        running.joins_from_salesforce("Followed", "Invited").await;
        // Our own writes do not make a member anybody else's; what a person does, does, also after we wrote again.
        running.world.set_in_marketo("Moved", "Attended");
        running.both_have("Moved", Some("Attended")).await;
        running.world.change_in_salesforce("Edited", "Registered");
        running.both_have("Edited", Some("Registered")).await;
        running.world.set_in_marketo("Edited", "Attended");
        running.both_have("Edited", Some("Attended")).await;
        running.settle().await;
        running.world.remove_in_salesforce("Touched");
        running.both_have("Touched", None).await;
        let touched = running.world.lead_named("Touched");
        running.world.add_in_salesforce(touched, "Invited");
        running.both_have("Touched", Some("Invited")).await;
        running.settle().await;
        let bystanders = running.world.in_marketo().keys().filter(|name| name.starts_with("Bystander")).count();

        let run = running.undo().await;
        let ended = running.run_ends(&run).await;
        assert_eq!((&ended["state"], &ended["kind"]), (&json!("completed"), &json!("undo")), "{ended:#}");
        let (marketo, salesforce) = (running.world.in_marketo(), running.world.in_salesforce());
        let held = |name: &str| (marketo.contains_key(name), salesforce.contains_key(name));
        assert_eq!(held("Added"), (true, false));
        assert_eq!(held("Moved"), (true, false));
        assert_eq!(held("Edited"), (true, true));
        assert_eq!(held("Followed"), (false, true));
        // Removed and added again by a person: ours is the side that followed.
        assert_eq!(held("Touched"), (false, true));
        assert!((0..bystanders).all(|n| held(&format!("Bystander{n}")) == (true, true)));
        let kept: Vec<_> = ended["kept"].as_array().unwrap().iter().map(|k| (k["email"].clone(), k["side"].clone(), k["reason"].clone())).collect();
        assert_eq!(kept, [(json!(address("Edited")), json!("salesforce"), json!("changed_since"))], "{ended:#}");
        let counts = &ended["counts"];
        assert_eq!((&counts["removed_from_salesforce"], &counts["removed_from_marketo"], &counts["kept"]), (&json!(2), &json!(2), &json!(1)), "{ended:#}");
        // The mapping is gone, nobody follows any more, and both may be mapped again.
        running.api.get(&format!("mappings/{}", running.mapping)).await.expect(404);
        assert_eq!(running.world.leads("Added"), 1, "a person who was created stays");
        let told = running.events_of("Added").await;
        assert_eq!(told, ["- Invited marketo write", "Invited - policy write"]);
        let body = json!({"program_id": running.world.program, "campaign_id": running.world.campaign, "paused": true});
        running.api.post("mappings", &body).await.expect(201);
    }

    async fn many_removals_of_an_undo_wait_for_approval(database: TestDatabase) {
        let running = Running::start(World::new().await, &database).await;
        for n in 0..6 {
            running.joins_from_marketo(&format!("Ours{n}"), "Invited").await;
        }
        running.settle().await;
        let run = running.undo().await;
        let guards = format!("mappings/{}/guards", running.mapping);
        let guard = eventually("the guard", SOON, async || {
            let found = running.api.get(&guards).await.expect(200).json();
            found["data"].as_array().unwrap().iter().find(|guard| guard["state"] == "waiting").cloned()
        });
        let guard = guard.await;
        assert_eq!(guard["count"], 6);
        let waits = eventually("the run to say so", SOON, async || running.run(&run).await["message"].as_str().map(str::to_owned)).await;
        assert!(waits.contains("approve"), "{waits}");
        assert_eq!(running.world.in_salesforce().len(), 6);
        // Meanwhile nothing else is applied, and nothing can be changed.
        assert_eq!(running.shown().await["state"], "removing");
        running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": {"gate": null}})).await.expect(409);
        running.world.marketo_person("Stranger");
        running.world.set_in_marketo("Stranger", "Invited");
        running.api.post(&format!("guards/{}/approve", guard["id"].as_str().unwrap()), &json!({})).await.expect(200);
        let ended = running.run_ends(&run).await;
        assert_eq!(ended["state"], "completed", "{ended:#}");
        assert_eq!(running.world.in_salesforce().len(), 0);
        assert_eq!(running.world.in_marketo().len(), 7);
    }

    async fn removals_of_an_undo_that_are_discarded_stay_and_are_listed(database: TestDatabase) {
        let running = Running::start(World::new().await, &database).await;
        for n in 0..6 {
            running.joins_from_salesforce(&format!("Ours{n}"), "Invited").await;
        }
        running.settle().await;
        let run = running.undo().await;
        let guards = format!("mappings/{}/guards", running.mapping);
        let guard = eventually("the guard", SOON, async || {
            let found = running.api.get(&guards).await.expect(200).json();
            found["data"].as_array().unwrap().iter().find(|guard| guard["state"] == "waiting").cloned()
        });
        let id = guard.await["id"].as_str().unwrap().to_owned();
        running.api.post(&format!("guards/{id}/discard"), &json!({})).await.expect(200);
        let ended = running.run_ends(&run).await;
        assert_eq!(ended["state"], "completed", "{ended:#}");
        let reasons: Vec<_> = ended["kept"].as_array().unwrap().iter().map(|k| k["reason"].clone()).collect();
        assert_eq!(reasons, vec![json!("removal_discarded"); 6]);
        assert_eq!((running.world.in_marketo().len(), running.world.in_salesforce().len()), (6, 6));
    }
}
