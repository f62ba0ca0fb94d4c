//! Commands out: what the worker asks of the two vendors, and what they can answer.
//!
//! Owns the vendors' wire formats, tokens, call budgets and error codes; everything outside sees these types only. Must
//! not know the store. `ConnectorError` and `RecordError` say what to do, decided in one table (`errors`) from status
//! and vendor code.
//!
//! Reads take any number of ids and are split into full calls here. Writes take one call's worth at the most, because
//! the worker checks its lease before each.

pub mod budget;
mod campaign;
pub mod changes;
mod chunk;
mod circuit;
mod client;
pub mod deadline;
mod errors;
pub mod marketo;
mod pace;
pub mod provision;
pub mod salesforce;
mod smart_campaigns;
mod token;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use campaign::{Campaign, CampaignMember, CampaignMemberStatus, ListedCampaign, NewCampaign};
pub use circuit::CircuitState;
pub use client::{InvalidSettings, Usage};
pub use pace::Pace;
pub use smart_campaigns::SmartCampaigns;

use crate::domain::ids::{MarketoId, PersonType, ProgramId, SalesforceId};
use crate::domain::one_way::{CampaignChange, CampaignFields, Costs};
use crate::domain::provision::{NewStatus, StatusChange};

/// Records in one Salesforce Collections call.
pub const SALESFORCE_BATCH: usize = 200;
/// Programs in one page of Marketo's listing; a page that is shorter is the last.
pub const PROGRAM_PAGE: usize = 200;
/// Records in one call of Marketo's lead database.
pub const MARKETO_BATCH: usize = 300;

/// Why a whole call brought nothing, named after the reaction.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectorError {
    /// Down, overloaded, cut off, or an answer that is not the vendor's envelope: try again, never read it as data.
    /// When `sent` is true a write may have been applied.
    #[error("{vendor} is unavailable: {detail}")]
    Unavailable { vendor: Vendor, detail: String, retry_after: Option<Duration>, sent: bool },
    /// The rate or concurrency limit said no; nothing was applied.
    #[error("{vendor} limits the rate: {detail}")]
    RateLimited { vendor: Vendor, detail: String, retry_after: Duration },
    /// The day's calls are used up; nothing was applied.
    #[error("{vendor}: the daily quota of calls is used up")]
    QuotaExhausted { vendor: Vendor, retry_after: Duration },
    /// Credentials are refused, after one refresh.
    #[error("{vendor} refuses the credentials: {detail}")]
    Unauthorized { vendor: Vendor, detail: String },
    /// The call as such is refused, and will be each time: a permission, a field, a status that does not exist.
    #[error("{vendor} refuses the call ({code}): {message}")]
    Refused { vendor: Vendor, code: String, message: String },
}

impl ConnectorError {
    /// Whether the call was refused for something that one of its records may be to blame for.
    #[must_use]
    pub fn may_blame_a_record(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if !errors::is_of_the_call(code))
    }
}

/// Which of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Marketo Engage
    Marketo,
    /// Salesforce
    Salesforce,
}

impl std::fmt::Display for Vendor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Marketo => "marketo",
            Self::Salesforce => "salesforce",
        })
    }
}

/// Why one record of a call was not written, named after the reaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RecordError {
    /// What to do.
    pub reaction: Reaction,
    /// The vendor's code: `DUPLICATE_VALUE`, `1037`.
    pub code: String,
    /// The vendor's text.
    pub message: String,
}

/// What to do about a record that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing is wrong with the record: try again later (row lock, transient).
    Retry,
    /// It may be there already (`DUPLICATE_VALUE`, 1037 on a status): read again, decide again.
    ReadAgain,
    /// What was to be removed is not there; as good as done.
    Gone,
    /// The person is gone (1004), converted or merged: read the person again.
    PersonChanged,
    /// A duplicate rule found these records.
    Duplicates(Vec<SalesforceId>),
    /// Not without a change by a person.
    Reject,
}

/// Outcome of each record of a write, in the order they were given.
pub type RecordResults<T> = Vec<Result<T, RecordError>>;

/// One page of a listing; `next` is handed back for the following one, none at the end.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page is.
    pub next: Option<String>,
    /// How many rows the vendor says there are in all, where it does.
    pub total: Option<u64>,
    /// How many more rows the page has that could not be read. Nobody is known to be absent for want of one of them.
    pub unreadable: usize,
}

/// A lead or contact, deleted and converted ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalesforcePerson {
    pub id: SalesforceId,
    pub person_type: PersonType,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub is_deleted: bool,
    /// Winner of a merge that this record lost.
    pub master_record_id: Option<SalesforceId>,
    /// Contact that the lead was converted to; set exactly when it is converted.
    pub converted_contact_id: Option<SalesforceId>,
    pub created_by: Option<SalesforceId>,
    pub created_at: Option<Timestamp>,
}

/// A lead to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLead {
    pub first_name: Option<String>,
    pub last_name: String,
    pub company: String,
    pub email: Option<String>,
    /// Value for the configured external id field; the call is then an upsert by it and cannot make a second lead.
    pub external_id: Option<String>,
}

/// A campaign member to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    pub campaign_id: SalesforceId,
    /// Lead or contact, told by the prefix.
    pub person_id: SalesforceId,
    pub status: String,
}

/// Who we are in Salesforce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalesforceIdentity {
    pub user_id: SalesforceId,
    pub organization_id: SalesforceId,
}

/// What the service asks of Salesforce.
#[async_trait]
pub trait Salesforce: Send + Sync {
    /// How fast it can be asked; nothing where that is not known.
    fn pace(&self) -> Pace {
        Pace::default()
    }
    /// Ids of our user and organisation, learnt from the token answer (`id` URL); read once and kept.
    async fn identity(&self) -> Result<SalesforceIdentity, ConnectorError>;
    /// Campaigns by id with their statuses. What was asked and is not in the answer does not exist.
    async fn campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError>;
    /// Campaigns whose name has this text in it (without case; all when it is empty), newest first: those older than `before`, at
    /// most `limit`.
    async fn campaigns_like(
        &self,
        text: &str,
        before: Option<&SalesforceId>,
        limit: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError>;
    /// Memberships of these people (leads or contacts) in these campaigns. A row may come for any pair of the two lists; a
    /// pair that is not in the answer is absent. Accounts that are members are asked for by themselves: where they are not shown any
    /// more that is `Refused`.
    async fn members(
        &self,
        campaigns: &[SalesforceId],
        people: &[SalesforceId],
    ) -> Result<Vec<CampaignMember>, ConnectorError>;
    /// Members by their own ids, deleted ones included (`queryAll`).
    async fn members_by_id(&self, ids: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError>;
    /// One page of all members of a campaign; `cursor` from the page before. A cursor that ran out is `Refused` with code
    /// `INVALID_QUERY_LOCATOR`.
    async fn member_page(
        &self,
        campaign: &SalesforceId,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError>;
    /// How many members of a campaign hold each status, in one call; a status that nobody holds is left out.
    async fn member_counts(&self, campaign: &SalesforceId) -> Result<BTreeMap<String, u64>, ConnectorError>;
    /// Leads and contacts by id, deleted, merged and converted ones included.
    async fn people(&self, ids: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError>;
    /// Living leads and contacts that have one of these e-mail addresses (compared without case).
    async fn people_by_email(&self, emails: &[String]) -> Result<Vec<SalesforcePerson>, ConnectorError>;
    /// Living leads and contacts by the value of the configured external id field, with that value; empty when no field is
    /// configured.
    async fn people_by_external_id(&self, values: &[String])
    -> Result<Vec<(String, SalesforcePerson)>, ConnectorError>;
    /// Living leads that our own user has created since; for finding out what became of a call whose answer was lost.
    async fn leads_created(&self, since: Timestamp) -> Result<Vec<SalesforcePerson>, ConnectorError>;
    /// Whether a rule against duplicate leads is active. A user who may not look at set-up is not told; they are from the first
    /// day of an organisation, so that counts as yes.
    async fn guards_leads(&self) -> Result<bool, ConnectorError> {
        Ok(true)
    }
    /// Creates leads, at most 200. A duplicate rule's matches are looked up and named in the error.
    async fn create_leads(&self, leads: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError>;
    /// Creates campaign members, at most 200, of any campaigns.
    async fn create_members(&self, members: &[NewMember]) -> Result<RecordResults<SalesforceId>, ConnectorError>;
    /// Sets the status of members, at most 200, of any campaigns.
    async fn update_members(&self, members: &[(SalesforceId, String)]) -> Result<RecordResults<()>, ConnectorError>;
    /// Deletes members by id, at most 200. `Gone` for one that is not there.
    async fn delete_members(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError>;
    /// What our user may write of campaigns, from their describe.
    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError>;
    /// Ids of living campaigns of this name (compared without case).
    async fn campaigns_named(&self, name: &str) -> Result<Vec<SalesforceId>, ConnectorError>;
    /// Living campaigns that our own user has created since, with their descriptions; for finding out what became of a call
    /// whose answer was lost.
    async fn campaigns_created(&self, since: Timestamp) -> Result<Vec<(SalesforceId, String)>, ConnectorError>;
    /// Creates an active campaign.
    async fn create_campaign(&self, campaign: &NewCampaign) -> Result<SalesforceId, ConnectorError>;
    /// Sets fields of a campaign.
    async fn update_campaign(&self, id: &SalesforceId, change: &CampaignChange) -> Result<(), ConnectorError>;
    /// Creates member statuses of a campaign, in this order.
    async fn create_statuses(
        &self,
        campaign: &SalesforceId,
        statuses: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError>;
    /// Sets flags of member statuses.
    async fn update_statuses(&self, changes: &[StatusChange]) -> Result<RecordResults<()>, ConnectorError>;
    /// Deletes member statuses by id.
    async fn delete_statuses(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError>;
}

/// A Marketo program.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub id: ProgramId,
    pub name: String,
    /// As Marketo says it, lower case: `default`, `event`, `event with webinar`, `engagement`, `email`.
    pub program_type: String,
    pub channel: String,
    /// Sum of the period costs; none where the answer carried no costs, which says nothing.
    pub cost: Option<f64>,
    /// Campaign that Marketo's own sync has linked, normalised where it can be.
    pub sfdc_id: Option<String>,
}

/// A channel with its statuses, `Not in Program` left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub name: String,
    pub statuses: Vec<ProgramStatus>,
}

/// One progression status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStatus {
    pub name: String,
    pub step: i64,
    pub success: bool,
    pub hidden: bool,
}

/// One program member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramMember {
    pub lead_id: MarketoId,
    pub status: String,
    pub updated_at: Option<Timestamp>,
}

/// A Marketo person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketoPerson {
    pub id: MarketoId,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    /// From the configured fields; what is not a lead's or contact's id there is none.
    pub salesforce_lead_id: Option<SalesforceId>,
    pub salesforce_contact_id: Option<SalesforceId>,
}

/// A person to create in Marketo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    /// Written to the configured field when that is updateable.
    pub salesforce_id: Option<SalesforceId>,
}

/// By what people are looked up in Marketo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonKey {
    /// `email`
    Email,
    /// The configured lead field (`sfdcLeadId` unless configured).
    SalesforceLead,
    /// The configured contact field.
    SalesforceContact,
}

/// What the service asks of Marketo.
#[async_trait]
pub trait Marketo: Send + Sync {
    /// How fast it can be asked; nothing where that is not known.
    fn pace(&self) -> Pace {
        Pace::default()
    }
    /// A program, or none when Marketo says that there is none.
    async fn program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError>;
    /// The programs of a page of Marketo's listing, counted from 0, in its order. They can be searched in no other way.
    async fn program_page(&self, page: usize) -> Result<Vec<Program>, ConnectorError>;
    /// The period costs of a program, asked for by name since only that call is sure to carry them. Unknown when its name has
    /// a comma, which cannot be asked for.
    async fn program_costs(&self, program: &Program) -> Result<Costs, ConnectorError>;
    /// A channel by its name.
    async fn channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError>;
    /// Memberships of these people in a program; who was asked for and is not in the answer is not a member.
    async fn members(&self, program: ProgramId, people: &[MarketoId]) -> Result<Vec<ProgramMember>, ConnectorError>;
    /// One page of all members with what links them.
    async fn member_page(
        &self,
        program: ProgramId,
        cursor: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError>;
    /// How many members of a program hold a status. Marketo counts nothing itself, so that they are read a page at a time: none
    /// where there are more than `most`, or where the status cannot be asked for.
    async fn member_count(&self, program: ProgramId, status: &str, most: u64) -> Result<Option<u64>, ConnectorError>;
    /// People by id; who is not in the answer does not exist (any more).
    async fn people(&self, ids: &[MarketoId]) -> Result<Vec<MarketoPerson>, ConnectorError>;
    /// People by a key; several may have the same.
    async fn people_by(&self, key: PersonKey, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError>;
    /// Losers of merges that were asked for by id, with their winners; those that Marketo does not tell of are left out.
    async fn merges(
        &self,
        losers: &[MarketoId],
        since: Timestamp,
    ) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError>;
    /// Sets one status for at most 300 people; creates the membership where there is none.
    async fn set_status(
        &self,
        program: ProgramId,
        status: &str,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError>;
    /// Removes at most 300 people from a program.
    async fn remove_members(
        &self,
        program: ProgramId,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError>;
    /// Creates at most 300 people (`createOnly` by e-mail; an address that exists already is `ReadAgain`).
    async fn create_people(&self, people: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError>;
}
