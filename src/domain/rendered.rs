//! Payload templates as Marketo renders them: nearly JSON.
//!
//! Owns what its rendering of tokens breaks, and how that is mended, for every request that a "Call Webhook" step can make.
//! Must not know what any of the fields mean.

/// Mends what Marketo's rendering of a template breaks.
///
/// With JSON encoding Marketo puts quotes around the values of string tokens, so a template that has them too renders
/// `"email":""a@b.c""`; without encoding, quotes and line breaks inside a value come as they are. An unresolved or empty
/// token without quotes leaves `{{my.Status}}` or nothing. A string ends at a quote that structure follows.
#[must_use]
pub fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(inside) = rest.strip_prefix('"') {
            let length = string_length(inside);
            push_string(&mut out, &inside[..length]);
            rest = inside.get(length + 1..).unwrap_or_default();
            continue;
        }
        if rest.starts_with("{{") {
            // JSON never has two braces here, so a token that does not end is beyond repair.
            let Some(length) = token_length(rest) else { break };
            out.push_str("null");
            rest = &rest[length..];
            continue;
        }
        if matches!(c, ',' | '}') && out.trim_end().ends_with(':') {
            out.push_str("null");
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Bytes of the unresolved token that `text` begins with, no longer than tokens are.
fn token_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("{{")?.as_bytes();
    let end = inside.windows(2).take(256).position(|pair| pair == b"}}")?;
    Some(end + 4)
}

/// Bytes up to the quote that ends the string, or all.
fn string_length(inside: &str) -> usize {
    let bytes = inside.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' if ends_here(&bytes[at + 1..]) => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn ends_here(after: &[u8]) -> bool {
    // White space is bounded, or a long run of quotes and spaces would cost its square.
    let next = after.iter().take(64).find(|c| !c.is_ascii_whitespace());
    next.is_none_or(|c| matches!(c, b',' | b':' | b'}' | b']'))
}

fn push_string(out: &mut String, content: &str) {
    let doubled = content.strip_prefix('"').and_then(|content| content.strip_suffix('"'));
    let mut escaped = false;
    out.push('"');
    for c in doubled.unwrap_or(content).chars() {
        match c {
            '"' if !escaped => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::mended;

    #[test]
    fn what_rendering_breaks_is_mended() {
        for (rendered, expected) in [
            (r#"{"email":""a@b.c""}"#, r#"{"email":"a@b.c"}"#),
            (r#"{"a":"x "y" z","n":1}"#, r#"{"a":"x \"y\" z","n":1}"#),
            (r#"{"leadId":,"status":{{my.Status}}}"#, r#"{"leadId":null,"status":null}"#),
            ("{\"a\":\"x\ny\"}", r#"{"a":"x\ny"}"#),
            (r#"{"people":[{"marketo_id":""7""}]}"#, r#"{"people":[{"marketo_id":"7"}]}"#),
        ] {
            assert_eq!(mended(rendered), expected, "{rendered}");
        }
    }
}
