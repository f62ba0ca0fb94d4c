//! The rows of the org, their indexes, and the transaction that changes them.
//!
//! Owns storage: every write goes through `put`, which keeps the indexes and roll-ups and remembers the row as it was, so a
//! refused transaction leaves nothing behind. Knows no rule of what may be written; those are in `rules` and its kin.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::Now;
use super::cell::Cell;
use super::counters::Counters;
use super::cursors::Cursors;
use super::ids::Id;
use super::objects::{Object, Schema};
use super::options::Options;
use super::row::{EXTERNAL, Key, Row, key_value};

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user: Id,
    /// Through the REST API, as the integration user.
    pub api: bool,
    /// Number of the call: writes of one call do not lock one another out.
    pub call: u64,
    /// The call says that duplicates may be saved.
    pub allow_save: bool,
}

/// A change that triggers and workflows see. Cascades, merges and mass changes are none.
#[derive(Clone, Debug)]
pub struct Change {
    pub operation: &'static str,
    pub row: Row,
    pub before: Option<Row>,
    pub actor: Actor,
}

/// Everything in the org.
pub struct World {
    pub options: Options,
    pub counters: Counters,
    /// Where the org is reached, without a slash at the end.
    pub base_url: String,
    pub(super) cursors: Cursors,
    pub(super) changes: Vec<Change>,
    /// Campaigns whose members a call has just written, and which.
    pub(super) holds: HashMap<Id, u64>,
    /// Rows that so many more writes of the API user do not get.
    pub locks: BTreeMap<Id, u32>,
    pub(super) purged: BTreeMap<Id, Timestamp>,
    /// The integration user.
    pub api_user: Id,
    /// A person at work in the org.
    pub person: Id,
    pub organization: Id,
    /// When the org was made: nothing is older.
    pub founded: Timestamp,
    full: Arc<Schema>,
    restricted: Arc<Schema>,
    tables: [BTreeMap<Id, Row>; Object::ALL.len()],
    index: HashMap<Key, BTreeSet<Id>>,
    stamps: [BTreeSet<(Timestamp, Id)>; Object::ALL.len()],
    tallies: HashMap<Id, [i64; 4]>,
    undo: Vec<(Id, Option<Row>)>,
    pub(super) serials: [u64; Object::ALL.len()],
    pub(super) last_stamp: Timestamp,
    /// Rows that were looked at so far, for tests of how much work a call is.
    examined: AtomicU64,
    now: Now,
}

/// A point to which a transaction can go back.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint(usize, usize);

impl World {
    /// An org with its users and nothing else.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Self {
        let founded = now();
        let organization = Id::parse(&options.organization_id).unwrap_or(Id::new("00D", 1));
        let (api_user, person) = (Id::new("005", 1), Id::new("005", 2));
        let mut world = Self {
            full: Arc::new(Schema::full(&options)),
            restricted: Arc::new(Schema::of_api_user(&options)),
            counters: Counters::new(founded),
            base_url: "https://acme.my.salesforce.com".into(),
            cursors: Cursors::default(),
            changes: Vec::new(),
            holds: HashMap::new(),
            locks: BTreeMap::new(),
            purged: BTreeMap::new(),
            api_user,
            person,
            organization,
            founded,
            tables: Default::default(),
            index: HashMap::new(),
            stamps: Default::default(),
            tallies: HashMap::new(),
            undo: Vec::new(),
            serials: [options.seed.wrapping_mul(7919) % 1_000_000; Object::ALL.len()],
            last_stamp: Timestamp::MIN,
            examined: AtomicU64::new(0),
            options,
            now,
        };
        world.found();
        world
    }

    fn found(&mut self) {
        let time = self.stamp();
        let username = self.options.api_user_name.clone();
        for (id, username, last) in
            [(self.api_user, username.as_str(), "Integration"), (self.person, "sam@acme.example", "Sales")]
        {
            let mut user = Row::new(id, Object::User, time, self.api_user);
            for (name, text) in [("Username", username), ("LastName", last), ("Email", username)] {
                user.set(name, Cell::text(text));
            }
            user.set("IsActive", Cell::Bool(true));
            self.put(user);
        }
        let mut org = Row::new(self.organization, Object::Organization, time, self.api_user);
        for (name, text) in [
            ("Name", "Acme"),
            ("OrganizationType", "Developer Edition"),
            ("InstanceName", "EMU1"),
            ("NamespacePrefix", ""),
        ] {
            org.set(name, Cell::text(text));
        }
        org.set("IsSandbox", Cell::Bool(false));
        self.put(org);
        // Fresh orgs have both.
        for (n, object) in [(1, "Lead"), (2, "Contact")] {
            let mut rule = Row::new(Id::new("0Bm", n), Object::DuplicateRule, time, self.api_user);
            let name = format!("Standard_{object}_Duplicate_Rule");
            for (name, text) in
                [("DeveloperName", name.as_str()), ("MasterLabel", &name.replace('_', " ")), ("SobjectType", object)]
            {
                rule.set(name, Cell::text(text));
            }
            self.put(rule);
        }
        self.undo.clear();
    }

    /// Changes how the org behaves.
    pub fn set_options(&mut self, options: Options) {
        self.full = Arc::new(Schema::full(&options));
        self.restricted = Arc::new(Schema::of_api_user(&options));
        self.options = options;
    }

    /// The emulator's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The time of a write: whole seconds, never going back.
    pub fn stamp(&mut self) -> Timestamp {
        let now = Timestamp::from_second(self.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
        self.last_stamp = self.last_stamp.max(now);
        self.last_stamp
    }

    /// The date of a write, in UTC.
    pub fn today(&mut self) -> jiff::civil::Date {
        jiff::tz::TimeZone::UTC.to_datetime(self.stamp()).date()
    }

    /// The schema as this actor sees it.
    #[must_use]
    pub fn schema(&self, api: bool) -> Arc<Schema> {
        if api { self.restricted.clone() } else { self.full.clone() }
    }

    /// The actor that a person is.
    #[must_use]
    pub fn as_person(&self) -> Actor {
        Actor { user: self.person, api: false, call: 0, allow_save: true }
    }

    /// An unused id.
    pub fn next_id(&mut self, object: Object) -> Id {
        self.serials[object as usize] += 1;
        Id::new(object.prefix(), self.serials[object as usize])
    }

    /// A row by its id, also from the recycle bin.
    #[must_use]
    pub fn row(&self, id: Id) -> Option<&Row> {
        self.tables[Object::of(id)? as usize].get(&id)
    }

    /// A row that is not deleted.
    #[must_use]
    pub fn live(&self, id: Id) -> Option<&Row> {
        self.row(id).filter(|r| !r.deleted)
    }

    /// All rows of an object in the order of their ids, deleted ones too.
    pub fn rows(&self, object: Object) -> impl Iterator<Item = &Row> {
        self.tables[object as usize].values().inspect(|_| self.look())
    }

    /// Rows with this value in an indexed column, deleted ones too.
    pub fn find(&self, object: Object, column: &'static str, value: &Cell) -> impl Iterator<Item = &Row> + use<'_> {
        let ids = key_value(value).and_then(|value| self.index.get(&(object, column, value)));
        ids.into_iter().flatten().filter_map(|id| self.row(*id)).inspect(|_| self.look())
    }

    /// Rows of an object changed since, in the order of change.
    pub fn changed_since(&self, object: Object, since: Timestamp) -> impl Iterator<Item = &Row> {
        let from = (since, Id::new("000", 0));
        self.stamps[object as usize].range(from..).filter_map(|(_, id)| self.row(*id)).inspect(|_| self.look())
    }

    fn look(&self) {
        self.examined.fetch_add(1, Ordering::Relaxed);
    }

    /// How many rows have been looked at so far.
    #[must_use]
    pub fn examined(&self) -> u64 {
        self.examined.load(Ordering::Relaxed)
    }

    /// The lead with this external id.
    #[must_use]
    pub fn by_external(&self, value: &str) -> Option<&Row> {
        self.find(Object::Lead, EXTERNAL, &Cell::text(value)).find(|r| !r.deleted)
    }

    /// Writes a row as it is given.
    pub fn put(&mut self, row: Row) {
        let before = self.replace(row.id, Some(row.clone()));
        self.undo.push((row.id, before));
    }

    /// Puts a row with the audit fields of a change by `user`.
    pub fn touch(&mut self, mut row: Row, user: Id) -> Row {
        let time = self.stamp();
        (row.modified, row.stamp) = ((time, user), time);
        self.put(row.clone());
        row
    }

    /// Removes a row for good.
    pub fn expunge(&mut self, id: Id) {
        if let Some(row) = self.replace(id, None) {
            self.purged.insert(id, row.stamp);
        }
    }

    fn replace(&mut self, id: Id, row: Option<Row>) -> Option<Row> {
        let object = Object::of(id)?;
        let table = &mut self.tables[object as usize];
        let after = row.clone();
        let before = match row {
            Some(row) => table.insert(id, row),
            None => table.remove(&id),
        };
        let external = &self.options.person_external_id_field;
        if let Some(row) = &before {
            for key in row.keys(external) {
                self.index.entry(key).and_modify(|ids| _ = ids.remove(&id));
            }
            self.stamps[object as usize].remove(&(row.stamp, id));
            tally(&mut self.tallies, row, -1);
        }
        if let Some(row) = &after {
            for key in row.keys(external) {
                self.index.entry(key).or_default().insert(id);
            }
            self.stamps[object as usize].insert((row.stamp, id));
            tally(&mut self.tallies, row, 1);
        }
        before
    }

    /// Puts these rows in the place of all others.
    pub(super) fn restore(&mut self, rows: Vec<Row>, serials: [u64; Object::ALL.len()], last_stamp: Timestamp) {
        (self.tables, self.stamps) = Default::default();
        self.index.clear();
        self.tallies.clear();
        (self.serials, self.last_stamp) = (serials, last_stamp);
        for row in rows {
            self.replace(row.id, Some(row));
        }
    }

    /// Where the transaction stands.
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.undo.len(), self.changes.len())
    }

    /// Takes back everything since.
    pub fn roll_back(&mut self, to: Savepoint) {
        while self.undo.len() > to.0 {
            if let Some((id, before)) = self.undo.pop() {
                self.replace(id, before);
            }
        }
        self.changes.truncate(to.1);
    }

    /// Runs `work` so that a failure leaves nothing behind.
    pub fn atomically<T, E>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let start = self.savepoint();
        work(self).inspect_err(|_| self.roll_back(start))
    }

    /// Ends the transaction and hands out what triggers see of it.
    pub fn commit(&mut self) -> Vec<Change> {
        self.undo.clear();
        std::mem::take(&mut self.changes)
    }

    /// The roll-ups of a campaign: unconverted leads, converted leads, contacts, responses.
    #[must_use]
    pub fn tally(&self, campaign: Id) -> [i64; 4] {
        self.tallies.get(&campaign).copied().unwrap_or_default()
    }

    /// How many rows of an object are not deleted.
    #[must_use]
    pub fn count(&self, object: Object) -> usize {
        self.rows(object).filter(|r| !r.deleted).count()
    }
}

fn tally(tallies: &mut HashMap<Id, [i64; 4]>, row: &Row, sign: i64) {
    let (Object::CampaignMember, false, Some(campaign)) = (row.object, row.deleted, row.id_of("CampaignId")) else {
        return;
    };
    let (lead, contact) = (row.id_of("LeadId").is_some(), row.id_of("ContactId").is_some());
    // Responses are those of people.
    let responded = row.get("HasResponded").is_true() && (lead || contact);
    let counts = [lead && !contact, lead && contact, contact, responded];
    let tally = tallies.entry(campaign).or_default();
    tally.iter_mut().zip(counts).for_each(|(sum, counts)| *sum += sign * i64::from(counts));
}
