//! Claims and leases: what is due is taken once, shares are fair, and what a dead worker held comes back.

use std::collections::HashSet;
use std::time::Duration;

use campaign_sync::domain::mapping::MappingState;
use campaign_sync::store::lanes::Claim;

use super::{End, LEASE, World, retry};
use crate::support::on_both;

on_both! {
    async fn lanes_share_a_claim_in_order(database: TestDatabase) {
        let world = World::new(database).await;
        let (long, short) = (world.mapped(1).await, world.mapped(2).await);
        for person in 1..=20 {
            world.enqueue(&[world.hint(&long, person)]).await;
        }
        world.enqueue(&[world.hint(&short, 1), world.hint(&short, 2)]).await;
        let claim = world.store.claim("a", LEASE, 10).await.unwrap();
        let of = |claim: &Claim, lane: &str| claim.changes.iter().filter(|c| c.lane == lane).map(|c| c.id.clone()).collect::<Vec<_>>();
        let (from_long, from_short) = (of(&claim, long.campaign_id.as_str()), of(&claim, short.campaign_id.as_str()));
        assert_eq!((from_long.len(), from_short.len()), (5, 2));
        assert!(from_long.is_sorted());
        assert!(claim.changes.iter().all(|c| c.attempts == 1 && c.payload.as_deref() == Some("1")));
        assert!(world.claim().await.leases.is_empty(), "leased lanes are nobody else's");
        world.end_all(claim, &End::NoOp).await;
        // The long lane was served; whoever became due meanwhile goes first.
        world.clock.advance(Duration::from_millis(1));
        let claim = world.store.claim("a", LEASE, 1000).await.unwrap();
        assert_eq!(claim.changes.len(), 15);
        world.end_all(claim, &End::Applied).await;
        assert_eq!(world.store.next_due().await.unwrap(), None);
        world.recount().await;
    }

    /// By steps and not by time: how many claims are worked off before the few are.
    async fn ten_wait_for_one_batch_at_the_most_whatever_is_beside_them(database: TestDatabase) {
        let world = World::new(database).await;
        let (long, short) = (world.mapped(1).await, world.mapped(2).await);
        for part in 0..5_u32 {
            let work: Vec<_> = (1..=1_000).map(|person| world.hint(&long, i64::from(part * 1_000 + person))).collect();
            world.enqueue(&work).await;
        }
        let short_lane = short.campaign_id.to_string();
        let of_short = |claim: &Claim| claim.changes.iter().filter(|change| change.lane == short_lane).count();
        // A batch of the long one is in hand when the others come; they come in while it is, and are in the next claim.
        world.clock.advance(Duration::from_millis(1));
        let in_hand = world.store.claim("a", LEASE, 1000).await.unwrap();
        let work: Vec<_> = (1..=10).map(|person| world.hint(&short, person)).collect();
        world.enqueue(&work).await;
        // Another worker takes them at once.
        let beside = world.store.claim("b", LEASE, 1000).await.unwrap();
        assert_eq!((of_short(&in_hand), of_short(&beside), beside.changes.len()), (0, 10, 10));
        world.end_all(beside, &End::Applied).await;
        world.end_all(in_hand, &End::Applied).await;
        // One worker alone: they share its claims from the first one on, and are behind with it.
        world.clock.advance(Duration::from_millis(1));
        let work: Vec<_> = (11..=20).map(|person| world.hint(&short, person)).collect();
        world.enqueue(&work).await;
        world.clock.advance(Duration::from_millis(1));
        let claim = world.store.claim("a", LEASE, 1000).await.unwrap();
        assert_eq!(of_short(&claim), 10);
        assert!(claim.changes.len() >= 500, "and the long one is worked off beside them: {}", claim.changes.len());
        world.end_all(claim, &End::Applied).await;
        world.recount().await;
    }

    async fn a_long_lane_gives_way_after_a_batch(database: TestDatabase) {
        let world = World::new(database).await;
        let (long, short) = (world.mapped(1).await, world.mapped(2).await);
        world.enqueue(&[world.hint(&long, 1), world.hint(&long, 2), world.hint(&long, 3)]).await;
        world.clock.advance(Duration::from_millis(1));
        world.enqueue(&[world.hint(&short, 1)]).await;
        world.clock.advance(Duration::from_millis(1));
        let mut served = Vec::new();
        for _ in 0..4 {
            let claim = world.store.claim("a", LEASE, 1).await.unwrap();
            served.push(claim.changes[0].lane.clone());
            world.end_all(claim, &End::Applied).await;
            world.clock.advance(Duration::from_millis(1));
        }
        let (long, short) = (long.campaign_id.to_string(), short.campaign_id.to_string());
        assert_eq!(served, [long.clone(), short, long.clone(), long]);
    }

    async fn what_a_dead_worker_held_comes_back_with_a_higher_fence(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let dead = world.claim().await;
        world.clock.advance(LEASE - Duration::from_millis(1));
        assert!(world.claim().await.leases.is_empty());
        world.clock.advance(Duration::from_millis(1));
        let next = world.claim().await;
        assert_eq!(next.changes[0].attempts, 2);
        assert!(next.leases[0].fence > dead.leases[0].fence && next.leases[0].baseline);
        assert!(world.store.renew(&dead.leases, LEASE).await.unwrap().0.is_empty());
        let (kept, deadline) = world.store.renew(&next.leases, LEASE * 2).await.unwrap();
        assert_eq!((kept.len(), deadline), (1, world.clock.monotonic() + LEASE * 2));
        world.clock.advance(LEASE);
        assert!(world.claim().await.leases.is_empty());
        world.store.release(&dead.leases).await.unwrap();
        assert!(world.claim().await.leases.is_empty());
        world.store.release(&next.leases).await.unwrap();
        assert!(world.store.renew(&next.leases, LEASE).await.unwrap().0.is_empty(), "given back is given back");
        let again = world.claim().await;
        assert_eq!(again.changes[0].attempts, 3);
        world.end_all(again, &retry(world.now() + 5000)).await;
        assert_eq!(world.store.next_due().await.unwrap(), Some(world.now() + 5000));
        assert!(world.claim().await.leases.is_empty());
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(world.claim().await.changes.len(), 1);
    }

    async fn halted_lanes_receive_and_are_not_claimed(database: TestDatabase) {
        let world = World::new(database).await;
        let mut mapping = world.mapped(1).await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let abandoned = world.claim().await;
        mapping.state = MappingState::Paused;
        assert_eq!(world.store.update_mapping(&mapping, false, "test", "").await.unwrap(), None);
        mapping.version += 1;
        world.enqueue(&[world.hint(&mapping, 2)]).await;
        // Its worker died; nobody takes over, and nobody is woken for it again.
        world.clock.advance(LEASE);
        let claim = world.claim().await;
        assert!(claim.leases.is_empty() && claim.changes.is_empty());
        assert_eq!(world.store.next_due().await.unwrap(), None);
        assert!(world.store.renew(&abandoned.leases, LEASE).await.unwrap().0.is_empty());
        mapping.state = MappingState::Active;
        world.store.update_mapping(&mapping, false, "test", "").await.unwrap();
        let claim = world.claim().await;
        assert_eq!(claim.changes.iter().map(|c| c.attempts).collect::<HashSet<_>>(), HashSet::from([1, 2]));
        world.recount().await;
    }

    async fn a_hint_that_arrives_while_its_lane_is_leased_is_not_forgotten(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        for round in 0..40 {
            world.enqueue(&[world.hint(&mapping, round)]).await;
            let claim = world.claim().await;
            assert_eq!(claim.changes.len(), 1, "round {round}");
            let work = [world.hint(&mapping, round)];
            let ((), ids) = tokio::join!(world.end_all(claim, &End::Applied), world.enqueue(&work));
            assert!(world.store.next_due().await.unwrap().is_some(), "round {round}");
            let claim = world.claim().await;
            assert_eq!(claim.changes.iter().map(|c| &c.id).collect::<Vec<_>>(), [&ids[0]], "round {round}");
            world.end_all(claim, &End::NoOp).await;
        }
        world.recount().await;
    }

    async fn nothing_is_claimed_twice(database: TestDatabase) {
        let world = World::new(database).await;
        let mut mappings = Vec::new();
        for n in 1..=8 {
            mappings.push(world.mapped(n).await);
        }
        for mapping in &mappings {
            let work: Vec<_> = (1..=30).map(|person| world.hint(mapping, person)).collect();
            world.enqueue(&work).await;
        }
        let mut workers = tokio::task::JoinSet::new();
        for n in 0..6 {
            let store = world.store.clone();
            workers.spawn(async move {
                let mut taken = Vec::new();
                for _ in 0..30 {
                    let claim = store.claim(&format!("w{n}"), LEASE, 20).await.unwrap();
                    taken.extend(claim.changes.iter().map(|c| c.id.clone()));
                    let settled = claim.changes.iter().map(|c| super::settled(c, End::Applied)).collect();
                    let batch = super::Batch { leases: claim.leases, settled, ..super::Batch::default() };
                    store.record(batch).await.unwrap();
                }
                taken
            });
        }
        let mut taken = workers.join_all().await.concat();
        let rest = world.claim().await;
        taken.extend(rest.changes.iter().map(|c| c.id.clone()));
        world.end_all(rest, &End::Applied).await;
        assert_eq!(taken.len(), 240);
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 240);
        assert!(world.rows().await.iter().all(|row| row == "completed applied 1"));
        world.recount().await;
    }
}
