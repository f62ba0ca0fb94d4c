//! The sample that takes trigger events to Kafka, held against the tables that there are.
//!
//! No Kafka runs here: what can be wrong without one is a name that the schema does not have, and a table of which more than new rows is
//! told.

use std::collections::BTreeSet;

use campaign_sync::domain::clock::Clock;
use campaign_sync::store::Store;
use serde_json::Value;

use crate::support::{Tables, on_both};

const SAMPLE: &str = include_str!("../../deploy/kafka/debezium.json");
const ROUTER: &str = "transforms.events.";

fn setting(sample: &Value, key: &str) -> String {
    sample["config"][key].as_str().unwrap_or_else(|| panic!("{key} is not set")).to_owned()
}

/// The columns that the router of events is told of.
fn columns(sample: &Value) -> BTreeSet<String> {
    let settings = sample["config"].as_object().unwrap();
    let named = settings.iter().filter(|(key, _)| {
        key.starts_with(&format!("{ROUTER}table.field.event.")) || **key == format!("{ROUTER}route.by.field")
    });
    let mut columns: BTreeSet<String> = named.map(|(_, column)| column.as_str().unwrap().to_owned()).collect();
    // `column:placement:name`, with commas between them.
    let placed = setting(sample, &format!("{ROUTER}table.fields.additional.placement"));
    columns.extend(placed.split(',').map(|one| {
        let parts: Vec<_> = one.split(':').collect();
        assert!(parts.len() == 3 && parts[1] == "header", "{one}");
        parts[0].to_owned()
    }));
    columns
}

on_both! {
    async fn the_sample_names_a_table_and_columns_that_are_there(database: TestDatabase) {
        let store = Store::connect(&database.url, 2, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let sample: Value = serde_json::from_str(SAMPLE).unwrap();
        let listed = setting(&sample, "table.include.list");
        let (schema, table) = listed.split_once('.').unwrap();
        assert_eq!((schema, table), ("public", "trigger_events"));
        let columns = columns(&sample);
        assert!(["id", "member_id", "body", "type"].iter().all(|column| columns.contains(*column)), "{columns:?}");
        let tables = Tables::open(&database.url).await;
        for column in &columns {
            // Fails when there is no such column.
            tables.texts(&format!("SELECT CAST({table}.{column} AS TEXT) FROM {table} LIMIT 1")).await;
        }
    }
}

#[test]
fn only_new_rows_are_told_and_no_secret_is_in_the_sample() {
    let sample: Value = serde_json::from_str(SAMPLE).unwrap();
    assert_eq!(
        setting(&sample, "skipped.operations"),
        "u,d,t",
        "retention deletes, and erasing rewrites: neither is an event"
    );
    assert!(setting(&sample, "database.password").starts_with("${file:"));
    for (key, value) in sample["config"].as_object().unwrap() {
        assert!(value.is_string(), "{key}: a connector takes text");
    }
    let key = format!("{ROUTER}table.field.event.key");
    assert_eq!(setting(&sample, &key), "member_id", "events of a member stay in their order");
}
