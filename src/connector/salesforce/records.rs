//! Rows as SOQL brings them.
//!
//! Owns the fields that are asked for and how a row becomes one of the crate's types. Must not know how rows are fetched.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::{Campaign, CampaignMember, CampaignMemberStatus, ListedCampaign, SalesforcePerson};
use super::wire;
use crate::domain::ids::{PersonType, SalesforceId};

pub(super) const MEMBER: &str = "Id, CampaignId, LeadId, ContactId, Status, LastModifiedById, SystemModstamp, IsDeleted, \
                                 Lead.Email, Contact.Email";
pub(super) const STATUS: &str = "Id, CampaignId, Label, SortOrder, IsDefault, HasResponded";
pub(super) const LEAD: &str = "Id, Email, FirstName, LastName, Company, IsConverted, ConvertedContactId, MasterRecordId, \
                               IsDeleted, CreatedById, CreatedDate";
pub(super) const CONTACT: &str = "Id, Email, FirstName, LastName, MasterRecordId, IsDeleted, CreatedById, CreatedDate";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CampaignRow {
    pub id: SalesforceId,
    name: String,
    is_active: bool,
    #[serde(rename = "Type")]
    campaign_type: Option<String>,
    actual_cost: Option<f64>,
}

impl CampaignRow {
    pub fn listed(self) -> ListedCampaign {
        let Self { id, name, is_active, campaign_type, .. } = self;
        ListedCampaign { id, name, is_active, campaign_type }
    }

    pub fn with(self, statuses: Vec<CampaignMemberStatus>) -> Campaign {
        let Self { id, name, is_active, campaign_type, actual_cost } = self;
        Campaign { id, name, is_active, campaign_type, actual_cost, statuses }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StatusRow {
    id: SalesforceId,
    pub campaign_id: SalesforceId,
    label: String,
    sort_order: Option<f64>,
    is_default: bool,
    has_responded: bool,
}

impl StatusRow {
    pub fn read(self) -> CampaignMemberStatus {
        let Self { id, label, sort_order, is_default, has_responded, .. } = self;
        let sort_order = sort_order.unwrap_or_default() as i64;
        CampaignMemberStatus { id, label, has_responded, is_default, sort_order }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MemberRow {
    pub id: SalesforceId,
    campaign_id: SalesforceId,
    lead_id: Option<SalesforceId>,
    contact_id: Option<SalesforceId>,
    status: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient_id")]
    last_modified_by_id: Option<SalesforceId>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    system_modstamp: Option<Timestamp>,
    #[serde(default)]
    is_deleted: bool,
    lead: Option<Address>,
    contact: Option<Address>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Address {
    email: Option<String>,
}

/// Of a member that is neither lead nor contact.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccountRow {
    pub id: SalesforceId,
    #[serde(default, deserialize_with = "wire::lenient_id")]
    pub account_id: Option<SalesforceId>,
}

impl MemberRow {
    pub fn read(self) -> CampaignMember {
        let address =
            |person: Option<Address>| person.and_then(|person| person.email).filter(|email| !email.is_empty());
        CampaignMember {
            id: self.id,
            campaign_id: self.campaign_id,
            lead_id: self.lead_id,
            contact_id: self.contact_id,
            account_id: None,
            status: self.status.unwrap_or_default(),
            is_deleted: self.is_deleted,
            last_modified_by: self.last_modified_by_id,
            system_modstamp: self.system_modstamp,
            email: address(self.contact).or_else(|| address(self.lead)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PersonRow {
    id: SalesforceId,
    #[serde(default, deserialize_with = "wire::optional_text")]
    email: Option<String>,
    #[serde(default, deserialize_with = "wire::optional_text")]
    first_name: Option<String>,
    #[serde(default, deserialize_with = "wire::optional_text")]
    last_name: Option<String>,
    #[serde(default, deserialize_with = "wire::optional_text")]
    company: Option<String>,
    #[serde(default)]
    is_converted: bool,
    converted_contact_id: Option<SalesforceId>,
    master_record_id: Option<SalesforceId>,
    #[serde(default)]
    is_deleted: bool,
    #[serde(default, deserialize_with = "wire::lenient_id")]
    created_by_id: Option<SalesforceId>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    created_date: Option<Timestamp>,
}

impl PersonRow {
    pub fn read(self, person_type: PersonType) -> SalesforcePerson {
        SalesforcePerson {
            id: self.id,
            person_type,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            company: self.company,
            is_deleted: self.is_deleted,
            master_record_id: self.master_record_id,
            converted_contact_id: self.converted_contact_id.filter(|_| self.is_converted),
            created_by: self.created_by_id,
            created_at: self.created_date,
        }
    }
}
