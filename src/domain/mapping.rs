//! What a mapping is told to do: direction and policies, and how a change to them is merged.
//!
//! Owns the names and defaults of the policies, as the API and the configuration show them. Must not know how a policy
//! is applied; that is the merge.

use serde::{Deserialize, Deserializer, Serialize};

use super::closed_list::closed_list;

closed_list! {
    /// Which way changes travel.
    pub enum Direction {
        /// Both ways.
        Both = "both",
        /// Marketo is the source, nothing is written to it.
        MarketoToSalesforce = "marketo_to_salesforce",
        /// Salesforce is the source, nothing is written to it.
        SalesforceToMarketo = "salesforce_to_marketo",
        /// Decided as for both and shown, nothing is written.
        Observe = "observe",
    }
}

closed_list! {
    /// What happens when both sides changed and differ.
    pub enum Conflict {
        /// The higher step of the channel wins, a tie goes to Marketo.
        FurthestProgress = "furthest_progress",
        /// Marketo's status is written to Salesforce.
        MarketoWins = "marketo_wins",
        /// Salesforce's status is written to Marketo; a lower step is a regression.
        SalesforceWins = "salesforce_wins",
        /// Nothing is written until a person resolves it.
        Hold = "hold",
    }
}

closed_list! {
    /// What happens when Salesforce moves to a lower step, which Marketo's API cannot follow.
    pub enum Regression {
        /// Nothing is written until a person resolves it.
        Hold = "hold",
        /// Salesforce is set back.
        Revert = "revert",
        /// The program member is deleted and added again: loses membership date and success.
        Readd = "readd",
    }
}

closed_list! {
    /// What happens on the other side when a member is removed.
    pub enum Removal {
        /// It is removed there as well, guarded.
        Propagate = "propagate",
        /// It stays there, and the two are kept apart from then on.
        Keep = "keep",
    }
}

closed_list! {
    /// What happens when several people could be the one.
    pub enum AmbiguousPerson {
        /// The member waits for a person to say.
        Park = "park",
        /// The one that was created first is taken.
        Oldest = "oldest",
    }
}

closed_list! {
    /// Where a mapping is in its life.
    pub enum MappingState {
        /// Changes are applied.
        Active = "active",
        /// Changes are received and kept, not applied.
        Paused = "paused",
        /// Program or campaign vanished or cannot be read as a whole.
        Failed = "failed",
        /// What this service added is being taken back; then the mapping is gone.
        Removing = "removing",
    }
}

/// How one mapping behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    pub direction: Direction,
    pub conflict: Conflict,
    pub regression: Regression,
    pub removal: Removal,
    /// Whether a person unknown to Salesforce is created there as a lead.
    pub create_leads: bool,
    pub ambiguous_person: AmbiguousPerson,
    /// Program statuses that may create a counterpart; none: all of them. An empty list lets nobody through.
    pub gate: Option<Vec<String>>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            direction: Direction::Both,
            conflict: Conflict::FurthestProgress,
            regression: Regression::Hold,
            removal: Removal::Propagate,
            create_leads: true,
            ambiguous_person: AmbiguousPerson::Park,
            gate: None,
        }
    }
}

impl Policies {
    /// Whether a program status may create a counterpart.
    #[must_use]
    pub fn lets_through(&self, program_status: &str) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.iter().any(|name| name == program_status))
    }
}

/// Some of the policies, to be laid over others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regression: Option<Regression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_leads: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguous_person: Option<AmbiguousPerson>,
    /// Missing leaves the gate as it is, `null` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub gate: Option<Option<Vec<String>>>,
}

/// A field that is there, be it null; one that is missing never gets here.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

impl PolicyPatch {
    /// `over` with what this patch names replaced.
    #[must_use]
    pub fn merge(&self, over: &Policies) -> Policies {
        Policies {
            direction: self.direction.unwrap_or(over.direction),
            conflict: self.conflict.unwrap_or(over.conflict),
            regression: self.regression.unwrap_or(over.regression),
            removal: self.removal.unwrap_or(over.removal),
            create_leads: self.create_leads.unwrap_or(over.create_leads),
            ambiguous_person: self.ambiguous_person.unwrap_or(over.ambiguous_person),
            gate: self.gate.clone().unwrap_or_else(|| over.gate.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> PolicyPatch {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn defaults_carry_the_public_names() {
        assert_eq!(
            serde_json::to_string(&Policies::default()).unwrap(),
            r#"{"direction":"both","conflict":"furthest_progress","regression":"hold","removal":"propagate","create_leads":true,"ambiguous_person":"park","gate":null}"#
        );
        assert_eq!(serde_json::from_str::<Policies>("{}").unwrap(), Policies::default());
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let before = Policies { gate: Some(vec!["Attended".to_owned()]), create_leads: false, ..Policies::default() };
        assert_eq!(patch("{}").merge(&before), before);
        let after = patch(r#"{"direction":"observe","removal":"keep"}"#).merge(&before);
        let expected = Policies { direction: Direction::Observe, removal: Removal::Keep, ..before };
        assert_eq!(after, expected);
    }

    #[test]
    fn a_gate_of_null_is_taken_away_and_a_missing_one_stays() {
        let before = Policies { gate: Some(vec!["Attended".to_owned()]), ..Policies::default() };
        assert_eq!(patch("{}").merge(&before).gate, before.gate);
        assert_eq!(patch(r#"{"gate":null}"#).merge(&before).gate, None);
        assert_eq!(patch(r#"{"gate":[]}"#).merge(&before).gate, Some(vec![]));
        for json in ["{}", r#"{"gate":null}"#, r#"{"gate":["Invited"]}"#] {
            assert_eq!(serde_json::to_string(&patch(json)).unwrap(), json);
        }
    }

    #[test]
    fn an_unknown_policy_or_value_is_refused() {
        assert!(serde_json::from_str::<PolicyPatch>(r#"{"directions":"both"}"#).is_err());
        assert!(serde_json::from_str::<PolicyPatch>(r#"{"direction":"sideways"}"#).is_err());
    }

    #[test]
    fn an_empty_gate_lets_nobody_through_and_none_everybody() {
        let gate = |gate: Option<&[&str]>| Policies {
            gate: gate.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            ..Policies::default()
        };
        assert!(gate(None).lets_through("Invited"));
        assert!(gate(Some(&["Invited"])).lets_through("Invited"));
        assert!(!gate(Some(&["Invited"])).lets_through("invited"));
        assert!(!gate(Some(&[])).lets_through("Invited"));
    }
}
