//! Members that wait for a person, over all mappings.
//!
//! Reads what an index of them alone finds. Must not list who waits for nobody: that is a table of millions.

use super::dialect::{Rows, args};
use super::members::{MEMBER, Member, members};
use super::{Store, StoreError};

impl Store {
    /// Members of mappings that are there, in one of the states in which they wait for a person, after the id `after`.
    pub async fn held_members(
        &self,
        sync_state: &str,
        reason: Option<&str>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        let mut args = args![after, limit, sync_state];
        let mut sql = format!(
            "SELECT {MEMBER} FROM members m JOIN people p ON p.id = m.person_id
             WHERE m.sync_state IN ('diverged', 'parked', 'failed') AND m.sync_state = $3 AND m.id > $1
               AND EXISTS (SELECT 1 FROM mappings a WHERE a.campaign_id = m.campaign_id AND a.deleted_at IS NULL)"
        );
        if let Some(reason) = reason {
            args.push(reason.into());
            sql += " AND m.reason = $4";
        }
        sql += " ORDER BY m.id LIMIT $2";
        members(self.db.fetch(&sql, args).await?)
    }

    /// Lane and person of those who are held beside one of these, each in its lane, as a second record of the same human or as one of
    /// several: they have the same address.
    pub async fn held_beside(&self, people: &[(String, String)]) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT DISTINCT m.campaign_id, m.person_id FROM {rows} CROSS JOIN people f CROSS JOIN members m CROSS JOIN people p
                   WHERE f.id = r.person_id AND m.campaign_id = r.lane AND m.sync_state = 'parked' AND p.id = m.person_id
                     AND m.reason IN ('second_record', 'ambiguous_person') AND p.id <> f.id AND LOWER(p.email) = LOWER(f.email)";
        self.db.fetch_rows(sql, &Rows::new("lane text, person_id text", people)?, vec![]).await
    }
}
