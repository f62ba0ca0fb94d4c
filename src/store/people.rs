//! People, each linked one-to-one once and then known by id.
//!
//! A row with only one of the two ids is somebody whose other half is not known yet. Must not decide who is who: it
//! keeps links one-to-one and says no to a second one.

use std::collections::{HashMap, HashSet};

use super::dialect::{Rows, Tx, args};
use super::lanes::lock_lanes;
use super::links::{InHand, Link, join_all};
use super::{Store, StoreError};
use crate::domain::ids::{MarketoId, MemberType, SalesforceId};

/// Somebody known to at least one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub marketo_id: Option<MarketoId>,
    pub salesforce_id: Option<SalesforceId>,
    /// As last seen on either side.
    pub email: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct PersonRow {
    id: String,
    marketo_id: Option<i64>,
    salesforce_id: Option<String>,
    email: Option<String>,
}

impl TryFrom<PersonRow> for Person {
    type Error = StoreError;

    fn try_from(row: PersonRow) -> Result<Self, StoreError> {
        let salesforce_id = row.salesforce_id.map(SalesforceId::try_from).transpose();
        let salesforce_id =
            salesforce_id.map_err(|e| StoreError::Corrupt(format!("people.salesforce_id of {}: {e}", row.id)))?;
        Ok(Self { id: row.id, marketo_id: row.marketo_id, salesforce_id, email: row.email })
    }
}

impl Person {
    /// Whether it is nobody's person, but an account that is a campaign member.
    #[must_use]
    pub fn is_account(&self) -> bool {
        self.salesforce_id.as_ref().and_then(MemberType::of) == Some(MemberType::Account)
    }

    fn is_linked(&self) -> bool {
        self.marketo_id.is_some() && self.salesforce_id.is_some()
    }

    /// Whether becoming known by this id says that two people were merged, and not that a lead became a contact.
    fn is_merge(&self, to: &Half) -> bool {
        match (to, &self.salesforce_id) {
            (Half::Marketo(_), _) => true,
            (Half::Salesforce(to), Some(from)) => from.prefix() == to.prefix(),
            (Half::Salesforce(_), None) => false,
        }
    }
}

/// Half of a person: what a hint or a page names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Half {
    Marketo(MarketoId),
    Salesforce(SalesforceId),
}

impl Store {
    /// People by either id; who is not known is left out.
    pub async fn people(&self, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
        let mut found = Vec::new();
        for (sql, rows) in find(halves)? {
            found.extend(self.db.fetch_rows::<PersonRow>(sql, &rows, vec![]).await?);
        }
        distinct(found)
    }

    /// Which of these people have not been joined with somebody else.
    pub async fn living_people(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (id,)).collect();
        let sql = "SELECT p.id FROM {rows} JOIN people p ON p.id = r.id";
        let found: Vec<(String,)> = self.db.fetch_rows(sql, &Rows::new("id text", &rows)?, vec![]).await?;
        Ok(found.into_iter().map(|row| row.0).collect())
    }

    /// People by our own ids; who was joined with somebody else is left out.
    pub async fn people_by_id(&self, ids: &[String]) -> Result<Vec<Person>, StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (id,)).collect();
        let sql = "SELECT p.id, p.marketo_id, p.salesforce_id, p.email FROM {rows} JOIN people p ON p.id = r.id";
        distinct(self.db.fetch_rows(sql, &Rows::new("id text", &rows)?, vec![]).await?)
    }

    /// Those of these Salesforce records that are linked to somebody, with when that was so last found, in epoch milliseconds.
    pub async fn linked_at(&self, ids: &[SalesforceId]) -> Result<HashMap<SalesforceId, i64>, StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (id.as_str(),)).collect();
        let sql = "SELECT p.salesforce_id, p.updated_at FROM {rows} JOIN people p ON p.salesforce_id = r.half WHERE p.marketo_id IS NOT NULL";
        let found: Vec<(String, i64)> = self.db.fetch_rows(sql, &Rows::new("half text", &rows)?, vec![]).await?;
        let read = |(id, at): (String, i64)| {
            let id = id.parse().map_err(|e| StoreError::Corrupt(format!("people.salesforce_id {id}: {e}")))?;
            Ok((id, at))
        };
        found.into_iter().map(read).collect()
    }

    /// People by either id, made known where they are not.
    pub async fn ensure_people(&self, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
        let known = self.people(halves).await?;
        let halves_of = |p: &Person| {
            [p.marketo_id.map(Half::Marketo), p.salesforce_id.clone().map(Half::Salesforce)].into_iter().flatten()
        };
        let seen: HashSet<Half> = known.iter().flat_map(halves_of).collect();
        let mut fresh: Vec<&Half> = halves.iter().filter(|half| !seen.contains(half)).collect();
        fresh.sort();
        fresh.dedup();
        if fresh.is_empty() {
            return Ok(known);
        }
        let now = self.now();
        let mut marketo = Vec::new();
        let mut salesforce = Vec::new();
        for half in fresh {
            match half {
                Half::Marketo(id) => marketo.push((self.new_id(), *id)),
                Half::Salesforce(id) => salesforce.push((self.new_id(), id.as_str())),
            }
        }
        let mut tx = self.db.begin().await?;
        tx.execute_rows(
            "INSERT INTO people (id, marketo_id, created_at, updated_at) SELECT id, half, $2, $2 FROM {rows}
             WHERE true ON CONFLICT (marketo_id) WHERE marketo_id IS NOT NULL DO NOTHING",
            &Rows::new("id text, half int", &marketo)?,
            args![now],
        )
        .await?;
        tx.execute_rows(
            "INSERT INTO people (id, salesforce_id, created_at, updated_at) SELECT id, half, $2, $2 FROM {rows}
             WHERE true ON CONFLICT (salesforce_id) WHERE salesforce_id IS NOT NULL DO NOTHING",
            &Rows::new("id text, half text", &salesforce)?,
            args![now],
        )
        .await?;
        let all = find_within(&mut tx, halves).await?;
        tx.commit().await?;
        Ok(all)
    }

    /// Gives one person both ids, as `link_all` does.
    ///
    /// # Errors
    /// `Conflict` where that cannot be.
    pub async fn link(
        &self,
        person_id: &str,
        marketo: MarketoId,
        salesforce: &SalesforceId,
    ) -> Result<Person, StoreError> {
        let person_id = person_id.to_owned();
        let link = Link { person_id, marketo, salesforce: salesforce.clone(), instead_of: None };
        let linked = self.link_all(&[link], &InHand::new()).await?.pop().flatten();
        linked.ok_or_else(|| {
            StoreError::Conflict(format!("{salesforce} or {marketo} is linked to somebody else, or the person is gone"))
        })
    }

    /// Follows a merge or a conversion: the person is known by another id of one side from now on. Somebody who has that id
    /// already is the same person; the rows become one. The one who is linked stays, and of equals the one who has the id:
    /// whoever is named by an old id again and again must not replace who has a history.
    ///
    /// # Errors
    /// `Conflict` when the person was joined with another meanwhile.
    pub async fn follow(&self, person_id: &str, to: &Half) -> Result<Person, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut holders = lock_people(&mut tx, person_id, std::slice::from_ref(to)).await?;
        // The person itself comes last.
        let mut stays = holders.pop().ok_or_else(|| gone(person_id))?;
        let merged = stays.is_merge(to);
        for holder in holders {
            let (winner, loser) = match stays.is_linked() && !holder.is_linked() {
                true => (stays, holder),
                false => (holder, stays),
            };
            let pair = (loser.id.clone(), winner.id.clone(), merged);
            join_all(self, &mut tx, &[pair], &InHand::new()).await?;
            // What the other knew of the far side, this one may not know yet.
            tx.execute(
                "UPDATE people SET marketo_id = COALESCE(marketo_id, $2), salesforce_id = COALESCE(salesforce_id, $3) WHERE id = $1",
                args![&winner.id, loser.marketo_id, loser.salesforce_id.as_ref().map(ToString::to_string)],
            )
            .await?;
            stays = winner;
        }
        let person_id = stays.id.as_str();
        let (column, value) = match to {
            Half::Marketo(id) => ("marketo_id", super::dialect::Arg::from(*id)),
            Half::Salesforce(id) => ("salesforce_id", super::dialect::Arg::from(id.as_str())),
        };
        let sql = format!("UPDATE people SET {column} = $2, updated_at = $3 WHERE id = $1");
        tx.execute(&sql, vec![person_id.into(), value, self.now().into()]).await?;
        let followed = find_within(&mut tx, std::slice::from_ref(to)).await?.pop();
        tx.commit().await?;
        followed.ok_or_else(|| gone(person_id))
    }

    /// Makes one person of two whom both sides have merged: `goes` becomes `stays`, known by these ids from now on. Whoever
    /// else has one of the ids, and no other of its own, is the same person too.
    ///
    /// # Errors
    /// `Conflict` when either was joined with another meanwhile, or one of the ids is a third person's.
    pub async fn unite(
        &self,
        goes: &Person,
        stays: &str,
        marketo: MarketoId,
        salesforce: &SalesforceId,
    ) -> Result<Person, StoreError> {
        let mut halves = vec![Half::Marketo(marketo), Half::Salesforce(salesforce.clone())];
        halves.extend(goes.marketo_id.map(Half::Marketo));
        halves.extend(goes.salesforce_id.clone().map(Half::Salesforce));
        let mut tx = self.db.begin().await?;
        let holders = lock_people(&mut tx, stays, &halves).await?;
        let is_third = |p: &&Person| p.id != goes.id && p.id != stays;
        if let Some(third) = holders.iter().filter(is_third).find(|p| p.is_linked()) {
            return Err(StoreError::Conflict(format!("{salesforce} or {marketo} is linked to person {}", third.id)));
        }
        if !holders.iter().any(|p| p.id == goes.id) {
            return Err(gone(&goes.id));
        }
        let others: Vec<_> =
            holders.iter().filter(|p| p.id != stays).map(|p| (p.id.clone(), stays.to_owned(), true)).collect();
        join_all(self, &mut tx, &others, &InHand::new()).await?;
        tx.execute(
            "UPDATE people SET marketo_id = $2, salesforce_id = $3, updated_at = $4 WHERE id = $1",
            args![stays, marketo, salesforce.as_str(), self.now()],
        )
        .await?;
        let one = find_within(&mut tx, &halves[..1]).await?.pop();
        tx.commit().await?;
        one.ok_or_else(|| gone(stays))
    }

    /// Keeps the addresses as last seen.
    pub async fn keep_emails(&self, emails: &[(String, String)]) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let lock = tx.backend().for_update();
        let sql = format!("SELECT id FROM people WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}");
        let ids: Vec<_> = emails.iter().map(|(id, _)| (id,)).collect();
        tx.fetch_rows::<(String,)>(&sql, &Rows::new("id text", &ids)?, vec![]).await?;
        tx.execute_rows(
            "UPDATE people SET email = r.email FROM {rows} WHERE people.id = r.id AND (people.email IS NULL OR people.email <> r.email)",
            &Rows::new("id text, email text", emails)?,
            vec![],
        )
        .await?;
        tx.commit().await
    }
}

const BY_MARKETO: &str =
    "SELECT p.id, p.marketo_id, p.salesforce_id, p.email FROM {rows} JOIN people p ON p.marketo_id = r.half";
const BY_SALESFORCE: &str =
    "SELECT p.id, p.marketo_id, p.salesforce_id, p.email FROM {rows} JOIN people p ON p.salesforce_id = r.half";

/// The statements that find people by their halves.
fn find(halves: &[Half]) -> Result<Vec<(&'static str, Rows)>, StoreError> {
    let mut marketo = Vec::new();
    let mut salesforce = Vec::new();
    for half in halves {
        match half {
            Half::Marketo(id) => marketo.push((*id,)),
            Half::Salesforce(id) => salesforce.push((id.as_str(),)),
        }
    }
    let mut statements = Vec::new();
    if !marketo.is_empty() {
        statements.push((BY_MARKETO, Rows::new("half int", &marketo)?));
    }
    if !salesforce.is_empty() {
        statements.push((BY_SALESFORCE, Rows::new("half text", &salesforce)?));
    }
    Ok(statements)
}

pub(super) fn distinct(mut found: Vec<PersonRow>) -> Result<Vec<Person>, StoreError> {
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    found.into_iter().map(Person::try_from).collect()
}

fn gone(person_id: &str) -> StoreError {
    StoreError::Conflict(format!("person {person_id} is gone"))
}

/// The person and whoever has one of the halves, so locked that they can be joined: lanes of their memberships first, as
/// always, then their own rows.
async fn lock_people(tx: &mut Tx, person_id: &str, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
    let holders = find_within(tx, halves).await?;
    let ids: Vec<_> = holders.iter().map(|p| p.id.as_str()).chain([person_id]).map(|id| (id,)).collect();
    let people = Rows::new("id text", &ids)?;
    let lanes = "SELECT DISTINCT m.campaign_id FROM {rows} JOIN members m ON m.person_id = r.id";
    let lanes: Vec<(String,)> = tx.fetch_rows(lanes, &people, vec![]).await?;
    lock_lanes(tx, lanes.iter().map(|lane| lane.0.as_str())).await?;
    let lock = tx.backend().for_update();
    let sql = format!(
        "SELECT id, marketo_id, salesforce_id, email FROM people WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}"
    );
    let person = distinct(tx.fetch_rows(&sql, &people, vec![]).await?)?.into_iter().find(|p| p.id == person_id);
    let mut holders = find_within(tx, halves).await?;
    holders.retain(|p| p.id != person_id);
    holders.push(person.ok_or_else(|| gone(person_id))?);
    Ok(holders)
}

pub(super) async fn find_within(tx: &mut Tx, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
    let mut found = Vec::new();
    for (sql, rows) in find(halves)? {
        found.extend(tx.fetch_rows::<PersonRow>(sql, &rows, vec![]).await?);
    }
    distinct(found)
}
