//! Who wants to be told of what.
//!
//! Owns the one rule by which an event finds its subscribers, when it happens and when it is replayed. Must not know where
//! or how a subscriber is told.

use serde::{Deserialize, Serialize};

use super::closed_list::closed_list;
use super::ids::ProgramId;

closed_list! {
    /// What happens to the sync itself. Told only to those who name it.
    pub enum OperationalType {
        /// A mapping has stopped.
        MappingFailed = "sync.mapping.failed",
        /// Removals wait for a person.
        RemovalsWaiting = "sync.removals.waiting",
        /// A vendor's webhooks have not been heard of for long.
        SourceSilent = "sync.source.silent",
        /// A vendor's calls of the day are used up.
        QuotaExhausted = "sync.quota.exhausted",
        /// A subscription was given up.
        SubscriptionDisabled = "sync.subscription.disabled",
    }
}

closed_list! {
    /// How a subscription stands.
    pub enum SubscriptionState {
        /// It is told.
        Enabled = "enabled",
        /// A person has stopped it.
        Paused = "paused",
        /// This service has stopped it, and says why.
        Disabled = "disabled",
    }
}

closed_list! {
    /// Why this service has stopped a subscription.
    pub enum DisabledReason {
        /// The receiver answered 410: it does not want any more.
        Gone = "gone",
        /// Nothing was taken for as long as a delivery is tried.
        Failing = "failing",
    }
}

/// Which events a subscription wants. An empty list lets everything through; each value of a list will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Empty: every trigger event, and nothing operational.
    pub types: Vec<String>,
    pub campaign_ids: Vec<String>,
    pub program_ids: Vec<ProgramId>,
    pub statuses: Vec<String>,
    pub old_statuses: Vec<String>,
    pub new_statuses: Vec<String>,
}

/// An event, as far as it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened<'a> {
    pub kind: &'a str,
    pub campaign_id: Option<&'a str>,
    pub program_id: Option<ProgramId>,
    pub status: Option<&'a str>,
    pub old_status: Option<&'a str>,
    pub new_status: Option<&'a str>,
}

impl Wanted {
    /// Whether a trigger event is wanted.
    #[must_use]
    pub fn wants(&self, event: &Happened) -> bool {
        (self.types.is_empty() || self.names(event.kind))
            && self.concerns(event)
            && any_of(&self.statuses, event.status)
            && any_of(&self.old_statuses, event.old_status)
            && any_of(&self.new_statuses, event.new_status)
    }

    /// Whether an operational event is wanted. It has no statuses; one that is about no campaign passes those who named some.
    #[must_use]
    pub fn wants_operational(&self, event: &Happened) -> bool {
        let general = event.campaign_id.is_none() && event.program_id.is_none();
        self.names(event.kind) && (general || self.concerns(event))
    }

    fn names(&self, kind: &str) -> bool {
        self.types.iter().any(|name| name == kind)
    }

    fn concerns(&self, event: &Happened) -> bool {
        let programs = &self.program_ids;
        any_of(&self.campaign_ids, event.campaign_id)
            && (programs.is_empty() || event.program_id.is_some_and(|id| programs.contains(&id)))
    }
}

fn any_of(wanted: &[String], value: Option<&str>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVED: Happened = Happened {
        kind: "campaign.member.status_changed",
        campaign_id: Some("701A"),
        program_id: Some(1044),
        status: Some("Attended"),
        old_status: Some("Registered"),
        new_status: Some("Attended"),
    };
    const REMOVED: Happened = Happened { kind: "campaign.member.removed", program_id: None, new_status: None, ..MOVED };

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_list_that_is_given_has_to_hold_the_event() {
        let all = Wanted::default();
        for (wanted, moved, removed) in [
            (all.clone(), true, true),
            (Wanted { types: list(&["campaign.member.removed", "sync.mapping.failed"]), ..all.clone() }, false, true),
            (Wanted { campaign_ids: list(&["701B", "701A"]), ..all.clone() }, true, true),
            (Wanted { campaign_ids: list(&["701B"]), ..all.clone() }, false, false),
            (Wanted { program_ids: vec![1044], ..all.clone() }, true, false),
            (Wanted { program_ids: vec![7], ..all.clone() }, false, false),
            (Wanted { statuses: list(&["Attended"]), ..all.clone() }, true, true),
            (Wanted { old_statuses: list(&["Attended"]), ..all.clone() }, false, false),
            (
                Wanted { old_statuses: list(&["Registered"]), new_statuses: list(&["Attended"]), ..all.clone() },
                true,
                false,
            ),
            (Wanted { statuses: list(&["attended"]), ..all.clone() }, false, false),
            (Wanted { types: list(&["sync.mapping.failed"]), ..all }, false, false),
        ] {
            assert_eq!((wanted.wants(&MOVED), wanted.wants(&REMOVED)), (moved, removed), "{wanted:?}");
        }
    }

    #[test]
    fn operational_events_go_to_those_who_name_them() {
        let failed = Happened { kind: "sync.mapping.failed", campaign_id: Some("701A"), ..Happened::default() };
        let quota = Happened { kind: "sync.quota.exhausted", ..Happened::default() };
        let both = Wanted { types: list(&["sync.mapping.failed", "sync.quota.exhausted"]), ..Wanted::default() };
        let elsewhere = Wanted { campaign_ids: list(&["701B"]), statuses: list(&["x"]), ..both.clone() };
        assert!(!Wanted::default().wants_operational(&failed));
        assert!(both.wants_operational(&failed) && both.wants_operational(&quota));
        assert!(!elsewhere.wants_operational(&failed) && elsewhere.wants_operational(&quota));
    }
}
