//! Values in the forms in which both vendors write them.
//!
//! Owns the lenient reading of times, and of numbers and codes that come as number or as text. Must not know which call
//! they came from.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::domain::ids::SalesforceId;

/// A time as either vendor writes it: `2020-01-08T18:10:26Z`, `2021-12-02T18:23:39.000+0000` (no colon), an offset with a
/// colon. None for anything else: no decision rests on these times alone.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    // RFC 3339 wants the colon that Salesforce leaves out.
    let colonless = text.len() > 5 && matches!(text.as_bytes()[text.len() - 5], b'+' | b'-') && text.contains('T');
    if colonless && text.is_ascii() {
        let (hours, minutes) = text.split_at(text.len() - 2);
        return format!("{hours}:{minutes}").parse().ok();
    }
    text.parse().ok()
}

pub(super) fn optional_time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.as_deref().and_then(time))
}

/// The rows of a listing that can be read, and how many cannot: one of them says nothing about the others. Where none of several can,
/// it is not they, but the answer has a form that is not known.
pub(super) fn readable<T, R, E>(rows: Vec<R>, read: impl Fn(R) -> Result<T, E>) -> Result<(Vec<T>, usize), E> {
    let all = rows.len();
    let (mut good, mut bad) = (Vec::with_capacity(all), None);
    for row in rows {
        match read(row) {
            Ok(row) => good.push(row),
            Err(error) => bad = Some(error),
        }
    }
    match bad {
        Some(error) if good.is_empty() && all > 1 => Err(error),
        _ => {
            let unreadable = all - good.len();
            Ok((good, unreadable))
        }
    }
}

/// An id that only says more about a record: one that is none is as good as none.
pub(super) fn lenient_id<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SalesforceId>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.and_then(|id| id.parse().ok()))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
}

/// An id or count: a number, or digits in a text.
pub(super) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
    match Scalar::deserialize(input)? {
        Scalar::Number(number) => Ok(number),
        Scalar::Text(text) => text.trim().parse().map_err(D::Error::custom),
    }
}

pub(super) fn optional_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    match Option::<Scalar>::deserialize(input)? {
        None => Ok(None),
        Some(Scalar::Number(number)) => Ok(Some(number)),
        Some(Scalar::Text(text)) => text.trim().parse().map(Some).map_err(D::Error::custom),
    }
}

/// A vendor's code: a text, or a number where it should be one.
pub(super) fn code<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(match Scalar::deserialize(input)? {
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text,
    })
}

/// A text that says something: blank and null are none.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.filter(|text| !text.trim().is_empty()))
}

/// A JSON text in which U+0000 stands nowhere: a replacement character is put in its place. Neither vendor means it, Postgres cannot
/// keep it, and one record with it would keep everybody who is recorded with it from being recorded.
pub(super) fn without_nul(mut body: Vec<u8>) -> Vec<u8> {
    const NUL: &[u8] = b"\\u0000";
    let mut at = 0;
    while let Some(found) = body[at..].windows(NUL.len()).position(|window| window == NUL) {
        let start = at + found;
        // An escaped backslash before `u0000` makes it plain text.
        let backslashes = body[..start].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes.is_multiple_of(2) {
            body[start..start + NUL.len()].copy_from_slice(b"\\ufffd");
        }
        at = start + 1;
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_vendors_forms() {
        let expected: Timestamp = "2021-12-02T18:23:39Z".parse().unwrap();
        for text in [
            "2021-12-02T18:23:39Z",
            "2021-12-02T18:23:39.000+0000",
            "2021-12-02T18:23:39+00:00",
            "2021-12-02T10:23:39-0800",
            "2021-12-02T10:23:39-08:00",
        ] {
            assert_eq!(time(text), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2021-12-02", "é+0000T"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn nul_is_replaced_and_nothing_else_is() {
        let cleaned = |text: &str| String::from_utf8(without_nul(text.as_bytes().to_vec())).unwrap();
        assert_eq!(cleaned(r#"{"a":"x\u0000y\u0000"}"#), r#"{"a":"x\ufffdy\ufffd"}"#);
        // A backslash, and then the letters; a backslash, and then NUL.
        for (text, expected) in [(r#""\\u0000""#, "\\u0000"), (r#""\\\u0000""#, "\\\u{fffd}"), (r#""u0000""#, "u0000")]
        {
            assert_eq!(serde_json::from_str::<String>(&cleaned(text)).unwrap(), expected, "{text}");
        }
        assert_eq!(cleaned("\\u000"), "\\u000");
    }

    #[test]
    fn a_row_that_cannot_be_read_says_nothing_about_the_others() {
        let read = |rows: &[&str]| readable(rows.to_vec(), str::parse::<i64>).map_err(|_| ());
        assert_eq!(read(&["1", "x", "3"]), Ok((vec![1, 3], 1)));
        assert_eq!(read(&["x"]), Ok((vec![], 1)));
        assert_eq!(read(&[]), Ok((vec![], 0)));
        assert_eq!(read(&["x", "y"]), Err(()), "no row at all is another form, and not an empty page");
    }

    #[test]
    fn numbers_and_codes_come_as_number_or_text() {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Row {
            #[serde(deserialize_with = "number")]
            id: i64,
            #[serde(deserialize_with = "code")]
            code: String,
        }
        for text in [r#"{"id":7,"code":1037}"#, r#"{"id":"7","code":"1037"}"#] {
            assert_eq!(serde_json::from_str::<Row>(text).unwrap(), Row { id: 7, code: "1037".into() });
        }
        assert!(serde_json::from_str::<Row>(r#"{"id":"seven","code":"1"}"#).is_err());
    }
}
