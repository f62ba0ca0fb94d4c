//! The hot statements do not read tables from one end to the other, whatever has gathered in them.
//!
//! The statements here have the shape of the store's; a plan depends on joins and conditions, not on what is selected.

use super::World;
use crate::support::on_both;

const LANES: &str = "SELECT '7014S0000000001AAA' AS id, 'marketo:7' AS subject";

on_both! {
    async fn no_hot_statement_scans(database: TestDatabase) {
        let world = World::new(database).await;
        world.tables.execute("INSERT INTO lanes (id) VALUES ('7014S0000000001AAA')").await;
        world.tables.execute(
            "INSERT INTO people (id, created_at, updated_at) VALUES ('p', 0, 0);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO outbox (id, lane, kind, subject, source, state, due_at, window_start, created_at)
             SELECT 'o' || CAST(n AS TEXT), CASE WHEN n % 2 = 0 THEN 'router' ELSE '7014S0000000001AAA' END, 'hint',
               'marketo:' || CAST(n AS TEXT), 'marketo', CASE n % 4 WHEN 0 THEN 'completed' WHEN 1 THEN 'parked' ELSE 'available' END, n, 0, 0 FROM n;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO inbox (source, delivery_id, position, hint, received_at)
             SELECT 'marketo', CAST(n AS TEXT), 0, '{}', n FROM n;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO lanes (id, next_due_at) SELECT 'l' || CAST(n AS TEXT), CASE WHEN n % 100 = 0 THEN n END FROM n;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO members (id, campaign_id, person_id, campaign_member_id, salesforce, sync_state, updated_at)
             SELECT 'm' || CAST(n AS TEXT), 'l' || CAST(n AS TEXT), 'p', 'c' || CAST(n AS TEXT), 'Sent', 'in_sync', 0 FROM n;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO outbox (id, lane, kind, subject, source, state, due_at, window_start, created_at)
             SELECT 'f' || CAST(n AS TEXT), '7014S0000000001AAA', 'flow_action', 'marketo:' || CAST(n AS TEXT), 'flow_action',
               CASE n % 4 WHEN 0 THEN 'available' ELSE 'completed' END, n, 0, 0 FROM n;",
        ).await;
        world.tables.execute("ANALYZE").await;
        let waiting = "o.lane = r.id AND o.kind = 'hint' AND o.state IN ('available', 'retryable', 'running') AND o.due_at <= 500 ORDER BY o.due_at, o.id LIMIT 10";
        let take = [
            format!("SELECT o.id FROM ({LANES}) r JOIN outbox o ON o.id IN (SELECT id FROM outbox o WHERE {waiting})"),
            format!("SELECT o.id FROM ({LANES}) r CROSS JOIN LATERAL (SELECT o.* FROM outbox o WHERE {waiting}) o"),
        ];
        let due = "SELECT id FROM lanes WHERE next_due_at <= 500 ORDER BY next_due_at, id LIMIT 64".to_owned();
        let seen = format!("SELECT i.change_id FROM ({LANES}) r JOIN inbox i ON i.source = 'marketo' AND i.delivery_id = r.id AND i.position = 0");
        let first = "(SELECT MIN(due_at) FROM outbox WHERE lane = lanes.id AND kind = 'hint' AND state IN ('available', 'retryable', 'running'))";
        let give_back = format!("UPDATE lanes SET next_due_at = {first} FROM ({LANES}) r WHERE lanes.id = r.id");
        let held = format!("UPDATE outbox SET outcome = 'superseded' FROM ({LANES}) r WHERE outbox.lane = r.id AND outbox.subject = r.subject
            AND outbox.kind = 'hint' AND outbox.state IN ('parked', 'discarded') AND outbox.state = 'parked' AND outbox.reason IS NOT NULL");
        let members = format!("SELECT m.id FROM ({LANES}) r JOIN members m ON m.campaign_member_id = r.id");
        let pair = format!("SELECT m.id FROM ({LANES}) r JOIN members m ON m.campaign_id = r.id AND m.person_id = r.subject");
        let next = "SELECT next_due_at FROM lanes WHERE next_due_at IS NOT NULL ORDER BY next_due_at LIMIT 1".to_owned();
        let both = [due, seen, give_back, held, members, pair].map(|sql| [sql.clone(), sql]);
        // The filter, and the order of commands.
        let page = |of: &str| {
            let pick = format!("o.campaign_id = r.id {of} AND o.salesforce <> '' AND o.id > 'm' ORDER BY o.id LIMIT 50");
            [
                format!("SELECT o.id FROM ({LANES}) r JOIN members o ON o.id IN (SELECT id FROM members o WHERE {pick}) ORDER BY o.id LIMIT 50"),
                format!("SELECT o.id FROM ({LANES}) r CROSS JOIN LATERAL (SELECT o.* FROM members o WHERE {pick}) o ORDER BY o.id LIMIT 50"),
            ]
        };
        let front = format!("SELECT r.id, MIN(o.due_at) FROM ({LANES}) r JOIN outbox o ON o.lane = r.id AND o.subject = r.subject AND o.id < 'z'
            AND o.kind = 'flow_action' AND o.state IN ('available', 'retryable', 'running') GROUP BY r.id");
        let outside = format!("WITH wanted AS MATERIALIZED (SELECT r.id FROM ({LANES}) r) SELECT p.id FROM people p WHERE p.id > '' AND NOT EXISTS (
            SELECT 1 FROM wanted w JOIN members m ON m.campaign_id = w.id AND m.person_id = p.id AND m.salesforce <> '') ORDER BY p.id LIMIT 50");
        let filter = [page(""), page("AND o.salesforce = r.subject"), [front.clone(), front], [outside.clone(), outside]];
        for [on_file, on_server] in both.into_iter().chain([take]).chain(filter) {
            let scanned = world.tables.scanned(&on_file, &on_server).await;
            let big = scanned.iter().filter(|table| ["outbox", "o", "inbox", "i", "members", "m", "lanes"].contains(&table.split(' ').next().unwrap()));
            assert_eq!(big.collect::<Vec<_>>(), [""; 0], "{on_file}");
        }
        // In the order of its index, up to the first.
        assert!(world.tables.scanned(&next, &next).await.iter().all(|table| table.contains("INDEX lanes_due")));
        assert!(!world.tables.scanned("SELECT payload FROM outbox", "SELECT payload FROM outbox").await.is_empty());
    }
}
