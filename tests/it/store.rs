//! What the store promises, on both databases.
//!
//! Stands on the public methods; looks into the tables only to recount what the store counts by itself.

mod bridge;
mod budgets;
mod campaigns;
mod commands;
mod deliveries;
mod figures;
mod histories;
mod ingest;
mod lanes;
mod looks;
mod mappings;
mod people;
mod plans;
mod polls;
mod record;
mod retention;
mod schedule;
mod set_back;
mod soak;
mod statements;
mod together;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::hint::{DeliveredHint, Delivery, Hint, Source};
use campaign_sync::domain::ids::SalesforceId;
use campaign_sync::domain::mapping::{MappingState, Policies};
use campaign_sync::domain::status::StatusMap;
use campaign_sync::store::Store;
use campaign_sync::store::lanes::{Claim, Claimed};
use campaign_sync::store::mappings::{Created, Found, Mapping, Options};
use campaign_sync::store::outbox::{Kind, NewWork, Subject};
use campaign_sync::store::people::{Half, Person};
use campaign_sync::store::record::{Batch, End, Settled};

use crate::support::{Tables, TestDatabase, statements as heard};

const LEASE: Duration = Duration::from_secs(60);
const COUNTERS: [&str; 8] = ["received", "applied", "no_op", "superseded", "waiting", "held", "failed", "discarded"];

/// A store on a database of its own, with a clock that stands still.
struct World {
    store: Store,
    clock: Clock,
    tables: Tables,
    _database: TestDatabase,
}

impl World {
    async fn new(database: TestDatabase) -> Self {
        Self::over(database, 10).await
    }

    /// With so many connections. With one, what an abandoned transaction held is free before the next statement runs, so
    /// that a lane is never passed over for a lock that is about to go.
    async fn over(database: TestDatabase, connections: u32) -> Self {
        heard::write_down();
        let clock = Clock::manual("2026-11-23T20:05:01Z".parse().unwrap());
        let store = Store::connect(&database.url, connections, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        store.ping().await.unwrap();
        let tables = Tables::open(&database.url).await;
        Self { store, clock, tables, _database: database }
    }

    /// A mapping of program `n` and campaign `n`, its first sync done with.
    async fn mapped(&self, n: u32) -> Mapping {
        let created = self.store.create_mapping(mapping(&self.store, n, n), "test").await.unwrap();
        let Created::New { mapping, run_id } = created else { panic!("{created:?}") };
        let claim = self.claim().await;
        let mut run = self.store.run(&run_id).await.unwrap().unwrap();
        run.state = "completed".to_owned();
        let lane = mapping.campaign_id.to_string();
        let batch = Batch { leases: claim.leases, runs: vec![run], baselines: vec![lane], ..Batch::default() };
        self.store.record(batch).await.unwrap();
        mapping
    }

    async fn claim(&self) -> Claim {
        self.store.claim("worker", LEASE, 1000).await.unwrap()
    }

    async fn enqueue(&self, work: &[NewWork]) -> Vec<String> {
        self.store.enqueue(work).await.unwrap()
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// A hint about a Marketo person in the lane of a mapping.
    fn hint(&self, mapping: &Mapping, person: i64) -> NewWork {
        NewWork {
            lane: mapping.campaign_id.to_string(),
            mapping_id: Some(mapping.id.clone()),
            kind: Kind::Hint,
            subject: Subject::Marketo(person),
            source: "marketo",
            payload: Some("1".to_owned()),
            due_at: self.now(),
        }
    }

    /// Ends everything that was claimed in the same way.
    async fn end_all(&self, claim: Claim, end: &End) {
        let settled = claim.changes.iter().map(|change| settled(change, end.clone())).collect();
        self.store.record(Batch { leases: claim.leases, settled, ..Batch::default() }).await.unwrap();
    }

    /// State, outcome and attempts of each row, oldest first.
    async fn rows(&self) -> Vec<String> {
        let line =
            "SELECT state || ' ' || COALESCE(outcome, '-') || ' ' || CAST(attempts AS TEXT) FROM outbox ORDER BY id";
        self.tables.texts(line).await
    }

    async fn people(&self, halves: &[Half]) -> Vec<Person> {
        self.store.ensure_people(halves).await.unwrap()
    }

    /// The ledger balances, and says what a recount of the rows says. What was merged into a row that waited has no row.
    async fn recount(&self) {
        let rows = self
            .tables
            .lines("outbox WHERE mapping_id IS NOT NULL", &["mapping_id", "window_start", "state", "outcome", "reason"])
            .await;
        let mut counted: BTreeMap<String, BTreeMap<&str, i64>> = BTreeMap::new();
        for row in rows {
            let cells: Vec<_> = row.splitn(5, '|').collect();
            let counter = match (cells[2], cells[3], cells[4]) {
                ("completed", outcome, _) => COUNTERS.into_iter().find(|c| *c == outcome).unwrap(),
                ("parked", ..) => "held",
                ("discarded", _, "~") => "discarded",
                ("discarded", ..) => "failed",
                _ => "waiting",
            };
            *counted.entry(format!("{}|{}", cells[0], cells[1])).or_default().entry(counter).or_default() += 1;
        }
        let columns = ["mapping_id", "window_start"].into_iter().chain(COUNTERS).collect::<Vec<_>>();
        for line in self.tables.lines("ledger", &columns).await {
            let cells: Vec<_> = line.split('|').collect();
            let numbers: Vec<i64> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
            assert_eq!(numbers[0], numbers[1..].iter().sum::<i64>(), "{line}");
            let rows = counted.remove(&cells[..2].join("|")).unwrap_or_default();
            let merged = numbers[0] - rows.values().sum::<i64>();
            assert!(merged >= 0, "{line}: {rows:?}");
            for (counter, number) in COUNTERS.into_iter().zip(numbers).skip(1) {
                let merged = if counter == "superseded" { merged } else { 0 };
                assert_eq!(number, rows.get(counter).unwrap_or(&0) + merged, "{counter} of {line}: {rows:?}");
            }
        }
        assert!(counted.is_empty(), "rows that no window counts: {counted:?}");
        self.recount_tallies().await;
    }

    /// Tallies say what counting members and windows of the ledger says, before and after they are put together.
    async fn recount_tallies(&self) {
        let key = "campaign_id, m, s, sync_state, reason";
        let line = "campaign_id || '|' || m || s || '|' || sync_state || '|' || reason || '|'";
        let side = |column: &str, name: &str| format!("CASE WHEN {column} THEN '{name}' ELSE '-' END AS {name}");
        let sides = |m: &str, s: &str| [side(m, "m"), side(s, "s")].join(", ");
        let there = |column: &str| format!("COALESCE({column}, '') > ''");
        let tallied = format!(
            "SELECT {line} || CAST(SUM(count) AS TEXT) FROM (SELECT campaign_id, {}, sync_state, reason, count FROM member_tallies) AS t
             GROUP BY {key} HAVING SUM(count) <> 0 ORDER BY 1",
            sides("in_marketo", "in_salesforce")
        );
        let counted = format!(
            "SELECT {line} || CAST(COUNT(*) AS TEXT) FROM (SELECT campaign_id, {}, sync_state, COALESCE(reason, '') AS reason FROM members) AS t
             GROUP BY {key} ORDER BY 1",
            sides(&there("marketo"), &there("salesforce"))
        );
        let sums = COUNTERS.map(|c| format!("CAST(SUM({c}) AS TEXT)")).join(" || ' ' || ");
        let nothing = vec!["0"; COUNTERS.len()].join(" ");
        let by_day = |table: &str, day: &str| {
            format!(
                "SELECT CAST({day} AS TEXT) || ' ' || {sums} FROM {table} GROUP BY {day} HAVING {sums} <> '{nothing}' ORDER BY 1"
            )
        };
        for _ in 0..2 {
            assert_eq!(self.tables.texts(&tallied).await, self.tables.texts(&counted).await);
            let windows = self.tables.texts(&by_day("ledger", "(window_start - window_start % 86400000)")).await;
            assert_eq!(self.tables.texts(&by_day("ledger_days", "day")).await, windows);
            self.store.compact_tallies().await.unwrap();
        }
    }
}

fn settled(change: &Claimed, end: End) -> Settled {
    let kind = if change.kind == "hint" { Kind::Hint } else { Kind::FlowAction };
    Settled { id: change.id.clone(), lane: change.lane.clone(), subject: change.subject.clone(), kind, end }
}

fn id(prefix: &str, n: u32) -> SalesforceId {
    format!("{prefix}4S{n:010}").parse().unwrap()
}

fn campaign(n: u32) -> SalesforceId {
    id("701", n)
}

fn lead(n: u32) -> SalesforceId {
    id("00Q", n)
}

fn mapping(store: &Store, program: u32, in_campaign: u32) -> Mapping {
    Mapping {
        id: store.new_id(),
        program_id: program.into(),
        campaign_id: campaign(in_campaign),
        program_name: format!("Program {program}"),
        campaign_name: format!("Campaign_{in_campaign}"),
        state: MappingState::Active,
        reason: None,
        status_map: StatusMap::exact(&["Attended"], &["Attended"]),
        custom_map: true,
        steps: serde_json::from_value(serde_json::json!({"Attended": 30})).unwrap(),
        policies: Policies::default(),
        options: Options { provision_statuses: true, ..Options::default() },
        found: Found::default(),
        version: 0,
        created_at: 0,
        updated_at: 0,
    }
}

/// A delivery of hints about members of program `program`.
fn delivery(delivery_id: Option<&str>, program: u32, people: &[i64]) -> Delivery {
    let record = |(position, marketo_id): (u32, &i64)| DeliveredHint {
        delivery_id: delivery_id.map(str::to_owned),
        position,
        hint: Hint::ProgramMember {
            program_id: program.into(),
            marketo_id: *marketo_id,
            removed: false,
            status: Some("Größe \u{0}".to_owned()),
        },
    };
    Delivery { source: Source::Marketo, records: (0..).zip(people).map(record).collect() }
}

fn retry(due_at: i64) -> End {
    End::Retry { due_at, reason: "retrying".to_owned(), error: None }
}

fn parked() -> End {
    End::Parked { reason: "vendor_rejected".to_owned(), error: None }
}

fn given_up() -> End {
    End::GivenUp { reason: "attempts_exhausted".to_owned(), error: None }
}
