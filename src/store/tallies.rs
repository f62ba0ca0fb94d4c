//! Tallies of members and of the ledger: what triggers add in the transactions of others, made one row again.
//!
//! On Postgres each transaction adds rows of its own to a tally, so that two that change members of one campaign wait for nobody's
//! tally, and cannot wait for each other; a tally is a sum, and this keeps the number of its terms small. SQLite, which writes one
//! transaction at a time, keeps one row. Must not change what a tally says.

use std::collections::BTreeMap;

use super::dialect::{Backend, Rows, args};
use super::outbox::COUNTERS;
use super::{Store, StoreError};

/// Campaigns whose tallies are put together at once.
const AT_ONCE: i64 = 1_000;

impl Store {
    /// Puts rows of the same tally together; how many are gone.
    pub async fn compact_tallies(&self) -> Result<usize, StoreError> {
        if self.db.backend() == Backend::Sqlite {
            return Ok(0);
        }
        Ok(self.compact_members().await? + self.compact_ledger().await?)
    }

    async fn compact_members(&self) -> Result<usize, StoreError> {
        let mut tx = self.db.begin_patiently().await?;
        // What others add meanwhile is not deleted, since it is not returned; what is returned is what is put back.
        let sql = "DELETE FROM member_tallies WHERE campaign_id IN (SELECT campaign_id FROM member_tallies
                     GROUP BY campaign_id, in_marketo, in_salesforce, sync_state, reason HAVING COUNT(*) > 1 LIMIT $1)
                   RETURNING campaign_id, in_marketo, in_salesforce, sync_state, reason, count";
        let parts: Vec<(String, bool, bool, String, String, i64)> = tx.fetch(sql, args![AT_ONCE]).await?;
        let mut sums: BTreeMap<_, i64> = BTreeMap::new();
        for (campaign, marketo, salesforce, state, reason, count) in &parts {
            *sums.entry((campaign, marketo, salesforce, state, reason)).or_default() += count;
        }
        let rows: Vec<_> = sums
            .into_iter()
            .filter(|(_, sum)| *sum != 0)
            .map(|((campaign, marketo, salesforce, state, reason), sum)| {
                (campaign, marketo, salesforce, state, reason, sum)
            })
            .collect();
        if !rows.is_empty() {
            let columns =
                "campaign_id text, in_marketo bool, in_salesforce bool, sync_state text, reason text, count int";
            let sql = "INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
                       SELECT campaign_id, in_marketo, in_salesforce, sync_state, reason, count FROM {rows}";
            tx.execute_rows(sql, &Rows::new(columns, &rows)?, vec![]).await?;
        }
        tx.commit().await?;
        Ok(parts.len() - rows.len())
    }

    async fn compact_ledger(&self) -> Result<usize, StoreError> {
        let mut tx = self.db.begin_patiently().await?;
        let counters = COUNTERS.join(", ");
        let parts = COUNTERS.map(|counter| format!("CAST({counter} AS TEXT)")).join(" || ' ' || ");
        let sql = format!(
            "DELETE FROM ledger_days WHERE day IN (SELECT day FROM ledger_days GROUP BY day HAVING COUNT(*) > 1)
             RETURNING day, {parts}"
        );
        let parts: Vec<(i64, String)> = tx.fetch(&sql, vec![]).await?;
        let mut sums: BTreeMap<i64, [i64; COUNTERS.len()]> = BTreeMap::new();
        for (day, numbers) in &parts {
            let sum = sums.entry(*day).or_default();
            for (total, number) in sum.iter_mut().zip(numbers.split(' ')) {
                *total += number.parse::<i64>().map_err(|e| StoreError::Corrupt(format!("ledger_days: {e}")))?;
            }
        }
        let rows: Vec<Vec<i64>> = sums.iter().map(|(day, sum)| [&[*day], &sum[..]].concat()).collect();
        if !rows.is_empty() {
            let columns = "day int, received int, applied int, no_op int, superseded int, waiting int, held int, failed int, discarded int";
            let sql = format!("INSERT INTO ledger_days (day, {counters}) SELECT day, {counters} FROM {{rows}}");
            tx.execute_rows(&sql, &Rows::new(columns, &rows)?, vec![]).await?;
        }
        tx.commit().await?;
        Ok(parts.len() - rows.len())
    }
}
