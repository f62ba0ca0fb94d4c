//! What the documents tell people to type, typed: each block of `sh`, one after the other in one shell.
//!
//! Nothing is changed but what differs from one machine to another: ports, and the ids of the world at hand.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World, address};
use crate::support::{Launch, eventually, on_both};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of `sh` of a document, in order.
fn blocks(document: &str) -> Vec<String> {
    blocks_of("sh", document)
}

fn blocks_of(language: &str, document: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
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

/// Guides whose blocks are run below; that to the emulators has a test of its own.
const GUIDES: [&str; 8] = [
    "check.md",
    "match-statuses.md",
    "plan-and-apply.md",
    "map-a-program.md",
    "reconcile.md",
    "flow-actions.md",
    "subscribe.md",
    "settle-a-member.md",
];

#[test]
fn no_guide_has_blocks_that_nobody_runs() {
    for entry in fs::read_dir(root().join("docs/guides")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let has_blocks = !blocks(&fs::read_to_string(&path).unwrap()).is_empty();
        let run = GUIDES.contains(&name.as_str()) || name == "emulators.md";
        assert_eq!(has_blocks, run, "{name}: run its blocks here, or mark them console");
    }
}

/// A guide with the ids and addresses of the world at hand, and curl failing where it would show an error.
fn guide(name: &str, running: &Running) -> String {
    let text = fs::read_to_string(root().join("docs/guides").join(name)).unwrap();
    let world = &running.world;
    let at_hand = [
        ("localhost:8080", running.service.url().trim_start_matches("http://").to_owned()),
        ("1044", world.program.to_string()),
        ("7014S00000097HcQAI", world.campaign.to_string()),
        ("0198c...", running.mapping.clone()),
        ("318592", world.marketo_id("Lovelace").unwrap().to_string()),
        ("a@b.c", address("Bystander0")),
        ("00Q4S000002sSacUAE", world.lead_named("Bystander1").to_string()),
        ("curl -s", "curl -fsS -".to_owned()),
    ];
    at_hand.iter().fold(text, |text, (written, meant)| text.replace(written, meant))
}

/// Runs the blocks of a guide, and gives what they print.
async fn follow(name: &str, running: &Running, database: &str, member: &str, dir: &Path) -> String {
    let mapping = &running.mapping;
    let script =
        format!("export KEY='{KEY}' MAPPING='{mapping}' MEMBER='{member}'\n{}", blocks(&guide(name, running)).concat());
    let output = shell(script, dir, |launch| running.world.configured(launch).set("database.url", database)).await;
    assert!(output.status.success(), "{name}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

on_both! {
    async fn the_guides_work_as_written(database: TestDatabase) {
        calm_only!("looks at single answers");
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Hopper", "Attended"), ("Lovelace", "Registered")]);
        let running = Running::start(world, &database).await;
        let deleted = running.api.delete(&format!("mappings/{}", running.mapping)).await;
        assert!(deleted.status.is_success(), "{}", deleted.text);
        let dir = tempfile::tempdir().unwrap();
        let (url, dir) = (database.url.as_str(), dir.path());

        // Before anything is mapped.
        follow("check.md", &running, url, "", dir).await;
        let matched = follow("match-statuses.md", &running, url, "", dir).await;
        assert!(matched.contains("\"compatible\":true"), "{matched}");
        let plan = follow("plan-and-apply.md", &running, url, "", dir).await;
        assert!(plan.starts_with("{\"plan\":"), "{plan}");
        for name in ["map-a-program.md", "move-from-the-native-sync.md"] {
            for body in blocks_of("json", &guide(name, &running)) {
                // A part of a body stands alone now and then.
                let whole = if body.starts_with('{') { body } else { format!("{{{body}}}") };
                let body: Value = serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{name}: {error}: {whole}"));
                if body.get("program_id").is_some() {
                    running.api.post("mappings?dry_run=true", &body).await.expect(200);
                }
            }
        }

        let bodies = blocks_of("json", &guide("map-a-program.md", &running));
        fs::write(dir.join("mapping.json"), &bodies[0]).unwrap();
        let made: Value = serde_json::from_str(&follow("map-a-program.md", &running, url, "", dir).await).unwrap();
        let running = Running { mapping: made["id"].as_str().unwrap().to_owned(), ..running };
        running.runs_end().await;
        running.settle().await;
        let compared = follow("reconcile.md", &running, url, "", dir).await;
        assert!(!compared.is_empty());
        follow("flow-actions.md", &running, url, "", dir).await;
        follow("subscribe.md", &running, url, "", dir).await;

        running.world.change_in_salesforce("Hopper", "Invited");
        let member = eventually("Hopper to be held", SOON, async || {
            let member = running.member("Hopper").await;
            (member["sync_state"] == "diverged").then_some(member)
        })
        .await;
        let settled = follow("settle-a-member.md", &running, url, member["id"].as_str().unwrap(), dir).await;
        assert!(settled.contains("\"regression\""), "{settled}");
        running.both_have("Hopper", Some("Attended")).await;
        running.settle().await;
        assert_eq!(running.member("Hopper").await["reason"], json!(null));
    }

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
        let made: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(made["program_id"], running.world.program, "{made:#}");
        let id = made["id"].as_str().unwrap();
        eventually("the first sync", SOON, async || {
            let bridge = running.api.get(&format!("mappings/{id}")).await.expect(200).json()["bridge"].clone();
            (bridge["in_sync"] == bridge["marketo_members"]).then_some(())
        })
        .await;
    }
}
