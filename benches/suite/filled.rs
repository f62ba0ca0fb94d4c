//! A database as it is after years: mappings, members, changes, events, deliveries, figures, written straight into the tables by
//! statements over whole sets, since no service could be waited for.

use super::Tables;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub mappings: usize,
    pub members: usize,
    /// Of the members, in the first campaign.
    pub in_one: usize,
    /// Done changes, records and events.
    pub done: usize,
    pub deliveries: usize,
    /// Changes that wait to be worked off.
    pub waiting: usize,
}

pub const SMALL: Size = Size { mappings: 10, members: 1_000, in_one: 100, done: 1_000, deliveries: 500, waiting: 20 };
pub const LARGE: Size =
    Size { mappings: 10_000, members: 1_000_000, in_one: 100_000, done: 200_000, deliveries: 100_000, waiting: 2_000 };

const DAY: i64 = 24 * 3_600_000;

/// An id of ours, of the `n`th of a kind, as it is written.
pub fn id_of(kind: u8, n: usize) -> String {
    format!("01900000-00{kind:02}-7000-8000-{n:012}")
}

/// The same for a statement.
fn id(kind: u8, n: &str) -> String {
    format!("'01900000-00{kind:02}-7000-8000-' || SUBSTR(CAST(1000000000000 + {n} AS TEXT), 2)")
}

fn salesforce(prefix: &str, n: &str) -> String {
    // The last three letters say which of the others are capitals.
    let check = if prefix == "00Q" { "EAA" } else { "AAA" };
    format!("'{prefix}000' || SUBSTR(CAST(1000000000 + {n} AS TEXT), 2) || '{check}'")
}

/// Fills the tables beside one mapping that was made through the API, whose statuses and policies the others get.
pub async fn fill(tables: &Tables, mapping: &str, size: Size, now: i64) {
    for statement in statements(mapping, size, now) {
        tables.execute(&statement).await;
    }
    // What a server does by itself after a while, and a file never does.
    if matches!(tables, Tables::Server(_)) {
        tables.execute("VACUUM ANALYZE").await;
    }
}

fn statements(mapping: &str, size: Size, now: i64) -> Vec<String> {
    let numbers = |count: usize| {
        format!("WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    };
    let Size { mappings, members, in_one, done, deliveries, waiting } = size;
    let rest = mappings - 1;
    // The campaign of a member.
    let of = format!("(CASE WHEN i <= {in_one} THEN 1 ELSE 2 + i % {rest} END)");
    let campaign = |n: &str| salesforce("701", n);
    let state =
        "CASE WHEN i % 1000 < 970 THEN 'in_sync' WHEN i % 1000 < 980 THEN 'diverged' WHEN i % 1000 < 990 THEN 'gated'
                 WHEN i % 1000 < 996 THEN 'parked' ELSE 'failed' END";
    let reason = "CASE WHEN i % 1000 < 970 THEN NULL WHEN i % 1000 < 980 THEN 'conflict_hold' WHEN i % 1000 < 990 THEN 'below_gate'
                  WHEN i % 1000 < 996 THEN 'vendor_rejected' ELSE 'unreadable' END";
    let mut all = vec![
        format!("{} INSERT INTO lanes (id, baseline) SELECT {}, TRUE FROM n", numbers(mappings), campaign("i")),
        format!(
            "{} INSERT INTO mappings (id, program_id, campaign_id, program_name, campaign_name, state, status_map, custom_map, steps,
               policies, options, found, refresh_at, version, created_at, updated_at)
             SELECT {}, 100000 + i, {}, 'Program ' || i, 'Campaign ' || i, CASE WHEN i % 100 = 0 THEN 'paused' WHEN i % 250 = 3
               THEN 'failed' ELSE 'active' END, m.status_map, m.custom_map, m.steps, m.policies, m.options, m.found, {}, 1, {now}, {now}
             FROM n, mappings m WHERE m.id = '{mapping}'",
            numbers(mappings),
            id(1, "i"),
            campaign("i"),
            now + DAY
        ),
        format!(
            "{} INSERT INTO people (id, marketo_id, salesforce_id, email, created_at, updated_at)
             SELECT {}, 1000000 + i, {}, 'person' || i || '@example.org', {now}, {now} FROM n",
            numbers(members),
            id(2, "i"),
            salesforce("00Q", "i")
        ),
        format!(
            "{} INSERT INTO members (id, campaign_id, person_id, campaign_member_id, marketo, salesforce, base_marketo, base_salesforce,
               sync_state, reason, rule, sequence, updated_at)
             SELECT {}, {}, {}, {}, 'Attended', CASE WHEN i % 1000 < 970 THEN 'Attended' WHEN i % 1000 < 980 THEN 'Invited' ELSE '' END,
               'Attended', 'Attended', {state}, {reason}, '7', 1, {now} FROM n",
            numbers(members),
            id(3, "i"),
            campaign(&of),
            id(2, "i"),
            salesforce("00v", "i")
        ),
        format!(
            "{} INSERT INTO history (member_id, at, kind, detail) SELECT {}, {now} - i, 'decided', '{{\"rule\":\"7\"}}' FROM n",
            numbers(done * 2),
            id(3, "1 + i % 500")
        ),
        format!(
            "{} INSERT INTO trigger_events (position, id, type, campaign_id, program_id, member_id, sequence, status, new_status, body, created_at)
             SELECT i, {}, 'campaign.member.added', {}, 100000 + {of}, {}, 1, 'Attended', 'Attended',
               '{{\"specversion\":\"1.0\",\"id\":\"' || i || '\",\"data\":{{}}}}', {} + i * {} FROM n",
            numbers(done),
            id(4, "i"),
            campaign(&of),
            id(3, "i"),
            now - 7 * DAY,
            7 * DAY / done as i64
        ),
        format!("UPDATE event_log SET last_position = {done} WHERE id = 1"),
    ];
    let change = |kind: u8, count: usize, state: &str, outcome: &str, reason: &str, completed: &str| {
        format!(
            "{} INSERT INTO outbox (id, lane, mapping_id, kind, subject, source, state, outcome, attempts, due_at, window_start, reason, vendor,
               code, message, created_at, completed_at)
             SELECT {}, {}, {}, 'hint', 'marketo:' || (1000000 + i), 'marketo', '{state}', {outcome}, 1, {now} + {DAY}, {now}, {reason},
               'salesforce', 'CODE', 'what the vendor said', {} + i, {completed} FROM n",
            numbers(count),
            id(kind, "i"),
            campaign(&of),
            id(1, &of),
            now - 7 * DAY
        )
    };
    // Evenly over a week, and ten thousand within the last minutes.
    let ended = format!("CASE WHEN i % 20 = 0 THEN {now} - i % 300000 ELSE {now} - (i * 3000) % {} END", 7 * DAY);
    all.extend([
        change(5, done, "completed", "CASE WHEN i % 3 = 0 THEN 'no_op' ELSE 'applied' END", "NULL", &ended),
        change(6, waiting, "parked", "NULL", "'vendor_rejected'", &format!("{now}")),
        change(7, waiting, "available", "NULL", "NULL", "NULL"),
    ]);
    all.extend([
        format!(
            "{} INSERT INTO inbox (source, position, change_id, hint, received_at) SELECT 'marketo', 0, {}, '{{}}', {} + i * {} FROM n",
            numbers(done),
            id(5, "i"),
            now - 7 * DAY,
            7 * DAY / done as i64
        ),
        format!(
            "{} INSERT INTO ledger (mapping_id, window_start, received, applied, no_op)
             SELECT {}, {} + (i % 24) * 3600000, 10, 7, 3 FROM n",
            numbers(mappings * 24),
            id(1, "1 + i / 24"),
            now - now % DAY
        ),
        format!(
            "{} INSERT INTO figures (minute, metric, value) SELECT {} - i * 60000, m.metric, i % 50 FROM n,
             (SELECT 'received' AS metric UNION SELECT 'applied_to_salesforce' UNION SELECT 'applied_to_marketo' UNION SELECT 'no_op'
              UNION SELECT 'superseded' UNION SELECT 'held' UNION SELECT 'failed' UNION SELECT 'trigger_events' UNION SELECT 'drift'
              UNION SELECT 'marketo_calls' UNION SELECT 'salesforce_calls' UNION SELECT 'latency_p50_ms' UNION SELECT 'latency_p95_ms'
              UNION SELECT 'backlog_depth' UNION SELECT 'backlog_age_seconds') AS m WHERE true ON CONFLICT DO NOTHING",
            numbers(31 * 24 * 60),
            now - now % 60_000
        ),
        format!(
            "INSERT INTO settings (name, value) VALUES ('summed_until', '{}') ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            now - now % 60_000
        ),
        format!(
            "{} INSERT INTO runs (id, lane, mapping_id, kind, state, stage, counts, due_at, created_at, completed_at)
             SELECT {}, {}, {}, 'reconciliation', 'completed', 'decide', '{{\"members\":100}}', {now}, {now} - i, {now} - i FROM n",
            numbers(mappings * 3),
            id(8, "i"),
            campaign(&format!("(1 + i % {mappings})")),
            id(1, &format!("(1 + i % {mappings})"))
        ),
        format!(
            "{} INSERT INTO subscriptions (id, url, description, wanted, state, since_position, created_at, updated_at)
             SELECT {}, 'https://example.org/' || i, '', '{{}}', 'enabled', 0, {now}, {now} FROM n",
            numbers(20),
            id(9, "i")
        ),
        format!(
            "{} INSERT INTO deliveries (id, subscription_id, event_id, type, position, state, attempts, due_at, started_at, created_at, completed_at)
             SELECT {}, {}, {}, 'campaign.member.added', i, CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'delivered' END, 1, {now}, {now}, {now}, {now}
             FROM n",
            numbers(deliveries),
            id(10, "i"),
            id(9, "1 + i % 20"),
            id(4, "i")
        ),
        format!(
            "{} INSERT INTO delivery_attempts (delivery_id, attempt, at, code, latency_ms, body) SELECT {}, 1, {now}, 200, 12, 'thanks' FROM n",
            numbers(deliveries),
            id(10, "i")
        ),
        format!(
            "{} INSERT INTO guards (id, mapping_id, state, created_at) SELECT {}, {}, 'waiting', {now} FROM n",
            numbers(5),
            id(11, "i"),
            id(1, "i")
        ),
        format!(
            "{} INSERT INTO guard_members (guard_id, member_id, side) SELECT {}, {}, 'salesforce' FROM n",
            numbers(500),
            id(11, "1 + i % 5"),
            id(3, "i")
        ),
        format!(
            "{} INSERT INTO audit (at, actor, action, target, detail) SELECT {now} - i, 'bootstrap', 'mapping.changed', 'x', '' FROM n",
            numbers(done / 20)
        ),
    ]);
    all
}
