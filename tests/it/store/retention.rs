//! What is old goes, a few rows at a time; what is not done with stays, and so do the figures.

use std::time::Duration;

use campaign_sync::store::retention::Retention;

use super::{End, World, delivery, given_up, parked};
use crate::support::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEEP: Retention =
    Retention { bodies: DAY.saturating_mul(7), history: DAY.saturating_mul(400), completed: DAY.saturating_mul(7) };

impl World {
    async fn prune(&self, most: i64) -> usize {
        let mut batches = 1;
        while self.store.prune(&KEEP, most).await.unwrap() {
            batches += 1;
            assert!(batches < 100, "never done");
        }
        batches
    }

    async fn count(&self, table: &str) -> String {
        self.tables.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")).await.remove(0)
    }
}

on_both! {
    async fn what_is_done_with_goes_after_its_time_and_the_ledger_stays(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        for (person, end) in [(1, End::Applied), (2, End::NoOp), (3, parked()), (4, given_up()), (5, End::Applied)] {
            world.store.ingest(&[delivery(Some(&person.to_string()), 1, &[person])]).await.unwrap();
            let claim = world.claim().await;
            world.end_all(claim, &end).await;
        }
        let waiting = world.store.ingest(&[delivery(Some("6"), 1, &[6])]).await.unwrap();
        assert_eq!(waiting[0].events, 1);
        let ledger = world.store.ledger(&mapping.id).await.unwrap();
        let bridge = world.store.bridge(mapping.campaign_id.as_str()).await.unwrap();
        assert_eq!(world.prune(2).await, 1, "nothing is old");
        world.clock.advance(DAY * 7);
        assert_eq!(world.prune(2).await, 1, "not older than it is kept");
        world.clock.advance(Duration::from_secs(1));
        world.store.ingest(&[delivery(Some("7"), 1, &[7])]).await.unwrap();
        assert!(world.prune(2).await > 1, "in batches");
        let states = world.tables.lines("outbox", &["state", "subject"]).await;
        assert_eq!(states, ["available|marketo:6", "available|marketo:7", "discarded|marketo:4", "parked|marketo:3"]);
        // With what open work was made of. What has failed is told by its change.
        assert_eq!(world.tables.lines("inbox", &["delivery_id"]).await, ["3", "6", "7"]);
        let after = world.store.ledger(&mapping.id).await.unwrap();
        assert_eq!((after[0].received, after[0].applied, after[0].no_op, after[0].held, after[0].failed), (6, 2, 1, 1, 1));
        assert_eq!(format!("{:?}", after[0]), format!("{:?}", ledger[0]));
        assert_eq!(world.store.bridge(mapping.campaign_id.as_str()).await.unwrap(), bridge);
        // What was parked may still be decided, and is counted where it was.
        let filter = campaign_sync::store::outbox::ChangeFilter { states: vec!["parked".to_owned()], ..Default::default() };
        assert_eq!(world.store.decide_changes(&filter, campaign_sync::store::outbox::Decision::Discard).await.unwrap(), 1);
        let after = world.store.ledger(&mapping.id).await.unwrap();
        assert_eq!((after[0].held, after[0].discarded), (0, 1));
        world.clock.advance(DAY * 8);
        world.prune(2).await;
        assert_eq!(world.tables.lines("outbox", &["state", "subject"]).await, ["available|marketo:6", "available|marketo:7", "discarded|marketo:4"]);
    }

    async fn history_events_runs_keys_and_flow_actions_go_too(database: TestDatabase) {
        let world = World::new(database).await;
        let mapping = world.mapped(1).await;
        let old = world.now();
        world.clock.advance(DAY * 401);
        let new = world.now();
        world.tables.execute(&format!(
            "INSERT INTO history (member_id, at, kind, detail) VALUES ('m', {old}, 'read', '1'), ('m', {old}, 'read', '2'), ('m', {new}, 'read', '3');
             INSERT INTO trigger_events (position, id, type, campaign_id, member_id, sequence, body, created_at)
               VALUES (1, 'a', 't', 'c', 'm', 1, '1', {old}), (2, 'b', 't', 'c', 'm', 2, '2', {new});
             INSERT INTO idempotency_keys (key, body_hash, status, headers, body, created_at) VALUES ('old', '', 200, '[]', '', {new} - 86400001), ('new', '', 200, '[]', '', {new});
             INSERT INTO removals (mapping_id, member_id, removed_at) VALUES ('m', 'm', {old}), ('m', 'm', {new});
             INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at, completed_at)
               VALUES ('a', 'router', '{id}', 'reconciliation', 'completed', 'decide', '{{}}', {old}, {old}, {old});
             INSERT INTO run_kept (run_id, member_id, side, reason) VALUES ('a', 'm', 'marketo', 'x');
             INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at, completed_at)
               VALUES ('b', 'router', '{id}', 'reconciliation', 'completed', 'decide', '{{}}', {old}, {old}, {old});
             INSERT INTO flow_actions (id, action, campaign_id, actor, created_at) VALUES ('old', 'add_to_campaign', 'router', 'me', {old}), ('open', 'add_to_campaign', 'router', 'me', {old});
             INSERT INTO outbox (id, lane, kind, subject, source, state, due_at, window_start, created_at, completed_at)
               VALUES ('1', 'router', 'flow_action', 'marketo:1', 'flow_action', 'completed', 0, 0, {old}, {old}),
                      ('2', 'router', 'flow_action', 'marketo:2', 'flow_action', 'completed', 0, 0, {old}, {old}),
                      ('3', 'router', 'flow_action', 'marketo:3', 'flow_action', 'completed', 0, 0, {old}, {old}),
                      ('4', 'router', 'flow_action', 'marketo:4', 'flow_action', 'retryable', 0, 0, {old}, NULL);
             INSERT INTO flow_action_people (flow_action_id, position, person, change_id)
               VALUES ('old', 0, '', '1'), ('old', 1, '', '2'), ('open', 0, '', '3'), ('open', 1, '', '4')",
            id = mapping.id,
        )).await;
        world.prune(1).await;
        assert_eq!(world.tables.lines("history", &["detail"]).await, ["3"]);
        assert_eq!(world.tables.lines("trigger_events", &["id"]).await, ["b"]);
        assert_eq!(world.tables.lines("idempotency_keys", &["key"]).await, ["new"]);
        assert_eq!(world.count("removals").await, "1");
        assert_eq!(world.tables.lines("runs WHERE completed_at IS NOT NULL", &["id"]).await, ["b"], "the last of a mapping stays");
        assert_eq!(world.count("run_kept").await, "0");
        assert_eq!(world.tables.lines("flow_actions", &["id"]).await, ["open"]);
        assert_eq!(world.tables.lines("flow_action_people", &["change_id"]).await, ["3", "4"], "as long as one is open");
        assert_eq!(world.tables.lines("outbox", &["id"]).await, ["3", "4"]);
    }
}
