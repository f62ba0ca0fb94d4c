//! Webhooks with a durable commit before the answer, over few connections and many, in turns with servers that commit each request by
//! itself, with our own server refusing the token (everything but the store), and on Postgres with what job queues take in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use campaign_sync::app::Role;

use crate::Figure;
use crate::asked::{databases, number, numbers, rounds};
use crate::ground::{Tables, TestDatabase, name_of};
use crate::load::{Load, Loaded, Next};
use crate::naive;
use crate::peers::Peer;
use crate::spread::{Spread, percentile};
use crate::sync_probe::syncs;
use crate::world::{Bench, TOKEN};

/// At which the goals are set.
const MANY: usize = 64;

pub async fn run() -> Vec<Figure> {
    let connections = numbers("INGEST_CONNECTIONS", &[1, 16, MANY, 256]);
    let mut figures = Vec::new();
    for database in databases().await {
        let mut ground = Ground::new(&database).await;
        for count in &connections {
            figures.extend(ground.compare(*count).await);
        }
        ground.check().await;
    }
    figures
}

/// A 1 KB webhook of Marketo's, each about somebody else.
pub fn webhook(program: i64, token: &'static str, next: &Arc<AtomicUsize>) -> Next {
    let (filler, next) = ("x".repeat(850), Arc::clone(next));
    Arc::new(move || {
        let lead = next.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            r#"{{"v":1,"event":"program_member.changed","leadId":{lead},"programId":{program},"filler":"{filler}"}}"#
        );
        (format!("Authorization: Bearer {token}\r\n"), body)
    })
}

/// Our service, and who is measured beside it.
struct Ground<'a> {
    database: &'a TestDatabase,
    bench: Bench,
    next: Arc<AtomicUsize>,
    answered: usize,
    beside: Vec<Beside>,
    peers: Vec<Peer>,
    dir: tempfile::TempDir,
    _kept: TestDatabase,
}

/// A server that commits each request by itself.
struct Beside {
    what: &'static str,
    url: String,
    goal: f64,
    answered: usize,
    table: &'static str,
    tables: Tables,
}

impl<'a> Ground<'a> {
    async fn new(database: &'a TestDatabase) -> Self {
        // Receives only: what a worker would do with the rows is not ingest.
        let bench = Bench::over(1, Role::Http, &database.url).await;
        bench.map(false).await;
        let dir = tempfile::tempdir().unwrap();
        let kept = database.fresh().await;
        let beside = |what, url, goal, table, tables: &Tables| Beside {
            what,
            url,
            goal,
            answered: 0,
            table,
            tables: tables.clone(),
        };
        let (beside, peers) = if name_of(database) == "SQLite" {
            let (url, pool) = naive::on_file(&dir.path().join("naive.db")).await;
            let tables = Tables::File(pool);
            let bare = beside("8 SQLite writers that keep the bare body", format!("{url}bare"), 10.0, "bare", &tables);
            let same =
                beside("8 SQLite writers that store what we store", format!("{url}same"), 10.0, "inbox", &tables);
            (vec![bare, same], Vec::new())
        } else {
            let (url, pool) = naive::on_server(&kept.url).await;
            let tables = Tables::Server(pool);
            let one = beside("one insert of the bare body a request", format!("{url}bare"), 2.5, "bare", &tables);
            (vec![one], Peer::each().await)
        };
        Self { database, bench, next: Arc::new(AtomicUsize::new(1)), answered: 0, beside, peers, dir, _kept: kept }
    }

    async fn compare(&mut self, connections: usize) -> Vec<Figure> {
        let (name, rounds) = (name_of(self.database), rounds(5));
        let time = Duration::from_secs_f64(number("INGEST_SECONDS", 3.0));
        let load = Load { connections, time, rate: None };
        let per_second = |loaded: &Loaded| loaded.good as f64 / time.as_secs_f64();
        let (mut ours, mut to_refusal, mut p50, mut p99, mut over) = (vec![], vec![], vec![], vec![], vec![]);
        let mut to_beside = vec![Vec::new(); self.beside.len()];
        let mut to_peers = Vec::new();
        for round in 0..rounds {
            let url = self.bench.url("/webhooks/marketo");
            let mut sync = syncs(self.dir.path(), 100);
            let mut own = load.post(&url, StatusCode::OK, webhook(self.bench.program, TOKEN, &self.next)).await;
            self.answered += own.good;
            let rate = per_second(&own);
            let (half, most) = (percentile(&mut own.millis, 50), percentile(&mut own.millis, 99));
            over.push(half - 1.2 * percentile(&mut sync, 50));
            let mut told = format!("ours {rate:.0}/s, p50 {half:.2}, p99 {most:.2} ms");
            for (beside, ratios) in self.beside.iter_mut().zip(&mut to_beside) {
                let next = webhook(self.bench.program, TOKEN, &self.next);
                let other = load.post(&beside.url, StatusCode::OK, next).await;
                beside.answered += other.good;
                ratios.push(own.good as f64 / other.good.max(1) as f64);
                told += &format!("; {}: {:.0}/s", beside.what, per_second(&other));
            }
            // The same server with the store left out: it reads the body and refuses the token.
            let next = webhook(self.bench.program, "wrong", &self.next);
            let refused = load.post(&url, StatusCode::UNAUTHORIZED, next).await;
            to_refusal.push(own.good as f64 / refused.good.max(1) as f64);
            told += &format!("; refused {:.0}/s", per_second(&refused));
            if connections == MANY && !self.peers.is_empty() {
                let mut fastest = 0.0_f64;
                for peer in &self.peers {
                    let enqueued = peer.rate("one", number("PEER_JOBS", 20_000)).await;
                    told += &format!("; {} {enqueued:.0}/s", peer.name);
                    fastest = fastest.max(enqueued);
                }
                to_peers.push(rate / fastest);
            }
            println!("ingest {name} {connections} connections, round {round}: {told}");
            ours.push(rate);
            p50.push(half);
            p99.push(most);
        }
        let figure = |what: &str, values: &[f64], goal| {
            let spread = Spread::of(values);
            let what = format!("{name}, {connections} connections: {what}{}", spread.told(rounds));
            Figure { workload: "ingest", what, value: spread.median, goal }
        };
        // Goals are set at 64 connections, and at one.
        let at = |wanted: usize, goal: (&'static str, f64)| (connections == wanted).then_some(goal);
        let mut figures = vec![
            figure("webhooks/s", &ours, None),
            figure("p50 ms", &p50, None),
            figure("p99 ms", &p99, None),
            figure("to the same server without the store", &to_refusal, at(MANY, ("at least", 0.6))),
        ];
        for (beside, ratios) in self.beside.iter().zip(&to_beside) {
            figures.push(figure(&format!("to {}", beside.what), ratios, at(MANY, ("at least", beside.goal))));
        }
        if !to_peers.is_empty() {
            figures.push(figure("to the best queue that 16 producers fill", &to_peers, Some(("at least", 5.0))));
        }
        if connections == 1 {
            figures.push(figure("p50 ms beyond 1.2 syncs of the disk", &over, Some(("at most", 0.3))));
        }
        figures
    }

    /// What was answered must be there.
    async fn check(&self) {
        for beside in &self.beside {
            let stored = crate::known::count(&beside.tables, beside.table).await;
            assert_eq!(stored, beside.answered, "{}", beside.what);
        }
        let stats = self.bench.get("/api/v1/stats").await;
        assert_eq!(stats["ledger"]["received"].as_u64().unwrap(), self.answered as u64, "answered and stored differ");
    }
}
