//! Campaigns and their members as they are read, and campaigns as they are made.
//!
//! Owns the types only. Must not know how a campaign is fetched or written.

use jiff::Timestamp;

use crate::domain::ids::SalesforceId;

/// A Salesforce campaign with its member statuses, read in one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    pub id: SalesforceId,
    pub name: String,
    pub is_active: bool,
    pub campaign_type: Option<String>,
    /// In the campaign's currency; none when cleared, or when field security hides it.
    pub actual_cost: Option<f64>,
    /// In sort order.
    pub statuses: Vec<CampaignMemberStatus>,
}

/// A campaign as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCampaign {
    pub id: SalesforceId,
    pub name: String,
    pub is_active: bool,
    pub campaign_type: Option<String>,
}

/// One row of `CampaignMemberStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignMemberStatus {
    pub id: SalesforceId,
    pub label: String,
    pub has_responded: bool,
    pub is_default: bool,
    pub sort_order: i64,
}

/// A campaign to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCampaign {
    pub name: String,
    /// Also what tells it apart from others when the answer to its creation was lost.
    pub description: String,
    /// Left out when none, as a field that is hidden has to be; none within is empty, and not Salesforce's default.
    pub campaign_type: Option<Option<String>>,
    pub actual_cost: Option<f64>,
}

/// One row of `CampaignMember`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignMember {
    pub id: SalesforceId,
    pub campaign_id: SalesforceId,
    /// Stays set after conversion.
    pub lead_id: Option<SalesforceId>,
    pub contact_id: Option<SalesforceId>,
    /// Of an account that is a member itself; the row's own id where our user may not see which account that is.
    pub account_id: Option<SalesforceId>,
    /// Empty text when Salesforce holds null.
    pub status: String,
    pub is_deleted: bool,
    pub last_modified_by: Option<SalesforceId>,
    pub system_modstamp: Option<Timestamp>,
    /// Of the contact, else of the lead.
    pub email: Option<String>,
}

impl CampaignMember {
    /// Who the member is: contact before lead, since a converted lead's row keeps its `LeadId`; else an account, which is
    /// nobody's person.
    #[must_use]
    pub fn person(&self) -> Option<&SalesforceId> {
        self.contact_id.as_ref().or(self.lead_id.as_ref()).or(self.account_id.as_ref())
    }
}
