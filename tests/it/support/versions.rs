//! Databases as earlier versions left them, and as operators copy them.
//!
//! An earlier schema is made by the migrations up to it, and filled with what a database of today has in the tables and columns that
//! there were. Copies are made by the commands of the guide, word for word. Knows which database it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr as _;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::{Tables, TestDatabase};

/// The newest schema.
pub const SCHEMAS: i64 = 11;
/// In the order in which rows refer to each other; the others after them.
const FIRST: [&str; 11] = [
    "budgets",
    "settings",
    "lanes",
    "mappings",
    "people",
    "members",
    "runs",
    "guards",
    "plans",
    "flow_actions",
    "subscriptions",
];
/// Of which migrations make rows.
const FILLED: [&str; 3] = ["lanes", "event_log", "budgets"];
/// Kept by triggers of the tables that they count.
const COUNTED: [&str; 3] = ["member_tallies", "member_tally_steps", "ledger_days"];
/// Whose rows are numbered by the database.
const NUMBERED: [&str; 3] = ["history", "inbox", "audit"];

fn migrations(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind)
}

impl Tables {
    /// With the schema as it was at this number.
    async fn of_version(url: &str, version: i64) -> Self {
        if url.starts_with("postgres") {
            let pool = PgPool::connect(url).await.unwrap();
            let all = Migrator::new(migrations("postgres")).await.unwrap();
            assert_eq!(all.migrations.last().unwrap().version, SCHEMAS, "there is a newer schema: say so above");
            all.run_to(version, &pool).await.unwrap();
            return Self::Server(pool);
        }
        let options = SqliteConnectOptions::from_str(url).unwrap().create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let all = Migrator::new(migrations("sqlite")).await.unwrap();
        assert_eq!(all.migrations.last().unwrap().version, SCHEMAS, "there is a newer schema: say so above");
        all.run_to(version, &pool).await.unwrap();
        Self::File(pool)
    }

    /// Every table, those first that others refer to.
    async fn tables(&self) -> Vec<String> {
        let sql = match self {
            Self::File(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'"
            }
            Self::Server(_) => {
                "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE '_sqlx%'"
            }
        };
        let mut tables = self.texts(sql).await;
        let place = |table: &String| FIRST.iter().position(|first| first == table).unwrap_or(FIRST.len());
        tables.sort_by_key(|table| (place(table), table.clone()));
        tables
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::File(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Server(_) => {
                format!("SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = '{table}'")
            }
        };
        self.texts(&sql).await
    }

    /// The rows of a table, each as a statement that puts it into another database.
    async fn as_statements(&self, table: &str, columns: &[String]) -> Vec<String> {
        let quoted = |column: &String| match self {
            Self::File(_) => format!("quote({column})"),
            Self::Server(_) => format!("quote_nullable(CAST({column} AS TEXT))"),
        };
        let values = columns.iter().map(quoted).collect::<Vec<_>>().join(" || ',' || ");
        let names = columns.join(", ");
        self.texts(&format!("SELECT 'INSERT INTO {table} ({names}) VALUES (' || {values} || ')' FROM {table}")).await
    }

    /// The tables and columns of `old` filled with what is here.
    async fn pour_into(&self, old: &Self) -> usize {
        let ours = self.tables().await;
        // What a migration has put there.
        for table in old.tables().await.into_iter().filter(|table| FILLED.contains(&table.as_str())) {
            old.execute(&format!("DELETE FROM {table}")).await;
        }
        let mut rows = 0;
        for table in old.tables().await.into_iter().filter(|table| ours.contains(table)) {
            if COUNTED.contains(&table.as_str()) {
                continue;
            }
            let here = self.columns(&table).await;
            let numbered = |column: &String| column == "id" && NUMBERED.contains(&table.as_str());
            let columns: Vec<String> =
                old.columns(&table).await.into_iter().filter(|c| here.contains(c) && !numbered(c)).collect();
            let statements = self.as_statements(&table, &columns).await;
            for part in statements.chunks(200) {
                rows += part.len();
                old.execute(&part.join(";\n")).await;
            }
        }
        rows
    }
}

impl TestDatabase {
    /// A database of the same kind at an earlier schema, with what is in this one.
    pub async fn as_of(&self, version: i64) -> Self {
        let database = self.fresh().await;
        let old = Tables::of_version(&database.url, version).await;
        let rows = Tables::open(&self.url).await.pour_into(&old).await;
        assert!(rows > 20, "{rows} rows are hardly a database");
        match old {
            Tables::File(pool) => pool.close().await,
            Tables::Server(pool) => pool.close().await,
        }
        database
    }

    /// A copy that was made as this guide says, and restored as it says, into a database of its own.
    pub async fn copied_as_written(&self, guide: &str) -> Self {
        let copy = self.fresh().await;
        if let Some(file) = self.url.strip_prefix("sqlite://") {
            let dir = Path::new(file).parent().unwrap();
            assert!(guide.contains("put the backup in their place as\n`campaign-sync.db`"));
            run(&typed(guide, "sqlite3 campaign-sync.db"), dir, &self.url).await;
            fs::rename(dir.join("backup.db"), copy.url.strip_prefix("sqlite://").unwrap()).unwrap();
        } else {
            let dir = tempfile::tempdir().unwrap();
            run(&typed(guide, "pg_dump"), dir.path(), &self.url).await;
            run(&typed(guide, "pg_restore"), dir.path(), &copy.url).await;
        }
        copy
    }
}

/// The one command of a guide that begins so: a line of a block, or between backticks.
fn typed(guide: &str, begin: &str) -> String {
    let found = guide.split(['`', '\n']).filter(|part| part.starts_with(begin)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{begin}: {found:?}");
    found[0].to_owned()
}

async fn run(command: &str, dir: &Path, url: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir).env("DATABASE_URL", url);
    let done = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}
