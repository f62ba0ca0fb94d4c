//! The stretch of what is recorded that a page of a listing covers, read beside the page.
//!
//! Owns that it costs as much as the page, however much of it is not shown. Must not change anything but who waits to be decided.

use super::listing::{Beside, Shown, print};
use super::{PassError, Worker};
use crate::connector::{CampaignMember, MarketoPerson, ProgramMember};
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::Side;
use crate::store::listings::Doubted;
use crate::store::mappings::Mapping;
use crate::store::record::Batch;
use crate::store::runs::Run;

/// Members recorded that are compared with a page at a time.
const STRETCH: i64 = 2_500;

/// What the listing of a campaign shows of a person.
pub(super) fn salesforce_print(person: &SalesforceId, row: &CampaignMember) -> i64 {
    print([Some(person.as_str()), row.email.as_deref()])
}

/// Those of the rows at these positions, which go up.
pub(super) fn chosen<T>(rows: Vec<T>, positions: &[usize]) -> Vec<T> {
    let mut wanted = positions.iter().copied().peekable();
    rows.into_iter().enumerate().filter_map(|(n, row)| wanted.next_if_eq(&n).map(|_| row)).collect()
}

impl Worker {
    /// Compares a page with what is recorded of its stretch of the campaign: positions of those to be looked at, and of whom it says otherwise.
    pub(super) async fn beside_campaign(
        &self,
        batch: &Batch,
        run: &Run,
        mapping: &Mapping,
        rows: &[(SalesforceId, CampaignMember)],
        last: Option<&str>,
        ends: bool,
    ) -> Result<(Vec<usize>, Vec<SalesforceId>), PassError> {
        let shown = rows.iter().map(|(id, row)| Shown {
            key: row.id.to_string(),
            status: &row.status,
            print: salesforce_print(id, row),
        });
        let shown: Vec<_> = shown.collect();
        let mut beside = Beside::new(Side::Salesforce, &mapping.status_map, &shown);
        let mut after = run.last_shown.clone().unwrap_or_default();
        let ids = |keys: Vec<String>| keys.into_iter().filter_map(|key| key.parse().ok()).collect();
        let until = if ends { None } else { Some(last.unwrap_or_default()) };
        loop {
            let listed = self.store.listed_in_salesforce(&run.lane, &after, until, STRETCH).await?;
            listed.iter().for_each(|listed| beside.recorded(listed));
            let full = i64::try_from(listed.len()).is_ok_and(|n| n == STRETCH);
            match listed.into_iter().next_back() {
                Some(listed) if full => after = listed.key,
                _ => break,
            }
            let salesforce = ids(std::mem::take(&mut beside.doubted));
            self.note_doubted(batch, Doubted { salesforce, ..Doubted::default() }).await?;
        }
        let (look, doubted) = beside.end();
        Ok((look, ids(doubted)))
    }

    /// The same of the program.
    pub(super) async fn beside_program(
        &self,
        batch: &Batch,
        mapping: &Mapping,
        rows: &[(MarketoPerson, ProgramMember)],
        before: Option<MarketoId>,
        last: Option<MarketoId>,
        ends: bool,
    ) -> Result<(Vec<usize>, Vec<MarketoId>), PassError> {
        let shown = rows.iter().map(|(person, member)| Shown {
            key: person.id,
            status: &member.status,
            print: print([person.email.as_deref(), None]),
        });
        let shown: Vec<_> = shown.collect();
        let mut beside = Beside::new(Side::Marketo, &mapping.status_map, &shown);
        let mut after = before.unwrap_or(MarketoId::MIN);
        let until = if ends { None } else { Some(last.unwrap_or(MarketoId::MIN)) };
        loop {
            let listed = self.store.listed_in_marketo(mapping.campaign_id.as_str(), after, until, STRETCH).await?;
            listed.iter().for_each(|listed| beside.recorded(listed));
            match listed.last() {
                Some(last) if i64::try_from(listed.len()).is_ok_and(|n| n == STRETCH) => after = last.key,
                _ => return Ok(beside.end()),
            }
            let marketo = std::mem::take(&mut beside.doubted);
            self.note_doubted(batch, Doubted { marketo, ..Doubted::default() }).await?;
        }
    }

    /// Of a long stretch that is not shown not all are kept until the page is recorded.
    async fn note_doubted(&self, batch: &Batch, doubted: Doubted) -> Result<(), PassError> {
        if let Some(lease) = batch.leases.first().filter(|_| !doubted.is_empty()) {
            self.store.note_doubted(lease, &doubted).await?;
        }
        Ok(())
    }
}
