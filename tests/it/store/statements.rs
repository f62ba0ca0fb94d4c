//! Every statement that the store's tests send to a database of a file, and how it would be carried out, without statistics as the
//! service has none.
//!
//! A set of rows is to be gone through once, with a look into an index for each of them. It takes a constant beside them for the better
//! key and then goes through all that the constant finds, and through the set for each of it: correct, and a hundred times as slow with
//! the first hundred thousand rows. A test of results cannot see that.

use super::World;
use crate::support::TestDatabase;
use crate::support::statements::heard;

/// The parts of a statement that look at tables, with `BEGIN` and `COMMIT` left out.
fn parts(sql: &str) -> impl Iterator<Item = &str> {
    let looks = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    sql.split(';').map(str::trim).filter(move |part| looks.iter().any(|word| part.starts_with(word)))
}

/// What is wrong with a way to carry a statement out.
fn faults(steps: &[(i64, String)]) -> Vec<String> {
    let is_table = |step: &str| step.starts_with("SEARCH") || step.starts_with("SCAN");
    let again = |(n, (parent, step)): (usize, &(i64, String))| {
        let before = steps[..n].iter().rfind(|(of, step)| of == parent && is_table(step));
        before
            .filter(|_| step.starts_with("SCAN jsonb_each"))
            .map(|(_, step)| format!("the rows are gone through for each of {step}"))
    };
    steps.iter().enumerate().filter_map(again).collect()
}

#[tokio::test]
async fn rows_are_looked_up_and_not_gone_through() {
    let heard = heard(&["store::", "scale::", "pages::"], &["store::statements::", "retention"]);
    let (mut seen, mut wrong) = (0, Vec::new());
    for database in TestDatabase::each().await {
        let world = World::new(database).await;
        for part in heard.iter().flat_map(|sql| parts(sql)) {
            // Migrations look at what the schema no longer has.
            let Ok(steps) = world.tables.steps(part).await else { continue };
            seen += usize::from(!steps.is_empty());
            wrong.extend(faults(&steps).into_iter().map(|fault| format!("{fault}: {part}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(seen > 200, "{seen}");
}

#[test]
fn a_set_that_is_gone_through_again_and_again_is_a_fault() {
    let step = |of: i64, text: &str| (of, text.to_owned());
    let rows = "SCAN jsonb_each VIRTUAL TABLE INDEX 1:";
    assert_eq!(faults(&[step(0, rows), step(0, "SEARCH m USING INDEX i (a=?)")]), [""; 0]);
    assert_eq!(faults(&[step(0, "SEARCH m USING INDEX i (a=?)"), step(7, rows)]), [""; 0]);
    assert_eq!(faults(&[step(0, "SEARCH m USING INDEX i (a=?)"), step(0, rows)]).len(), 1);
    assert_eq!(faults(&[step(0, "SCAN members"), step(0, rows)]).len(), 1);
}
