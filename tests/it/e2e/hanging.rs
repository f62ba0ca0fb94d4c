//! A database that hangs: tables that another session has locked, connections whose other end is dead and says nothing. Whoever asks is
//! answered in time, and everything goes on once it can.

use std::time::Duration;

use campaign_sync::domain::clock::Clock;
use serde_json::json;

use crate::support::{Api, OwnServer, Wire, eventually};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, TOKEN, World};

/// The longest that a statement may take in these cases.
const LIMIT: &str = "500ms";
/// Beyond the limit: an answer of the server, on a machine that compiles beside it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

async fn on(url: &str) -> Running {
    let world = World::new().await;
    world.bystanders(4);
    let launch = world.launch_on(url).set("database.statement_timeout", LIMIT).set("database.max_connections", "4");
    Running::launch(world, launch).await
}

/// Somebody joins the program, and nobody tells of it by itself.
fn joins(running: &Running, name: &str) -> String {
    running.world.emulators.marketo.with(|world| world.campaigns.values_mut().for_each(|c| c.active = false));
    let id = running.world.marketo_person(name);
    running.world.set_in_marketo(name, "Invited");
    json!({"event": "program_member.changed", "leadId": id, "programId": running.world.program}).to_string()
}

/// The answer to a webhook, which comes in time.
async fn tell(running: &Running, body: &str) -> (u16, bool) {
    let door = Api::new(running.service.url()).with_header("authorization", &format!("Bearer {TOKEN}"));
    let sent = door.post_bytes("/webhooks/marketo", body.to_owned(), "application/json");
    let answer = tokio::time::timeout(ANSWERED_WITHIN, sent).await.expect("an answer in time");
    (answer.status.as_u16(), answer.headers.contains_key("retry-after"))
}

/// What is told of now arrives.
async fn goes_on(running: &Running, name: &str, body: &str) {
    eventually("the webhook to be taken", SOON, async || (tell(running, body).await.0 == 200).then_some(())).await;
    let there = || running.world.in_salesforce().get(name) == Some(&vec!["Invited".to_owned()]);
    eventually("what was told to arrive", SOON, async || there().then_some(())).await;
    running.settle().await;
    assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_another_session_has_locked_hang_nobody() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("").await else { return };
    let running = on(&server.url()).await;
    let body = joins(&running, "Locked");
    let other = server.lock_tables("outbox, inbox, lanes, members").await;
    assert_eq!(tell(&running, &body).await, (503, true), "a webhook waits for the lock and no longer");
    let api = Api::new(running.service.url()).with_key(KEY);
    let asked = tokio::time::timeout(ANSWERED_WITHIN, api.get("changes")).await.expect("an answer in time");
    assert_eq!(asked.status.as_u16(), 503, "{}", asked.text);
    assert!(asked.headers.contains_key("retry-after"));
    // The database is there, and all others go on: it is asked nothing that is locked.
    running.api.get("/readyz").await.expect(200);
    drop(other);
    goes_on(&running, "Locked", &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_whose_other_end_is_dead_are_given_up() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("").await else { return };
    let wire = Wire::to_socket(server.socket()).await;
    let running = on(&server.url_at(wire.port)).await;
    let body = joins(&running, "Frozen");
    let clock = Clock::system();
    // Nobody hangs up, and nobody will: without a limit of ours these would be waited for until the operating system gives up.
    wire.freeze();
    let ready = tokio::time::timeout(ANSWERED_WITHIN, running.api.get("/readyz")).await.expect("an answer in time");
    assert!(matches!(ready.status.as_u16(), 200 | 503), "{}", ready.text);
    goes_on(&running, "Frozen", &body).await;
    assert!(clock.monotonic() < SOON * 2, "new connections are made in place of the dead ones");
    running.api.get("/readyz").await.expect(200);
}
