//! The drains, the costs in calls and the claims of the benchmark, small: both sides are equal in the end, and no call is made that the
//! batches of the vendors would have spared.

#[path = "../../benches/suite/claims.rs"]
mod claims;
#[path = "../../benches/suite/costs.rs"]
mod costs;
#[expect(dead_code, reason = "the benchmark fills more")]
#[path = "../../benches/suite/filled.rs"]
pub mod filled;
#[path = "../../benches/suite/known.rs"]
mod known;
#[expect(dead_code, reason = "the benchmark asks for more")]
#[path = "../../benches/suite/peopled.rs"]
mod peopled;
#[expect(dead_code, reason = "other workloads use more of it")]
#[path = "../../benches/suite/world.rs"]
pub mod world;

use claims::{Claims, ROWS};
use costs::{Cost, of_changes, of_echoes, of_flapping};
use known::{count, drained};
use peopled::{Peopled, Side, unlimited};

use crate::support::{Launch, Tables, on_both};

/// Reads and writes of Salesforce, then of Marketo.
fn calls(cost: &Cost) -> [u64; 4] {
    [cost.salesforce.reads, cost.salesforce.writes, cost.marketo.reads, cost.marketo.writes]
}

on_both! {
    async fn what_waits_is_worked_off_and_each_member_is_told_of_once(database: TestDatabase) {
        let mut peopled = Peopled::new(450, 30, unlimited()).await;
        let tables = peopled.fill(&database.url).await;
        let service = peopled.launch(&database.url).start().await;
        for (round, side) in [Side::Marketo, Side::Salesforce].into_iter().enumerate() {
            peopled.change(side);
            peopled.tell(&tables, side).await;
            let took = drained(&peopled, &tables).await;
            assert!(peopled.is_equal(), "after {side:?}");
            assert_eq!(count(&tables, "outbox WHERE state = 'completed' AND outcome = 'applied'").await, 450 * (round + 1));
            assert_eq!(count(&tables, "trigger_events").await, 450 * (round + 1));
            eprintln!("from {side:?}: {took:?}, {:?} of a processor so far", service.processor_time());
        }
    }

    async fn changes_cost_the_calls_that_batches_allow(database: TestDatabase) {
        let mut peopled = Peopled::new(250, 1, unlimited()).await;
        let tables = peopled.fill(&database.url).await;
        let service = peopled.launch(&database.url).start().await;
        // Who we are is asked once.
        of_changes(&mut peopled, &tables, Side::Marketo).await;
        // Campaign and statuses once for all of them; members read, and read back, 200 at a time; nothing is written to Marketo.
        let [reads, others @ ..] = calls(&of_changes(&mut peopled, &tables, Side::Marketo).await);
        assert!(reads <= 2 + 4, "{reads}");
        assert_eq!(others, [2, 1, 0]);
        let [reads, others @ ..] = calls(&of_changes(&mut peopled, &tables, Side::Salesforce).await);
        assert!(reads <= 2 + 2, "{reads}");
        assert_eq!(others, [0, 1, 1]);
        assert_eq!(calls(&of_echoes(&mut peopled, &tables).await), [0; 4]);
        let webhooks = format!("{}/webhooks/marketo", service.url());
        let [reads, others @ ..] = calls(&of_flapping(&mut peopled, &tables, &webhooks, 4).await);
        assert!(reads <= 2 + 2, "{reads}");
        assert_eq!(others, [0, 1, 1]);
    }

    async fn a_claim_is_full_beside_what_is_done(database: TestDatabase) {
        let mut measured = Claims::over(&database.url).await;
        let tables = Tables::open(&database.url).await;
        claims::fill(&tables, 3 * ROWS, 2_000).await;
        for _ in 0..5 {
            measured.claim().await;
        }
        assert_eq!(measured.millis.len(), 5);
        assert_eq!(count(&tables, "outbox WHERE state = 'completed'").await, 2_000);
    }
}
