//! The service as a process of its own: started, killed, asked to stop, started again on the same database.
//!
//! What it writes to stderr is kept, and shown when a test fails. Knows the line that says that it listens, and no other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{TestDatabase, eventually};

/// Migrations included, on a machine that compiles at the same time.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);
/// The service promises 30 s after SIGTERM.
const STOPS_WITHIN: Duration = Duration::from_secs(35);

/// How a process is started; kept to start it again.
#[derive(Clone, Debug)]
pub struct Launch {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Launch {
    /// Any program.
    pub fn program(program: &str, args: &[&str]) -> Self {
        Self { program: program.to_owned(), args: args.iter().map(ToString::to_string).collect(), env: Vec::new() }
    }

    /// The binary under test.
    pub fn campaign_sync(args: &[&str]) -> Self {
        Self::program(env!("CARGO_BIN_EXE_campaign-sync"), args)
    }

    /// The service on a database, on a port of its own.
    pub fn serve(database: &TestDatabase) -> Self {
        Self::serve_on(&database.url)
    }

    /// The same on a database at an address.
    pub fn serve_on(url: &str) -> Self {
        Self::campaign_sync(&["serve", "--listen", "127.0.0.1:0"]).set("database.url", url)
    }

    /// One key of the configuration, as the documentation writes it: `limits.marketo.window`.
    pub fn set(self, key: &str, value: &str) -> Self {
        let name = format!("CAMPAIGN_SYNC__{}", key.replace('.', "__").to_uppercase());
        self.env(&name, value)
    }

    /// One more argument, and its value.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// One more argument that has no value.
    pub fn flag(mut self, name: &str) -> Self {
        self.args.push(name.to_owned());
        self
    }

    /// One environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, with nothing of the configuration of whoever runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CAMPAIGN_SYNC__")) {
            command.env_remove(name);
        }
        // A `campaign-sync.toml` of a developer is not to be found.
        command.current_dir(std::env::temp_dir());
        command.args(&self.args).envs(self.env.iter().cloned());
        command
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it ends before, or takes too long.
    pub async fn start(self) -> Service {
        let mut child =
            self.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let listening = listening_url(&mut child);
        let reader = keep_stderr(&mut child, Arc::clone(&stderr));
        // The service exists before it listens, so that it is ended and its stderr shown when it never does.
        let mut service = Service { launch: self, child, url: String::new(), stderr, reader: Some(reader) };
        let heard = tokio::time::timeout(LISTENS_WITHIN, listening).await;
        service.url =
            heard.expect("the service takes too long to listen").expect("the service ended before it listened");
        service
    }
}

/// A running service; killed when this is dropped.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    child: Child,
    url: String,
    stderr: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Service {
    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bytes of memory that it holds, beyond what the page cache would give back.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of_line = |line: &str| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok();
        status.lines().find_map(of_line).unwrap() * 1024
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The most memory that the process has ever held, in bytes; none where the system does not tell.
    pub fn most_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// What it has used of a processor so far, all of its threads together.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in brackets, may hold spaces. Time in the program and in the kernel, in hundredths of a second.
        let rest = stat.rsplit_once(')').unwrap().1;
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Any signal, by its name: `STOP`, `CONT`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        // By the shell, which has `kill` built in: the standard library knows only SIGKILL.
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id]).status();
        assert!(sent.unwrap().success(), "SIG{name} was not sent");
    }

    /// Whether the process is no more.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL, as a crash. Returns how to start it again.
    pub fn kill(mut self) -> Launch {
        self.end();
        self.launch.clone()
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Panics
    /// When it has not ended after the 30 s that it promises.
    pub async fn terminate(mut self) -> (ExitStatus, Launch) {
        self.signal("TERM");
        let status = eventually("the service to stop", STOPS_WITHIN, async || self.child.try_wait().unwrap()).await;
        (status, self.launch.clone())
    }

    fn end(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Up to the end of the stream, so that the last words are there.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("--- stderr of {} ---\n{}--- end ---", self.launch.program, self.stderr());
        }
    }
}

/// Reads stdout to its end, since a full pipe would stop the service, and passes on the URL.
fn listening_url(child: &mut Child) -> oneshot::Receiver<String> {
    let (found, url) = oneshot::channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    thread::spawn(move || {
        let mut found = Some(found);
        for line in lines.map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "listening"
                && let (Some(url), Some(found)) = (event["url"].as_str(), found.take())
            {
                let _ = found.send(url.trim_end_matches('/').to_owned());
            }
        }
    });
    url
}

fn keep_stderr(child: &mut Child, kept: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    })
}
