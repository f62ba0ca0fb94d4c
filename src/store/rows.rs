//! A set of rows as one parameter of a statement.
//!
//! Rows travel as one JSON parameter: one statement for any number of rows, the same text each time, so that it is
//! prepared once, and no limit on the number of parameters. Must not know any table.

use serde::Serialize;

use super::StoreError;
use super::dialect::{Arg, Backend};

/// A set of rows as one parameter, always the first: `{rows}` in the SQL text becomes a table with these columns.
pub(super) struct Rows {
    /// Names and types: `id text, due_at int, removed bool`.
    columns: &'static str,
    json: String,
}

impl Rows {
    /// Each row is a tuple in the order of `columns`.
    pub(super) fn new<T: Serialize>(columns: &'static str, rows: &[T]) -> Result<Self, StoreError> {
        let json = serde_json::to_string(rows).map_err(|e| StoreError::Corrupt(format!("rows of {columns}: {e}")))?;
        if has_nul(&json) {
            // Postgres keeps no NUL, and SQLite would keep what it has no functions for.
            return Err(StoreError::Corrupt(format!("a text among rows of {columns} contains NUL")));
        }
        Ok(Self { columns, json })
    }

    fn table(&self, backend: Backend) -> String {
        let columns = self.columns.split(',').enumerate().map(|(n, column)| {
            let (name, kind) = column.trim().split_once(' ').unwrap_or((column, "text"));
            match (backend, kind) {
                (Backend::Sqlite, _) => format!("json_extract(value, '$[{n}]') AS {name}"),
                (Backend::Postgres, "int") => format!("(value->>{n})::bigint AS {name}"),
                (Backend::Postgres, "bool") => format!("(value->>{n})::boolean AS {name}"),
                (Backend::Postgres, _) => format!("value->>{n} AS {name}"),
            }
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        match backend {
            // The binary form: a row is not written out and parsed again for each of its columns.
            Backend::Sqlite => format!("(SELECT {columns} FROM jsonb_each($1)) AS r"),
            Backend::Postgres => format!("(SELECT {columns} FROM jsonb_array_elements($1::jsonb)) AS r"),
        }
    }
}

/// Whether a JSON text has an escaped NUL; an escaped backslash before `u0000` makes it plain text.
fn has_nul(json: &str) -> bool {
    let backslashes = |before: &str| before.bytes().rev().take_while(|byte| *byte == b'\\').count();
    json.match_indices("\\u0000").any(|(at, _)| backslashes(&json[..at]).is_multiple_of(2))
}

pub(super) fn with_rows(backend: Backend, sql: &str, rows: &Rows, args: Vec<Arg>) -> (String, Vec<Arg>) {
    let mut all = Vec::with_capacity(args.len() + 1);
    all.push(Arg::Text(Some(rows.json.clone())));
    all.extend(args);
    (sql.replace("{rows}", &rows.table(backend)), all)
}
