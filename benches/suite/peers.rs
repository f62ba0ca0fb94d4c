//! Job queues of others beside us: a program of its own with dependencies of its own (`benches/peers`), which is built when it is first
//! wanted. It works on the server and with the durability that ours gets, in turns with ours.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::ground::TestDatabase;

pub const PEERS: [&str; 2] = ["graphile_worker", "apalis"];

/// A queue and its database.
pub struct Peer {
    pub name: &'static str,
    database: TestDatabase,
}

impl Peer {
    /// Those of `PEERS` (`none` for none); none without a server.
    pub async fn each() -> Vec<Self> {
        let wanted = std::env::var("PEERS").unwrap_or_else(|_| PEERS.join(","));
        let mut peers = Vec::new();
        for name in PEERS.into_iter().filter(|name| wanted.split(',').any(|one| one.trim() == *name)) {
            let Some(database) = TestDatabase::postgres().await else { break };
            built();
            peers.push(Self { name, database });
        }
        peers
    }

    /// One of `one`, `many`, `drain` and `latency`; what it says of itself, having looked into its tables.
    pub async fn run(&self, what: &str, jobs: usize) -> Value {
        let mut command = Command::new(built());
        command.args([self.name, what, &self.database.url, &jobs.to_string()]).stderr(Stdio::inherit());
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(output.status.success(), "{} {what}", self.name);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Jobs a second.
    pub async fn rate(&self, what: &str, jobs: usize) -> f64 {
        jobs as f64 / self.run(what, jobs).await["seconds"].as_f64().unwrap()
    }
}

/// The program, built once in the release configuration. `PEERS_BINARY` names one that is built already.
fn built() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Ok(path) = std::env::var("PEERS_BINARY") {
            return path;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (manifest, target) = (root.join("benches/peers/Cargo.toml"), root.join("target/peers"));
        println!("building the peers");
        let mut build = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
        let status = build.arg("--target-dir").arg(&target).status().unwrap();
        assert!(status.success(), "the peers cannot be built; PEERS=none leaves them out");
        target.join("release/peers").to_str().unwrap().to_owned()
    })
}
