//! The workload `reconcile`: 1,000,000 members a side, one of each thousand differs.

use crate::Figure;
use crate::reconcile::{Comparison, resident};

const MEMBERS: usize = 1_000_000;

pub async fn run() -> Vec<Figure> {
    let members = std::env::var("RECONCILE_MEMBERS").ok().and_then(|n| n.parse().ok()).unwrap_or(MEMBERS);
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("bench.db").display());
    let comparison = Comparison::new(&url, members).await;
    let baseline = resident("VmRSS");
    let first = comparison.work().await;
    assert_eq!(first.run.state, "completed", "{first:?}");
    // The first comparison after a first sync still pays for that: its million rows are moved from the log and written out.
    let settled = comparison.compare().await;
    assert_eq!((settled.writes, settled.run.counts["changed"]), (0, 0), "{settled:?}");
    let differ = comparison.vendors.differ();
    let (in_marketo, in_salesforce) = comparison.listed();
    let compared = comparison.compare().await;
    assert_eq!(compared.run.state, "completed", "{compared:?}");
    assert_eq!(usize::try_from(compared.run.counts["changed"]).unwrap(), differ, "{compared:?}");
    assert_eq!(*comparison.vendors.marketo.lock().unwrap(), *comparison.vendors.salesforce.lock().unwrap());
    let again = comparison.compare().await;
    assert_eq!((again.writes, again.run.counts["changed"]), (0, 0), "{again:?}");
    for (name, run) in
        [("first sync", &first), ("after it", &settled), ("0.1 % differ", &compared), ("nothing differs", &again)]
    {
        println!("reconcile: {name}: {:?}, of that {:?} in the vendors, {} pages", run.wall, run.vendors, run.pages);
    }
    let mib = |peak: u64| peak.saturating_sub(baseline) as f64 / 1024.0;
    let figure = |what: &str, value, goal| Figure { workload: "reconcile", what: what.to_owned(), value, goal };
    vec![
        figure("rows of both listings per second", compared.rows_per_second(), Some(("at least", 500_000.0))),
        figure("the same where nothing differs", again.rows_per_second(), None),
        figure("memory at its highest beyond the start, MiB", mib(compared.peak), Some(("at most", 64.0))),
        figure("the same of the first sync, MiB", mib(first.peak), None),
        figure("rows per second of the first sync", first.rows_per_second(), None),
        figure(
            "pages more than each listing has",
            compared.pages as f64 - (in_salesforce.div_ceil(2_000) + in_marketo.div_ceil(300)) as f64,
            None,
        ),
    ]
}
