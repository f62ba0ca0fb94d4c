//! A value of the API as a page shows it: by path, formatted, never failing.
//!
//! Owns how numbers, times, states and missing values look. What is marked as HTML here is built from escaped parts.

use jiff::Timestamp;
use serde_json::Value;

use super::words;

const MISSING: &str = "–";

/// Part of an answer.
#[derive(Clone, Debug)]
pub(super) struct View {
    value: Value,
    now: Timestamp,
}

impl View {
    pub(super) fn new(value: Value, now: Timestamp) -> Self {
        Self { value, now }
    }

    /// The value at a path of names with dots; the whole at the empty one.
    pub(super) fn value(&self, path: &str) -> &Value {
        static NULL: Value = Value::Null;
        if path.is_empty() {
            return &self.value;
        }
        path.split('.').try_fold(&self.value, |value, name| value.get(name)).unwrap_or(&NULL)
    }

    pub(super) fn at(&self, path: &str) -> Self {
        Self::new(self.value(path).clone(), self.now)
    }

    /// Whether there is anything: neither null nor false nor empty.
    pub(super) fn has(&self, path: &str) -> bool {
        match self.value(path) {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::Bool(true) | Value::Number(_) => true,
        }
    }

    pub(super) fn is(&self, path: &str, text: &str) -> bool {
        self.text(path) == text
    }

    /// As text; empty when there is nothing.
    pub(super) fn text(&self, path: &str) -> String {
        match self.value(path) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// As text, or a dash.
    pub(super) fn or_dash(&self, path: &str) -> String {
        if self.has(path) { self.text(path) } else { MISSING.to_owned() }
    }

    pub(super) fn number(&self, path: &str) -> i64 {
        let value = self.value(path);
        #[expect(clippy::cast_possible_truncation, reason = "shown, not calculated with")]
        value.as_i64().or_else(|| value.as_f64().map(|number| number.round() as i64)).unwrap_or(0)
    }

    /// A number with its thousands apart, or a dash.
    pub(super) fn count(&self, path: &str) -> String {
        match self.value(path) {
            Value::Number(number) if number.is_f64() => number.to_string(),
            Value::Number(_) => thousands(self.number(path)),
            _ => MISSING.to_owned(),
        }
    }

    /// Milliseconds in a unit that can be read.
    pub(super) fn millis(&self, path: &str) -> String {
        if self.has(path) { duration(self.number(path)) } else { MISSING.to_owned() }
    }

    /// Seconds in a unit that can be read.
    pub(super) fn seconds(&self, path: &str) -> String {
        if self.has(path) { duration(self.number(path) * 1000) } else { MISSING.to_owned() }
    }

    pub(super) fn each(&self, path: &str) -> Vec<Self> {
        let list = self.value(path).as_array();
        list.into_iter().flatten().map(|value| Self::new(value.clone(), self.now)).collect()
    }

    /// The entries of an object.
    pub(super) fn pairs(&self, path: &str) -> Vec<(String, Self)> {
        let map = self.value(path).as_object();
        map.into_iter().flatten().map(|(name, value)| (name.clone(), Self::new(value.clone(), self.now))).collect()
    }

    /// Sum of the numbers of an object.
    pub(super) fn sum(&self, path: &str) -> i64 {
        self.pairs(path).iter().map(|(_, count)| count.number("")).sum()
    }

    /// How long ago, with the exact time on hover. HTML.
    pub(super) fn when(&self, path: &str) -> String {
        let Ok(time) = self.text(path).parse::<Timestamp>() else {
            return format!("<span class=\"none\">{MISSING}</span>");
        };
        let exact = time.strftime("%-d %B %Y, %H:%M:%S UTC");
        let relative = ago(self.now.as_millisecond() - time.as_millisecond());
        format!("<time datetime=\"{time}\" title=\"{exact}\">{relative}</time>")
    }

    /// How many members of a listed mapping agree, with their share. HTML.
    pub(super) fn agreement(&self) -> String {
        let (all, agree) = (self.number("members"), self.number("in_agreement"));
        if all == 0 {
            return format!("<span class=\"none\">{MISSING}</span>");
        }
        // Cut and not rounded: 99.96 % is not all of them.
        let tenths = agree * 1000 / all;
        let class = if agree < all { "warn-text" } else { "good-text" };
        format!(
            "<span class=\"{class}\">{}.{} %</span> <span class=\"muted small\">{} of {}</span>",
            tenths / 10,
            tenths % 10,
            thousands(agree),
            thousands(all)
        )
    }

    /// A code as a chip with its word and tone. HTML.
    pub(super) fn chip(&self, path: &str) -> String {
        if self.has(path) { words::chip(&self.text(path)) } else { String::new() }
    }

    /// A code as a word.
    pub(super) fn word(&self, path: &str) -> String {
        words::label(&self.text(path))
    }

    /// As a sentence, with a capital and a full stop.
    pub(super) fn sentence(&self, path: &str) -> String {
        words::sentence(&self.text(path))
    }

    /// What happened to a member with this reason.
    pub(super) fn cause(&self, path: &str) -> String {
        words::cause(&self.text(path))
    }

    pub(super) fn remedy_of_request(&self, path: &str) -> String {
        words::remedy_of_request(&self.text(path))
    }

    /// Whom a change is about.
    pub(super) fn subject(&self, path: &str) -> String {
        words::subject(&self.text(path))
    }

    /// Hours and minutes of a time.
    pub(super) fn clock(&self, path: &str) -> String {
        let time = self.text(path).parse::<Timestamp>();
        time.map_or_else(|_| self.text(path), |time| time.strftime("%H:%M").to_string())
    }

    /// JSON on one line, for what has no form of its own.
    pub(super) fn json(&self, path: &str) -> String {
        self.value(path).to_string()
    }
}

/// 1234567 as 1,234,567.
pub(super) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "−" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds as `340 ms`, `2.4 s`, `3 min`, `5 h`, `4 d`.
pub(super) fn duration(millis: i64) -> String {
    let seconds = millis / 1000;
    match millis {
        ..1000 => format!("{millis} ms"),
        1000..10_000 => format!("{seconds}.{} s", millis % 1000 / 100),
        10_000..120_000 => format!("{seconds} s"),
        120_000..7_200_000 => format!("{} min", seconds / 60),
        7_200_000..172_800_000 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn ago(millis: i64) -> String {
    match millis {
        -1000..2000 => "just now".to_owned(),
        2000.. => format!("{} ago", whole(millis)),
        _ => format!("in {}", whole(-millis)),
    }
}

/// As `duration`, without fractions, which would flicker.
fn whole(millis: i64) -> String {
    if millis < 120_000 { format!("{} s", millis / 1000) } else { duration(millis) }
}

/// Text within HTML or an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A value in the query of an address.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(value: Value) -> View {
        View::new(value, "2026-11-23T20:05:01Z".parse().unwrap())
    }

    #[test]
    fn numbers_and_durations_can_be_read() {
        assert_eq!([0, 999, 1000, 1_234_567, -1200].map(thousands), ["0", "999", "1,000", "1,234,567", "−1,200"]);
        assert_eq!(
            [340, 2400, 61_000, 180_000, 18_000_000, 400_000_000].map(duration),
            ["340 ms", "2.4 s", "61 s", "3 min", "5 h", "4 d"]
        );
    }

    #[test]
    fn times_are_relative_with_the_exact_one_on_hover() {
        let shown = view(json!({"at": "2026-11-23T20:03:01Z"})).when("at");
        assert_eq!(
            shown,
            "<time datetime=\"2026-11-23T20:03:01Z\" title=\"23 November 2026, 20:03:01 UTC\">2 min ago</time>"
        );
        assert!(view(json!({})).when("at").contains(MISSING));
    }

    #[test]
    fn what_a_vendor_sent_is_escaped() {
        let shown = view(json!({"state": "<script>\"'&"})).chip("state");
        assert!(shown.contains("&lt;script&gt;&quot;&#39;&amp;") && !shown.contains("<script"), "{shown}");
    }

    #[test]
    fn agreement_is_never_rounded_up_to_all() {
        let of = |all: i64, agree: i64| view(json!({"members": all, "in_agreement": agree})).agreement();
        assert!(of(10_000, 9_999).contains("99.9 %") && of(10_000, 9_999).contains("9,999 of 10,000"));
        assert!(of(3, 3).contains("100.0 %") && of(0, 0).contains(MISSING));
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        let view = view(json!({"a": {"b": null}}));
        assert_eq!((view.or_dash("a.b"), view.count("a.c"), view.text("a.b")), ("–".into(), "–".into(), String::new()));
    }
}
