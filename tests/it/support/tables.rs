//! A look into the database past the store, for what the store does not show.
//!
//! The one place that knows which database a case got: plans and dumps are asked for in the words of each.

use std::str::FromStr as _;

use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row};

/// A connection of the tests' own.
#[derive(Clone, Debug)]
pub enum Tables {
    File(SqlitePool),
    Server(PgPool),
}

impl Tables {
    /// Of a database whose schema is there.
    pub async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            Self::Server(PgPool::connect(url).await.unwrap())
        } else {
            // Not to be taken for a statement of the store.
            let options = SqliteConnectOptions::from_str(url).unwrap().disable_statement_logging();
            Self::File(SqlitePool::connect_with(options).await.unwrap())
        }
    }

    /// The rows of a statement that selects one column of text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::File(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
            Self::Server(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
        }
    }

    /// Every column of text of every table that there is, each with what stands in it.
    pub async fn everything(&self) -> Vec<(String, Vec<String>)> {
        let columns = match self {
            Self::File(_) => {
                "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '_sqlx%' AND c.type = 'TEXT'"
            }
            Self::Server(_) => {
                "SELECT table_name || '.' || column_name FROM information_schema.columns
                 WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'jsonb') AND table_name NOT LIKE '_sqlx%'"
            }
        };
        let mut all = Vec::new();
        for name in self.texts(columns).await {
            let (table, column) = name.split_once('.').unwrap();
            let values =
                self.texts(&format!("SELECT CAST({column} AS TEXT) FROM {table} WHERE {column} IS NOT NULL")).await;
            all.push((name, values));
        }
        assert!(all.len() > 50, "this is not the whole: {all:?}");
        all
    }

    /// The columns of a table as lines of text, sorted.
    pub async fn lines(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let text = |column: &&str| format!("COALESCE(CAST({column} AS TEXT), '~')");
        let line = columns.iter().map(text).collect::<Vec<_>>().join(" || '|' || ");
        let mut lines = self.texts(&format!("SELECT {line} FROM {table}")).await;
        lines.sort();
        lines
    }

    /// One or more statements.
    pub async fn execute(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::File(pool) => drop(sql.execute(pool).await.unwrap()),
            Self::Server(pool) => drop(sql.execute(pool).await.unwrap()),
        }
    }

    /// How SQLite would carry a statement out: the steps with the step that each belongs to.
    pub async fn steps(&self, sql: &str) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let Self::File(pool) = self else { return Ok(Vec::new()) };
        let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(sql).fetch_all(pool).await?;
        Ok(rows.iter().map(|row| (row.get("parent"), row.get("detail"))).collect())
    }

    /// The tables that a statement with these arguments would read from one end to the other.
    pub async fn scanned(&self, on_file: &str, on_server: &str) -> Vec<String> {
        let (lines, mark) = match self {
            Self::File(pool) => {
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {on_file}"));
                let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
                (rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>(), "SCAN ")
            }
            Self::Server(pool) => {
                let sql = AssertSqlSafe(format!("EXPLAIN {on_server}"));
                (sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(), "Seq Scan on ")
            }
        };
        assert!(!lines.is_empty());
        let found = lines.iter().filter_map(|line| line.split_once(mark)).map(|(_, rest)| rest.to_owned());
        found.collect()
    }
}
