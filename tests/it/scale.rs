//! The comparison of the benchmark, small: what it finds, what it costs in calls and statements, and that memory does not grow with it.

#[path = "../../benches/suite/generated.rs"]
mod generated;
#[path = "../../benches/suite/reconcile.rs"]
mod reconcile;

use campaign_sync::store::members::Member;
use reconcile::Comparison;

use crate::support::{Tables, on_both, statements};

const MEMBERS: usize = 6_000;

/// Times at which members were last recorded.
async fn recorded(comparison: &Comparison) -> Vec<Member> {
    comparison.store.member_page(comparison.mapping.campaign_id.as_str(), "", 100_000).await.unwrap()
}

on_both! {
    async fn who_agrees_is_read_and_not_recorded_again(database: TestDatabase) {
        statements::write_down();
        let comparison = Comparison::new(&database.url, MEMBERS).await;
        let first = comparison.work().await;
        assert_eq!(first.run.counts["decided"], i64::try_from(MEMBERS).unwrap(), "{first:?}");
        let before = recorded(&comparison).await;
        assert!(before.len() == MEMBERS && before.iter().all(Member::rests));

        let differ = comparison.vendors.differ();
        let (in_marketo, in_salesforce) = comparison.listed();
        let compared = comparison.compare().await;
        let counts = &compared.run.counts;
        assert_eq!((counts["changed"], counts["decided"]), (6, i64::try_from(MEMBERS).unwrap()), "{compared:?}");
        assert_eq!(differ, 6);
        let pages = in_salesforce.div_ceil(2_000) + in_marketo.div_ceil(300);
        assert_eq!(compared.pages, pages as u64, "each page once");
        assert_eq!(*comparison.vendors.marketo.lock().unwrap(), *comparison.vendors.salesforce.lock().unwrap());
        let after = recorded(&comparison).await;
        let touched = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!(touched, differ, "only who differs was recorded");

        let again = comparison.compare().await;
        assert_eq!((again.writes, again.run.counts["changed"]), (0, 0));
        eprintln!("{:.0} rows a second, {:?} in the vendors, {} KiB", again.rows_per_second(), again.vendors, again.peak);
        assert_eq!(recorded(&comparison).await, after);
        // Nobody is open: a comparison decides no page.
        let open = Tables::open(&database.url).await.texts("SELECT sync_state FROM members WHERE sync_state NOT IN ('in_sync', 'closed')").await;
        assert!(open.is_empty(), "{open:?}");
    }

    async fn a_side_that_shows_nobody_is_noticed_a_stretch_at_a_time(database: TestDatabase) {
        statements::write_down();
        let comparison = Comparison::new(&database.url, MEMBERS).await;
        comparison.work().await;
        let there = comparison.vendors.salesforce.lock().unwrap().clone();
        comparison.vendors.salesforce.lock().unwrap().fill(None);
        let compared = comparison.compare().await;
        assert_eq!(compared.run.state, "completed", "{compared:?}");
        assert_eq!(compared.writes, 0, "all of them wait for a person");
        let waiting = recorded(&comparison).await;
        assert!(waiting.iter().all(|m| m.reason.as_deref() == Some("removal_waiting")), "{:?}", waiting.first());
        // It was a lie: nobody waits any more.
        *comparison.vendors.salesforce.lock().unwrap() = there;
        let again = comparison.compare().await;
        assert_eq!(again.writes, 0);
        assert!(recorded(&comparison).await.iter().all(Member::rests));
    }
}
