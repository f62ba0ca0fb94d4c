//! Mappings are compared by themselves, each once an interval, a few at a time.

use std::time::Duration;

use campaign_sync::domain::mapping::MappingState;
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::record::Batch;

use super::World;
use crate::support::on_both;

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    async fn sweep(&self) {
        let sweeps = tokio::join!(self.store.sweep_comparisons(HOUR), self.store.sweep_comparisons(HOUR));
        sweeps.0.unwrap();
        sweeps.1.unwrap();
    }

    /// How many comparisons of a mapping there were.
    async fn compared(&self, mapping: &Mapping) -> usize {
        let runs = self.store.runs(&mapping.id, None, 100).await.unwrap();
        runs.iter().filter(|run| run.kind == "reconciliation").count()
    }

    /// Ends every run that goes on.
    async fn end_runs(&self) {
        loop {
            let claim = self.claim().await;
            if claim.leases.is_empty() {
                return;
            }
            let mut runs = claim.runs;
            runs.iter_mut().for_each(|run| (run.state, run.completed_at) = ("completed".to_owned(), Some(self.now())));
            self.store.record(Batch { leases: claim.leases, runs, ..Batch::default() }).await.unwrap();
        }
    }
}

on_both! {
    async fn each_active_mapping_is_compared_once_an_interval(database: TestDatabase) {
        let world = World::new(database).await;
        let (one, two) = (world.mapped(1).await, world.mapped(2).await);
        let paused = world.mapped(3).await;
        world.store.update_mapping(&Mapping { state: MappingState::Paused, ..paused.clone() }, false, "test", "").await.unwrap();
        world.sweep().await;
        assert_eq!(world.compared(&one).await, 0, "the first sync has just compared it");
        world.clock.advance(HOUR * 8 / 10);
        world.sweep().await;
        assert_eq!(world.compared(&one).await, 0);
        for n in 1..=3 {
            world.clock.advance(HOUR);
            world.sweep().await;
            world.sweep().await;
            assert_eq!((world.compared(&one).await, world.compared(&two).await), (n, n));
            world.end_runs().await;
        }
        assert_eq!(world.compared(&paused).await, 0);
        // One that goes on is not begun anew, or it would never end where it takes longer than an interval.
        world.clock.advance(HOUR);
        world.sweep().await;
        let going_on = world.store.runs(&one.id, None, 1).await.unwrap().remove(0);
        world.clock.advance(HOUR);
        world.sweep().await;
        assert_eq!(world.store.runs(&one.id, None, 1).await.unwrap(), [going_on]);
        world.end_runs().await;
        world.store.enable_sync(false, "test").await.unwrap();
        world.clock.advance(HOUR);
        world.sweep().await;
        assert_eq!(world.compared(&one).await, 4, "while campaign sync is off");
    }

    async fn many_that_are_due_together_are_compared_a_few_at_a_time(database: TestDatabase) {
        let world = World::new(database).await;
        let mut mappings = Vec::new();
        for n in 1..=10 {
            mappings.push(world.mapped(n).await);
        }
        world.sweep().await;
        world.clock.advance(HOUR * 3);
        let mut rounds = 0;
        loop {
            let going_on = world.tables.texts("SELECT id FROM runs WHERE state = 'running'").await.len();
            assert_eq!(going_on, 0);
            world.store.sweep_comparisons(HOUR).await.unwrap();
            let begun = world.tables.texts("SELECT id FROM runs WHERE state = 'running'").await.len();
            assert!(begun <= 4, "{begun} at once");
            if begun == 0 {
                break;
            }
            world.end_runs().await;
            rounds += 1;
        }
        assert_eq!(rounds, 3);
        for mapping in &mappings {
            assert_eq!(world.compared(mapping).await, 1);
        }
        // Those that cannot go on do not keep the others from their turn.
        world.clock.advance(HOUR * 3);
        world.store.sweep_comparisons(HOUR).await.unwrap();
        world.tables.execute("UPDATE runs SET attempts = 1 WHERE state = 'running'").await;
        world.store.sweep_comparisons(HOUR).await.unwrap();
        assert_eq!(world.tables.texts("SELECT id FROM runs WHERE state = 'running'").await.len(), 8);
        // Nor do those of paused mappings.
        world.tables.execute("UPDATE runs SET attempts = 0; UPDATE lanes SET halted = TRUE WHERE id IN (SELECT lane FROM runs WHERE state = 'running')").await;
        world.store.sweep_comparisons(HOUR).await.unwrap();
        assert_eq!(world.tables.texts("SELECT id FROM runs WHERE state = 'running'").await.len(), 10);
    }
}
