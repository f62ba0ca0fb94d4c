//! What a poll found becomes work, where it is news.
//!
//! A polled record is counted as received when it becomes work, as a record of a webhook is. One that says what is recorded already (the
//! echo of a write of ours, what a webhook told before, a row within the overlap of two polls) is no accepted record: it leaves no row and
//! is counted nowhere, since otherwise the ledger would grow with how often we look. Nor is what nobody tracks, which in a log of the
//! whole instance is most of it. So received stays the sum of the others: what is counted is a row of the outbox, or was merged into one.
//!
//! Must not decide what is written: a record that is left out wrongly is found by the next comparison, one that is let in costs a read.

use std::collections::{HashMap, HashSet};

use super::dialect::{Rows, Tx, args};
use super::ingest::{Kept, Place, keep, places};
use super::outbox::{Kind, NewWork, ROUTER, add};
use super::{Store, StoreError, write_json};
use crate::domain::hint::{DeliveredHint, Hint, Operation, Source};
use crate::domain::ids::SalesforceId;

/// Stores records of a poll in an open transaction; how many became work.
pub(super) async fn accept(
    store: &Store,
    tx: &mut Tx,
    source: Source,
    records: &[DeliveredHint],
) -> Result<usize, StoreError> {
    let seen = seen_before(tx, source, records).await?;
    let mut taken = HashSet::new();
    let fresh: Vec<(Source, &DeliveredHint)> = records
        .iter()
        .filter(|record| match &record.delivery_id {
            Some(id) => {
                !seen.contains(&(id.clone(), i64::from(record.position))) && taken.insert((id, record.position))
            }
            None => true,
        })
        .map(|record| (source, record))
        .collect();
    let found = places(tx, &fresh).await?;
    let placed: Vec<(&DeliveredHint, Place)> =
        fresh.into_iter().filter_map(|(_, record)| Some((record, found.of(&record.hint)?))).collect();
    let recorded = Recorded::of(tx, &placed).await?;
    let news: Vec<_> = placed.into_iter().filter(|(record, place)| recorded.is_news(&record.hint, place)).collect();
    if news.is_empty() {
        return Ok(0);
    }
    let now = store.now();
    let mut work = Vec::with_capacity(news.len());
    let mut rows = Vec::with_capacity(news.len());
    for (record, place) in &news {
        let hint = write_json("hint", &record.hint)?;
        rows.push(Kept::of(source.polled(), record, Some(place), hint.clone()));
        work.push(NewWork {
            lane: place.lane.clone(),
            mapping_id: place.mapping_id.clone(),
            kind: Kind::Hint,
            subject: place.subject.clone(),
            source: source.polled(),
            payload: Some(hint),
            due_at: now,
        });
    }
    let (_, script) = add(store, tx, &work).await?;
    keep(script, tx, &rows, now)?.fetch::<(i64,)>(tx).await?;
    Ok(news.len())
}

/// Of the records that carry an id, those that became work before.
async fn seen_before(
    tx: &mut Tx,
    source: Source,
    records: &[DeliveredHint],
) -> Result<HashSet<(String, i64)>, StoreError> {
    let keys: Vec<_> = records.iter().filter_map(|r| Some((r.delivery_id.as_ref()?, i64::from(r.position)))).collect();
    let rows = Rows::new("delivery_id text, position int", &keys)?;
    let sql = "SELECT i.delivery_id, i.position FROM {rows}
               CROSS JOIN inbox i WHERE i.source = $2 AND i.delivery_id = r.delivery_id AND i.position = r.position";
    Ok(tx.fetch_rows::<(String, i64)>(sql, &rows, args![source.polled()]).await?.into_iter().collect())
}

/// What is on record of those whom a page is about.
struct Recorded {
    /// By the member's own id.
    members: HashMap<String, InSalesforce>,
    /// By lane and person: status, and whether nobody is at work on it.
    programs: HashMap<(String, i64), (Option<String>, bool)>,
}

#[derive(sqlx::FromRow)]
struct InSalesforce {
    campaign_member_id: String,
    campaign_id: String,
    salesforce: Option<String>,
    salesforce_modstamp: Option<i64>,
    person: Option<String>,
    at_rest: bool,
}

/// Nobody has the lane, so that no pass holds what it read before our page was; and no write is announced.
const AT_REST: &str = "(l.lease_owner IS NULL AND m.sent IS NULL)";

impl Recorded {
    async fn of(tx: &mut Tx, placed: &[(&DeliveredHint, Place)]) -> Result<Self, StoreError> {
        let mut members = Vec::new();
        let mut programs = Vec::new();
        for (record, place) in placed {
            match &record.hint {
                Hint::CampaignMember { member_id, .. } => members.push((member_id.as_str(),)),
                Hint::ProgramMember { marketo_id, .. } => programs.push((&place.lane, *marketo_id)),
                _ => {}
            }
        }
        let sql = format!(
            "SELECT m.campaign_member_id, m.campaign_id, m.salesforce, m.salesforce_modstamp, p.salesforce_id AS person,
               {AT_REST} AS at_rest FROM {{rows}} JOIN members m ON m.campaign_member_id = r.id
             JOIN people p ON p.id = m.person_id JOIN lanes l ON l.id = m.campaign_id"
        );
        let members: Vec<InSalesforce> = tx.fetch_rows(&sql, &Rows::new("id text", &members)?, vec![]).await?;
        let sql = format!(
            "SELECT r.lane, r.person, m.marketo, {AT_REST} FROM {{rows}} JOIN people p ON p.marketo_id = r.person
             JOIN members m ON m.campaign_id = r.lane AND m.person_id = p.id JOIN lanes l ON l.id = m.campaign_id"
        );
        let programs: Vec<(String, i64, Option<String>, bool)> =
            tx.fetch_rows(&sql, &Rows::new("lane text, person int", &programs)?, vec![]).await?;
        Ok(Self {
            members: members.into_iter().map(|member| (member.campaign_member_id.clone(), member)).collect(),
            programs: programs
                .into_iter()
                .map(|(lane, person, status, at_rest)| ((lane, person), (status, at_rest)))
                .collect(),
        })
    }

    fn is_news(&self, hint: &Hint, place: &Place) -> bool {
        match hint {
            Hint::ProgramMember { marketo_id, removed, status, .. } => {
                let shown = status.as_deref().unwrap_or_default();
                match self.programs.get(&(place.lane.clone(), *marketo_id)) {
                    Some((recorded, at_rest)) => !at_rest || recorded.as_deref() != Some(shown),
                    // Came and went before anybody knew.
                    None => !removed,
                }
            }
            Hint::CampaignMember { member_id, operation: Some(Operation::Delete), .. } => {
                // A row that nobody knew, or that another row has followed by now, is no loss; an id alone is nobody's either.
                let member = self.members.get(member_id.as_str()).filter(|_| place.lane != ROUTER);
                member.is_some_and(|member| !member.at_rest || member.salesforce.as_deref() != Some(""))
            }
            Hint::CampaignMember { member_id, person_id, status, modstamp, .. } => {
                let Some(member) = self.members.get(member_id.as_str()) else { return true };
                let same = member.campaign_id == place.lane
                    && member.salesforce == *status
                    && member.person.as_deref() == person_id.as_ref().map(SalesforceId::as_str)
                    && modstamp.is_some_and(|at| member.salesforce_modstamp >= Some(at.as_millisecond()));
                !member.at_rest || !same
            }
            _ => true,
        }
    }
}
