//! Looks that are due later, after a deletion was announced.

use std::time::Duration;

use campaign_sync::store::outbox::Subject;
use campaign_sync::store::people::Half;

use super::{End, World};
use crate::support::on_both;

on_both! {
    async fn an_announcement_is_looked_after_in_a_minute_and_in_ten(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let person = world.people(&[Half::Marketo(1)]).await[0].id.clone();
        let member = [(mapping.campaign_id.to_string(), person.clone())];
        let later = async |seconds| {
            world.clock.advance(Duration::from_secs(seconds));
            world.store.due_looks().await.unwrap()
        };
        world.store.look_later(&member).await.unwrap();
        // Announced again: the same two looks, moved.
        assert_eq!(later(30).await, 0);
        world.store.look_later(&member).await.unwrap();
        assert_eq!(later(59).await, 0);
        assert_eq!(later(1).await, 1);
        let claim = world.claim().await;
        assert_eq!(claim.changes.iter().map(|change| &change.subject).collect::<Vec<_>>(), [&Subject::Person(person)]);
        world.end_all(claim, &End::NoOp).await;
        assert_eq!((later(0).await, later(539).await, later(1).await, later(3600).await), (0, 0, 1, 0));
        assert_eq!(world.rows().await, ["completed no_op 1", "available - 0"]);
        // Nobody looks into a campaign that is tracked no more.
        world.store.look_later(&member).await.unwrap();
        world.store.delete_mapping(&mapping, "test", None).await.unwrap();
        assert_eq!((later(600).await, later(600).await), (2, 0));
        assert_eq!(world.rows().await.len(), 2);
        world.recount().await;
    }

    async fn a_look_follows_who_is_joined_with_another(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let people = world.people(&[Half::Marketo(1), Half::Marketo(2)]).await;
        let lane = mapping.campaign_id.to_string();
        let of = |id: i64| people.iter().find(|person| person.marketo_id == Some(id)).unwrap().id.clone();
        world.store.look_later(&[(lane.clone(), of(1)), (lane, of(2))]).await.unwrap();
        // The second is merged into the first.
        let one = world.store.follow(&of(2), &Half::Marketo(1)).await.unwrap();
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(world.store.due_looks().await.unwrap(), 1);
        let claim = world.claim().await;
        assert_eq!(claim.changes.iter().map(|change| &change.subject).collect::<Vec<_>>(), [&Subject::Person(one.id)]);
    }
}
