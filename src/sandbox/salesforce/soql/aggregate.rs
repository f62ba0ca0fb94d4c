//! `GROUP BY` and aggregates such as `COUNT(Field)`: rows put together by the values of fields.
//!
//! Owns what may stand beside an aggregate, the order of groups, and the form of `AggregateResult`. Must not know how names become
//! columns.
//!
//! Source: Salesforce, "GROUP BY", "COUNT()", "Aggregate Functions", "AggregateResult". UNVERIFIED: whether texts are put together
//! without regard to case, which they are not here; the code when the groups do not fit one answer.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::super::cell::Cell;
use super::super::error::Fault;
use super::super::objects::Kind;
use super::super::row::Row;
use super::super::world::World;
use super::fault_at;
use super::filter::{self, Column, number, ranked};
use super::parser::{Function, Item, Path, Query};

/// Groups that fit one answer; a result of aggregates has no further pages.
const MOST: usize = 2000;

/// Where a value of a group comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// Place among the keys.
    Key(usize),
    /// Place among the aggregates.
    Aggregate(usize),
}

/// By what rows are put together, and what is told of each group.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    keys: Vec<Column>,
    aggregates: Vec<(Function, Column)>,
    /// Names in the answer.
    outputs: Vec<(String, Source)>,
    /// Whether it descends, and whether nulls are last.
    order: Vec<(Source, bool, bool)>,
    limit: Option<usize>,
    offset: usize,
}

/// One group.
struct Group {
    keys: Vec<Cell>,
    tallies: Vec<Tally>,
}

impl Groups {
    /// None for a query without aggregates.
    pub fn new(query: &Query, column: impl Fn(&Path) -> Result<Column, Fault>) -> Result<Option<Self>, Fault> {
        if query.group.is_empty() && !query.items.iter().any(|item| matches!(item, Item::Aggregate { .. })) {
            return Ok(None);
        }
        let refused = |at, message: &str| Err(fault_at(&query.text, at, "MALFORMED_QUERY", message));
        let keys = query.group.iter().map(&column).collect::<Result<Vec<_>, Fault>>()?;
        let mut groups = Self { keys, limit: query.limit, offset: query.offset, ..Self::default() };
        let mut unnamed = 0;
        for item in &query.items {
            let output = match item {
                Item::Field(path) => {
                    let field = column(path)?;
                    let Some(place) = groups.key(&field) else {
                        let name = path.parts.join(".");
                        return refused(path.at, &format!("Field must be grouped or aggregated: {name}"));
                    };
                    (field.field.to_string(), Source::Key(place))
                }
                Item::Aggregate { function, path, alias } => {
                    let source = groups.aggregate(query, *function, path, column(path)?)?;
                    let name = alias.clone().unwrap_or_else(|| {
                        unnamed += 1;
                        format!("expr{}", unnamed - 1)
                    });
                    (name, source)
                }
                Item::Fields { at, .. } => return refused(*at, "unexpected token: 'FIELDS'"),
                Item::Count => return refused(query.from.at, "unexpected token: 'COUNT'"),
                Item::Children(inner) => {
                    return refused(inner.from.at, "Nesting of semi join sub-selects is not supported");
                }
            };
            groups.outputs.push(output);
        }
        for order in &query.order {
            let field = column(&order.path)?;
            let source = match (order.function, groups.key(&field)) {
                (Some(function), _) => groups.aggregate(query, function, &order.path, field)?,
                (None, Some(place)) => Source::Key(place),
                (None, None) => {
                    let name = order.path.parts.join(".");
                    return refused(order.path.at, &format!("Ordered field must be grouped or aggregated: {name}"));
                }
            };
            groups.order.push((source, order.descending, order.nulls_last));
        }
        Ok(Some(groups))
    }

    fn key(&self, field: &Column) -> Option<usize> {
        self.keys.iter().position(|key| key.field == field.field && key.hops == field.hops)
    }

    /// One more aggregate, if values of the field can be put together so.
    fn aggregate(&mut self, query: &Query, function: Function, path: &Path, column: Column) -> Result<Source, Fault> {
        let fits = match function {
            Function::Count | Function::CountDistinct => true,
            Function::Min | Function::Max => !matches!(column.kind, Kind::Boolean | Kind::Id | Kind::Reference(_)),
            Function::Sum | Function::Avg => matches!(column.kind, Kind::Int | Kind::Number(_)),
        };
        if !fits {
            let (name, function) = (path.parts.join("."), function.name());
            let message = format!("field {name} does not support aggregate operator {function}");
            return Err(fault_at(&query.text, path.at, "MALFORMED_QUERY", &message));
        }
        self.aggregates.push((function, column));
        Ok(Source::Aggregate(self.aggregates.len() - 1))
    }

    /// The groups of these rows as records, in the order of the query or of their first rows; one of nothing where there are no keys.
    pub fn records<'w>(&self, world: &World, rows: impl Iterator<Item = &'w Row>) -> Result<Vec<Value>, Fault> {
        let (mut groups, mut places): (Vec<Group>, HashMap<String, usize>) = Default::default();
        let begun = |keys| Group { keys, tallies: vec![Tally::default(); self.aggregates.len()] };
        if self.keys.is_empty() {
            groups.push(begun(Vec::new()));
            places.insert(format!("{:?}", groups[0].keys), 0);
        }
        for row in rows {
            let keys: Vec<Cell> = self.keys.iter().map(|column| column.read(world, row)).collect();
            let place = *places.entry(format!("{keys:?}")).or_insert_with(|| {
                groups.push(begun(keys));
                groups.len() - 1
            });
            for ((function, column), tally) in self.aggregates.iter().zip(&mut groups[place].tallies) {
                tally.add(*function, column.read(world, row));
            }
        }
        groups.sort_by(|a, b| {
            let ranks = self.order.iter().map(|(source, descending, nulls_last)| {
                ranked(&self.value(a, *source), &self.value(b, *source), *descending, *nulls_last)
            });
            ranks.into_iter().find(|rank| rank.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        let shown: Vec<Value> = groups
            .iter()
            .skip(self.offset)
            .take(self.limit.unwrap_or(usize::MAX))
            .map(|group| self.record(group))
            .collect();
        if shown.len() > MOST {
            let message =
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch";
            return Err(Fault::new("EXCEEDED_ID_LIMIT", message));
        }
        Ok(shown)
    }

    fn value(&self, group: &Group, source: Source) -> Cell {
        match source {
            Source::Key(place) => group.keys[place].clone(),
            Source::Aggregate(place) => group.tallies[place].value(self.aggregates[place].0),
        }
    }

    fn record(&self, group: &Group) -> Value {
        let mut out = Map::new();
        out.insert("attributes".into(), json!({"type": "AggregateResult"}));
        for (name, source) in &self.outputs {
            out.insert(name.clone(), self.value(group, *source).to_json());
        }
        Value::Object(out)
    }
}

/// What an aggregate has seen so far; nulls are not seen.
#[derive(Clone, Debug, Default)]
struct Tally {
    count: i64,
    sum: f64,
    /// The least or the most.
    extreme: Option<Cell>,
    distinct: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, function: Function, cell: Cell) {
        if cell == Cell::Null {
            return;
        }
        self.count += 1;
        let wins = |extreme: &Option<Cell>, wanted: std::cmp::Ordering| {
            extreme.as_ref().is_none_or(|extreme| filter::order(&cell, extreme) == wanted)
        };
        match function {
            Function::Count => {}
            Function::CountDistinct => _ = self.distinct.insert(filter::key(&cell)),
            Function::Sum | Function::Avg => self.sum += number(&cell),
            Function::Min if wins(&self.extreme, std::cmp::Ordering::Less) => self.extreme = Some(cell),
            Function::Max if wins(&self.extreme, std::cmp::Ordering::Greater) => self.extreme = Some(cell),
            Function::Min | Function::Max => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of rows are small")]
    fn value(&self, function: Function) -> Cell {
        match function {
            Function::Count => Cell::Int(self.count),
            Function::CountDistinct => Cell::Int(i64::try_from(self.distinct.len()).unwrap_or(i64::MAX)),
            Function::Min | Function::Max => self.extreme.clone().unwrap_or(Cell::Null),
            Function::Sum | Function::Avg if self.count == 0 => Cell::Null,
            Function::Sum => Cell::Number(self.sum),
            Function::Avg => Cell::Number(self.sum / self.count as f64),
        }
    }
}
