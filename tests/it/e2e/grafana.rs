//! The Grafana dashboard and the alert rules ask for what `/metrics` really serves, by name, label and value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::subscriber::running;
use super::world::SOON;
use crate::support::{Api, Receiver, eventually, on_both};

const DASHBOARD: &str = include_str!("../../../integrations/grafana/dashboard.json");
const ALERTS: &str = include_str!("../../../integrations/grafana/alerts.yaml");
const PREFIX: &str = "campaign_sync_";
/// What a name of ours that is no count of things ends with.
const UNITS: [&str; 4] = ["_seconds", "_total", "_per_second", "_today"];
const COUNTS: [&str; 11] = [
    "mappings",
    "members",
    "drift_members",
    "open_changes",
    "records",
    "vendor_calls_limit",
    "vendor_circuit_open",
    "vendor_replicas",
    "vendor_budget_limit",
    "vendor_budget_held",
    "vendor_budget_own",
];

/// The expressions of the dashboard and of the rules.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let of_panels = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let of_rules = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    of_panels.chain(of_rules).collect()
}

/// Names of ours in a query, each with the labels that it selects by: name, operator and value.
fn selectors(query: &str) -> Vec<(String, Vec<(String, String)>)> {
    let of_name = |at: usize| {
        let rest = &query[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let labels =
            rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let pair = |pair: &str| {
            let (label, value) = pair.split_once('=')?;
            let value = value.trim_start_matches('~').trim_matches('"');
            Some((label.trim().trim_end_matches('!').to_owned(), value.to_owned()))
        };
        (rest[..end].to_owned(), labels.split(',').filter_map(pair).filter(|(label, _)| label != "job").collect())
    };
    query.match_indices(PREFIX).map(|(at, _)| of_name(at)).collect()
}

/// What is served: for each name its labels, and for each label its values.
fn served(text: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut names: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(PREFIX)) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = names.entry(name.to_owned()).or_default();
        for (label, value) in labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('=')) {
            known.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    names
}

#[test]
fn a_query_for_what_nobody_serves_is_found() {
    let found = selectors("max(campaign_sync_a{job=~\"$job\", state=~\"x|y\"}) / campaign_sync_b > 1");
    let state = ("state".to_owned(), "x|y".to_owned());
    assert_eq!(found, [("campaign_sync_a".to_owned(), vec![state]), ("campaign_sync_b".to_owned(), vec![])]);
    assert_eq!(served("# campaign_sync_c\ncampaign_sync_a{state=\"x\"} 1\n").len(), 1);
}

on_both! {
    async fn every_query_finds_what_it_asks_for(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (subscription, _) = running.subscribe(&receiver, json!({})).await;
        running.world.marketo_person("Lovelace");
        running.world.set_in_marketo("Lovelace", "Invited");
        running.both_have("Lovelace", Some("Invited")).await;
        running.all_deliveries_are(&subscription, 1, &["delivered"]).await;
        // It is counted when it has been stored.
        let metrics = Api::new(running.service.url());
        let text = eventually("the delivery to be counted", SOON, async || {
            Some(metrics.get("/metrics").await.expect(200).text).filter(|text| text.contains("campaign_sync_deliveries_total"))
        })
        .await;
        let served = served(&text);
        let queries = queries();
        assert!(queries.len() > 15, "{queries:?}");
        for query in &queries {
            let selectors = selectors(query);
            assert!(!selectors.is_empty(), "{query} asks for nothing of ours");
            for (name, labels) in selectors {
                let known = served.get(&name).unwrap_or_else(|| panic!("{query}: nobody serves {name}:\n{text}"));
                for (label, values) in labels {
                    let of_label = known.get(&label).unwrap_or_else(|| panic!("{query}: {name} has no label {label}"));
                    for value in values.split('|') {
                        assert!(of_label.contains(value), "{query}: {name} has no {label} {value}: {of_label:?}");
                    }
                }
            }
        }
        for (name, labels) in &served {
            let plain = name.strip_prefix(PREFIX).unwrap();
            assert!(COUNTS.contains(&plain) || UNITS.iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
            for (label, values) in labels {
                assert!(!values.iter().any(|value| value.contains("Lovelace") || value.contains('@')), "{name} {label}");
                assert!(values.len() < 40, "{name}: {label} grows without end");
            }
        }
        assert!(text.lines().any(|line| line == "campaign_sync_mappings{state=\"active\"} 1"), "{text}");
    }
}
