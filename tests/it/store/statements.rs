//! Every statement that the store's tests send to SQLite, and how it would be carried out, without statistics as the service has none.
//!
//! A set of rows is to be gone through once, with a look into an index for each of them. SQLite takes a constant beside them for the better
//! key and then goes through all that the constant finds, and through the set for each of it: correct, and a hundred times as slow with
//! the first hundred thousand rows. A test of results cannot see that.

use std::process::Command;

use super::World;
use crate::support::TestDatabase;
use crate::support::statements::{END, STATEMENTS};

/// Steps that go through a table and may: it is small, or is ended by a limit, or is what the statement is for.
const WHOLE: &[&str] = &[
    // One row, or what this statement itself has gathered.
    "CONSTANT",
    "due",
    "w",
    "f",
    "oldest",
    "old",
    // As many as were configured.
    "subscriptions",
    "mappings",
    "sources",
    "silences",
    "polls",
    "settings",
    "api_keys",
    // A row for each lane, asked for with a limit or once a minute.
    "lanes",
    "l USING INDEX sqlite_autoindex_lanes_1",
    "l USING COVERING INDEX sqlite_autoindex_lanes_1",
    // Of all mappings, some rows each.
    "member_tallies",
    "ledger_days",
    // Open ones.
    "r USING INDEX runs_open",
    "runs USING INDEX runs_open",
    // The oldest, up to a limit.
    "history",
    "f USING INDEX sqlite_autoindex_flow_actions_1",
];

/// The parts of a statement that look at tables, with `BEGIN` and `COMMIT` left out.
fn parts(sql: &str) -> impl Iterator<Item = &str> {
    let looks = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    sql.split(';').map(str::trim).filter(move |part| looks.iter().any(|word| part.starts_with(word)))
}

/// What is wrong with a way to carry a statement out.
fn faults(steps: &[(i64, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (n, (parent, step)) in steps.iter().enumerate() {
        if step.starts_with("SCAN jsonb_each") {
            let before = steps[..n]
                .iter()
                .rfind(|(of, step)| of == parent && (step.starts_with("SEARCH") || step.starts_with("SCAN")));
            found.extend(before.map(|(_, step)| format!("the rows are gone through for each of {step}")));
        } else if let Some(whole) = step.strip_prefix("SCAN ") {
            let of = whole.split(' ').next().unwrap_or_default();
            if ![whole, of].iter().any(|known| WHOLE.contains(known)) {
                found.push(format!("all of {whole}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn rows_are_looked_up_and_not_gone_through() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("statements");
    let played = Command::new(std::env::current_exe().unwrap())
        .args(["store::", "scale::", "--skip", "::postgres", "--skip", "store::statements::", "--skip", "retention"])
        .env(STATEMENTS, &file)
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stdout));
    let heard = std::fs::read_to_string(&file).unwrap();
    let world = World::new(TestDatabase::sqlite()).await;
    let (mut seen, mut wrong) = (0, Vec::new());
    for part in heard.split(END).flat_map(parts) {
        // Statements of the tests themselves that look at what the schema no longer has are not the store's.
        let Ok(steps) = world.tables.steps(part).await else { continue };
        seen += 1;
        wrong.extend(faults(&steps).into_iter().map(|fault| format!("{fault}: {part}")));
    }
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(seen > 250, "{seen}");
}

#[test]
fn a_set_that_is_gone_through_again_and_again_is_a_fault() {
    let step = |of: i64, text: &str| (of, text.to_owned());
    let rows = "SCAN jsonb_each VIRTUAL TABLE INDEX 1:";
    assert_eq!(faults(&[step(0, rows), step(0, "SEARCH m USING INDEX i (a=?)")]), [""; 0]);
    assert_eq!(faults(&[step(0, "SEARCH m USING INDEX i (a=?)"), step(7, rows)]), [""; 0]);
    assert_eq!(faults(&[step(0, "SEARCH m USING INDEX i (a=?)"), step(0, rows)]).len(), 1);
    assert_eq!(faults(&[step(0, "SCAN members")]), ["all of members"]);
    assert_eq!(faults(&[step(0, "SCAN due")]), [""; 0]);
}
