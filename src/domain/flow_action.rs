//! Flow actions: what a marketer wants done about a member of a campaign, and whether there is anything to do.
//!
//! Owns the names of the three actions and the reasons for which one is skipped (Adobe, "Salesforce Flow Actions"). Pure: what
//! Salesforce says comes in, what is to be written goes out. Must not know the merge, which carries the result to Marketo.

use serde::{Deserialize, Serialize};

use super::closed_list::closed_list;
use super::merge::{Action, Reading, Reason};

closed_list! {
    /// What is to be done.
    pub enum FlowAction {
        /// Add to SFDC Campaign.
        Add = "add_to_campaign",
        /// Change Status in SFDC Campaign.
        Change = "change_status",
        /// Remove from SFDC Campaign.
        Remove = "remove_from_campaign",
    }
}

closed_list! {
    /// Why nothing was done, and that is as it should be.
    pub enum Skip {
        /// To be added, and in the campaign: the status is not touched.
        AlreadyMember = "already_member",
        /// In that status already.
        SameStatus = "same_status",
        /// To be removed, and not in the campaign.
        NotMember = "not_member",
        /// What is only implied, creating a lead or adding the member whose status is to be changed, is off inside a mapped
        /// program: its mapping brings whom it shall (Adobe, "Sync an SFDC Campaign with a Program").
        LeftToMapping = "left_to_mapping",
    }
}

/// One flow action for one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub action: FlowAction,
    /// None for a removal.
    pub status: Option<String>,
    /// Whether leads and members may be created although that was not what was asked for.
    pub implied: bool,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To be written.
    Do(Action),
    /// Nothing is to be done.
    Skip(Skip),
    /// It cannot be done as things are.
    Hold(Reason),
}

impl Command {
    /// What there is to do, given what Salesforce says of the member; `known` is whether it knows the person.
    #[must_use]
    pub fn decide(&self, now: &Reading, known: bool) -> Verdict {
        let wanted = self.status.clone().unwrap_or_default();
        match (self.action, now) {
            (_, Reading::Unreadable) => Verdict::Hold(Reason::Unreadable),
            (FlowAction::Remove, Reading::Absent | Reading::Gone) => Verdict::Skip(Skip::NotMember),
            (FlowAction::Remove, Reading::Status(_)) => Verdict::Do(Action::RemoveFromSalesforce),
            // Whoever deleted the person did not want it back.
            (FlowAction::Add | FlowAction::Change, Reading::Gone) => Verdict::Hold(Reason::PersonDeleted),
            (FlowAction::Add, Reading::Status(_)) => Verdict::Skip(Skip::AlreadyMember),
            (FlowAction::Change, Reading::Status(status)) if *status == wanted => Verdict::Skip(Skip::SameStatus),
            (FlowAction::Change, Reading::Status(_)) => Verdict::Do(Action::ChangeInSalesforce(wanted)),
            (FlowAction::Add, Reading::Absent) if known || self.implied => Verdict::Do(Action::AddToSalesforce(wanted)),
            (FlowAction::Change, Reading::Absent) if self.implied => Verdict::Do(Action::AddToSalesforce(wanted)),
            (FlowAction::Add | FlowAction::Change, Reading::Absent) => Verdict::Skip(Skip::LeftToMapping),
        }
    }

    /// Whether Salesforce holds what was asked for.
    #[must_use]
    pub fn is_done(&self, now: &Reading) -> bool {
        match (self.action, now) {
            (FlowAction::Remove, Reading::Absent | Reading::Gone) => true,
            (FlowAction::Add | FlowAction::Change, Reading::Status(status)) => Some(status) == self.status.as_ref(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Reading {
        match text {
            "?" => Reading::Unreadable,
            "x" => Reading::Gone,
            "-" => Reading::Absent,
            status => Reading::Status(status.to_owned()),
        }
    }

    fn shown(verdict: Verdict) -> String {
        match verdict {
            Verdict::Do(Action::AddToSalesforce(status)) => format!("add {status}"),
            Verdict::Do(Action::ChangeInSalesforce(status)) => format!("change {status}"),
            Verdict::Do(Action::RemoveFromSalesforce) => "remove".to_owned(),
            Verdict::Do(other) => panic!("{other:?}"),
            Verdict::Skip(skip) => skip.to_string(),
            Verdict::Hold(reason) => reason.to_string(),
        }
    }

    #[test]
    fn every_action_on_everything_that_salesforce_can_say() {
        // Action, what is held, of whom it knows and may imply; of whom it does not know and may; of each and may not.
        for (action, now, known, unknown, inside, unknown_inside) in [
            (FlowAction::Add, "-", "add B", "add B", "add B", "left_to_mapping"),
            (FlowAction::Add, "A", "already_member", "already_member", "already_member", "already_member"),
            (FlowAction::Add, "B", "already_member", "already_member", "already_member", "already_member"),
            (FlowAction::Add, "x", "person_deleted", "person_deleted", "person_deleted", "person_deleted"),
            (FlowAction::Change, "-", "add B", "add B", "left_to_mapping", "left_to_mapping"),
            (FlowAction::Change, "A", "change B", "change B", "change B", "change B"),
            (FlowAction::Change, "B", "same_status", "same_status", "same_status", "same_status"),
            (FlowAction::Change, "x", "person_deleted", "person_deleted", "person_deleted", "person_deleted"),
            (FlowAction::Remove, "-", "not_member", "not_member", "not_member", "not_member"),
            (FlowAction::Remove, "A", "remove", "remove", "remove", "remove"),
            (FlowAction::Remove, "x", "not_member", "not_member", "not_member", "not_member"),
            (FlowAction::Add, "?", "unreadable", "unreadable", "unreadable", "unreadable"),
            (FlowAction::Remove, "?", "unreadable", "unreadable", "unreadable", "unreadable"),
        ] {
            let decide = |implied, known| {
                let status = (action != FlowAction::Remove).then(|| "B".to_owned());
                shown(Command { action, status, implied }.decide(&reading(now), known))
            };
            assert_eq!(
                [decide(true, true), decide(true, false), decide(false, true), decide(false, false)],
                [known, unknown, inside, unknown_inside],
                "{action} {now}"
            );
        }
    }

    #[test]
    fn what_was_asked_for_is_recognised() {
        let command =
            |action, status: Option<&str>| Command { action, status: status.map(str::to_owned), implied: true };
        assert!(command(FlowAction::Add, Some("B")).is_done(&reading("B")));
        assert!(!command(FlowAction::Add, Some("B")).is_done(&reading("A")));
        assert!(!command(FlowAction::Change, Some("B")).is_done(&reading("-")));
        assert!(command(FlowAction::Remove, None).is_done(&reading("-")));
        assert!(!command(FlowAction::Remove, None).is_done(&reading("B")));
    }
}
