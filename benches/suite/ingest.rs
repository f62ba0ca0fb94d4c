//! Webhooks with a durable commit before the answer, against servers that commit each request by itself through a pool of
//! SQLite writers: one that only keeps the body, and one that stores what we store.

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
    let (mut ours, mut to_bare, mut to_same, mut to_refusal) = (vec![], vec![], vec![], vec![]);
    let (mut answered, mut bodies, mut hints) = (0, 0, 0);
    let next = Arc::new(AtomicUsize::new(1));
    for round in 0..ROUNDS {
        let url = bench.url("/webhooks/marketo");
        let own = load(&url, TOKEN, bench.program, &filler, &next, StatusCode::OK).await;
        let bare = load(&format!("{naive}bare"), TOKEN, bench.program, &filler, &next, StatusCode::OK).await;
        let same = load(&format!("{naive}same"), TOKEN, bench.program, &filler, &next, StatusCode::OK).await;
        // The same server with the store left out: it reads the body and refuses the token.
        let refused = load(&url, "wrong", bench.program, &filler, &next, StatusCode::UNAUTHORIZED).await;
        (answered, bodies, hints) = (answered + own, bodies + bare, hints + same);
        let per_second = |n: usize| n as f64 / ROUND.as_secs_f64();
        println!(
            "ingest round {round}: ours {:.0}/s; pool of 8 writers: the bare body {:.0}/s, what we store {:.0}/s; refused {:.0}/s",
            per_second(own),
            per_second(bare),
            per_second(same),
            per_second(refused)
        );
        ours.push(per_second(own));
        to_bare.push(own as f64 / bare.max(1) as f64);
        to_same.push(own as f64 / same.max(1) as f64);
        to_refusal.push(own as f64 / refused.max(1) as f64);
    }
    // What was answered must be there.
    for (table, answered) in [("bare", bodies), ("inbox", hints)] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let stored: (i64,) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
        assert_eq!(stored.0, i64::try_from(answered).unwrap(), "{table}");
    }
    let stats = bench.get("/api/v1/stats").await;
    let received = stats["ledger"]["received"].as_u64().unwrap();
    assert_eq!(received, answered as u64, "answered and stored differ for mapping {mapping}");
    let figure = |what: &str, values: &mut [f64], goal| Figure {
        workload: "ingest",
        what: format!("{what}, median of rounds ({:.1} to {:.1})", least(values), most(values)),
        value: median(values),
        goal,
    };
    vec![
        figure(&format!("webhooks/s at {CONNECTIONS} connections, SQLite FULL"), &mut ours, None),
        figure("ratio to 8 SQLite writers that store what we store", &mut to_same, Some(("at least", 10.0))),
        figure("ratio to 8 SQLite writers that keep the bare body", &mut to_bare, Some(("at least", 10.0))),
        figure("ratio to the same server without the store", &mut to_refusal, Some(("at least", 0.6))),
    ]
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Posts as fast as the connections go; how many were answered as they should be. On a thread of its own, over plain sockets: an HTTP
/// client costs as much as a server, and here both share the machine.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn load(
    url: &str,
    token: &'static str,
    program: i64,
    filler: &str,
    next: &Arc<AtomicUsize>,
    wanted: StatusCode,
) -> usize {
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
                        done += usize::from(connection.post(&host, &path, token, &body).await == wanted);
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

    async fn post(&mut self, host: &str, path: &str, token: &str, body: &str) -> StatusCode {
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
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

/// The servers one would write first: a pool of connections, one durable transaction a request. `bare` keeps the body in a table
/// without any index; `same` has our schema and stores what we do, in plain statements.
async fn naive(path: &std::path::Path) -> (String, SqlitePool) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await.unwrap();
    sqlx::migrate!("migrations/sqlite").run(&pool).await.unwrap();
    for sql in
        ["CREATE TABLE bare (id INTEGER PRIMARY KEY, body TEXT NOT NULL)", "INSERT INTO lanes (id) VALUES ('lane')"]
    {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    let bare = async |State(pool): State<SqlitePool>, body: String| {
        let stored = sqlx::query("INSERT INTO bare (body) VALUES ($1)").bind(body).execute(&pool).await;
        answer(stored.map(drop))
    };
    let same = async |State(pool): State<SqlitePool>, body: String| answer(keep(&pool, &body).await);
    let router = axum::Router::new().route("/bare", post(bare)).route("/same", post(same)).with_state(pool.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, pool)
}

/// The hint, the work that waits (at most one row for each subject), the ledger, the lane's turn, and when the source was heard of.
async fn keep(pool: &SqlitePool, body: &str) -> Result<(), sqlx::Error> {
    let parsed: serde_json::Value = serde_json::from_str(body).unwrap();
    let hint = format!(r#"{{"programId":{},"leadId":{}}}"#, parsed["programId"], parsed["leadId"]);
    let subject = format!("marketo:{}", parsed["leadId"]);
    let id = uuid::Uuid::now_v7().to_string();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let window = now - now % 3_600_000;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let (change,): (String,) = sqlx::query_as(
        "INSERT INTO outbox (id, lane, mapping_id, kind, subject, source, payload, state, due_at, window_start, created_at)
         VALUES ($1, 'lane', 'mapping', 'hint', $2, 'marketo', $3, 'available', $4, $5, $4)
         ON CONFLICT (lane, subject) WHERE kind = 'hint' AND state IN ('available', 'retryable') DO UPDATE SET payload = NULL
         RETURNING id",
    )
    .bind(&id)
    .bind(subject)
    .bind(&hint)
    .bind(now)
    .bind(window)
    .fetch_one(&mut *tx)
    .await?;
    let fresh = i64::from(change == id);
    sqlx::query(
        "INSERT INTO ledger (mapping_id, window_start, received, waiting, superseded) VALUES ('mapping', $1, 1, $2, 1 - $2)
         ON CONFLICT (mapping_id, window_start) DO UPDATE SET received = received + 1, waiting = waiting + excluded.waiting,
           superseded = superseded + excluded.superseded",
    )
    .bind(window)
    .bind(fresh)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE lanes SET next_due_at = $1 WHERE id = 'lane' AND (next_due_at IS NULL OR next_due_at > $1)")
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO inbox (source, position, change_id, hint, received_at) VALUES ('marketo', 0, $1, $2, $3)")
        .bind(change)
        .bind(hint)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO sources VALUES ('marketo', $1) ON CONFLICT (source) DO UPDATE SET heard_at = excluded.heard_at",
    )
    .bind(now)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

fn answer(stored: Result<(), sqlx::Error>) -> StatusCode {
    if stored.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
