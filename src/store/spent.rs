//! What no table keeps: how the time of a change was spent, and which errors its attempts have met; by the minute.
//!
//! Collected in memory by whoever does the work, and written down once in a while, so that no change waits for it. What a process that
//! ends had not written is lost; nothing rests on it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dialect::{Rows, args};
use super::figures::MINUTE;
use super::settle::{End, Settled, VendorError};
use super::{Store, StoreError};
use crate::domain::closed_list::closed_list;

closed_list! {
    /// A part of the time from the acceptance of a change to the end of the opposite write.
    pub enum Part {
        /// Until a delivery is stored; its sender waits for that.
        Receive = "receive",
        /// Until somebody takes it up; of one that is tried again, until the last attempt.
        Queue = "queue",
        /// Reading both sides, writing, and recording.
        Call = "call",
    }
}

/// Begins the names of what is counted by code.
const ERROR: &str = "error:";
/// Codes that are kept apart in one minute of a process; a vendor has fewer.
const CODES: usize = 100;
/// Characters of a code that are kept.
const LONGEST: usize = 80;

/// What was collected.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    /// Milliseconds, and of how many changes.
    parts: BTreeMap<Part, (i64, i64)>,
    errors: BTreeMap<String, i64>,
}

impl Spent {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.errors.is_empty()
    }

    /// So many changes have each spent so many milliseconds.
    pub fn add(&mut self, part: Part, millis: i64, changes: i64) {
        let sum = self.parts.entry(part).or_default();
        *sum = (sum.0 + millis.max(0) * changes, sum.1 + changes);
    }

    /// The same of a time that was measured.
    pub fn took(&mut self, part: Part, time: Duration, changes: usize) {
        let of = |n: u128| i64::try_from(n).unwrap_or(i64::MAX / 2);
        self.add(part, of(time.as_millis()), of(changes as u128));
    }

    /// How an attempt has ended that was begun at `claimed`, of a change that was accepted at `accepted`; epoch milliseconds.
    pub fn end(&mut self, settled: &Settled, accepted: i64, claimed: i64, now: i64) {
        match &settled.end {
            End::Applied => {
                self.add(Part::Queue, claimed - accepted, 1);
                self.add(Part::Call, now - claimed, 1);
            }
            End::Retry { error: Some(error), .. }
            | End::Parked { error: Some(error), .. }
            | End::GivenUp { error: Some(error), .. } => self.err(error),
            _ => {}
        }
    }

    fn err(&mut self, error: &VendorError) {
        let code: String = error.code.chars().filter(|c| c.is_ascii_graphic()).take(LONGEST).collect();
        let name = format!("{ERROR}{}:{code}", error.vendor);
        if self.errors.len() < CODES || self.errors.contains_key(&name) {
            *self.errors.entry(name).or_default() += 1;
        }
    }
}

/// Errors with one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSeries {
    pub vendor: String,
    pub code: String,
    /// By the minute; minutes without any are left out.
    pub counts: BTreeMap<i64, i64>,
}

impl Store {
    /// Writes down what was collected, if anything, and forgets it.
    pub(super) async fn keep_collected(&self, spent: &mut Spent) {
        if let Err(error) = self.keep_spent(&std::mem::take(spent)).await {
            tracing::warn!(%error, "how the time of changes was spent was not written down");
        }
    }

    /// Writes down what was collected, for the minute that goes on.
    pub async fn keep_spent(&self, spent: &Spent) -> Result<(), StoreError> {
        let now = self.now();
        let minute = now - now % MINUTE;
        let parts = spent.parts.iter().flat_map(|(part, (millis, changes))| {
            [(minute, format!("{part}_ms"), *millis), (minute, format!("{part}_n"), *changes)]
        });
        let errors = spent.errors.iter().map(|(name, n)| (minute, name.clone(), *n));
        let rows: Vec<(i64, String, i64)> = parts.chain(errors).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin_lazily().await?;
        let rows = Rows::new("minute int, metric text, value int", &rows)?;
        tx.execute_rows(super::figures::ADD, &rows, vec![]).await?;
        tx.commit().await
    }

    /// How many milliseconds a change has spent in a part, on average by the minute.
    pub(super) async fn averages(&self, part: Part, from: i64, to: i64) -> Result<BTreeMap<i64, i64>, StoreError> {
        let sql =
            "SELECT s.minute, s.value, n.value FROM figures s JOIN figures n ON n.metric = $2 AND n.minute = s.minute
                   WHERE s.metric = $1 AND s.minute >= $3 AND s.minute < $4";
        let args = args![format!("{part}_ms"), format!("{part}_n"), from, to];
        let sums: Vec<(i64, i64, i64)> = self.db.fetch(sql, args).await?;
        Ok(sums.into_iter().filter(|(.., n)| *n > 0).map(|(minute, millis, n)| (minute, millis / n)).collect())
    }

    /// Errors that attempts have met, by vendor and code, those met most often first.
    pub async fn errors_by_code(&self, from: i64, to: i64) -> Result<Vec<ErrorSeries>, StoreError> {
        // From the first name that begins so to the first behind all of them: a colon is followed by a semicolon.
        let sql = "SELECT metric, minute, value FROM figures WHERE metric >= 'error:' AND metric < 'error;'
                   AND minute >= $1 AND minute < $2";
        let mut series: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
        for (metric, minute, value) in self.db.fetch::<(String, i64, i64)>(sql, args![from, to]).await? {
            *series.entry(metric).or_default().entry(minute).or_default() += value;
        }
        let mut all: Vec<_> = series
            .into_iter()
            .filter_map(|(metric, counts)| {
                let (vendor, code) = metric.strip_prefix(ERROR)?.split_once(':')?;
                Some(ErrorSeries { vendor: vendor.to_owned(), code: code.to_owned(), counts })
            })
            .collect();
        all.sort_by_key(|series| std::cmp::Reverse(series.counts.values().sum::<i64>()));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_vendor_are_counted_and_are_not_endless() {
        let mut spent = Spent::default();
        let error = |code: &str| VendorError { vendor: "salesforce".into(), code: code.into(), message: String::new() };
        for n in 0..CODES * 2 {
            spent.err(&error(&format!("CODE_{n}")));
            spent.err(&error("CODE_0"));
        }
        assert_eq!(spent.errors.len(), CODES);
        assert_eq!(spent.errors["error:salesforce:CODE_0"], i64::try_from(CODES).unwrap() * 2 + 1);
        spent.err(&error(&"x".repeat(500)));
        assert!(spent.errors.keys().all(|name| name.len() < 100));
    }
}
