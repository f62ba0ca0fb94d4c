//! Requests that no client sends: parameters, cursors, versions and bodies broken by chance. Each is answered as a request of ours would
//! be, or refused as a problem; none is a fault of ours, whatever the database makes of it. `FUZZ=n` for n of them.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::Service;
use super::vendors::campaign;
use crate::support::on_both;

const LISTS: [&str; 16] = [
    "mappings",
    "changes",
    "members",
    "trigger-events",
    "subscriptions",
    "audit",
    "keys",
    "campaign-members",
    "catch-ups",
    "stats/timeseries",
    "people/318592/campaigns",
    "mappings/ID/members",
    "mappings/ID/runs",
    "mappings/ID/guards",
    "programs",
    "campaigns",
];
const NAMES: [&str; 18] = [
    "limit",
    "cursor",
    "state",
    "q",
    "status",
    "since",
    "campaign_id",
    "program_id",
    "metric",
    "from",
    "to",
    "step",
    "type",
    "kind",
    "mapping_id",
    "sync_state",
    "reason",
    "member",
];

/// Operations with a body that is taken as it stands.
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    let row = json!({"program_status": "Invited", "campaign_status": "Invited", "direction": "to_salesforce"});
    let policies = json!({"direction": "both", "conflict": "hold", "regression": "hold", "removal": "keep", "create_leads": true, "gate": ["Attended"]});
    let people = json!({"campaign_id": campaign('1'), "status": "Attended", "people": [{"marketo_id": 1}, {"email": "a@b.example"}, {"salesforce_id": "00Q5g0000000001"}], "program_id": 1044});
    vec![
        (
            "POST",
            "mappings",
            json!({"program_id": 1045, "campaign_id": campaign('5'), "status_map": [row.clone()], "policies": policies.clone(), "paused": true}),
        ),
        ("PATCH", "mappings/ID", json!({"policies": policies, "program_name": "x", "status_map": [row]})),
        (
            "POST",
            "subscriptions",
            json!({"url": "https://example.com/hook", "types": ["campaign.member.added"], "campaign_ids": [campaign('1')], "new_statuses": ["Attended"], "description": "d"}),
        ),
        ("POST", "flow-actions/change-status", people.clone()),
        ("POST", "flow-actions/add-to-campaign", people),
        ("POST", "people/erase", json!({"email": "a@b.example"})),
        ("POST", "keys", json!({"name": "k", "scopes": ["read"], "expires_at": "2027-01-01T00:00:00Z"})),
        (
            "POST",
            "changes/bulk",
            json!({"filter": {"state": "parked", "kind": "hint"}, "action": "retry", "dry_run": true}),
        ),
        ("PUT", "settings/campaign-sync", json!({"enabled": true})),
    ]
}

/// Texts as they come, and those that databases stumble over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".{0,40}",
        1 => select(vec!["\0", "a\0b", "'", "%", "\u{feff}", "\u{10ffff}", "e\u{301}", "-1", "0", "9223372036854775808", "1e9", "NaN", "../..", "{}", "[]"])
            .prop_map(str::to_owned),
        1 => "[a-z]{2000}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Every place in a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), found)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found)),
        _ => {}
    }
}

/// Method, path, version, body.
type Broken = (String, String, String, String);

fn asked() -> impl Strategy<Value = Broken> {
    let cursor = prop_oneof![text(), text().prop_map(|text| URL_SAFE_NO_PAD.encode(text)), Just("MA".to_owned())];
    let parameter = (select(NAMES.to_vec()), prop_oneof![3 => text(), 2 => cursor, 1 => Just("1".to_owned())]);
    let lists = (select(LISTS.to_vec()), proptest::collection::vec(parameter, 0..4)).prop_map(|(path, parameters)| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        ("GET".to_owned(), format!("{path}?{query}"), String::new(), String::new())
    });
    let version =
        prop_oneof![Just(String::new()), "[ -~]{0,20}", "\"[0-9]{1,20}\"", Just("W/\"1\", \"2\", *".to_owned())];
    let changes =
        (select(bodies()), proptest::collection::vec((any::<Index>(), value()), 1..3), version, any::<Option<Index>>());
    let changes = changes.prop_map(|((method, path, mut body), breaks, version, cut)| {
        for (at, value) in breaks {
            let mut found = Vec::new();
            places(&body, "", &mut found);
            if let Some(place) = body.pointer_mut(&found[at.index(found.len())]) {
                *place = value;
            }
        }
        let text = body.to_string();
        // Now and then it is not even JSON.
        let text = match cut
            .map(|cut| cut.index(text.len() * 4 + 1))
            .filter(|cut| text.is_char_boundary((*cut).min(text.len())))
        {
            Some(cut) if cut < text.len() => text[..cut].to_owned(),
            _ => text,
        };
        (method.to_owned(), path.to_owned(), version, text)
    });
    prop_oneof![lists, changes]
}

on_both! {
    /// Found so: one of the databases keeps no such character, and the answer was 503.
    async fn a_text_that_no_database_keeps_is_refused(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let cursor = URL_SAFE_NO_PAD.encode("\0");
        for path in [format!("mappings/{mapping}/members?q=%00"), format!("trigger-events?cursor={cursor}"), "changes?%00=1".to_owned()] {
            assert_eq!(service.get(&path).await.problem(), (422, "invalid-input".to_owned()), "{path}");
        }
        let escaped = service.ask("POST", "keys", &[], r#"{"name": "a\\u0000", "scopes": ["read"]}"#).await.expect(201).json();
        assert_eq!(escaped["name"], "a\\u0000");
        for (path, body) in [
            ("keys", r#"{"name": "a\u0000", "scopes": ["read"]}"#),
            ("flow-actions/change-status", r#"{"campaign_id": "x", "people": [{"email": "\\\u0000"}]}"#),
        ] {
            assert_eq!(service.ask("POST", path, &[], body).await.problem(), (422, "invalid-input".to_owned()), "{body}");
        }
    }

    async fn what_no_client_sends_is_no_fault_of_ours(database: TestDatabase) {
        let service = Service::limited(&database, &[("CAMPAIGN_SYNC__LIMITS__REQUESTS_PER_SECOND", "0")]).await;
        let mapping = service.populated().await;
        let cases = std::env::var("FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]));
        let (count, taken) = (Cell::new(0), Cell::new(0));
        let handle = Handle::current();
        let outcome = tokio::task::block_in_place(|| {
            runner.run(&asked(), |(method, path, version, body)| {
                let path = path.replace("ID", &mapping);
                let answer = handle.block_on(service.ask(&method, &path, &[("if-match", &version)], &body));
                count.set(count.get() + 1);
                taken.set(taken.get() + usize::from(answer.status.is_success()));
                prop_assert!(answer.status.as_u16() < 500, "{} {}", answer.status, answer.text);
                if !answer.status.is_success() {
                    prop_assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text);
                }
                Ok(())
            })
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        eprintln!("requests: {} executions, {} taken", count.get(), taken.get());
        assert!(taken.get() > 10 && taken.get() < count.get());
    }
}
