//! What is told beside the changes of the moment: many finds of one reconciliation, after approval; and what happens to the sync.

use std::time::Duration;

use campaign_sync::domain::hint::Source;
use campaign_sync::domain::merge::Side;
use campaign_sync::domain::notice::Notice;
use campaign_sync::domain::subscription::Wanted;
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::replays::ReplayFrom;
use campaign_sync::store::runs::Run;
use campaign_sync::store::silence::Silence;
use campaign_sync::store::subscriptions::Subscription;
use campaign_sync::store::triggers::EventFilter;

use super::World;
use super::deliveries::types;
use crate::support::on_both;

impl World {
    /// A run of the mapping that goes on.
    async fn run_of(&self, mapping: &Mapping) -> Run {
        let id = self.store.start_run(&mapping.id, mapping.campaign_id.as_str(), "reconciliation").await.unwrap();
        self.store.run(&id).await.unwrap().unwrap()
    }
}

on_both! {
    async fn many_finds_of_one_reconciliation_wait_for_approval(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let subscription = world.subscribed(Wanted::default()).await;
        let ended = |run: &Run| Run { state: "completed".to_owned(), ..run.clone() };
        // Few are told, though not before the run ends.
        let run = world.run_of(&mapping).await;
        world.joined(&mapping, 1..301, Some(run.clone())).await;
        assert!(world.states(&subscription).await.is_empty());
        world.joined(&mapping, 301..501, Some(ended(&run))).await;
        assert_eq!(world.states(&subscription).await.len(), 500);
        assert!(world.store.catch_ups(None, "", 10).await.unwrap().is_empty());
        // What happens meanwhile is told at once; many finds are not.
        let run = world.run_of(&mapping).await;
        world.joined(&mapping, 1001..1400, Some(run.clone())).await;
        world.joined(&mapping, 5000..5001, None).await;
        assert_eq!(world.states(&subscription).await.len(), 501);
        world.joined(&mapping, 1400..1502, Some(ended(&run))).await;
        assert_eq!(world.states(&subscription).await.len(), 501);
        let waiting = world.store.catch_ups(Some("waiting"), "", 10).await.unwrap();
        assert_eq!((waiting.len(), &waiting[0].id, waiting[0].count), (1, &run.id, 501));
        let marked = async |after| {
            let events = world.store.events(&EventFilter::default(), after, 2000).await.unwrap();
            events.iter().filter(|event| event.body().contains("\"replayed\":true")).count()
        };
        assert_eq!(marked(0).await, 501);

        let lease = world.leased("a").await.remove(0);
        assert_eq!(world.deliver_all(&lease).await, 501);
        // A replay does not go around the approval.
        world.store.replay(&subscription.id, ReplayFrom::Position(500), "test").await.unwrap();
        while world.store.feed_replay(&lease, 100).await.unwrap() {}
        assert_eq!(world.deliver_all(&lease).await, 1);
        assert!(world.store.decide_catch_up(&run.id, true, "test").await.unwrap());
        assert!(!world.store.decide_catch_up(&run.id, false, "test").await.unwrap());
        while world.store.feed_replay(&lease, 100).await.unwrap() {}
        let due = world.store.due_deliveries(&subscription.id, 10).await.unwrap();
        assert!(due.iter().all(|d| d.body().unwrap().starts_with("{\"replayed\":true,\"specversion\":\"1.0\",")));
        assert_eq!(world.deliver_all(&lease).await, 501);
        assert_eq!(world.states(&subscription).await, ["delivered"; 1002]);

        // Those of a mapping that is removed in between are not held for ever.
        let run = world.run_of(&mapping).await;
        world.joined(&mapping, 2001..2003, Some(run)).await;
        world.store.delete_mapping(&mapping, "test", None).await.unwrap();
        assert_eq!(world.states(&subscription).await.len(), 1004);
    }

    async fn what_happens_to_the_sync_is_told_to_those_who_name_it(database: TestDatabase) {
        let world = World::new(database).await;
        let (mapping, other) = (world.mapped(1).await, world.mapped(2).await);
        let names = ["sync.mapping.failed", "sync.removals.waiting", "sync.quota.exhausted", "sync.source.silent"];
        let operator = world.subscribed(types(&names)).await;
        let of_one = world.subscribed(Wanted { campaign_ids: vec![mapping.campaign_id.to_string()], ..types(&names) }).await;
        world.subscribed(Wanted::default()).await;
        for mapping in [&mapping, &mapping, &other] {
            world.store.fail_mapping(mapping, "campaign_gone").await.unwrap();
        }
        let limits = GuardLimits { members: 0, percent: 0, window: 1000 };
        for member in ["m1", "m1", "m2"] {
            let removals = [(member.to_owned(), Side::Marketo)];
            world.store.guard(&mapping.id, mapping.campaign_id.as_str(), &removals, &limits).await.unwrap();
        }
        let quota = || Notice::QuotaExhausted { vendor: "marketo".to_owned() };
        let day = 86_400_000;
        assert!(world.store.tell_once(quota(), day).await.unwrap());
        assert!(!world.store.tell_once(quota(), day).await.unwrap());
        assert!(world.store.tell_once(Notice::QuotaExhausted { vendor: "salesforce".to_owned() }, day).await.unwrap());
        world.clock.advance(Duration::from_secs(86_400));
        assert!(world.store.tell_once(quota(), day).await.unwrap());
        world.store.forget_told(&quota()).await.unwrap();
        assert!(world.store.tell_once(quota(), day).await.unwrap());
        let silent = [Silence { source: Source::Marketo, last_heard: Some(world.now()) }];
        for _ in 0..2 {
            world.store.note_silence(&silent).await.unwrap();
        }
        let told = async |subscription: &Subscription| {
            let deliveries = world.store.deliveries_of(&subscription.id, None, None, 50).await.unwrap();
            let mut kinds: Vec<_> = deliveries.into_iter().map(|d| d.kind).collect();
            kinds.sort();
            kinds
        };
        let [failed, removals, quota, silent] = names;
        assert_eq!(told(&operator).await, [failed, failed, quota, quota, quota, quota, removals, silent]);
        assert_eq!(told(&of_one).await, [failed, quota, quota, quota, quota, removals, silent]);
        assert_eq!(world.tables.lines("deliveries", &["subscription_id"]).await.len(), 15);
        let lease = world.leased("a").await.into_iter().find(|lease| lease.subscription_id == of_one.id).unwrap();
        let due = world.store.due_deliveries(&lease.subscription_id, 1).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&due[0].body().unwrap()).unwrap();
        assert_eq!(body["source"], format!("/mappings/{}", mapping.id));
        assert_eq!((&body["data"]["reason"], &body["data"]["program_id"]), (&"campaign_gone".into(), &1.into()));
    }
}
