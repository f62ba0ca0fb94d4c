//! The rows of a change put into the same tables, with the same indexes and triggers, by statements that know everything
//! beforehand: what the database itself takes for them.

use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions};
use uuid::Uuid;

use crate::ground::{Tables, TestDatabase};
use crate::log::Log;

enum Connection {
    File(SqliteConnection),
    Server(PgPool),
}

/// A database with the same people and subscriptions, to which nothing else is done.
pub struct SameRows {
    connection: Connection,
    #[expect(dead_code, reason = "held for what is in it")]
    database: TestDatabase,
    members: Vec<String>,
    subscriptions: Vec<String>,
    campaign: String,
    mapping: String,
    /// What ours stores of one change.
    detail: String,
    body: String,
    /// Changes so far.
    told: usize,
}

fn list(rows: impl Iterator<Item = String>) -> String {
    rows.collect::<Vec<_>>().join(",")
}

impl SameRows {
    /// Beside `ours`, in which something has changed already.
    pub async fn new(ours: &TestDatabase, beside: TestDatabase, members: usize, subscriptions: usize) -> Self {
        let log = Log::new(&beside, members).await;
        for n in 0..subscriptions {
            log.subscribe(&format!("https://example.com/{n}"), true).await;
        }
        drop(log);
        let connection = match beside.url.strip_prefix("sqlite://") {
            None => Connection::Server(PgPool::connect(&beside.url).await.unwrap()),
            Some(path) => {
                let options = SqliteConnectOptions::new().filename(path.split('?').next().unwrap());
                let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
                Connection::File(options.pragma("wal_autocheckpoint", "4000").connect().await.unwrap())
            }
        };
        let (here, there) = (Tables::open(&beside.url).await, Tables::open(&ours.url).await);
        let one = async |tables: &Tables, sql: &str| tables.texts(sql).await.remove(0);
        Self {
            connection,
            members: here.texts("SELECT id FROM members ORDER BY id").await,
            subscriptions: here.texts("SELECT id FROM subscriptions ORDER BY id").await,
            campaign: one(&here, "SELECT campaign_id FROM mappings").await,
            mapping: one(&here, "SELECT id FROM mappings").await,
            detail: one(&there, "SELECT detail FROM history ORDER BY id LIMIT 1").await,
            body: one(&there, "SELECT body FROM trigger_events ORDER BY position LIMIT 1").await,
            told: 0,
            database: beside,
        }
    }

    /// The rows of `count` changes in one transaction, sent as one text.
    pub async fn change(&mut self, count: usize) {
        let (total, now) = (self.members.len(), 1_795_000_000_000_i64);
        let numbers = self.told..self.told + count;
        let member = |n: usize| &self.members[n % total];
        let status = ["Invited", "Attended"][self.told / total % 2];
        let events: Vec<(usize, String)> = numbers.clone().map(|n| (n, Uuid::now_v7().to_string())).collect();
        let (campaign, mapping, detail, body) = (&self.campaign, &self.mapping, &self.detail, &self.body);
        let history = list(numbers.clone().map(|n| format!("('{}',{now},'decided','{detail}')", member(n))));
        let told = list(events.iter().map(|(n, id)| {
            let (member, sequence, position) = (member(*n), n / total + 1, n + 1);
            format!(
                "({position},'{id}','campaign.member.status_changed','{campaign}','{mapping}','{member}',{sequence},'{status}','Other','{status}','{body}',{now},1044)"
            )
        }));
        let deliveries = list(self.subscriptions.iter().flat_map(|subscription| {
            events.iter().map(move |(n, event)| {
                let (id, position) = (Uuid::now_v7(), n + 1);
                format!(
                    "('{id}','{subscription}','{event}','campaign.member.status_changed',{position},'pending',{now},{now},{now})"
                )
            })
        }));
        let changed = list(numbers.map(|n| format!("'{}'", member(n))));
        let statements = format!(
            "UPDATE members SET marketo = '{status}', salesforce = '{status}', sequence = sequence + 1, updated_at = {now} WHERE id IN ({changed});
             INSERT INTO history (member_id, at, kind, detail) VALUES {history};
             UPDATE event_log SET last_position = {last} WHERE id = 1;
             INSERT INTO trigger_events (position, id, type, campaign_id, mapping_id, member_id, sequence, status, old_status, new_status, body, created_at, program_id) VALUES {told};
             INSERT INTO deliveries (id, subscription_id, event_id, type, position, state, due_at, started_at, created_at) VALUES {deliveries};
             COMMIT;",
            last = self.told + count
        );
        match &mut self.connection {
            Connection::File(connection) => {
                let sql = format!("BEGIN IMMEDIATE; {statements}");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
            }
            Connection::Server(pool) => {
                let sql = format!("BEGIN; {statements}");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&*pool).await.unwrap();
            }
        }
        self.told += count;
    }
}
