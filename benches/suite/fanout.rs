//! What one transaction stores when 200 members have changed: their state, history and events, and a delivery for each
//! subscription; against plain inserts of as many rows into one table of the same database, and the same rows put straight into the same
//! tables, in the same rounds.

use std::time::{Duration, Instant};

use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, QueryBuilder, Sqlite};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Figure;
use crate::ground::{Tables, TestDatabase, name_of};
use crate::log::Log;
use crate::same_rows::SameRows;
use crate::spread::Spread;

const CHANGES: usize = 200;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Bytes of a row of the probe: about the mean of ours.
const BODY: usize = 200;
/// Rows of one statement of the probe, the fastest that was found.
const AT_ONCE: usize = 1_000;

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for subscriptions in [1, 10] {
        for (database, probe) in TestDatabase::each().await.into_iter().zip(TestDatabase::each().await) {
            figures.extend(case(&database, &probe, subscriptions).await);
        }
    }
    figures
}

async fn case(database: &TestDatabase, beside: &TestDatabase, subscriptions: usize) -> [Figure; 3] {
    let mut log = Log::new(database, CHANGES).await;
    for n in 0..subscriptions {
        log.subscribe(&format!("https://example.com/{n}"), true).await;
    }
    let mut probe = Probe::new(beside).await;
    log.change(CHANGES).await;
    let mut same = SameRows::new(database, beside.fresh().await, CHANGES, subscriptions).await;
    // State, history, event; deliveries.
    let rows = CHANGES * (3 + subscriptions);
    let (mut ours, mut ratios, mut to_same) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let own = rate(rows, async || log.change(CHANGES).await).await;
        let limit = rate(rows, async || probe.insert(rows).await).await;
        let tables = rate(rows, async || same.change(CHANGES).await).await;
        println!(
            "fanout {} {subscriptions} round {round}: ours {own:.0} rows/s, {:.0} changes/s; limit {limit:.0} rows/s; same tables {tables:.0} rows/s",
            name_of(database),
            own / (3 + subscriptions) as f64
        );
        ours.push(own);
        ratios.push(own / limit);
        to_same.push(own / tables);
    }
    // What was counted is there.
    let tables = Tables::open(&database.url).await;
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM";
    for (table, wanted) in
        [("trigger_events", log.told), ("history", log.told), ("deliveries", log.told * subscriptions)]
    {
        assert_eq!(tables.texts(&format!("{count} {table}")).await, [wanted.to_string()], "{table}");
    }
    let figure = |what: &str, values: &[f64], goal| Figure {
        workload: "fanout",
        what: format!(
            "{}, {subscriptions} subscription{}: {what}{}",
            name_of(database),
            if subscriptions == 1 { "" } else { "s" },
            Spread::of(values).told(ROUNDS)
        ),
        value: Spread::of(values).median,
        goal,
    };
    [
        figure("rows/s", &ours, None),
        figure("to the database's row rate", &ratios, Some(("at least", 0.6))),
        figure("to the same rows put straight into the same tables", &to_same, None),
    ]
}

/// Rows a second over one round.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn rate(rows: usize, mut once: impl AsyncFnMut()) -> f64 {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < ROUND {
        once().await;
        done += rows;
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// The fastest way to store rows durably that was found: many a statement, one transaction.
enum Probe {
    File(SqliteConnection, #[expect(dead_code, reason = "held for the file")] TempDir),
    Server(PgPool),
}

impl Probe {
    async fn new(database: &TestDatabase) -> Self {
        let table = "CREATE TABLE probe (id TEXT PRIMARY KEY, body TEXT NOT NULL)";
        if database.url.starts_with("postgres") {
            let pool = PgPool::connect(&database.url).await.unwrap();
            sqlx::query(table).execute(&pool).await.unwrap();
            return Self::Server(pool);
        }
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("probe.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.unwrap();
        sqlx::query(table).execute(&mut connection).await.unwrap();
        Self::File(connection, dir)
    }

    async fn insert(&mut self, rows: usize) {
        let rows: Vec<_> = (0..rows).map(|_| (Uuid::now_v7().to_string(), "x".repeat(BODY))).collect();
        match self {
            Self::File(connection, _) => {
                let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
                for part in rows.chunks(AT_ONCE) {
                    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO probe (id, body) ");
                    sql.push_values(part, |mut row, (id, body)| {
                        row.push_bind(id).push_bind(body);
                    });
                    sql.build().execute(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
            Self::Server(pool) => {
                let mut tx = pool.begin().await.unwrap();
                let sql = "INSERT INTO probe (id, body) SELECT * FROM UNNEST($1::text[], $2::text[])";
                for part in rows.chunks(AT_ONCE) {
                    let (ids, bodies): (Vec<&str>, Vec<&str>) =
                        part.iter().map(|(i, b)| (i.as_str(), b.as_str())).unzip();
                    sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(bodies).execute(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        }
    }
}
