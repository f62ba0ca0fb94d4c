//! SQLite's one writing connection, and a transaction on it.
//!
//! Not a pool of one: a pool tests a connection when it is taken and when it is given back, in a task of its own, which costs
//! each transaction two round trips and makes the next one wait for a turn of the scheduler (a millisecond on a machine
//! that is busy receiving). Must not know any statement but those that begin and end.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The connection, and whether somebody left a transaction open on it.
#[derive(Debug)]
pub(super) struct Writer {
    connection: SqliteConnection,
    open: bool,
    /// Whether a commit waits for the disk.
    synced: bool,
}

macro_rules! log_pages {
    () => {
        "4000"
    };
}

/// Pages (of 4 KiB) that SQLite's log grows to before they are moved: a page that is written again and again, as the ends of indexes
/// are, is moved once.
pub(super) const LOG_PAGES: &str = log_pages!();
const SYNCED: &str = concat!("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ", log_pages!());
const LAZY: &str = "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 250";

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { connection, open: false, synced: true }))
    }

    /// Waits its turn, in order of arrival, for the connection with no transaction open on it, whose commits wait for the disk or not.
    pub(super) async fn idle(writer: &Arc<Mutex<Self>>, synced: bool) -> Result<OwnedMutexGuard<Self>, sqlx::Error> {
        let mut writer = Arc::clone(writer).lock_owned().await;
        if writer.open {
            writer.roll_back().await;
        }
        writer.sync(synced).await?;
        Ok(writer)
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.connection).await.map(drop)
    }

    /// Whether the next commits wait for the disk. Not to be changed while a transaction is open.
    ///
    /// Those that do not are the same few pages again and again, and who reads goes through all that the log has of a page whose number
    /// hashes near theirs, so they are moved out of the log early ([measured](../../docs/performance.md)).
    async fn sync(&mut self, wanted: bool) -> Result<(), sqlx::Error> {
        if wanted && !self.synced {
            self.execute(SYNCED).await?;
            self.synced = true;
        } else if !wanted && self.synced {
            // Before it is: who is dropped meanwhile may have changed it.
            self.synced = false;
            self.execute(LAZY).await?;
        }
        Ok(())
    }

    async fn roll_back(&mut self) {
        // Fails when SQLite has rolled back by itself, as it does when the disk is full.
        let _ = self.execute("ROLLBACK").await;
        self.open = false;
    }
}

/// A transaction that may write. Dropped without `commit`, it is rolled back.
pub(super) struct WriteTx(Option<OwnedMutexGuard<Writer>>);

impl WriteTx {
    /// Waits its turn, in order of arrival. It begins with its first statement; its commit waits for the disk or not.
    pub(super) async fn begin(writer: &Arc<Mutex<Writer>>, synced: bool) -> Result<Self, sqlx::Error> {
        Writer::idle(writer, synced).await.map(|writer| Self(Some(writer)))
    }

    /// The connection, and the statement with what begins the transaction before it where it is the first: one turn of the
    /// connection's thread for both. The number of changed rows is not to be trusted then.
    pub(super) fn with<'s>(&mut self, sql: &'s str) -> Result<(&mut SqliteConnection, Cow<'s, str>), sqlx::Error> {
        let writer = self.writer()?;
        let sql = match writer.open {
            true => Cow::Borrowed(sql),
            false => Cow::Owned(format!("BEGIN IMMEDIATE; {sql}")),
        };
        // Open from now on: who is dropped while beginning may have begun.
        writer.open = true;
        Ok((writer.connection(), sql))
    }

    /// The connection, begun.
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let writer = self.writer()?;
        if !writer.open {
            writer.open = true;
            writer.execute("BEGIN IMMEDIATE").await?;
        }
        Ok(writer.connection())
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let writer = self.writer()?;
        if writer.open {
            writer.execute("COMMIT").await?;
            writer.open = false;
        }
        Ok(())
    }

    /// After a statement that ended the transaction itself.
    pub(super) fn committed(mut self) -> Result<(), sqlx::Error> {
        self.writer()?.open = false;
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut Writer, sqlx::Error> {
        // There until it is dropped.
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        let Some(mut writer) = self.0.take().filter(|writer| writer.open) else { return };
        // Where nothing runs any more, the connection is about to be closed, which rolls back as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { writer.roll_back().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    async fn waits_for_the_disk(writer: &mut Writer) -> bool {
        let mut asked = Vec::new();
        for pragma in ["PRAGMA synchronous", "PRAGMA wal_autocheckpoint"] {
            asked.push(sqlx::query_scalar::<_, i64>(pragma).fetch_one(writer.connection()).await.unwrap());
        }
        // 1 is NORMAL, which does not; 2 is FULL.
        let synced = asked[0] == 2;
        assert_eq!(
            asked[1].to_string(),
            if synced { LOG_PAGES } else { "250" },
            "the log is moved early while nobody waits"
        );
        synced
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_again_after_one_that_did_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(dir.path().join("x.db")).create_if_missing(true);
        let writer = Writer::new(
            file.synchronous(sqlx::sqlite::SqliteSynchronous::Full)
                .pragma("wal_autocheckpoint", LOG_PAGES)
                .connect()
                .await
                .unwrap(),
        );
        for synced in [true, false, false, true, false, true] {
            let mut idle = Writer::idle(&writer, synced).await.unwrap();
            assert_eq!(waits_for_the_disk(&mut idle).await, synced);
        }
        drop(Writer::idle(&writer, false).await.unwrap());
        let mut tx = WriteTx::begin(&writer, true).await.unwrap();
        assert!(waits_for_the_disk(tx.0.as_mut().unwrap()).await);
    }
}
