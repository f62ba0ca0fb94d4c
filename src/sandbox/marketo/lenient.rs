//! JSON as lenient parsers take it: single quotes, words without quotes.
//!
//! Owns the rewriting to strict JSON. marketorestpython sends folders, tags and costs of programs in this form and is in wide use, so
//! the Asset API must read it; no page says so (the switch is `lenient_asset_json`). The Lead Database takes strict JSON only (609).

use serde_json::Value;

/// The value, null when it is neither strict nor lenient JSON.
pub fn parse(text: &str, lenient: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) if lenient => serde_json::from_str(&strict(text)).unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

fn strict(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\'' | '"' => {
                let mut inner = String::new();
                while let Some(letter) = rest.next() {
                    match letter {
                        '\\' => inner.extend(rest.next()),
                        end if end == next => break,
                        other => inner.push(other),
                    }
                }
                out.push_str(&Value::from(inner).to_string());
            }
            first if first.is_alphabetic() => {
                let mut word = String::from(first);
                while let Some(letter) = rest.next_if(|letter| !",:]}".contains(*letter)) {
                    word.push(letter);
                }
                match word.trim() {
                    "None" => out.push_str("null"),
                    "true" | "false" | "null" => out.push_str(word.trim()),
                    word => out.push_str(&Value::from(word).to_string()),
                }
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_clients_write() {
        for (text, expected) in [
            (r#"{"id": 7, "type": "Folder"}"#, json!({"id": 7, "type": "Folder"})),
            ("{'id': 7, 'type': Folder}", json!({"id": 7, "type": "Folder"})),
            (
                "[{'tagType': 'Presenter', 'tagValue': \"Pat's\"}]",
                json!([{"tagType": "Presenter", "tagValue": "Pat's"}]),
            ),
            (
                "[{'startDate': '2015-01-01', 'cost': 2000, 'note': None}]",
                json!([{"startDate": "2015-01-01", "cost": 2000, "note": null}]),
            ),
            ("{'id': ", Value::Null),
        ] {
            assert_eq!(parse(text, true), expected, "{text}");
        }
        assert_eq!(parse("{'id': 7}", false), Value::Null);
    }
}
