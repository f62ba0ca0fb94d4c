//! A fresh database for each test, of either kind.
//!
//! A case is written once with `on_both!` and runs on SQLite and on PostgreSQL; it sees a URL and not which of them it got.

use tempfile::TempDir;
use uuid::Uuid;

use super::postgres::{self, FreshDatabase};

/// An empty database that goes away with this value.
#[derive(Debug)]
pub struct TestDatabase {
    /// What the service is configured with.
    pub url: String,
    _guard: Guard,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for what they do when they are dropped")]
enum Guard {
    File(TempDir),
    Server(FreshDatabase),
}

impl TestDatabase {
    /// How many processes may work on it at the same time: a file has one, a server is shared.
    pub fn processes(&self) -> usize {
        match self._guard {
            Guard::File(_) => 1,
            Guard::Server(_) => 2,
        }
    }

    /// One of each kind that there is, for what has to be the same on all.
    pub async fn each() -> Vec<Self> {
        [Some(Self::sqlite()), Self::postgres().await].into_iter().flatten().collect()
    }

    /// Another one of the same kind, empty as well.
    pub async fn fresh(&self) -> Self {
        match self._guard {
            Guard::File(_) => Self::sqlite(),
            Guard::Server(_) => Self::postgres().await.unwrap(),
        }
    }

    /// A file of its own in a temporary directory.
    pub fn sqlite() -> Self {
        Self::file_in(tempfile::tempdir().unwrap())
    }

    /// A file in memory where the machine has such a place: for histories, which crash no machine and commit often.
    pub fn in_memory() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self::file_in(dir.unwrap())
    }

    fn file_in(dir: TempDir) -> Self {
        let url = format!("sqlite://{}", dir.path().join("campaign-sync.db").display());
        Self { url, _guard: Guard::File(dir) }
    }

    /// A database of its own on the server that all tests share; none when there is no server and none is required.
    pub async fn postgres() -> Option<Self> {
        let server = postgres::server()?;
        let name = format!("cs_{}", Uuid::now_v7().simple());
        let database = FreshDatabase::create(server, &name).await;
        Some(Self { url: database.url(), _guard: Guard::Server(database) })
    }
}

/// Makes of one case two tests, `case::sqlite` and `case::postgres`.
///
/// ```ignore
/// on_both! {
///     async fn a_delivery_is_stored_once(database: TestDatabase) { ... }
/// }
/// ```
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $case:ident($database:ident: TestDatabase) $body:block)+) => {$(
        async fn $case($database: $crate::support::TestDatabase) $body

        mod $case {
            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case($crate::support::TestDatabase::sqlite()).await;
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(database) = $crate::support::TestDatabase::postgres().await {
                    super::$case(database).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;
