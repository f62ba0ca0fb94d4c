//! What is sent to the database of a file, written down by a process of its own: `STATEMENTS` names the file that each text is kept in once.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The variable that names the file.
const STATEMENTS: &str = "STATEMENTS";
/// Between two statements.
const END: &str = "\0";

struct Scribe(Mutex<(HashSet<String>, File)>);

#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber> Layer<S> for Scribe {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        // The driver gives the whole text only where the summary is not all of it.
        let whole = if statement.whole.is_empty() { statement.summary } else { statement.whole };
        let mut kept = self.0.lock().unwrap();
        if !kept.0.contains(&whole) {
            kept.1.write_all(format!("{whole}{END}").as_bytes()).unwrap();
            kept.0.insert(whole);
        }
    }
}

/// Begins to write down, where that was asked for.
pub fn write_down() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(path) = std::env::var_os(STATEMENTS) else { return };
        let scribe = Scribe(Mutex::new((HashSet::new(), File::create(path).unwrap())));
        let statements = Targets::new().with_target("sqlx::query", Level::DEBUG);
        let subscriber = tracing_subscriber::registry().with(scribe.with_filter(statements));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The statements of the cases that these words find and those do not, played on files in a process of their own.
pub fn heard(cases: &[&str], but: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("statements");
    let without = but.iter().chain(&["::postgres"]).flat_map(|name| ["--skip", name]);
    let mut command = Command::new(std::env::current_exe().unwrap());
    let played = command.args(cases).args(without).env(STATEMENTS, &file).output().unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stdout));
    std::fs::read_to_string(&file).unwrap().split(END).map(str::to_owned).collect()
}
