//! The ground that the other tests stand on is tested too: a broken harness makes every test green or none.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Api, Launch, TestDatabase, eventually, on_both};

/// Says that it listens, counts its starts in a file, logs, and stops with 7 on SIGTERM.
const SERVICE: &str = r#"
trap 'echo stopping >&2; exit 7' TERM
echo start >>"$STARTS"
echo 'starting' >&2
echo 'not an event'
echo '{"event":"listening","url":"http://127.0.0.1:1/"}'
while :; do read -r _ <"$FIFO" || exit 9; done
"#;

fn service(dir: &Path) -> Launch {
    let fifo = dir.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let starts = dir.join("starts");
    Launch::program("sh", &["-c", SERVICE]).env("STARTS", starts.to_str().unwrap()).env("FIFO", fifo.to_str().unwrap())
}

#[tokio::test]
async fn a_service_is_killed_started_again_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let first = service(dir.path()).start().await;
    assert_eq!(first.url(), "http://127.0.0.1:1");
    let second = first.kill().start().await;
    eventually("the log", Duration::from_secs(5), async || second.stderr().contains("starting").then_some(())).await;
    let (status, _) = second.terminate().await;
    assert_eq!(status.code(), Some(7));
    assert_eq!(std::fs::read_to_string(dir.path().join("starts")).unwrap(), "start\nstart\n");
}

#[tokio::test]
#[should_panic(expected = "ended before it listened")]
async fn a_service_that_ends_early_fails_the_test() {
    Launch::program("sh", &["-c", "echo '{\"event\":\"other\"}'; exit 3"]).start().await;
}

#[test]
fn the_service_under_test_gets_only_the_configuration_of_the_test() {
    let database = TestDatabase::sqlite();
    let command = Launch::serve(&database).set("limits.marketo.window", "1s").command();
    let set: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?))).collect();
    assert_eq!(
        set,
        [("CAMPAIGN_SYNC__DATABASE__URL", &*database.url), ("CAMPAIGN_SYNC__LIMITS__MARKETO__WINDOW", "1s")]
    );
    assert!(Path::new(command.get_program()).is_file());
}

on_both! {
    async fn a_case_gets_a_database_of_its_own(database: TestDatabase) {
        assert!(database.url.contains("://"));
    }
}

#[tokio::test]
async fn databases_on_the_server_are_apart_durable_and_gone_afterwards() {
    let (Some(one), Some(other)) = (TestDatabase::postgres().await, TestDatabase::postgres().await) else { return };
    let mut first = PgConnection::connect(&one.url).await.unwrap();
    let mut second = PgConnection::connect(&other.url).await.unwrap();
    sqlx::query("CREATE TABLE here (id int)").execute(&mut first).await.unwrap();
    assert!(sqlx::query("SELECT * FROM here").execute(&mut second).await.is_err());
    for setting in ["SHOW fsync", "SHOW synchronous_commit"] {
        assert_eq!(sqlx::query_scalar::<_, String>(setting).fetch_one(&mut first).await.unwrap(), "on", "{setting}");
    }

    // While a connection is open: a test that failed leaves one.
    let gone = one.url.clone();
    drop(one);
    assert!(PgConnection::connect(&gone).await.is_err());
}

#[tokio::test]
async fn waiting_ends_when_the_condition_holds() {
    let asked = Cell::new(0);
    let third = eventually("the third question", Duration::from_secs(5), async || {
        asked.set(asked.get() + 1);
        (asked.get() == 3).then_some(asked.get())
    });
    assert_eq!(third.await, 3);
}

#[tokio::test]
#[should_panic(expected = "in vain for: a miracle")]
async fn waiting_in_vain_fails_and_says_for_what() {
    eventually("a miracle", Duration::from_millis(50), async || None).await
}

#[tokio::test]
async fn the_client_sends_what_it_was_given_and_hands_back_the_answer() {
    let server = MockServer::start().await;
    let created = ResponseTemplate::new(201).insert_header("etag", "\"1\"").set_body_json(json!({"id": "a"}));
    let to_mappings =
        Mock::given(method("POST")).and(path("/api/v1/mappings")).and(header("authorization", "Bearer k"));
    to_mappings.and(body_json(json!({"program_id": 1044}))).respond_with(created).expect(1).mount(&server).await;
    let webhook = Mock::given(method("POST")).and(path("/webhooks/marketo")).and(header("content-type", "text/plain"));
    webhook.respond_with(ResponseTemplate::new(401)).expect(1).mount(&server).await;

    let api = Api::new(&server.uri()).with_key("k");
    let answer = api.post("mappings", &json!({"program_id": 1044})).await.expect(201);
    assert_eq!((answer.json()["id"].as_str(), answer.header("etag")), (Some("a"), "\"1\""));
    api.post_bytes("/webhooks/marketo", "{", "text/plain").await.expect(401);
    for answer in
        [api.get("x").await, api.put("x", &json!(1)).await, api.patch("x", &json!(1)).await, api.delete("x").await]
    {
        answer.expect(404);
    }
    drop(server);
    assert!(Api::new("http://127.0.0.1:1").try_get("/healthz").await.is_err());
}
