//! A row, and under which keys it is found.
//!
//! Owns the stored values and the system fields. Values that follow from other rows (roll-ups, the mirror of a member's
//! person) are not stored: `world` reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::cell::Cell;
use super::ids::Id;
use super::objects::Object;

/// Where an index holds a row: object, column, value (ids in 15 characters, texts in lower case).
pub type Key = (Object, &'static str, String);

/// A stored record.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: Id,
    pub object: Object,
    /// In the recycle bin.
    pub deleted: bool,
    /// Deleted because this row was; comes back with it.
    pub cascade_of: Option<Id>,
    pub created: (Timestamp, Id),
    pub modified: (Timestamp, Id),
    pub stamp: Timestamp,
    pub(super) cells: BTreeMap<Arc<str>, Cell>,
}

impl Row {
    /// An empty row made by `user` at `time`.
    #[must_use]
    pub fn new(id: Id, object: Object, time: Timestamp, user: Id) -> Self {
        let (deleted, cascade_of) = (false, None);
        let (created, modified, stamp) = ((time, user), (time, user), time);
        Self { id, object, deleted, cascade_of, created, modified, stamp, cells: BTreeMap::new() }
    }

    /// A stored value by its API name; null when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &Cell {
        self.cells.get(name).unwrap_or(&Cell::Null)
    }

    /// A stored reference.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<Id> {
        self.get(name).as_id()
    }

    /// A stored text, empty for null.
    #[must_use]
    pub fn text_of(&self, name: &str) -> &str {
        self.get(name).as_text().unwrap_or_default()
    }

    /// Stores a value.
    pub fn set(&mut self, name: impl Into<Arc<str>>, cell: Cell) {
        self.cells.insert(name.into(), cell);
    }

    /// The system fields.
    #[must_use]
    pub fn system(&self, name: &str) -> Option<Cell> {
        Some(match name {
            "Id" => Cell::Id(self.id),
            "IsDeleted" => Cell::Bool(self.deleted),
            "CreatedDate" => Cell::Time(self.created.0),
            "CreatedById" => Cell::Id(self.created.1),
            "LastModifiedDate" => Cell::Time(self.modified.0),
            "LastModifiedById" => Cell::Id(self.modified.1),
            "SystemModstamp" => Cell::Time(self.stamp),
            _ => return None,
        })
    }

    /// Every key this row is found under; `external` is the name of the external-id field of leads.
    #[must_use]
    pub fn keys(&self, external: &str) -> Vec<Key> {
        let columns = INDEXED.iter().filter(|(object, _)| *object == self.object);
        let mut keys: Vec<Key> = columns.filter_map(|(o, c)| Some((*o, *c, key_value(self.get(c))?))).collect();
        if self.object == Object::Lead
            && let Some(value) = key_value(self.get(external))
        {
            keys.push((Object::Lead, EXTERNAL, value));
        }
        keys
    }
}

/// Name under which the external-id field is indexed, whatever it is called.
pub const EXTERNAL: &str = "external id";

const INDEXED: &[(Object, &str)] = &[
    (Object::CampaignMember, "CampaignId"),
    (Object::CampaignMember, "LeadId"),
    (Object::CampaignMember, "ContactId"),
    (Object::CampaignMember, "AccountId"),
    (Object::CampaignMemberStatus, "CampaignId"),
    (Object::Campaign, "ParentId"),
    (Object::Lead, "Email"),
    (Object::Lead, "ConvertedContactId"),
    (Object::Contact, "Email"),
    (Object::Contact, "AccountId"),
];

/// The indexed column of this name, if it is indexed.
#[must_use]
pub fn indexed(object: Object, column: &str) -> Option<&'static str> {
    INDEXED.iter().find(|(o, c)| *o == object && *c == column).map(|(_, c)| *c)
}

/// A value as an index keeps it; none for what no index keeps.
#[must_use]
pub fn key_value(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Id(id) => Some(id.short().to_owned()),
        Cell::Text(text) => Some(text.to_lowercase()),
        _ => None,
    }
}
