//! Hints: what a webhook says may have changed.
//!
//! A hint is never a command and its payload never causes a write; it names who to look at. What it carries may only
//! save work. Must not know how it arrived on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{MarketoId, ProgramId, SalesforceId};

/// Where a hint, or an observed change, came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Marketo webhook or poll.
    Marketo,
    /// Salesforce webhook or poll.
    Salesforce,
}

impl Source {
    /// `marketo` or `salesforce`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketo => "marketo",
            Self::Salesforce => "salesforce",
        }
    }

    /// The source of what a poll found there.
    #[must_use]
    pub fn polled(self) -> &'static str {
        match self {
            Self::Marketo => "marketo_poll",
            Self::Salesforce => "salesforce_poll",
        }
    }

    /// Whether this is the source of what a poll found.
    #[must_use]
    pub fn is_polled(source: &str) -> bool {
        [Self::Marketo, Self::Salesforce].iter().any(|known| known.polled() == source)
    }
}

/// What happened to a Salesforce record, as its trigger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Undelete,
}

/// One record of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Hint {
    /// A program member was added, changed or removed.
    ProgramMember { program_id: ProgramId, marketo_id: MarketoId, removed: bool, status: Option<String> },
    /// A Marketo person was deleted, or is about to be.
    MarketoPerson { marketo_id: MarketoId },
    /// A program's channel, cost or name may have changed.
    Program { program_id: ProgramId },
    /// A campaign member. An outbound message may carry nothing but its id.
    CampaignMember {
        member_id: SalesforceId,
        campaign_id: Option<SalesforceId>,
        /// Contact before lead.
        person_id: Option<SalesforceId>,
        /// None when the source says no operation (outbound messages).
        operation: Option<Operation>,
        status: Option<String>,
        modified_by: Option<SalesforceId>,
        modstamp: Option<Timestamp>,
    },
    /// A lead or contact changed, was deleted, merged (`master_id`) or converted.
    SalesforcePerson {
        person_id: SalesforceId,
        operation: Option<Operation>,
        master_id: Option<SalesforceId>,
        converted_contact_id: Option<SalesforceId>,
    },
    /// A campaign changed.
    Campaign { campaign_id: SalesforceId, operation: Option<Operation> },
    /// A member status of a campaign changed.
    CampaignMemberStatus { status_id: SalesforceId, campaign_id: Option<SalesforceId>, operation: Option<Operation> },
}

/// One accepted webhook call: verified, parsed, not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub source: Source,
    /// In the order of the payload.
    pub records: Vec<DeliveredHint>,
}

/// A hint with the id under which a second delivery of it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredHint {
    /// `<webhook-id>` or `<notification id>`; none where the source has no ids, so that each delivery counts.
    pub delivery_id: Option<String>,
    /// Position among the records that share `delivery_id`.
    pub position: u32,
    pub hint: Hint,
}

/// What became of a delivery; for one seen before, what became of it then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Records that are now work.
    pub events: u32,
    /// Records of campaigns, programs or people that nobody tracks.
    pub ignored: u32,
}
