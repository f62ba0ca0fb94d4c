//! Recording: fenced, numbered without gaps, and counted; and what people decide about what is left.

use std::collections::HashMap;

use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, Transition, transition};
use campaign_sync::store::members::{Member, MemberFilter};
use campaign_sync::store::outbox::{ChangeFilter, Decision, Subject};
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, Recorded, VendorError};
use campaign_sync::store::triggers::EventFilter;

use super::{End, LEASE, World, given_up, id, lead, parked, retry, settled};
use crate::support::on_both;

fn status(text: &str) -> Seen {
    if text.is_empty() { Seen::Absent } else { Seen::Status(text.to_owned()) }
}

fn change(before: &str, after: &str) -> (Transition, DetectedBy, Origin) {
    (transition(&status(before), &status(after)).unwrap(), DetectedBy::Webhook, Origin::Salesforce)
}

on_both! {
    async fn only_what_is_still_ours_is_recorded(database: TestDatabase) {
        let world = World::new(database).await;
        let (lost, kept) = (world.mapped(1).await, world.mapped(2).await);
        world.enqueue(&[world.hint(&lost, 1), world.hint(&kept, 1)]).await;
        let first = world.claim().await;
        let lost_lease = first.leases.iter().find(|l| l.lane == lost.campaign_id.as_str()).unwrap().clone();
        world.store.release(std::slice::from_ref(&lost_lease)).await.unwrap();
        let second = world.claim().await;
        let people = world.people(&[Half::Marketo(1)]).await;
        let member = |lane: &str| {
            let mut member = Member::new(world.store.new_id(), lane.to_owned(), people[0].clone());
            (member.salesforce, member.campaign_member_id) = (status("Größe"), Some(id("00v", 7)));
            (member.in_marketo.added, member.salesforce_modstamp) = (true, Some(9_007_199_254_740_993));
            member
        };
        let members: Vec<_> = [&lost, &kept].map(|m| member(m.campaign_id.as_str())).into();
        assert_eq!(world.store.announce(&first.leases, members.clone()).await.unwrap().len(), 1);
        let events = vec![change("", "Sent"), change("Sent", "Größe")];
        let record = |member: &Member| {
            let member = Member { stored: true, ..member.clone() };
            Recorded { member, events: events.clone(), history: vec![("read", serde_json::json!({"true": 1}))] }
        };
        let batch = Batch {
            leases: first.leases.clone(),
            mappings: HashMap::from([(kept.campaign_id.to_string(), kept.clone())]),
            members: members.iter().map(record).collect(),
            settled: first.changes.iter().map(|c| settled(c, End::Applied)).collect(),
            ..Batch::default()
        };
        assert_eq!(world.store.record(batch).await.unwrap().len(), 1);
        assert_eq!(world.rows().await, ["running - 2", "completed applied 1"]);
        let stored = world.store.members_of(&[(kept.campaign_id.to_string(), people[0].id.clone())]).await.unwrap();
        let expected = Member { stored: true, sequence: 2, updated_at: world.now(), ..members[1].clone() };
        assert_eq!(stored, std::slice::from_ref(&expected));
        assert_eq!(world.store.memberships(&[people[0].id.clone()]).await.unwrap(), stored);
        assert_eq!(world.store.members_by_campaign_member(&[id("00v", 7)]).await.unwrap(), stored);
        assert_eq!(world.store.member(&expected.id).await.unwrap(), Some(expected));
        assert_eq!(world.tables.lines("history", &["kind", "detail"]).await, [r#"read|{"true":1}"#]);
        let events = world.store.events(&EventFilter::default(), 0, 10).await.unwrap();
        assert_eq!(events.iter().map(|e| e.position).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(world.tables.lines("trigger_events", &["position", "sequence", "status"]).await, ["1|1|Sent", "2|2|Größe"]);
        let filter = EventFilter { old_statuses: vec!["Sent".to_owned()], since: Some(world.now() - 1), ..EventFilter::default() };
        assert_eq!(world.store.events(&filter, 0, 10).await.unwrap().len(), 1);
        let filter = EventFilter { types: vec!["campaign.member.added".to_owned(), "x".to_owned()], since: Some(world.now()), ..EventFilter::default() };
        assert!(world.store.events(&filter, 0, 10).await.unwrap().is_empty());
        assert_eq!(world.store.last_position().await.unwrap(), 2);
        world.end_all(second, &End::NoOp).await;
        world.recount().await;
    }

    async fn a_younger_row_sees_to_an_older_one(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        // Two attempts of one subject in one claim: the first was abandoned, the second is new.
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        world.claim().await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        world.clock.advance(LEASE);
        let claim = world.claim().await;
        assert_eq!(claim.changes.len(), 2);
        world.end_all(claim, &retry(world.now())).await;
        assert_eq!(world.rows().await, ["completed superseded 2", "retryable - 1"]);
        // One that is retried while another waits.
        let claim = world.claim().await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        world.end_all(claim, &retry(world.now())).await;
        assert_eq!(world.rows().await, ["completed superseded 2", "completed superseded 2", "available - 0"]);
        world.recount().await;
    }

    async fn what_was_held_is_settled_by_a_later_success(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        for end in [parked(), given_up(), parked()] {
            world.enqueue(&[world.hint(&mapping, 1), world.hint(&mapping, 2)]).await;
            let claim = world.claim().await;
            world.end_all(claim, &end).await;
            world.recount().await;
        }
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let claim = world.claim().await;
        world.end_all(claim, &End::NoOp).await;
        let rows = world.rows().await;
        assert_eq!(rows.iter().filter(|row| row.contains("superseded")).count(), 3);
        assert_eq!(rows.iter().filter(|row| row.starts_with("parked") || row.starts_with("discarded")).count(), 3);
        world.recount().await;
    }

    async fn people_decide_about_what_is_left(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let error = VendorError { vendor: "marketo".to_owned(), code: "1004".to_owned(), message: "no\nsuch".to_owned() };
        let ids = world.enqueue(&[world.hint(&mapping, 1), world.hint(&mapping, 2), world.hint(&mapping, 3)]).await;
        let claim = world.claim().await;
        world.end_all(claim, &End::Parked { reason: "vendor_rejected".to_owned(), error: Some(error) }).await;
        let filter = ChangeFilter { states: vec!["parked".to_owned()], mapping_id: Some(mapping.id.clone()), ..ChangeFilter::default() };
        assert_eq!(world.store.count_decidable(&filter, Decision::Retry).await.unwrap(), 3);
        world.enqueue(&[world.hint(&mapping, 2)]).await;
        let before = world.store.decide_change(&ids[0], Decision::Retry).await.unwrap().unwrap();
        assert_eq!((before.state.as_str(), before.code.as_deref()), ("parked", Some("1004")));
        world.store.decide_change(&ids[1], Decision::Retry).await.unwrap().unwrap();
        world.store.decide_change(&ids[2], Decision::Discard).await.unwrap().unwrap();
        assert_eq!(world.rows().await, ["available - 0", "completed superseded 0", "discarded - 0", "available - 0"]);
        assert!(world.store.decide_change(&ids[1], Decision::Retry).await.unwrap().is_none());
        assert!(world.store.decide_change("nobody", Decision::Retry).await.unwrap().is_none());
        world.recount().await;
        assert_eq!(world.claim().await.changes.len(), 2);
        world.store.decide_change(&ids[2], Decision::Retry).await.unwrap().unwrap();
        assert_eq!(world.store.change(&ids[2]).await.unwrap().unwrap().state, "available");
        world.recount().await;
    }

    async fn a_member_whose_person_was_joined_meanwhile_is_looked_at_again(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let claim = world.claim().await;
        let people = world.people(&[Half::Marketo(1), Half::Salesforce(lead(1))]).await;
        let (gone, stays) = people.iter().partition::<Vec<_>, _>(|p| p.marketo_id.is_some());
        let member = Member::new(world.store.new_id(), mapping.campaign_id.to_string(), gone[0].clone());
        world.store.link(&stays[0].id, 1, &lead(1)).await.unwrap();
        let members = vec![Recorded { member, events: vec![change("", "Sent")], history: vec![("read", serde_json::json!(1))] }];
        let settled = claim.changes.iter().map(|c| settled(c, End::Applied)).collect();
        world.store.record(Batch { leases: claim.leases, members, settled, ..Batch::default() }).await.unwrap();
        assert_eq!(world.store.last_position().await.unwrap(), 0, "nobody is told about a row that is not there");
        assert!(world.tables.lines("history", &["kind"]).await.is_empty());
        assert_eq!(world.claim().await.changes[0].subject, Subject::Marketo(1));
    }

    async fn members_are_listed_and_counted(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        world.enqueue(&[world.hint(&mapping, 1)]).await;
        let claim = world.claim().await;
        let people = world.people(&(1..=4).map(Half::Marketo).collect::<Vec<_>>()).await;
        let emails = [(people[0].id.clone(), "a_b@x.org".to_owned()), (people[1].id.clone(), "aXb@x.org".to_owned())];
        world.store.keep_emails(&emails).await.unwrap();
        let states = [("in_sync", None), ("parked", Some("loop_detected")), ("in_sync", None), ("closed", None)];
        let member = |(person, (state, reason)): (&campaign_sync::store::people::Person, (&str, Option<&str>))| {
            let mut member = Member::new(world.store.new_id(), mapping.campaign_id.to_string(), person.clone());
            (member.sync_state, member.reason, member.marketo) = (state.to_owned(), reason.map(str::to_owned), status("Sent"));
            Recorded { member, events: vec![], history: vec![] }
        };
        let members = people.iter().zip(states).map(member).collect();
        world.store.record(Batch { leases: claim.leases, members, ..Batch::default() }).await.unwrap();
        let all = MemberFilter { campaign_id: mapping.campaign_id.to_string(), ..MemberFilter::default() };
        let some = |text: &str| Some(text.to_owned());
        for (filter, found) in [
            (all.clone(), 3),
            (MemberFilter { q: some("a_b@X"), ..all.clone() }, 1),
            (MemberFilter { q: some("X.ORG"), ..all.clone() }, 2),
            (MemberFilter { q: some(&people[2].marketo_id.unwrap().to_string()), ..all.clone() }, 1),
            (MemberFilter { q: some("%"), ..all.clone() }, 0),
            (MemberFilter { status: some("Sent"), sync_state: some("in_sync"), ..all.clone() }, 2),
            (MemberFilter { reason: some("loop_detected"), ..all.clone() }, 1),
        ] {
            assert_eq!(world.store.list_members(&filter, "", 10).await.unwrap().len(), found, "{filter:?}");
        }
        let page = world.store.member_page(&all.campaign_id, "", 3).await.unwrap();
        assert_eq!(world.store.member_page(&all.campaign_id, &page[2].id, 3).await.unwrap().len(), 1);
        let counts = world.store.member_counts(&all.campaign_id).await.unwrap();
        assert_eq!(counts, [("in_sync".to_owned(), None, 2), ("parked".to_owned(), some("loop_detected"), 1)]);
        world.recount_tallies().await;
    }
}
