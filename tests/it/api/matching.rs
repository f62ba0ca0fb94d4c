//! Statuses side by side, what a refused mapping says of them, and what is wrong with a map that was given.

use serde_json::{Value, json};

use super::Service;
use super::vendors::{DOWN, REFUSED, campaign};
use crate::support::on_both;

/// Rows of a map; field and code of everything that is wrong with it.
type WrongMap = (Vec<Value>, Vec<(&'static str, &'static str)>);

/// Field and code of everything that is wrong.
fn blamed(answer: &Value) -> Vec<(String, String)> {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    answer["errors"].as_array().unwrap().iter().map(|error| (text(error, "field"), text(error, "code"))).collect()
}

fn row(program: &str, campaign: &str, direction: &str) -> Value {
    json!({"program_status": program, "campaign_status": campaign, "direction": direction})
}

/// Rows of a map that is complete for program 1044 and campaign 1.
fn complete() -> Vec<Value> {
    ["Invited", "Registered", "Attended"].map(|name| row(name, name, "both")).to_vec()
}

on_both! {
    async fn statuses_are_shown_side_by_side_with_what_is_probably_a_pair(database: TestDatabase) {
        let service = Service::new(&database).await;
        let path = format!("programs/1050/status-match?campaign_id={}", &campaign('6')[..15]);
        let shown = service.get(&path).await.expect(200).json();
        let status = |name: &str, step: i64, success: bool, members: Value| {
            json!({"status": name, "step": step, "success": success, "hidden": false, "members": members})
        };
        let expected = json!([
            // More than are counted, and a vendor that does not answer: not known.
            status("Invited", 10, false, Value::Null),
            status("Signed up", 20, false, json!(12)),
            status("No Show", 30, false, json!(0)),
            status("Attended", 30, true, Value::Null),
        ]);
        assert_eq!(shown["program_statuses"], expected);
        let label = |name: &str, order: i64, responded: bool, members: i64| {
            json!({"status": name, "sort_order": order, "has_responded": responded, "is_default": order == 1, "members": members})
        };
        let expected = json!([
            label("invited", 1, false, 24_000), label("RSVP'd", 2, false, 11), label("Did not attend", 3, false, 0),
            label("Showed up", 4, true, 0), label("Partner", 5, false, 0),
        ]);
        assert_eq!(shown["campaign_statuses"], expected);
        let pairs: Vec<_> = shown["pairs"].as_array().unwrap().iter().map(|pair| {
            let confidence = pair["confidence"].as_f64().unwrap();
            assert!((0.75..1.0).contains(&confidence) && !pair["reason"].as_str().unwrap().is_empty(), "{pair}");
            ["program_status", "campaign_status"].map(|name| pair[name].as_str().unwrap())
        }).collect();
        let expected =
            [["Invited", "invited"], ["Signed up", "RSVP'd"], ["Attended", "Showed up"], ["No Show", "Did not attend"]];
        assert!(expected.iter().all(|pair| pairs.contains(pair)) && pairs.len() == 4, "{pairs:?}");
        assert_eq!((&shown["compatible"], &shown["warnings"]), (&json!(false), &json!([])));

        let same = service.get(&format!("programs/1044/status-match?campaign_id={}", campaign('1'))).await.expect(200).json();
        assert_eq!(same["compatible"], true);
        assert!(same["pairs"].as_array().unwrap().iter().all(|pair| pair["confidence"] == 1.0), "{same:#}");
        // Compatible is a matter of names; who counts as a response is told.
        let warned = service.get(&format!("programs/1044/status-match?campaign_id={}", campaign('7'))).await.expect(200).json();
        assert_eq!(warned["warnings"][0]["code"], "response-without-success");
        // Nobody is counted where Salesforce does not answer that one question.
        let blind = service.get(&format!("programs/1044/status-match?campaign_id={}", campaign('3'))).await.expect(200).json();
        assert!(blind["campaign_statuses"].as_array().unwrap().iter().all(|status| status["members"].is_null()));
    }

    async fn a_comparison_of_what_is_not_there_is_refused(database: TestDatabase) {
        let service = Service::new(&database).await;
        let known = campaign('1');
        let mistyped = known.replace("7015g", "7015G");
        for (path, status, code, field) in [
            (format!("programs/999/status-match?campaign_id={known}"), 404, "not-found", ""),
            (format!("programs/spring/status-match?campaign_id={known}"), 404, "not-found", ""),
            (format!("programs/-1/status-match?campaign_id={known}"), 404, "not-found", ""),
            (format!("programs/1044/status-match?campaign_id={}", campaign('0')), 422, "unknown-campaign", ""),
            (format!("programs/1044/status-match?campaign_id={mistyped}"), 422, "invalid-input", "campaign_id"),
            ("programs/1044/status-match?campaign_id=00Q5g0000000001".to_owned(), 422, "invalid-input", "campaign_id"),
            ("programs/1044/status-match".to_owned(), 422, "invalid-input", "campaign_id"),
            (format!("programs/1044/status-match?campaign_id={known}&campaign_id={known}"), 422, "invalid-input", "campaign_id"),
            (format!("programs/1044/status-match?campaign_id={known}&campaign=x"), 422, "invalid-input", "campaign"),
            (format!("programs/1048/status-match?campaign_id={known}"), 502, "vendor-error", ""),
            (format!("programs/{REFUSED}/status-match?campaign_id={known}"), 502, "vendor-error", ""),
            (format!("programs/{DOWN}/status-match?campaign_id={known}"), 503, "vendor-unavailable", ""),
        ] {
            let answer = service.get(&path).await;
            assert_eq!(answer.problem(), (status, code.to_owned()), "{path}: {}", answer.text);
            if !field.is_empty() {
                assert_eq!(answer.json()["errors"][0]["field"], field, "{path}");
            }
        }
    }

    async fn a_refused_mapping_says_who_holds_what_does_not_match_and_what_it_probably_is(database: TestDatabase) {
        let service = Service::new(&database).await;
        let body = json!({"program_id": 1050, "campaign_id": campaign('6')});
        let refused = service.post("mappings", body).await;
        assert_eq!(refused.problem(), (422, "incompatible-statuses".to_owned()));
        let difference = |side: &str, status: &str, members: Value, suggestion: Value| {
            json!({"side": side, "status": status, "members": members, "suggestion": suggestion})
        };
        let expected = json!([
            difference("marketo", "Invited", Value::Null, json!("invited")),
            difference("marketo", "Signed up", json!(12), json!("RSVP'd")),
            difference("marketo", "No Show", json!(0), json!("Did not attend")),
            difference("marketo", "Attended", Value::Null, json!("Showed up")),
            difference("salesforce", "invited", json!(24_000), json!("Invited")),
            difference("salesforce", "RSVP'd", json!(11), json!("Signed up")),
            difference("salesforce", "Did not attend", json!(0), json!("No Show")),
            difference("salesforce", "Showed up", json!(0), json!("Attended")),
            difference("salesforce", "Partner", json!(0), Value::Null),
        ]);
        assert_eq!(refused.json()["differences"], expected);
        assert_eq!(service.get("mappings").await.json()["data"], json!([]));
    }

    async fn a_mapping_warns_of_a_success_that_is_no_response_and_the_reverse(database: TestDatabase) {
        let service = Service::new(&database).await;
        let map = [("Invited", "Invited"), ("Signed up", "Signed up"), ("No Show", "No Show"), ("Attended", "Attended")];
        let mut rows: Vec<Value> = map.iter().map(|(program, campaign)| row(program, campaign, "both")).collect();
        rows.push(row("Signed up", "Registered", "to_marketo"));
        let body = json!({"program_id": 1050, "campaign_id": campaign('7'), "status_map": rows});
        let made = service.post("mappings", body).await.expect(201).json();
        let told: Vec<_> = made["warnings"].as_array().unwrap().iter().map(|warning| {
            assert!(warning["message"].as_str().unwrap().contains("Responded"), "{warning}");
            ["code", "program_status", "campaign_status"].map(|name| warning[name].as_str().unwrap())
        }).collect();
        let expected = [["success-without-response", "Attended", "Attended"], ["response-without-success", "Invited", "Invited"]];
        assert_eq!(told, expected);
        let path = format!("mappings/{}", made["id"].as_str().unwrap());
        let same = service.ask("PATCH", &path, &[], &json!({"status_map": rows}).to_string()).await.expect(200).json();
        assert_eq!((&same["warnings"], &same["run_id"]), (&made["warnings"], &Value::Null));
        // They stand until the statuses are other ones.
        let gated = service.ask("PATCH", &path, &[], r#"{"policies":{"gate":["Attended"]}}"#).await.expect(200).json();
        assert_eq!(gated["warnings"], made["warnings"]);
        let fine = service.post("mappings", json!({"program_id": 1044, "campaign_id": campaign('1')})).await.expect(201).json();
        assert_eq!(fine["warnings"], json!([]));
    }

    async fn a_map_that_is_wrong_is_refused_with_the_row_to_blame(database: TestDatabase) {
        let service = Service::new(&database).await;
        let with = |rows: &[Value]| [complete(), rows.to_vec()].concat();
        let cases: Vec<WrongMap> = vec![
            // Holes, on either side.
            (complete()[..2].to_vec(), vec![("status_map", "untranslated"), ("status_map", "untranslated")]),
            (
                [complete()[..2].to_vec(), vec![row("Attended", "Attended", "to_salesforce")]].concat(),
                vec![("status_map", "untranslated")],
            ),
            (vec![], vec![("status_map", "untranslated"); 6]),
            // A second translation in one direction; a row of the other direction is not to blame.
            (with(&[row("Invited", "Registered", "to_salesforce")]), vec![("status_map[3].program_status", "ambiguous")]),
            // A wrong row together with a hole.
            (
                [complete()[..2].to_vec(), vec![row("Attended", "attended", "both")]].concat(),
                vec![("status_map[2].campaign_status", "unknown"), ("status_map", "untranslated")],
            ),
            (
                with(&[row("Registered", "Invited", "to_marketo"), row("Invited", "Invited", "to_salesforce")]),
                vec![("status_map[3].campaign_status", "ambiguous")],
            ),
            // Names that a side does not have.
            (with(&[row("Atended", "Attended", "to_salesforce")]), vec![("status_map[3].program_status", "unknown")]),
            (with(&[row("Attended", "attended", "to_marketo")]), vec![("status_map[3].campaign_status", "unknown")]),
            (with(&[row("Not in Program", "Invited", "to_salesforce")]), vec![("status_map[3].program_status", "unknown")]),
        ];
        for (rows, expected) in cases {
            let body = json!({"program_id": 1044, "campaign_id": campaign('1'), "status_map": rows});
            let refused = service.post("mappings", body).await;
            let holes = expected.iter().all(|(_, code)| *code == "untranslated");
            let code = if holes { "incompatible-statuses" } else { "invalid-input" };
            assert_eq!(refused.problem(), (422, code.to_owned()), "{rows:?}");
            let differences = refused.json()["differences"].as_array().map(Vec::len);
            assert_eq!(differences, holes.then_some(expected.len()), "{rows:?}");
            let expected: Vec<_> = expected.into_iter().map(|(f, c)| (f.to_owned(), c.to_owned())).collect();
            assert_eq!(blamed(&refused.json()), expected, "{rows:?}: {}", refused.text);
        }
        let malformed = json!({"program_id": 1044, "campaign_id": campaign('1'), "status_map": [row("a", "b", "sideways")]});
        let refused = service.post("mappings", malformed).await;
        assert_eq!(blamed(&refused.json()), [("status_map[0].direction".to_owned(), "invalid".to_owned())]);
        let gate = json!({"program_id": 1044, "campaign_id": campaign('1'),
            "policies": {"gate": ["Attended", "Not in Program", "Atended"]}});
        let refused = service.post("mappings", gate).await;
        let unknown = ["policies.gate[1]", "policies.gate[2]"].map(|field| (field.to_owned(), "unknown".to_owned()));
        assert_eq!(blamed(&refused.json()), unknown);
        assert!(refused.text.contains("perhaps \\\"Attended\\\" is meant"), "{}", refused.text);
        assert_eq!(service.get("mappings").await.json()["data"], json!([]));
    }
}
