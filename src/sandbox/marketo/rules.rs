//! The step rule of program statuses, as a table over a channel.
//!
//! Owns nothing but pure functions. "People cannot go backwards ... they can only change status to a higher or equal value
//! status" (Marketo, "Create a Program Channel"); the REST call also skips whoever is already in the status.

use serde::{Deserialize, Serialize};

/// Step 0 of every channel: the absence of a membership, never the status of a member.
pub const NOT_IN_PROGRAM: &str = "Not in Program";

/// One progression status of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressionStatus {
    /// Id in activity 104; the channel call does not show it.
    #[serde(default)]
    pub id: i64,
    /// Name, unique in the channel.
    pub name: String,
    /// Position in the progression; several statuses may share one.
    pub step: i64,
    /// Whether reaching it is the success of the program.
    #[serde(default)]
    pub success: bool,
    /// Hidden statuses are still returned by the API.
    #[serde(default)]
    pub hidden: bool,
}

/// What a change of status comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The person becomes a member.
    Created,
    /// The member moves on.
    Updated,
    /// The member is in the status already.
    Same,
    /// The member is past it.
    Past,
}

/// What happens when a person with `current` (status name and the step it had when it was given) is to have `target`. `None`
/// when the channel does not know `target`.
///
/// A member may hold a status that its channel no longer lists, since renaming leaves records alone; then the old step counts.
#[must_use]
pub fn change(statuses: &[ProgressionStatus], current: Option<(&str, i64)>, target: &str) -> Option<Move> {
    let target = statuses.iter().find(|status| status.name == target && status.step != 0)?;
    let Some((name, recorded_step)) = current else { return Some(Move::Created) };
    let step = statuses.iter().find(|status| status.name == name).map_or(recorded_step, |status| status.step);
    Some(if name == target.name {
        Move::Same
    } else if step > target.step {
        Move::Past
    } else {
        Move::Updated
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_rule() {
        let status =
            |name: &str, step| ProgressionStatus { id: step, name: name.into(), step, success: false, hidden: false };
        let seminar = [status(NOT_IN_PROGRAM, 0), status("Invited", 10), status("No Show", 30), status("Attended", 30)];
        for (current, target, expected) in [
            (None, "Invited", Some(Move::Created)),
            (None, "Attended", Some(Move::Created)),
            (Some(("Invited", 10)), "Attended", Some(Move::Updated)),
            (Some(("No Show", 30)), "Attended", Some(Move::Updated)),
            (Some(("Attended", 30)), "No Show", Some(Move::Updated)),
            (Some(("Attended", 30)), "Attended", Some(Move::Same)),
            (Some(("Attended", 30)), "Invited", Some(Move::Past)),
            (Some(("Renamed since", 20)), "Invited", Some(Move::Past)),
            (Some(("Renamed since", 20)), "Attended", Some(Move::Updated)),
            (None, NOT_IN_PROGRAM, None),
            (Some(("Invited", 10)), NOT_IN_PROGRAM, None),
            (None, "attended", None),
            (None, "Nowhere", None),
        ] {
            assert_eq!(change(&seminar, current, target), expected, "{current:?} to {target}");
        }
    }
}
