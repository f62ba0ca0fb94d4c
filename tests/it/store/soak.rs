//! Traffic day after day, with what is old deleted as maintenance does: tables end as large as they were weeks before.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use campaign_sync::domain::subscription::Wanted;
use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, transition};
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, End, Recorded};
use campaign_sync::store::retention::Retention;

use super::{World, delivery, settled};
use crate::support::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEEP: Retention =
    Retention { bodies: DAY.saturating_mul(2), history: DAY.saturating_mul(5), completed: DAY.saturating_mul(2) };
const DAYS: usize = 24;
/// From then on as much goes as comes.
const SETTLED: usize = 8;
const PEOPLE: i64 = 12;
/// Rows of each kind that one batch deletes: fewer than a day brings.
const BATCH: i64 = 5;
/// What traffic writes to.
const TABLES: [&str; 13] = [
    "inbox",
    "outbox",
    "history",
    "trigger_events",
    "deliveries",
    "delivery_attempts",
    "runs",
    "people",
    "members",
    "member_tallies",
    "sources",
    "told",
    "lanes",
];

impl World {
    /// Everybody changes: a delivery for each, worked off, told to a subscriber, and the campaign compared.
    async fn day(&self, mapping: &Mapping, day: usize) {
        for person in 1..=PEOPLE {
            let id = format!("{day}-{person}");
            self.store.ingest(&[delivery(Some(&id), 1, &[person])]).await.unwrap();
            // Once more, as networks do.
            self.store.ingest(&[delivery(Some(&id), 1, &[person])]).await.unwrap();
        }
        let claim = self.claim().await;
        assert_eq!(claim.changes.len(), usize::try_from(PEOPLE).unwrap());
        let lane = mapping.campaign_id.to_string();
        let members = self.store.member_page(&lane, "", 1000).await.unwrap();
        let recorded = |mut member: campaign_sync::store::members::Member| {
            let next = Seen::Status(["Attended", "Sent"][day % 2].to_owned());
            let told = transition(&member.salesforce, &next).unwrap();
            member.salesforce = next;
            let history = vec![("decided", serde_json::json!({"day": day}))];
            Recorded { member, events: vec![(told, DetectedBy::Webhook, Origin::Salesforce)], history }
        };
        let batch = Batch {
            mappings: HashMap::from([(lane.clone(), mapping.clone())]),
            members: members.into_iter().map(recorded).collect(),
            settled: claim.changes.iter().map(|change| settled(change, End::Applied)).collect(),
            leases: claim.leases,
            ..Batch::default()
        };
        self.store.record(batch).await.unwrap();
        for lease in self.leased("deliverer").await {
            self.deliver_all(&lease).await;
        }
        self.store.start_run(&mapping.id, &lane, "reconciliation").await.unwrap();
        let claim = self.claim().await;
        let runs = claim.runs.iter().cloned().map(|mut run| {
            (run.state, run.completed_at) = ("completed".to_owned(), Some(self.now()));
            run
        });
        self.store.record(Batch { runs: runs.collect(), leases: claim.leases, ..Batch::default() }).await.unwrap();
    }

    /// What maintenance and the sweep of a worker do; how many batches it took.
    async fn tidy_up(&self) -> usize {
        let mut batches = 1;
        while self.store.prune(&KEEP, BATCH).await.unwrap() {
            batches += 1;
            assert!(batches < 200, "never done");
        }
        self.store.compact_tallies().await.unwrap();
        batches
    }

    async fn sizes(&self) -> BTreeMap<&'static str, usize> {
        let mut sizes = BTreeMap::new();
        for table in TABLES {
            let count = self.tables.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")).await;
            sizes.insert(table, count[0].parse().unwrap());
        }
        sizes
    }
}

on_both! {
    async fn tables_do_not_grow_with_the_days_on_which_there_was_traffic(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        world.subscribed(Wanted::default()).await;
        world.people(&(1..=PEOPLE).map(Half::Marketo).collect::<Vec<_>>()).await;
        world.joined(&mapping, 1..PEOPLE + 1, None).await;
        let claim = world.claim().await;
        world.end_all(claim, &End::Applied).await;
        let (mut most, mut batches) = (BTreeMap::new(), 0);
        for day in 0..DAYS {
            world.day(&mapping, day).await;
            world.clock.advance(DAY);
            batches = world.tidy_up().await;
            let sizes = world.sizes().await;
            // A week of it is the measure; whatever comes later is held against that.
            for (table, size) in sizes {
                let known = most.entry(table).or_insert(size);
                if day < SETTLED {
                    *known = size.max(*known);
                }
                assert!(size <= *known, "{table} has {size} rows on day {day}, and had at most {known} in the first {SETTLED}");
            }
        }
        assert!(batches > 1, "a day is more than a batch deletes");
        assert!(most["history"] > 0 && most["trigger_events"] > 0 && most["deliveries"] > 0 && most["inbox"] > 0, "{most:?}");
        // What is counted of it stays: a row for each mapping and hour in which something was received.
        let received = world.store.ledger(&mapping.id).await.unwrap().iter().map(|window| window.received).sum::<i64>();
        assert_eq!(received, PEOPLE * i64::try_from(DAYS).unwrap() + 1, "no delivery that was deleted is forgotten");
    }
}
