//! The servers one would write first: a pool of connections, one durable transaction a request.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

/// Connections of the pool on a server.
const SERVED: u32 = 16;

/// Eight writers of a file. `bare` keeps the body in a table without any index; `same` has our schema and stores what we do, in plain
/// statements.
pub async fn on_file(path: &std::path::Path) -> (String, SqlitePool) {
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
    let router = Router::new().route("/bare", post(bare)).route("/same", post(same)).with_state(pool.clone());
    (served(router).await, pool)
}

/// Sixteen connections to a server, an insert of the body for each request.
pub async fn on_server(url: &str) -> (String, PgPool) {
    let pool = PgPoolOptions::new().max_connections(SERVED).min_connections(SERVED).connect(url).await.unwrap();
    sqlx::query("CREATE TABLE bare (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body TEXT NOT NULL)")
        .execute(&pool)
        .await
        .unwrap();
    let bare = async |State(pool): State<PgPool>, body: String| {
        let stored = sqlx::query("INSERT INTO bare (body) VALUES ($1)").bind(body).execute(&pool).await;
        answer(stored.map(drop))
    };
    (served(Router::new().route("/bare", post(bare)).with_state(pool.clone())).await, pool)
}

async fn served(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
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
