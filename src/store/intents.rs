//! Intents: who is creating a person on a side at this moment, so that nobody else does.
//!
//! Committed before the call and ended when it is known how that went; whoever takes one over does not know, and has to look. Each
//! stands under two keys: what a second record would share with the first, which nobody else may use meanwhile, and the person for
//! whom it is. Several people may have one address: what an attempt has made is not of whoever comes next with the same. Must not
//! create anybody.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::dialect::{Rows, Tx, args};
use super::people::Person;
use super::{Store, StoreError};
use crate::domain::merge::Side;

const ADDRESS: &str = "email:";

/// A person who is being created on one side; held until that has ended one way or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What a second record would share with the first: the address, else the id on the other side.
    pub key: String,
    /// Our id of whom it is for.
    pub person_id: String,
    /// Since when this person was tried: a record of ours that is younger may be the one.
    pub started_at: i64,
    /// An earlier attempt for this person has ended nobody knows how: look before creating.
    pub taken_over: bool,
    /// One for somebody else with the same key has, or for this person.
    pub follows: bool,
}

impl Intent {
    /// The address, in lower case, when that is what a second record would share.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.key.strip_prefix(ADDRESS)
    }
}

/// An attempt that has ended nobody knows how, for somebody whom that side still does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub person: Person,
    pub started_at: i64,
}

/// A key of the person: it comes after all others, so that keys are locked in one order.
fn of_person(id: &str) -> String {
    format!("who:{id}")
}

/// The key of an address.
#[must_use]
pub fn of_address(email: &str) -> String {
    format!("{ADDRESS}{}", email.to_lowercase())
}

/// Takes those that nobody else holds: key, since when, how many attempts there were.
async fn take(
    tx: &mut Tx,
    (owner, side, now, until): (&str, Side, i64, i64),
    mut keys: Vec<String>,
) -> Result<HashMap<String, (i64, i64)>, StoreError> {
    keys.sort();
    keys.dedup();
    let keys: Vec<_> = keys.into_iter().map(|key| (key,)).collect();
    let held: Vec<(String, i64, i64)> = tx
        .fetch_rows(
            "INSERT INTO intents (key, side, owner, until, started_at) SELECT key, $2, $3, $4, $5 FROM {rows} WHERE true
             ON CONFLICT (key, side) DO UPDATE SET owner = excluded.owner, until = excluded.until, attempts = intents.attempts + 1
               WHERE intents.until <= $5 OR intents.owner = excluded.owner
             RETURNING key, started_at, attempts",
            &Rows::new("key text", &keys)?,
            args![side.as_str(), owner, until, now],
        )
        .await?;
    Ok(held.into_iter().map(|(key, started_at, attempts)| (key, (started_at, attempts))).collect())
}

impl Store {
    /// Announces that people, by key and our id, are about to be created on a side. Those whose intent another worker holds are left
    /// out: they have to wait until it is given up or runs out.
    pub async fn intend(
        &self,
        owner: &str,
        side: Side,
        wanted: &[(String, String)],
        lease: Duration,
    ) -> Result<Vec<Intent>, StoreError> {
        let now = self.now();
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let by = (owner, side, now, until);
        let mut tx = self.db.begin().await?;
        let keys = take(&mut tx, by, wanted.iter().map(|(key, _)| key.clone()).collect()).await?;
        let people = wanted.iter().filter(|(key, _)| keys.contains_key(key)).map(|(_, id)| of_person(id)).collect();
        let people = take(&mut tx, by, people).await?;
        tx.commit().await?;
        let intent = |(key, id): &(String, String)| {
            let ((first, before), (started_at, attempts)) = (keys.get(key)?, people.get(&of_person(id))?);
            let (key, person_id) = (key.clone(), id.clone());
            let intent =
                Intent { key, person_id, started_at: *started_at, taken_over: *attempts > 1, follows: *before > 1 };
            // One of no address is of this person alone, also where it was begun before people had a key of their own.
            Some(match intent.address() {
                Some(_) => intent,
                None => Intent {
                    started_at: *first.min(started_at),
                    taken_over: intent.taken_over || intent.follows,
                    ..intent
                },
            })
        };
        Ok(wanted.iter().filter_map(intent).collect())
    }

    /// Ends intents: it is known what became of them.
    pub async fn conclude(&self, owner: &str, side: Side, intents: &[Intent]) -> Result<(), StoreError> {
        let keys = intents.iter().flat_map(|intent| [intent.key.clone(), of_person(&intent.person_id)]);
        let rows = Rows::new("key text", &keys.map(|key| (key,)).collect::<Vec<_>>())?;
        let ours = "side = $2 AND owner = $3 AND key IN (SELECT r.key FROM {rows})";
        let mut tx = self.db.begin().await?;
        // In the order in which others announce theirs.
        let lock = tx.backend().for_update();
        let sql = format!("SELECT key FROM intents WHERE {ours} ORDER BY key {lock}");
        tx.fetch_rows::<(String,)>(&sql, &rows, args![side.as_str(), owner]).await?;
        tx.execute_rows(&format!("DELETE FROM intents WHERE {ours}"), &rows, args![side.as_str(), owner]).await?;
        tx.commit().await
    }

    /// Attempts for people with one of these addresses that have ended nobody knows how, the oldest first.
    pub async fn unfinished(&self, side: Side, emails: &[String]) -> Result<Vec<Unfinished>, StoreError> {
        let keys: Vec<_> = emails.iter().map(|email| (of_address(email),)).collect();
        let sql = "SELECT i.key FROM {rows} JOIN intents i ON i.key = r.key AND i.side = $2";
        let found: Vec<(String,)> =
            self.db.fetch_rows(sql, &Rows::new("key text", &keys)?, args![side.as_str()]).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // Few: attempts that have ended well are not among them.
        let sql = "SELECT substr(key, 5), started_at FROM intents WHERE side = $1 AND key >= 'who:' AND key < 'who;' ORDER BY started_at, key";
        let started: Vec<(String, i64)> = self.db.fetch(sql, args![side.as_str()]).await?;
        let people = self.people_by_id(&started.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await?;
        let mut people: HashMap<String, Person> = people.into_iter().map(|p| (p.id.clone(), p)).collect();
        let wanted: HashSet<String> = found.into_iter().map(|row| row.0).collect();
        let unknown = |person: &Person| match side {
            Side::Marketo => person.marketo_id.is_none(),
            Side::Salesforce => person.salesforce_id.is_none(),
        };
        let is_one = |person: &Person| {
            unknown(person) && person.email.as_ref().is_some_and(|email| wanted.contains(&of_address(email)))
        };
        let one = |(id, started_at): (String, i64)| {
            people.remove(&id).filter(&is_one).map(|person| Unfinished { person, started_at })
        };
        Ok(started.into_iter().filter_map(one).collect())
    }

    /// Ends the attempts for people of whom it is known that nothing was made; not those that another worker is at.
    pub async fn made_nothing(&self, owner: &str, side: Side, people: &[String]) -> Result<(), StoreError> {
        let mut keys: Vec<_> = people.iter().map(|id| (of_person(id),)).collect();
        keys.sort();
        let sql =
            "DELETE FROM intents WHERE side = $2 AND (until <= $4 OR owner = $3) AND key IN (SELECT r.key FROM {rows})";
        let mut tx = self.db.begin().await?;
        tx.execute_rows(sql, &Rows::new("key text", &keys)?, args![side.as_str(), owner, self.now()]).await?;
        tx.commit().await
    }

    /// Which of these people exist and have no id on a side yet: to be asked under their intents, since somebody else may have
    /// created them after they were looked for, and ended that before the intent was taken.
    pub async fn unknown_to(&self, side: Side, people: &[String]) -> Result<HashSet<String>, StoreError> {
        let rows: Vec<_> = people.iter().map(|id| (id,)).collect();
        let column = match side {
            Side::Marketo => "marketo_id",
            Side::Salesforce => "salesforce_id",
        };
        let sql = format!("SELECT p.id FROM {{rows}} JOIN people p ON p.id = r.id AND p.{column} IS NULL");
        let found: Vec<(String,)> = self.db.fetch_rows(&sql, &Rows::new("id text", &rows)?, vec![]).await?;
        Ok(found.into_iter().map(|row| row.0).collect())
    }
}
