//! The committed OpenAPI document is the one that the service serves. `UPDATE_OPENAPI=1` writes it anew.

use std::path::Path;

use campaign_sync::http::{openapi, openapi_json};

#[test]
fn the_committed_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let document = openapi_json().unwrap();
    if std::env::var("UPDATE_OPENAPI").is_ok_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document, "openapi/openapi.json is old: run this test with UPDATE_OPENAPI=1 and commit it");
}

#[test]
fn operations_have_names_of_their_own() {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let mut names: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a generated client has one function for each");
}
