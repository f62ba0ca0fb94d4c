//! What is written down of how the time was spent and which errors were met; and lists in an order, a page at a time.

use std::time::Duration;

use campaign_sync::store::figures::Metric;
use campaign_sync::store::mappings::{MappingFilter, MappingOrder};
use campaign_sync::store::outbox::ChangeFilter;
use campaign_sync::store::record::{End, VendorError};
use campaign_sync::store::spent::{Part, Spent};

use super::{World, mapping, settled};
use crate::support::on_both;

on_both! {
    async fn averages_and_errors_are_kept_by_the_minute(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let minute = world.now() - world.now() % 60_000;
        world.enqueue(&[world.hint(&mapping, 7), world.hint(&mapping, 8)]).await;
        world.clock.advance(Duration::from_millis(300));
        let claimed = world.now();
        let claim = world.claim().await;
        world.clock.advance(Duration::from_millis(500));
        let error = VendorError { vendor: "salesforce".into(), code: "UNABLE_TO_LOCK_ROW".into(), message: "a@b.c".into() };
        let ends = [End::Applied, End::Retry { due_at: 0, reason: "retrying".into(), error: Some(error) }];
        let mut spent = Spent::default();
        for (change, end) in claim.changes.iter().zip(ends) {
            spent.end(&settled(change, end), change.created_at, claimed, world.now());
        }
        spent.took(Part::Receive, Duration::from_millis(10), 3);
        spent.took(Part::Receive, Duration::from_millis(30), 1);
        // What several processes write down of one minute is one.
        world.store.keep_spent(&spent).await.unwrap();
        world.store.keep_spent(&spent).await.unwrap();
        world.store.keep_spent(&Spent::default()).await.unwrap();
        for (metric, value) in [(Metric::ReceiveTime, 15), (Metric::QueueTime, 300), (Metric::CallTime, 500)] {
            let figures = world.store.figures(metric, minute, minute + 60_000).await.unwrap();
            assert_eq!(figures.into_iter().collect::<Vec<_>>(), [(minute, value)], "{metric}");
        }
        let errors = world.store.errors_by_code(minute, minute + 60_000).await.unwrap();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].vendor.as_str(), errors[0].code.as_str(), errors[0].counts[&minute]), ("salesforce", "UNABLE_TO_LOCK_ROW", 2));
        assert!(world.store.errors_by_code(minute - 60_000, minute).await.unwrap().is_empty());
    }

    async fn lists_are_in_their_order_a_page_at_a_time(database: TestDatabase) {
        let world = World::new(database).await;
        for (n, (program, campaign)) in [("beta", "x"), ("Alpha", "Y"), ("alpha", "x"), ("Gamma", "z"), ("beta", "W")].into_iter().enumerate() {
            let n = u32::try_from(n).unwrap() + 1;
            let new = mapping(&world.store, n, n);
            let new = campaign_sync::store::mappings::Mapping { program_name: program.into(), campaign_name: campaign.into(), ..new };
            world.store.create_mapping(new, "test").await.unwrap();
            world.clock.advance(Duration::from_secs(1));
        }
        for (order, expected) in [
            (None, [1, 2, 3, 4, 5]),
            (Some(MappingOrder::CreatedLast), [5, 4, 3, 2, 1]),
            (Some(MappingOrder::Program), [2, 3, 1, 5, 4]),
            (Some(MappingOrder::ProgramLast), [4, 5, 1, 3, 2]),
            (Some(MappingOrder::Campaign), [5, 1, 3, 2, 4]),
            (Some(MappingOrder::UpdatedLast), [5, 4, 3, 2, 1]),
        ] {
            let filter = MappingFilter { order, ..MappingFilter::default() };
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = world.store.list_mappings(&filter, &after, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                after = last.id.clone();
                found.extend(page.into_iter().map(|mapping| mapping.program_id));
            }
            assert_eq!(found, expected, "{order:?}");
        }
        let mapping = world.store.list_mappings(&MappingFilter::default(), "", 1).await.unwrap().remove(0);
        let ids = world.enqueue(&[world.hint(&mapping, 7), world.hint(&mapping, 8), world.hint(&mapping, 9)]).await;
        let newest = ChangeFilter { newest_first: true, kind: Some("hint".into()), ..ChangeFilter::default() };
        let list = async |after: Option<&str>| {
            let page = world.store.changes(&newest, after, 2).await.unwrap();
            page.into_iter().map(|change| change.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None).await, [ids[2].clone(), ids[1].clone()]);
        assert_eq!(list(Some(&ids[1])).await, [ids[0].clone()]);
    }
}
