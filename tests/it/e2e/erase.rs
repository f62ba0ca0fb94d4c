//! Somebody is erased: afterwards the whole database says nowhere who that was, and the member goes on by its ids.

use std::collections::BTreeSet;

use serde_json::json;

use super::running::Running;
use super::subscriber::{self, received};
use super::world::{World, address};
use crate::support::{Launch, Receiver, Reply, Tables, on_both};

const NAME: &str = "Erasee";

/// Where a text stands, in whatever case: tables and columns.
async fn found(tables: &Tables, text: &str) -> BTreeSet<String> {
    let says = |values: &[String]| values.iter().any(|value| value.to_lowercase().contains(text));
    tables.everything().await.into_iter().filter(|(_, values)| says(values)).map(|(name, _)| name).collect()
}

/// The command on the database of a service.
fn erase(world: &World, service: &Launch, args: &[&str]) -> String {
    let mut command = world.configured(Launch::campaign_sync(&["erase"])).command();
    let url = service
        .command()
        .get_envs()
        .find_map(|(name, value)| (name == "CAMPAIGN_SYNC__DATABASE__URL").then_some(value?.to_owned()));
    let output = command.args(args).env("CAMPAIGN_SYNC__DATABASE__URL", url.unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Running {
    /// Somebody of whom everything there is has been kept: a member, events and how they were delivered, flow actions, plans, changes.
    async fn known_everywhere(&self) -> Receiver {
        // A receiver that repeats what it knows of people.
        let receiver = Receiver::that(|_, event| match event.body.contains("\"erasee@people.example\"") {
            true => Reply::Answer(500, "", "no room for Ada Erasee, erasee@people.example"),
            false => Reply::Answer(200, "", "thanks"),
        })
        .await;
        self.subscribe(&receiver, json!({})).await;
        let marketo_id = self.world.marketo_person(NAME);
        self.world.set_in_marketo(NAME, "Registered");
        self.both_have(NAME, Some("Registered")).await;
        received(&receiver, 1).await;
        let campaign = self.world.campaign;
        let body = json!({"campaign_id": campaign, "status": "Attended", "people": [{"email": address(NAME).to_uppercase()}, {"email": address("Bystander0")}]});
        let action = |body: &serde_json::Value| (self.api.with_header("idempotency-key", "once"), body.clone());
        let (api, body) = action(&body);
        api.post("flow-actions/change-status?wait=true", &body).await;
        self.both_have(NAME, Some("Attended")).await;
        self.settle().await;
        self.world.remove_in_salesforce(NAME);
        self.api.post(&format!("mappings/{}/plan", self.mapping), &json!({})).await.expect(201);
        self.settle().await;
        self.both_have(NAME, None).await;
        self.world.set_in_marketo(NAME, "Invited");
        self.both_have(NAME, Some("Invited")).await;
        self.settle().await;
        let known = self.api.get(&format!("people/{marketo_id}/campaigns")).await.expect(200).json();
        assert_eq!(known["data"][0]["status"], "Invited");
        receiver
    }
}

on_both! {
    async fn nothing_says_who_it_was_and_the_member_goes_on(database: TestDatabase) {
        let running = subscriber::running(&database).await;
        let tables = Tables::open(&database.url).await;
        let _receiver = running.known_everywhere().await;
        let marketo_id = running.world.marketo_id(NAME).unwrap();
        let said = address(NAME);
        // Nobody else is erased, not even who has a longer address.
        running.world.marketo_person_with("Longer", &format!("not.{said}"));
        running.world.set_in_marketo("Longer", "Invited");
        running.both_have("Longer", Some("Invited")).await;
        running.settle().await;
        let before = found(&tables, &format!("\"{said}\"")).await;
        let places = found(&tables, &said).await;
        for place in ["people.email", "trigger_events.body", "flow_action_people.person", "delivery_attempts.body", "outbox.subject", "idempotency_keys.body"] {
            assert!(places.contains(place), "{place} is not tried: {places:?} {before:?}");
        }
        let ledger = running.api.get("stats").await.expect(200).json()["ledger"].clone();
        let events = running.all_events().await;

        // Counted first; then done with the service stopped, since it would read the address again.
        let Running { world, service, mapping, .. } = running;
        let (_, stopped) = service.terminate().await;
        let id = marketo_id.to_string();
        let counted = erase(&world, &stopped, &["--marketo-id", &id, "--dry-run"]);
        assert!(counted.contains("nothing was changed") && found(&tables, &said).await == places, "{counted}");
        let told = erase(&world, &stopped, &["--marketo-id", &id]);
        assert_eq!(counted.replace("nothing was changed\n", ""), told);
        let left = found(&tables, &said).await;
        let longer = BTreeSet::from_iter(found(&tables, &format!("not.{said}")).await);
        assert_eq!(left, longer);
        for (place, values) in tables.everything().await {
            let bare = values.iter().filter(|value| value.to_lowercase().replace(&format!("not.{said}"), "").contains(&said));
            assert_eq!(bare.collect::<Vec<_>>(), Vec::<&String>::new(), "{place}");
        }
        assert_eq!(found(&tables, "ada erasee").await, BTreeSet::new());
        assert!(!longer.is_empty());
        assert_eq!(erase(&world, &stopped, &["--marketo-id", &id]), "people meant              1\n", "there is nothing left to erase");
        let audited = tables.texts("SELECT target || ' ' || detail FROM audit WHERE action = 'person.erased'").await;
        assert!(audited.len() == 2 && audited.iter().all(|entry| !entry.contains('@') && !entry.contains(&id)), "{audited:?}");

        // What was counted stays, and the member goes on by its ids.
        let service = stopped.start().await;
        let api = crate::support::Api::new(service.url());
        let running = Running { world, service, api, mapping }.again();
        assert_eq!(running.api.get("stats").await.expect(200).json()["ledger"], ledger);
        let after = running.all_events().await;
        let order = |events: &[serde_json::Value]| events.iter().map(|event| (event["id"].clone(), event["sequence"].clone(), event["data"]["sequence"].clone())).collect::<Vec<_>>();
        assert_eq!(order(&after), order(&events));
        let of_person = |event: &&serde_json::Value| event["data"]["person"]["marketo_id"] == marketo_id;
        assert!(after.iter().filter(of_person).count() > 2 && after.iter().filter(of_person).all(|event| event["data"]["person"]["email"].is_null()));
        running.world.set_in_marketo(NAME, "Attended");
        running.both_have(NAME, Some("Attended")).await;
        assert_eq!(running.world.leads(NAME), 1);
        running.at_rest().await;
    }

    async fn an_administrator_erases_by_any_name_and_only_an_administrator(database: TestDatabase) {
        let running = Running::new(&database).await;
        let tables = Tables::open(&database.url).await;
        running.world.marketo_person(NAME);
        running.world.set_in_marketo(NAME, "Registered");
        running.both_have(NAME, Some("Registered")).await;
        running.settle().await;
        let writer = running.api.post("keys", &json!({"name": "w", "scopes": ["write"]})).await.expect(201).json();
        let writer = running.api.with_key(writer["key"].as_str().unwrap());
        let refused = writer.post("people/erase", &json!({"email": address(NAME)})).await.expect(403);
        assert_eq!(refused.json()["code"], "insufficient-scope");
        for bad in [json!({}), json!({"email": "x"}), json!({"marketo_id": 0}), json!({"salesforce_id": "x"}), json!({"marketo_id": 1, "email": "a@b.c"}), json!({"name": "x"})] {
            running.api.post("people/erase", &bad).await.expect(422);
        }
        let nobody = running.api.post("people/erase", &json!({"email": "nobody@people.example"})).await.expect(200).json();
        assert_eq!(nobody, json!({"dry_run": false, "people": 0, "rows": {}}));

        let lead = running.world.lead_named(NAME).to_string();
        let by_id = running.api.post("people/erase?dry_run=true", &json!({"salesforce_id": lead})).await.expect(200).json();
        let by_address = running.api.post("people/erase?dry_run=true", &json!({"email": format!(" {} ", address(NAME).to_uppercase())})).await.expect(200).json();
        assert_eq!((by_id["rows"].clone(), &by_id["people"]), (by_address["rows"].clone(), &json!(1)));
        assert!(by_id["rows"]["people"] == 1 && by_id["rows"]["trigger_events"].as_i64() >= Some(1), "{by_id}");
        running.api.post("people/erase", &json!({"email": address(NAME)})).await.expect(200);
        assert_eq!(found(&tables, &address(NAME)).await, BTreeSet::new());
    }
}
