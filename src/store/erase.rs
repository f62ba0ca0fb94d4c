//! Erasing a person on request: whatever says who somebody is goes, what was counted and in which order things happened stays.
//!
//! Owns where an address can stand. The ids of both vendors stay, since without them a member that still exists on a side would be
//! taken for a new one; while the person exists there, the next read brings the address back. Rows are rewritten a few at a time,
//! each in a transaction of its own: what was broken off is begun anew.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::changes::Decision;
use super::dialect::{Rows, args};
use super::mappings::audit;
use super::people::{Half, Person};
use super::{Store, StoreError};
use crate::domain::redaction::{How, like, redacted};

/// Rows rewritten in one transaction.
const AT_ONCE: i64 = 500;

/// Who is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Somebody known by an id of either side.
    By(Half),
    /// Whoever has this address.
    Email(String),
}

/// What was erased, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Our ids of whoever was meant.
    pub people: Vec<String>,
    /// Values by table.
    pub rows: BTreeMap<&'static str, i64>,
}

impl Erased {
    fn add(&mut self, table: &'static str, rows: i64) {
        if rows > 0 {
            *self.rows.entry(table).or_default() += rows;
        }
    }

    fn total(&self) -> i64 {
        self.rows.values().sum()
    }
}

/// A column that may hold an address, with the key by which its row is found: one column or two, and their types.
struct Place {
    table: &'static str,
    keys: [(&'static str, &'static str); 2],
    column: &'static str,
    how: How,
}

const fn place(
    table: &'static str,
    one: (&'static str, &'static str),
    other: (&'static str, &'static str),
    column: &'static str,
    how: How,
) -> Place {
    Place { table, keys: [one, other], column, how }
}

const ID: (&str, &str) = ("id", "text");
const NUMBER: (&str, &str) = ("id", "int");
/// For a key of one column.
const NONE: (&str, &str) = ("", "text");

/// Every column that what is known of people gets into. What operators write themselves (names of keys and mappings, descriptions and
/// addresses of subscriptions) is theirs.
const PLACES: [Place; 24] = [
    place("people", ID, NONE, "email", How::Empty),
    place("plan_people", ("plan_id", "text"), ID, "email", How::Empty),
    place("plan_rows", ("plan_id", "text"), ID, "email", How::Empty),
    place("plan_rows", ("plan_id", "text"), ID, "creates", How::Text),
    place("plans", ID, NONE, "message", How::Text),
    place("plans", ID, NONE, "cursor", How::Text),
    place("trigger_events", ("position", "int"), NONE, "body", How::Null),
    place("deliveries", ID, NONE, "body", How::Null),
    place("deliveries", ID, NONE, "reason", How::Text),
    place("delivery_attempts", ("delivery_id", "text"), ("attempt", "int"), "body", How::Text),
    place("delivery_attempts", ("delivery_id", "text"), ("attempt", "int"), "error", How::Text),
    place("flow_action_people", ("flow_action_id", "text"), ("position", "int"), "person", How::Text),
    place("idempotency_keys", ("key", "text"), NONE, "body", How::Text),
    place("inbox", NUMBER, NONE, "hint", How::Text),
    place("outbox", ID, NONE, "payload", How::Text),
    place("outbox", ID, NONE, "message", How::Text),
    place("history", NUMBER, NONE, "detail", How::Text),
    place("members", ID, NONE, "sent", How::Text),
    place("members", ID, NONE, "own_writes", How::Text),
    place("runs", ID, NONE, "message", How::Text),
    place("runs", ID, NONE, "cursor", How::Text),
    place("polls", ("name", "text"), NONE, "message", How::Text),
    place("polls", ("name", "text"), NONE, "place", How::Text),
    place("audit", NUMBER, NONE, "detail", How::Text),
];

impl Store {
    /// Takes out of every table what says who somebody is; with `dry` only counts. Work about them that waits under their address is
    /// discarded. Of whoever shares the address, the address goes too.
    ///
    /// # Errors
    /// `Conflict` while they are being worked on.
    pub async fn erase(&self, whom: &Whom, dry: bool, actor: &str) -> Result<Erased, StoreError> {
        let meant = self.meant(whom).await?;
        let addresses = self.addresses(whom, &meant).await?;
        let mut erased = Erased { people: meant.iter().map(|person| person.id.clone()).collect(), ..Erased::default() };
        for address in &addresses {
            self.settle_work(address, &meant, dry, &mut erased).await?;
        }
        for address in &addresses {
            for place in &PLACES {
                let rows = self.rewrite(place, address, dry).await?;
                erased.add(place.table, rows);
            }
        }
        // Only now, so that a dry run counts the same.
        self.forget_answers(&erased.people.clone(), dry, &mut erased).await?;
        self.forget_shown(&erased.people.clone(), dry, &mut erased).await?;
        if !dry {
            let mut tx = self.db.begin_patiently().await?;
            let whom = if erased.people.is_empty() { "nobody known".to_owned() } else { erased.people.join(" ") };
            let detail = format!("{} values", erased.total());
            audit(self, &mut tx, actor, "person.erased", &whom, &detail).await?;
            tx.commit().await?;
        }
        Ok(erased)
    }

    async fn meant(&self, whom: &Whom) -> Result<Vec<Person>, StoreError> {
        match whom {
            Whom::By(half) => self.people(std::slice::from_ref(half)).await,
            Whom::Email(email) => self.people_with(email).await,
        }
    }

    async fn people_with(&self, email: &str) -> Result<Vec<Person>, StoreError> {
        let sql = "SELECT id, COALESCE(email, '') FROM people WHERE LOWER(email) LIKE $1 ESCAPE '!'";
        let found: Vec<(String, String)> = self.db.fetch(sql, args![like(email)]).await?;
        let theirs = found.into_iter().filter(|(_, found)| found.to_lowercase() == email.to_lowercase());
        self.people_by_id(&theirs.map(|(id, _)| id).collect::<Vec<_>>()).await
    }

    /// The address that was named, those that they have, and those that events and plans had of them before.
    async fn addresses(&self, whom: &Whom, meant: &[Person]) -> Result<BTreeSet<String>, StoreError> {
        let mut found: BTreeSet<String> = meant.iter().filter_map(|person| person.email.clone()).collect();
        if let Whom::Email(email) = whom {
            found.insert(email.clone());
        }
        let ids: Vec<_> = meant.iter().map(|person| (&person.id,)).collect();
        let rows = Rows::new("id text", &ids)?;
        let sql = "SELECT e.body FROM {rows} JOIN members m ON m.person_id = r.id JOIN trigger_events e ON e.member_id = m.id";
        for (body,) in self.db.fetch_rows::<(String,)>(sql, &rows, vec![]).await? {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            found.extend(body["data"]["person"]["email"].as_str().map(str::to_owned));
        }
        for table in ["plan_people", "plan_rows"] {
            let sql = format!(
                "SELECT DISTINCT q.email FROM {{rows}} JOIN {table} q ON q.person_id = r.id AND q.email IS NOT NULL"
            );
            found.extend(self.db.fetch_rows::<(String,)>(&sql, &rows, vec![]).await?.into_iter().map(|(email,)| email));
        }
        Ok(found.iter().map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty()).collect())
    }

    /// Ends what waits under an address, and names what is done with by an id instead, so that it can be looked up and tried again.
    async fn settle_work(
        &self,
        address: &str,
        meant: &[Person],
        dry: bool,
        erased: &mut Erased,
    ) -> Result<(), StoreError> {
        let busy =
            || StoreError::Conflict("the person is being worked on at this moment; try again in a minute".to_owned());
        let sql = "SELECT key, until FROM intents WHERE LOWER(key) LIKE $1 ESCAPE '!'";
        let intents: Vec<(String, i64)> = self.db.fetch(sql, args![like(address)]).await?;
        let intents: Vec<_> = intents.into_iter().filter(|(key, _)| key.to_lowercase() == address).collect();
        let subject = format!("email:{address}");
        let sql = "SELECT id, state FROM outbox WHERE subject = $1";
        let work: Vec<(String, String)> = self.db.fetch(sql, args![&subject]).await?;
        let now = self.now();
        if work.iter().any(|(_, state)| state == "running") || intents.iter().any(|(_, until)| *until > now) {
            return Err(busy());
        }
        erased.add("outbox", i64::try_from(work.len()).unwrap_or(i64::MAX));
        erased.add("intents", i64::try_from(intents.len()).unwrap_or(i64::MAX));
        if dry {
            return Ok(());
        }
        for (id, state) in &work {
            let waits = ["available", "retryable", "parked"].contains(&state.as_str());
            // Taken in hand since it was looked at.
            if waits && self.decide_change(id, Decision::Discard).await?.is_none() {
                return Err(busy());
            }
        }
        let named = meant.iter().find_map(|person| {
            let marketo = person.marketo_id.map(|id| format!("marketo:{id}"));
            marketo.or_else(|| person.salesforce_id.as_ref().map(|id| format!("salesforce:{id}")))
        });
        let named = named.unwrap_or_else(|| "person:erased".to_owned());
        let mut tx = self.db.begin_patiently().await?;
        tx.execute("UPDATE outbox SET subject = $2 WHERE subject = $1 AND state <> 'running'", args![&subject, named])
            .await?;
        for (key, _) in &intents {
            tx.execute("DELETE FROM intents WHERE key = $1 AND until <= $2", args![key, now]).await?;
        }
        tx.commit().await
    }

    /// What receivers answered to events about them: it may repeat anything that they were told or know.
    async fn forget_answers(&self, people: &[String], dry: bool, erased: &mut Erased) -> Result<(), StoreError> {
        let ids: Vec<_> = people.iter().map(|id| (id,)).collect();
        let rows = Rows::new("id text", &ids)?;
        let theirs = "body IS NOT NULL AND delivery_id IN (SELECT d.id FROM {rows} JOIN members m ON m.person_id = r.id
            JOIN trigger_events e ON e.member_id = m.id JOIN deliveries d ON d.position = e.position)";
        let sql = format!("SELECT COUNT(*) FROM delivery_attempts WHERE {theirs}");
        let count = self.db.fetch_rows::<(i64,)>(&sql, &rows, vec![]).await?.first().map_or(0, |row| row.0);
        erased.add("delivery_attempts", count);
        if dry || count == 0 {
            return Ok(());
        }
        let mut tx = self.db.begin_patiently().await?;
        let sql = format!("UPDATE delivery_attempts SET body = NULL WHERE {theirs}");
        tx.execute_rows(&sql, &rows, vec![]).await?;
        tx.commit().await
    }

    /// What the listings showed of them is kept as a number, in which the address went.
    async fn forget_shown(&self, people: &[String], dry: bool, erased: &mut Erased) -> Result<(), StoreError> {
        let ids: Vec<_> = people.iter().map(|id| (id,)).collect();
        let rows = Rows::new("id text", &ids)?;
        let theirs =
            "person_id IN (SELECT r.id FROM {rows}) AND (marketo_shown IS NOT NULL OR salesforce_shown IS NOT NULL)";
        let sql = format!("SELECT COUNT(*) FROM members WHERE {theirs}");
        let count = self.db.fetch_rows::<(i64,)>(&sql, &rows, vec![]).await?.first().map_or(0, |row| row.0);
        erased.add("members", count);
        if dry || count == 0 {
            return Ok(());
        }
        let mut tx = self.db.begin_patiently().await?;
        let sql = format!("UPDATE members SET marketo_shown = NULL, salesforce_shown = NULL WHERE {theirs}");
        tx.execute_rows(&sql, &rows, vec![]).await?;
        tx.commit().await
    }

    /// Takes an address out of one column; how many rows had it.
    async fn rewrite(&self, place: &Place, address: &str, dry: bool) -> Result<i64, StoreError> {
        let Place { table, keys: [one, other], column, how } = place;
        let text =
            |(name, _): &(&str, &str)| if name.is_empty() { "''".to_owned() } else { format!("CAST({name} AS TEXT)") };
        let limit = if dry { String::new() } else { format!(" LIMIT {AT_ONCE}") };
        // What only looks like it, since letters beyond ASCII are compared as any letter, is passed over by its key.
        let mut passed = 0;
        let mut rewritten = 0;
        loop {
            let sql = format!(
                "SELECT {}, {}, {column} FROM {table} WHERE LOWER({column}) LIKE $1 ESCAPE '!' ORDER BY 1, 2{limit} OFFSET {passed}",
                text(one),
                text(other)
            );
            let sql = if dry { sql.replace(&format!(" OFFSET {passed}"), "") } else { sql };
            let found: Vec<(String, String, String)> =
                self.db.fetch(&sql, args![format!("%{}%", like(address))]).await?;
            let all = found.len();
            let rows: Vec<(Value, Value, Option<String>)> = found
                .into_iter()
                .filter_map(|(k1, k2, value)| {
                    let value = redacted(&value, address, *how)?;
                    Some((typed(k1, one.1), typed(k2, other.1), value))
                })
                .collect();
            rewritten += i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if dry || all == 0 {
                return Ok(rewritten);
            }
            passed += all - rows.len();
            if !rows.is_empty() {
                let columns = match (one.1, other.1) {
                    ("int", _) => "k1 int, k2 text, value text",
                    (_, "int") => "k1 text, k2 int, value text",
                    _ => "k1 text, k2 text, value text",
                };
                let second =
                    if other.0.is_empty() { String::new() } else { format!(" AND {table}.{} = r.k2", other.0) };
                let sql = format!(
                    "UPDATE {table} SET {column} = r.value FROM {{rows}} WHERE {table}.{} = r.k1{second}",
                    one.0
                );
                let mut tx = self.db.begin_patiently().await?;
                tx.execute_rows(&sql, &Rows::new(columns, &rows)?, vec![]).await?;
                tx.commit().await?;
            }
        }
    }
}

fn typed(text: String, kind: &str) -> Value {
    if kind == "int" { text.parse::<i64>().map_or(Value::Null, Value::from) } else { Value::from(text) }
}

#[cfg(test)]
mod tests;
