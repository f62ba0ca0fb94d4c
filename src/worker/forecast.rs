//! What carrying out a plan costs: calls, from the sizes of batches, and time, from the pace that the vendors allow and showed.
//!
//! Arithmetic alone. Must not ask anybody.

use crate::connector::{MARKETO_BATCH, Pace, SALESFORCE_BATCH};
use crate::store::plan_rows::PlanCounts;

/// Rows of a page of a query.
const QUERY_PAGE: i64 = 2_000;
/// Calls that begin a run: program, channel and costs; campaign and statuses.
const BEGIN: (i64, i64) = (3, 2);
/// What a call takes while none was measured, in milliseconds.
const CALL: u64 = 300;

/// Calls to each vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls {
    pub marketo: i64,
    pub salesforce: i64,
}

/// The calls of a run that does what the plan says, with the reads before it.
pub(super) fn calls(counts: &PlanCounts, marketo_members: i64, salesforce_members: i64) -> Calls {
    let of = |n: i64, size: usize| {
        n.max(0).div_euclid(i64::try_from(size).unwrap_or(1))
            + i64::from(n.rem_euclid(i64::try_from(size).unwrap_or(1)) > 0)
    };
    let pages = |n: i64, size: usize| of(n, size).max(1);
    let [added, changed, removed] = ["add", "change", "remove"].map(|action| counts.of("salesforce", action));
    let rows: i64 = counts.by_action.values().sum();
    let leads = counts.people_to_create - counts.created_in_marketo;
    let salesforce = BEGIN.1
        + pages(salesforce_members, usize::try_from(QUERY_PAGE).unwrap_or(1))
        + of(rows, SALESFORCE_BATCH)
        + of(leads, SALESFORCE_BATCH)
        + [added, changed, removed, added + changed].map(|n| of(n, SALESFORCE_BATCH)).iter().sum::<i64>();
    let statuses: i64 = counts.marketo_statuses.values().map(|n| of(*n, MARKETO_BATCH)).sum();
    let marketo = BEGIN.0
        + pages(marketo_members, MARKETO_BATCH)
        + of(rows, MARKETO_BATCH)
        + of(counts.created_in_marketo, MARKETO_BATCH)
        + of(counts.of("marketo", "remove"), MARKETO_BATCH)
        + statuses;
    Calls { marketo, salesforce }
}

/// How long that takes, in seconds: calls follow each other, no faster than each vendor's window lets them, and wait for its
/// new day where this one has not enough of them left.
pub(super) fn seconds(calls: [i64; 2], paces: &[Pace; 2]) -> i64 {
    let one = |(calls, pace): (i64, &Pace)| {
        let calls = u64::try_from(calls).unwrap_or(0);
        let taken = calls.saturating_mul(pace.call_millis.unwrap_or(CALL)) as f64 / 1000.0;
        let window = pace.per_second.filter(|rate| *rate > 0.0).map_or(0.0, |rate| calls as f64 / rate);
        let waits = match (pace.left_today, pace.daily) {
            (Some(left), daily) if calls > left => {
                let days = (calls - left - 1) / daily.unwrap_or(calls).max(1);
                pace.day_ends_in.as_secs_f64() + days as f64 * 86_400.0
            }
            _ => 0.0,
        };
        taken.max(window) + waits
    };
    calls.into_iter().zip(paces).map(one).sum::<f64>().ceil() as i64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn counts(rows: &[(&str, &str, i64)]) -> PlanCounts {
        let by_action = rows.iter().map(|(side, action, n)| (((*side).to_owned(), (*action).to_owned()), *n)).collect();
        PlanCounts { by_action, ..PlanCounts::default() }
    }

    #[test]
    fn batches_are_full_and_a_status_takes_a_call_of_its_own() {
        assert_eq!(calls(&PlanCounts::default(), 0, 0), Calls { marketo: 3 + 1, salesforce: 2 + 1 });
        let mut plan = counts(&[("salesforce", "add", 201), ("marketo", "change", 301), ("marketo", "remove", 1)]);
        plan.marketo_statuses = BTreeMap::from([("Invited".to_owned(), 1), ("Attended".to_owned(), 300)]);
        (plan.people_to_create, plan.created_in_marketo) = (200, 0);
        // 503 rows are read by name, 201 added in two calls and read back in two, 200 leads made in one.
        let expected = Calls { marketo: 3 + 4 + 2 + 1 + 2, salesforce: 2 + 2 + 3 + 1 + 2 + 2 };
        assert_eq!(calls(&plan, 1_000, 4_000), expected);
    }

    #[test]
    fn time_is_what_calls_take_what_the_window_allows_and_the_rest_of_the_day() {
        let pace = |per_second, call_millis, left_today| Pace {
            per_second,
            call_millis,
            calls: None,
            left_today,
            daily: Some(100),
            day_ends_in: Duration::from_secs(3_600),
        };
        let free = pace(None, Some(0), None);
        assert_eq!(seconds([10, 10], &[pace(None, Some(500), None), free]), 5);
        assert_eq!(seconds([10, 10], &[pace(Some(0.5), Some(500), None), free]), 20);
        assert_eq!(seconds([10, 0], &[pace(None, None, Some(10)), free]), 3);
        assert_eq!(seconds([11, 0], &[pace(None, Some(0), Some(10)), free]), 3_600);
        assert_eq!(seconds([111, 0], &[pace(None, Some(0), Some(10)), free]), 3_600 + 86_400);
    }
}
