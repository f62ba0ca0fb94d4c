//! Deliveries: stored with their events, leased and fenced, given up and replayed.

use std::collections::HashMap;
use std::time::Duration;

use campaign_sync::domain::subscription::{DisabledReason, SubscriptionState, Wanted};
use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, transition};
use campaign_sync::store::deliveries::{Attempted, DeliveryLease, DueDelivery, Health, Outcome};
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::members::Member;
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, Recorded};
use campaign_sync::store::replays::ReplayFrom;
use campaign_sync::store::runs::Run;
use campaign_sync::store::subscriptions::{NewSubscription, Subscription, SubscriptionChange, Target};

use super::{LEASE, World};
use crate::support::on_both;

impl World {
    pub(super) async fn subscribed(&self, wanted: Wanted) -> Subscription {
        let new = NewSubscription {
            target: Target::Url("https://example.com/".to_owned()),
            description: String::new(),
            wanted,
            enabled: true,
            secret: Some("whsec_x".to_owned()),
        };
        self.store.create_subscription(&new, "test").await.unwrap()
    }

    async fn set_enabled(&self, subscription: &Subscription, enabled: bool) {
        let change = SubscriptionChange { enabled: Some(enabled), ..SubscriptionChange::default() };
        assert!(self.store.change_subscription(&subscription.id, &change, "test").await.unwrap());
    }

    /// New members of a mapping's campaign, each told of, found by the run if there is one.
    pub(super) async fn joined(&self, mapping: &Mapping, people: std::ops::Range<i64>, run: Option<Run>) -> usize {
        self.enqueue(&[self.hint(mapping, people.start)]).await;
        let claim = self.claim().await;
        let batch = self.joining(mapping, people, run, claim.leases).await;
        self.store.record(batch).await.unwrap().len()
    }

    async fn joining(
        &self,
        mapping: &Mapping,
        people: std::ops::Range<i64>,
        run: Option<Run>,
        leases: Vec<campaign_sync::store::lanes::Lease>,
    ) -> Batch {
        let lane = mapping.campaign_id.to_string();
        let by = if run.is_some() { DetectedBy::Reconciliation } else { DetectedBy::Webhook };
        let people = self.people(&people.map(Half::Marketo).collect::<Vec<_>>()).await;
        let member = |person| {
            let mut member = Member::new(self.store.new_id(), lane.clone(), person);
            member.salesforce = Seen::Status("Sent".to_owned());
            let added = transition(&Seen::Absent, &member.salesforce).unwrap();
            Recorded { member, events: vec![(added, by, Origin::Salesforce)], history: vec![] }
        };
        let members = people.into_iter().map(member).collect();
        let mappings = HashMap::from([(lane.clone(), mapping.clone())]);
        Batch { leases, mappings, members, runs: run.into_iter().collect(), ..Batch::default() }
    }

    pub(super) async fn leased(&self, owner: &str) -> Vec<DeliveryLease> {
        self.store.claim_deliveries(owner, LEASE, 10).await.unwrap()
    }

    /// State of each delivery of a subscription, oldest first.
    pub(super) async fn states(&self, subscription: &Subscription) -> Vec<String> {
        let deliveries = self.store.deliveries_of(&subscription.id, None, None, 5000).await.unwrap();
        deliveries.into_iter().rev().map(|delivery| delivery.state).collect()
    }

    /// Delivers whatever is due to a subscription that is leased; how many.
    pub(super) async fn deliver_all(&self, lease: &DeliveryLease) -> usize {
        let mut count = 0;
        loop {
            let due = self.store.due_deliveries(&lease.subscription_id, 200).await.unwrap();
            if due.is_empty() {
                return count;
            }
            count += due.len();
            let attempts: Vec<_> = due.iter().map(|d| attempt(d, Outcome::Delivered)).collect();
            let health = Health { taken: true, ..Health::default() };
            assert!(self.store.record_attempts(lease, &attempts, &health).await.unwrap());
        }
    }
}

fn attempt(due: &DueDelivery, outcome: Outcome) -> Attempted {
    Attempted {
        delivery_id: due.id.clone(),
        started_at: due.started_at,
        attempt: Some(due.attempts + 1),
        at: 0,
        code: Some(200),
        latency_ms: 1,
        error: None,
        body: None,
        outcome,
    }
}

pub(super) fn types(names: &[&str]) -> Wanted {
    Wanted { types: names.iter().map(ToString::to_string).collect(), ..Wanted::default() }
}

on_both! {
    async fn they_are_stored_with_the_events_that_are_recorded_and_no_others(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let all = world.subscribed(Wanted::default()).await;
        let some = world.subscribed(Wanted { program_ids: vec![1], new_statuses: vec!["Sent".to_owned()], ..types(&["campaign.member.added"]) }).await;
        let none = world.subscribed(Wanted { program_ids: vec![2], ..Wanted::default() }).await;
        let paused = world.subscribed(Wanted::default()).await;
        world.set_enabled(&paused, false).await;
        // Under a fence that has moved: neither events nor deliveries.
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let stale = world.claim().await.leases;
        world.clock.advance(LEASE);
        let fresh = world.claim().await.leases;
        let batch = world.joining(&mapping, 1..4, None, stale).await;
        assert!(world.store.record(batch).await.unwrap().is_empty());
        assert!(world.states(&all).await.is_empty());
        let batch = world.joining(&mapping, 1..4, None, fresh).await;
        assert_eq!(world.store.record(batch).await.unwrap().len(), 1);
        assert_eq!(world.states(&all).await, ["pending"; 3]);
        assert_eq!(world.states(&some).await, ["pending"; 3]);
        assert_eq!((world.states(&none).await.len(), world.states(&paused).await.len()), (0, 0));
        let stopped = world.store.subscription(&paused.id).await.unwrap().unwrap();
        assert_eq!((stopped.state, stopped.stopped_position), (SubscriptionState::Paused, Some(0)));
        let log = world.store.deliveries_of(&all.id, None, None, 10).await.unwrap();
        assert_eq!(log.iter().map(|d| d.position).collect::<Vec<_>>(), [Some(3), Some(2), Some(1)]);
        // A new one hears of nothing that was before it.
        let late = world.subscribed(Wanted::default()).await;
        assert_eq!((late.since_position, world.states(&late).await.len()), (3, 0));
        assert!(world.store.delete_subscription(&all.id, "test").await.unwrap());
        assert!(!world.store.delete_subscription(&all.id, "test").await.unwrap());
        assert_eq!(world.tables.lines("deliveries", &["subscription_id"]).await, [some.id.as_str(); 3]);
    }

    async fn a_subscription_is_one_workers_and_what_an_old_lease_says_is_dropped(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let subscription = world.subscribed(Wanted::default()).await;
        assert!(world.leased("a").await.is_empty(), "nothing is due");
        world.joined(&mapping, 1..3, None).await;
        let first = world.leased("a").await.remove(0);
        assert!(world.leased("b").await.is_empty());
        // What comes meanwhile is found by whoever has it.
        world.joined(&mapping, 3..4, None).await;
        assert!(world.leased("b").await.is_empty());
        let due = world.store.due_deliveries(&subscription.id, 10).await.unwrap();
        assert_eq!(due.len(), 3);
        world.clock.advance(LEASE);
        let second = world.leased("b").await.remove(0);
        let done = |n: usize, outcome| attempt(&due[n], outcome);
        let store = &world.store;
        assert!(!store.record_attempts(&first, &[done(0, Outcome::Delivered)], &Health::default()).await.unwrap());
        assert!(store.renew_delivery(&first, LEASE).await.unwrap().is_none());
        store.release_delivery(&first).await.unwrap();
        assert!(store.endpoint(&first).await.unwrap().is_none());
        assert!(store.endpoint(&second).await.unwrap().is_some());
        let later = world.now() + 60_000;
        let attempts = [done(0, Outcome::Delivered), done(1, Outcome::Retry { due_at: later }), done(2, Outcome::Failed { reason: "expired" })];
        assert!(store.record_attempts(&second, &attempts, &Health { taken: true, ..Health::default() }).await.unwrap());
        assert_eq!(world.states(&subscription).await, ["delivered", "retrying", "failed"]);
        store.release_delivery(&second).await.unwrap();
        assert_eq!(store.next_delivery().await.unwrap(), Some(later));
        assert!(world.leased("c").await.is_empty());
        world.clock.advance(Duration::from_secs(60));
        let third = world.leased("c").await.remove(0);
        let due = store.due_deliveries(&subscription.id, 10).await.unwrap();
        assert_eq!(due.iter().map(|d| d.attempts).collect::<Vec<_>>(), [1]);
        // The receiver wants to be left alone: nothing is due before.
        let pause = Health { refused: true, not_before: Some(world.now() + 30_000), ..Health::default() };
        assert!(store.record_attempts(&third, &[attempt(&due[0], Outcome::Retry { due_at: world.now() })], &pause).await.unwrap());
        store.release_delivery(&third).await.unwrap();
        world.joined(&mapping, 4..5, None).await;
        assert_eq!(store.next_delivery().await.unwrap(), Some(world.now() + 30_000));
        // But a person who wants it now has it now.
        assert_eq!(store.retry_failed(&subscription.id, None).await.unwrap(), 1);
        let fourth = world.leased("d").await.remove(0);
        assert_eq!(world.deliver_all(&fourth).await, 3);
        store.release_delivery(&fourth).await.unwrap();
        assert_eq!(store.next_delivery().await.unwrap(), None);
        let attempts = store.delivery(&due[0].id).await.unwrap().unwrap().attempts;
        assert_eq!(attempts.iter().map(|a| a.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        // What is old goes, a retry that never came included.
        assert!(store.prune_deliveries(world.now(), world.now(), 3).await.unwrap());
        assert!(!store.prune_deliveries(world.now(), world.now(), 3).await.unwrap());
        assert!(world.tables.lines("delivery_attempts", &["delivery_id"]).await.is_empty());
    }

    async fn one_that_is_asked_for_again_while_it_is_on_its_way_is_made_again(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let subscription = world.subscribed(Wanted::default()).await;
        world.joined(&mapping, 1..2, None).await;
        let lease = world.leased("a").await.remove(0);
        let due = world.store.due_deliveries(&subscription.id, 10).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        assert!(world.store.retry_delivery(&due[0].id).await.unwrap());
        let taken = Health { taken: true, ..Health::default() };
        assert!(world.store.record_attempts(&lease, &[attempt(&due[0], Outcome::Delivered)], &taken).await.unwrap());
        assert_eq!(world.deliver_all(&lease).await, 1);
        assert_eq!(world.states(&subscription).await, ["delivered"]);
        let attempts = world.store.delivery(&due[0].id).await.unwrap().unwrap().attempts;
        assert_eq!(attempts.iter().map(|a| a.attempt).collect::<Vec<_>>(), [1, 2]);
    }

    async fn whoever_looks_sees_a_delivery_with_every_attempt_that_it_speaks_of(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let subscription = world.subscribed(Wanted::default()).await;
        world.joined(&mapping, 1..4, None).await;
        let lease = world.leased("a").await.remove(0);
        let (store, id, now) = (world.store.clone(), subscription.id.clone(), world.now());
        // Three attempts at each, of which the last is the one that succeeds.
        let writing = tokio::spawn(async move {
            for round in 1..=60 {
                let due = store.due_deliveries(&id, 10).await.unwrap();
                assert_eq!(due.len(), 3);
                let outcome = if round % 3 == 0 { Outcome::Delivered } else { Outcome::Retry { due_at: now } };
                let attempts: Vec<_> = due.iter().map(|d| attempt(d, outcome.clone())).collect();
                assert!(store.record_attempts(&lease, &attempts, &Health::default()).await.unwrap());
                if round % 3 == 0 && round < 60 {
                    for delivery in &due {
                        assert!(store.retry_delivery(&delivery.id).await.unwrap());
                    }
                }
            }
        });
        let mut looks = 0;
        while !writing.is_finished() {
            let listed = world.store.deliveries_of(&subscription.id, None, None, 10).await.unwrap();
            let one = world.store.delivery(&listed[0].id).await.unwrap().unwrap();
            for delivery in listed.iter().chain([&one]) {
                let made = delivery.attempts.len();
                let numbers: Vec<_> = delivery.attempts.iter().map(|a| a.attempt).collect();
                assert_eq!(numbers, (1..=i64::try_from(made).unwrap()).collect::<Vec<_>>());
                assert_eq!(delivery.state == "pending", made == 0, "{delivery:?}");
                assert!(delivery.state != "delivered" || (made > 0 && made % 3 == 0), "{delivery:?}");
            }
            assert!(listed.is_sorted_by(|a, b| a.id > b.id) && listed.len() == 3);
            looks += 1;
        }
        writing.await.unwrap();
        assert!(looks > 3, "{looks} looks are none");
        let end = world.store.deliveries_of(&subscription.id, Some("delivered"), None, 10).await.unwrap();
        assert!(end.len() == 3 && end.iter().all(|delivery| delivery.attempts.len() == 60), "{end:?}");
    }

    async fn what_one_gives_up_is_told_to_others_and_stays_to_be_replayed(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        // Two that are given up at the same time and want to hear of each other: whoever waits for whom, both end.
        let wanted = types(&["campaign.member.added", "sync.subscription.disabled"]);
        let pair = [world.subscribed(wanted.clone()).await, world.subscribed(wanted).await];
        world.joined(&mapping, 1..2, None).await;
        let leases = world.leased("a").await;
        assert_eq!(leases.len(), 2);
        let gone = Health { refused: true, disable: Some(DisabledReason::Gone), ..Health::default() };
        let mut ending = tokio::task::JoinSet::new();
        for lease in leases {
            let store = world.store.clone();
            ending.spawn(async move {
                let due = store.due_deliveries(&lease.subscription_id, 10).await.unwrap();
                let attempts = [attempt(&due[0], Outcome::Failed { reason: "gone" })];
                assert!(store.record_attempts(&lease, &attempts, &gone).await.unwrap());
                store.release_delivery(&lease).await.unwrap();
            });
        }
        ending.join_all().await;
        let told: usize = world.tables.lines("deliveries WHERE position IS NULL", &["type"]).await.len();
        assert_eq!(told, 1, "the second was told of the first, and the first was gone by then");
        world.joined(&mapping, 2..4, None).await;
        assert!(world.leased("a").await.is_empty());
        for subscription in &pair {
            let stored = world.store.subscription(&subscription.id).await.unwrap().unwrap();
            assert_eq!((stored.state, stored.reason.as_deref(), stored.stopped_position), (SubscriptionState::Disabled, Some("gone"), Some(1)));
        }
        let stopped = ReplayFrom::Position(1);
        assert_eq!(world.store.replay(&pair[0].id, stopped, "test").await.unwrap(), Some((1, 3)));
        assert!(world.leased("a").await.is_empty(), "it waits with its subscription");
        world.set_enabled(&pair[0], true).await;
        let lease = world.leased("a").await.remove(0);
        assert!(world.store.feed_replay(&lease, 1).await.unwrap() && world.store.feed_replay(&lease, 1).await.unwrap());
        assert!(world.deliver_all(&lease).await >= 2);
    }

    async fn events_receivers_and_people_at_once_lose_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        let mut subscriptions = Vec::new();
        for _ in 0..3 {
            subscriptions.push(world.subscribed(Wanted::default()).await);
        }
        let mut mappings = Vec::new();
        for n in 1..=3 {
            mappings.push(world.mapped(n).await);
        }
        let work: Vec<_> = mappings.iter().map(|mapping| world.hint(mapping, 1)).collect();
        world.enqueue(&work).await;
        let claim = world.claim().await;
        assert_eq!(claim.leases.len(), 3);
        let mut writers = tokio::task::JoinSet::new();
        for (lease, lane) in claim.leases.into_iter().zip(0_i64..) {
            let mapping = mappings.iter().find(|mapping| mapping.campaign_id.as_str() == lease.lane).unwrap();
            let mut batches = Vec::new();
            for round in 0..20 {
                let first = 1000 * lane + 3 * round;
                let mut batch = world.joining(mapping, first..first + 3, None, vec![lease.clone()]).await;
                batch.keep = [lease.lane.clone()].into();
                batches.push(batch);
            }
            let store = world.store.clone();
            writers.spawn(async move {
                for batch in batches {
                    assert_eq!(store.record(batch).await.unwrap().len(), 1);
                }
            });
        }
        let mut others = tokio::task::JoinSet::new();
        for owner in 0..2 {
            let store = world.store.clone();
            others.spawn(async move {
                for round in 0..60 {
                    for lease in store.claim_deliveries(&format!("d{owner}"), LEASE, 2).await.unwrap() {
                        let due = store.due_deliveries(&lease.subscription_id, 7).await.unwrap();
                        let attempts: Vec<_> = due.iter().map(|d| attempt(d, Outcome::Delivered)).collect();
                        let health = Health { taken: true, refused: round % 5 == 0, ..Health::default() };
                        assert!(store.record_attempts(&lease, &attempts, &health).await.unwrap());
                        store.release_delivery(&lease).await.unwrap();
                    }
                }
            });
        }
        let (store, toggled) = (world.store.clone(), subscriptions[0].id.clone());
        others.spawn(async move {
            for round in 0..20 {
                let change = SubscriptionChange { enabled: Some(round % 2 == 1), ..SubscriptionChange::default() };
                assert!(store.change_subscription(&toggled, &change, "test").await.unwrap());
            }
        });
        tokio::time::timeout(Duration::from_secs(60), writers.join_all()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), others.join_all()).await.unwrap();
        // What one has missed while it was stopped is replayed; then everybody has everything, once.
        world.set_enabled(&subscriptions[0], true).await;
        world.store.replay(&subscriptions[0].id, ReplayFrom::Position(0), "test").await.unwrap();
        loop {
            let leases = world.leased("last").await;
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                while world.store.feed_replay(&lease, 50).await.unwrap() {}
                world.deliver_all(&lease).await;
                world.store.release_delivery(&lease).await.unwrap();
            }
        }
        for subscription in &subscriptions {
            assert_eq!(world.states(subscription).await, ["delivered"; 180]);
            let positions = world.tables.texts(&format!("SELECT CAST(COUNT(DISTINCT position) AS TEXT) FROM deliveries WHERE subscription_id = '{}'", subscription.id)).await;
            assert_eq!(positions, ["180"]);
        }
    }

    async fn finding_what_is_due_reads_no_table_from_one_end_to_the_other(database: TestDatabase) {
        let world = World::new(database).await;
        world.tables.execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO subscriptions (id, url, description, wanted, state, since_position, next_due_at, created_at, updated_at)
             SELECT 's' || CAST(n AS TEXT), 'u', '', '{}', 'enabled', 0, CASE WHEN n % 100 = 0 THEN n END, 0, 0 FROM n;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO deliveries (id, subscription_id, event_id, type, state, due_at, started_at, created_at, completed_at)
             SELECT 'd' || CAST(n AS TEXT), CASE WHEN n % 2 = 0 THEN 's1' ELSE 's' || CAST(n AS TEXT) END, CAST(n AS TEXT), 't',
               CASE n % 4 WHEN 0 THEN 'delivered' WHEN 1 THEN 'failed' ELSE 'pending' END, n, 0, 0, CASE WHEN n % 4 = 0 THEN n END FROM n;",
        ).await;
        world.tables.execute("ANALYZE").await;
        let open = "d.state IN ('pending', 'retrying')";
        let statements = [
            "SELECT id FROM subscriptions WHERE next_due_at <= 500 ORDER BY next_due_at, id LIMIT 64".to_owned(),
            format!("SELECT d.id FROM deliveries d LEFT JOIN trigger_events e ON e.position = d.position WHERE d.subscription_id = 's1' AND {open}
                AND d.due_at <= 700 ORDER BY d.due_at, d.id LIMIT 40"),
            format!("SELECT MIN(due_at) FROM deliveries d WHERE d.subscription_id = 's1' AND {open}"),
            "SELECT id FROM deliveries WHERE subscription_id = 's1' AND id < 'g' AND state = 'failed' ORDER BY id DESC LIMIT 50".to_owned(),
            "SELECT id FROM deliveries WHERE completed_at <= 100 ORDER BY completed_at LIMIT 50".to_owned(),
        ];
        for sql in &statements {
            let scanned = world.tables.scanned(sql, sql).await;
            let big = scanned.iter().filter(|table| ["subscriptions", "deliveries", "d"].contains(&table.split(' ').next().unwrap()));
            assert_eq!(big.collect::<Vec<_>>(), [""; 0], "{sql}");
        }
    }
}
