//! Intents to create a campaign, and mappings that are due to be read again.

use std::time::Duration;

use campaign_sync::store::StoreError;
use campaign_sync::store::mappings::Created;
use campaign_sync::store::outbox::Subject;

use super::{World, mapping};
use crate::support::on_both;

const ATTEMPT: Duration = Duration::from_secs(60);

on_both! {
    async fn one_at_a_time_creates_a_campaign_and_another_goes_on_where_it_left(database: TestDatabase) {
        let world = World::new(database).await;
        let store = &world.store;
        let (one, two) = tokio::join!(store.begin_campaign(7, ATTEMPT), store.begin_campaign(7, ATTEMPT));
        let mut begun = [one.unwrap(), two.unwrap()].into_iter().flatten();
        let first = begun.next().unwrap();
        assert!(begun.next().is_none(), "two at once");
        assert!(!first.again && first.campaign_id.is_none());
        assert!(store.keep_campaign(&first, None).await.unwrap());

        // It dies; nobody knows how far it came. What it wrote into the campaign is what the next one looks for.
        world.clock.advance(ATTEMPT);
        let second = store.begin_campaign(7, ATTEMPT).await.unwrap().unwrap();
        assert_eq!((second.again, &second.marker, second.started_at), (true, &first.marker, first.started_at));
        assert!(!store.keep_campaign(&first, None).await.unwrap(), "the dead one came back");
        let made = mapping(store, 7, 3);
        assert!(store.keep_campaign(&second, Some(&made.campaign_id)).await.unwrap());
        store.leave_campaign(&second).await.unwrap();
        let third = store.begin_campaign(7, ATTEMPT).await.unwrap().unwrap();
        assert_eq!((third.again, third.campaign_id.as_ref()), (true, Some(&made.campaign_id)));

        // Meanwhile the program cannot be mapped to another campaign, which would leave this one over.
        let other = store.create_mapping(mapping(store, 7, 4), "test").await;
        assert!(matches!(other, Err(StoreError::Conflict(_))), "{other:?}");
        assert!(matches!(store.create_mapping(made, "test").await, Ok(Created::New { .. })));
        let fresh = store.begin_campaign(7, ATTEMPT).await.unwrap().unwrap();
        assert!(!fresh.again && fresh.marker != first.marker, "what was mapped is not taken for another one");
    }

    async fn mappings_that_are_due_are_handed_to_their_lanes_once(database: TestDatabase) {
        let world = World::new(database).await;
        let (due, later, paused) = (world.mapped(1).await, world.mapped(2).await, world.mapped(3).await);
        let hour = Duration::from_secs(3600);
        world.clock.advance(hour);
        world.store.mapping_read(&later, hour).await.unwrap();
        let halted = campaign_sync::store::mappings::Mapping { state: campaign_sync::domain::mapping::MappingState::Paused, ..paused };
        world.store.update_mapping(&halted, false, "test", "").await.unwrap();
        let sweeps = tokio::join!(world.store.sweep_mappings(hour), world.store.sweep_mappings(hour));
        sweeps.0.unwrap();
        sweeps.1.unwrap();
        let claim = world.claim().await;
        let handed: Vec<_> = claim.changes.iter().map(|c| (c.lane.as_str(), &c.subject, c.mapping_id.as_ref())).collect();
        assert_eq!(handed, [(due.campaign_id.as_str(), &Subject::Mapping, None)]);
        world.recount().await;
    }
}
