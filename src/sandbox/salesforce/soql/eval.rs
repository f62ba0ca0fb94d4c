//! A query made ready for the rows of an org, run, and written as records.
//!
//! Owns the meaning of names: fields, parents, child relationships, and the errors when there is no such thing or when a value
//! does not fit its field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::cell::Cell;
use super::super::error::Fault;
use super::super::ids::Id;
use super::super::objects::{Kind, Object, Schema};
use super::super::row::Row;
use super::super::world::World;
use super::aggregate::Groups;
use super::fault_at;
use super::filter::{Column, Test, key, ranked};
use super::lexer::Token;
use super::parser::{Condition, Item, Literal, Operator, Order, Path, Query, Set};

/// Rows of a query for all fields.
const MOST_OF_ALL_FIELDS: usize = 200;

#[derive(Clone, Debug)]
enum Output {
    /// Names of the parents on the way, and the field.
    Field(Vec<String>, Column),
    /// Name of the relationship, field of the child, query of the children.
    Children(&'static str, &'static str, Box<Plan>),
}

/// A query whose names and values are checked.
#[derive(Clone, Debug)]
pub struct Plan {
    pub object: Object,
    pub counts: bool,
    pub groups: Option<Groups>,
    outputs: Vec<Output>,
    test: Option<Test>,
    order: Vec<(Column, bool, bool)>,
    limit: usize,
    offset: usize,
    /// Rows of the recycle bin too (`queryAll`).
    all: bool,
}

impl Plan {
    /// Checks a query against the schema; semi-joins are run.
    pub fn new(world: &World, schema: &Schema, query: &Query, all: bool) -> Result<Self, Fault> {
        let name = query.from.parts.join(".");
        let Some(table) = schema.named(&name) else {
            let message = format!(
                "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append \
                 the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
            );
            return Err(fault_at(&query.text, query.from.at, "INVALID_TYPE", &message));
        };
        Self::of(world, schema, query, table.object, all)
    }

    fn of(world: &World, schema: &Schema, query: &Query, object: Object, all: bool) -> Result<Self, Fault> {
        let scope = Scope { world, schema, object, text: &query.text, all };
        let query = &scope.spelled_out(query)?;
        let counts = query.items.contains(&Item::Count);
        if counts && query.items.len() > 1 {
            return Err(fault_at(&query.text, query.from.at, "MALFORMED_QUERY", "unexpected token: 'COUNT'"));
        }
        let groups = Groups::new(query, |path| scope.filtered(path))?;
        let shown = query.items.iter().filter(|i| **i != Item::Count && groups.is_none());
        let outputs = shown.map(|i| scope.output(i)).collect::<Result<Vec<_>, Fault>>()?;
        for (n, item) in query.items.iter().enumerate() {
            let Item::Field(path) = item else { continue };
            let same =
                |i: &Item| matches!(i, Item::Field(p) if p.parts.join(".").eq_ignore_ascii_case(&path.parts.join(".")));
            if query.items[..n].iter().any(same) {
                let message = format!("duplicate field selected: {}", path.parts.join("."));
                return Err(fault_at(&query.text, path.at, "INVALID_FIELD", &message));
            }
        }
        let test = query.condition.as_ref().map(|c| scope.test(c)).transpose()?;
        // Groups are ordered and cut as groups.
        let rows = groups.is_none();
        let order = query.order.iter().filter(|_| rows).map(|order| scope.ordered(order));
        let order = order.collect::<Result<Vec<_>, Fault>>()?;
        let (limit, offset) = if rows { (query.limit.unwrap_or(usize::MAX), query.offset) } else { (usize::MAX, 0) };
        Ok(Self { object, counts, groups, outputs, test, order, limit, offset, all })
    }

    /// The rows it finds, in order.
    pub fn run(&self, world: &World) -> Vec<Id> {
        match self.candidates(world) {
            Some(ids) => self.select(world, ids.iter().filter_map(|id| world.row(*id))),
            None => self.select(world, world.rows(self.object)),
        }
    }

    /// The rows that need to be looked at, when an index tells.
    pub fn candidates(&self, world: &World) -> Option<BTreeSet<Id>> {
        self.test.as_ref()?.candidates(world, self.object)
    }

    fn select<'w>(&self, world: &'w World, rows: impl Iterator<Item = &'w Row>) -> Vec<Id> {
        let found = rows.filter(|r| {
            r.object == self.object && (self.all || !r.deleted) && self.test.as_ref().is_none_or(|t| t.holds(world, r))
        });
        let mut keyed: Vec<(Vec<Cell>, Id)> =
            found.map(|r| (self.order.iter().map(|(c, ..)| c.read(world, r)).collect(), r.id)).collect();
        if !self.order.is_empty() {
            keyed.sort_by(|(a, _), (b, _)| {
                let keys = a.iter().zip(b).zip(&self.order);
                keys.map(|((a, b), (_, descending, nulls_last))| ranked(a, b, *descending, *nulls_last))
                    .find(|o| o.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        keyed.into_iter().skip(self.offset).take(self.limit).map(|(_, id)| id).collect()
    }
}

/// `attributes` of a record.
fn attributes(row: &Row, version: &str) -> Value {
    let name = row.object.name();
    json!({"type": name, "url": format!("/services/data/v{version}/sobjects/{name}/{}", row.id)})
}

/// A row as a record of the result: keys in the order of the select list, parents nested.
pub fn render(world: &World, plan: &Plan, row: &Row, version: &str) -> Value {
    let mut out = Map::new();
    out.insert("attributes".into(), attributes(row, version));
    for output in &plan.outputs {
        match output {
            Output::Field(names, column) => nest(world, row, names, column, &mut out, version),
            Output::Children(name, field, plan) => {
                let children = world.find(plan.object, field, &Cell::Id(row.id));
                let ids = plan.select(world, children);
                let rows = ids.iter().filter_map(|id| world.row(*id));
                let records: Vec<Value> = rows.map(|r| render(world, plan, r, version)).collect();
                let result = json!({"totalSize": records.len(), "done": true, "records": records});
                out.insert((*name).into(), if records.is_empty() { Value::Null } else { result });
            }
        }
    }
    Value::Object(out)
}

fn nest(world: &World, row: &Row, names: &[String], column: &Column, out: &mut Map<String, Value>, version: &str) {
    let Some((name, rest)) = names.split_first() else {
        out.insert(column.field.to_string(), world.read(row, &column.field).to_json());
        return;
    };
    let hop = &column.hops[column.hops.len() - names.len()].0;
    let parent = world.read(row, hop).as_id().and_then(|id| world.row(id));
    let entry = out.entry(name.clone()).or_insert(Value::Null);
    let Some(parent) = parent else { return };
    if entry.is_null() {
        *entry = json!({"attributes": attributes(parent, version)});
    }
    if let Value::Object(entry) = entry {
        nest(world, parent, rest, column, entry, version);
    }
}

struct Scope<'a> {
    world: &'a World,
    schema: &'a Schema,
    object: Object,
    text: &'a str,
    all: bool,
}

impl Scope<'_> {
    /// The query with the names of the fields in place of `FIELDS()`, which wants a limit unless it is for the standard ones.
    fn spelled_out(&self, query: &Query) -> Result<Query, Fault> {
        let mut items = Vec::new();
        for item in &query.items {
            let Item::Fields { custom, at } = item else {
                items.push(item.clone());
                continue;
            };
            if *custom != Some(false) && query.limit.is_none_or(|limit| limit > MOST_OF_ALL_FIELDS) {
                let message = "The SOQL FIELDS function must have a LIMIT of at most 200";
                return Err(fault_at(self.text, *at, "MALFORMED_QUERY", message));
            }
            let fields = self.schema.table(self.object).map(|table| table.fields.iter()).into_iter().flatten();
            let wanted = fields.filter(|f| !f.hidden && custom.is_none_or(|custom| f.name.ends_with("__c") == custom));
            items.extend(wanted.map(|f| Item::Field(Path { parts: vec![f.name.to_string()], at: *at })));
        }
        Ok(Query { items, ..query.clone() })
    }

    fn output(&self, item: &Item) -> Result<Output, Fault> {
        match item {
            Item::Children(query) => {
                let name = query.from.parts.join(".");
                let child = self.object.children().iter().find(|(n, ..)| n.eq_ignore_ascii_case(&name));
                let Some((name, child, field, _)) = child.filter(|c| self.schema.table(c.1).is_some()) else {
                    let message = format!("Didn't understand relationship '{name}' in FROM part of query call.");
                    return Err(fault_at(self.text, query.from.at, "INVALID_TYPE", &message));
                };
                let plan = Plan::of(self.world, self.schema, query, *child, self.all)?;
                if plan.groups.is_some() {
                    return Err(fault_at(self.text, query.from.at, "MALFORMED_QUERY", "unexpected token: 'GROUP'"));
                }
                Ok(Output::Children(name, field, Box::new(plan)))
            }
            Item::Field(path) => self.column(path).map(|(names, column)| Output::Field(names, column)),
            Item::Count | Item::Aggregate { .. } | Item::Fields { .. } => {
                Err(fault_at(self.text, 0, "MALFORMED_QUERY", "unexpected token: 'COUNT'"))
            }
        }
    }

    /// The field at the end of a path, and the proper names of the relationships on the way.
    fn column(&self, path: &Path) -> Result<(Vec<String>, Column), Fault> {
        let (mut object, mut names, mut hops) = (self.object, Vec::new(), Vec::new());
        let (last, parents) = path.parts.split_last().map_or(("", &[][..]), |(l, p)| (l.as_str(), p));
        for (n, part) in parents.iter().enumerate() {
            if n == 0
                && parents.len() == 1
                && part.eq_ignore_ascii_case(object.name())
                && self.relation(object, part).is_none()
            {
                continue;
            }
            let Some((field, relationship, target)) = self.relation(object, part) else {
                let message = format!(
                    "Didn't understand relationship '{part}' in field path. If you are attempting to use a custom \
                     relationship, be sure to append the '__r' after the custom relationship name. Please reference your \
                     WSDL or the describe call for the appropriate names."
                );
                return Err(fault_at(self.text, path.at, "INVALID_FIELD", &message));
            };
            names.push(relationship);
            hops.push((field, target));
            object = target;
        }
        let field = self.schema.table(object).and_then(|t| t.field(last)).filter(|f| !f.hidden);
        let Some(field) = field else {
            let message = format!(
                "No such column '{last}' on entity '{}'. If you are attempting to use a custom field, be sure to append \
                 the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate \
                 names.",
                object.name()
            );
            return Err(fault_at(self.text, path.at, "INVALID_FIELD", &message));
        };
        Ok((names, Column { hops, field: field.name.clone(), kind: field.kind }))
    }

    fn ordered(&self, order: &Order) -> Result<(Column, bool, bool), Fault> {
        if let Some(function) = order.function {
            let message = format!("unexpected token: '{}'", function.name());
            return Err(fault_at(self.text, order.path.at, "MALFORMED_QUERY", &message));
        }
        Ok((self.column(&order.path)?.1, order.descending, order.nulls_last))
    }

    fn relation(&self, object: Object, name: &str) -> Option<(std::sync::Arc<str>, String, Object)> {
        let (field, target) = self.schema.table(object)?.relationship(name)?;
        Some((field.name.clone(), field.relationship.clone()?, target))
    }

    fn filtered(&self, path: &Path) -> Result<Column, Fault> {
        let (_, column) = self.column(path)?;
        let object = column.hops.last().map_or(self.object, |(_, o)| *o);
        let field = self.schema.table(object).and_then(|t| t.field(&column.field));
        if field.is_some_and(|f| !f.filterable) {
            let message = format!("field '{}' can not be filtered in a query call", column.field);
            return Err(fault_at(self.text, path.at, "INVALID_FIELD", &message));
        }
        Ok(column)
    }

    fn test(&self, condition: &Condition) -> Result<Test, Fault> {
        Ok(match condition {
            Condition::And(terms) => Test::And(terms.iter().map(|t| self.test(t)).collect::<Result<_, _>>()?),
            Condition::Or(terms) => Test::Or(terms.iter().map(|t| self.test(t)).collect::<Result<_, _>>()?),
            Condition::Not(term) => Test::Not(Box::new(self.test(term)?)),
            Condition::Compare(path, operator, literal) => {
                let column = self.filtered(path)?;
                let is_text = matches!(column.kind, Kind::Text(kind) if kind != "reference");
                if *operator == Operator::Like && !is_text {
                    let message = "invalid operator on id field";
                    return Err(fault_at(self.text, path.at, "INVALID_QUERY_FILTER_OPERATOR", message));
                }
                let value = self.value(path, &column, literal)?;
                Test::Compare(column, *operator, value)
            }
            Condition::In { path, negated, set } => {
                let column = self.filtered(path)?;
                let values = match set {
                    Set::Values(values) => {
                        values.iter().map(|v| self.value(path, &column, v)).collect::<Result<Vec<_>, _>>()?
                    }
                    Set::Query(query) => self.joined(query)?,
                };
                let keys = values.iter().map(key).collect();
                Test::In { column, negated: *negated, values, keys }
            }
        })
    }

    /// The ids that the inner query of a semi-join finds.
    fn joined(&self, query: &Query) -> Result<Vec<Cell>, Fault> {
        let plan = Plan::new(self.world, self.schema, query, self.all)?;
        let [Output::Field(_, column)] = &plan.outputs[..] else {
            let message = "The inner select must have exactly one field";
            return Err(fault_at(self.text, query.from.at, "MALFORMED_QUERY", message));
        };
        let ids = plan.run(self.world);
        let values = ids.iter().filter_map(|id| self.world.row(*id)).map(|r| column.read(self.world, r));
        Ok(values.filter(|c| *c != Cell::Null).collect())
    }

    fn value(&self, path: &Path, column: &Column, literal: &Literal) -> Result<Cell, Fault> {
        Ok(match (column.kind, literal) {
            (_, Literal::Null) => Cell::Null,
            (Kind::Boolean, Literal::Bool(b)) => Cell::Bool(*b),
            // A lookup to any of several objects keeps an id of 18 characters; one of 15 is the same.
            (Kind::Text("reference"), Literal::Token(Token::Text(text))) if !text.is_empty() => {
                let message = format!("invalid ID field: {text}");
                let id = Id::parse(text);
                let id = id.ok_or_else(|| fault_at(self.text, path.at, "INVALID_QUERY_FILTER_OPERATOR", &message))?;
                Cell::text(&id.to_string())
            }
            (Kind::Text(_), Literal::Token(Token::Text(text))) => Cell::text(text),
            (Kind::Int | Kind::Number(_), Literal::Token(Token::Number(n))) => Cell::Number(*n),
            (Kind::Date, Literal::Token(Token::Date(date))) => Cell::Date(*date),
            (Kind::Time, Literal::Token(Token::Time(time))) => Cell::Time(*time),
            (Kind::Id | Kind::Reference(_), Literal::Token(Token::Text(text))) if text.is_empty() => Cell::Null,
            (Kind::Id | Kind::Reference(_), Literal::Token(Token::Text(text))) => {
                let message = format!("invalid ID field: {text}");
                let id = Id::parse(text);
                Cell::Id(id.ok_or_else(|| fault_at(self.text, path.at, "INVALID_QUERY_FILTER_OPERATOR", &message))?)
            }
            (kind, _) => {
                let (kind, quotes) = match kind {
                    Kind::Id | Kind::Reference(_) => ("reference", "should"),
                    Kind::Text(_) => ("string", "should"),
                    Kind::Boolean => ("boolean", "should not"),
                    Kind::Int => ("int", "should not"),
                    Kind::Number(kind) => (kind, "should not"),
                    Kind::Date => ("date", "should not"),
                    Kind::Time => ("dateTime", "should not"),
                };
                let name = path.parts.join(".");
                let message = format!(
                    "value of filter criterion for field '{name}' must be of type {kind} and {quotes} be enclosed in quotes"
                );
                return Err(fault_at(self.text, path.at, "INVALID_FIELD", &message));
            }
        })
    }
}
