//! People and intents: one row for each, linked one-to-one, and never created by two at once.

use std::time::Duration;

use campaign_sync::domain::merge::Side;
use campaign_sync::store::StoreError;
use campaign_sync::store::members::Member;
use campaign_sync::store::people::{Half, Person};
use campaign_sync::store::record::{Batch, Recorded};

use super::{LEASE, World, lead};
use crate::support::on_both;

async fn join_lane(world: &World, lane: &str, person: &Person, sequence: i64) {
    let claim = world.claim().await;
    let mut member = Member::new(world.store.new_id(), lane.to_owned(), person.clone());
    (member.sequence, member.in_marketo.added) = (sequence, sequence > 1);
    let members = vec![Recorded { member, events: vec![], history: vec![] }];
    world.store.record(Batch { leases: claim.leases, members, ..Batch::default() }).await.unwrap();
}

on_both! {
    async fn people_are_made_known_once(database: TestDatabase) {
        let world = World::new(database).await;
        let halves: Vec<_> = (1..=40).flat_map(|n: u32| [Half::Marketo(n.into()), Half::Salesforce(lead(n))]).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..6 {
            let (store, mut halves) = (world.store.clone(), halves.clone());
            halves.rotate_left(turn * 13);
            tasks.spawn(async move { store.ensure_people(&halves).await.unwrap() });
        }
        let found = tasks.join_all().await;
        assert!(found.iter().all(|people| people.len() == 80 && *people == found[0]));
        assert_eq!(world.store.people(&halves[..3]).await.unwrap().len(), 3);
        assert!(world.store.people(&[Half::Marketo(99)]).await.unwrap().is_empty());
    }

    async fn two_rows_of_one_human_are_joined(database: TestDatabase) {
        let world = World::new(database).await;
        let (both, one) = (world.mapped(1).await, world.mapped(2).await);
        let people = world.people(&[Half::Marketo(1), Half::Salesforce(lead(1))]).await;
        let marketo = people.iter().find(|p| p.marketo_id.is_some()).unwrap();
        let salesforce = people.iter().find(|p| p.salesforce_id.is_some()).unwrap();
        for (mapping, person, sequence) in [(&both, marketo, 1), (&both, salesforce, 2), (&one, salesforce, 3)] {
            world.enqueue(&[world.hint(mapping, 1)]).await;
            join_lane(&world, mapping.campaign_id.as_str(), person, sequence).await;
        }
        let linked = world.store.link(&marketo.id, 1, &lead(1)).await.unwrap();
        assert_eq!((&linked.id, linked.marketo_id, &linked.salesforce_id), (&marketo.id, Some(1), &Some(lead(1))));
        assert_eq!(world.people(&[Half::Marketo(1), Half::Salesforce(lead(1))]).await, std::slice::from_ref(&linked));
        let mut rows = world.store.memberships(std::slice::from_ref(&linked.id)).await.unwrap();
        rows.sort_by_key(|m| m.sequence);
        assert_eq!(rows.iter().map(|m| (m.sequence, m.in_marketo.added, m.after_merge)).collect::<Vec<_>>(), [(1, true, false), (3, true, false)]);
        let subject = format!("person:{}", linked.id);
        let again = world.tables.lines(&format!("outbox WHERE subject = '{subject}'"), &["lane"]).await;
        assert_eq!(again, [both.campaign_id.as_str(), one.campaign_id.as_str()]);
        assert_eq!(world.store.link(&linked.id, 1, &lead(1)).await.unwrap(), linked, "the same again changes nothing");
        world.recount().await;
    }

    async fn links_are_one_to_one(database: TestDatabase) {
        let world = World::new(database).await;
        let first = world.people(&[Half::Marketo(1)]).await.remove(0);
        world.store.link(&first.id, 1, &lead(1)).await.unwrap();
        let other = world.people(&[Half::Marketo(2)]).await.remove(0);
        let conflict = |result| assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
        conflict(world.store.link(&other.id, 2, &lead(1)).await);
        conflict(world.store.link(&first.id, 1, &lead(2)).await);
        conflict(world.store.link("nobody", 2, &lead(2)).await);
        // A conversion moves the link; whoever has the new id already is the same person.
        let contact = Half::Salesforce(super::id("003", 1));
        let known = world.people(std::slice::from_ref(&contact)).await.remove(0);
        let followed = world.store.follow(&first.id, &contact).await.unwrap();
        assert_eq!((&followed.id, followed.marketo_id), (&first.id, Some(1)));
        assert_eq!(world.people(&[contact]).await, [followed]);
        conflict(world.store.follow(&known.id, &Half::Marketo(9)).await);
        assert!(world.store.people(&[Half::Salesforce(lead(1))]).await.unwrap().is_empty());
    }

    async fn links_of_the_same_two_at_once_end_in_one_person(database: TestDatabase) {
        let world = World::new(database).await;
        for n in 1..=15_u32 {
            let halves = [Half::Marketo(n.into()), Half::Salesforce(lead(n))];
            let people = world.people(&halves).await;
            let salesforce = lead(n);
            let link = |person: &Person| { let (store, id, salesforce) = (world.store.clone(), person.id.clone(), salesforce.clone());
                async move { store.link(&id, n.into(), &salesforce).await } };
            let (one, two) = tokio::join!(link(&people[0]), link(&people[1]));
            assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
            assert!(matches!(one.and(two), Err(StoreError::Conflict(_))));
            assert_eq!(world.people(&halves).await.len(), 1);
        }
    }

    async fn one_at_a_time_creates_a_person(database: TestDatabase) {
        let world = World::new(database).await;
        let wanted: Vec<_> = [("email:b@x.org", "p2"), ("email:a@x.org", "p1")].map(|(k, p)| (k.to_owned(), p.to_owned())).into();
        let intend = |owner: &'static str, wanted: &[(String, String)]| {
            let (store, wanted) = (world.store.clone(), wanted.to_vec());
            async move { store.intend(owner, Side::Salesforce, &wanted, LEASE).await.unwrap() }
        };
        let reversed: Vec<_> = wanted.iter().rev().cloned().collect();
        let (one, two) = tokio::join!(intend("one", &wanted), intend("two", &reversed));
        assert_eq!(one.len() + two.len(), 2);
        assert!(one.is_empty() || two.is_empty());
        let (winner, loser) = if two.is_empty() { ("one", "two") } else { ("two", "one") };
        assert!(one.iter().chain(&two).all(|intent| !intent.taken_over && !intent.follows && intent.started_at == world.now()));
        let again = intend(winner, &wanted).await;
        assert!(again.iter().all(|intent| intent.taken_over && intent.follows));
        assert_eq!(world.store.intend(loser, Side::Marketo, &wanted, LEASE).await.unwrap().len(), 2);
        world.store.conclude(loser, Side::Salesforce, &again).await.unwrap();
        assert!(intend(loser, &wanted).await.is_empty());
        world.store.conclude(winner, Side::Salesforce, &again[..1]).await.unwrap();
        let freed = intend(loser, &wanted).await;
        assert_eq!(freed.iter().map(|i| (&i.key, &i.person_id, i.taken_over)).collect::<Vec<_>>(), [(&wanted[0].0, &wanted[0].1, false)]);
        let started = world.now();
        world.clock.advance(LEASE);
        let late = intend("three", &wanted[1..]).await;
        assert!(late[0].taken_over && late[0].started_at == started);
        // Somebody else with the same address: the attempt before was not theirs.
        let other = intend("three", &[("email:a@x.org".to_owned(), "p3".to_owned())]).await;
        assert!(!other[0].taken_over && other[0].follows);
        world.clock.advance(Duration::from_millis(1));
    }

    async fn an_unfinished_attempt_is_of_one_of_those_who_share_an_address(database: TestDatabase) {
        let world = World::new(database).await;
        let people = world.people(&[Half::Marketo(1), Half::Marketo(2), Half::Marketo(3)]).await;
        let with_email: Vec<_> = people.iter().zip(["A@x.org", "a@x.org", "b@x.org"]).map(|(p, e)| (p.id.clone(), e.to_owned())).collect();
        world.store.keep_emails(&with_email).await.unwrap();
        let (address, others) = ("a@x.org".to_owned(), "b@x.org".to_owned());
        let unfinished = async || {
            let found = world.store.unfinished(Side::Salesforce, std::slice::from_ref(&address)).await.unwrap();
            found.into_iter().map(|attempt| (attempt.person.id, attempt.started_at)).collect::<Vec<_>>()
        };
        let intend = async |n: usize, address: &str| {
            let wanted = [(format!("email:{address}"), people[n].id.clone())];
            world.store.intend("one", Side::Salesforce, &wanted, LEASE).await.unwrap().remove(0)
        };
        assert_eq!(unfinished().await, []);
        let began = world.now();
        let first = intend(0, &address).await;
        intend(2, &others).await;
        assert_eq!(unfinished().await, [(people[0].id.clone(), began)]);
        assert_eq!(world.store.unfinished(Side::Marketo, std::slice::from_ref(&address)).await.unwrap(), []);
        // Not while another worker is at it.
        world.store.made_nothing("two", Side::Salesforce, &[people[0].id.clone()]).await.unwrap();
        assert_eq!(unfinished().await.len(), 1);
        world.clock.advance(Duration::from_secs(1));
        let second = intend(1, &address).await;
        assert!(second.follows && !second.taken_over);
        world.store.made_nothing("one", Side::Salesforce, &[people[0].id.clone()]).await.unwrap();
        assert_eq!(unfinished().await, [(people[1].id.clone(), world.now())]);
        // Whose record is known is finished, also when the intent was not ended.
        world.store.link(&people[1].id, people[1].marketo_id.unwrap(), &lead(2)).await.unwrap();
        assert_eq!(unfinished().await, []);
        let at = world.store.linked_at(&[lead(1), lead(2)]).await.unwrap();
        assert_eq!(at.into_iter().collect::<Vec<_>>(), [(lead(2), world.now())]);
        world.store.conclude("one", Side::Salesforce, &[first, second]).await.unwrap();
        assert_eq!(world.tables.lines("intents", &["key"]).await, [format!("email:{others}"), format!("who:{}", people[2].id)]);
    }
}
