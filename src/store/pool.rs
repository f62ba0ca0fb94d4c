//! Postgres's connections, none of which is waited for without end.
//!
//! Owns how long a statement may take: the server ends one that waits for a lock or works too long, and what the network has
//! swallowed is given up here, with its connection, since an answer to it may still come. Must not know any statement but those
//! that bound and end others.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Postgres};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// How long for a connection, a new one or one of those that others have.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Beyond the time that the server allows a statement, for its answer to arrive.
const GRACE: Duration = Duration::from_secs(5);
/// What is cleared away may take longer, since nobody waits for it; not for ever, since it is one of few connections.
const PATIENT: Duration = Duration::from_secs(600);
/// How long a connection that is given back may take to show that it lives.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// A process that stands still, or whose network swallows everything, in the middle of a transaction keeps its locks no longer than
/// this: the server ends it. No transaction waits for anybody but the database. Not a parameter of the connection's start, which
/// poolers refuse.
const LET_GO: &str = "SET idle_in_transaction_session_timeout = '15s'";

/// The connections of one process.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: PgPool,
    /// For one statement.
    limit: Duration,
}

impl Pool {
    pub(super) async fn connect(url: &str, most: u32, limit: Duration) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("campaign-sync");
        let bounds = format!("{LET_GO}; SET statement_timeout = {}", limit.as_millis());
        let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE);
        let pool = pool.after_connect(move |connection, _| {
            let bounds = bounds.clone();
            Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(bounds)).execute(connection).await.map(drop) })
        });
        Ok(Self { connections: pool.connect_with(options).await?, limit: limit + GRACE })
    }

    pub(super) async fn take(&self) -> Result<Held, sqlx::Error> {
        let connection = Some(self.connections.acquire().await?);
        Ok(Held { connection, limit: self.limit, busy: false, open: false })
    }

    /// With a transaction open on it.
    pub(super) async fn begin(&self) -> Result<Held, sqlx::Error> {
        let mut held = self.take().await?;
        held.open = true;
        held.say("BEGIN").await?;
        Ok(held)
    }

    /// The same for statements that may take long.
    pub(super) async fn begin_patiently(&self) -> Result<Held, sqlx::Error> {
        let mut held = self.begin().await?;
        held.say(&format!("SET LOCAL statement_timeout = {}", PATIENT.as_millis())).await?;
        held.limit = PATIENT + GRACE;
        Ok(held)
    }

    /// One whose statements take as long as they take, for what is done once and while nobody works. It is not given back.
    pub(super) async fn take_unbounded(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.connections.acquire().await?;
        connection.close_on_drop();
        sqlx::query("SET statement_timeout = 0").execute(&mut *connection).await?;
        Ok(connection)
    }
}

/// One connection, while it is in use.
pub(super) struct Held {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    pub(super) limit: Duration,
    /// Whether a statement has been sent whose answer has not been read to its end: the connection is of no use then.
    busy: bool,
    /// Whether there is a transaction that has not ended.
    open: bool,
}

impl Held {
    /// For one statement, of which `answered` is told.
    pub(super) fn busy(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.busy = true;
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// What a statement answered, unless nothing was heard of it in time.
    pub(super) fn answered<T>(&mut self, answer: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, sqlx::Error> {
        self.busy = answer.is_err();
        let silent = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "nothing was heard of it in time"));
        answer.map_err(silent)?
    }

    async fn say(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let (limit, statement) = (self.limit, sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
        let answer = timeout(limit, statement.execute(self.busy()?)).await;
        self.answered(answer).map(drop)
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.say("COMMIT").await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.busy {
            connection.close_on_drop();
            return;
        }
        // Where nothing runs any more, all connections are about to be closed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let open = self.open;
        runtime.spawn(async move {
            if open {
                let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                if !matches!(timeout(GIVEN_BACK, rolled_back).await, Ok(Ok(_))) {
                    return connection.close_on_drop();
                }
            }
            // What it does when it is dropped as well, but without an end.
            let _ = timeout(GIVEN_BACK, connection.return_to_pool()).await;
        });
    }
}
