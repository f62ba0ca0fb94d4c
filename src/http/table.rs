//! Lists as CSV (RFC 4180), for spreadsheets.
//!
//! A row is the same JSON object as in the list, with named places of it as columns; null is an empty cell. Texts come from
//! strangers, so none of them is left to be a formula. Must not know what the rows are.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::BASE;
use super::extract::List;

/// What can be shown as a row.
pub(super) trait Table: Serialize {
    /// Places in the object: `person.email`.
    const COLUMNS: &'static [&'static str];
}

/// Whether the caller prefers CSV: it is named, and JSON is not named before it.
pub(super) fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepted.flat_map(|line| line.split(',')).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.into_iter().find(|kind| matches!(*kind, "text/csv" | "application/json" | "*/*")) == Some("text/csv")
}

impl<T: Table> List<T> {
    /// As CSV; `path` and `parameters` are those of this page, for the link to the next.
    pub(super) fn into_csv(self, path: &str, parameters: &str) -> Response {
        let mut text = line(T::COLUMNS.iter().copied());
        for row in &self.data {
            let row = serde_json::to_value(row).unwrap_or_default();
            text += &line(T::COLUMNS.iter().map(|column| cell(&row, column)));
        }
        let mut response = ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response();
        let next = self.next_cursor.map(|cursor| format!("<{BASE}{path}?{parameters}cursor={cursor}>; rel=\"next\""));
        if let Some(Ok(link)) = next.map(|link| link.parse()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

fn cell(row: &Value, column: &str) -> String {
    let place = column.split('.').try_fold(row, |value, name| value.get(name));
    match place {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => defused(text),
        Some(other) => other.to_string(),
    }
}

/// A text that a spreadsheet would take for a formula, made one that it does not (OWASP, "CSV Injection"). Numbers and times of
/// ours are no texts of strangers, and a minus before a number stays.
fn defused(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

fn line<S: AsRef<str>>(cells: impl Iterator<Item = S>) -> String {
    let quoted = cells.map(|cell| match cell.as_ref() {
        text if text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        text => text.to_owned(),
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_quoted_where_they_have_to_be() {
        let row = json!({"a": {"b": "x, \"y\"\n"}, "n": 7, "z": null});
        assert_eq!(line(["a.b", "n", "z", "a.c"].iter().map(|c| cell(&row, c))), "\"x, \"\"y\"\"\n\",7,,\r\n");
    }

    #[test]
    fn a_text_is_no_formula() {
        let shown = |text: &str| line(["t"].iter().map(|c| cell(&json!({ "t": text }), c)));
        for (text, expected) in [
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\"\r\n"),
            ("+1", "'+1\r\n"),
            ("-1+1", "'-1+1\r\n"),
            ("@SUM(A1)", "'@SUM(A1)\r\n"),
            ("\t=1", "'\t=1\r\n"),
            ("\r=1", "\"'\r=1\"\r\n"),
            ("a=1", "a=1\r\n"),
            ("", "\r\n"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert_eq!(cell(&json!({"n": -5}), "n"), "-5");
    }

    #[test]
    fn csv_is_given_to_those_who_prefer_it() {
        let wants = |accept: &str| wants_csv(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect());
        assert!(wants("text/csv") && wants("text/html, text/csv;q=0.9, */*;q=0.1"));
        assert!(!wants("application/json, text/csv") && !wants("*/*") && !wants_csv(&HeaderMap::new()));
    }
}
