//! What a mapping warns of: it works, and yet not as its maker may think.
//!
//! Owns the codes, and which statuses of the two sides deserve a warning. A warning never stops anything, and says how it
//! can be mended. Must not know how the two sides are read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::closed_list::closed_list;
use super::mapping::Direction;
use super::merge::Side;
use super::status::{Problem, StatusMap};

closed_list! {
    /// What is warned of.
    pub enum WarningCode {
        /// A status has no counterpart: members who hold it are parked.
        StatusUnmatched = "status-unmatched",
        /// A status is a success in Marketo, and its counterpart in Salesforce does not count as a response.
        SuccessWithoutResponse = "success-without-response",
        /// A status counts as a response in Salesforce, and its counterpart in Marketo is no success.
        ResponseWithoutSuccess = "response-without-success",
        /// The channel is not among the values of `Campaign.Type`, and no other may be written.
        TypeNotInPicklist = "type-not-in-picklist",
        /// `Campaign.Type` cannot be written by our user.
        TypeNotWritable = "type-not-writable",
        /// `Campaign.ActualCost` cannot be written by our user.
        CostNotWritable = "cost-not-writable",
        /// The period costs of the program cannot be read.
        CostUnreadable = "cost-unreadable",
        /// Marketo's own sync has taken the program up since it was mapped.
        NativeSyncActive = "native-sync-active",
    }
}

impl WarningCode {
    /// Whether it is about statuses, and not about the program or a field.
    #[must_use]
    pub fn is_of_statuses(self) -> bool {
        matches!(self, Self::StatusUnmatched | Self::SuccessWithoutResponse | Self::ResponseWithoutSuccess)
    }
}

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub code: WarningCode,
    /// The statuses that it is about.
    #[serde(default)]
    pub program_status: Option<String>,
    #[serde(default)]
    pub campaign_status: Option<String>,
    /// For people: what was found, and how to mend it.
    pub message: String,
}

impl Warning {
    #[must_use]
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self { code, program_status: None, campaign_status: None, message: message.into() }
    }
}

/// A program status as its channel has it.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSide<'a> {
    pub name: &'a str,
    pub success: bool,
    pub hidden: bool,
}

/// A campaign status.
#[derive(Clone, Copy, Debug)]
pub struct CampaignSide<'a> {
    pub label: &'a str,
    pub has_responded: bool,
}

/// What about the statuses of the two sides deserves a warning, given how they are translated.
#[must_use]
pub fn of_statuses(
    map: &StatusMap,
    program: &[ProgramSide<'_>],
    campaign: &[CampaignSide<'_>],
    direction: Direction,
) -> Vec<Warning> {
    let names: Vec<&str> = program.iter().map(|status| status.name).collect();
    let labels: Vec<&str> = campaign.iter().map(|status| status.label).collect();
    let hidden = |name: &str| program.iter().any(|status| status.name == name && status.hidden);
    let differences = map.validate(&names, &labels).into_iter();
    let unmatched = differences.filter(|d| d.matters(hidden(&d.status), direction)).map(|d| {
        let (side, other) = match d.side {
            Side::Marketo => ("The program", "campaign"),
            Side::Salesforce => ("The campaign", "program"),
        };
        let status = &d.status;
        let message = match d.problem {
            Problem::Unknown => format!("{side} has no status {status:?} any more; change the status map, or add it again"),
            Problem::Untranslated => format!(
                "{side}'s status {status:?} has no counterpart: members who hold it are parked. Add it to the {other}, or give a status_map"
            ),
            Problem::Ambiguous => format!("{side}'s status {status:?} has more than one translation in the status map"),
        };
        let of = |side| (d.side == side).then(|| status.clone());
        let (program_status, campaign_status) = (of(Side::Marketo), of(Side::Salesforce));
        Warning { code: WarningCode::StatusUnmatched, program_status, campaign_status, message }
    });
    let rows = map.rows.iter().map(|row| (row.program_status.as_str(), row.campaign_status.as_str()));
    unmatched.chain(of_pairs(program, campaign, rows)).collect()
}

/// The pairs of which only one side counts as a response.
#[must_use]
pub fn of_pairs<'a>(
    program: &[ProgramSide<'_>],
    campaign: &[CampaignSide<'_>],
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<Warning> {
    let warning = |(name, label): (&str, &str)| {
        let success = program.iter().find(|status| status.name == name)?.success;
        let responded = campaign.iter().find(|status| status.label == label)?.has_responded;
        let (code, message) = match (success, responded) {
            (true, false) => (
                WarningCode::SuccessWithoutResponse,
                format!(
                    "{name:?} is a success of the program, and {label:?} does not count as a response: set Responded on it in Salesforce"
                ),
            ),
            (false, true) => (
                WarningCode::ResponseWithoutSuccess,
                format!(
                    "{label:?} counts as a response, and {name:?} is not a success of the program: make it one in the channel, or take Responded off in Salesforce"
                ),
            ),
            _ => return None,
        };
        let (program_status, campaign_status) = (Some(name.to_owned()), Some(label.to_owned()));
        Some(Warning { code, program_status, campaign_status, message })
    };
    // A map may have one row for each direction of a pair.
    pairs.collect::<BTreeSet<_>>().into_iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_of_what_has_no_counterpart_and_of_success_that_is_no_response() {
        let program = |name, success, hidden| ProgramSide { name, success, hidden };
        let program = [program("Invited", false, false), program("Old", false, true), program("Attended", true, false)];
        let campaign = |label, has_responded| CampaignSide { label, has_responded };
        let campaign = [campaign("Invited", true), campaign("Attended", false), campaign("Sent", false)];
        let map = StatusMap::exact(&["Invited", "Old", "Attended"], &["Invited", "Attended", "Sent"]);
        let codes = |direction| {
            let found = of_statuses(&map, &program, &campaign, direction);
            found.iter().map(|warning| warning.code).collect::<Vec<_>>()
        };
        use WarningCode::{ResponseWithoutSuccess, StatusUnmatched, SuccessWithoutResponse};
        assert_eq!(codes(Direction::Both), [StatusUnmatched, SuccessWithoutResponse, ResponseWithoutSuccess]);
        assert_eq!(codes(Direction::MarketoToSalesforce), [SuccessWithoutResponse, ResponseWithoutSuccess]);
    }
}
