//! Several workers, webhooks and a reader at once: no deadlock, no lost row, no missed event.

use std::time::Duration;

use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, transition};
use campaign_sync::store::members::Member;
use campaign_sync::store::outbox::Decision;
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, Recorded};
use campaign_sync::store::triggers::EventFilter;

use super::{End, LEASE, World, delivery, lead, parked, settled};
use crate::support::on_both;

const LANES: u32 = 6;
const ROUNDS: i64 = 40;

on_both! {
    async fn workers_and_webhooks_neither_block_nor_lose(database: TestDatabase) {
        let world = World::new(database).await;
        let mut mappings = Vec::new();
        for n in 1..=LANES {
            mappings.push(world.mapped(n).await);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..3_i64 {
            let store = world.store.clone();
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    // Lanes in another order in each task.
                    let mut programs: Vec<u32> = (1..=LANES).collect();
                    programs.rotate_left(usize::try_from(task).unwrap());
                    let name = format!("{task}-{round}");
                    let group: Vec<_> = programs.into_iter().map(|p| delivery(Some(&format!("{name}-{p}")), p, &[round % 7])).collect();
                    store.ingest(&group).await.unwrap();
                    store.ensure_people(&[Half::Marketo(round), Half::Salesforce(lead(7))]).await.unwrap();
                }
            });
        }
        for task in 0..4 {
            let store = world.store.clone();
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    let claim = store.claim(&format!("w{task}"), LEASE, 4).await.unwrap();
                    let (kept, _) = store.renew(&claim.leases, LEASE).await.unwrap();
                    assert_eq!(kept.len(), claim.leases.len());
                    let end = if round % 3 == 0 { parked() } else { End::Applied };
                    let settled = claim.changes.iter().map(|c| settled(c, end.clone())).collect();
                    store.record(Batch { leases: claim.leases, settled, ..Batch::default() }).await.unwrap();
                }
            });
        }
        let store = world.store.clone();
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                for change in store.changes(&campaign_sync::store::outbox::ChangeFilter { states: vec!["parked".to_owned()], ..Default::default() }, None, 3).await.unwrap() {
                    store.decide_change(&change.id, Decision::Retry).await.unwrap();
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(60), tasks.join_all()).await.unwrap();
        loop {
            let claim = world.claim().await;
            if claim.changes.is_empty() {
                break;
            }
            world.end_all(claim, &End::Applied).await;
        }
        let ended = |row: &String| row.starts_with("completed") || row.starts_with("parked");
        assert!(world.rows().await.iter().all(ended));
        assert_eq!(world.tables.lines("inbox", &["id"]).await.len(), 3 * usize::try_from(ROUNDS).unwrap() * 6);
        world.recount().await;
    }

    async fn a_reader_with_a_cursor_misses_no_event(database: TestDatabase) {
        let world = World::new(database).await;
        let mut mappings = Vec::new();
        for n in 1..=4 {
            mappings.push(world.mapped(n).await);
        }
        let people = world.people(&(1..=4).map(Half::Marketo).collect::<Vec<_>>()).await;
        let work: Vec<_> = mappings.iter().map(|m| world.hint(m, 1)).collect();
        world.enqueue(&work).await;
        let claim = world.claim().await;
        let added = transition(&Seen::Absent, &Seen::Status("Sent".to_owned())).unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for (lease, person) in claim.leases.into_iter().zip(people) {
            let (store, added) = (world.store.clone(), added.clone());
            writers.spawn(async move {
                let mut member = Member::new(store.new_id(), lease.lane.clone(), person);
                for round in 0..25 {
                    let events = vec![(added.clone(), DetectedBy::Webhook, Origin::Salesforce); round % 3];
                    let count = i64::try_from(events.len()).unwrap();
                    let members = vec![Recorded { member: member.clone(), events, history: vec![] }];
                    let keep = [lease.lane.clone()].into();
                    store.record(Batch { leases: vec![lease.clone()], members, keep, ..Batch::default() }).await.unwrap();
                    member.stored = true;
                    member.sequence += count;
                }
            });
        }
        // 0 + 1 + 2, eight times, and once more 0.
        let (mut read, all) = (Vec::new(), 4 * 24);
        let reading = async {
            while read.len() < all {
                let after = read.last().copied().unwrap_or(0);
                read.extend(world.store.events(&EventFilter::default(), after, 5).await.unwrap().iter().map(|e| e.position));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap();
        writers.join_all().await;
        assert_eq!(read, (1..=96).collect::<Vec<_>>());
        assert_eq!(world.store.last_position().await.unwrap(), 96);
        let numbered = world.tables.lines("trigger_events", &["member_id", "CASE WHEN sequence < 10 THEN '0' ELSE '' END || CAST(sequence AS TEXT)"]).await;
        let numbers: Vec<_> = numbered.iter().map(|line| line.split_once('|').unwrap().1.parse::<usize>().unwrap()).collect();
        assert_eq!(numbers, (0..4).flat_map(|_| 1..=24).collect::<Vec<_>>());
    }
}
