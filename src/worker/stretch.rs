//! The stretch of what is recorded that a page of a listing covers, read beside the page.
//!
//! Owns that it costs as much as the page, however much of it is not shown. Must not change anything but who waits to be decided.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::listing::{Beside, Shown, print};
use super::{PassError, Worker};
use crate::connector::{CampaignMember, MarketoPerson, ProgramMember};
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::Side;
use crate::store::StoreError;
use crate::store::listings::{Doubted, Listed};
use crate::store::mappings::Mapping;
use crate::store::record::Batch;
use crate::store::runs::Run;

/// Members recorded that are read at a time: few at first, since a run that waits for its vendor does not come far before somebody else
/// has to be let in, and twice as many each time, since a read costs as much again to send as a page of 300 members to compare.
const FIRST_READ: i64 = 500;
const LARGEST_READ: i64 = 4_000;

/// What the listing of a campaign shows of a person.
pub(super) fn salesforce_print(person: &SalesforceId, row: &CampaignMember) -> i64 {
    print([Some(person.as_str()), row.email.as_deref()])
}

/// Those of the rows at these positions, which go up.
pub(super) fn chosen<T>(rows: Vec<T>, positions: &[usize]) -> Vec<T> {
    let mut wanted = positions.iter().copied().peekable();
    rows.into_iter().enumerate().filter_map(|(n, row)| wanted.next_if_eq(&n).map(|_| row)).collect()
}

/// What is recorded of one listing, read ahead of its pages.
///
/// Holds as long as nothing is recorded of these members but who waits to be decided: whoever records more begins with a new one.
pub(super) struct Ahead<K> {
    rows: VecDeque<Listed<K>>,
    /// The size of the last read; none before the first.
    size: Option<i64>,
    /// Nobody is recorded behind `rows`.
    ends: bool,
    /// What follows, read while `rows` are compared.
    next: Option<JoinHandle<Result<Vec<Listed<K>>, StoreError>>>,
}

impl<K> Default for Ahead<K> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), size: None, ends: false, next: None }
    }
}

/// Of both listings.
#[derive(Default)]
pub(super) struct Stretches {
    salesforce: Ahead<String>,
    marketo: Ahead<MarketoId>,
}

impl<K: Ord + Clone> Ahead<K> {
    /// Compares those up to an id, or all: false where more have to be read first.
    fn compare(&mut self, beside: &mut Beside<'_, K>, until: Option<&K>, after: &mut K) -> bool {
        while let Some(listed) = self.rows.pop_front_if(|listed| until.is_none_or(|until| listed.key <= *until)) {
            beside.recorded(&listed);
            *after = listed.key;
        }
        self.ends || !self.rows.is_empty() || until.is_some_and(|until| *until <= *after)
    }

    /// Reads on behind an id.
    async fn read<F>(&mut self, after: K, read: impl Fn(K, i64) -> F) -> Result<(), PassError>
    where
        F: Future<Output = Result<Vec<Listed<K>>, StoreError>> + Send + 'static,
        K: Send + 'static,
    {
        let size = self.size.map_or(FIRST_READ, |size| (size * 2).min(LARGEST_READ));
        let rows = match self.next.take() {
            Some(next) => next.await.map_err(|e| StoreError::Corrupt(format!("a read ahead ended early: {e}")))??,
            None => read(after, size).await?,
        };
        self.ends = i64::try_from(rows.len()).is_ok_and(|n| n < size);
        let last = rows.last().map(|listed| listed.key.clone()).filter(|_| size == LARGEST_READ && !self.ends);
        self.next = last.map(|last| tokio::spawn(read(last, LARGEST_READ)));
        (self.rows, self.size) = (rows.into(), Some(size));
        Ok(())
    }
}

impl Worker {
    /// Compares a page with what is recorded of its stretch of the campaign: positions of those to be looked at, and of whom it says otherwise.
    pub(super) async fn beside_campaign(
        &self,
        batch: &Batch,
        run: &Run,
        mapping: &Mapping,
        rows: &[(SalesforceId, CampaignMember)],
        until: Option<&str>,
        ahead: &mut Stretches,
    ) -> Result<(Vec<usize>, Vec<SalesforceId>), PassError> {
        let shown = rows.iter().map(|(id, row)| Shown {
            key: row.id.to_string(),
            status: &row.status,
            print: salesforce_print(id, row),
        });
        let shown: Vec<_> = shown.collect();
        let mut beside = Beside::new(Side::Salesforce, &mapping.status_map, &shown);
        let mut after = run.last_shown.clone().unwrap_or_default();
        let until = until.map(str::to_owned);
        let ids = |keys: Vec<String>| keys.into_iter().filter_map(|key| key.parse().ok()).collect();
        while !ahead.salesforce.compare(&mut beside, until.as_ref(), &mut after) {
            let salesforce = ids(beside.take_many());
            self.note_doubted(batch, Doubted { salesforce, ..Doubted::default() }).await?;
            let read = |after: String, size| {
                let (store, lane) = (self.store.clone(), run.lane.clone());
                async move { store.listed_in_salesforce(&lane, &after, size).await }
            };
            ahead.salesforce.read(after.clone(), read).await?;
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
        until: Option<MarketoId>,
        ahead: &mut Stretches,
    ) -> Result<(Vec<usize>, Vec<MarketoId>), PassError> {
        let shown = rows.iter().map(|(person, member)| Shown {
            key: person.id,
            status: &member.status,
            print: print([person.email.as_deref(), None]),
        });
        let shown: Vec<_> = shown.collect();
        let mut beside = Beside::new(Side::Marketo, &mapping.status_map, &shown);
        let mut after = before.unwrap_or(MarketoId::MIN);
        while !ahead.marketo.compare(&mut beside, until.as_ref(), &mut after) {
            let marketo = beside.take_many();
            self.note_doubted(batch, Doubted { marketo, ..Doubted::default() }).await?;
            let read = |after, size| {
                let (store, campaign) = (self.store.clone(), mapping.campaign_id.clone());
                async move { store.listed_in_marketo(campaign.as_str(), after, size).await }
            };
            ahead.marketo.read(after, read).await?;
        }
        Ok(beside.end())
    }

    /// Of a long stretch that is not shown not all are kept until the page is recorded.
    async fn note_doubted(&self, batch: &Batch, doubted: Doubted) -> Result<(), PassError> {
        if let Some(lease) = batch.leases.first().filter(|_| !doubted.is_empty()) {
            self.store.note_doubted(lease, &doubted).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::status::StatusMap;
    use crate::store::listings::Standing;

    fn recorded(after: i64, size: i64, last: i64) -> Vec<Listed<i64>> {
        let status = Some("In".to_owned());
        let one = |key| Listed {
            key,
            marketo: status.clone(),
            salesforce: status.clone(),
            shown: Some(7),
            standing: Standing::Rests,
        };
        (after + 1..=last).take(usize::try_from(size).unwrap()).map(one).collect()
    }

    /// Pages of 300 of all but every thousandth of those recorded; who was doubted, and the reads.
    async fn compared(last: i64) -> (Vec<i64>, Vec<(i64, i64)>) {
        let map = StatusMap::exact(&["In"], &["In"]);
        let reads = Mutex::new(Vec::new());
        let read = |after, size| {
            reads.lock().unwrap().push((after, size));
            async move { Ok(recorded(after, size, last)) }
        };
        let all: Vec<_> = (1..=last).filter(|key| key % 1_000 != 0).collect();
        let (mut ahead, mut before, mut doubted) = (Ahead::default(), 0, Vec::new());
        let pages: Vec<_> = all.chunks(300).collect();
        for (n, page) in pages.iter().enumerate() {
            let shown: Vec<_> = page.iter().map(|key| Shown { key: *key, status: "In", print: 7 }).collect();
            let mut beside = Beside::new(Side::Marketo, &map, &shown);
            let until = page.last().filter(|_| n + 1 < pages.len());
            let mut after = before;
            while !ahead.compare(&mut beside, until, &mut after) {
                ahead.read(after, read).await.unwrap();
            }
            let (look, some) = beside.end();
            assert!(look.is_empty(), "{look:?} of page {n}");
            doubted.extend(some);
            before = *page.last().unwrap();
        }
        (doubted, reads.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_is_recorded_is_read_once_and_in_growing_stretches_whatever_the_size_of_the_pages() {
        let (doubted, reads) = compared(20_500).await;
        assert_eq!(doubted, (1..=20).map(|n| n * 1_000).collect::<Vec<_>>());
        let expected = [
            (0, 500),
            (500, 1_000),
            (1_500, 2_000),
            (3_500, 4_000),
            (7_500, 4_000),
            (11_500, 4_000),
            (15_500, 4_000),
            (19_500, 4_000),
        ];
        assert_eq!(reads, expected);
    }

    #[tokio::test]
    async fn who_is_recorded_behind_the_last_page_is_doubted() {
        let (doubted, reads) = compared(1_000).await;
        assert_eq!((doubted, reads), (vec![1_000], vec![(0, 500), (500, 1_000)]));
    }
}
