//! Commands: taken before hints, in the order in which they came, and none of them lost by waiting for its turn.

use campaign_sync::domain::flow_action::FlowAction;
use campaign_sync::domain::merge::Side;
use campaign_sync::store::flow_actions::{Named, NewFlowAction};
use campaign_sync::store::lanes::Claim;
use campaign_sync::store::outbox::Subject;
use campaign_sync::store::people::Half;

use super::{End, World, campaign, lead};
use crate::support::on_both;

async fn ask(world: &World, n: u32, person: i64) -> String {
    let named = Named { person: format!("{{\"marketo_id\":{person}}}"), subject: Ok(Subject::Marketo(person)) };
    let new = NewFlowAction {
        action: FlowAction::Add,
        campaign_id: campaign(n),
        campaign_name: "Fair".to_owned(),
        status: Some("Sent".to_owned()),
        program_id: None,
        people: vec![named],
        actor: "test".to_owned(),
    };
    world.store.create_flow_action(&new).await.unwrap()
}

fn subjects(claim: &Claim) -> Vec<String> {
    claim.changes.iter().map(|change| format!("{} {}", change.kind, change.subject)).collect()
}

on_both! {
    async fn commands_are_taken_before_hints_and_their_lanes_before_others(database: TestDatabase) {
        let world = World::new(database).await;
        let (busy, other) = (world.mapped(1).await, world.mapped(2).await);
        for person in 1..=5 {
            world.enqueue(&[world.hint(&other, person), world.hint(&busy, person)]).await;
        }
        world.clock.advance(std::time::Duration::from_secs(1));
        ask(&world, 1, 7).await;
        let claim = world.store.claim("a", super::LEASE, 1).await.unwrap();
        assert_eq!(subjects(&claim), ["flow_action marketo:7"]);
        assert_eq!(claim.changes[0].mapping_id.as_ref(), Some(&busy.id));
        world.end_all(claim, &End::Skipped { reason: "already_member".to_owned() }).await;
        world.recount().await;
    }

    async fn a_turn_that_has_not_come_is_no_attempt_and_keeps_the_command(database: TestDatabase) {
        let world = World::new(database).await;
        let first = ask(&world, 1, 7).await;
        assert!(world.store.is_flow_action_open(&first).await.unwrap());
        for _ in 0..3 {
            let claim = world.claim().await;
            assert_eq!((claim.changes[0].attempts, claim.changes[0].payload.is_some()), (1, true));
            world.end_all(claim, &End::Later { due_at: world.now() }).await;
        }
        let claim = world.claim().await;
        world.end_all(claim, &super::retry(world.now())).await;
        let second = ask(&world, 1, 7).await;
        // Only the second is claimed: the first is in front, by whichever name.
        world.clock.advance(std::time::Duration::from_secs(1));
        let claim = world.claim().await;
        assert_eq!((claim.changes.len(), claim.changes[0].attempts), (2, 2));
        let (lane, fence) = (claim.leases[0].lane.clone(), claim.leases[0].fence);
        let turn = |id: &str, fence: i64| (lane.clone(), "marketo:7".to_owned(), id.to_owned(), fence);
        let (older, younger) = (claim.changes[0].id.clone(), claim.changes[1].id.clone());
        let in_front = world.store.commands_in_front(&[turn(&younger, fence - 1), turn(&older, fence - 1)]).await.unwrap();
        assert_eq!(in_front.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&younger]);
        assert!(world.store.commands_in_front(&[turn(&younger, fence)]).await.unwrap().is_empty(), "in the same hands");
        world.end_all(claim, &End::Applied).await;
        for id in [first, second] {
            assert!(!world.store.is_flow_action_open(&id).await.unwrap());
        }
        assert_eq!(world.rows().await, ["completed applied 2", "completed applied 1"]);
    }

    async fn a_campaign_is_read_once_when_it_is_first_named(database: TestDatabase) {
        let world = World::new(database).await;
        ask(&world, 3, 1).await;
        ask(&world, 3, 2).await;
        assert_eq!(world.tables.lines("runs", &["kind", "state", "mapping_id"]).await, ["first_read|running|~"]);
        assert!(world.store.is_tracked(campaign(3).as_str()).await.unwrap());
        let mapped = world.mapped(4).await;
        ask(&world, 4, 1).await;
        assert_eq!(world.tables.lines("runs WHERE kind = 'first_read'", &["lane"]).await, [campaign(3).as_str()]);
        let tracked = world.store.tracked_campaigns(None).await.unwrap();
        assert_eq!(tracked.iter().map(|c| (c.complete, c.mapping_id.as_ref())).collect::<Vec<_>>(), [(false, None), (true, Some(&mapped.id))]);
    }

    async fn somebody_known_by_an_address_alone_is_one_row_until_there_is_an_id(database: TestDatabase) {
        let world = World::new(database).await;
        let emails = ["a@b.c".to_owned(), "d@e.f".to_owned()];
        let people = world.store.ensure_addressed(&emails).await.unwrap();
        assert_eq!(world.store.ensure_addressed(&emails).await.unwrap().len(), 2);
        let ids: Vec<String> = people.iter().map(|person| person.id.clone()).collect();
        assert_eq!(world.store.unknown_to(Side::Salesforce, &ids).await.unwrap().len(), 2);
        let person = people.iter().find(|person| person.email.as_deref() == Some("a@b.c")).unwrap();
        let now = world.store.follow(&person.id, &Half::Salesforce(lead(1))).await.unwrap();
        assert_eq!((now.id.as_str(), now.email.as_deref()), (person.id.as_str(), Some("a@b.c")));
        assert_eq!(world.store.addressed(&emails).await.unwrap().len(), 1);
        let unknown = world.store.unknown_to(Side::Salesforce, &ids).await.unwrap();
        assert!(unknown.len() == 1 && !unknown.contains(&person.id));
    }
}
