//! What cannot be is refused, clearly, and nothing has changed afterwards: not in Marketo, not in Salesforce, not here.

use serde_json::{Value, json};

use crate::support::{Answer, Api, Tables, on_both};

use super::running::Running;
use super::world::{KEY, World, address};

/// Everything that a request could have changed.
async fn everything(world: &World, tables: &Tables) -> Vec<String> {
    let mut found = vec![format!("{:?} {:?} {:?}", world.in_marketo(), world.in_salesforce(), world.writes())];
    for (table, columns) in [
        ("mappings", &["id", "state", "status_map", "policies", "version"][..]),
        ("members", &["id", "marketo", "salesforce", "sync_state"]),
        ("people", &["id"]),
        ("outbox", &["id", "state"]),
        ("runs", &["id", "state"]),
        ("trigger_events", &["1"]),
    ] {
        found.push(format!("{table}: {}", tables.lines(table, columns).await.join("\n")));
    }
    found
}

/// A 4xx with this code that says what to do.
fn assert_refused(what: &Value, answer: &Answer, code: &str) {
    assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.text);
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{what}: {problem:#}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{what}: {problem:#}");
}

on_both! {
    async fn what_cannot_be_mapped_is_refused_and_nothing_has_changed(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(3);
        let service = world.launch(&database).start().await;
        let api = Api::new(service.url()).with_key(KEY);
        let tables = Tables::open(&database.url).await;
        let good = json!({"program_id": world.program, "campaign_id": world.campaign});
        let with = |more: Value| {
            let mut body = good.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let mut mistyped = world.campaign.to_string();
        mistyped.replace_range(17.., if mistyped.ends_with('A') { "B" } else { "A" });
        let row = |program: &str, campaign: &str| json!({"program_status": program, "campaign_status": campaign});
        let before = everything(&world, &tables).await;
        for (body, code) in [
            (with(json!({"campaign_id": mistyped})), "invalid-input"),
            (with(json!({"campaign_id": "701000000000000AAA"})), "unknown-campaign"),
            (with(json!({"program_id": 987_654})), "unknown-program"),
            (with(json!({"status_map": [row("Invited", "Invited"), row("Registered", "Registered")]})), "incompatible-statuses"),
            (with(json!({"status_map": [row("Invited", "No such status")]})), "invalid-input"),
            (with(json!({"policies": {"gate": ["No such status"]}})), "invalid-input"),
            (with(json!({"policies": {"direction": "sideways"}})), "invalid-input"),
            (with(json!({"create_campaign": {"name": "Both"}})), "invalid-input"),
        ] {
            for path in ["mappings", "mappings?dry_run=true"] {
                assert_refused(&body, &api.post(path, &body).await, code);
                assert_eq!(everything(&world, &tables).await, before, "{body}");
            }
        }
    }

    async fn what_a_mapping_or_a_flow_action_cannot_be_is_refused_and_nothing_has_changed(database: TestDatabase) {
        let running = Running::new(&database).await;
        let (world, api, path) = (&running.world, &running.api, format!("mappings/{}", running.mapping));
        let tables = Tables::open(&database.url).await;
        let before = everything(world, &tables).await;
        let row = |program: &str, campaign: &str| json!({"program_status": program, "campaign_status": campaign});
        for (body, code) in [
            (json!({"status_map": [row("Invited", "Invited"), row("Registered", "Registered")]}), "incompatible-statuses"),
            (json!({"status_map": [row("No such status", "Invited")]}), "invalid-input"),
            (json!({"policies": {"gate": ["No such status"]}}), "invalid-input"),
            (json!({"policies": {"removal": "perhaps"}}), "invalid-input"),
        ] {
            assert_refused(&body, &api.patch(&path, &body).await, code);
            assert_eq!(everything(world, &tables).await, before, "{body}");
        }
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let again = api.post("mappings", &body).await;
        assert_refused(&body, &again, "already-mapped");
        assert_eq!(again.json()["mapping_id"], running.mapping.as_str());
        let people = json!([{"email": address("Bystander0")}]);
        for (action, body, code) in [
            ("add-to-campaign", json!({"campaign_id": "701000000000000AAA", "status": "Attended", "people": people}), "unknown-campaign"),
            ("add-to-campaign", json!({"campaign_id": world.campaign, "status": "No such status", "people": people}), "unknown-status"),
            ("change-status", json!({"campaign_id": world.campaign, "status": "attended", "people": people}), "unknown-status"),
            ("change-status", json!({"campaign_id": world.campaign, "status": "Attended", "people": []}), "invalid-input"),
            ("remove-from-campaign", json!({"campaign_id": "7014S0", "people": people}), "invalid-input"),
        ] {
            let answer = api.post(&format!("flow-actions/{action}?wait=true"), &body).await;
            assert_refused(&body, &answer, code);
            if code == "unknown-status" {
                assert!(answer.text.contains("Registered"), "the statuses that there are: {}", answer.text);
            }
            assert_eq!(everything(world, &tables).await, before, "{action} {body}");
        }
        running.settle().await;
        assert_eq!(everything(world, &tables).await, before);
    }
}
