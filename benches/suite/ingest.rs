//! Webhooks with a durable commit before the answer, against the same server that inserts one row a request through a pool
//! of SQLite writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use campaign_sync::app::Role;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Figure;
use crate::world::{Bench, TOKEN};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 64;

pub async fn run() -> Vec<Figure> {
    // Receives only: what a worker would do with the rows is not ingest.
    let bench = Bench::new(1, Role::Http).await;
    let mapping = bench.map(false).await;
    let dir = tempfile::tempdir().unwrap();
    let (naive, pool) = naive(&dir.path().join("naive.db")).await;
    let filler = "x".repeat(850);
    let mut ours = Vec::new();
    let mut ratios = Vec::new();
    let mut answered = 0;
    let next = Arc::new(AtomicUsize::new(1));
    for round in 0..ROUNDS {
        let url = bench.url("/webhooks/marketo");
        let own = load(&url, bench.program, &filler, &next).await;
        answered += own;
        let theirs = load(&naive, bench.program, &filler, &next).await;
        let per_second = |n: usize| n as f64 / ROUND.as_secs_f64();
        println!("ingest round {round}: ours {:.0}/s, naive pool {:.0}/s", per_second(own), per_second(theirs));
        ours.push(per_second(own));
        ratios.push(own as f64 / theirs.max(1) as f64);
    }
    // What was answered must be there.
    let stored: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM hints").fetch_one(&pool).await.unwrap();
    assert!(stored.0 > 0);
    let stats = bench.get("/api/v1/stats").await;
    let received = stats["ledger"]["received"].as_u64().unwrap();
    assert_eq!(received, answered as u64, "answered and stored differ for mapping {mapping}");
    vec![
        Figure {
            workload: "ingest",
            what: format!("webhooks/s at {CONNECTIONS} connections, SQLite FULL, median"),
            value: median(&mut ours),
            goal: None,
        },
        Figure {
            workload: "ingest",
            what: "ratio to a pool of 8 SQLite writers, median of rounds".to_owned(),
            value: median(&mut ratios),
            goal: Some(("at least", 10.0)),
        },
    ]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Posts as fast as the connections go; how many were answered with 200. On a thread of its own, over plain sockets: an HTTP
/// client costs as much as a server, and here both share the machine.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn load(url: &str, program: i64, filler: &str, next: &Arc<AtomicUsize>) -> usize {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let (host, path) = (host.to_owned(), path.to_owned());
    let (filler, next) = (filler.to_owned(), Arc::clone(next));
    let blast = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let end = Instant::now() + ROUND;
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..CONNECTIONS {
                let (host, path, filler, next) = (host.clone(), path.clone(), filler.clone(), Arc::clone(&next));
                tasks.spawn(async move {
                    let mut connection = Connection::open(&host).await;
                    let mut done = 0;
                    while Instant::now() < end {
                        let lead = next.fetch_add(1, Ordering::Relaxed);
                        let body = format!(
                            r#"{{"v":1,"event":"program_member.changed","leadId":{lead},"programId":{program},"filler":"{filler}"}}"#
                        );
                        done += usize::from(connection.post(&host, &path, &body).await == StatusCode::OK);
                    }
                    done
                });
            }
            tasks.join_all().await.into_iter().sum()
        })
    };
    tokio::task::spawn_blocking(blast).await.unwrap()
}

/// One connection that is kept alive.
struct Connection {
    stream: tokio::net::TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(host: &str) -> Self {
        let stream = tokio::net::TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::with_capacity(4096) }
    }

    async fn post(&mut self, host: &str, path: &str, body: &str) -> StatusCode {
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.read.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the server closed the connection");
            if let Some(status) = whole(&self.read) {
                return status;
            }
        }
    }
}

/// The status of an answer that has arrived up to its `Content-Length`.
fn whole(answer: &[u8]) -> Option<StatusCode> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.trim().parse().unwrap();
    (answer.len() >= head + length).then(|| text[9..12].parse().unwrap())
}

/// The server one would write first: a pool of connections, one durable insert a request.
async fn naive(path: &std::path::Path) -> (String, SqlitePool) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE hints (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").execute(&pool).await.unwrap();
    let insert =
        async |State(pool): State<SqlitePool>, body: String| match sqlx::query("INSERT INTO hints (body) VALUES ($1)")
            .bind(body)
            .execute(&pool)
            .await
        {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
    let router = axum::Router::new().route("/", post(insert)).with_state(pool.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, pool)
}
