//! `GROUP BY` and `COUNT(Field)`: rows put together by the values of fields.
//!
//! Owns what may stand beside an aggregate, and the form of `AggregateResult`. Must not know how names become columns.
//!
//! Source: Salesforce, "GROUP BY", "COUNT()", "AggregateResult". UNVERIFIED: whether texts are put together without regard to
//! case, which they are not here; the code when the groups do not fit one answer.

use serde_json::{Map, Value, json};

use super::super::cell::Cell;
use super::super::error::Fault;
use super::super::row::Row;
use super::super::world::World;
use super::fault_at;
use super::filter::Column;
use super::parser::{Item, Path, Query};

/// Groups that fit one answer; a result of aggregates has no further pages.
const MOST: usize = 2000;

#[derive(Clone, Debug)]
enum Output {
    /// Place among the keys.
    Key(usize),
    /// Name in the answer, and what has to be there to count.
    Count(String, Column),
}

/// By what rows are put together, and what is told of each group.
#[derive(Clone, Debug)]
pub struct Groups {
    keys: Vec<Column>,
    outputs: Vec<Output>,
}

impl Groups {
    /// None for a query without aggregates.
    pub fn new(query: &Query, column: impl Fn(&Path) -> Result<Column, Fault>) -> Result<Option<Self>, Fault> {
        if query.group.is_empty() && !query.items.iter().any(|item| matches!(item, Item::CountOf { .. })) {
            return Ok(None);
        }
        let refused = |at, message: &str| Err(fault_at(&query.text, at, "MALFORMED_QUERY", message));
        if let Some(order) = query.order.first() {
            return refused(order.path.at, "unexpected token: 'ORDER'");
        }
        let keys = query.group.iter().map(&column).collect::<Result<Vec<_>, Fault>>()?;
        let (mut outputs, mut unnamed) = (Vec::new(), 0..);
        for item in &query.items {
            outputs.push(match item {
                Item::Field(path) => {
                    let field = column(path)?;
                    let same = |key: &Column| key.field == field.field && key.hops == field.hops;
                    match keys.iter().position(same) {
                        Some(place) => Output::Key(place),
                        None => {
                            let name = path.parts.join(".");
                            return refused(path.at, &format!("Field must be grouped or aggregated: {name}"));
                        }
                    }
                }
                Item::CountOf { path, alias } => {
                    let name = alias.clone().or_else(|| unnamed.next().map(|n: usize| format!("expr{n}")));
                    Output::Count(name.unwrap_or_default(), column(path)?)
                }
                Item::Fields { at, .. } => return refused(*at, "unexpected token: 'FIELDS'"),
                Item::Count => return refused(query.from.at, "unexpected token: 'COUNT'"),
                Item::Children(inner) => {
                    return refused(inner.from.at, "Nesting of semi join sub-selects is not supported");
                }
            });
        }
        Ok(Some(Self { keys, outputs }))
    }

    /// The groups of these rows as records, in the order of their first rows; one of nothing where there are no keys.
    pub fn records<'w>(&self, world: &World, rows: impl Iterator<Item = &'w Row>) -> Result<Vec<Value>, Fault> {
        let mut groups: Vec<(Vec<Cell>, Vec<u64>)> = Vec::new();
        if self.keys.is_empty() {
            groups.push((Vec::new(), vec![0; self.outputs.len()]));
        }
        for row in rows {
            let key: Vec<Cell> = self.keys.iter().map(|column| column.read(world, row)).collect();
            let place = groups.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                groups.push((key, vec![0; self.outputs.len()]));
                groups.len() - 1
            });
            for (output, count) in self.outputs.iter().zip(&mut groups[place].1) {
                if let Output::Count(_, column) = output {
                    *count += u64::from(column.read(world, row) != Cell::Null);
                }
            }
        }
        if groups.len() > MOST {
            let message =
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch";
            return Err(Fault::new("EXCEEDED_ID_LIMIT", message));
        }
        Ok(groups.iter().map(|(key, counts)| self.record(key, counts)).collect())
    }

    fn record(&self, key: &[Cell], counts: &[u64]) -> Value {
        let mut out = Map::new();
        out.insert("attributes".into(), json!({"type": "AggregateResult"}));
        for (output, count) in self.outputs.iter().zip(counts) {
            match output {
                Output::Key(place) => out.insert(self.keys[*place].field.to_string(), key[*place].to_json()),
                Output::Count(name, _) => out.insert(name.clone(), (*count).into()),
            };
        }
        Value::Object(out)
    }
}
