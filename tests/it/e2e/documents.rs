//! What the documents tell people to type, typed: each block of `sh`, one after the other in one shell.
//!
//! Nothing is changed but what differs from one machine to another: ports, and the ids of the world at hand.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use super::running::Running;
use super::world::SOON;
use crate::support::{Launch, eventually, on_both};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of `sh` of a document, in order.
fn blocks(document: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

/// Runs it in a directory, with our binary first in PATH, and ends whatever it left running.
async fn shell(script: String, dir: &Path, settings: impl FnOnce(Launch) -> Launch) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_campaign-sync")).parent().unwrap().to_str().unwrap();
    let path = format!("{binary}:{}", std::env::var("PATH").unwrap_or_default());
    let script = format!("cd '{}'\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{script}", dir.display());
    let launch = settings(Launch::program("bash", &["-euo", "pipefail", "-c", &script]).env("PATH", &path));
    tokio::task::spawn_blocking(move || launch.command().output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}\n--- stderr\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_quick_start_works_as_written() {
    let document = fs::read_to_string(root().join("docs/quick-start.md")).unwrap();
    let blocks = blocks(&document);
    assert_eq!(blocks.len(), 6, "a block for each step");
    // Free ones, held until all are chosen.
    let listeners: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<String> = listeners.iter().map(|l| l.local_addr().unwrap().port().to_string()).collect();
    drop(listeners);
    let script = blocks.concat();
    let script =
        ["9001", "9002", "9003", "8080"].iter().zip(&ports).fold(script, |s, (port, free)| s.replace(port, free));
    let dir = tempfile::tempdir().unwrap();
    for name in ["docs", "integrations"] {
        symlink(root().join(name), dir.path().join(name)).unwrap();
    }
    // The default of the service is in the text of the page, and is not free here.
    let listen = format!("127.0.0.1:{}", ports[3]);
    let script = script.replace("init --no-input", &format!("init --no-input --listen {listen}"));
    let output = tokio::time::timeout(SOON, shell(script, dir.path(), |launch| launch)).await.expect("it never ends");
    assert!(output.status.success(), "{}", said(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    for part in ["ok    Marketo's to http://", "ok    Salesforce's to http://", "campaign.member.status_changed"] {
        assert!(shown.contains(part), "{part} is not in {}", said(&output));
    }
}

#[tokio::test]
async fn the_guide_to_the_emulators_works_as_written() {
    let guide = fs::read_to_string(root().join("docs/guides/emulators.md")).unwrap();
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<String> = listeners.iter().map(|l| l.local_addr().unwrap().port().to_string()).collect();
    drop(listeners);
    let script = blocks(&guide).concat();
    let script = ["8070", "8071", "8072"].iter().zip(&ports).fold(script, |s, (port, free)| s.replace(port, free));
    let dir = tempfile::tempdir().unwrap();
    symlink(root().join("docs"), dir.path().join("docs")).unwrap();
    let output = tokio::time::timeout(SOON, shell(script, dir.path(), |launch| launch)).await.expect("it never ends");
    assert!(output.status.success(), "{}", said(&output));
    let worlds = fs::read_to_string(dir.path().join("worlds.json")).unwrap();
    assert!(worlds.contains("\"Reader\"") && worlds.contains("alan@example.com"), "{worlds}");
}

/// Calls that a page names, `METHOD /path` and perhaps a body, each between backticks; a path alone has the method before it.
fn calls(page: &str) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let mut method = String::new();
        for code in line.split('`').skip(1).step_by(2) {
            match code.split_once(' ') {
                Some((verb, path)) if path.starts_with('/') => {
                    method = verb.to_owned();
                    calls.push((method.clone(), path.to_owned(), String::new()));
                }
                _ if code.starts_with("/s") || code.starts_with("/m") => {
                    calls.push((method.clone(), code.to_owned(), String::new()))
                }
                _ if code.starts_with("{\"") && !method.is_empty() => calls.last_mut().unwrap().2 = code.to_owned(),
                _ => {}
            }
        }
    }
    calls
}

#[tokio::test]
async fn every_call_that_the_guide_to_the_emulators_names_is_there() {
    let guide = fs::read_to_string(root().join("docs/guides/emulators.md")).unwrap();
    let world = super::world::World::new().await;
    let http = reqwest::Client::new();
    let calls = calls(&guide);
    assert!(calls.len() > 20, "{calls:?}");
    for (method, path, body) in calls {
        let url = format!("{}{path}", world.emulators.control_url);
        let body = body.replace("701...", &world.campaign.to_string());
        let request = http.request(method.parse().unwrap(), url).header("content-type", "application/json");
        let answer = request.body(body.clone()).send().await.unwrap();
        // What needs a body is refused without one, and `{id}` is nobody's: neither is a call that does not exist.
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let known = !text.is_empty() && status != 405;
        assert!(if body.is_empty() { known } else { status == 200 }, "{method} {path} {body}: {status} {text}");
    }
}

on_both! {
    async fn the_readme_says_how_to_make_a_key_and_to_map(database: TestDatabase) {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let block = blocks(&readme).into_iter().find(|block| block.contains("keys create")).expect("how to make a key");
        let running = Running::new(&database).await;
        let address = running.service.url().trim_start_matches("http://");
        let script = block
            .replace("target/release/campaign-sync", "campaign-sync")
            .replace("localhost:8080", address)
            .replace("1044", &running.world.program.to_string())
            .replace("7014S00000097HcQAI", &running.world.campaign.to_string());
        // Mapped by the set-up; the page maps it anew.
        let deleted = running.api.delete(&format!("mappings/{}", running.mapping)).await;
        assert!(deleted.status.is_success(), "{}", deleted.text);
        let dir = tempfile::tempdir().unwrap();
        let output = shell(script, dir.path(), |launch| running.world.configured(launch).set("database.url", &database.url)).await;
        assert!(output.status.success(), "{}", said(&output));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(made["program_id"], running.world.program, "{made:#}");
        let id = made["id"].as_str().unwrap();
        eventually("the first sync", SOON, async || {
            let bridge = running.api.get(&format!("mappings/{id}")).await.expect(200).json()["bridge"].clone();
            (bridge["in_sync"] == bridge["marketo_members"]).then_some(())
        })
        .await;
    }
}
