//! A PostgreSQL server of the tests' own: started once for the test binary, durable like a real one, gone with it.
//!
//! `TEST_POSTGRES_URL` (or `DATABASE_URL_POSTGRES`) names a server to use instead; its role has to be allowed to create databases.
//! Without either, the tests fail when `REQUIRE_POSTGRES=1` and otherwise say that they checked half.

use std::env;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use url::Url;

use super::eventually;

/// The oldest version whose SQL the store is written for.
const OLDEST: u32 = 13;
/// Since this version a whole cluster can have an ICU locale.
const ICU_CLUSTERS: u32 = 15;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Makes a cluster and runs it until the pipe on standard input is closed, which the kernel does when the test process ends,
/// however it ends. The data is thrown away, so the shutdown may be immediate; it is asked for until it has happened, since a
/// server that only just starts does not listen yet.
const WATCHER: &str = r#"
bin=$1 dir=$2
shift 2
trap 'rm -rf "$dir"' EXIT
"$bin/initdb" -D "$dir/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync "$@" >"$dir/log" 2>&1 </dev/null \
    || { cat "$dir/log" >&2; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=on -c synchronous_commit=on -c full_page_writes=on \
    -c max_connections=300 >"$dir/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
while kill -QUIT "$server" 2>/dev/null; do sleep 0.05; done
"#;

/// A server, and the role that may create databases on it.
#[derive(Debug)]
pub struct Server {
    /// With the maintenance database as its path.
    admin: Url,
    /// Holds the pipe open: what it watches over is stopped and removed when that closes.
    _watcher: Option<Child>,
}

/// The server of this test binary.
///
/// # Panics
/// When there is none and `REQUIRE_POSTGRES=1`, or when it is there and does not start.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(find_or_start).as_ref()
}

fn find_or_start() -> Option<Server> {
    if let Some(url) = ["TEST_POSTGRES_URL", "DATABASE_URL_POSTGRES"].iter().find_map(|name| env::var(name).ok()) {
        return Some(Server { admin: url.parse().unwrap(), _watcher: None });
    }
    if let Some((bin, version)) = installed() {
        return Some(start(&bin, version));
    }
    let missing =
        format!("PostgreSQL {OLDEST} or later is not here: initdb is neither in PATH nor in /usr/lib/postgresql");
    assert!(env::var("REQUIRE_POSTGRES").as_deref() != Ok("1"), "{missing}");
    // Past the capture of the test harness, which shows nothing of a test that passes.
    io::stderr().write_all(format!("\nSKIPPED: every test on PostgreSQL. {missing}\n\n").as_bytes()).unwrap();
    None
}

/// The programs of the first usable installation, and its major version.
pub(super) fn installed() -> Option<(PathBuf, u32)> {
    let in_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut packaged: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    packaged.sort_by_key(|entry| std::cmp::Reverse(entry.file_name().to_string_lossy().parse::<u32>().ok()));
    let packaged = packaged.into_iter().map(|entry| entry.path().join("bin"));
    in_path.into_iter().chain(asked).chain(packaged).find_map(|bin| {
        let version = bin.join("initdb").is_file().then(|| major_version(&bin)).flatten()?;
        (version >= OLDEST).then_some((bin, version))
    })
}

/// From `postgres (PostgreSQL) 15.18 (Debian ...)`.
fn major_version(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn start(bin: &Path, version: u32) -> Server {
    // Short, since the path of a Unix socket has at most 107 bytes.
    let dir = tempfile::Builder::new().prefix("cs-pg-").tempdir().unwrap().keep();
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    let owner = unprivileged(&dir);
    let mut watcher = Command::new("sh");
    watcher.args(["-c", WATCHER, "sh"]).arg(bin).arg(&dir).current_dir("/");
    if version >= ICU_CLUSTERS {
        // Sorts as people do and not by bytes, like most servers out there: what relies on byte order is to fail here.
        watcher.args(["--locale-provider=icu", "--icu-locale=en-US"]);
    }
    if let Some((uid, gid)) = owner {
        watcher.uid(uid).gid(gid);
    }
    // A group of its own: an interrupt from the terminal is for the tests, which then close the pipe.
    let mut watcher = watcher.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut admin = Url::parse("postgres://postgres@localhost/postgres").unwrap();
    admin.query_pairs_mut().append_pair("host", dir.to_str().unwrap());
    block_on(async || started(&mut watcher, &admin, &dir.join("log")).await).unwrap();
    Server { admin, _watcher: Some(watcher) }
}

async fn started(watcher: &mut Child, admin: &Url, log: &Path) {
    let mut seen = String::new();
    let connection = eventually("PostgreSQL to start", STARTS_WITHIN, async || {
        assert!(watcher.try_wait().unwrap().is_none(), "PostgreSQL does not start: {seen}");
        seen = fs::read_to_string(log).unwrap_or_default();
        PgConnection::connect(admin.as_str()).await.ok()
    });
    connection.await.close().await.unwrap();
}

/// The server refuses to run as root; whoever it runs as then has to own its files.
pub(super) fn unprivileged(dir: &Path) -> Option<(u32, u32)> {
    if fs::metadata(dir).unwrap().uid() != 0 {
        return None;
    }
    let id = |flag| {
        let ask = |user| Command::new("id").args([flag, user]).output().ok().filter(|output| output.status.success());
        let output = ask("postgres").or_else(|| ask("nobody")).unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
    };
    let (uid, gid) = (id("-u"), id("-g"));
    chown(dir, Some(uid), Some(gid)).unwrap();
    Some((uid, gid))
}

/// From code that is not async, also inside of a runtime.
fn block_on(work: impl AsyncFnOnce() + Send) -> thread::Result<()> {
    thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
        scope.spawn(run).join()
    })
}

impl Server {
    async fn run(&self, sql: String) {
        let mut connection = PgConnection::connect(self.admin.as_str()).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A database that is dropped with this value, so that a long run leaves no heap of them.
#[derive(Debug)]
pub struct FreshDatabase {
    server: &'static Server,
    name: String,
}

impl FreshDatabase {
    /// `name` is ours, and needs no quotes.
    pub async fn create(server: &'static Server, name: &str) -> Self {
        server.run(format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self { server, name: name.to_owned() }
    }

    pub fn url(&self) -> String {
        let mut url = self.server.admin.clone();
        url.set_path(&self.name);
        url.into()
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        // A test that failed may have left connections. One more panic here would hide why it failed.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = block_on(async || self.server.run(sql).await);
        assert!(dropped.is_ok() || thread::panicking(), "{} could not be dropped", self.name);
    }
}
