//! People, each linked one-to-one once and then known by id.
//!
//! A row with only one of the two ids is somebody whose other half is not known yet. Must not decide who is who: it
//! keeps links one-to-one and says no to a second one.

use std::collections::HashSet;

use super::dialect::{Rows, Tx, args};
use super::lanes::lock_lanes;
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::{Store, StoreError};
use crate::domain::ids::{MarketoId, SalesforceId};

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

    /// People by either id, made known where they are not.
    pub async fn ensure_people(&self, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
        let known = self.people(halves).await?;
        let is_known = |half: &Half| {
            known.iter().any(|p| match half {
                Half::Marketo(id) => p.marketo_id == Some(*id),
                Half::Salesforce(id) => p.salesforce_id.as_ref() == Some(id),
            })
        };
        let mut fresh: Vec<&Half> = halves.iter().filter(|half| !is_known(half)).collect();
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

    /// Gives a person both ids. Where the other half is known as somebody else, who has no half of this side, the two rows
    /// become one and their memberships are joined; the other campaigns they are in are looked at again.
    ///
    /// # Errors
    /// `Conflict` when either id, or the person, is linked to a third; and when the person was joined with another meanwhile.
    pub async fn link(
        &self,
        person_id: &str,
        marketo: MarketoId,
        salesforce: &SalesforceId,
    ) -> Result<Person, StoreError> {
        let halves = [Half::Marketo(marketo), Half::Salesforce(salesforce.clone())];
        let taken = |p: &Person| {
            p.marketo_id.is_some_and(|id| id != marketo) || p.salesforce_id.as_ref().is_some_and(|id| id != salesforce)
        };
        let mut tx = self.db.begin().await?;
        let holders = lock_people(&mut tx, person_id, &halves).await?;
        if let Some(other) = holders.iter().find(|p| taken(p)) {
            return Err(StoreError::Conflict(format!("{salesforce} or {marketo} is linked to person {}", other.id)));
        }
        for other in holders.iter().filter(|p| p.id != person_id) {
            join(self, &mut tx, &other.id, person_id, false).await?;
        }
        tx.execute(
            "UPDATE people SET marketo_id = $2, salesforce_id = $3, updated_at = $4 WHERE id = $1",
            args![person_id, marketo, salesforce.as_str(), self.now()],
        )
        .await?;
        let linked = find_within(&mut tx, &halves[..1]).await?.pop();
        tx.commit().await?;
        linked.ok_or_else(|| gone(person_id))
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
            join(self, &mut tx, &loser.id, &winner.id, merged).await?;
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
        for other in holders.iter().filter(|p| p.id != stays) {
            join(self, &mut tx, &other.id, stays, true).await?;
        }
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

fn distinct(mut found: Vec<PersonRow>) -> Result<Vec<Person>, StoreError> {
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

async fn find_within(tx: &mut Tx, halves: &[Half]) -> Result<Vec<Person>, StoreError> {
    let mut found = Vec::new();
    for (sql, rows) in find(halves)? {
        found.extend(tx.fetch_rows::<PersonRow>(sql, &rows, vec![]).await?);
    }
    distinct(found)
}

/// Makes one person of two. Where both are in a campaign, the row of the winner stays, and what the other knew of a side
/// that the winner's row did not is kept: a recorded Salesforce value must not be forgotten, or its removal would go untold.
/// The bases of `merged` people are void; of others one that stands alone goes on, and two say nothing.
async fn join(store: &Store, tx: &mut Tx, loser: &str, winner: &str, merged: bool) -> Result<(), StoreError> {
    let campaigns: Vec<(String,)> =
        tx.fetch("SELECT campaign_id FROM members WHERE person_id = $1", args![loser]).await?;
    tx.execute(
        "UPDATE members SET
           marketo = CASE WHEN members.marketo IS NULL OR members.marketo = '' THEN l.marketo ELSE members.marketo END,
           salesforce = CASE WHEN members.salesforce IS NULL OR members.salesforce = '' THEN l.salesforce ELSE members.salesforce END,
           campaign_member_id = COALESCE(members.campaign_member_id, l.campaign_member_id),
           added_to_marketo = members.added_to_marketo OR l.added_to_marketo,
           added_to_salesforce = members.added_to_salesforce OR l.added_to_salesforce,
           edited_in_marketo = members.edited_in_marketo OR l.edited_in_marketo
             OR (COALESCE(members.marketo, '') > '' AND COALESCE(l.marketo, '') > '' AND members.added_to_marketo <> l.added_to_marketo),
           edited_in_salesforce = members.edited_in_salesforce OR l.edited_in_salesforce
             OR (COALESCE(members.salesforce, '') > '' AND COALESCE(l.salesforce, '') > ''
               AND members.added_to_salesforce <> l.added_to_salesforce),
           base_marketo = CASE WHEN $3 THEN NULL WHEN members.base_marketo IS NULL THEN l.base_marketo
             WHEN l.base_marketo IS NULL THEN members.base_marketo END,
           base_salesforce = CASE WHEN $3 THEN NULL WHEN members.base_salesforce IS NULL THEN l.base_salesforce
             WHEN l.base_salesforce IS NULL THEN members.base_salesforce END,
           sent = COALESCE(members.sent, l.sent), after_merge = members.after_merge OR l.after_merge OR $3
         FROM (SELECT campaign_id, marketo, salesforce, campaign_member_id, added_to_marketo, added_to_salesforce,
                 edited_in_marketo, edited_in_salesforce, base_marketo, base_salesforce, sent, after_merge
               FROM members WHERE person_id = $1) AS l
         WHERE members.person_id = $2 AND members.campaign_id = l.campaign_id",
        args![loser, winner, merged],
    )
    .await?;
    tx.execute(
        "DELETE FROM members WHERE person_id = $1 AND campaign_id IN (SELECT campaign_id FROM members WHERE person_id = $2)",
        args![loser, winner],
    )
    .await?;
    tx.execute(
        "UPDATE members SET person_id = $2, after_merge = after_merge OR $3,
           base_marketo = CASE WHEN $3 THEN NULL ELSE base_marketo END,
           base_salesforce = CASE WHEN $3 THEN NULL ELSE base_salesforce END WHERE person_id = $1",
        args![loser, winner, merged],
    )
    .await?;
    tx.execute("DELETE FROM people WHERE id = $1", args![loser]).await?;
    let now = store.now();
    let again: Vec<_> = campaigns
        .into_iter()
        .map(|(lane,)| NewWork {
            lane,
            // Nobody sent it, so the ledger does not count it as received.
            mapping_id: None,
            kind: Kind::Hint,
            subject: Subject::Person(winner.to_owned()),
            source: "policy",
            payload: None,
            due_at: now,
        })
        .collect();
    enqueue(store, tx, &again).await.map(drop)
}
