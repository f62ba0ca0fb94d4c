//! The bridge sums exactly whatever members hold, and a page of people is linked at once as it would be one by one.

use std::collections::BTreeMap;

use campaign_sync::domain::merge::Reason;
use campaign_sync::domain::trigger::Seen;
use campaign_sync::store::links::{InHand, Link};
use campaign_sync::store::members::Member;
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, Recorded};

use super::{World, campaign, lead};
use crate::support::on_both;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

fn seen(dice: &mut Dice) -> Seen {
    match dice.below(4) {
        0 => Seen::Unknown,
        1 => Seen::Absent,
        n => Seen::Status(["Sent", "Attended"][n - 2].to_owned()),
    }
}

on_both! {
    async fn the_bridge_sums_exactly_over_any_members(database: TestDatabase) {
        let world = World::new(database).await;
        for round in 1..=40_u32 {
            let mapping = world.mapped(round).await;
            let mut dice = Dice(u64::from(round));
            let n = i64::try_from(dice.below(60)).unwrap();
            let first = i64::from(round) * 1_000;
            let people = world.people(&(first..first + n).map(Half::Marketo).collect::<Vec<_>>()).await;
            world.enqueue(&[world.hint(&mapping, first)]).await;
            let claim = world.claim().await;
            let mut expected = [0_i64; 3];
            let mut reasons: BTreeMap<String, i64> = BTreeMap::new();
            let mut members = Vec::new();
            for person in people {
                let mut member = Member::new(world.store.new_id(), campaign(round).to_string(), person);
                (member.marketo, member.salesforce) = (seen(&mut dice), seen(&mut dice));
                let reason = (dice.below(3) > 0).then(|| Reason::ALL[dice.below(Reason::ALL.len())]);
                member.sync_state = reason.map_or("in_sync", |reason| reason.state().as_str()).to_owned();
                member.reason = reason.map(|reason| reason.to_string());
                let there = [&member.marketo, &member.salesforce].map(|side| matches!(side, Seen::Status(_)));
                expected[0] += i64::from(there[0]);
                expected[1] += i64::from(there[1]);
                expected[2] += i64::from(there[0] && there[1] && reason.is_none());
                if (there[0] || there[1]) && !(there[0] && there[1] && reason.is_none()) {
                    *reasons.entry(member.reason.clone().unwrap_or_else(|| member.sync_state.clone())).or_default() += 1;
                }
                members.push(Recorded { member, events: Vec::new(), history: Vec::new() });
            }
            world.store.record(Batch { leases: claim.leases, members, ..Batch::default() }).await.unwrap();
            let bridge = world.store.bridge(campaign(round).as_str()).await.unwrap();
            let sum = |by: &BTreeMap<String, i64>| by.values().sum::<i64>();
            let both = bridge.in_sync + sum(&bridge.different);
            let sums = [both + sum(&bridge.only_marketo), both + sum(&bridge.only_salesforce), bridge.in_sync];
            assert_eq!(sums, expected, "{round}: {bridge:?}");
            let mut by_reason: BTreeMap<String, i64> = BTreeMap::new();
            for (reason, n) in [&bridge.only_marketo, &bridge.only_salesforce, &bridge.different].into_iter().flatten() {
                *by_reason.entry(reason.clone()).or_default() += n;
            }
            assert_eq!(by_reason, reasons, "{round}");
        }
        world.recount().await;
        assert_eq!(world.store.compact_tallies().await.unwrap(), 0, "they were put together already");
    }

    async fn a_page_of_people_is_linked_at_once(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let lane = mapping.campaign_id.to_string();
        let marketo = world.people(&(1..=500).map(Half::Marketo).collect::<Vec<_>>()).await;
        let salesforce = world.people(&(1..=500).map(|n| Half::Salesforce(lead(n))).collect::<Vec<_>>()).await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let claim = world.claim().await;
        let member = |person: &campaign_sync::store::people::Person| {
            let mut member = Member::new(world.store.new_id(), lane.clone(), person.clone());
            let status = Seen::Status("Attended".to_owned());
            if person.marketo_id.is_some() { member.marketo = status } else { member.salesforce = status }
            Recorded { member, events: Vec::new(), history: vec![("decided", serde_json::json!({"rule": "2"}))] }
        };
        let members = marketo.iter().chain(&salesforce).map(member).collect();
        world.store.record(Batch { leases: claim.leases, members, ..Batch::default() }).await.unwrap();

        let link = |m: i64, s: u32| Link {
            person_id: marketo.iter().find(|p| p.marketo_id == Some(m)).unwrap().id.clone(),
            marketo: m,
            salesforce: lead(s),
            instead_of: None,
        };
        let mut links: Vec<Link> = (1..=498).map(|n| link(n, u32::try_from(n).unwrap())).collect();
        // Twice the same is once, a second one for the same lead is none.
        links.push(link(1, 1));
        links.push(link(499, 2));
        // Nor a second one for a lead whom nobody knows yet.
        links.push(link(499, 501));
        links.push(link(500, 501));
        let in_hand: InHand = marketo.iter().map(|p| (lane.clone(), p.id.clone())).collect();
        let linked = world.store.link_all(&links, &in_hand).await.unwrap();
        assert!(linked[..499].iter().all(Option::is_some));
        assert_eq!(linked[499], None);
        assert!(linked[500].is_some());
        assert_eq!(linked[501], None);
        assert_eq!(world.store.member_total(&lane).await.unwrap(), 502);
        let people = world.store.people(&[Half::Marketo(7), Half::Salesforce(lead(7)), Half::Salesforce(lead(500))]).await.unwrap();
        assert_eq!(people.len(), 2, "{people:?}");
        let joined = world.store.members_of(&[(lane.clone(), linked[6].as_ref().unwrap().id.clone())]).await.unwrap().remove(0);
        assert_eq!((&joined.marketo, &joined.salesforce), (&Seen::Status("Attended".to_owned()), &Seen::Status("Attended".to_owned())));
        // What was told of both is told of the one that stayed; who is in hand is not looked at again.
        assert_eq!(world.store.history(&joined.id, 0, 10).await.unwrap().len(), 2);
        assert_eq!(world.rows().await.len(), 1);
        world.recount().await;
    }
}
