//! The org as a document: saved, and loaded into an emulator that starts anew.
//!
//! Owns the form of it. Rows, ids given out and switches are in it; sessions, query locators, counters and webhooks that wait are
//! not, as after a restart of anything. Loaded into an emulator whose clock stands earlier, the times of the rows hold the clock
//! of writes until it has caught up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::ids::Id;
use super::objects::Object;
use super::options::Options;
use super::row::Row;
use super::world::World;

/// Everything that lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub options: Options,
    rows: Vec<SavedRow>,
    /// Last id given out of each object, in the order of `Object::ALL`.
    serials: Vec<u64>,
    last_stamp: Timestamp,
    purged: BTreeMap<Id, Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedRow {
    id: Id,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cascade_of: Option<Id>,
    created: (Timestamp, Id),
    modified: (Timestamp, Id),
    stamp: Timestamp,
    cells: BTreeMap<String, Cell>,
}

impl World {
    /// What lasts of the org.
    #[must_use]
    pub fn save(&self) -> Saved {
        let rows = Object::ALL.into_iter().flat_map(|object| self.rows(object)).map(|row| SavedRow {
            id: row.id,
            deleted: row.deleted,
            cascade_of: row.cascade_of,
            created: row.created,
            modified: row.modified,
            stamp: row.stamp,
            cells: row.cells.iter().map(|(name, cell)| (name.to_string(), cell.clone())).collect(),
        });
        Saved {
            options: self.options.clone(),
            rows: rows.collect(),
            serials: self.serials.to_vec(),
            last_stamp: self.last_stamp,
            purged: self.purged.clone(),
        }
    }

    /// Becomes what was saved; nobody is told.
    ///
    /// # Errors
    /// When it holds an object that this emulator does not have.
    pub fn load(&mut self, saved: Saved) -> Result<(), String> {
        let serials = saved.serials.try_into().map_err(|_| "serials of another version of the emulator".to_owned())?;
        let rows = saved.rows.into_iter().map(|row| {
            let object = Object::of(row.id).ok_or_else(|| format!("{} is of no object of this org", row.id))?;
            let mut out = Row::new(row.id, object, row.stamp, row.created.1);
            (out.deleted, out.cascade_of) = (row.deleted, row.cascade_of);
            (out.created, out.modified) = (row.created, row.modified);
            row.cells.into_iter().for_each(|(name, cell)| out.set(name, cell));
            Ok::<_, String>(out)
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        self.set_options(saved.options);
        self.purged = saved.purged;
        self.restore(rows, serials, saved.last_stamp);
        Ok(())
    }
}
