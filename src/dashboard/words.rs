//! Codes as words, with a tone and, where there is one, a sentence.
//!
//! Owns no code: names are the API's, causes and remedies the error catalogue's.

use super::view::{escaped, thousands};
use crate::domain::catalogue::{Subject, find};

/// Those that a rule would spell wrongly.
const LABELS: &[(&str, &str)] = &[
    ("in_sync", "In sync"),
    ("no_op", "No change needed"),
    ("marketo", "Marketo"),
    ("salesforce", "Salesforce"),
    ("marketo_to_salesforce", "Marketo → Salesforce"),
    ("salesforce_to_marketo", "Salesforce → Marketo"),
    ("to_salesforce", "→ Salesforce"),
    ("to_marketo", "→ Marketo"),
    ("both", "Both ways"),
    ("readd", "Remove and add again"),
    ("below_gate", "Below the gate"),
    ("first_sync", "First sync"),
    ("hint", "Member change"),
    ("sync_off", "Sync is off"),
    ("p50", "Median"),
    ("api_version", "API version"),
    ("add_to_salesforce", "Add to Salesforce"),
    ("add_to_marketo", "Add to Marketo"),
    ("remove_from_salesforce", "Remove from Salesforce"),
    ("remove_from_marketo", "Remove from Marketo"),
    ("change_in_salesforce", "Change in Salesforce"),
    ("change_in_marketo", "Change in Marketo"),
    ("marketo_poll", "Marketo's log"),
    ("salesforce_poll", "Salesforce's log"),
    ("event_not_kept", "The event is no longer kept"),
    ("no_marketo_id", "Nobody in Marketo"),
    ("person_not_in_marketo", "Not in Marketo any more"),
    ("gone", "The receiver is gone (410)"),
    ("expired", "Tried for as long as is set"),
    ("sync.subscription.test", "Test"),
];

/// What a receiver can be told of: code, word, sentence.
pub(super) const EVENTS: [(&str, &str, &str); 8] = [
    ("campaign.member.added", "Member added", "Somebody joined the Salesforce campaign."),
    ("campaign.member.removed", "Member removed", "Somebody left the Salesforce campaign."),
    ("campaign.member.status_changed", "Status changed", "Somebody's status in the campaign is another one."),
    ("sync.mapping.failed", "A mapping has stopped", "Its program or campaign cannot be read any more."),
    ("sync.removals.waiting", "Removals wait", "More than usual, so that somebody has to approve them."),
    ("sync.source.silent", "A source is silent", "No webhook of a vendor came for a day."),
    ("sync.quota.exhausted", "Calls are used up", "A vendor grants no more calls today."),
    ("sync.subscription.disabled", "A receiver is disabled", "It is gone, or has failed for days."),
];

const TONES: &[(&str, &[&str])] = &[
    (
        "good",
        &["in_sync", "active", "applied", "completed", "approved", "ok", "closed", "delivered", "enabled", "succeeded"],
    ),
    (
        "warn",
        &[
            "pending",
            "retryable",
            "paused",
            "waiting",
            "warn",
            "running",
            "removing",
            "diverged",
            "retrying",
            "computing",
        ],
    ),
    ("bad", &["failed", "parked", "open", "fail", "disabled", "dead", "exhausted"]),
];

/// The word for a code.
pub(super) fn label(code: &str) -> String {
    if let Some((_, label)) = LABELS.iter().find(|(known, _)| *known == code) {
        return (*label).to_owned();
    }
    if let Some((_, label, _)) = EVENTS.iter().find(|(known, ..)| *known == code) {
        return (*label).to_owned();
    }
    let mut text = code.replace(['_', '-', '.'], " ");
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    text
}

/// A number with what it counts.
pub(super) fn counted(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// Whom a change is about: `marketo:318592` as `Marketo person 318592`.
pub(super) fn subject(code: &str) -> String {
    if code == "mapping" {
        return "The mapping itself".to_owned();
    }
    let Some((kind, id)) = code.split_once(':') else { return label(code) };
    match (kind, id.get(..3)) {
        ("marketo", _) => format!("Marketo person {id}"),
        ("salesforce", Some("00Q")) => format!("Lead {id}"),
        ("salesforce", Some("003")) => format!("Contact {id}"),
        ("salesforce", Some("001")) => format!("Account {id}"),
        ("member", _) => format!("Campaign member {id}"),
        ("person", _) => "A person known on both sides".to_owned(),
        ("email", _) => id.to_owned(),
        _ => format!("{} {id}", label(kind)),
    }
}

fn tone(code: &str) -> &'static str {
    TONES.iter().find(|(_, codes)| codes.contains(&code)).map_or("plain", |(tone, _)| tone)
}

/// A chip: the word, coloured by what the code means. HTML.
pub(super) fn chip(code: &str) -> String {
    format!("<span class=\"chip {}\">{}</span>", tone(code), escaped(&label(code)))
}

/// What happened to a member with this reason, in a sentence.
pub(super) fn cause(reason: &str) -> String {
    find(Subject::Member, reason).map_or_else(String::new, |entry| sentence(entry.cause))
}

/// Who can mend it, and how.
pub(super) fn remedy(reason: &str) -> String {
    find(Subject::Member, reason)
        .map_or_else(String::new, |entry| format!("{}: {}", sentence_start(entry.mender.as_str()), entry.how))
}

/// What can be done about a refused request.
pub(super) fn remedy_of_request(code: &str) -> String {
    find(Subject::Request, code).map_or_else(String::new, |entry| sentence(entry.how))
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = sentence_start(text.trim());
    if text.is_empty() || text.ends_with(['.', '!', '?', ':']) { text } else { text + "." }
}

fn sentence_start(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A policy with its values, each in a sentence.
pub(super) struct Policy {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    /// Value, word, sentence.
    pub values: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) const POLICIES: &[Policy] = &[
    Policy {
        name: "direction",
        title: "Direction",
        about: "Which way changes travel.",
        values: &[
            ("both", "Both ways", "A change on either side reaches the other."),
            (
                "marketo_to_salesforce",
                "Marketo → Salesforce",
                "Marketo is the source. Nothing is ever written to Marketo.",
            ),
            (
                "salesforce_to_marketo",
                "Salesforce → Marketo",
                "Salesforce is the source. Nothing is ever written to Salesforce.",
            ),
            ("observe", "Observe only", "Everything is decided and shown. Nothing is written to either side."),
        ],
    },
    Policy {
        name: "conflict",
        title: "When both sides changed",
        about: "Two people moved the same member at the same time.",
        values: &[
            (
                "furthest_progress",
                "Furthest progress",
                "The status further along in the channel wins; a tie goes to Marketo.",
            ),
            ("marketo_wins", "Marketo wins", "Marketo's status is written to Salesforce."),
            (
                "salesforce_wins",
                "Salesforce wins",
                "Salesforce's status is written to Marketo, unless it is a step back.",
            ),
            ("hold", "Hold", "Nothing is written. The member waits until somebody decides."),
        ],
    },
    Policy {
        name: "regression",
        title: "When Salesforce moves somebody back",
        about: "Marketo cannot lower a status.",
        values: &[
            ("hold", "Hold", "The two stay different, and the member is listed as diverged."),
            ("revert", "Set Salesforce back", "Salesforce gets Marketo's higher status again."),
            (
                "readd",
                "Remove and add again",
                "Marketo's member is deleted and added anew. Its membership date and success are lost.",
            ),
        ],
    },
    Policy {
        name: "removal",
        title: "When somebody is removed",
        about: "What happens on the other side. Many removals at once always wait for approval.",
        values: &[
            ("propagate", "Remove there too", "The member leaves the other side as well."),
            ("keep", "Keep there", "The member stays on the other side, and the two are kept apart."),
        ],
    },
    Policy {
        name: "create_leads",
        title: "People Salesforce does not know",
        about: "Somebody is in the program and has no lead or contact.",
        values: &[
            ("true", "Create a lead", "A lead is created after looking for the person by id and address."),
            ("false", "Leave them out", "The member is parked until somebody creates the person."),
        ],
    },
    Policy {
        name: "ambiguous_person",
        title: "Several records could be the person",
        about: "More than one lead or contact has the same address.",
        values: &[
            ("park", "Ask", "The member waits, with the candidates listed."),
            ("oldest", "Take the oldest", "The record that was created first is used."),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_words() {
        assert_eq!([label("in_sync"), label("vendor_rejected"), label("")], ["In sync", "Vendor rejected", ""]);
        assert_eq!(
            [label("campaign.member.added"), subject("marketo:7"), subject("salesforce:00Qx"), subject("mapping")],
            ["Member added", "Marketo person 7", "Lead 00Qx", "The mapping itself"]
        );
        assert!(chip("parked").contains("bad") && chip("unheard-of").contains("plain"));
        assert!(cause("quota").ends_with('.') && remedy("quota").starts_with("Engineer: "));
    }

    #[test]
    fn every_value_of_every_policy_is_explained() {
        use crate::domain::mapping::{AmbiguousPerson, Conflict, Direction, Regression, Removal};
        fn names<T: ToString>(all: &[T]) -> Vec<String> {
            all.iter().map(ToString::to_string).collect()
        }
        let expected = [
            ("direction", names(Direction::ALL)),
            ("conflict", names(Conflict::ALL)),
            ("regression", names(Regression::ALL)),
            ("removal", names(Removal::ALL)),
            ("create_leads", vec!["true".to_owned(), "false".to_owned()]),
            ("ambiguous_person", names(AmbiguousPerson::ALL)),
        ];
        let found: Vec<_> = POLICIES
            .iter()
            .map(|policy| (policy.name, policy.values.iter().map(|v| v.0.to_owned()).collect()))
            .collect();
        assert_eq!(found, expected);
    }
}
