//! Mappings, their runs and their removal guard.

use campaign_sync::domain::mapping::MappingState;
use campaign_sync::domain::merge::Side;
use campaign_sync::store::StoreError;
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::store::mappings::{Created, MappingFilter};
use campaign_sync::store::record::Batch;
use campaign_sync::store::runs::Stage;

use super::{End, World, mapping, retry};
use crate::support::on_both;

on_both! {
    async fn a_program_or_campaign_is_mapped_once(database: TestDatabase) {
        let world = World::new(database).await;
        for n in 1..=10 {
            let one = mapping(&world.store, n, n);
            // The same program, or the same campaign.
            let two = if n % 2 == 0 { mapping(&world.store, n, n + 100) } else { mapping(&world.store, n + 100, n) };
            let (one, two) = tokio::join!(world.store.create_mapping(one, "a"), world.store.create_mapping(two, "b"));
            let winner = match (one.unwrap(), two.unwrap()) {
                (Created::New { mapping, .. }, Created::AlreadyMapped { mapping_id })
                | (Created::AlreadyMapped { mapping_id }, Created::New { mapping, .. }) => {
                    assert_eq!(mapping.id, mapping_id);
                    mapping
                }
                both => panic!("{both:?}"),
            };
            assert_eq!(world.store.mapping(&winner.id).await.unwrap(), Some(winner.clone()));
            assert_eq!(world.store.mappings_of_lanes(&[winner.campaign_id.to_string()]).await.unwrap(), [winner]);
        }
        let list = async |filter: MappingFilter, after: &str| world.store.list_mappings(&filter, after, 100).await.unwrap();
        let all = list(MappingFilter::default(), "").await;
        assert_eq!(all.len(), 10);
        assert_eq!(list(MappingFilter::default(), &all[3].id).await, all[4..]);
        for (q, found) in [("", 10), ("GRAM", 10), ("campaign_", 10), ("campaignX", 0), ("%", 0)] {
            let filter = MappingFilter { q: Some(q.to_owned()), state: Some("active".to_owned()), ..MappingFilter::default() };
            assert_eq!(list(filter, "").await.len(), found, "{q}");
        }
        let of = MappingFilter { program_id: Some(all[0].program_id), campaign_id: Some(all[0].campaign_id.to_string()), ..MappingFilter::default() };
        assert_eq!(list(of, "").await, all[..1]);
        let of = MappingFilter { ids: [7, 2].map(|n: usize| all[n].id.clone()).into(), ..MappingFilter::default() };
        assert_eq!(list(of, "").await, [all[2].clone(), all[7].clone()]);
    }

    async fn changes_of_a_mapping_are_made_on_its_last_version(database: TestDatabase) {
        let world = World::new(database).await;
        let old = world.mapped(1).await;
        let mut new = old.clone();
        new.program_name = "Other".to_owned();
        let run = world.store.update_mapping(&new, true, "test", "detail").await.unwrap().unwrap();
        assert_eq!(world.store.run(&run).await.unwrap().unwrap().kind, "reconciliation");
        assert!(matches!(world.store.update_mapping(&old, false, "test", "").await, Err(StoreError::Conflict(_))));
        world.store.fail_mapping(&old, "gone").await.unwrap();
        world.store.fail_mapping(&old, "again").await.unwrap();
        let failed = world.store.mapping(&old.id).await.unwrap().unwrap();
        assert_eq!((failed.state, failed.reason.as_deref(), failed.version), (MappingState::Failed, Some("gone"), 3));
        assert!(world.claim().await.leases.is_empty());
        assert_eq!(world.tables.lines("audit", &["action"]).await, ["mapping.changed", "mapping.created", "mapping.failed"]);
    }

    async fn a_removed_mapping_discards_what_waits_and_comes_back_silently(database: TestDatabase) {
        let world = World::new(database).await;
        let old = world.mapped(1).await;
        world.enqueue(&[world.hint(&old, 1)]).await;
        let claim = world.claim().await;
        world.end_all(claim, &retry(world.now())).await;
        world.enqueue(&[world.hint(&old, 2)]).await;
        assert!(world.store.is_tracked(old.campaign_id.as_str()).await.unwrap());
        world.store.delete_mapping(&old, "test", None).await.unwrap();
        world.store.delete_mapping(&old, "test", None).await.unwrap();
        assert_eq!(world.rows().await, ["discarded - 1", "discarded - 0"]);
        world.recount().await;
        assert!(world.store.mapping(&old.id).await.unwrap().is_none());
        assert!(!world.store.is_tracked(old.campaign_id.as_str()).await.unwrap());
        let created = world.store.create_mapping(mapping(&world.store, 1, 1), "test").await.unwrap();
        let Created::New { run_id, .. } = created else { panic!("{created:?}") };
        let claim = world.claim().await;
        assert!(claim.leases.iter().all(|lease| !lease.baseline));
        assert_eq!(claim.runs.iter().map(|run| &run.id).collect::<Vec<_>>(), [&run_id]);
        assert_eq!(world.tables.lines("audit WHERE action = 'mapping.removed'", &["target"]).await, [old.id]);
    }

    async fn a_run_that_is_started_again_begins_anew(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let lane = mapping.campaign_id.as_str();
        let id = world.store.start_run(&mapping.id, lane, "reconciliation").await.unwrap();
        let claim = world.claim().await;
        let mut run = claim.runs[0].clone();
        (run.stage, run.cursor, run.due_at) = (Stage::Marketo, Some("page 2".to_owned()), world.now() + 1);
        run.counts.insert("salesforce_read".to_owned(), 300);
        let save = async |run: &campaign_sync::store::runs::Run, leases| {
            world.store.record(Batch { leases, runs: vec![run.clone()], ..Batch::default() }).await.unwrap()
        };
        save(&run, claim.leases).await;
        assert_eq!(world.store.run(&id).await.unwrap(), Some(run.clone()));
        assert!(world.claim().await.runs.is_empty());
        world.clock.advance(std::time::Duration::from_millis(1));
        let claim = world.claim().await;
        assert_eq!(world.store.start_run(&mapping.id, lane, "reconciliation").await.unwrap(), id);
        save(&run, claim.leases).await;
        let anew = world.store.run(&id).await.unwrap().unwrap();
        assert_eq!((anew.generation, anew.stage, &anew.cursor), (2, Stage::Salesforce, &None), "a page of before does not move it");
        assert!(anew.counts.is_empty());
        let runs = world.store.runs(&mapping.id, None, 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.kind.as_str()).collect::<Vec<_>>(), ["reconciliation", "first_sync"]);
        assert_eq!(world.store.runs(&mapping.id, Some(&id), 10).await.unwrap().len(), 1);
        assert_eq!(world.claim().await.runs, [anew]);
        let claim = world.claim().await;
        world.end_all(claim, &End::NoOp).await;
    }

    async fn too_many_removals_wait(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let limits = GuardLimits { members: 2, percent: 10, window: 3_600_000 };
        let removals = |range: std::ops::Range<u32>| range.map(|n| (format!("m{n}"), Side::Marketo)).collect::<Vec<_>>();
        let guard = async |range| {
            let allowed = world.store.guard(&mapping.id, mapping.campaign_id.as_str(), &removals(range), &limits).await.unwrap();
            let mut allowed: Vec<_> = allowed.into_iter().collect();
            allowed.sort();
            allowed
        };
        assert_eq!(guard(0..2).await, ["m0", "m1"]);
        assert_eq!(guard(0..2).await, ["m0", "m1"], "tried again is not counted again");
        assert_eq!(guard(1..4).await, ["m1"]);
        assert_eq!(guard(2..5).await, [""; 0]);
        assert_eq!(world.tables.lines("guard_members", &["member_id"]).await, ["m2", "m3", "m4"]);
        world.tables.execute(&format!("UPDATE guards SET state = 'approved', decided_at = {}", world.now())).await;
        assert_eq!(guard(3..6).await, ["m3", "m4"]);
        assert_eq!(world.tables.lines("guards", &["state"]).await, ["approved", "waiting"]);
        world.clock.advance(std::time::Duration::from_secs(3600));
        assert_eq!(guard(6..8).await, ["m6", "m7"]);
    }
}
