//! The places in the vendors' logs: one replica at a time, moved with what was found, and only news becomes work.

use std::time::Duration;

use campaign_sync::domain::hint::{DeliveredHint, Hint, Operation, Source};
use campaign_sync::domain::trigger::Seen;
use campaign_sync::store::StoreError;
use campaign_sync::store::mappings::Mapping;
use campaign_sync::store::members::Member;
use campaign_sync::store::people::Half;
use campaign_sync::store::polls::{MAINTENANCE, Poll, Step};
use campaign_sync::store::record::{Batch, Recorded};
use campaign_sync::store::silence::{SILENCE, Silence};

use super::{End, LEASE, World, delivery, id, lead};
use crate::support::on_both;

const LOG: &str = "some_log";

impl World {
    async fn poll(&self) -> Option<Poll> {
        self.store.claim_poll(&[LOG], "us", LEASE).await.unwrap()
    }

    /// A page that shows this; how many records became work.
    async fn page(&self, source: Source, records: &[DeliveredHint]) -> usize {
        self.store.know_polls(&[LOG]).await.unwrap();
        let poll = self.poll().await.unwrap();
        let step = Step { place: Some("further".to_owned()), due_at: self.now(), ..Step::default() };
        self.store.record_poll(&poll, &step, Some((source, records))).await.unwrap()
    }

    /// Somebody on record in a mapping, whom no worker has in hand.
    async fn on_record(&self, mapping: &Mapping, marketo: Seen, salesforce: Seen) {
        let person = self.people(&[Half::Salesforce(lead(1))]).await.remove(0);
        let person = self.store.link(&person.id, 7, &lead(1)).await.unwrap();
        self.enqueue(&[self.hint(mapping, 7)]).await;
        let claim = self.claim().await;
        let lane = mapping.campaign_id.to_string();
        let known = self.store.members_of(&[(lane.clone(), person.id.clone())]).await.unwrap().pop();
        let mut member = known.unwrap_or_else(|| Member::new(self.store.new_id(), lane, person));
        (member.marketo, member.salesforce) = (marketo, salesforce);
        (member.campaign_member_id, member.salesforce_modstamp) = (Some(id("00v", 1)), Some(self.now()));
        (member.sync_state, member.reason) = ("in_sync".to_owned(), None);
        let members = vec![Recorded { member, events: Vec::new(), history: Vec::new() }];
        let settled = claim.changes.iter().map(|change| super::settled(change, End::NoOp)).collect();
        self.store.record(Batch { leases: claim.leases, members, settled, ..Batch::default() }).await.unwrap();
    }

    /// A row of Salesforce as a poll shows it, so many seconds from now.
    fn row(&self, mapping: &Mapping, status: &str, seconds: i64) -> DeliveredHint {
        let modstamp = jiff::Timestamp::from_millisecond(self.now() + seconds * 1000).unwrap();
        let hint = Hint::CampaignMember {
            member_id: id("00v", 1),
            campaign_id: Some(mapping.campaign_id.clone()),
            person_id: Some(lead(1)),
            operation: Some(if status.is_empty() { Operation::Delete } else { Operation::Update }),
            status: Some(status.to_owned()),
            modified_by: None,
            modstamp: Some(modstamp),
        };
        DeliveredHint { delivery_id: None, position: 0, hint }
    }
}

fn in_program(program: u32, status: Option<&str>) -> DeliveredHint {
    let (program_id, status) = (program.into(), status.map(str::to_owned));
    let hint = Hint::ProgramMember { program_id, marketo_id: 7, removed: status.is_none(), status };
    DeliveredHint { delivery_id: None, position: 0, hint }
}

fn status(text: &str) -> Seen {
    Seen::Status(text.to_owned())
}

on_both! {
    async fn a_log_is_one_replicas_at_a_time(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        world.store.know_polls(&[LOG]).await.unwrap();
        world.store.know_polls(&[LOG]).await.unwrap();
        let claims = tokio::join!(world.poll(), world.poll());
        let mut taken: Vec<_> = [claims.0, claims.1].into_iter().flatten().collect();
        assert_eq!(taken.len(), 1);
        let first = taken.remove(0);
        assert_eq!((first.place.as_ref(), first.covered_at), (None, None));
        let step = Step { place: Some("a".to_owned()), covered_at: Some(5), due_at: world.now() + 60_000, ..Step::default() };
        world.store.record_poll(&first, &step, None).await.unwrap();
        assert_eq!(world.poll().await, None, "not due");
        assert_eq!(world.store.next_poll(&[LOG]).await.unwrap(), Some(world.now() + 60_000));

        world.clock.advance(Duration::from_secs(60));
        let slow = world.poll().await.unwrap();
        assert_eq!((slow.place.as_deref(), slow.covered_at), (Some("a"), Some(5)));
        world.clock.advance(LEASE);
        let second = world.poll().await.unwrap();
        assert_eq!(second.place.as_deref(), Some("a"), "the page is read again");
        let page = delivery(Some("7"), 1, &[7]).records;
        let late = world.store.record_poll(&slow, &Step { place: Some("b".to_owned()), ..step.clone() }, Some((Source::Marketo, &page))).await;
        assert!(matches!(late, Err(StoreError::LeaseLost(_))), "{late:?}");
        assert_eq!(world.rows().await, [""; 0], "stored by one who has lost it");
        let step = Step { place: Some("c".to_owned()), due_at: world.now(), ..step };
        assert_eq!(world.store.record_poll(&second, &step, Some((Source::Marketo, &page))).await.unwrap(), 1);
        let again = world.store.record_poll(&second, &step, Some((Source::Marketo, &page))).await;
        assert!(matches!(again, Err(StoreError::LeaseLost(_))));
        assert_eq!(world.poll().await.unwrap().place.as_deref(), Some("c"));
        let change = world.claim().await.changes.remove(0);
        assert_eq!((change.source.as_str(), change.mapping_id.as_ref()), ("marketo_poll", Some(&mapping.id)));
        world.recount().await;
    }

    async fn nothing_is_polled_while_campaign_sync_is_off(database: TestDatabase) {
        let world = World::new(database).await;
        world.store.know_polls(&[LOG, MAINTENANCE]).await.unwrap();
        world.store.enable_sync(false, "test").await.unwrap();
        assert_eq!(world.poll().await, None);
        let task = world.store.claim_poll(&[LOG, MAINTENANCE], "us", LEASE).await.unwrap();
        assert_eq!(task.unwrap().name, MAINTENANCE);
        world.store.enable_sync(true, "test").await.unwrap();
        assert!(world.poll().await.is_some());
    }

    async fn a_polled_record_is_received_once_and_what_nobody_tracks_not_at_all(database: TestDatabase) {
        let world = World::new(database).await;
        world.mapped(1).await;
        let page = delivery(Some("7"), 1, &[1, 2]).records;
        assert_eq!(world.page(Source::Marketo, &page).await, 2);
        assert_eq!(world.page(Source::Marketo, &page).await, 0, "the same rows again");
        assert_eq!(world.page(Source::Marketo, &delivery(None, 99, &[1]).records).await, 0, "nobody's program");
        let stranger = Hint::CampaignMember {
            member_id: id("00v", 9), campaign_id: None, person_id: None, operation: Some(Operation::Delete),
            status: None, modified_by: None, modstamp: None,
        };
        let stranger = DeliveredHint { delivery_id: None, position: 0, hint: stranger };
        assert_eq!(world.page(Source::Salesforce, &[stranger]).await, 0, "nobody's member");
        // A webhook of the same is merged with it, and is what is counted as heard.
        assert!(world.store.last_heard().await.unwrap().is_empty());
        let told = world.store.ingest(&[delivery(Some("7"), 1, &[1])]).await.unwrap();
        assert_eq!(told[0].events, 1);
        assert_eq!(world.store.last_heard().await.unwrap().len(), 1);
        assert_eq!(world.tables.lines("inbox", &["source", "delivery_id", "position"]).await, ["marketo_poll|7|0", "marketo_poll|7|1", "marketo|7|0"]);
        let ledger = world.store.ledger(&world.store.list_mappings(&Default::default(), "", 1).await.unwrap()[0].id).await.unwrap();
        assert_eq!((ledger[0].received, ledger[0].waiting, ledger[0].superseded), (3, 2, 1));
        world.recount().await;
    }

    async fn what_is_recorded_is_no_news(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let marketo = async |status| world.page(Source::Marketo, &[in_program(1, status)]).await;
        let salesforce = async |status: &str, seconds| world.page(Source::Salesforce, &[world.row(&mapping, status, seconds)]).await;
        assert_eq!((marketo(None).await, salesforce("", 0).await), (0, 0), "came and went before anybody knew");
        let settle = async || {
            let claim = world.claim().await;
            world.end_all(claim, &End::NoOp).await;
        };
        world.on_record(&mapping, status("Attended"), status("Sent")).await;
        assert_eq!(marketo(Some("Attended")).await, 0);
        assert_eq!(salesforce("Sent", 0).await, 0);
        assert_eq!(salesforce("Sent", 1).await, 1, "newer than what is recorded");
        settle().await;
        assert_eq!(salesforce("Attended", 0).await, 1, "changed twice in one second");
        settle().await;
        assert_eq!((marketo(Some("Invited")).await, marketo(None).await), (1, 1));
        settle().await;
        assert_eq!(salesforce("", 1).await, 1, "deleted");
        settle().await;
        // Converted meanwhile: the row has another person than is recorded.
        let mut row = world.row(&mapping, "Sent", 0);
        if let Hint::CampaignMember { person_id, .. } = &mut row.hint {
            *person_id = Some(id("003", 1));
        }
        assert_eq!(world.page(Source::Salesforce, &[row]).await, 1);
        settle().await;

        // Somebody has it in hand, with what was read before: then all is news.
        world.enqueue(&[world.hint(&mapping, 8)]).await;
        let busy = world.claim().await;
        assert_eq!((marketo(Some("Attended")).await, salesforce("Sent", 0).await), (1, 1));
        world.end_all(busy, &End::NoOp).await;
        settle().await;
        world.on_record(&mapping, Seen::Absent, Seen::Absent).await;
        assert_eq!((marketo(None).await, salesforce("", 5).await), (0, 0));
        assert_eq!(marketo(Some("Attended")).await, 1);
        world.recount().await;
    }

    async fn a_place_that_is_lost_has_all_mappings_compared(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let hour = Duration::from_secs(3600);
        world.store.sweep_comparisons(hour).await.unwrap();
        world.page(Source::Marketo, &[]).await;
        let poll = world.poll().await.unwrap();
        assert_eq!(poll.place.as_deref(), Some("further"));
        world.store.lose_place(&poll, "Marketo does not take the token").await.unwrap();
        assert!(matches!(world.store.lose_place(&poll, "again").await, Err(StoreError::LeaseLost(_))));
        assert_eq!(world.poll().await.unwrap().place, None);
        world.store.sweep_comparisons(hour).await.unwrap();
        let runs = world.store.runs(&mapping.id, None, 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| (run.kind.as_str(), run.state.as_str())).collect::<Vec<_>>(), [("reconciliation", "running"), ("first_sync", "completed")]);
        let audit = world.store.audit_log(None, 1).await.unwrap();
        assert_eq!((audit[0].action.as_str(), audit[0].target.as_str()), ("poll.place_lost", LOG));
    }

    async fn silence_is_said_once(database: TestDatabase) {
        let world = World::new(database).await;
        assert!(world.store.silent_sources(SILENCE).await.unwrap().is_empty(), "nobody to hear of");
        world.mapped(1).await;
        assert!(world.store.silent_sources(SILENCE).await.unwrap().is_empty(), "not for long enough");
        world.clock.advance(SILENCE - Duration::from_secs(60));
        world.store.ingest(&[delivery(None, 1, &[7])]).await.unwrap();
        let heard = world.now();
        world.clock.advance(Duration::from_secs(60));
        // A poll is not heard of: it is we who looked.
        assert_eq!(world.page(Source::Salesforce, &[world.row(&world.store.list_mappings(&Default::default(), "", 1).await.unwrap()[0], "Sent", 0)]).await, 1);
        let silent = world.store.silent_sources(SILENCE).await.unwrap();
        assert_eq!(silent, [Silence { source: Source::Salesforce, last_heard: None }]);
        assert_eq!(world.store.note_silence(&silent).await.unwrap(), silent);
        assert_eq!(world.store.note_silence(&silent).await.unwrap(), []);
        assert_eq!(world.store.silences().await.unwrap().into_iter().collect::<Vec<_>>(), [("salesforce".to_owned(), world.now())]);
        world.clock.advance(SILENCE);
        let both = world.store.silent_sources(SILENCE).await.unwrap();
        assert_eq!(both[0], Silence { source: Source::Marketo, last_heard: Some(heard) });
        assert_eq!(world.store.note_silence(&both).await.unwrap(), both[..1]);
        world.store.ingest(&[delivery(None, 1, &[7])]).await.unwrap();
        let rest = world.store.silent_sources(SILENCE).await.unwrap();
        assert_eq!(world.store.note_silence(&rest).await.unwrap(), []);
        assert_eq!(world.store.silences().await.unwrap().into_keys().collect::<Vec<_>>(), ["salesforce"]);
    }
}
