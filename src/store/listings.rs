//! What is recorded of the members that a page of a vendor's listing should show, in the order of that listing.
//!
//! Owns the few columns that a comparison needs, so that a member of whom nothing has changed costs a step of a range read and
//! nothing else. Must not know what a page shows.

use serde::{Deserialize, Serialize};

use super::dialect::{Rows, Tx, args};
use super::lanes::{Lease, hold};
use super::members::{MEMBER, Member, MemberRow, members};
use super::script::Script;
use super::{Store, StoreError};
use crate::domain::ids::{MarketoId, SalesforceId};

/// A member as recorded, under the id that a listing has it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<K> {
    pub key: K,
    /// Empty while absent, none while unknown.
    pub marketo: Option<String>,
    pub salesforce: Option<String>,
    /// What the listing showed of the person last.
    pub shown: Option<i64>,
    pub standing: Standing,
}

/// Whether a comparison may pass a member by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Was in neither, or left where it is: a run does not decide it unless it is shown.
    Closed,
    /// Is decided by a run in any case.
    Open,
    /// Called in sync, and something about it is not settled.
    Unsettled,
    /// In sync, with nothing left to be decided unless a side has changed. See `Member::rests`.
    Rests,
}

/// Members whom a listing should have shown, and has not, or has with another status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doubted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marketo: Vec<MarketoId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub salesforce: Vec<SalesforceId>,
}

impl Doubted {
    /// These as well.
    pub fn append(&mut self, mut others: Self) {
        self.marketo.append(&mut others.marketo);
        self.salesforce.append(&mut others.salesforce);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marketo.len() + self.salesforce.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const STANDING: &str = "CASE WHEN m.sync_state = 'closed' THEN 3 WHEN m.sync_state <> 'in_sync' THEN 0
    WHEN m.marketo > '' AND m.salesforce > '' AND m.base_marketo = m.marketo AND m.base_salesforce = m.salesforce AND m.sent IS NULL
      AND m.resolution IS NULL AND m.would IS NULL AND NOT m.after_merge AND NOT m.frozen THEN 2 ELSE 1 END";

const LISTED: &str = "listed, marketo, salesforce, shown, standing";

type Row<K> = (K, Option<String>, Option<String>, Option<i64>, i32);

fn listed<K>((key, marketo, salesforce, shown, standing): Row<K>) -> Listed<K> {
    let standing = match standing {
        0 => Standing::Open,
        1 => Standing::Unsettled,
        2 => Standing::Rests,
        _ => Standing::Closed,
    };
    Listed { key, marketo, salesforce, shown, standing }
}

impl Store {
    /// Members of a campaign after the id of a campaign member.
    pub async fn listed_in_salesforce(
        &self,
        campaign_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Listed<String>>, StoreError> {
        let sql = format!(
            "SELECT m.campaign_member_id AS listed, m.marketo, m.salesforce, m.salesforce_shown AS shown, {STANDING} AS standing FROM members m
             WHERE m.campaign_id = $1 AND m.campaign_member_id > $2 ORDER BY m.campaign_member_id LIMIT $3"
        );
        let args = args![campaign_id, after, limit];
        Ok(self.db.fetch_packed::<Row<String>>(LISTED, &sql, args).await?.into_iter().map(listed).collect())
    }

    /// The same by the ids of Marketo.
    pub async fn listed_in_marketo(
        &self,
        campaign_id: &str,
        after: MarketoId,
        limit: i64,
    ) -> Result<Vec<Listed<MarketoId>>, StoreError> {
        let sql = format!(
            "SELECT m.program_member_id AS listed, m.marketo, m.salesforce, m.marketo_shown AS shown, {STANDING} AS standing FROM members m
             WHERE m.campaign_id = $1 AND m.program_member_id > $2 ORDER BY m.program_member_id LIMIT $3"
        );
        let args = args![campaign_id, after, limit];
        Ok(self.db.fetch_packed::<Row<MarketoId>>(LISTED, &sql, args).await?.into_iter().map(listed).collect())
    }

    /// Has members decided of whom a listing says otherwise, in a transaction of its own, as long as the lease is ours: where they are
    /// more than belong into one page's.
    pub async fn note_doubted(&self, lease: &Lease, doubted: &Doubted) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        if !hold(&mut tx, std::slice::from_ref(lease)).await?.is_empty() {
            doubt(self, &tx, &lease.lane, doubted)?.run(&mut tx).await?;
        }
        tx.commit().await
    }

    /// A page of those whom a run has to decide, in the order of their ids.
    pub async fn open_member_page(
        &self,
        campaign_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        let sql = format!(
            "SELECT {MEMBER} FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.campaign_id = $1 AND m.id > $2 AND m.sync_state NOT IN ('in_sync', 'closed') ORDER BY m.id LIMIT $3"
        );
        members(self.db.fetch::<MemberRow>(&sql, args![campaign_id, after, limit]).await?)
    }

    /// How many those are.
    pub async fn open_member_total(&self, campaign_id: &str) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM members WHERE campaign_id = $1 AND sync_state NOT IN ('in_sync', 'closed')";
        Ok(self.db.fetch::<(i64,)>(sql, args![campaign_id]).await?.first().map_or(0, |row| row.0))
    }

    /// How many members of a campaign there are, closed ones included.
    pub async fn member_total(&self, campaign_id: &str) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM member_tallies WHERE campaign_id = $1";
        Ok(self.db.fetch::<(i64,)>(sql, args![campaign_id]).await?.first().map_or(0, |row| row.0))
    }
}

/// Who rests waits to be decided from now on; everybody else is decided anyway.
pub(super) fn doubt(store: &Store, tx: &Tx, campaign_id: &str, doubted: &Doubted) -> Result<Script, StoreError> {
    // `IN`, and no join: SQLite would go through everybody who is in sync for each row.
    let set = "UPDATE members SET sync_state = 'pending', reason = 'waiting', updated_at = $3
               WHERE campaign_id = $2 AND sync_state = 'in_sync' AND";
    let mut script = Script::default();
    if !doubted.marketo.is_empty() {
        let rows: Vec<_> = doubted.marketo.iter().map(|id| (id,)).collect();
        let sql = format!("{set} program_member_id IN (SELECT r.key FROM {{rows}})");
        script = script.over(tx, &sql, &Rows::new("key int", &rows)?, args![campaign_id, store.now()]);
    }
    if !doubted.salesforce.is_empty() {
        let rows: Vec<_> = doubted.salesforce.iter().map(|id| (id.as_str(),)).collect();
        let sql = format!("{set} campaign_member_id IN (SELECT r.key FROM {{rows}})");
        script = script.over(tx, &sql, &Rows::new("key text", &rows)?, args![campaign_id, store.now()]);
    }
    Ok(script)
}
