//! Tells subscribers that a vendor's calls of the day are used up.

use std::collections::BTreeSet;

use super::{Fate, Pass};
use crate::domain::merge::Reason;
use crate::domain::notice::Notice;
use crate::worker::{PassError, Worker};

/// Once in a vendor's day, in milliseconds.
const DAY: i64 = 24 * 3_600_000;

impl Worker {
    /// What a pass has met of that; told once, however many members wait for it.
    pub(super) async fn tell_of_quota(&self, pass: &Pass) -> Result<(), PassError> {
        let vendors: BTreeSet<&String> = pass
            .items
            .iter()
            .filter_map(|item| match &item.fate {
                Fate::Retry { reason: Reason::Quota, error: Some(error), .. } => Some(&error.vendor),
                _ => None,
            })
            .collect();
        for vendor in vendors {
            self.store.tell_once(Notice::QuotaExhausted { vendor: vendor.clone() }, DAY).await?;
        }
        Ok(())
    }
}
