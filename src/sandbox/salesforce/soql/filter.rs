//! Conditions made ready for rows.
//!
//! Owns what a comparison means (text without case, null, booleans behind an empty lookup) and which rows need to be looked
//! at: a condition on an indexed column never scans the table.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::ids::Id;
use super::super::objects::{Kind, Object};
use super::super::row::{Row, indexed};
use super::super::world::World;
use super::parser::Operator;

/// A field, perhaps of a row at the other end of lookups.
#[derive(Clone, Debug)]
pub struct Column {
    /// Lookup fields on the way, each with the object it leads to.
    pub hops: Vec<(Arc<str>, Object)>,
    pub field: Arc<str>,
    pub kind: Kind,
}

impl Column {
    /// The value for a row; null behind an empty lookup.
    pub fn read(&self, world: &World, row: &Row) -> Cell {
        let mut row = row;
        for (hop, _) in &self.hops {
            let Some(next) = world.read(row, hop).as_id().and_then(|id| world.row(id)) else { return Cell::Null };
            row = next;
        }
        world.read(row, &self.field)
    }

    /// The value for a condition: a missing boolean counts as false.
    fn compared(&self, world: &World, row: &Row) -> Cell {
        match self.read(world, row) {
            Cell::Null if self.kind == Kind::Boolean => Cell::Bool(false),
            cell => cell,
        }
    }
}

/// A condition whose names and values are checked.
#[derive(Clone, Debug)]
pub enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare(Column, Operator, Cell),
    In { column: Column, negated: bool, values: Vec<Cell>, keys: HashSet<String> },
}

/// Above this many changed rows other indexes are tried first.
const FEW: usize = 1000;

impl Test {
    /// Whether a row meets it.
    pub fn holds(&self, world: &World, row: &Row) -> bool {
        match self {
            Self::And(tests) => tests.iter().all(|t| t.holds(world, row)),
            Self::Or(tests) => tests.iter().any(|t| t.holds(world, row)),
            Self::Not(test) => !test.holds(world, row),
            Self::Compare(column, operator, value) => compare(&column.compared(world, row), *operator, value),
            Self::In { column, negated, keys, .. } => keys.contains(&key(&column.compared(world, row))) != *negated,
        }
    }

    /// A superset of the rows that meet it, from an index; none when it needs the whole table.
    pub fn candidates(&self, world: &World, object: Object) -> Option<BTreeSet<Id>> {
        match self {
            Self::And(tests) => {
                let recent = tests.iter().find_map(|t| t.recent(world, object));
                recent.or_else(|| tests.iter().filter_map(|t| t.candidates(world, object)).min_by_key(BTreeSet::len))
            }
            Self::Or(tests) => {
                let sets: Option<Vec<_>> = tests.iter().map(|t| t.candidates(world, object)).collect();
                sets.map(|sets| sets.into_iter().flatten().collect())
            }
            Self::Compare(column, Operator::Equal, value) => lookup(world, object, &column.hops, &column.field, value),
            Self::In { column, negated: false, values, .. } => {
                let sets: Option<Vec<_>> =
                    values.iter().map(|v| lookup(world, object, &column.hops, &column.field, v)).collect();
                sets.map(|sets| sets.into_iter().flatten().collect())
            }
            _ => self.recent(world, object),
        }
    }

    fn recent(&self, world: &World, object: Object) -> Option<BTreeSet<Id>> {
        let Self::Compare(column, Operator::Greater | Operator::GreaterOrEqual, Cell::Time(since)) = self else {
            return None;
        };
        if !column.hops.is_empty() || &*column.field != "SystemModstamp" {
            return None;
        }
        let ids: BTreeSet<Id> = world.changed_since(object, *since).take(FEW).map(|r| r.id).collect();
        (ids.len() < FEW).then_some(ids)
    }
}

fn lookup(
    world: &World,
    object: Object,
    hops: &[(Arc<str>, Object)],
    field: &str,
    value: &Cell,
) -> Option<BTreeSet<Id>> {
    if let Some(((hop, target), rest)) = hops.split_first() {
        let column = indexed(object, hop)?;
        let parents = lookup(world, *target, rest, field, value)?;
        let rows = parents.into_iter().flat_map(|p| world.find(object, column, &Cell::Id(p)));
        return Some(rows.map(|r| r.id).collect());
    }
    match value {
        Cell::Null => None,
        Cell::Id(id) if field == "Id" => Some(BTreeSet::from([*id])),
        Cell::Text(text) if object == Object::Lead && field == world.options.person_external_id_field => {
            Some(world.by_external(text).map(|r| r.id).into_iter().collect())
        }
        _ => Some(world.find(object, indexed(object, field)?, value).map(|r| r.id).collect()),
    }
}

/// A value as a member of a set.
pub fn key(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.to_lowercase(),
        Cell::Number(n) => n.to_string(),
        Cell::Int(n) => n.to_string(),
        Cell::Id(id) => id.short().to_owned(),
        cell => format!("{cell:?}"),
    }
}

/// Order of two values of one field; nulls first, texts without case.
pub fn order(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) => Ordering::Less,
        (_, Cell::Null) => Ordering::Greater,
        (Cell::Text(a), Cell::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Cell::Bool(a), Cell::Bool(b)) => a.cmp(b),
        (Cell::Id(a), Cell::Id(b)) => a.cmp(b),
        (Cell::Date(a), Cell::Date(b)) => a.cmp(b),
        (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (a, b) => number(a).total_cmp(&number(b)),
    }
}

/// Order of two keys of `ORDER BY`.
pub fn ranked(a: &Cell, b: &Cell, descending: bool, nulls_last: bool) -> Ordering {
    match (a, b) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) | (_, Cell::Null) if nulls_last => order(a, b).reverse(),
        (Cell::Null, _) | (_, Cell::Null) => order(a, b),
        _ if descending => order(b, a),
        _ => order(a, b),
    }
}

/// A number as it is counted with; not a number for anything else.
pub fn number(cell: &Cell) -> f64 {
    match cell {
        #[expect(clippy::cast_precision_loss, reason = "counts and sort orders are small")]
        Cell::Int(n) => *n as f64,
        Cell::Number(n) => *n,
        _ => f64::NAN,
    }
}

fn compare(cell: &Cell, operator: Operator, value: &Cell) -> bool {
    if operator == Operator::Like {
        return matches!((cell, value), (Cell::Text(a), Cell::Text(b)) if like(a, b));
    }
    let ordering = order(cell, value);
    match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::Unequal => ordering.is_ne(),
        // Nothing is less or greater than null.
        _ if matches!((cell, value), (Cell::Null, _) | (_, Cell::Null)) => false,
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        _ => ordering.is_ge(),
    }
}

/// `%` any text, `_` any character, a backslash before them the character itself; case does not matter.
fn like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match (pattern, text) {
            ([], rest) => rest.is_empty(),
            (['%', pattern @ ..], _) => (0..=text.len()).any(|n| matches(&text[n..], pattern)),
            (['\\', c, pattern @ ..], [t, text @ ..]) => c == t && matches(text, pattern),
            (['_', pattern @ ..], [_, text @ ..]) => matches(text, pattern),
            ([c, pattern @ ..], [t, text @ ..]) => c == t && matches(text, pattern),
            _ => false,
        }
    }
    let chars = |s: &str| s.to_lowercase().chars().collect::<Vec<_>>();
    matches(&chars(text), &chars(pattern))
}
