//! What happened to a member, in words.
//!
//! Owns how each kind of entry of the history reads; what it has beside that stays to be looked at as it was noted.

use super::view::View;
use super::words::{label, sentence};

/// Something that happened, in words.
pub(super) struct Event {
    pub at: View,
    pub title: String,
    pub text: String,
    pub detail: String,
}

impl Event {
    pub(super) fn of(entry: &View) -> Self {
        let (kind, detail) = (entry.text("kind"), entry.at("detail"));
        let (title, text) = match kind.as_str() {
            "hint" => heard(&detail),
            "decided" => ("Decided".to_owned(), decided(&detail)),
            "written" => (format!("Written to {}", detail.word("side")), written(&detail)),
            "flow_action" => ("Flow action".to_owned(), flow_action(&detail)),
            "overwritten" => ("An edit was overtaken".to_owned(), overwritten(&detail)),
            "frozen" => ("Left alone".to_owned(), "Our writes and somebody else's kept undoing each other.".to_owned()),
            other => (label(other), pairs(&detail)),
        };
        Self { at: entry.at("at"), title, text, detail: detail.json("") }
    }
}

/// A value as one side had it.
fn held(detail: &View, side: &str) -> String {
    let value = detail.at(side);
    match () {
        () if value.has("gone") => "deleted".to_owned(),
        () if value.has("unreadable") => "could not be read".to_owned(),
        () if value.value("").is_null() => "not a member".to_owned(),
        () => value.text(""),
    }
}

fn heard(detail: &View) -> (String, String) {
    let source = detail.text("source");
    let title = match source.strip_suffix("_poll") {
        Some(vendor) => format!("Found in the log of {}", label(vendor)),
        None => format!("{} said that something changed", label(&source)),
    };
    let hint = detail.at("hint");
    let removed = hint.has("removed") || hint.is("operation", "delete");
    let text = match (removed, hint.has("status")) {
        (true, _) => "Removed.".to_owned(),
        (false, true) => format!("Status {}.", hint.text("status")),
        (false, false) => String::new(),
    };
    (title, text)
}

/// `add_to_salesforce` as `Add to Salesforce`.
fn action(code: &str) -> String {
    label(code).replace("salesforce", "Salesforce").replace("marketo", "Marketo")
}

fn error(detail: &View, path: &str) -> String {
    let error = detail.at(path);
    if !error.value("").is_object() {
        return String::new();
    }
    format!("{} said {} {}", error.word("vendor"), error.text("code"), error.text("message"))
}

fn decided(detail: &View) -> String {
    let sides = format!("Marketo: {}, Salesforce: {}", held(detail, "marketo"), held(detail, "salesforce"));
    let name = detail.text("action.name");
    let done = match name.as_str() {
        "" | "nothing" | "close" => String::new(),
        _ if detail.has("action.status") => format!("{} with {}", action(&name), detail.text("action.status")),
        _ => action(&name),
    };
    let state = match (detail.text("state").as_str(), detail.text("reason").as_str()) {
        ("closed", _) => "On neither side any more".to_owned(),
        (state, "") => label(state),
        (state, reason) => format!("{}: {}", label(state), label(reason).to_lowercase()),
    };
    let parts = [sides, done, state, error(detail, "error")];
    let parts: Vec<String> = parts.iter().filter(|part| !part.is_empty()).map(|part| sentence(part)).collect();
    parts.join(" ")
}

fn written(detail: &View) -> String {
    let what = match detail.has("status") {
        true => detail.text("status"),
        false => action(&detail.text("action")),
    };
    let answer = error(detail, "answer");
    match answer.is_empty() {
        true => format!("{} {}.", sentence(&what), label(&detail.text("answer"))),
        false => format!("{} {}", sentence(&what), sentence(&answer)),
    }
}

fn flow_action(detail: &View) -> String {
    let mut text = label(&detail.text("action"));
    if detail.has("status") {
        text += &format!(" with {}", detail.text("status"));
    }
    text += &format!(": {}", label(&detail.text("outcome")).to_lowercase());
    if detail.has("reason") {
        text += &format!(", {}", label(&detail.text("reason")).to_lowercase());
    }
    sentence(&text)
}

fn overwritten(detail: &View) -> String {
    let was = if detail.has("status") { detail.text("status") } else { "a removal".to_owned() };
    let now = if detail.has("brought_back") { "It was brought back." } else { "What we wrote stands." };
    format!("Somebody set {was} in Salesforce while our write was on its way. {now}")
}

/// What has no words of its own.
fn pairs(detail: &View) -> String {
    let plain = |value: &View| value.has("") && !value.value("").is_object() && !value.value("").is_array();
    let all = detail.pairs("").into_iter().filter(|(_, value)| plain(value));
    let parts: Vec<String> =
        all.map(|(name, value)| format!("{} {}", label(&name).to_lowercase(), value.text(""))).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: &str, detail: Value) -> (String, String) {
        let entry = json!({"at": "2026-11-23T20:05:01Z", "kind": kind, "detail": detail});
        let event = Event::of(&View::new(entry, "2026-11-23T20:05:01Z".parse().unwrap()));
        (event.title, event.text)
    }

    #[test]
    fn entries_read_as_sentences() {
        let said = |title: &str, text: &str| (title.to_owned(), text.to_owned());
        let hint = json!({"source": "marketo_poll", "hint": {"kind": "program_member", "removed": false, "status": "Attended"}});
        assert_eq!(event("hint", hint), said("Found in the log of Marketo", "Status Attended."));
        let decision = json!({"marketo": "Attended", "salesforce": null, "rule": "2", "written": true, "state": "in_sync",
            "reason": null, "action": {"name": "add_to_salesforce", "status": "Attended"}, "error": null});
        let text = "Marketo: Attended, Salesforce: not a member. Add to Salesforce with Attended. In sync.";
        assert_eq!(event("decided", decision), said("Decided", text));
        let parked = json!({"marketo": {"gone": true}, "salesforce": "Sent", "state": "parked", "reason": "vendor_rejected",
            "action": {"name": "nothing", "status": null}, "error": {"vendor": "salesforce", "code": "X", "message": "no"}});
        let text = "Marketo: deleted, Salesforce: Sent. Parked: vendor rejected. Salesforce said X no.";
        assert_eq!(event("decided", parked), said("Decided", text));
        let write = json!({"side": "salesforce", "action": "add_to_salesforce", "status": "Sent", "answer": "accepted", "held": "Sent"});
        assert_eq!(event("written", write), said("Written to Salesforce", "Sent. Accepted."));
        assert_eq!(event("unheard_of", json!({"a_b": 1, "c": {"d": 2}})), said("Unheard of", "a b 1"));
    }
}
