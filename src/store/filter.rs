//! Who is a member of which tracked campaign, and who is of none: what the filter asks for, from what is recorded.
//!
//! Owns the statements, each a page at a time along an index. A campaign that nobody tracks is not answered for. Must not change
//! anything.

use super::dialect::{Rows, args};
use super::members::{MEMBER, Member, MemberRow, members};
use super::people::{Person, PersonRow};
use super::{Store, StoreError};
use crate::domain::ids::ProgramId;

/// A campaign whose members are recorded.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TrackedCampaign {
    pub id: String,
    /// It was read from one end to the other, so who is not recorded is no member.
    pub complete: bool,
    pub mapping_id: Option<String>,
    pub program_id: Option<ProgramId>,
}

/// Memberships in any of these campaigns, with any of these statuses where there are some.
#[derive(Clone, Debug, Default)]
pub struct Memberships {
    pub campaign_ids: Vec<String>,
    pub statuses: Vec<String>,
}

impl Memberships {
    /// Each campaign with each status, or with none for all of them.
    fn pairs(&self) -> Result<Rows, StoreError> {
        let statuses: Vec<Option<&String>> = match self.statuses.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        let mut pairs: Vec<_> =
            self.campaign_ids.iter().flat_map(|id| statuses.iter().map(move |status| (id, *status))).collect();
        pairs.sort();
        pairs.dedup();
        Rows::new("campaign_id text, status text", &pairs)
    }
}

impl Store {
    /// The campaigns that are tracked: all of them, or those of the ids given.
    pub async fn tracked_campaigns(&self, of: Option<&[String]>) -> Result<Vec<TrackedCampaign>, StoreError> {
        let columns = "SELECT l.id, l.baseline AS complete, m.id AS mapping_id, m.program_id";
        let tracked = "LEFT JOIN mappings m ON m.campaign_id = l.id AND m.deleted_at IS NULL
                       WHERE l.pinned OR m.id IS NOT NULL ORDER BY l.id";
        match of {
            None => self.db.fetch(&format!("{columns} FROM lanes l {tracked}"), vec![]).await,
            Some(ids) => {
                let mut ids: Vec<_> = ids.iter().map(|id| (id,)).collect();
                ids.sort();
                ids.dedup();
                let sql = format!("{columns} FROM {{rows}} JOIN lanes l ON l.id = r.id {tracked}");
                self.db.fetch_rows(&sql, &Rows::new("id text", &ids)?, vec![]).await
            }
        }
    }

    /// Memberships in the order of their ids, after the id `after`.
    pub async fn memberships_page(&self, of: &Memberships, after: &str, limit: i64) -> Result<Vec<Member>, StoreError> {
        let status = if of.statuses.is_empty() { "" } else { "AND o.salesforce = r.status" };
        let pick = format!(
            "WHERE o.campaign_id = r.campaign_id {status} AND o.salesforce <> '' AND o.id > $2 ORDER BY o.id LIMIT $3"
        );
        let first = self.db.backend().first_of_each("members", "id", &pick);
        let sql = format!(
            "SELECT {MEMBER} FROM (SELECT o.id FROM {first} ORDER BY o.id LIMIT $3) f
             JOIN members m ON m.id = f.id JOIN people p ON p.id = m.person_id ORDER BY m.id"
        );
        members(self.db.fetch_rows::<MemberRow>(&sql, &of.pairs()?, args![after, limit]).await?)
    }

    /// Everybody who has no such membership, in the order of their ids, after the id `after`. Somebody is who was seen: an id that
    /// was only named, by a webhook or a flow action, and that no side knows, is nobody; nor is an account.
    pub async fn people_without(&self, of: &Memberships, after: &str, limit: i64) -> Result<Vec<Person>, StoreError> {
        let sql = "WITH wanted AS MATERIALIZED (SELECT r.campaign_id, r.status FROM {rows})
             SELECT p.id, p.marketo_id, p.salesforce_id, p.email FROM people p WHERE p.id > $2 AND NOT EXISTS (
               SELECT 1 FROM wanted w JOIN members m ON m.campaign_id = w.campaign_id AND m.person_id = p.id
               AND m.salesforce <> '' AND (w.status IS NULL OR m.salesforce = w.status))
             AND (p.salesforce_id IS NULL OR SUBSTR(p.salesforce_id, 1, 3) IN ('00Q', '003'))
             AND (p.marketo_id IS NOT NULL OR p.salesforce_id IS NOT NULL)
             AND (p.email IS NOT NULL OR (p.marketo_id IS NOT NULL AND p.salesforce_id IS NOT NULL) OR EXISTS (
               SELECT 1 FROM members m WHERE m.person_id = p.id
               AND (m.marketo <> '' OR m.salesforce <> '' OR m.sequence > 0 OR m.rule <> 'P6')))
             ORDER BY p.id LIMIT $3";
        let rows: Vec<PersonRow> = self.db.fetch_rows(sql, &of.pairs()?, args![after, limit]).await?;
        rows.into_iter().map(Person::try_from).collect()
    }
}
