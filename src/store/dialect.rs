//! Where the two databases differ, and nowhere else.
//!
//! One SQL text with `$1` runs on both. The differences that a text cannot hide are named here: a set of rows as a
//! parameter, row locks, and reads that take the first few rows of each group. Must not know any table.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, FromRow};
use tokio::sync::Mutex;

use super::StoreError;
use super::pool::{Held, Pool};
pub(super) use super::rows::{Rows, with_rows};
use super::writer::{LOG_PAGES, WriteTx, Writer};
use crate::domain::clock::Clock;

/// How long a statement waits for SQLite's one writer before it fails.
const BUSY: Duration = Duration::from_secs(30);
const SQLITE_READERS: u32 = 4;
/// Prepared statements that a SQLite connection keeps: all that there are.
const STATEMENTS: usize = 500;

/// What can be read from a row of either database.
pub(super) trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A parameter. Times are bound as epoch milliseconds, which both databases keep exactly.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(bool),
}

macro_rules! arg_from {
    ($($from:ty => $arg:expr),+ $(,)?) => { $(impl From<$from> for Arg { fn from(value: $from) -> Self { $arg(value) } })+ };
}
arg_from! {
    String => |v| Arg::Text(Some(v)),
    Option<String> => Arg::Text,
    &str => |v: &str| Arg::Text(Some(v.to_owned())),
    &String => |v: &String| Arg::Text(Some(v.clone())),
    i64 => |v| Arg::Int(Some(v)),
    Option<i64> => Arg::Int,
    bool => Arg::Bool,
}

/// The arguments of a statement, each turned into an `Arg`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::dialect::Arg::from($value)),*] };
}
pub(super) use args;

/// Whether a statement failed for its values, and not for the database's state.
pub(super) fn is_of_the_content(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. });
    };
    let code = error.code().unwrap_or_default();
    match code.len() {
        // Postgres: data, constraints, and what is too large for it.
        5 => ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
        // SQLite, whose extended codes have the plain one in their last byte: too large, constraints, types.
        _ => code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 18..=20)),
    }
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// Clause that locks the rows read until the transaction ends. SQLite's writing transactions are alone anyway.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE",
        }
    }

    /// The same against deletion only.
    pub(super) fn for_key_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR KEY SHARE",
        }
    }

    /// The time of all processes on one database, and its arguments after `$1`: on a server the server's, since machines differ.
    pub(super) fn shared_now(self, clock: &Clock) -> (&'static str, Vec<Arg>) {
        match (self, clock) {
            (Self::Postgres, Clock::System(_)) => {
                ("CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)", vec![])
            }
            _ => ("CAST($2 AS BIGINT)", args![clock.now().as_millisecond()]),
        }
    }

    /// The same, passing over rows that another transaction holds.
    pub(super) fn for_update_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// `FROM` clause that joins to each row `r` the rows `o` of a table that a correlated query with a `LIMIT` picks.
    /// Postgres plans this well only as a lateral join, which SQLite does not have.
    pub(super) fn first_of_each(self, table: &str, key: &str, pick: &str) -> String {
        match self {
            Self::Sqlite => format!("{{rows}} JOIN {table} o ON o.{key} IN (SELECT {key} FROM {table} o {pick})"),
            Self::Postgres => format!("{{rows}} CROSS JOIN LATERAL (SELECT o.* FROM {table} o {pick}) o"),
        }
    }
}

/// The connections. SQLite has one that writes, since a pool of writers only queues on the file lock (2,300 commits a
/// second against 1,400 and a p99 of 11 ms against 636).
#[derive(Clone, Debug)]
pub(super) enum Db {
    Sqlite { write: Arc<Mutex<Writer>>, read: SqlitePool },
    Postgres(Pool),
}

/// One writing transaction. Dropped without `commit`, it is rolled back.
pub(super) enum Tx {
    Sqlite(WriteTx),
    Postgres(Held),
}

/// Binds the arguments: the same tokens for either driver.
macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Text(v) => query.bind(v),
                Arg::Int(v) => query.bind(v),
                Arg::Bool(v) => query.bind(v),
            };
        }
        query
    }};
}

/// Binds the arguments and runs one statement.
macro_rules! run {
    ($query:expr, $args:expr, $method:ident, $executor:expr) => {
        bound!($query, $args).$method($executor).await.map_err(StoreError::from)
    };
}

/// The same on a connection to Postgres, for no longer than its statements may take.
macro_rules! run_held {
    ($query:expr, $args:expr, $method:ident, $held:expr) => {{
        let held: &mut Held = $held;
        let limit = held.limit;
        let answer = tokio::time::timeout(limit, bound!($query, $args).$method(held.busy()?)).await;
        held.answered(answer).map_err(StoreError::from)
    }};
}

impl Db {
    /// With the longest that one statement may take on a server.
    pub(super) async fn connect(url: &str, max_connections: u32, limit: Duration) -> Result<Self, StoreError> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return Ok(Self::Postgres(Pool::connect(url, max_connections, limit).await?));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .statement_cache_capacity(STATEMENTS)
            .pragma("wal_autocheckpoint", LOG_PAGES);
        let write = Writer::new(options.connect().await?);
        // A connection to a file does not go away between two statements.
        let readers = SqlitePoolOptions::new().max_connections(SQLITE_READERS).test_before_acquire(false);
        let read = readers.connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(Self::Sqlite { write, read })
    }

    pub(super) fn backend(&self) -> Backend {
        match self {
            Self::Sqlite { .. } => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }

    /// Brings the schema up to date. Postgres lets one replica at a time do so; SQLite has one process.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { write, .. } => {
                sqlx::migrate!("migrations/sqlite").run(write.lock().await.connection()).await?
            }
            Self::Postgres(pool) => {
                sqlx::migrate!("migrations/postgres").run(&mut *pool.take_unbounded().await?).await?
            }
        }
        Ok(())
    }

    /// A transaction that may write. SQLite's is `IMMEDIATE`, and begins with its first statement: one that reads first and
    /// then asks for the write lock fails whenever another wrote in between.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { write, .. } => Tx::Sqlite(WriteTx::begin(write, true).await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// The same for statements that may take long, which nobody waits for.
    pub(super) async fn begin_patiently(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { .. } => self.begin().await,
            Self::Postgres(pool) => Ok(Tx::Postgres(pool.begin_patiently().await?)),
        }
    }

    /// The same, committed without waiting for the disk: a process that is killed loses nothing, a machine that loses its power may
    /// lose the last of these. The next other commit brings them to the disk with it.
    pub(super) async fn begin_lazily(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { write, .. } => Ok(Tx::Sqlite(WriteTx::begin(write, false).await?)),
            Self::Postgres(pool) => {
                let mut tx = Tx::Postgres(pool.begin().await?);
                tx.execute("SET LOCAL synchronous_commit TO OFF", vec![]).await?;
                Ok(tx)
            }
        }
    }

    /// One statement, committed without waiting for the disk. The number of changed rows.
    pub(super) async fn execute_lazily(&self, sql: &str, args: Vec<Arg>) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite { write, .. } => {
                let mut writer = Writer::idle(write, false).await?;
                run!(sqlx::query(AssertSqlSafe(sql)), args, execute, writer.connection()).map(|r| r.rows_affected())
            }
            Self::Postgres(_) => {
                let mut tx = self.begin_lazily().await?;
                let changed = tx.execute(sql, args).await?;
                tx.commit().await?;
                Ok(changed)
            }
        }
    }

    /// Rows of a reading statement.
    pub(super) async fn fetch<T: Record>(&self, sql: &str, args: Vec<Arg>) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Sqlite { read, .. } => run!(sqlx::query_as(AssertSqlSafe(sql)), args, fetch_all, read),
            Self::Postgres(pool) => {
                run_held!(sqlx::query_as(AssertSqlSafe(sql)), args, fetch_all, &mut pool.take().await?)
            }
        }
    }

    /// Many narrow rows, in the order of the statement, which gives its columns these names. SQLite packs them into one text: a row
    /// by itself costs two threads a turn and each of its columns an allocation, more than all that is done with it.
    pub(super) async fn fetch_packed<T: Record + DeserializeOwned>(
        &self,
        columns: &str,
        sql: &str,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        if self.backend() == Backend::Postgres {
            return self.fetch(sql, args).await;
        }
        let sql = format!("SELECT json_group_array(json_array({columns})) FROM ({sql})");
        let text: Option<(String,)> = self.fetch_optional(&sql, args).await?;
        let text = text.map_or_else(|| "[]".to_owned(), |row| row.0);
        serde_json::from_str(&text).map_err(|e| StoreError::Corrupt(format!("rows of {columns}: {e}")))
    }

    /// At most one row.
    pub(super) async fn fetch_optional<T: Record>(&self, sql: &str, args: Vec<Arg>) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql, args).await?.pop())
    }

    /// Rows of a reading statement that joins `{rows}`.
    pub(super) async fn fetch_rows<T: Record>(
        &self,
        sql: &str,
        rows: &Rows,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        let (sql, args) = with_rows(self.backend(), sql, rows, args);
        self.fetch(&sql, args).await
    }
}

impl Tx {
    pub(super) fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }

    /// Rows that a statement returns.
    pub(super) async fn fetch<T: Record>(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let (connection, sql) = tx.with(sql)?;
                run!(sqlx::query_as(AssertSqlSafe(&*sql)), args, fetch_all, connection)
            }
            Self::Postgres(held) => run_held!(sqlx::query_as(AssertSqlSafe(sql)), args, fetch_all, held),
        }
    }

    /// Number of rows that a statement changed.
    pub(super) async fn execute(&mut self, sql: &str, args: Vec<Arg>) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let connection = tx.connection().await?;
                run!(sqlx::query(AssertSqlSafe(sql)), args, execute, connection).map(|r| r.rows_affected())
            }
            Self::Postgres(held) => {
                run_held!(sqlx::query(AssertSqlSafe(sql)), args, execute, held).map(|r| r.rows_affected())
            }
        }
    }

    /// Rows that a statement over `{rows}` returns; in no order.
    pub(super) async fn fetch_rows<T: Record>(
        &mut self,
        sql: &str,
        rows: &Rows,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        let (sql, args) = with_rows(self.backend(), sql, rows, args);
        self.fetch(&sql, args).await
    }

    /// Number of rows that a statement over `{rows}` changed.
    pub(super) async fn execute_rows(&mut self, sql: &str, rows: &Rows, args: Vec<Arg>) -> Result<u64, StoreError> {
        let (sql, args) = with_rows(self.backend(), sql, rows, args);
        self.execute(&sql, args).await
    }

    /// After a statement that committed.
    pub(super) fn committed(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => Ok(tx.committed()?),
            Self::Postgres(_) => Ok(()),
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(held) => held.commit().await?,
        }
        Ok(())
    }
}
