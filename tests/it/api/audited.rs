//! The audit log is complete: each operation of the document that changes something leaves an entry, with who did it.
//!
//! Every operation that is not a reading one is carried out here. One that the document gains and this does not know fails.

use std::collections::BTreeSet;
use std::time::Duration;

use campaign_sync::domain::clock::Clock;
use campaign_sync::http::openapi;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Service;
use super::vendors::campaign;
use crate::support::{Tables, eventually, on_both};

/// Operations under the base that are not `GET`, by their names.
fn changing() -> BTreeSet<String> {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/"));
    let operations = paths.flat_map(|(_, item)| item.as_object().unwrap());
    let changing = operations.filter(|(method, _)| ["post", "put", "patch", "delete"].contains(&method.as_str()));
    changing.map(|(_, operation)| operation["operationId"].as_str().unwrap().to_owned()).collect()
}

/// Carries operations out and looks for their entries.
struct Auditor {
    service: Service,
    seen: BTreeSet<String>,
}

impl Auditor {
    async fn newest(&self) -> i64 {
        self.service.store.audit_log(None, 1).await.unwrap().first().map_or(0, |entry| entry.id)
    }

    /// Does it, with the bootstrap key; the answer.
    async fn does(&mut self, operation: &str, (method, path): (&str, &str), body: Value, action: &str) -> Value {
        let before = self.newest().await;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.service.ask(method, path, &[], &body).await;
        assert!(answer.status.is_success(), "{operation}: {}", answer.text);
        let entries = self.service.store.audit_log(None, 100).await.unwrap();
        let mut fresh = entries.iter().filter(|entry| entry.id > before);
        assert!(
            fresh.any(|entry| entry.action == action && entry.actor == "bootstrap" && !entry.target.is_empty()),
            "{operation} has left no {action} in {entries:?}"
        );
        assert!(self.seen.insert(operation.to_owned()), "{operation} twice");
        serde_json::from_str(&answer.text).unwrap_or_default()
    }
}

/// Does something while the clock moves on, so that whoever waits for what nobody works off here has soon waited for long enough.
async fn while_time_passes<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
    let passing = eventually("the end of it", Duration::from_secs(600), async || {
        clock.advance(Duration::from_secs(1));
        None::<T>
    });
    tokio::select! {
        done = work => done,
        never = passing => never,
    }
}

on_both! {
    async fn every_operation_that_changes_something_leaves_an_entry(database: TestDatabase) {
        let service = Service::new(&database).await;
        let tables = Tables::open(&database.url).await;
        let mapping = service.populated().await;
        let (guard, _) = service.guarded(&mapping).await;
        let held = service.get(&format!("mappings/{mapping}/members?sync_state=diverged")).await.json();
        let held = held["data"][0]["id"].as_str().unwrap().to_owned();
        let parked = service.get("changes?state=parked").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
        let (other_guard, one, other) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let catch_up = |id: Uuid| format!("INSERT INTO catch_ups (id, campaign_id, state, count, created_at) VALUES ('{id}', '{}', 'waiting', 1, 1);", campaign('1'));
        tables.execute(&(catch_up(one) + &catch_up(other))).await;
        let mut auditor = Auditor { service, seen: BTreeSet::new() };

        let path = format!("changes/{parked}");
        auditor.does("retry_change", ("POST", &format!("{path}/retry")), Value::Null, "change.retried").await;
        auditor.does("discard_change", ("POST", &format!("{path}/discard")), Value::Null, "change.discarded").await;
        let all = json!({"filter": {}, "action": "retry"});
        auditor.does("decide_changes", ("POST", "changes/bulk"), all, "change.retried").await;
        auditor.does("resolve_member", ("POST", &format!("members/{held}/resolve")), json!({"winner": "marketo"}), "member.resolved").await;
        auditor.does("approve_guard", ("POST", &format!("guards/{guard}/approve")), Value::Null, "guard.approved").await;
        tables.execute(&format!("INSERT INTO guards (id, mapping_id, state, created_at) VALUES ('{other_guard}', '{mapping}', 'waiting', 1)")).await;
        auditor.does("discard_guard", ("POST", &format!("guards/{other_guard}/discard")), json!({}), "guard.discarded").await;
        auditor.does("approve_catch_up", ("POST", &format!("catch-ups/{one}/approve")), Value::Null, "catch_up.approved").await;
        auditor.does("discard_catch_up", ("POST", &format!("catch-ups/{other}/discard")), Value::Null, "catch_up.discarded").await;

        for (operation, path, status) in [
            ("add_to_campaign", "flow-actions/add-to-campaign", json!("Attended")),
            ("change_status", "flow-actions/change-status", json!("Attended")),
            ("remove_from_campaign", "flow-actions/remove-from-campaign", Value::Null),
        ] {
            let mut body = json!({"campaign_id": campaign('1'), "people": [{"marketo_id": 318_592}]});
            if !status.is_null() {
                body["status"] = status;
            }
            auditor.does(operation, ("POST", path), body, "flow_action.requested").await;
        }

        let made = auditor.does("create_subscription", ("POST", "subscriptions"), json!({"url": "https://example.com/hook"}), "subscription.created").await;
        let path = format!("subscriptions/{}", made["id"].as_str().unwrap());
        auditor.does("change_subscription", ("PATCH", &path), json!({"description": "x"}), "subscription.changed").await;
        let sent = auditor.does("test_subscription", ("POST", &format!("{path}/test")), json!({}), "subscription.tested").await;
        let delivery = format!("deliveries/{}/retry", sent["id"].as_str().unwrap());
        auditor.does("retry_delivery", ("POST", &delivery), Value::Null, "delivery.retried").await;
        auditor.does("retry_failed_deliveries", ("POST", &format!("{path}/retry")), json!({}), "subscription.retried").await;
        auditor.does("replay_events", ("POST", &format!("{path}/replay")), json!({"since": 0}), "subscription.replayed").await;
        auditor.does("rotate_secret", ("POST", &format!("{path}/rotate-secret")), json!({}), "subscription.secret_rotated").await;
        auditor.does("remove_subscription", ("DELETE", &path), Value::Null, "subscription.removed").await;

        let made = auditor.does("create_key", ("POST", "keys"), json!({"name": "k", "scopes": ["read"]}), "key.created").await;
        auditor.does("revoke_key", ("DELETE", &format!("keys/{}", made["id"].as_str().unwrap())), Value::Null, "key.revoked").await;
        auditor.does("switch_campaign_sync", ("PUT", "settings/campaign-sync"), json!({"enabled": true}), "campaign_sync.switched").await;

        let path = format!("mappings/{mapping}");
        auditor.does("pause_mapping", ("POST", &format!("{path}/pause")), Value::Null, "mapping.changed").await;
        auditor.does("resume_mapping", ("POST", &format!("{path}/resume")), Value::Null, "mapping.changed").await;
        auditor.does("reconcile_mapping", ("POST", &format!("{path}/reconcile")), Value::Null, "mapping.reconciled").await;
        let clock = auditor.service.clock.clone();
        let planning = format!("{path}/plan");
        let plan = while_time_passes(&clock, auditor.does("create_plan", ("POST", &planning), Value::Null, "plan.created")).await;
        let plan = plan["id"].as_str().unwrap();
        tables.execute(&format!("UPDATE plans SET state = 'ready' WHERE id = '{plan}'")).await;
        let applying = format!("plans/{plan}/apply");
        while_time_passes(&clock, auditor.does("apply_plan", ("POST", &applying), Value::Null, "plan.applied")).await;
        auditor.does("change_mapping", ("PATCH", &path), json!({"policies": {"gate": ["Attended"]}}), "mapping.changed").await;
        auditor.does("remove_mapping", ("DELETE", &path), Value::Null, "mapping.removed").await;
        auditor.does("create_mapping", ("POST", "mappings"), json!({"program_id": 1045, "campaign_id": campaign('5')}), "mapping.created").await;

        let erased = auditor.does("erase_person", ("POST", "people/erase"), json!({"marketo_id": 318_592}), "person.erased").await;
        assert_eq!(erased["people"], 1);
        assert_eq!(auditor.seen, changing());
        let log = auditor.service.get("audit?limit=500").await.expect(200).text;
        assert!(!log.contains("cs_") && !log.contains("whsec_"), "{log}");
    }

    async fn what_cannot_be_noted_is_not_done(database: TestDatabase) {
        let service = Service::new(&database).await;
        let tables = Tables::open(&database.url).await;
        let mapping = service.populated().await;
        let parked = service.get("changes?state=parked").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
        let made = service.post("subscriptions", json!({"url": "https://example.com/hook"})).await.expect(201).json();
        let subscription = format!("subscriptions/{}", made["id"].as_str().unwrap());
        let sent = service.post(&format!("{subscription}/test"), json!({})).await.expect(202).json();
        let sent = sent["id"].as_str().unwrap();
        tables.execute(&format!("UPDATE deliveries SET state = 'failed' WHERE id = '{sent}'")).await;
        let state = async || {
            let mut all = tables.lines("outbox", &["id", "state", "attempts"]).await;
            all.extend(tables.lines("deliveries", &["id", "state"]).await);
            all.extend(tables.lines("runs", &["id", "state"]).await);
            all.extend(tables.lines("plans", &["id", "state"]).await);
            all
        };
        let before = state().await;
        tables.execute("ALTER TABLE audit RENAME TO audit_away").await;
        for (path, body) in [
            (format!("changes/{parked}/retry"), Value::Null),
            (format!("changes/{parked}/discard"), Value::Null),
            ("changes/bulk".to_owned(), json!({"filter": {"state": "parked"}, "action": "retry"})),
            (format!("{subscription}/test"), json!({})),
            (format!("deliveries/{sent}/retry"), Value::Null),
            (format!("{subscription}/retry"), json!({})),
            (format!("mappings/{mapping}/reconcile"), Value::Null),
            (format!("mappings/{mapping}/plan"), Value::Null),
        ] {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = service.ask("POST", &path, &[], &body).await;
            assert!(answer.status.is_server_error(), "{path}: {}", answer.text);
            assert_eq!(state().await, before, "{path} was done, and is in no log");
        }
        tables.execute("ALTER TABLE audit_away RENAME TO audit").await;
        service.ask("POST", &format!("changes/{parked}/retry"), &[], "").await.expect(200);
        assert_ne!(state().await, before);
    }

    async fn a_key_ends_when_it_was_said_to(database: TestDatabase) {
        let service = Service::new(&database).await;
        let made = service.post("keys", json!({"name": "short", "scopes": ["read"], "expires_at": "2026-11-23T21:05:01Z"})).await;
        let made = made.expect(201).json();
        assert_eq!(made["expires_at"], "2026-11-23T21:05:01Z");
        let header = format!("Bearer {}", made["key"].as_str().unwrap());
        let asked = async || service.ask("GET", "mappings", &[("authorization", &header)], "").await;
        asked().await.expect(200);
        service.later(Duration::from_secs(3_599));
        asked().await.expect(200);
        service.later(Duration::from_secs(1));
        assert_eq!(asked().await.problem(), (401, "unauthorized".to_owned()));
        // It is listed still, so that it can be seen why it opens nothing, with when it did last.
        let listed = service.get("keys").await.expect(200).json()["data"][0].clone();
        assert_eq!((&listed["expires_at"], &listed["last_used_at"]), (&json!("2026-11-23T21:05:01Z"), &json!("2026-11-23T21:05:00Z")));
        for past in ["2026-11-23T21:05:01Z", "2020-01-01T00:00:00Z", "soon"] {
            let refused = service.post("keys", json!({"name": "past", "scopes": ["read"], "expires_at": past})).await;
            assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
            assert_eq!(refused.json()["errors"][0]["field"], "expires_at", "{}", refused.text);
        }
        let forever = service.post("keys", json!({"name": "forever", "scopes": ["read"]})).await.expect(201).json();
        assert_eq!(forever["expires_at"], Value::Null);
        assert_eq!(service.get("settings/access").await.expect(200).json(), json!({"bootstrap_key": true}));
    }

    async fn the_last_use_of_a_key_is_written_down_once_a_minute(database: TestDatabase) {
        let service = Service::new(&database).await;
        let tables = Tables::open(&database.url).await;
        let key = service.post("keys", json!({"name": "busy", "scopes": ["read"]})).await.expect(201).json();
        let header = format!("Bearer {}", key["key"].as_str().unwrap());
        let mut uses = Vec::new();
        for _ in 0..9 {
            service.ask("GET", "mappings", &[("authorization", &header)], "").await.expect(200);
            uses.extend(tables.texts("SELECT CAST(last_used_at AS TEXT) FROM api_keys").await);
            service.later(Duration::from_secs(15));
        }
        uses.dedup();
        assert_eq!(uses.len(), 3, "{uses:?}");
    }

    async fn a_key_that_asks_too_often_waits_and_others_do_not(database: TestDatabase) {
        let service = Service::limited(&database, &[("CAMPAIGN_SYNC__LIMITS__REQUESTS_PER_SECOND", "3")]).await;
        let other = service.post("keys", json!({"name": "other", "scopes": ["read"]})).await.expect(201).json();
        let other = format!("Bearer {}", other["key"].as_str().unwrap());
        for _ in 0..2 {
            service.get("mappings").await.expect(200);
        }
        let refused = service.get("mappings").await;
        assert_eq!((refused.problem(), refused.header("retry-after")), ((429, "too-many-requests".to_owned()), "1"));
        service.ask("GET", "mappings", &[("authorization", &other)], "").await.expect(200);
        service.later(Duration::from_millis(334));
        service.get("mappings").await.expect(200);
    }
}
