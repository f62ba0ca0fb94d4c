//! The database of a peopled world: everybody mapped, known, linked and in sync, written straight into the tables; and what waits in it, as
//! webhooks leave it behind.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::ids::SalesforceId;
use campaign_sync::domain::mapping::{MappingState, Policies};
use campaign_sync::domain::status::StatusMap;
use campaign_sync::store::Store;
use campaign_sync::store::mappings::{Created, Found, Mapping, Options};

use super::filled::id_of;
use super::peopled::{Pair, Peopled, STATUSES, Side, Somebody};
use super::{Tables, world};

/// The logs that are polled: they would tell once more of what everybody was made of.
const POLLED: [&str; 9] = [
    "marketo_activities",
    "marketo_deletions",
    "salesforce_members",
    "salesforce_campaigns",
    "salesforce_leads",
    "salesforce_contacts",
    "salesforce_deleted_members",
    "salesforce_deleted_leads",
    "salesforce_deleted_contacts",
];
/// Rows of one statement.
const AT_ONCE: usize = 2_000;

impl Peopled {
    /// Brings the schema up to date and stores everybody as known, linked and in sync.
    pub async fn fill(&self, database: &str) -> Tables {
        let store = Store::connect(database, 2, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let first = mapping(&store, self.pairs[0]);
        let Created::New { mapping, .. } = store.create_mapping(first, "benchmark").await.unwrap() else {
            panic!("mapped already")
        };
        drop(store);
        let tables = Tables::open(database).await;
        let now = Clock::system().now().as_millisecond();
        // Its first sync has nothing to find out.
        tables.execute(&format!("UPDATE runs SET state = 'completed', completed_at = {now}")).await;
        tables.execute("UPDATE lanes SET next_due_at = NULL, baseline = TRUE").await;
        let campaign = |pair: usize| self.pairs[pair].campaign.to_string();
        let others: Vec<usize> = (1..self.pairs.len()).collect();
        insert(&tables, "lanes (id, baseline)", &others, |row, pair| {
            write!(row, "('{}', TRUE)", campaign(*pair)).unwrap();
        })
        .await;
        for some in others.chunks(AT_ONCE) {
            let ids: Vec<String> = some
                .iter()
                .map(|pair| {
                    let (program, name) = (self.pairs[*pair].program, campaign(*pair));
                    format!("('{}', {program}, '{name}')", id_of(1, *pair))
                })
                .collect();
            tables
                .execute(&format!(
                    "INSERT INTO mappings (id, program_id, campaign_id, program_name, campaign_name, state, status_map, custom_map, steps,
                       policies, options, found, refresh_at, version, created_at, updated_at)
                     SELECT n.column1, n.column2, n.column3, m.program_name, m.campaign_name, m.state, m.status_map, m.custom_map, m.steps,
                       m.policies, m.options, m.found, m.refresh_at, 1, {now}, {now}
                     FROM mappings m, (VALUES {}) AS n WHERE m.id = '{}'",
                    ids.join(", "),
                    mapping.id
                ))
                .await;
        }
        tables
            .execute(&format!("UPDATE mappings SET refresh_at = {now} + 864000000, compare_at = {now} + 864000000"))
            .await;
        insert(&tables, "polls (name, due_at)", &POLLED, |row, name| {
            write!(row, "('{name}', {now} + 864000000)").unwrap();
        })
        .await;
        self.fill_people(&tables, now).await;
        self.settle(&tables).await;
        tables
    }

    async fn fill_people(&self, tables: &Tables, now: i64) {
        let numbered: Vec<(usize, &Somebody)> = self.people.iter().enumerate().collect();
        let columns = "people (id, marketo_id, salesforce_id, email, created_at, updated_at)";
        insert(tables, columns, &numbered, |row, (n, one)| {
            let (id, lead, record) = (id_of(2, *n), one.lead, one.record);
            write!(row, "('{id}', {lead}, '{record}', 'p{n}@example.com', {now}, {now})").unwrap();
        })
        .await;
        let columns = "members (id, campaign_id, person_id, campaign_member_id, program_member_id, marketo, salesforce, base_marketo,
            base_salesforce, sync_state, rule, updated_at)";
        let status = STATUSES[self.step];
        insert(tables, columns, &numbered, |row, (n, one)| {
            let (id, person, campaign) = (id_of(3, *n), id_of(2, *n), self.pairs[one.pair].campaign);
            let (member, lead) = (one.member, one.lead);
            write!(
                row,
                "('{id}', '{campaign}', '{person}', '{member}', {lead}, '{status}', '{status}', '{status}', '{status}', 'in_sync', '1', {now})"
            )
            .unwrap();
        })
        .await;
    }

    /// What a server does by itself after a while.
    async fn settle(&self, tables: &Tables) {
        if matches!(tables, Tables::Server(_)) {
            tables.execute("VACUUM ANALYZE").await;
        }
    }

    /// A row of work for everybody, as webhooks leave it behind; it is due with `release`.
    pub async fn tell(&mut self, tables: &Tables, side: Side) {
        self.rounds += 1;
        let now = Clock::system().now().as_millisecond();
        let window = now - now % 3_600_000;
        let kind = u8::try_from(50 + self.rounds).unwrap();
        let ids: Vec<String> = tables.texts("SELECT id || ' ' || campaign_id FROM mappings").await;
        let mappings: std::collections::HashMap<&str, &str> =
            ids.iter().filter_map(|line| line.split_once(' ')).map(|(id, campaign)| (campaign, id)).collect();
        let campaigns: Vec<String> = self.pairs.iter().map(|pair| pair.campaign.to_string()).collect();
        let numbered: Vec<(usize, &Somebody)> = self.people.iter().enumerate().collect();
        let source = if side == Side::Marketo { "marketo" } else { "salesforce" };
        let columns = "outbox (id, lane, mapping_id, kind, subject, source, state, due_at, window_start, created_at)";
        insert(tables, columns, &numbered, |row, (n, one)| {
            let lane = &campaigns[one.pair];
            let mapping = mappings[lane.as_str()];
            let subject = match side {
                Side::Marketo => format!("marketo:{}", one.lead),
                Side::Salesforce => format!("salesforce:{}", one.record),
            };
            let id = id_of(kind, *n);
            write!(
                row,
                "('{id}', '{lane}', '{mapping}', 'hint', '{subject}', '{source}', 'available', {now}, {window}, {now})"
            )
            .unwrap();
        })
        .await;
        let mut waiting = vec![0_usize; self.pairs.len()];
        self.people.iter().for_each(|one| waiting[one.pair] += 1);
        let counted: Vec<(usize, usize)> = waiting.into_iter().enumerate().collect();
        // Rounds of one hour are counted in one row of the ledger.
        for some in counted.chunks(AT_ONCE) {
            let mut rows = String::new();
            for (pair, count) in some {
                let comma = if rows.is_empty() { "" } else { ", " };
                write!(rows, "{comma}('{}', {window}, {count}, {count})", mappings[campaigns[*pair].as_str()]).unwrap();
            }
            tables
                .execute(&format!(
                    "INSERT INTO ledger (mapping_id, window_start, received, waiting) VALUES {rows}
                     ON CONFLICT (mapping_id, window_start) DO UPDATE SET received = ledger.received + excluded.received,
                       waiting = ledger.waiting + excluded.waiting"
                ))
                .await;
        }
        self.settle(tables).await;
    }

    /// What waits is due.
    pub async fn release(&self, tables: &Tables) {
        let now = Clock::system().now().as_millisecond();
        tables
            .execute(&format!("UPDATE lanes SET next_due_at = {now} WHERE id <> 'router' AND next_due_at IS NULL"))
            .await;
    }
}

/// Whether any work is open.
pub async fn is_open(tables: &Tables) -> bool {
    let sql = "SELECT id FROM outbox WHERE state IN ('available', 'retryable', 'running') LIMIT 1";
    !tables.texts(sql).await.is_empty()
}

pub async fn count(tables: &Tables, of: &str) -> usize {
    tables.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {of}")).await[0].parse().unwrap()
}

/// From the first call of the service to the end of all work.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn drained(peopled: &Peopled, tables: &Tables) -> Duration {
    let calls = || peopled.of_salesforce().all() + peopled.of_marketo().all();
    let before = calls();
    peopled.release(tables).await;
    while calls() == before {
        world::pause(Duration::from_millis(1)).await;
    }
    let started = Instant::now();
    while is_open(tables).await {
        // Asked less often the longer it takes.
        world::pause((started.elapsed() / 100).clamp(Duration::from_millis(10), Duration::from_millis(200))).await;
    }
    started.elapsed()
}

async fn insert<T>(tables: &Tables, columns: &str, rows: &[T], write_row: impl Fn(&mut String, &T)) {
    for some in rows.chunks(AT_ONCE) {
        let mut sql = format!("INSERT INTO {columns} VALUES ");
        for (n, row) in some.iter().enumerate() {
            sql.push_str(if n == 0 { "" } else { ", " });
            write_row(&mut sql, row);
        }
        tables.execute(&sql).await;
    }
}

fn mapping(store: &Store, pair: Pair) -> Mapping {
    let campaign_id: SalesforceId = pair.campaign.to_string().parse().unwrap();
    let steps = STATUSES.iter().enumerate().map(|(n, name)| ((*name).to_owned(), 10 * (n as i64 + 1))).collect();
    Mapping {
        id: store.new_id(),
        program_id: pair.program,
        campaign_id,
        program_name: "Program".to_owned(),
        campaign_name: "Campaign".to_owned(),
        state: MappingState::Active,
        reason: None,
        status_map: StatusMap::exact(&STATUSES, &STATUSES),
        custom_map: true,
        steps,
        policies: Policies::default(),
        options: Options::default(),
        found: Found::default(),
        version: 0,
        created_at: 0,
        updated_at: 0,
    }
}
