//! Query locators: results that do not fit one page.
//!
//! Owns what a client may come back for within two days. The rows are those found by the query; their values are read when
//! the page is, as Salesforce promises no snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::ids::Id;
use super::soql::Plan;

const LIFE_SECONDS: i64 = 2 * 86_400;

/// A result that is being read.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub plan: Arc<Plan>,
    pub ids: Arc<Vec<Id>>,
    pub page: usize,
    opened: Timestamp,
}

/// All open results.
#[derive(Debug, Default)]
pub struct Cursors {
    open: HashMap<Id, Cursor>,
    serial: u64,
}

impl Cursors {
    /// Keeps a result and gives its locator, without the offset.
    pub fn open(&mut self, plan: Arc<Plan>, ids: Arc<Vec<Id>>, page: usize, now: Timestamp) -> Id {
        self.open.retain(|_, c| now.as_second() - c.opened.as_second() < LIFE_SECONDS);
        self.serial += 1;
        let locator = Id::new("01g", self.serial);
        self.open.insert(locator, Cursor { plan, ids, page, opened: now });
        locator
    }

    /// The result of a locator and the offset at its end (`01g..-2000`).
    #[must_use]
    pub fn find(&self, locator: &str, now: Timestamp) -> Option<(Id, Cursor, usize)> {
        let (id, offset) = locator.rsplit_once('-')?;
        let id = Id::parse(id)?;
        let cursor = self.open.get(&id)?;
        let alive = now.as_second() - cursor.opened.as_second() < LIFE_SECONDS;
        let offset = offset.parse().ok().filter(|n| *n < cursor.ids.len())?;
        alive.then(|| (id, cursor.clone(), offset))
    }

    /// Forgets all, as an org does when it must.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}
