//! The committed OpenAPI document is the one that the service serves. `UPDATE_OPENAPI=1` writes it anew.

use std::path::Path;

use campaign_sync::http::openapi_json;

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
