//! What is refused, and that a refusal is a problem that says what is wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use campaign_sync::http::openapi;
use serde_json::{Value, json};

use super::vendors::{DOWN, REFUSED, campaign};
use super::{BOOTSTRAP, Service};
use crate::support::on_both;

/// Method, path, headers, body; status and code of the answer.
type Refused<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

/// Body of a new mapping, status, code, field to blame.
fn bad_mappings() -> Vec<(Value, u16, &'static str, &'static str)> {
    let with = |more: Value| {
        let mut body = json!({"program_id": 1044, "campaign_id": campaign('1')});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let created = |more: Value| {
        let mut body = json!({"program_id": 1044, "create_campaign": {}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let mistyped = campaign('1').replace("7015g", "7015G");
    let row = |program: &str, campaign: &str| json!({"program_status": program, "campaign_status": campaign});
    vec![
        (with(json!({"campaign_id": mistyped})), 422, "invalid-input", "campaign_id"),
        (with(json!({"campaign_id": "00Q5g0000000001"})), 422, "invalid-input", "campaign_id"),
        (with(json!({"campaign_id": null})), 422, "invalid-input", "campaign_id"),
        (with(json!({"campaign_id": campaign('0')})), 422, "unknown-campaign", ""),
        (with(json!({"program_id": 999})), 422, "unknown-program", ""),
        (with(json!({"program_id": "1044"})), 422, "invalid-input", "program_id"),
        (with(json!({"program_id": -1})), 422, "invalid-input", "program_id"),
        (json!({"campaign_id": campaign('1')}), 422, "invalid-input", "program_id"),
        (with(json!({"program_id": 1046})), 422, "unsupported-program-type", ""),
        (with(json!({"program_id": 1047})), 409, "native-sync-active", ""),
        (with(json!({"program_id": 1048})), 502, "vendor-error", ""),
        (with(json!({"program_id": REFUSED})), 502, "vendor-error", ""),
        (with(json!({"program_id": DOWN})), 503, "vendor-unavailable", ""),
        (with(json!({"campaign_id": campaign('2')})), 422, "incompatible-statuses", ""),
        (with(json!({"create_campaign": {"name": "x"}})), 422, "invalid-input", "create_campaign"),
        (created(json!({"create_campaign": {"name": " "}})), 422, "invalid-input", "create_campaign.name"),
        (created(json!({"create_campaign": {"name": "x".repeat(81)}})), 422, "invalid-input", "create_campaign.name"),
        (created(json!({"create_campaign": {"name": "Taken"}})), 422, "invalid-input", "create_campaign.name"),
        (created(json!({"create_campaign": {"title": "x"}})), 422, "invalid-input", "create_campaign.title"),
        (created(json!({"policies": {"gate": ["Atended"]}})), 422, "invalid-input", "policies.gate[0]"),
        (created(json!({"status_map": [row("Invited", "Sent")]})), 422, "incompatible-statuses", "status_map"),
        (created(json!({"program_id": 1046})), 422, "unsupported-program-type", ""),
        (created(json!({"program_id": 1047})), 409, "native-sync-active", ""),
        (created(json!({"program_id": 1051})), 422, "invalid-input", "create_campaign"),
        (created(json!({})), 502, "vendor-error", ""),
        (with(json!({"policies": {"gate": ["Attended", "atended"]}})), 422, "invalid-input", "policies.gate[1]"),
        (with(json!({"policies": {"direction": "sideways"}})), 422, "invalid-input", "policies.direction"),
        (with(json!({"policies": {"colour": "red"}})), 422, "invalid-input", "policies.colour"),
        (with(json!({"status_map": [row("Invited", "Invited")]})), 422, "incompatible-statuses", "status_map"),
        (with(json!({"status_map": [row("Invite", "Invited")]})), 422, "invalid-input", "status_map[0].program_status"),
        (
            // A status of the campaign that the program does not have is not made good by creating others.
            with(json!({"campaign_id": campaign('2'), "provision_statuses": true})),
            422,
            "incompatible-statuses",
            "",
        ),
        (with(json!({"campaign_id": campaign('4'), "provision_statuses": true})), 502, "vendor-error", ""),
        (with(json!({"colour": "red"})), 422, "invalid-input", "colour"),
        (with(json!({"paused": "yes"})), 422, "invalid-input", "paused"),
    ]
}

on_both! {
    async fn a_mapping_that_cannot_be_is_refused_with_what_is_wrong(database: TestDatabase) {
        let service = Service::new(&database).await;
        for (body, status, code, field) in bad_mappings() {
            let answer = service.post("mappings", body.clone()).await;
            assert_eq!(answer.problem(), (status, code.to_owned()), "{body}: {}", answer.text);
            assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{body}");
            if !field.is_empty() {
                assert_eq!(answer.json()["errors"][0]["field"], field, "{body}: {}", answer.text);
            }
        }
        assert_eq!(service.get("mappings").await.json()["data"], json!([]));
        assert!(service.store.claim("w", Duration::from_secs(1), 10).await.unwrap().leases.is_empty());
    }

    async fn differences_name_side_and_nearest_candidate(database: TestDatabase) {
        let service = Service::new(&database).await;
        let answer = service.post("mappings", json!({"program_id": 1044, "campaign_id": campaign('2')})).await;
        let expected = json!([
            {"side": "marketo", "status": "Registered", "members": 12, "suggestion": "registered"},
            {"side": "salesforce", "status": "registered", "members": 3, "suggestion": "Registered"},
            {"side": "salesforce", "status": "Sent", "members": 0, "suggestion": null},
        ]);
        assert_eq!(answer.json()["differences"], expected);
    }

    async fn what_is_allowed_is_not_refused(database: TestDatabase) {
        let service = Service::new(&database).await;
        for (program, more) in [
            (1046, json!({"allow_program_type": true})),
            (1047, json!({"allow_native_sync": true})),
            (1047, json!({"policies": {"direction": "observe"}})),
            // The status that the campaign lacks is hidden, so nobody is given it any more.
            (1049, json!({"campaign_id": campaign('4')})),
            // Nothing is translated from the target of one direction.
            (1044, json!({"campaign_id": campaign('2'), "policies": {"direction": "marketo_to_salesforce"},
                "status_map": [
                    {"program_status": "Invited", "campaign_status": "Invited"},
                    {"program_status": "Registered", "campaign_status": "registered"},
                    {"program_status": "Attended", "campaign_status": "Attended"},
                ]})),
        ] {
            let mut body = json!({"program_id": program, "campaign_id": campaign('1')});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let made = service.post("mappings", body).await.expect(201);
            let path = format!("mappings/{}", made.json()["id"].as_str().unwrap());
            service.ask("DELETE", &path, &[], "").await.expect(204);
            service.get(&path).await.expect(404);
        }
    }

    async fn null_is_as_good_as_left_out(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = json!({"program_id": 1044, "campaign_id": campaign('1'), "create_campaign": null, "status_map": null, "policies": null,
            "provision_statuses": null, "allow_native_sync": null, "allow_program_type": null, "paused": null});
        let made = service.post("mappings", body).await.expect(201).json();
        assert_eq!((&made["state"], &made["allow_native_sync"]), (&json!("active"), &json!(false)));
        let path = format!("mappings/{}", made["id"].as_str().unwrap());
        let nulls = r#"{"policies":null,"provision_statuses":null,"allow_native_sync":null,"allow_program_type":null}"#;
        let same = service.ask("PATCH", &path, &[], nulls).await.expect(200);
        assert_eq!((same.header("etag"), &same.json()["run_id"]), ("\"1\"", &Value::Null));
        service.post("changes/bulk", json!({"filter": {}, "action": "retry", "dry_run": null})).await.expect(200);
    }

    async fn what_a_refused_change_asks_for_can_be_sent_with_it(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = json!({"program_id": 1047, "campaign_id": campaign('1'), "policies": {"direction": "observe"}});
        let made = service.post("mappings", body).await.expect(201).json();
        let path = format!("mappings/{}", made["id"].as_str().unwrap());
        let change = async |more: Value| {
            let mut body = json!({"policies": {"direction": "both"}});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            service.ask("PATCH", &path, &[], &body.to_string()).await
        };
        assert_eq!(change(json!({})).await.problem(), (409, "native-sync-active".to_owned()));
        let changed = change(json!({"allow_native_sync": true, "provision_statuses": true})).await.expect(200).json();
        assert_eq!((&changed["allow_native_sync"], &changed["provision_statuses"]), (&json!(true), &json!(true)));
        assert_eq!((&changed["allow_program_type"], &changed["policies"]["direction"]), (&json!(false), &json!("both")));
        assert_eq!(change(json!({"allow_native_sync": false})).await.problem(), (409, "native-sync-active".to_owned()));
        assert_eq!(service.get(&path).await.json()["allow_native_sync"], true);
    }

    async fn of_two_requests_for_one_mapping_one_makes_it(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = json!({"program_id": 1044, "campaign_id": campaign('1')});
        let answers = tokio::join!(service.post("mappings", body.clone()), service.post("mappings", body.clone()));
        let mut answers = [answers.0, answers.1];
        answers.sort_by_key(|answer| answer.status.as_u16());
        assert_eq!(answers[0].status.as_u16(), 201, "{}", answers[0].text);
        assert_eq!(answers[1].problem(), (409, "already-mapped".to_owned()));
        assert_eq!(answers[1].json()["mapping_id"], answers[0].json()["id"]);
        for other in [json!({"program_id": 1044, "campaign_id": campaign('5')}), json!({"program_id": 1045, "campaign_id": campaign('1')})] {
            assert_eq!(service.post("mappings", other).await.problem(), (409, "already-mapped".to_owned()));
        }
    }

    async fn a_request_that_cannot_be_read_is_a_problem(database: TestDatabase) {
        let service = Service::new(&database).await;
        let id = service.mapped().await;
        let members = format!("mappings/{id}/members");
        let big = json!({"program_id": 1, "campaign_id": "x".repeat(5000)}).to_string();
        let plain = [("content-type", "text/plain")];
        let cases: Vec<Refused> = vec![
            ("POST", "mappings".to_owned(), &[], "{", 400, "malformed-body"),
            ("POST", "mappings".to_owned(), &[], "[]", 422, "invalid-input"),
            ("POST", "mappings".to_owned(), &plain, "{}", 415, "unsupported-media-type"),
            ("POST", "mappings".to_owned(), &[], &big, 413, "body-too-large"),
            ("POST", "mappings".to_owned(), &[("idempotency-key", "k")], &big, 413, "body-too-large"),
            ("GET", "mappings?limit=0".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?limit=501".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?limit=ten".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?cursor=%20".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?cursor=NDI".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?state=broken".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?stat=active".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?q=a&q=b".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings?campaign_id=7015G0000000001AAA".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", format!("{members}?sync_state=happy"), &[], "", 422, "invalid-input"),
            ("GET", "trigger-events?since=yesterday".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "trigger-events?type=added".to_owned(), &[], "", 422, "invalid-input"),
            ("GET", "mappings/not-an-id".to_owned(), &[], "", 404, "not-found"),
            ("GET", "mappings/0193a3f0-7b1e-7c40-8a52-3d5f1e2c9b10".to_owned(), &[], "", 404, "not-found"),
            ("GET", "nothing".to_owned(), &[], "", 404, "not-found"),
            ("GET", "/nothing".to_owned(), &[], "", 404, "not-found"),
            ("PUT", "mappings".to_owned(), &[], "{}", 405, "method-not-allowed"),
            ("PATCH", format!("mappings/{id}"), &[("if-match", "\"7\"")], "{}", 412, "precondition-failed"),
            ("DELETE", format!("mappings/{id}"), &[("if-match", "\"7\"")], "", 412, "precondition-failed"),
            ("POST", format!("mappings/{id}/pause"), &[("if-match", "\"7\"")], "", 412, "precondition-failed"),
            ("POST", format!("mappings/{id}/resume"), &[("if-match", "\"7\"")], "", 412, "precondition-failed"),
            ("DELETE", format!("mappings/{id}?undo=perhaps"), &[], "", 422, "invalid-input"),
            ("DELETE", format!("mappings/{id}?redo=true"), &[], "", 422, "invalid-input"),
            ("POST", "mappings?dry=true".to_owned(), &[], "{}", 422, "invalid-input"),
            ("PATCH", format!("mappings/{id}"), &[], r#"{"program_name":" "}"#, 422, "invalid-input"),
            ("PATCH", format!("mappings/{id}"), &[], r#"{"status_map":[]}"#, 422, "incompatible-statuses"),
            ("PATCH", format!("mappings/{id}"), &[], r#"{"policies":{"gate":["x"]}}"#, 422, "invalid-input"),
            ("POST", "keys".to_owned(), &[], r#"{"name":"x","scopes":["root"]}"#, 422, "invalid-input"),
            ("POST", "keys".to_owned(), &[], r#"{"name":"x","scopes":[]}"#, 422, "invalid-input"),
            ("POST", "changes/bulk".to_owned(), &[], r#"{"filter":{"state":"x"},"action":"retry"}"#, 422, "invalid-input"),
        ];
        for (method, path, headers, body, status, code) in cases {
            let answer = service.ask(method, &path, headers, body).await;
            assert_eq!(answer.problem(), (status, code.to_owned()), "{method} {path} {body}: {}", answer.text);
        }
    }

    async fn every_operation_needs_a_key_of_its_scope(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mut keys = Vec::new();
        for scope in ["read", "write", "admin"] {
            let made = service.post("keys", json!({"name": scope, "scopes": [scope]})).await.expect(201).json();
            keys.push((scope, made["id"].as_str().unwrap().to_owned(), format!("Bearer {}", made["key"].as_str().unwrap())));
        }
        let document = serde_json::to_value(openapi()).unwrap();
        let mut seen = BTreeSet::new();
        let api = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/v1/"));
        for (path, operations) in api {
            for (method, operation) in operations.as_object().unwrap() {
                // A body that is refused and an id that does not exist: what is let in changes nothing.
                let mut path = path.replace("{id}", "0193a3f0-7b1e-7c40-8a52-3d5f1e2c9b10");
                if path.ends_with("/stream") {
                    // Let in, it would have no end.
                    path += "?nobody=takes";
                }
                let admin = operation["tags"] == json!(["administration"]);
                let needed = if admin { 2 } else if method == "get" { 0 } else { 1 };
                let method = method.to_uppercase();
                let nobody = service.ask(&method, &path, &[("authorization", "")], "{").await;
                assert_eq!(nobody.problem(), (401, "unauthorized".to_owned()), "{method} {path}");
                assert_eq!(nobody.header("www-authenticate"), "Bearer");
                let stranger = service.ask(&method, &path, &[("authorization", "Bearer cs_unknown")], "{").await;
                assert_eq!(stranger.problem().0, 401, "{method} {path}");
                for (n, (scope, _, key)) in keys.iter().enumerate() {
                    let answer = service.ask(&method, &path, &[("authorization", key)], "{").await;
                    let forbidden = answer.status.as_u16() == 403;
                    assert_eq!(forbidden, n < needed, "{scope}: {method} {path}: {}", answer.text);
                    if forbidden {
                        assert_eq!(answer.problem().1, "insufficient-scope");
                        assert!(answer.header("www-authenticate").contains("insufficient_scope"));
                    }
                }
                seen.insert(needed);
            }
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2]));

        let (_, id, key) = &keys[0];
        service.ask("DELETE", &format!("keys/{id}"), &[], "").await.expect(204);
        service.ask("DELETE", &format!("keys/{id}"), &[], "").await.expect(404);
        service.ask("GET", "mappings", &[("authorization", key)], "").await.expect(401);
    }

    async fn the_last_use_of_a_key_is_noted_once_a_minute(database: TestDatabase) {
        let service = Service::new(&database).await;
        let made = service.post("keys", json!({"name": "n", "scopes": ["read", "admin"]})).await.expect(201).json();
        let key = format!("Bearer {}", made["key"].as_str().unwrap());
        let used = async || service.get("keys").await.json()["data"][0]["last_used_at"].clone();
        assert_eq!(used().await, Value::Null);
        for (pause, noted) in [(0, "2026-11-23T20:05:01Z"), (59, "2026-11-23T20:05:01Z"), (1, "2026-11-23T20:06:01Z")] {
            service.later(Duration::from_secs(pause));
            service.ask("GET", "mappings", &[("authorization", &key)], "").await.expect(200);
            assert_eq!(used().await, noted);
        }
    }

    async fn a_repeated_request_gives_the_first_answer_again(database: TestDatabase) {
        let service = Service::new(&database).await;
        let once = [("idempotency-key", "k1")];
        let body = json!({"program_id": 1044, "campaign_id": campaign('1')}).to_string();
        let refused = json!({"program_id": 999, "campaign_id": campaign('1')}).to_string();
        service.ask("POST", "mappings", &once, &refused).await.expect(422);
        let first = service.ask("POST", "mappings", &once, &body).await.expect(201);
        assert_eq!(first.header("idempotency-replayed"), "");
        let second = service.ask("POST", "mappings", &once, &body).await.expect(201);
        assert_eq!(second.header("idempotency-replayed"), "true");
        assert_eq!(second.text, first.text);
        for name in ["location", "etag", "content-type"] {
            assert_eq!(second.header(name), first.header(name));
        }
        let other = service.ask("POST", "mappings", &once, &refused).await;
        assert_eq!((other.problem().0, other.json()["errors"][0]["field"].clone()), (422, json!("Idempotency-Key")));
        service.later(Duration::from_secs(24 * 3600));
        assert_eq!(service.ask("POST", "mappings", &once, &body).await.problem(), (409, "already-mapped".to_owned()));
    }

    async fn origins_and_request_ids_are_answered(database: TestDatabase) {
        let service = Service::new(&database).await;
        let asked = [("origin", "https://app.example.com"), ("access-control-request-method", "POST"), ("authorization", "")];
        let preflight = service.ask("OPTIONS", "mappings", &asked, "").await.expect(200);
        assert_eq!(preflight.header("access-control-allow-origin"), "https://app.example.com");
        for name in ["authorization", "content-type", "if-match", "idempotency-key", "x-api-key", "x-request-id", "last-event-id"] {
            assert!(preflight.header("access-control-allow-headers").split(',').any(|allowed| allowed == name), "{name}");
        }
        let answer = service.ask("GET", "mappings", &asked[..1], "").await.expect(200);
        for name in ["etag", "idempotency-replayed", "link", "location", "retry-after", "www-authenticate", "x-complete", "x-request-id"] {
            assert!(answer.header("access-control-expose-headers").split(',').any(|exposed| exposed == name), "{name}");
        }
        let other = service.ask("GET", "mappings", &[("origin", "https://evil.example.com"), ("x-request-id", "r1")], "").await;
        assert_eq!((other.header("access-control-allow-origin"), other.header("x-request-id")), ("", "r1"));
        for path in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
            service.ask("GET", path, &[("authorization", "")], "").await.expect(200);
        }
        assert!(service.get("/docs").await.text.contains("/api/v1/mappings/{id}"));
        let lower = format!("bearer {BOOTSTRAP}");
        service.ask("GET", "mappings", &[("authorization", &lower)], "").await.expect(200);
    }
}
