//! The merge: what has to be done about one member, given what both sides say now and what they last agreed on.
//!
//! Owns the decision table; live sync, first sync, reconciliation and plan all come here. Pure: the same input gives
//! the same decision, whoever asks and however often. Must not know how anything is read or written, who the person
//! is, or how often it was tried.

mod rule;
mod state;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod worlds;

use serde::{Deserialize, Serialize};

use super::closed_list::closed_list;
use super::mapping::Policies;
use super::status::{StatusMap, Steps};

pub use rule::Rule;
pub use state::{Reason, SyncState};
pub use table::{decide, decide_account, decide_overtaken, resolve};

closed_list! {
    /// One of the two systems that are kept the same.
    pub enum Side {
        /// The program.
        Marketo = "marketo",
        /// The campaign.
        Salesforce = "salesforce",
    }
}

impl Side {
    /// The opposite one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Marketo => Self::Salesforce,
            Self::Salesforce => Self::Marketo,
        }
    }
}

/// What one side said when it was asked for a member by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// `?`: no answer that can be relied on.
    Unreadable,
    /// `x`: the person is gone.
    Gone,
    /// `-`: the person was read, and is not a member.
    Absent,
    /// A member with this status.
    Status(String),
}

impl Reading {
    /// The status, when it is one.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// A status, or none for absent.
pub type Presence = Option<String>;

/// The pair on which both sides last agreed. With one of them absent the two are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub marketo: Presence,
    pub salesforce: Presence,
}

impl Base {
    /// Whether the pair still means agreement after the status map changed; one that does not is dropped, so that a
    /// change of the map is never read as a change by a person. Members kept apart stay so: no map put them there.
    #[must_use]
    pub fn holds(&self, map: &StatusMap) -> bool {
        match (&self.marketo, &self.salesforce) {
            (Some(m), Some(s)) => map.same(m, s),
            (None, None) => false,
            _ => true,
        }
    }
}

/// Why nothing may be written just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The mapping is paused.
    Paused,
    /// Campaign sync as a whole is off.
    SyncOff,
    /// The loop breaker froze this member.
    Frozen,
}

/// What a decision depends on besides the member.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub map: &'a StatusMap,
    pub steps: &'a Steps,
    pub policies: &'a Policies,
    pub halt: Option<Halt>,
    /// Persons were merged: the base is of two people and void. To be given until a decision that `ends_merge` was
    /// recorded.
    pub after_merge: bool,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Absent on both sides: nothing to look after any more.
    Close,
    AddToSalesforce(String),
    ChangeInSalesforce(String),
    /// Guarded.
    RemoveFromSalesforce,
    AddToMarketo(String),
    ChangeInMarketo(String),
    /// Delete, then add with a lower step: loses membership date and success.
    ReaddToMarketo(String),
    /// Guarded.
    RemoveFromMarketo,
}

impl Action {
    /// The side that is written to; none when neither is.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Nothing | Self::Close => None,
            Self::AddToSalesforce(_) | Self::ChangeInSalesforce(_) | Self::RemoveFromSalesforce => {
                Some(Side::Salesforce)
            }
            Self::AddToMarketo(_) | Self::ChangeInMarketo(_) | Self::ReaddToMarketo(_) | Self::RemoveFromMarketo => {
                Some(Side::Marketo)
            }
        }
    }

    /// Whether the removal guard has to be asked.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::RemoveFromSalesforce | Self::RemoveFromMarketo)
    }

    /// Whether the person has to exist on the side written to, and may have to be created there.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(self, Self::AddToSalesforce(_) | Self::AddToMarketo(_))
    }

    /// The name under which it is stored and shown.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Close => "close",
            Self::AddToSalesforce(_) => "add_to_salesforce",
            Self::ChangeInSalesforce(_) => "change_in_salesforce",
            Self::RemoveFromSalesforce => "remove_from_salesforce",
            Self::AddToMarketo(_) => "add_to_marketo",
            Self::ChangeInMarketo(_) => "change_in_marketo",
            Self::ReaddToMarketo(_) => "readd_to_marketo",
            Self::RemoveFromMarketo => "remove_from_marketo",
        }
    }

    /// The status that is written.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::AddToSalesforce(status)
            | Self::ChangeInSalesforce(status)
            | Self::AddToMarketo(status)
            | Self::ChangeInMarketo(status)
            | Self::ReaddToMarketo(status) => Some(status),
            Self::Nothing | Self::Close | Self::RemoveFromSalesforce | Self::RemoveFromMarketo => None,
        }
    }
}

/// What was decided about one member. Base, state and reason hold once the action has succeeded; until then the base
/// stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The row of the table that decided.
    pub rule: Rule,
    pub action: Action,
    pub next_base: Option<Base>,
    pub state: SyncState,
    /// Why the member is not in sync; none when it is.
    pub reason: Option<Reason>,
    /// What would have been done, had the mapping not been observing only.
    pub would: Option<Action>,
}

impl Decision {
    /// Whether the members of merged persons have become one with this: not while nothing could be read or written, nor
    /// while the further of the two could not be written.
    #[must_use]
    pub fn ends_merge(&self) -> bool {
        match self.rule {
            Rule::P1 | Rule::P2 => false,
            Rule::P3 => self.reason.is_none(),
            _ => true,
        }
    }
}

/// A write that is only proposed, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The name of the action.
    pub action: String,
    /// None for a removal.
    pub status: Presence,
}

impl Proposal {
    /// Of an action.
    #[must_use]
    pub fn of(action: &Action) -> Self {
        Self { action: action.name().to_owned(), status: action.status().map(str::to_owned) }
    }

    /// For people: `add to Salesforce with Attended`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let words = self.action.replace('_', " ").replace("salesforce", "Salesforce").replace("marketo", "Marketo");
        match &self.status {
            Some(status) if words.starts_with("change") => format!("{words} to {status}"),
            Some(status) => format!("{words} with {status}"),
            None => words,
        }
    }
}

/// A write as it was announced before the call, so that its lost answer can be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub side: Side,
    /// None for a removal.
    pub status: Presence,
    /// What the write was to bring about.
    pub next_base: Option<Base>,
}

impl Sent {
    /// The announcement of a decision; none when it writes nothing.
    #[must_use]
    pub fn of(decision: &Decision) -> Option<Self> {
        let status = decision.action.status().map(str::to_owned);
        decision.action.side().map(|side| Self { side, status, next_base: decision.next_base.clone() })
    }
}

/// The base after a write was sent and its answer lost: what the write was to bring about, when that is what its side
/// now says, and the old one otherwise. Without it a member that was removed by us and added again by a person on the
/// other side would look like one that was removed by a person on ours. `sent` has to be stored before the call.
#[must_use]
pub fn recovered<'a>(base: Option<&'a Base>, sent: &'a Sent, m: &Reading, s: &Reading) -> Option<&'a Base> {
    let now = match sent.side {
        Side::Marketo => m,
        Side::Salesforce => s,
    };
    let arrived = match &sent.status {
        Some(status) => now.status() == Some(status),
        None => *now == Reading::Absent,
    };
    if arrived { sent.next_base.as_ref() } else { base }
}
