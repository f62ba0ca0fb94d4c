//! The benchmark suite: `cargo bench --features sandbox [-- WORKLOAD]`.
//!
//! Each workload runs the service in its release configuration against the emulated vendors, next to a limit or a peer in
//! the same run where there is one, and counts only what it finds stored or written afterwards. Ends with a table and a
//! line of JSON. Only ratios of one run mean anything; the machines are shared.
#![expect(clippy::unwrap_used, reason = "a workload that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]

#[path = "suite/asked.rs"]
mod asked;
#[path = "suite/calls.rs"]
mod calls;
#[path = "suite/claims.rs"]
mod claims;
#[path = "suite/compared.rs"]
mod compared;
#[path = "suite/costs.rs"]
mod costs;
#[path = "suite/deliveries.rs"]
mod deliveries;
#[path = "suite/drain.rs"]
mod drain;
#[path = "suite/dup.rs"]
mod dup;
#[path = "suite/fanout.rs"]
mod fanout;
#[path = "suite/filled.rs"]
mod filled;
#[path = "suite/flat.rs"]
mod flat;
#[path = "suite/generated.rs"]
mod generated;
#[path = "suite/ground.rs"]
mod ground;
#[path = "suite/growth.rs"]
mod growth;
#[path = "suite/ingest.rs"]
mod ingest;
#[path = "suite/known.rs"]
mod known;
#[path = "suite/latency.rs"]
mod latency;
#[path = "suite/limited.rs"]
mod limited;
#[path = "suite/load.rs"]
mod load;
#[path = "suite/log.rs"]
mod log;
#[path = "suite/memory.rs"]
mod memory;
#[path = "suite/naive.rs"]
mod naive;
#[path = "suite/open.rs"]
mod open;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/peers.rs"]
mod peers;
#[path = "suite/peopled.rs"]
mod peopled;
#[path = "suite/reconcile.rs"]
mod reconcile;
#[path = "suite/replicas.rs"]
mod replicas;
#[path = "suite/restart.rs"]
mod restart;
#[path = "suite/same_rows.rs"]
mod same_rows;
#[path = "suite/sink.rs"]
mod sink;
#[path = "suite/spread.rs"]
mod spread;
#[path = "suite/sync_probe.rs"]
mod sync_probe;
#[path = "suite/visited.rs"]
mod visited;
#[path = "suite/world.rs"]
mod world;

use ground::{Launch, Tables};
use serde_json::{Value, json};

/// A figure with its goal.
pub struct Figure {
    pub workload: &'static str,
    pub what: String,
    pub value: f64,
    pub goal: Option<(&'static str, f64)>,
}

impl Figure {
    fn met(&self) -> &'static str {
        match self.goal {
            Some(("at most", goal)) if self.value <= goal => "met",
            Some(("at least", goal)) if self.value >= goal => "met",
            Some(_) => "MISSED",
            None => "",
        }
    }
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut figures = Vec::new();
    if wanted("ingest") {
        figures.extend(runtime.block_on(ingest::run()));
    }
    if wanted("ingest.open") {
        figures.extend(runtime.block_on(open::run()));
    }
    if wanted("ingest.dup") {
        figures.extend(runtime.block_on(dup::run()));
    }
    if wanted("calls") {
        figures.extend(runtime.block_on(calls::run()));
    }
    if wanted("latency") {
        figures.extend(runtime.block_on(latency::run()));
    }
    if wanted("fanout") {
        figures.extend(runtime.block_on(fanout::run()));
    }
    if wanted("pages") {
        figures.extend(runtime.block_on(pages::run()));
    }
    if wanted("deliveries") {
        figures.extend(runtime.block_on(deliveries::run()));
    }
    if wanted("reconcile") {
        figures.extend(runtime.block_on(compared::run()));
    }
    if wanted("drain") {
        figures.extend(runtime.block_on(drain::run()));
    }
    if wanted("drain.limited") {
        figures.extend(runtime.block_on(limited::run()));
    }
    if wanted("flat") {
        figures.extend(runtime.block_on(flat::run()));
    }
    if wanted("restart") {
        figures.extend(runtime.block_on(restart::run()));
    }
    if wanted("memory") {
        figures.extend(runtime.block_on(memory::run()));
    }
    if wanted("replicas") {
        figures.extend(runtime.block_on(replicas::run()));
    }
    if wanted("growth") {
        figures.extend(runtime.block_on(growth::run()));
    }
    println!("\n{:10} {:64} {:>12}  goal", "workload", "what", "value");
    for figure in &figures {
        let goal = figure.goal.map_or_else(String::new, |(word, goal)| format!("{word} {goal} {}", figure.met()));
        println!("{:10} {:64} {:>12.2}  {goal}", figure.workload, figure.what, figure.value);
    }
    let list: Vec<Value> = figures
        .iter()
        .map(|f| json!({"workload": f.workload, "what": f.what, "value": f.value, "goal": f.goal.map(|g| g.1), "met": f.met()}))
        .collect();
    println!("{}", json!({"figures": list}));
}
