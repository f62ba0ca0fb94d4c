//! A value of a field, and its form in JSON.
//!
//! Owns the wire forms of times (`+0000` without a colon, one second resolution) and dates. Knows nothing of fields.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::Id;

/// What a field of a row holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Id(Id),
    Date(Date),
    Time(Timestamp),
}

impl Cell {
    /// Text, or null when it is empty: Salesforce stores no empty strings.
    #[must_use]
    pub fn text(text: &str) -> Self {
        if text.trim().is_empty() { Self::Null } else { Self::Text(text.trim().to_owned()) }
    }

    /// The text held, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The id held, if it is one.
    #[must_use]
    pub fn as_id(&self) -> Option<Id> {
        if let Self::Id(id) = self { Some(*id) } else { None }
    }

    /// True only for `true`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// As the REST API writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => (*n).into(),
            Self::Number(n) => (*n).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Id(id) => id.to_string().into(),
            Self::Date(date) => date.to_string().into(),
            Self::Time(time) => wire_time(*time).into(),
        }
    }

    /// As an outbound message writes it; none for null, which messages leave out.
    #[must_use]
    pub fn to_xml(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Text(text) => text.clone(),
            Self::Id(id) => id.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Time(time) => time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        })
    }
}

impl From<Option<Id>> for Cell {
    fn from(id: Option<Id>) -> Self {
        id.map_or(Self::Null, Self::Id)
    }
}

/// `2026-11-23T20:05:00.000+0000`
#[must_use]
pub fn wire_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

/// A time as clients write it: `Z`, `+00:00` or `+0000`, with or without fractions.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_and_written_in_one() {
        for text in ["2026-11-23T20:05:00Z", "2026-11-23T20:05:00.000+0000", "2026-11-23T21:05:00+01:00"] {
            assert_eq!(wire_time(parse_time(text).unwrap()), "2026-11-23T20:05:00.000+0000", "{text}");
        }
        for bad in ["2026-11-23", "2026-11-23T20:05:00", "soon"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
