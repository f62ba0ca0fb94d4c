//! Links: who is one person on both sides, a page of them at a time, and the rows of people who become one.
//!
//! A statement for all of a page, since a first sync links everybody. Must not decide who is who: says no where an id is
//! linked to somebody else already.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::dialect::{Rows, Tx, args};
use super::lanes::lock_lanes;
use super::outbox::{Kind, NewWork, Subject, enqueue};
use super::people::{Half, Person, distinct, find_within};
use super::{Store, StoreError};
use crate::domain::ids::{MarketoId, SalesforceId};

/// A person with both ids, as found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub person_id: String,
    pub marketo: MarketoId,
    pub salesforce: SalesforceId,
    /// A record that was deleted: whoever is linked to it still is free to be linked to this one.
    pub instead_of: Option<SalesforceId>,
}

/// Lane and person of members who are being looked at anyway.
pub type InHand = HashSet<(String, String)>;

impl Store {
    /// Gives people both ids. Where the other half is known as somebody else, who has no half of this side, the two rows become
    /// one and their memberships are joined; other campaigns that they are in are looked at again. None where that cannot be:
    /// when either id, or the person, is linked to a third, when the person was joined with another meanwhile, or when two of
    /// the links are about the same people.
    pub async fn link_all(&self, links: &[Link], in_hand: &InHand) -> Result<Vec<Option<Person>>, StoreError> {
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let halves: Vec<Half> =
            links.iter().flat_map(|l| [Half::Marketo(l.marketo), Half::Salesforce(l.salesforce.clone())]).collect();
        let mut tx = self.db.begin().await?;
        let (people, holders) = lock_all(&mut tx, links, &halves).await?;
        let mut taken: HashMap<&str, &Link> = HashMap::new();
        let mut known_by: HashMap<Half, &Link> = HashMap::new();
        let mut joins: Vec<(String, String, bool)> = Vec::new();
        let mut updates: BTreeMap<&str, (MarketoId, &str)> = BTreeMap::new();
        let mut linked = Vec::with_capacity(links.len());
        for link in links {
            let is_other =
                |p: &&Person| p.marketo_id == Some(link.marketo) || p.salesforce_id.as_ref() == Some(&link.salesforce);
            let others: Vec<&Person> = holders.iter().filter(|p| p.id != link.person_id).filter(is_other).collect();
            let fits = |p: &Person| {
                p.marketo_id.is_none_or(|id| id == link.marketo)
                    && p.salesforce_id
                        .as_ref()
                        .is_none_or(|id| *id == link.salesforce || link.instead_of.as_ref() == Some(id))
            };
            let free = |id: &str| taken.get(id).is_none_or(|by| *by == link);
            let halves = [Half::Marketo(link.marketo), Half::Salesforce(link.salesforce.clone())];
            // Also one that nobody has yet is given once.
            let unclaimed = halves.iter().all(|half| known_by.get(half).is_none_or(|by| *by == link));
            let own = people.get(&link.person_id).filter(|person| unclaimed && fits(person) && free(&person.id));
            let Some(person) = own.filter(|_| others.iter().all(|p| fits(p) && free(&p.id))) else {
                linked.push(None);
                continue;
            };
            if !taken.contains_key(person.id.as_str()) {
                taken.insert(&person.id, link);
                known_by.extend(halves.map(|half| (half, link)));
                for other in &others {
                    taken.insert(&other.id, link);
                    joins.push((other.id.clone(), person.id.clone(), false));
                }
                updates.insert(&person.id, (link.marketo, link.salesforce.as_str()));
            }
            let email = person.email.clone().or_else(|| others.iter().find_map(|p| p.email.clone()));
            linked.push(Some(Person {
                id: person.id.clone(),
                marketo_id: Some(link.marketo),
                salesforce_id: Some(link.salesforce.clone()),
                email,
            }));
        }
        join_all(self, &mut tx, &joins, in_hand).await?;
        let rows: Vec<_> = updates.into_iter().map(|(id, (marketo, salesforce))| (id, marketo, salesforce)).collect();
        if !rows.is_empty() {
            tx.execute_rows(
                "UPDATE people SET marketo_id = r.marketo, salesforce_id = r.salesforce, updated_at = $2 FROM {rows}
                 WHERE people.id = r.id",
                &Rows::new("id text, marketo int, salesforce text", &rows)?,
                args![self.now()],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(linked)
    }
}

/// The people of links by id, and whoever has one of the halves, so locked that they can be joined: lanes of their memberships
/// first, as always, then their own rows.
async fn lock_all(
    tx: &mut Tx,
    links: &[Link],
    halves: &[Half],
) -> Result<(HashMap<String, Person>, Vec<Person>), StoreError> {
    let holders = find_within(tx, halves).await?;
    let ids: HashSet<&str> =
        holders.iter().map(|p| p.id.as_str()).chain(links.iter().map(|l| l.person_id.as_str())).collect();
    let ids: Vec<_> = ids.into_iter().map(|id| (id,)).collect();
    let rows = Rows::new("id text", &ids)?;
    let lanes = "SELECT DISTINCT m.campaign_id FROM {rows} JOIN members m ON m.person_id = r.id";
    let lanes: Vec<(String,)> = tx.fetch_rows(lanes, &rows, vec![]).await?;
    lock_lanes(tx, lanes.iter().map(|lane| lane.0.as_str())).await?;
    let lock = tx.backend().for_update();
    let sql = format!(
        "SELECT id, marketo_id, salesforce_id, email FROM people WHERE id IN (SELECT r.id FROM {{rows}}) ORDER BY id {lock}"
    );
    let people = distinct(tx.fetch_rows(&sql, &rows, vec![]).await?)?;
    Ok((people.into_iter().map(|p| (p.id.clone(), p)).collect(), find_within(tx, halves).await?))
}

/// Makes one person of two, for each pair of loser and winner. Where both are in a campaign, the row of the winner stays, and
/// what the other knew of a side that the winner's row did not is kept: a recorded Salesforce value must not be forgotten, or
/// its removal would go untold. The bases of merged people (the third of a pair) are void; of others one that stands alone goes
/// on, and two say nothing. What is told of the loser's member is told of the winner's from now on.
pub(super) async fn join_all(
    store: &Store,
    tx: &mut Tx,
    pairs: &[(String, String, bool)],
    in_hand: &InHand,
) -> Result<(), StoreError> {
    let mut left = pairs;
    // A statement changes a row once: the second of two who become the same person comes after the first.
    while !left.is_empty() {
        let mut winners = HashSet::new();
        let until = left.iter().position(|pair| !winners.insert(&pair.1)).unwrap_or(left.len());
        join_once(store, tx, &left[..until], in_hand).await?;
        left = &left[until..];
    }
    Ok(())
}

async fn join_once(
    store: &Store,
    tx: &mut Tx,
    pairs: &[(String, String, bool)],
    in_hand: &InHand,
) -> Result<(), StoreError> {
    let rows = Rows::new("loser text, winner text, merged bool", pairs)?;
    let sql = "SELECT m.campaign_id, r.winner FROM {rows} JOIN members m ON m.person_id = r.loser";
    let campaigns: Vec<(String, String)> = tx.fetch_rows(sql, &rows, vec![]).await?;
    if !campaigns.is_empty() {
        join_members(tx, &rows).await?;
    }
    // Looks that are due later are at the winner; where both have one, the winner's stays.
    let sql = "INSERT INTO later_looks (lane, person_id, nth, due_at)
               SELECT l.lane, r.winner, l.nth, MAX(l.due_at) FROM {rows} JOIN later_looks l ON l.person_id = r.loser
               WHERE true GROUP BY l.lane, r.winner, l.nth ON CONFLICT (lane, person_id, nth) DO NOTHING";
    tx.execute_rows(sql, &rows, vec![]).await?;
    tx.execute_rows("DELETE FROM later_looks WHERE person_id IN (SELECT r.loser FROM {rows})", &rows, vec![]).await?;
    tx.execute_rows("DELETE FROM people WHERE id IN (SELECT r.loser FROM {rows})", &rows, vec![]).await?;
    let now = store.now();
    let again: Vec<_> = campaigns
        .into_iter()
        .filter(|member| !in_hand.contains(member))
        .map(|(lane, winner)| NewWork {
            lane,
            // Nobody sent it, so the ledger does not count it as received.
            mapping_id: None,
            kind: Kind::Hint,
            subject: Subject::Person(winner),
            source: "policy",
            payload: None,
            due_at: now,
        })
        .collect();
    enqueue(store, tx, &again).await.map(drop)
}

async fn join_members(tx: &mut Tx, rows: &Rows) -> Result<(), StoreError> {
    tx.execute_rows(
        "UPDATE members SET
           marketo = CASE WHEN members.marketo IS NULL OR members.marketo = '' THEN l.marketo ELSE members.marketo END,
           salesforce = CASE WHEN members.salesforce IS NULL OR members.salesforce = '' THEN l.salesforce ELSE members.salesforce END,
           campaign_member_id = COALESCE(members.campaign_member_id, l.campaign_member_id),
           program_member_id = COALESCE(members.program_member_id, l.program_member_id),
           marketo_shown = CASE WHEN r.merged THEN NULL ELSE COALESCE(members.marketo_shown, l.marketo_shown) END,
           salesforce_shown = CASE WHEN r.merged THEN NULL ELSE COALESCE(members.salesforce_shown, l.salesforce_shown) END,
           added_to_marketo = members.added_to_marketo OR l.added_to_marketo,
           added_to_salesforce = members.added_to_salesforce OR l.added_to_salesforce,
           edited_in_marketo = members.edited_in_marketo OR l.edited_in_marketo
             OR (COALESCE(members.marketo, '') > '' AND COALESCE(l.marketo, '') > '' AND members.added_to_marketo <> l.added_to_marketo),
           edited_in_salesforce = members.edited_in_salesforce OR l.edited_in_salesforce
             OR (COALESCE(members.salesforce, '') > '' AND COALESCE(l.salesforce, '') > ''
               AND members.added_to_salesforce <> l.added_to_salesforce),
           base_marketo = CASE WHEN r.merged THEN NULL WHEN members.base_marketo IS NULL THEN l.base_marketo
             WHEN l.base_marketo IS NULL THEN members.base_marketo END,
           base_salesforce = CASE WHEN r.merged THEN NULL WHEN members.base_salesforce IS NULL THEN l.base_salesforce
             WHEN l.base_salesforce IS NULL THEN members.base_salesforce END,
           resolution = COALESCE(members.resolution, l.resolution), frozen = members.frozen OR l.frozen,
           own_writes = CASE WHEN members.sent IS NULL AND l.sent IS NOT NULL THEN l.own_writes
             ELSE COALESCE(members.own_writes, l.own_writes) END,
           sent = COALESCE(members.sent, l.sent), after_merge = members.after_merge OR l.after_merge OR r.merged
         FROM {rows} JOIN members l ON l.person_id = r.loser
         WHERE members.person_id = r.winner AND members.campaign_id = l.campaign_id",
        rows,
        vec![],
    )
    .await?;
    let both = "FROM {rows} JOIN members l ON l.person_id = r.loser
                JOIN members w ON w.person_id = r.winner AND w.campaign_id = l.campaign_id";
    let told = format!(
        "UPDATE history SET member_id = b.winner FROM (SELECT l.id AS loser, w.id AS winner {both}) b WHERE history.member_id = b.loser"
    );
    tx.execute_rows(&told, rows, vec![]).await?;
    tx.execute_rows(&format!("DELETE FROM members WHERE id IN (SELECT l.id {both})"), rows, vec![]).await?;
    tx.execute_rows(
        "UPDATE members SET person_id = r.winner, after_merge = after_merge OR r.merged, marketo_shown = NULL, salesforce_shown = NULL,
           base_marketo = CASE WHEN r.merged THEN NULL ELSE base_marketo END,
           base_salesforce = CASE WHEN r.merged THEN NULL ELSE base_salesforce END FROM {rows} WHERE members.person_id = r.loser",
        rows,
        vec![],
    )
    .await
    .map(drop)
}
