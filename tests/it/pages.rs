//! The pages and figures of the benchmark, small: each of them over a database as it is after years, and what they say of it.

#[expect(dead_code, reason = "the benchmark tells more")]
#[path = "../../benches/suite/spread.rs"]
mod spread;
#[path = "../../benches/suite/visited.rs"]
mod visited;

use crate::drains::{filled, world};
use crate::support::{Tables, on_both, statements};

on_both! {
    async fn every_page_is_shown_over_a_database_as_it_is_after_years(database: TestDatabase) {
        statements::write_down();
        let visited = visited::measured(&database.url, filled::SMALL, 1).await;
        let page = |path: &str| &visited.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{path}")).text;
        let says = |path: &str, what: &str| assert!(page(path).contains(what), "{path} does not say {what}:\n{}", page(path));
        // 970 in sync and 10 gated of a thousand; 20 changes parked; a hundred removals in each of five mappings.
        says("/", "980 of 1,000");
        says("/mappings", "Program 7");
        // A hundred in the first campaign, the others evenly in nine.
        says("/mappings", "100 of 100</span>");
        says("/mappings?q=program+9", "of 100</span>");
        says("/changes/bulk?action=retry&state=parked", "Retry 20 changes?");
        says("/approvals", "100 removals wait for a decision");
        says("/approvals", ">Program 3 ⇄ Campaign 3</a>");
        says(&format!("/mappings/{}/members?q=person99", filled::id_of(1, 1)), "person99@example.org");
        says(&format!("/members/{}", filled::id_of(3, 7)), "person7@example.org");
        says(&format!("/subscriptions/{}", filled::id_of(9, 7)), "https://example.org/7");
        says(&format!("/changes/{}", filled::id_of(6, 1)), "Vendor rejected");
        says("/api/v1/stats", "\"in_sync\":970");
        says("/metrics", "campaign_sync_members{state=\"in_sync\"} 970");
        for one in visited.iter().filter(|one| one.is_page()) {
            assert!(one.text.contains("</html>") && one.text.len() < 150_000, "{} has {} bytes", one.path, one.text.len());
        }
        eprintln!("the slowest took {:.0} ms", visited.iter().map(|one| one.millis.median).fold(0.0, f64::max));
    }
}
