//! The text of SOQL queries.
//!
//! Owns quoting and the cutting of `IN` lists, so that no address comes near Salesforce's limit. Must not know how a query
//! is sent.

use super::super::chunk;

/// Bytes that the values of one query may take in its address. Salesforce refuses an address, and address with headers,
/// above 16,384 bytes; the rest of a query and its headers are below 3,000.
pub(super) const ROOM: usize = 11_000;
/// `%27` twice and `%2C`.
const AROUND: usize = 9;

/// A text literal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A condition that a field has this text somewhere in it, whatever its letters mean to `LIKE`.
pub(super) fn has(field: &str, text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '_' => pattern.extend(['\\', c]),
            // Once for the pattern, once for the literal.
            '\\' => pattern.push_str(r"\\\\"),
            c => {
                let literal = quoted(c.encode_utf8(&mut [0; 4]));
                pattern.push_str(&literal[1..literal.len() - 1]);
            }
        }
    }
    format!("{field} LIKE '%{pattern}%'")
}

/// `Field IN ('a','b')`
pub(super) fn any_of<T: AsRef<str>>(field: &str, values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value.as_ref())).collect();
    format!("{field} IN ({})", values.join(","))
}

/// Runs of values that fit into `room` bytes of an address.
pub(super) fn runs<T: AsRef<str>>(values: &[T], room: usize) -> Vec<&[T]> {
    // Each character that is escaped adds a backslash; texts with them are rare, and short of the spare room.
    chunk::runs(values, usize::MAX, room, AROUND)
}

/// Whether a text may stand for a field in a query.
pub(super) fn is_field_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_literal_is_escaped() {
        assert_eq!(quoted("o'brien@x.com"), r"'o\'brien@x.com'");
        assert_eq!(quoted("a\\' OR Name != '"), r"'a\\\' OR Name != \''");
        assert_eq!(quoted("\n\r\t\u{8}\u{c}\""), r#"'\n\r\t\b\f\"'"#);
        assert_eq!(any_of("Email", &["a@b", "c@d"]), "Email IN ('a@b','c@d')");
    }

    #[test]
    fn what_like_would_read_as_a_pattern_is_escaped() {
        assert_eq!(has("Name", "Spring"), "Name LIKE '%Spring%'");
        assert_eq!(has("Name", "50%_o'b\\"), r"Name LIKE '%50\%\_o\'b\\\\%'");
    }

    #[test]
    fn field_names_are_names() {
        assert!(is_field_name("Sync_Key__c"));
        for bad in ["", "1a", "a b", "a,b", "a'", "Ünique__c"] {
            assert!(!is_field_name(bad), "{bad}");
        }
    }

    #[test]
    fn ids_fill_an_address_without_passing_its_limit() {
        let ids: Vec<String> = (0..2000).map(|n| format!("00Q4S0000{n:09}")).collect();
        for run in runs(&ids, ROOM) {
            assert!(chunk::encoded_len(&any_of("LeadId", run)) < ROOM + 100);
        }
        assert!(runs(&ids, ROOM).len() <= 5);
    }
}
