//! A clock that is set back: nothing waits until the old time has come again.

use std::time::Duration;

use jiff::SignedDuration;

use super::{LEASE, World};
use crate::support::on_both;

const HOURS: i64 = 3 * 3_600;

impl World {
    async fn minds(&self) -> Option<i64> {
        self.store.mind_the_clock().await.unwrap()
    }

    fn set_back(&self, seconds: i64) {
        self.clock.show(self.clock.now() - SignedDuration::from_secs(seconds));
    }

    async fn due(&self) -> bool {
        self.store.next_due().await.unwrap().is_some_and(|at| at <= self.now())
    }
}

on_both! {
    async fn what_is_due_and_what_is_leased_does_not_wait_for_the_old_time(database: TestDatabase) {
        let world = World::new(database).await;
        assert_eq!(world.minds().await, None);
        let mapping = world.mapped(1).await;
        // One leased by a process that ends with it, and one that waits.
        world.enqueue(&[world.hint(&mapping, 7)]).await;
        assert_eq!(world.claim().await.changes.len(), 1);
        world.enqueue(&[world.hint(&mapping, 8)]).await;
        world.set_back(HOURS);
        assert!(world.claim().await.leases.is_empty(), "all of it is due in three hours");
        let ids: Vec<String> = (0..3).map(|_| world.store.new_id()).collect();
        assert!(ids.is_sorted(), "ids of one process go on in their order: {ids:?}");

        let moved = world.minds().await.unwrap();
        assert!((HOURS * 1000 - 60_000..=HOURS * 1000).contains(&moved), "{moved}");
        assert_eq!(world.minds().await, None, "once");
        // Nobody's lease is made shorter than it may be, and none is longer than five minutes.
        world.clock.advance(Duration::from_secs(301));
        assert!(world.due().await);
        let claim = world.claim().await;
        assert_eq!(claim.changes.len(), 2);
        assert_eq!(world.tables.texts("SELECT action FROM audit WHERE action = 'clock.set_back'").await.len(), 1);
        let to_compare = "SELECT CAST(compare_at AS TEXT) FROM mappings";
        assert_eq!(world.tables.texts(to_compare).await, ["1"], "what was looked for by the old clock is compared");
    }

    async fn clocks_that_differ_a_little_move_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        assert_eq!(world.minds().await, None);
        let mapping = world.mapped(1).await;
        let mut later = world.hint(&mapping, 7);
        later.due_at += 90_000;
        world.enqueue(&[later]).await;
        for seconds in [1, 10, 18] {
            world.set_back(seconds);
            assert_eq!(world.minds().await, None, "{seconds}");
        }
        world.clock.advance(Duration::from_secs(29));
        assert!(world.claim().await.leases.is_empty(), "not before its time");
        world.clock.advance(Duration::from_secs(90) + LEASE);
        assert_eq!(world.claim().await.changes.len(), 1);
        world.recount().await;
    }
}
