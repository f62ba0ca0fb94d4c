//! Taking an address out of a text, and out of nothing else.
//!
//! Owns how an address is recognised: in whatever case, escaped for JSON once or twice, and not as a part of a longer one. Must not
//! know where texts are kept.

use std::fmt::Write;

/// What stands in the place of an address.
const ERASED: &str = "[erased]";

/// How an address is taken out of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The value is the address: nothing is left.
    Empty,
    /// JSON whose field may be null.
    Null,
    /// Text in which it stands somewhere.
    Text,
}

/// A pattern for `LIKE .. ESCAPE '!'` against a text in lower case. Only ASCII is lowered by every database, so any other letter
/// matches all.
#[must_use]
pub fn like(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            '%' | '_' | '!' => pattern.extend(['!', c]),
            // As it is escaped in JSON: alone, or with what goes before it.
            '"' | '\\' => pattern.push('%'),
            c if c.is_ascii() => pattern.push(c),
            _ => pattern.push('%'),
        }
    }
    pattern
}

/// A value without an address; none when it is not in it.
#[must_use]
pub fn redacted(value: &str, address: &str, how: How) -> Option<Option<String>> {
    if how == How::Empty {
        return (value.trim().to_lowercase() == address).then_some(None);
    }
    let mut text = value.to_owned();
    for written in [address.to_owned(), json(address), json(&json(address))] {
        text = without(&text, &written, how == How::Null);
    }
    (text != value).then_some(Some(text))
}

/// A text without anything that looks like an address: for what is logged, and shown to whoever has not asked for a person.
#[must_use]
pub fn without_addresses(text: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let mut whole = String::new();
    let mut left = text;
    while let Some(at) = left.find('@') {
        let (before, after) = (&left[..at], &left[at + 1..]);
        let local = before.trim_end_matches(part);
        let host = after.trim_start_matches(part);
        let (local, host) = (&before[local.len()..], &after[..after.len() - host.len()]);
        if local.is_empty() || host.is_empty() {
            whole += &left[..=at];
            left = after;
            continue;
        }
        whole += &before[..before.len() - local.len()];
        whole += "[address]";
        // A full stop behind it ends the sentence.
        left = &after[host.trim_end_matches('.').len()..];
    }
    whole + left
}

/// As it stands within a JSON string.
fn json(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` with each `address`, in lower case, replaced however it is written; a JSON string that is nothing else becomes null where
/// that may be.
fn without(text: &str, address: &str, null: bool) -> String {
    let (mut left, mut whole) = (text, String::new());
    while let Some((at, length)) = find(left, address) {
        let (before, rest) = (&left[..at], &left[at + length..]);
        match (before.strip_suffix('"'), rest.strip_prefix('"')) {
            (Some(before), Some(rest)) if null && before.ends_with(':') => {
                whole += before;
                whole += "null";
                left = rest;
            }
            _ => {
                whole += before;
                whole += ERASED;
                left = rest;
            }
        }
    }
    whole + left
}

/// Where an address begins, in whatever case it is there, and how many bytes it has there; not within a longer one.
fn find(text: &str, lower: &str) -> Option<(usize, usize)> {
    text.char_indices().find_map(|(at, _)| {
        let length = matched(&text[at..], lower)?;
        (begins(&text[..at]) && ends(&text[at + length..])).then_some((at, length))
    })
}

/// Whether an address may begin after this.
fn begins(before: &str) -> bool {
    let Some(last) = before.chars().next_back() else { return true };
    // A line end that is escaped is no letter.
    let line = before
        .strip_suffix(['n', 'r', 't'])
        .is_some_and(|before| before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1);
    line || !(last.is_alphanumeric() || "._%+-".contains(last))
}

/// Whether an address may end before this.
fn ends(after: &str) -> bool {
    let mut next = after.chars();
    match next.next() {
        Some('.') => !next.next().is_some_and(char::is_alphanumeric),
        Some(c) => !(c.is_alphanumeric() || c == '-' || c == '_'),
        None => true,
    }
}

fn matched(text: &str, lower: &str) -> Option<usize> {
    let mut wanted = lower.chars();
    for (at, c) in text.char_indices() {
        if wanted.as_str().is_empty() {
            return Some(at);
        }
        for lowered in c.to_lowercase() {
            if wanted.next() != Some(lowered) {
                return None;
            }
        }
    }
    wanted.as_str().is_empty().then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_out_however_it_is_written() {
        let text = |value: &str, address: &str, how| redacted(value, address, how).flatten();
        for (value, how, left) in [
            (r#"{"email":"A.B@c.example","x":1}"#, How::Null, r#"{"email":null,"x":1}"#),
            (r#"{"email":"A.B@c.example","x":1}"#, How::Text, r#"{"email":"[erased]","x":1}"#),
            (r#"{"to":["a.b@c.example"]}"#, How::Null, r#"{"to":["[erased]"]}"#),
            ("dup: a.b@C.example, a.b@c.example.", How::Text, "dup: [erased], [erased]."),
        ] {
            assert_eq!(text(value, "a.b@c.example", how).as_deref(), Some(left));
        }
        for other in ["a.b@c.exampl", "xa.b@c.example", "x.a.b@c.example", "a.b@c.example.org", "a.b@c.examples"] {
            assert_eq!(redacted(other, "a.b@c.example", How::Text), None, "{other}");
        }
        assert_eq!(
            text(r"one\na.b@c.example\ntwo", "a.b@c.example", How::Text).as_deref(),
            Some(r"one\n[erased]\ntwo")
        );
        assert_eq!(redacted("A.b@c.example ", "a.b@c.example", How::Empty), Some(None));
        assert_eq!(redacted("xa.b@c.example", "a.b@c.example", How::Empty), None);
        assert_eq!(text("JÖRG@Ü.example", "jörg@ü.example", How::Text).as_deref(), Some("[erased]"));
        // Within JSON, and within JSON that is a string in JSON.
        let quoted = r#""a b"@c.example"#;
        for value in [format!("{{\"e\":\"{}\"}}", json(quoted)), format!("{{\"e\":\"{}\"}}", json(&json(quoted)))] {
            assert_eq!(text(&value, quoted, How::Text).as_deref(), Some(r#"{"e":"[erased]"}"#), "{value}");
        }
    }

    #[test]
    fn whatever_looks_like_an_address_is_left_out() {
        for (text, left) in [
            ("duplicate value: a.b+c@d.example.", "duplicate value: [address]."),
            ("WHERE Email IN ('Ä.b@d.example','x@y.z')", "WHERE Email IN ('[address]','[address]')"),
            ("filterValues=a%40b@c.d&x", "filterValues=[address]&x"),
            ("@ home, a @ b, a@ b @c, @@", "@ home, a @ b, a@ b @c, @@"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(text), left);
        }
    }

    #[test]
    fn a_pattern_takes_signs_of_its_own_as_they_are() {
        assert_eq!(like("A_b%c!@d.example"), "a!_b!%c!!@d.example");
        assert_eq!(like("jörg@x.example"), "j%rg@x.example");
    }
}
