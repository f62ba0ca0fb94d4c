//! The error catalogue: for each reason and each refusal a plain cause, who can mend it, and how.
//!
//! Owns the one table from which `explain`, the checklist and the reference page are made. Names are those of the closed
//! lists and of the problems; a test holds them to be the same. Must not know where a reason arises.

mod table;

pub use table::CATALOGUE;

use super::closed_list::closed_list;
use super::merge::Reason;

closed_list! {
    /// What a code stands for.
    pub enum Subject {
        /// A member that is not in sync, and the change that waits for it.
        Member = "member",
        /// A mapping that has stopped.
        Mapping = "mapping",
        /// A flow action that did nothing for a person.
        FlowAction = "flow_action",
        /// A webhook that was answered and has no effect.
        Webhook = "webhook",
        /// A request that was refused.
        Request = "request",
    }
}

closed_list! {
    /// Who can mend it.
    pub enum Mender {
        /// Whoever runs programs and campaigns.
        MarketingOperations = "marketing operations",
        SalesforceAdmin = "Salesforce admin",
        MarketoAdmin = "Marketo admin",
        /// Whoever runs this service, or calls its API.
        Engineer = "engineer",
        /// It mends itself.
        Nobody = "nobody: it mends itself",
    }
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub subject: Subject,
    /// As it is stored, shown and filtered by.
    pub code: &'static str,
    /// What happened, in a sentence.
    pub cause: &'static str,
    pub mender: Mender,
    /// What to do, without a full stop at the end.
    pub how: &'static str,
}

/// The line of a code.
#[must_use]
pub fn find(subject: Subject, code: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.subject == subject && entry.code == code)
}

/// What a person can do about a member; none when it mends itself.
#[must_use]
pub fn to_change(reason: &str) -> Option<&'static str> {
    find(Subject::Member, reason).filter(|entry| entry.mender != Mender::Nobody).map(|entry| entry.how)
}

/// The reference page.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (subject, title, text) in SECTIONS {
        page += &format!("\n## {title}\n\n{text}\n\n");
        let of_members = *subject == Subject::Member;
        page += if of_members { "| code | state " } else { "| code " };
        page += "| what happened | who can mend it | how |\n|---|---|---|---|";
        page += if of_members { "---|\n" } else { "\n" };
        for entry in CATALOGUE.iter().filter(|entry| entry.subject == *subject) {
            let state = match entry.code.parse::<Reason>() {
                Ok(reason) if of_members => format!(" `{}` |", reason.state()),
                _ => String::new(),
            };
            let Entry { code, cause, mender, how, .. } = entry;
            page += &format!("| `{code}` |{state} {cause} | {mender} | {how} |\n");
        }
    }
    page
}

const INTRODUCTION: &str = "# Errors and reasons\n\n\
    Everything that this service says about what is not as it should be, by code. Generated from `src/domain/catalogue/table.rs`: \
    `UPDATE_ERRORS=1 cargo test --features sandbox --test it -- catalogue` writes it anew.\n";

/// Sections of the page, in order.
const SECTIONS: &[(Subject, &str, &str)] = &[
    (
        Subject::Member,
        "Members and changes",
        "`sync_state` and `reason` of a member, `reason` of a change. `GET /members/{id}/explain` shows the last column as `to_change`.",
    ),
    (
        Subject::Mapping,
        "Mappings",
        "`reason` of a mapping in state `failed`. Nothing is written for it until it is resumed.",
    ),
    (
        Subject::FlowAction,
        "Flow actions",
        "`reason` of a person whom a flow action skipped. Nothing is wrong with these.",
    ),
    (Subject::Webhook, "Webhooks", "`reason` of a webhook that was answered with `\"accepted\":false`."),
    (
        Subject::Request,
        "Refused requests",
        "`code` of a problem (`application/problem+json`); `detail` says more, and `errors` names the fields. Nothing was changed on either side.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn codes(subject: Subject) -> BTreeSet<&'static str> {
        CATALOGUE.iter().filter(|entry| entry.subject == subject).map(|entry| entry.code).collect()
    }

    #[test]
    fn every_reason_is_in_it_and_nothing_else() {
        let reasons: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(codes(Subject::Member), reasons);
    }

    #[test]
    fn a_code_is_there_once_and_each_line_is_one_that_a_table_can_hold() {
        let mut seen = BTreeSet::new();
        for entry in CATALOGUE {
            assert!(seen.insert((entry.subject, entry.code)), "{} is there twice", entry.code);
            for text in [entry.cause, entry.how] {
                assert!(
                    !text.is_empty() && !text.ends_with('.') && !text.contains(['|', '\n']),
                    "{}: {text:?}",
                    entry.code
                );
            }
        }
        let sections: BTreeSet<_> = SECTIONS.iter().map(|(subject, ..)| *subject).collect();
        assert_eq!(sections, Subject::ALL.iter().copied().collect());
    }

    #[test]
    fn what_mends_itself_leaves_nothing_to_do() {
        assert_eq!(to_change("waiting"), None);
        assert_eq!(to_change("sync_off"), Some("switch campaign sync on"));
        assert_eq!(to_change("not-found"), None, "that is a problem, and no reason");
    }
}
