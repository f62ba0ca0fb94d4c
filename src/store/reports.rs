//! Figures: how members, changes and records stand, counted in the database.
//!
//! Reads only, and only as many rows as an index can find or a window holds. Must not interpret a status or a reason.

use std::collections::BTreeMap;

use super::dialect::args;
use super::{Store, StoreError};

/// Members of a campaign by where they are and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// On both sides and agreeing.
    pub in_sync: i64,
    /// On one side only, by reason.
    pub only_marketo: BTreeMap<String, i64>,
    pub only_salesforce: BTreeMap<String, i64>,
    /// On both sides and not agreeing, by reason.
    pub different: BTreeMap<String, i64>,
}

impl Store {
    /// The bridge from one side's members to the other's; who is on neither is not in it.
    pub async fn bridge(&self, campaign_id: &str) -> Result<Bridge, StoreError> {
        // NULL is unknown and '' absent, so a status is whatever is greater than ''.
        let sql = "SELECT marketo > '' AS m, salesforce > '' AS s, sync_state, reason, COUNT(*) FROM
                     (SELECT COALESCE(marketo, '') AS marketo, COALESCE(salesforce, '') AS salesforce, sync_state, reason
                      FROM members WHERE campaign_id = $1) AS held
                   GROUP BY 1, 2, 3, 4";
        let rows: Vec<(bool, bool, String, Option<String>, i64)> = self.db.fetch(sql, args![campaign_id]).await?;
        let mut bridge = Bridge::default();
        for (marketo, salesforce, state, reason, count) in rows {
            let place = match (marketo, salesforce) {
                (true, true) if state == "in_sync" => {
                    bridge.in_sync += count;
                    continue;
                }
                (true, true) => &mut bridge.different,
                (true, false) => &mut bridge.only_marketo,
                (false, true) => &mut bridge.only_salesforce,
                (false, false) => continue,
            };
            *place.entry(reason.unwrap_or(state)).or_default() += count;
        }
        Ok(bridge)
    }
}
