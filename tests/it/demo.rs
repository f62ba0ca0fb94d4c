//! The demo as a newcomer runs it: awkward people, traffic in both directions, and both sides equal at the end.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Launch, on_both};

const KEYS: [&str; 13] = [
    "changes_received",
    "applied_to_salesforce",
    "applied_to_marketo",
    "no_op",
    "superseded",
    "trigger_events",
    "vendor_calls_marketo",
    "vendor_calls_salesforce",
    "latency_p50_ms",
    "latency_p99_ms",
    "members_marketo",
    "members_salesforce",
    "equal",
];

on_both! {
    async fn ends_equal(database: TestDatabase) {
        let launch = Launch::campaign_sync(&["demo", "--once", "--json", "--people", "60", "--database", &database.url]);
        let mut command = launch.command();
        command.stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{told}\n{shown}");
        let figures: Value = serde_json::from_str(&shown).unwrap();
        let keys: Vec<_> = figures.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, KEYS, "{shown}");
        assert_eq!(figures["equal"], true, "{told}");
        for name in ["changes_received", "applied_to_salesforce", "applied_to_marketo", "trigger_events", "members_marketo"] {
            assert!(figures[name].as_i64().unwrap() > 0, "{name}: {shown}");
        }
    }
}
