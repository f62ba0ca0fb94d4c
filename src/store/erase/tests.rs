//! Every column of text is erased from, or there is a reason why nobody's address can be in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::clock::Clock;
use crate::store::Store;

use super::PLACES;

/// What stays, and why.
const KEPT: [(&str, &[&str]); 8] = [
    (
        "names that this program has for things: states, kinds, actions, reasons, rules, codes",
        &[
            "audit.action",
            "catch_ups.state",
            "deliveries.state",
            "deliveries.type",
            "figures.metric",
            "flow_action_people.reason",
            "flow_actions.action",
            "guard_members.side",
            "guards.state",
            "history.kind",
            "inbox.source",
            "intents.side",
            "mappings.state",
            "member_tallies.reason",
            "member_tallies.sync_state",
            "members.reason",
            "members.resolution",
            "members.rule",
            "members.sync_state",
            "outbox.code",
            "outbox.kind",
            "outbox.outcome",
            "outbox.reason",
            "outbox.source",
            "outbox.state",
            "outbox.vendor",
            "plan_rows.action",
            "plan_rows.drifted",
            "plan_rows.reason",
            "plan_rows.rule",
            "plan_rows.side",
            "plans.stage",
            "plans.state",
            "polls.name",
            "run_kept.reason",
            "run_kept.side",
            "runs.kind",
            "runs.stage",
            "runs.state",
            "silences.source",
            "sources.source",
            "subscriptions.state",
            "told.key",
            "trigger_events.type",
        ],
    ),
    (
        "statuses of programs and campaigns",
        &[
            "flow_actions.status",
            "members.base_marketo",
            "members.base_salesforce",
            "members.marketo",
            "members.salesforce",
            "members.would",
            "plan_people.marketo",
            "plan_people.salesforce",
            "plan_rows.from_status",
            "plan_rows.to_status",
            "trigger_events.new_status",
            "trigger_events.old_status",
            "trigger_events.status",
        ],
    ),
    (
        "what operators write themselves",
        &[
            "api_keys.name",
            "api_keys.scopes",
            "audit.actor",
            "flow_actions.actor",
            "mappings.options",
            "mappings.policies",
            "mappings.status_map",
            "plans.draft",
            "settings.name",
            "subscriptions.description",
            "subscriptions.url",
            "subscriptions.wanted",
        ],
    ),
    (
        "names and statuses of programs, campaigns and channels, as they were found",
        &["lanes.campaign_name", "mappings.campaign_name", "mappings.found", "mappings.program_name", "mappings.steps"],
    ),
    ("numbers by name", &["plans.counts", "runs.counts", "runs.differences"]),
    (
        "marks of our own: lanes, workers, scans (with ids), hashes, secrets, budgets",
        &[
            "api_keys.hash",
            "budget_parts.day",
            "budget_parts.replica",
            "budget_parts.vendor",
            "budgets.day",
            "budgets.vendor",
            "campaign_intents.marker",
            "campaign_intents.owner",
            "idempotency_keys.body_hash",
            "idempotency_keys.key",
            "intents.owner",
            "lanes.lease_owner",
            "later_looks.lane",
            "members.marketo_scan",
            "members.salesforce_scan",
            "outbox.lane",
            "polls.lease_owner",
            "runs.lane",
            "runs.doubted",
            "runs.last_shown",
            "settings.value",
            "subscription_secrets.secret",
            "subscriptions.lease_owner",
        ],
    ),
    (
        "texts of ours about a thing as a whole, with what vendors say stripped of addresses (domain::redaction), and ids as targets",
        &["audit.target", "idempotency_keys.headers", "mappings.reason", "subscriptions.reason"],
    ),
    ("erased by statements of their own: work under an address, and intents", &["intents.key", "outbox.subject"]),
];

/// Ids of ours and of the vendors stay: without them a member that still exists would be taken for a new one.
fn is_id(column: &str) -> bool {
    column.ends_with(".id") || column.ends_with("_id")
}

async fn columns() -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("x.db").display());
    let store = Store::connect(&url, 1, Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    let sql = "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '_sqlx%' AND c.type = 'TEXT'";
    store.db.fetch::<(String,)>(sql, vec![]).await.unwrap().into_iter().map(|(name,)| name).collect()
}

#[tokio::test]
async fn every_column_of_text_is_erased_from_or_has_a_reason_not_to_be() {
    let erased: BTreeSet<String> = PLACES.iter().map(|place| format!("{}.{}", place.table, place.column)).collect();
    let mut kept: BTreeMap<&str, &str> = BTreeMap::new();
    for (reason, columns) in KEPT {
        for column in columns {
            assert_eq!(kept.insert(column, reason), None, "{column} is there twice");
        }
    }
    let there = columns().await;
    assert!(there.len() > 100, "{there:?}");
    let forgotten: Vec<_> =
        there.iter().filter(|c| !is_id(c) && !erased.contains(*c) && !kept.contains_key(c.as_str())).collect();
    assert!(forgotten.is_empty(), "neither erased from nor kept for a reason: {forgotten:?}");
    let gone: Vec<_> = kept.keys().filter(|c| !there.contains(**c)).collect();
    assert!(gone.is_empty(), "kept, and not there: {gone:?}");
    let both: Vec<_> = kept.keys().filter(|c| erased.contains(**c)).collect();
    assert!(both.is_empty(), "erased from, and kept: {both:?}");
    assert!(erased.iter().all(|c| there.contains(c)), "{erased:?}");
}
