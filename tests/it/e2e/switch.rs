//! Campaign sync as a whole, off and on again: what arrives is kept, nothing is written, and then all of it is applied.

use serde_json::json;

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, address};
use crate::support::{Launch, eventually, on_both};

impl Running {
    async fn switch(&self, enabled: bool) {
        let answer = self.api.put("settings/campaign-sync", &json!({"enabled": enabled})).await.expect(200);
        assert_eq!(answer.json(), json!({"enabled": enabled}));
        assert_eq!(self.api.get("settings/campaign-sync").await.expect(200).json(), json!({"enabled": enabled}));
    }

    /// Changes that wait, and records that were received.
    async fn waiting(&self) -> (i64, i64) {
        let stats = self.api.get("stats").await.expect(200).json();
        (stats["outbox"]["available"].as_i64().unwrap(), stats["ledger"]["received"].as_i64().unwrap())
    }

    /// Every call that the vendors were sent.
    fn calls(&self) -> (u64, u64) {
        let emulators = &self.world.emulators;
        (
            emulators.marketo.with(|world| world.police.reads + world.police.writes),
            emulators.salesforce.with(|org| org.counters.reads + org.counters.writes),
        )
    }

    /// The explanation of somebody's member.
    pub async fn explained(&self, name: &str) -> serde_json::Value {
        let path = format!("mappings/{}/members?q={}", self.mapping, address(name));
        let found = self.api.get(&path).await.expect(200).json();
        let id = found["data"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(self.api.get(&format!("members/{id}")).await.expect(200).json(), found["data"][0]);
        self.api.get(&format!("members/{id}/explain")).await.expect(200).json()
    }
}

on_both! {
    async fn while_off_webhooks_are_kept_and_nothing_is_asked_or_written(database: TestDatabase) {
        calm_only!("counts calls");
        let running = Running::new(&database).await;
        running.switch(false).await;
        let (_, heard) = running.waiting().await;
        let (writes, calls) = (running.world.writes(), running.calls());
        running.world.marketo_person("Newcomer");
        running.world.set_in_marketo("Newcomer", "Registered");
        running.world.add_in_salesforce(running.world.lead("Guest"), "Invited");
        running.world.set_in_marketo("Bystander0", "Attended");
        running.world.change_in_salesforce("Bystander1", "Attended");
        running.world.remove_in_salesforce("Bystander2");
        eventually("the webhooks to be kept", SOON, async || {
            (running.waiting().await == (5, heard + 5)).then_some(())
        })
        .await;
        let accepted = running.world.emulators.marketo.with(|world| format!("{:?}", world.deliveries.back()));
        assert!(accepted.contains("accepted\\\":true"), "{accepted}");

        let off = ("pending".to_owned(), "sync_off".to_owned());
        for name in ["Bystander0", "Bystander1", "Bystander2"] {
            assert_eq!(running.state_of(&address(name)).await, off, "{name}");
        }
        assert_eq!(running.state_of(&address("Bystander3")).await, ("in_sync".to_owned(), String::new()));
        let held = format!("mappings/{}/members?sync_state=pending&reason=sync_off", running.mapping);
        assert_eq!(running.api.get(&held).await.expect(200).json()["data"].as_array().unwrap().len(), 3);
        let explained = running.explained("Bystander0").await;
        assert_eq!((&explained["reason"], &explained["to_change"]), (&json!("sync_off"), &json!("switch campaign sync on")));
        assert_eq!(explained["next"], "looked at again, once campaign sync is switched on");

        // A run that is asked for waits as well.
        running.api.post(&format!("mappings/{}/reconcile", running.mapping), &json!({})).await.expect(202);
        assert_eq!((running.world.writes(), running.calls()), (writes, calls), "asked or written while off");

        running.switch(true).await;
        running.both_have("Newcomer", Some("Registered")).await;
        running.both_have("Guest", Some("Invited")).await;
        running.both_have("Bystander0", Some("Attended")).await;
        running.both_have("Bystander1", Some("Attended")).await;
        running.both_have("Bystander2", None).await;
        running.runs_end().await;
        running.at_rest().await;
        assert_eq!(running.state_of(&address("Bystander0")).await, ("in_sync".to_owned(), String::new()));
        assert_eq!((running.world.leads("Newcomer"), running.world.people("Guest")), (1, 1));
        for (name, told) in [
            ("Newcomer", "- Registered"),
            ("Guest", "- Invited"),
            ("Bystander0", "Registered Attended"),
            ("Bystander1", "Registered Attended"),
            ("Bystander2", "Registered -"),
        ] {
            assert_eq!(running.transitions_of(name).await, [told], "{name}");
        }
    }

    async fn the_switch_outlasts_a_restart_and_is_for_administrators(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.switch(false).await;
        let made = Launch::campaign_sync(&["keys", "create", "--name", "writer", "--scope", "write"]);
        let launch = running.world.configured(made).set("database.url", &database.url);
        let output = tokio::task::spawn_blocking(move || launch.command().output().unwrap()).await.unwrap();
        let key = String::from_utf8(output.stdout).unwrap();
        let writer = running.api.with_key(key.trim());
        writer.put("settings/campaign-sync", &json!({"enabled": true})).await.expect(403);
        writer.get("diagnostics").await.expect(200);

        let Running { world, service, mapping, api } = running;
        let service = service.kill().start().await;
        let running = Running { world, service, mapping, api }.again();
        assert_eq!(running.api.get("settings/campaign-sync").await.expect(200).json(), json!({"enabled": false}));
        let (_, heard) = running.waiting().await;
        let writes = running.world.writes();
        running.world.set_in_marketo("Bystander0", "Attended");
        eventually("the webhook to be kept", SOON, async || (running.waiting().await == (1, heard + 1)).then_some(())).await;
        assert_eq!(running.world.writes(), writes);
        running.switch(true).await;
        running.both_have("Bystander0", Some("Attended")).await;
        let audit = running.api.get("audit").await.expect(200).json();
        let switched = audit["data"].as_array().unwrap().iter().filter(|entry| entry["action"] == "campaign_sync.switched");
        assert_eq!(switched.map(|entry| entry["detail"].clone()).collect::<Vec<_>>(), ["on", "off"]);
    }
}
