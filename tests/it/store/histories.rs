//! Random histories: whatever is done, in whatever order, both databases end up with the same rows.
//!
//! One task and a clock that stands still, so that a seed is a history. Ids differ, their order does not: each is shown as its
//! place in that order.

use std::collections::BTreeSet;
use std::time::Duration;

use campaign_sync::domain::mapping::MappingState;
use campaign_sync::store::lanes::Claim;
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::outbox::{ChangeFilter, Decision, Kind};
use campaign_sync::store::people::Half;
use campaign_sync::store::record::Batch;

use super::{COUNTERS, End, LEASE, World, delivery, given_up, lead, parked, retry, settled};
use crate::support::TestDatabase;

const SEEDS: u64 = 60;
const STEPS: usize = 16;

/// A small generator, so that a seed means the same for ever. Source of the constants: Knuth, MMIX.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % sides
    }
}

async fn step(world: &World, dice: &mut Dice, mappings: &mut [Mapping], claims: &mut Vec<Claim>) {
    let store = &world.store;
    let at = dice.roll(2) as usize;
    match dice.roll(10) {
        0 | 1 => {
            let mut work = world.hint(&mappings[at], dice.roll(3).into());
            work.due_at += i64::from(dice.roll(3)) * 1000;
            work.payload = Some(dice.roll(2).to_string());
            work.kind = if dice.roll(5) == 0 { Kind::FlowAction } else { Kind::Hint };
            world.enqueue(&[work.clone(), work]).await;
        }
        2 => {
            let name = format!("d{}-{}", dice.0 >> 40, dice.roll(2));
            let people = [dice.roll(3).into(), dice.roll(3).into()];
            let one = delivery(Some(&name), u32::try_from(mappings[at].program_id).unwrap(), &people);
            store.ingest(&[one.clone(), one]).await.unwrap();
        }
        3 | 4 => claims.push(store.claim("w", LEASE, 1 + dice.roll(4) as usize).await.unwrap()),
        5 | 6 if !claims.is_empty() => {
            let claim = claims.remove(dice.roll(u32::try_from(claims.len()).unwrap()) as usize);
            let ends = [End::Applied, End::NoOp, retry(world.now() + 1000), retry(world.now()), parked(), given_up()];
            let settled = claim.changes.iter().map(|c| settled(c, ends[dice.roll(6) as usize].clone())).collect();
            store.record(Batch { leases: claim.leases, settled, ..Batch::default() }).await.unwrap();
        }
        7 => {
            let changes = store.changes(&ChangeFilter::default(), None, 100).await.unwrap();
            if let Some(change) = changes.get(dice.roll(8) as usize) {
                let decision = if dice.roll(2) == 0 { Decision::Retry } else { Decision::Discard };
                store.decide_change(&change.id, decision).await.unwrap();
            }
        }
        8 => {
            let mapping = &mut mappings[at];
            let paused = mapping.state == MappingState::Paused;
            mapping.state = if paused { MappingState::Active } else { MappingState::Paused };
            store.update_mapping(mapping, dice.roll(3) == 0, "test", "").await.unwrap();
            mapping.version += 1;
        }
        _ => {
            let n = dice.roll(3);
            let people = world.people(&[Half::Marketo(n.into()), Half::Salesforce(lead(n))]).await;
            store.link(&people[0].id, n.into(), &lead(n)).await.unwrap();
            world.clock.advance(Duration::from_millis(u64::from(dice.roll(3)) * 30_500));
        }
    }
}

async fn dump(world: &World) -> Vec<String> {
    let ledger: Vec<_> = ["mapping_id", "window_start"].into_iter().chain(COUNTERS).collect();
    let flag = "CASE WHEN halted THEN 1 ELSE 0 END";
    let tables: [(&str, &[&str]); 6] = [
        ("lanes", &["id", flag, "next_due_at", "lease_owner", "lease_until", "fence"]),
        (
            "outbox",
            &[
                "id",
                "lane",
                "mapping_id",
                "kind",
                "subject",
                "source",
                "payload",
                "state",
                "attempts",
                "due_at",
                "fence",
                "reason",
                "outcome",
                "window_start",
                "created_at",
                "completed_at",
            ],
        ),
        ("inbox", &["source", "delivery_id", "position", "change_id", "hint", "received_at"]),
        ("people", &["id", "marketo_id", "salesforce_id", "email"]),
        ("runs", &["id", "lane", "mapping_id", "kind", "state", "stage", "generation", "due_at"]),
        ("ledger", &ledger),
    ];
    let mut lines = Vec::new();
    for (table, columns) in tables {
        lines.extend(world.tables.lines(table, columns).await.into_iter().map(|line| format!("{table}|{line}")));
    }
    let is_id = |cell: &&str| cell.len() == 36 && cell.matches('-').count() == 4;
    let ids: BTreeSet<String> =
        lines.iter().flat_map(|line| line.split('|')).filter(is_id).map(str::to_owned).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let name = |cell: &str| {
        ids.binary_search_by(|id| id.as_str().cmp(cell)).map_or_else(|_| cell.to_owned(), |n| format!("#{n}"))
    };
    let mut lines: Vec<_> = lines.iter().map(|line| line.split('|').map(name).collect::<Vec<_>>().join("|")).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn both_databases_end_up_with_the_same_rows() {
    let mut worlds = Vec::new();
    for database in TestDatabase::each().await {
        let world = World::over(database, 1).await;
        let mappings = vec![world.mapped(1).await, world.mapped(2).await];
        worlds.push((world, mappings));
    }
    for seed in 0..SEEDS {
        let mut ends = Vec::new();
        for (world, mappings) in &mut worlds {
            world
                .tables
                .execute("DELETE FROM outbox; DELETE FROM inbox; DELETE FROM ledger; DELETE FROM people;")
                .await;
            let (mut dice, mut claims) = (Dice(seed), Vec::new());
            for _ in 0..STEPS {
                step(world, &mut dice, mappings, &mut claims).await;
            }
            world.recount().await;
            ends.push(dump(world).await);
        }
        for end in &ends[1..] {
            let differs = end.iter().zip(&ends[0]).find(|(one, other)| one != other);
            assert!(
                *end == ends[0],
                "seed {seed}: {} and {} rows, the first that differ: {differs:#?}",
                end.len(),
                ends[0].len()
            );
        }
    }
}
