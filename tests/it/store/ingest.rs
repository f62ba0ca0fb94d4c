//! Deliveries: stored once, answered as the first time, merged where they say the same thing twice.

use std::time::Duration;

use campaign_sync::domain::hint::Receipt;
use campaign_sync::store::ingest::{Ingest, IngestError};
use campaign_sync::store::outbox::{ChangeFilter, Kind};

use super::{World, delivery};
use crate::support::on_both;

on_both! {
    async fn a_delivery_is_stored_once_and_answered_alike(database: TestDatabase) {
        let world = World::new(database).await;
        world.mapped(1).await;
        let first = delivery(Some("d1"), 1, &[1, 2, 1]);
        let receipts = world.store.ingest(&[first.clone(), first.clone(), delivery(Some("d2"), 9, &[1])]).await.unwrap();
        let (three, none) = (Receipt { events: 3, ignored: 0 }, Receipt { events: 0, ignored: 1 });
        assert_eq!(receipts, [three, three, none]);
        // Two subjects, the second hint about the first merged.
        assert_eq!(world.rows().await, ["available - 0"; 2]);
        world.mapped(9).await;
        assert_eq!(world.store.ingest(&[delivery(Some("d2"), 9, &[1]), first]).await.unwrap(), [none, three]);
        assert_eq!(world.tables.lines("inbox", &["position"]).await, ["0", "0", "1", "2"]);
        assert_eq!(world.tables.lines("inbox WHERE change_id IS NULL", &["delivery_id"]).await, ["d2"]);
        // Without an id each counts.
        let nameless = delivery(None, 1, &[7]);
        let one = Receipt { events: 1, ignored: 0 };
        assert_eq!(world.store.ingest(&[nameless.clone(), nameless]).await.unwrap(), [one; 2]);
        assert_eq!(world.tables.lines("inbox WHERE delivery_id IS NULL", &["position"]).await, ["0", "0"]);
        assert_eq!(world.rows().await.len(), 3);
        world.recount().await;
    }

    async fn a_poisoned_delivery_harms_no_other(database: TestDatabase) {
        let world = World::new(database).await;
        world.mapped(1).await;
        let (door, queue) = Ingest::channel(Duration::from_secs(5));
        let good = tokio::spawn({ let door = door.clone(); async move { door.accept(delivery(Some("d1"), 1, &[1])).await } });
        let bad = tokio::spawn({ let door = door.clone(); async move { door.accept(delivery(Some("d\u{0}2"), 1, &[2])).await } });
        let writer = tokio::spawn({ let store = world.store.clone(); async move { store.write_deliveries(queue).await } });
        let more = tokio::spawn(async move { door.accept(delivery(Some("d3"), 1, &[3])).await });
        assert_eq!(good.await.unwrap(), Ok(Receipt { events: 1, ignored: 0 }));
        assert_eq!(more.await.unwrap(), Ok(Receipt { events: 1, ignored: 0 }));
        assert_eq!(bad.await.unwrap(), Err(IngestError::NotStored));
        writer.await.unwrap();
        assert_eq!(world.tables.lines("inbox", &["delivery_id"]).await, ["d1", "d3"]);
    }

    async fn hints_merge_and_commands_do_not(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let mut hint = world.hint(&mapping, 1);
        hint.due_at += 5000;
        let same = hint.clone();
        let ids = world.enqueue(&[hint.clone(), same]).await;
        assert_eq!(ids[0], ids[1]);
        let kept = world.tables.lines("outbox", &["payload", "due_at"]).await;
        assert_eq!(kept, [format!("1|{}", hint.due_at)]);
        assert_eq!(world.store.next_due().await.unwrap(), Some(hint.due_at));
        // Another payload: neither saves the read. The earlier of the two times counts.
        hint.payload = Some("2".to_owned());
        hint.due_at -= 1000;
        world.enqueue(std::slice::from_ref(&hint)).await;
        let kept = world.tables.lines("outbox", &["id", "payload", "due_at"]).await;
        assert_eq!(kept, [format!("{}|~|{}", ids[0], hint.due_at)]);
        assert_eq!(world.store.next_due().await.unwrap(), Some(hint.due_at));
        let mut command = world.hint(&mapping, 1);
        command.kind = Kind::FlowAction;
        let commands = world.enqueue(&[command.clone(), command.clone()]).await;
        assert_ne!(commands[0], commands[1]);
        let filter = ChangeFilter { kind: Some("flow_action".to_owned()), ..ChangeFilter::default() };
        let listed = world.store.changes(&filter, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|c| &c.id).collect::<Vec<_>>(), commands.iter().collect::<Vec<_>>());
        assert_eq!(world.store.changes(&filter, Some(&commands[0]), 10).await.unwrap().len(), 1);
        assert!(world.enqueue(&[]).await.is_empty());
        world.recount().await;
    }
}
