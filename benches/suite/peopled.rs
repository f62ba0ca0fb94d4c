//! Both emulated vendors with many members in many programs and campaigns, and a database in which they are mapped and known, written
//! straight into the tables: what waits in it is the only work.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::ids::SalesforceId;
use campaign_sync::domain::mapping::{MappingState, Policies};
use campaign_sync::domain::status::StatusMap;
use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::marketo::{NewChannel, NewPerson, NewProgram, ProgressionStatus};
use campaign_sync::sandbox::salesforce::Id;
use campaign_sync::sandbox::{EmulateOptions, Emulators, start};
use campaign_sync::store::Store;
use campaign_sync::store::mappings::{Created, Found, Mapping, Options};
use serde_json::json;

use super::filled::id_of;
use super::{Launch, Tables, world};

/// In the order of the channel. Each round of a workload goes a step on.
pub const STATUSES: [&str; 8] =
    ["Invited", "Registered", "Confirmed", "Attended", "Engaged", "Followed", "Qualified", "Won"];
/// Rows of one statement.
const AT_ONCE: usize = 2_000;

/// Which vendor somebody has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Marketo,
    Salesforce,
}

#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub program: i64,
    pub campaign: Id,
}

/// A person who is a member on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Somebody {
    /// In `pairs`.
    pub pair: usize,
    pub lead: i64,
    pub record: Id,
    pub member: Id,
}

/// Calls of a vendor since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub reads: u64,
    pub writes: u64,
}

impl Calls {
    pub fn all(self) -> u64 {
        self.reads + self.writes
    }
}

impl std::ops::Sub for Calls {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { reads: self.reads - before.reads, writes: self.writes - before.writes }
    }
}

pub struct Peopled {
    pub emulators: Emulators,
    pub pairs: Vec<Pair>,
    pub people: Vec<Somebody>,
    /// The status of everybody, by its place.
    pub step: usize,
    rounds: usize,
}

/// Neither limits nor quotas.
pub fn unlimited() -> EmulateOptions {
    let mut options = EmulateOptions::default();
    options.marketo.rate_limit = None;
    options.marketo.concurrency_limit = None;
    options.marketo.daily_quota = None;
    options.salesforce.daily_calls = 100_000_000;
    options
}

impl Peopled {
    /// So many members in turns in so many pairs of a program and a campaign.
    pub async fn new(members: usize, pairs: usize, options: EmulateOptions) -> Self {
        let emulators = start(options).await.unwrap();
        let pairs = paired(&emulators, pairs);
        let people = peopled(&emulators, &pairs, members);
        Self { emulators, pairs, people, step: 0, rounds: 0 }
    }

    /// Every call of this vendor takes so long from now on; zero for none.
    pub fn latency(&self, time: Duration) {
        self.emulators.faults.clear();
        let ms = u64::try_from(time.as_millis()).unwrap();
        for vendor in [Vendor::Marketo, Vendor::Salesforce].into_iter().filter(|_| ms > 0) {
            let action = Action::Delay { ms };
            self.emulators.faults.add(Fault { times: u32::MAX, ..Fault::next(vendor, "", action) });
        }
    }

    /// What the service is told of both vendors, without limits of its own; more is set behind it.
    fn settings(&self, database: &str) -> Vec<(String, String)> {
        let mut settings = world::settings(&self.emulators, database);
        let more = [
            ("SYNC__POLL_INTERVAL", "24h"),
            ("SYNC__RECONCILE_INTERVAL", "24h"),
            ("LIMITS__SALESFORCE__CONCURRENCY", "10"),
            ("LIMITS__MARKETO__CONCURRENCY", "10"),
        ];
        settings.extend(more.map(|(key, value)| (format!("CAMPAIGN_SYNC__{key}"), value.to_owned())));
        settings
    }

    /// The service on a database, as a process of its own.
    pub fn launch(&self, database: &str) -> Launch {
        let launch = Launch::serve_on(database).env("RUST_LOG", "warn");
        self.settings(database).iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    pub fn of_salesforce(&self) -> Calls {
        self.emulators.salesforce.with(|world| Calls { reads: world.counters.reads, writes: world.counters.writes })
    }

    pub fn of_marketo(&self) -> Calls {
        self.emulators.marketo.with(|world| Calls { reads: world.police.reads, writes: world.police.writes })
    }

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
        let now = jiff::Timestamp::now().as_millisecond();
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
                    format!("SELECT '{}' AS id, {program} AS program, '{name}' AS campaign", id_of(1, *pair))
                })
                .collect();
            tables
                .execute(&format!(
                    "INSERT INTO mappings (id, program_id, campaign_id, program_name, campaign_name, state, status_map, custom_map, steps,
                       policies, options, found, refresh_at, version, created_at, updated_at)
                     SELECT n.id, n.program, n.campaign, m.program_name, m.campaign_name, m.state, m.status_map, m.custom_map, m.steps,
                       m.policies, m.options, m.found, m.refresh_at, 1, {now}, {now}
                     FROM mappings m, ({}) AS n WHERE m.id = '{}'",
                    ids.join(" UNION ALL "),
                    mapping.id
                ))
                .await;
        }
        tables
            .execute(&format!("UPDATE mappings SET refresh_at = {now} + 864000000, compare_at = {now} + 864000000"))
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

    /// Somebody has set everybody a step on in one of the vendors; nothing was told of it yet.
    pub fn change(&mut self, side: Side) {
        self.step += 1;
        let status = STATUSES[self.step];
        match side {
            Side::Marketo => self.emulators.marketo.with(|world| {
                for one in &self.people {
                    world.set_status(self.pairs[one.pair].program, one.lead, status).unwrap();
                }
            }),
            Side::Salesforce => self.emulators.salesforce.with(|world| {
                for one in &self.people {
                    world.set_member_status(one.member, status).unwrap();
                }
            }),
        }
    }

    /// A row of work for everybody, as webhooks leave it behind; it is due with `release`.
    pub async fn tell(&mut self, tables: &Tables, side: Side) {
        self.rounds += 1;
        let now = jiff::Timestamp::now().as_millisecond();
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
        let now = jiff::Timestamp::now().as_millisecond();
        tables
            .execute(&format!("UPDATE lanes SET next_due_at = {now} WHERE id <> 'router' AND next_due_at IS NULL"))
            .await;
    }

    /// Both sides show everybody at the last step.
    pub fn is_equal(&self) -> bool {
        let status = STATUSES[self.step];
        let in_marketo = self.emulators.marketo.with(|world| {
            self.people.iter().all(|one| world.status_of(self.pairs[one.pair].program, one.lead) == Some(status))
        });
        in_marketo
            && self.emulators.salesforce.with(|world| {
                self.people.iter().all(|one| world.row(one.member).is_some_and(|row| row.text_of("Status") == status))
            })
    }
}

/// Whether any work is open.
pub async fn is_open(tables: &Tables) -> bool {
    let sql = "SELECT id FROM outbox WHERE state IN ('available', 'running', 'retryable') LIMIT 1";
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

fn paired(emulators: &Emulators, pairs: usize) -> Vec<Pair> {
    let campaigns: Vec<Id> = emulators.salesforce.with(|world| {
        let campaign = |n: usize| {
            let campaign = world.add_campaign(&format!("Campaign {n}"), "Webinar").unwrap();
            // The two that a campaign comes with are the first of ours.
            let given: Vec<Id> = world.statuses(campaign).iter().map(|row| row.id).collect();
            for (id, label) in given.iter().zip(STATUSES) {
                world.rename_status(*id, label).unwrap();
            }
            for label in &STATUSES[given.len()..] {
                world.add_status(campaign, label, false).unwrap();
            }
            campaign
        };
        (0..pairs).map(campaign).collect()
    });
    emulators.marketo.with(|world| {
        let status = |(n, name): (usize, &&str)| ProgressionStatus {
            id: 0,
            name: (*name).to_owned(),
            step: 10 * (i64::try_from(n).unwrap() + 1),
            success: false,
            hidden: false,
        };
        world.add_channel(NewChannel {
            id: None,
            name: "Webinar".to_owned(),
            applicable_program_type: Some("event".to_owned()),
            statuses: STATUSES.iter().enumerate().map(status).collect(),
        });
        let program = |(n, campaign): (usize, Id)| {
            let (name, channel) = (format!("Program {n}"), "Webinar".to_owned());
            let program = NewProgram { name, channel, kind: Some("Event".to_owned()), ..NewProgram::default() };
            Pair { program: world.add_program(program).unwrap(), campaign }
        };
        campaigns.into_iter().enumerate().map(program).collect()
    })
}

fn peopled(emulators: &Emulators, pairs: &[Pair], members: usize) -> Vec<Somebody> {
    let records: Vec<(Id, Id)> = emulators.salesforce.with(|world| {
        let member = |n: usize| {
            let record = world.add_lead("First", &format!("Last{n}"), &format!("p{n}@example.com"), "Company").unwrap();
            (record, world.add_member(pairs[n % pairs.len()].campaign, record, Some(STATUSES[0])).unwrap())
        };
        (0..members).map(member).collect()
    });
    emulators.marketo.with(|world| {
        let somebody = |(n, (record, member)): (usize, (Id, Id))| {
            let fields = [("email", json!(format!("p{n}@example.com"))), ("sfdcLeadId", json!(record.to_string()))];
            let fields = fields.map(|(key, value)| (key.to_owned(), value)).into();
            let lead = world.add_person(NewPerson { id: None, fields });
            let pair = n % pairs.len();
            world.set_status(pairs[pair].program, lead, STATUSES[0]).unwrap();
            Somebody { pair, lead, record, member }
        };
        records.into_iter().enumerate().map(somebody).collect()
    })
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
