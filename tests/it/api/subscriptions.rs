//! Subscriptions as they are asked for, refused and shown.

use serde_json::{Value, json};

use super::vendors::campaign;
use super::{Answer, Service};
use crate::support::on_both;

/// The fields that a problem blames, with their codes.
fn blamed(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.problem(), (422, "invalid-input".to_owned()), "{}", answer.text);
    let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| format!("{} {}", text(error, "field"), text(error, "code"))).collect()
}

on_both! {
    async fn what_would_never_work_is_refused_with_the_field_to_blame(database: TestDatabase) {
        let service = Service::new(&database).await;
        let url = "https://example.com/hook";
        let cases: Vec<(Value, &[&str])> = vec![
            (json!({}), &["url required"]),
            (json!({"url": url, "marketo_smart_campaign_id": 3712}), &["marketo_smart_campaign_id conflicting"]),
            (json!({"marketo_smart_campaign_id": 0}), &["marketo_smart_campaign_id invalid"]),
            (json!({"marketo_smart_campaign_id": 3712, "types": ["sync.mapping.failed"]}), &["types[0] conflicting"]),
            (json!({"url": "example.com"}), &["url invalid"]),
            (json!({"url": "http://example.com"}), &["url invalid"]),
            (json!({"url": "https://169.254.169.254/latest"}), &["url private"]),
            (json!({"url": "https://[fd00::1]/"}), &["url private"]),
            (json!({"url": "https://user:pass@example.com/"}), &["url invalid"]),
            (json!({"url": "http://127.0.0.1/"}), &["url invalid", "url private"]),
            (json!({"url": url, "types": ["campaign.member.added", "added"]}), &["types[1] unknown"]),
            (json!({"url": url, "campaign_ids": ["701", "00Q4S000002sSacUAE"]}), &["campaign_ids[0] invalid", "campaign_ids[1] invalid"]),
            (json!({"url": url, "new_statuses": [""], "description": "x".repeat(256)}), &["description invalid", "new_statuses[0] invalid"]),
            (json!({"url": url, "type": "campaign.member.added"}), &["type invalid"]),
            (json!({"url": url, "program_ids": ["x"]}), &["program_ids[0] invalid"]),
        ];
        for (body, expected) in cases {
            assert_eq!(blamed(&service.post("subscriptions", body.clone()).await), expected, "{body}");
        }
        assert_eq!(service.get("subscriptions").await.expect(200).json()["data"], json!([]));
    }

    async fn a_subscription_is_made_once_shown_without_its_secret_and_changed(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = json!({"url": "https://example.com/hook", "campaign_ids": [&campaign('1')[..15]], "new_statuses": ["Attended"]}).to_string();
        let once = [("idempotency-key", "s1")];
        let first = service.ask("POST", "subscriptions", &once, &body).await.expect(201);
        let again = service.ask("POST", "subscriptions", &once, &body).await.expect(201);
        assert_eq!((again.header("idempotency-replayed"), again.text.as_str()), ("true", first.text.as_str()));
        let made = first.json();
        let id = made["id"].as_str().unwrap();
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
        let path = format!("subscriptions/{id}");
        assert_eq!(first.header("location"), format!("/api/v1/{path}"));
        assert_eq!((&made["campaign_ids"], &made["state"], &made["enabled"]), (&json!([campaign('1')]), &json!("enabled"), &json!(true)));
        let listed = service.get("subscriptions").await.expect(200);
        assert!(listed.json()["data"].as_array().unwrap().len() == 1 && !listed.text.contains(&secret[6..]));
        let mut shown = service.get(&path).await.expect(200).json();
        shown["secret"] = made["secret"].clone();
        assert_eq!(shown, made);

        // A list that is given replaces, one that is left out stays; the kind of receiver stays.
        let patched = service.ask("PATCH", &path, &[], &json!({"new_statuses": [], "types": ["sync.mapping.failed"]}).to_string()).await.expect(200).json();
        assert_eq!((&patched["new_statuses"], &patched["types"], &patched["campaign_ids"]), (&json!([]), &json!(["sync.mapping.failed"]), &json!([campaign('1')])));
        let other = service.ask("PATCH", &path, &[], &json!({"marketo_smart_campaign_id": 3712}).to_string()).await;
        assert_eq!(blamed(&other), ["marketo_smart_campaign_id conflicting"]);
        let paused = service.ask("PATCH", &path, &[], &json!({"enabled": false}).to_string()).await.expect(200).json();
        assert_eq!((&paused["state"], &paused["stopped_position"]), (&json!("paused"), &json!(0)));
        assert_eq!(service.post(&format!("{path}/test"), json!({})).await.problem(), (409, "conflict".to_owned()));

        let rotated = service.post(&format!("{path}/rotate-secret"), json!({"overlap": "2h"})).await.expect(200).json();
        assert_eq!(rotated["previous_expires_at"], "2026-11-23T22:05:01Z");
        assert_ne!(rotated["secret"], made["secret"]);
        for bad in ["2", "-1h", "soon"] {
            assert_eq!(blamed(&service.post(&format!("{path}/rotate-secret"), json!({"overlap": bad})).await), ["overlap invalid"]);
        }
        for bad in [json!({"since": "yesterday"}), json!({"since": null}), json!({"since": -1})] {
            assert_eq!(blamed(&service.post(&format!("{path}/replay"), bad).await), ["since invalid"]);
        }
        let replaying = service.post(&format!("{path}/replay"), json!({"since": 7})).await.expect(202).json();
        assert_eq!(replaying, json!({"after_position": 0, "until_position": 0}));
        assert_eq!(service.post(&format!("{path}/retry"), json!({"since": "2026-01-01T00:00:00Z"})).await.expect(202).json()["count"], 0);
        assert_eq!(blamed(&service.get(&format!("{path}/deliveries?state=lost")).await), ["state unknown"]);
        service.ask("DELETE", &path, &[], "").await.expect(204);
        for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/test")), ("GET", format!("{path}/deliveries")),
            ("POST", format!("deliveries/{id}/retry")), ("POST", format!("catch-ups/{id}/approve"))] {
            assert_eq!(service.ask(method, &path, &[], "").await.problem().0, 404, "{method} {path}");
        }
        assert_eq!(service.get("catch-ups?state=waiting").await.expect(200).json()["data"], json!([]));
        let audited = service.get("audit").await.expect(200).json();
        let actions: Vec<_> = audited["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        for action in ["subscription.created", "subscription.changed", "subscription.secret_rotated", "subscription.replayed", "subscription.removed"] {
            assert!(actions.contains(&action), "{action} in {actions:?}");
        }
        assert!(!audited.to_string().contains("whsec_"));
    }

    async fn a_test_waits_to_be_sent_and_a_smart_campaign_needs_somebody(database: TestDatabase) {
        let service = Service::new(&database).await;
        let made = async |body: Value| service.post("subscriptions", body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let url = made(json!({"url": "https://example.com/hook"})).await;
        let delivery = service.post(&format!("subscriptions/{url}/test"), json!(null)).await.expect(202).json();
        assert_eq!((&delivery["state"], &delivery["position"]), (&json!("pending"), &Value::Null));
        let id = delivery["id"].as_str().unwrap();
        assert_eq!(service.get(&format!("deliveries/{id}")).await.expect(200).json(), delivery);
        assert_eq!(service.get(&format!("subscriptions/{url}/deliveries?state=pending")).await.expect(200).json()["data"], json!([delivery]));
        let campaign = made(json!({"marketo_smart_campaign_id": 3712, "types": ["campaign.member.removed"]})).await;
        assert_eq!(blamed(&service.post(&format!("subscriptions/{campaign}/test"), json!({})).await), ["marketo_id required"]);
        service.post(&format!("subscriptions/{campaign}/test"), json!({"marketo_id": 7})).await.expect(202);
        assert_eq!(service.post(&format!("subscriptions/{campaign}/rotate-secret"), json!({})).await.problem().0, 409);
    }
}
