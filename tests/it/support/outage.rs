//! Things to break: a database server of a test's own, which may be restarted and killed, and a disk that may be full.
//!
//! Where a machine does not let us (no server installed, no right to mount), there is none, and the test says that it was skipped.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::postgres::{installed, unprivileged};

/// Stops the server and removes its files when the pipe on standard input is closed, however the test process ends.
const WATCHER: &str = r#"
bin=$1 dir=$2
cat >/dev/null
"$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
rm -rf "$dir"
"#;

fn skipped(what: &str) {
    assert!(std::env::var("REQUIRE_POSTGRES").as_deref() != Ok("1"), "{what}");
    // Past the capture of the test harness, which shows nothing of a test that passes.
    let _ = std::io::stderr().write_all(format!("\nSKIPPED: {what}\n\n").as_bytes());
}

/// A server that nobody else uses.
pub struct OwnServer {
    bin: PathBuf,
    dir: PathBuf,
    owner: Option<(u32, u32)>,
    options: String,
    _watcher: Child,
}

impl OwnServer {
    /// Durable like a real one; `options` are more of its settings: `-c max_connections=20`.
    pub async fn start(options: &str) -> Option<Self> {
        let Some((bin, _)) = installed() else {
            skipped("a case with a database server of its own");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("cs-own-").tempdir().unwrap().keep();
        let owner = unprivileged(&dir);
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, "sh"]).arg(&bin).arg(&dir).current_dir("/").process_group(0);
        if let Some((uid, gid)) = owner {
            watcher.uid(uid).gid(gid);
        }
        let watcher = watcher.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let options = format!("-k {} -c listen_addresses= {options}", dir.display());
        let server = Self { bin, dir, owner, options, _watcher: watcher };
        server.run("initdb", &["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        server.run("pg_ctl", &["-w", "-l", &server.log(), "-o", &server.options, "start"]);
        server.sql(&["CREATE DATABASE cs"]).await;
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = self.command(program).arg("-D").arg(self.dir.join("data")).args(args).status().unwrap();
        assert!(done.success(), "{program} {args:?}");
    }

    /// What an operator says; meanwhile the test goes on.
    async fn control(&self, args: &[&str]) {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.dir.join("data")).args(args);
        let done = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
        assert!(done.success(), "pg_ctl {args:?}");
    }

    fn log(&self) -> String {
        self.dir.join("log").to_str().unwrap().to_owned()
    }

    /// Starts it, and waits until it takes connections.
    pub async fn up(&self) {
        self.control(&["-w", "-l", &self.log(), "-o", &self.options, "start"]).await;
    }

    /// Stops it: `fast` ends what is under way, `immediate` is a crash, after which it recovers.
    pub async fn down(&self, mode: &str) {
        self.control(&["-w", "-m", mode, "stop"]).await;
    }

    /// Restarts it as an operator does.
    pub async fn restart(&self) {
        self.control(&["-w", "-m", "fast", "-l", &self.log(), "-o", &self.options, "restart"]).await;
    }

    /// The statements, one after the other.
    pub async fn sql(&self, statements: &[&str]) {
        let url = self.url().replace("/cs?", "/postgres?");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    /// A session of somebody else that holds these tables for itself, until it is dropped.
    pub async fn lock_tables(&self, tables: &str) -> PgConnection {
        let mut other = PgConnection::connect(&self.url()).await.unwrap();
        let lock = format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut other).await.unwrap();
        other
    }

    /// Every connection that there is, until they are dropped: those of this application are ended, and their places taken before it has
    /// new ones.
    pub async fn take_all_connections(&self, application: &str) -> Vec<PgConnection> {
        let url = self.url();
        let mut taken = vec![PgConnection::connect(&url).await.unwrap()];
        let theirs = format!("FROM pg_stat_activity WHERE application_name = '{application}'");
        let end = format!("SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) {theirs}) AS ended");
        let count = format!("SELECT COUNT(*) {theirs}");
        for _ in 0..200 {
            let _: i64 = sqlx::query_scalar(AssertSqlSafe(end.as_str())).fetch_one(&mut taken[0]).await.unwrap();
            while let Ok(connection) = PgConnection::connect(&url).await {
                taken.push(connection);
            }
            let left: i64 = sqlx::query_scalar(AssertSqlSafe(count.as_str())).fetch_one(&mut taken[0]).await.unwrap();
            if left == 0 {
                return taken;
            }
        }
        panic!("{application} was faster each time");
    }

    /// Where it listens.
    pub fn socket(&self) -> String {
        self.dir.join(".s.PGSQL.5432").to_str().unwrap().to_owned()
    }

    /// The database `cs`, by the socket.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/cs?host={}", self.dir.display())
    }

    /// The same over a wire at this port.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/cs?sslmode=disable")
    }

    /// Gives a directory to whoever the server runs as.
    fn owns(&self, dir: &Path) {
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::chown(dir, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// A small disk that holds one database, and a balloon that fills what is left of it.
pub struct SmallDisk {
    pub url: String,
    server: Option<OwnServer>,
    dir: PathBuf,
}

impl SmallDisk {
    const SIZE: &'static str = "size=48m";

    fn mounted() -> Option<PathBuf> {
        let dir = tempfile::Builder::new().prefix("cs-disk-").tempdir().unwrap().keep();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", Self::SIZE, "tmpfs"]).arg(&dir).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(dir);
        }
        let _ = fs::remove_dir(&dir);
        // Only root may mount.
        let _ = std::io::stderr().write_all(b"\nSKIPPED: a case with a full disk, which cannot be mounted here\n\n");
        None
    }

    /// With a database that is a file.
    pub fn with_file() -> Option<Self> {
        let dir = Self::mounted()?;
        let url = format!("sqlite://{}", dir.join("campaign-sync.db").display());
        Some(Self { url, server: None, dir })
    }

    /// With the tables of a database on a server; its log is elsewhere, since a server whose log is full stops.
    pub async fn with_server() -> Option<Self> {
        let server = OwnServer::start("").await?;
        let dir = Self::mounted()?;
        let space = dir.join("space");
        fs::create_dir(&space).unwrap();
        server.owns(&space);
        let make = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
        server.sql(&[&make, "DROP DATABASE cs", "CREATE DATABASE cs TABLESPACE small"]).await;
        Some(Self { url: server.url(), server: Some(server), dir })
    }

    fn balloon(&self) -> PathBuf {
        self.dir.join("balloon")
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut balloon = fs::OpenOptions::new().create(true).append(true).open(self.balloon()).unwrap();
        for piece in [vec![1_u8; 1 << 20], vec![1_u8; 4 << 10], vec![1_u8; 1]] {
            while balloon.write_all(&piece).is_ok() {}
        }
    }

    /// Makes room.
    pub fn free(&self) {
        fs::remove_file(self.balloon()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
        let _ = fs::remove_dir(&self.dir);
    }
}
